"""The command ``emoji-vae`` as people call it, on the model that ships."""

import csv
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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


@pytest.mark.parametrize("command", [[], ["encode"], ["sample"], ["morph"], ["neighbours"]])
def test_help(vae, capfd, command):
    with pytest.raises(SystemExit) as stop:
        vae(*command, "--help")
    assert not stop.value.code
    out = capfd.readouterr().out
    assert "examples:" in out
    assert "exit codes:" in out


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
