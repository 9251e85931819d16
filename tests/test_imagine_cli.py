"""``sqam imagine`` as people call it, on the models that ship, with a search cut short."""

import functools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import sqam.imagine
from emoji_vae.catalogue import catalogue
from emoji_vae.codec import Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.locations import asset
from sqam.cli import main
from sqam.imagine import ImagineSettings
from sqam.scorer import Scorer

ROOT = Path(__file__).resolve().parent.parent
TEXT = "happy birthday, old friend"


@pytest.fixture
def imagine(capfd, tmp_path, monkeypatch):
    """Run the command in an empty folder: (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    # Some seconds instead of fifteen.
    quick = functools.partial(ImagineSettings, generations=6, population=48, finalists=24)
    monkeypatch.setattr(sqam.imagine, "ImagineSettings", quick)

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["imagine", *arguments])
        return code, *capfd.readouterr()

    return run


@pytest.fixture
def fails(imagine, monkeypatch):
    """Run the command, which must refuse with one line before it searches; return that line."""

    def search(*_arguments, **_options):
        raise AssertionError("searched before all was checked")

    monkeypatch.setattr(sqam.imagine._Search, "run", search)

    def run(*arguments: str) -> str:
        before = sorted(os.listdir())
        code, out, err = imagine(*arguments)
        assert (code, out) == (2, "")
        assert re.fullmatch(r"sqam: error: [^\n]+\n", err), err
        assert len(err) < 1000
        assert sorted(os.listdir()) == before
        return err

    return run


def test_table(imagine):
    code, out, err = imagine(TEXT, "-n", "3", "--output", "out.png")
    assert (code, err) == (0, "")
    header, *rows, last = out.splitlines()
    assert header.split() == ["score", "density", "distance", "nearest", "emoji"]
    found = [
        re.fullmatch(r"  (\d)  +(0\.\d{4})  +(-\d+\.\d\d)  +(\d+\.\d{4})  (\S+)\t(.+)", row)
        for row in rows
    ]
    assert [row[1] for row in found if row] == ["1", "2", "3"]
    scores = [float(row[2]) for row in found if row]
    assert scores == sorted(scores, reverse=True)
    names = {emoji.sequence: emoji.name for emoji in catalogue()}
    assert all(row and names[row[5]] == row[6] for row in found)
    (best,) = Scorer.load().rank([TEXT], EmojiCodes.load(), k=1)[0]
    assert re.fullmatch(rf"best  {best.score:.4f}  of all emojis +{best.emoji}\t{best.name}", last)
    with Image.open("out.png") as picture:
        assert picture.size == (3 * 144, 144)
    assert os.listdir() == ["out.png"]


def test_json(imagine):
    code, out, err = imagine(TEXT, "-n", "2", "--json", "--seed", "4", "--output", "out.npz")
    assert (code, err) == (0, "")
    assert out.count("\n") == 1
    found = json.loads(out)
    assert list(found) == ["text", "model", "seed", "limits", "best_emoji", "drawings"]
    assert (found["text"], found["seed"]) == (TEXT, 4)
    assert found["model"]["folder"] is None
    assert list(found["best_emoji"]) == ["emoji", "name", "score"]
    # The file holds what was scored and shown.
    codes = EmojiCodes.load("out.npz")
    assert codes.pictures is not None
    np.testing.assert_allclose(Codec.load().encode(codes.pictures), codes.codes, atol=1e-4)
    scores = Scorer.load().score([TEXT], codes)[0]
    for name, score, drawing in zip(codes.names, scores, found["drawings"], strict=True):
        assert list(drawing) == ["name", "score", "log_density", "nearest"]
        assert drawing["name"] == name
        assert drawing["score"] == pytest.approx(score, abs=1e-4)
        assert drawing["log_density"] >= found["limits"]["log_density"]
        nearest = drawing["nearest"]
        assert catalogue()[catalogue().index(nearest["emoji"])].name == nearest["name"]
        assert found["limits"]["near"] <= nearest["distance"] <= found["limits"]["far"]


def test_the_picture_is_what_was_scored(imagine):
    _, out, _ = imagine(TEXT, "-n", "1", "--output", "a.png", "--size", "36", "--json")
    (score,) = Scorer.load().score([TEXT], Codec.load().encode_files(["a.png"]))[0]
    # The file has 8 bits a channel.
    assert json.loads(out)["drawings"][0]["score"] == pytest.approx(score, abs=0.02)


def test_equal_commands_write_equal_files(imagine):
    first = imagine(TEXT, "--output", "a.png")
    assert first == imagine(TEXT, "--output", "b.png", "--model", str(asset("models")))
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()
    assert first != imagine(TEXT, "--output", "c.png", "--seed", "1")


def test_background_and_size(imagine):
    code, _, _ = imagine(
        TEXT, "-n", "1", "--output", "a.png", "--size", "20", "--background", "#0000ff"
    )
    assert code == 0
    with Image.open("a.png") as picture:
        assert picture.size == (20, 20)
        assert np.asarray(picture.convert("RGBA"))[..., 3].min() == 255


def test_fewer_are_noted(imagine):
    code, out, err = imagine(TEXT, "-n", "32", "--json", "--output", "a.png")
    assert code == 0
    found = len(json.loads(out)["drawings"])
    assert 1 <= found < 32
    assert re.fullmatch(rf"sqam: note: found {found} of 32 drawings [^\n]+\n", err)


@pytest.mark.parametrize("text", ["love " * 200_000, "lo\x00ve \x1b[31mpizza\x07", "I ❤️ 🍕"])
def test_odd_texts(imagine, text):
    code, out, err = imagine(text, "-n", "1", "--json", "--output", "a.png")
    assert (code, err) == (0, "")
    assert json.loads(out)["text"] == text


def test_a_lone_surrogate(imagine):
    code, out, err = imagine("love \udcff", "-n", "1", "--json", "--output", "a.png")
    assert code == 0
    assert json.loads(out)["text"] == "love \ufffd"
    assert err == (
        "sqam: note: of 1 texts 1 are not valid Unicode; U+FFFD stands for the bad parts\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: TEXT, --output"),
        (["love"], "required: --output"),
        (["love", "you", "--output", "a.png"], "unrecognized arguments: you"),
        (["", "--output", "a.png"], "'' is empty; give some words"),
        ([" \t", "--output", "a.png"], "is empty; give some words"),
        (["zzxqvw", "--output", "a.png"], "knows no word of 'zzxqvw'"),
        (["zzxqvw " * 200_000, "--output", "a.png"], "knows no word of"),
        (["\udcff\x00", "--output", "a.png"], "knows no word of"),
        (["love", "-n", "0", "--output", "a.png"], "'0' is not a whole number of at least 1"),
        (["love", "-n", "33", "--output", "a.png"], "cannot imagine 33 emojis; ask for 1 to 32"),
        (["love", "-n", "x", "--output", "a.png"], "'x' is not a whole number"),
        (["love", "-n", "9" * 3000, "--output", "a.png"], "ask for 1 to 32"),
        (["love", "--seed", "-1", "--output", "a.png"], "-1 is no seed"),
        (["love", "--size", "0", "--output", "a.png"], "0 is no size"),
        (["love", "--size", "4096", "--output", "a.png"], "give a smaller size"),
        (["love", "--background", "blau", "--output", "a.png"], "'blau' is no colour"),
        (["love", "--output", "a.jpg"], "'a.jpg'; name a .png or .npz file"),
        (["love", "--output", ""], "name a .png or .npz file"),
        (["love", "--output", "a.npz", "--size", "9"], "--size and --background are for a .png"),
        (["love", "--output", "a.npz", "--background", "red"], "are for a .png; leave them out"),
        (["love", "--output", "no/a.png"], "cannot write 'no/a.png'"),
        (["love", "--output", "folder.png"], "it is a folder"),
        (["love", "--output", "a" * 300 + ".png"], "File name too long ('aaa"),
        (["love", "--model", "none", "--output", "a.png"], "'none' holds no folder"),
    ],
)
def test_bad_input(fails, arguments, message):
    Path("folder.png").mkdir()
    assert message in fails(*arguments)


def test_an_output_that_is_refused_is_left_as_it_was(fails):
    Path("a.png").write_text("mine")
    fails("zzxqvw", "--output", "a.png")
    assert Path("a.png").read_text() == "mine"


FILES = ["sqam/answer.onnx"]
FILES += [f"vae/{name}" for name in ("decoder.onnx", "encoder.onnx", "prior.npz", "codes.npz")]


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"no model")])
def test_damaged_models(fails, tmp_path_factory, file, damage):
    models = shutil.copytree(asset("models"), tmp_path_factory.mktemp("own") / "models")
    damage(models / file)
    assert Path(file).name in fails(TEXT, "--output", "a.png", "--model", str(models))


def test_help(capfd):
    with pytest.raises(SystemExit) as stop:
        main(["imagine", "--help"])
    assert not stop.value.code
    out = capfd.readouterr().out
    assert 'sqam imagine "happy birthday, old friend" --output birthday.png' in out
    assert "exit codes:" in out


def test_a_wrong_option_loads_nothing_heavy():
    code = (
        "import sys\nfrom sqam.cli import main\nassert main(sys.argv[1:]) == 2\n"
        "print('\\n'.join(name.split('.')[0] for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "imagine", "a", "--output", "a.jpg"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    assert not set(done.stdout.split()) & {"numpy", "onnxruntime", "PIL", "tqdm"}
