"""The command ``emoji-vae`` as people call it, on the model that ships."""

import csv
import io
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageSequence

from emoji_vae.catalogue import catalogue
from emoji_vae.cli import main
from emoji_vae.codec import Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.locations import asset

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def vae(capfd, tmp_path, monkeypatch):
    """Run the command in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        return code, *capfd.readouterr()

    return run


def picture(path: str, color="orange") -> str:
    Image.new("RGB", (50, 40), color).save(path)
    return path


def size(path: str) -> tuple[int, int]:
    with Image.open(path) as image:
        return image.size


def rows(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text)))


def test_encode_all_emojis(vae):
    assert vae("encode", "--emojis", "--output", "codes.npz") == (0, "", "")
    codes = EmojiCodes.load("codes.npz")
    assert list(codes.names) == [emoji.sequence for emoji in catalogue()]
    assert np.isfinite(codes.codes).all()


def test_encode_emojis_as_csv(vae):
    code, out, err = vae("encode", "--emojis", "❤️", "⚾")
    assert (code, err) == (0, "")
    header, *found = rows(out)
    assert header == ["name", *(f"code_{i}" for i in range(16))]
    assert [row[0] for row in found] == ["❤️", "⚾"]
    # The shortest decimal form of a float32 reads back as the same float32.
    expected = EmojiCodes.load().select(["❤️", "⚾"]).codes
    np.testing.assert_array_equal(np.array([row[1:] for row in found], np.float32), expected)
    vae("encode", "--emojis", "❤️", "⚾", "--output", "codes.csv")
    assert rows(Path("codes.csv").read_text(encoding="utf-8")) == [header, *found]


def test_encode_pictures(vae):
    assert vae("encode", picture("a.png"), picture("b.png", "blue"), "--output", "c.npz")[0] == 0
    codes = EmojiCodes.load("c.npz")
    expected = Codec.load().encode_files(["a.png", "b.png"])
    assert list(codes.names) == list(expected.names)
    np.testing.assert_array_equal(codes.codes, expected.codes)


def test_reconstruct(vae):
    assert vae("reconstruct", "--emojis", "❤️", "⚾", "--output", "a.png") == (0, "", "")
    assert size("a.png") == (4 * 72, 72)
    # The left half of a pair is the emoji itself.
    from emoji_vae import images

    sheet = images.sheet()[catalogue().index("❤️")]
    vae("reconstruct", "--emojis", "❤️", "--output", "b.png", "--size", "36")
    with Image.open("b.png") as pair:
        left = images.from_image(pair.crop((0, 0, 36, 36)))
    np.testing.assert_allclose(left, sheet, atol=2 / 255)
    picture("c.png")
    assert vae("reconstruct", "c.png", "--output", "d.png")[0] == 0
    assert size("d.png") == (2 * 72, 72)


def test_reconstruct_and_draw(vae):
    from emoji_vae import images

    arguments = ("reconstruct", "--emojis", "❤️", "⚾", "--size", "36", "--output")
    assert vae(*arguments, "a.png")[0] == 0
    assert vae(*arguments, "b.png", "--draw")[0] == 0
    two, three = opened("a.png"), opened("b.png")
    assert three.shape == (36, 6 * 36, 4)
    for column in (0, 1):
        for pair in (0, 1):
            left, right = 36 * (2 * pair + column), 36 * (3 * pair + column)
            np.testing.assert_array_equal(two[:, left : left + 36], three[:, right : right + 36])
    sheet = images.sheet()[[catalogue().index("❤️")]]
    drawn = Codec.load().draw(Codec.load().encode(sheet))[0]
    visible = three[:, 72:108, 3] > 64
    shown = np.asarray(images.to_image(drawn)).astype(int)
    assert np.abs(three[:, 72:108] - shown)[visible].max() <= 4


@pytest.mark.slow
def test_reconstruct_all(vae):
    assert vae("reconstruct", "--emojis", "--size", "36", "--output", "all.png")[0] == 0
    # Eight pairs a row.
    assert size("all.png") == (16 * 36, -(-len(catalogue()) // 8) * 36)


def test_sample(vae):
    assert vae("sample", "9", "--seed", "7", "--output", "a.png") == (0, "", "")
    assert size("a.png") == (3 * 72, 3 * 72)
    for name, seed in (("b.png", "7"), ("c.png", "8")):
        assert vae("sample", "9", "--seed", seed, "--output", name)[0] == 0
    same, again, other = (Path(name).read_bytes() for name in ("a.png", "b.png", "c.png"))
    assert same == again != other


def test_morph(vae):
    picture("sun.png")
    assert vae("morph", "😀", "sun.png", "--steps", "5", "--output", "a.png") == (0, "", "")
    assert size("a.png") == (5 * 72, 72)


def test_morph_of_many_sizes(vae):
    for pixels in ("36", "100", "288", "512"):
        assert (
            vae("morph", "😀", "🎉", "--steps", "2", "--size", pixels, "--output", "a.png")[0] == 0
        )
        assert size("a.png") == (2 * int(pixels), int(pixels))


@pytest.mark.parametrize(
    "name",
    ["a.gif", *(pytest.param(name, marks=pytest.mark.slow) for name in ("a.webp", "a.apng"))],
)
def test_morph_there_and_back(vae, name):
    arguments = ("morph", "😀", "🐱", "--output", name, "--size", "40")
    assert vae(*arguments, "--steps", "4", "--seconds", "1.2") == (0, "", "")
    with Image.open(name) as image:
        assert image.size == (40, 40)
        shown, durations = [], []
        for frame in ImageSequence.Iterator(image):
            frame.load()
            shown.append(np.asarray(frame.convert("RGBA")).astype(int))
            durations.append(frame.info["duration"])
    # 1, 2, 3, 4, 3, 2: four steps, and the way back without its ends.
    assert durations == [200] * 6
    for there, back in ((1, 5), (2, 4)):
        np.testing.assert_array_equal(shown[there], shown[back])
    assert np.abs(shown[0] - shown[3]).max() > 50
    # A GIF has a white background, the others none.
    corner = shown[0][0, 0]
    if name == "a.gif":
        assert corner.min() > 240 and corner[3] == 255
    else:
        assert corner[3] < 20
    # By default 60 frames in three seconds.
    assert vae(*arguments) == (0, "", "")
    with Image.open(name) as image:
        durations = []
        for frame in ImageSequence.Iterator(image):
            frame.load()
            durations.append(frame.info["duration"])
    assert durations == [50] * 60


def opened(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def test_blend(vae):
    assert vae("blend", "😀=0.6", "🐱=0.4", "--output", "a.png") == (0, "", "")
    assert size("a.png") == (72, 72)
    # What counts is the proportion; no weight is 1; and the same seed draws the same.
    assert vae("blend", "😀=3", "🐱=2", "--output", "b.png")[0] == 0
    assert np.abs(opened("a.png") - opened("b.png")).max() <= 2
    # Equal parts of two are the mean of their codes; one part alone is itself.
    from emoji_vae import images

    codes = EmojiCodes.load().select(["😀", "🐱"]).codes
    ways = ((["😀", "🐱=1.0"], codes.mean(axis=0)), (["😀", "🐱=0"], codes[0]))
    for parts, code in ways:
        assert vae("blend", *parts, "--output", "c.png")[0] == 0
        (drawn,) = Codec.load().draw(code[np.newaxis])
        np.testing.assert_array_equal(opened("c.png"), np.asarray(images.to_image(drawn, 72)))


def test_blend_takes_files(vae):
    for name in ("sun.png", "a=1.png", "b=2"):
        picture("sun.png")
        Path(name).write_bytes(Path("sun.png").read_bytes())
    assert vae("blend", "sun.png=0.5", "a=1.png", "b=2", "b=2=3", "--output", "c.png")[0] == 0


@pytest.mark.parametrize("options", [[], ["--percentiles"], ["--unscaled"], ["--range", "-1", "1"]])
def test_grid(vae, options):
    arguments = ("grid", "--pattern", "B", "--steps", "3", *options)
    assert vae(*arguments, "--output", "a.png", "--size", "36") == (0, "", "")
    assert size("a.png") == (3 * 36, 3 * 36)
    # The middle is the mean of the codes, or with --unscaled the code 0.
    from emoji_vae import images

    codec = Codec.load()
    values = {
        "[]": Codec.grid("B", 3),
        "['--percentiles']": Codec.grid_percentiles("B", 3),
        "['--unscaled']": Codec.grid("B", 3),
        "['--range', '-1', '1']": Codec.grid("B", 3, -1, 1),
    }[str(options)]
    codes = values if options == ["--unscaled"] else codec.prior.from_standard(values)
    expected = images.grid(codec.draw(codes), 3)
    np.testing.assert_array_equal(opened("a.png"), np.asarray(expected))


@pytest.mark.slow
def test_the_grid_of_2017(vae):
    assert vae("grid", "--output", "a.png", "--size", "36") == (0, "", "")
    assert size("a.png") == (720, 720)


def test_backgrounds(vae):
    assert vae("sample", "2", "--background", "#203040", "--output", "a.png")[0] == 0
    assert (opened("a.png")[..., 3] == 255).all()
    assert vae("sample", "2", "--output", "b.png")[0] == 0
    assert opened("b.png")[..., 3].min() == 0


def test_progress_on_a_terminal_only(vae, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    import tqdm

    # Without the delay that keeps short work quiet.
    real = tqdm.tqdm
    monkeypatch.setattr(tqdm, "tqdm", lambda *a, delay, **k: real(*a, **k))
    picture("sun.png")
    for arguments in (
        ["sample", "3", "--output", "a.png"],
        ["grid", "--steps", "2", "--output", "a.png"],
        ["encode", "sun.png", "--output", "a.csv"],
        ["reconstruct", "sun.png", "--draw", "--output", "a.png"],
    ):
        with monkeypatch.context() as patch:
            terminal = Terminal()
            patch.setattr(sys, "stderr", terminal)
            assert main(arguments) == 0
        # The bar counts up, and shows itself a few times a second.
        assert re.search(r"\d+%.+\d/\d", terminal.getvalue())
        assert vae(*arguments) == (0, "", "")


def test_neighbours(vae):
    code, out, err = vae("neighbours", "🍕", "-k", "3")
    assert (code, err) == (0, "")
    found = [re.fullmatch(r" *(\d)  +(\d+\.\d{4})  (\S+)\t(.+)", line) for line in out.splitlines()]
    assert [row and row[1] for row in found] == ["1", "2", "3"]
    codes = EmojiCodes.load()
    distances = [
        np.linalg.norm(codes.select(["🍕"]).codes[0] - codes.select([row[3]]).codes[0])
        for row in found
        if row
    ]
    assert distances == sorted(distances)
    assert "🍕" not in out
    # Of an emoji's base and a picture of one's own.
    assert "👍" not in vae("neighbours", "👍🏽", "-k", "3")[1].split()
    assert vae("neighbours", picture("sun.png"), "-k", "1")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND; see emoji-vae --help"),
        (["encode"], "give picture files or --emojis"),
        (["encode", "a.png", "--emojis", "😀"], "give picture files or --emojis"),
        (["encode", "none.png"], "none.png"),
        (["encode", "text.png"], "text.png"),
        (["encode", "--emojis", "x"], "'x' is no emoji"),
        (["encode", "--emojis", "--output", "a.txt"], "cannot tell how to write 'a.txt'"),
        (["encode", "--emojis", "--output", "no/a.csv"], "no/a.csv"),
        (["encode", "--emojis", "--output", "no/a.npz"], "no/a.npz"),
        (["reconstruct", "--emojis", "😀"], "required: --output"),
        (
            ["reconstruct", "--emojis", *"😀🎉⚾", "--output", "a.png", "--size", "4096"],
            "smaller size",
        ),
        (["sample", "0", "--output", "a.png"], "0"),
        (["sample", "-1", "--output", "a.png"], "-1"),
        (["sample", "x", "--output", "a.png"], "'x'"),
        (["sample", "3", "--seed", "-1", "--output", "a.png"], "-1"),
        (["sample", "3", "--temperature", "nan", "--output", "a.png"], "nan"),
        (["sample", "3", "--output", "a.jpg"], "PNG"),
        (["sample", "3", "--output", "no/a.png"], "no/a.png"),
        (["sample", "3", "--size", "0", "--output", "a.png"], "0"),
        (["morph", "😀", "x", "--output", "a.png"], "'x' is no emoji of the catalogue and no file"),
        (["morph", "😀", "🎉", "--steps", "1", "--output", "a.png"], "1"),
        (["morph", "😀", "🎉", "--steps", "0", "--output", "a.gif"], "0 steps"),
        (["morph", "😀", "🎉", "--steps", "-5", "--output", "a.png"], "-5 steps"),
        (["morph", "😀", "🎉", "--steps", "999999", "--output", "a.png"], "smaller size"),
        (["morph", "😀", "🎉", "--steps", "1999", "--output", "a.gif"], "3996 frames cannot"),
        (
            [
                "morph",
                "😀",
                "🎉",
                "--steps",
                "900",
                "--seconds",
                "50",
                "--size",
                "200",
                "--output",
                "a.gif",
            ],
            "smaller size",
        ),
        (["morph", "😀", "🎉", "--seconds", "0", "--output", "a.gif"], "cannot take 0 seconds"),
        (["morph", "😀", "🎉", "--seconds", "nan", "--output", "a.webp"], "cannot take nan"),
        (["morph", "😀", "🎉", "--seconds", "2", "--output", "a.png"], "no animation"),
        (["morph", "😀", "🎉", "--output", "a.mp4"], "name a .png, .gif, .webp or .apng file"),
        (["morph", "😀", "🎉", "--output", "no/a.gif"], "no folder 'no'"),
        (["morph", "😀", "x" * 5000, "--output", "a.png"], "is no emoji of the catalogue"),
        (["morph", "😀", "a\0b", "--output", "a.png"], "is no emoji of the catalogue"),
        (["morph", "😀", "text.png", "--output", "a.png"], "'text.png' is no whole picture"),
        (["morph", "😀", ".", "--output", "a.png"], "is a folder"),
        (["blend", "--output", "a.png"], "required"),
        (["blend", "😀=x", "--output", "a.png"], "'x' in '😀=x' is no weight"),
        (["blend", "😀=", "--output", "a.png"], "'' in '😀=' is no weight"),
        (["blend", "😀=-1", "🎉", "--output", "a.png"], "-1.0"),
        (["blend", "😀=nan", "🎉", "--output", "a.png"], "nan"),
        (["blend", "😀=inf", "🎉", "--output", "a.png"], "inf"),
        (["blend", "😀=0", "🎉=0", "--output", "a.png"], "one of them above"),
        (["blend", "none.png=0.5", "--output", "a.png"], "'none.png' is no emoji"),
        (["blend", "😀", "--output", "a.gif"], "PNG"),
        (["grid", "--pattern", "D", "--output", "a.png"], "invalid choice: 'D'"),
        (["grid", "--steps", "1", "--output", "a.png"], "1"),
        (["grid", "--steps", "101", "--output", "a.png"], "101"),
        (["grid", "--size", "512", "--output", "a.png"], "smaller size"),
        (["grid", "--range", "2", "-2", "--output", "a.png"], "2.0 to -2.0"),
        (["grid", "--range", "0", "inf", "--output", "a.png"], "inf"),
        (["grid", "--percentiles", "--range", "0", "50", "--output", "a.png"], "percentiles"),
        (["grid", "--percentiles", "--range", "50", "100", "--output", "a.png"], "percentiles"),
        (["grid", "--seed", "-1", "--output", "a.png"], "-1"),
        (["grid", "--output", "a.gif"], "PNG"),
        (["sample", "3", "--temperature", "-1", "--output", "a.png"], "-1"),
        (["sample", "3", "--temperature", "99", "--output", "a.png"], "99"),
        (["sample", "100001", "--size", "1", "--output", "a.png"], "100001"),
        (["sample", "99999", "--output", "a.png"], "smaller size"),
        (["sample", "3", "--background", "nothing", "--output", "a.png"], "'nothing' is no colour"),
        (["sample", "3", "--background", "#0000", "--output", "a.png"], "is not opaque"),
        (["sample", "3", "--output", "."], "PNG"),
        (["neighbours", "x"], "'x' is no emoji of the catalogue and no file"),
        (["neighbours", "text.png"], "text.png"),
        (["neighbours", "😀", "-k", "0"], "'0' is not a whole number of at least 1"),
        (["neighbours", "😀", "--model", "none"], "'none' holds no folder 'vae'"),
        (["sample", "3", "--output", "a.png", "--model", "none"], "'none' holds no folder 'vae'"),
    ],
)
def test_bad_input(vae, arguments, message):
    Path("text.png").write_text("no picture")
    code, out, err = vae(*arguments)
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"emoji-vae: error: [^\n]*{re.escape(message)}[^\n]*\n", err), err
    assert os.listdir() == ["text.png"]


def test_own_model(vae):
    expected = vae("neighbours", "🍕")
    assert vae("neighbours", "🍕", "--model", str(asset("models"))) == expected


@pytest.mark.parametrize(
    "command",
    ["", "encode", "reconstruct", "sample", "morph", "blend", "grid", "neighbours"],
)
def test_help(vae, capfd, command):
    with pytest.raises(SystemExit) as stop:
        vae(*command.split(), "--help")
    assert not stop.value.code
    out = capfd.readouterr().out
    assert "exit codes:" in out
    # The examples of the help are commands that can be read.
    examples = re.findall(r"^  emoji-vae (.+)$", out.split("examples:")[1], flags=re.MULTILINE)
    assert examples
    assert all(line.split()[0] == command for line in examples if command)
    from emoji_vae.cli import _parser

    for line in examples:
        _parser().parse_args(shlex.split(line))


def test_help_loads_nothing_heavy():
    code = (
        "import sys\nfrom emoji_vae.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "print(*{'numpy', 'onnxruntime', 'PIL', 'emoji'} & set(sys.modules), 'end', sep='')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "end"
