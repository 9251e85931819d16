"""The command ``sqam`` as people call it, on the models that ship."""

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emoji_vae import __version__
from emoji_vae.catalogue import catalogue
from emoji_vae.locations import asset
from sqam import cli, processes

ROOT = Path(__file__).resolve().parent.parent
FIVE = ["❤️", "⚾", "😄", "😞", "🍴"]


@pytest.fixture
def fails(sqam):
    """Run the command, which must refuse with one line; return that line."""

    def run(*arguments: str) -> str:
        code, out, err = sqam(*arguments)
        assert (code, out) == (2, "")
        assert re.fullmatch(r"sqam: error: [^\n]+\n", err), err
        assert len(err) < 1000
        return err

    return run


def process(*arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "sqam.cli", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that starts the tests in the background lets its jobs ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        **options,
    )


def picture(path: str, color=(255, 200, 0)) -> str:
    Image.new("RGB", (50, 40), color).save(path)
    return path


# What it does


def test_table(sqam):
    code, out, err = sqam("rank", "Congrats on the new job!")
    assert (code, err) == (0, "")
    rows = [
        re.fullmatch(r" *(\d+)  +(-?\d\.\d{4})  (\S+)\t(.+)", line) for line in out.splitlines()
    ]
    assert [int(row[1]) for row in rows if row] == list(range(1, 11))
    names = {emoji.sequence: emoji.name for emoji in catalogue()}
    assert all(row and names[row[3]] == row[4] for row in rows)


def test_json_object(sqam):
    code, out, _ = sqam("rank", "let's play", "--among", *FIVE, "--json")
    assert code == 0
    found = json.loads(out)
    assert list(found) == ["text", "matches"]
    assert found["text"] == "let's play"
    assert sorted(match["emoji"] for match in found["matches"]) == sorted(FIVE)
    assert [list(match) for match in found["matches"]] == [["emoji", "name", "score"]] * 5
    scores = [match["score"] for match in found["matches"]]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 and score == round(score, 4) for score in scores)
    assert "❤️" in out  # not escaped


def test_several_texts(sqam):
    _, first, _ = sqam("rank", "I love you", "--json", "-k", "3")
    _, second, _ = sqam("rank", "pizza", "--json", "-k", "3")
    _, both, _ = sqam("rank", "I love you", "pizza", "--json", "-k", "3")
    assert both == first + second
    _, table, _ = sqam("rank", "I love you", "pizza", "-k", "1")
    assert [line[:10] for line in table.splitlines()][::3] == ["I love you", "pizza"]


def test_a_file_gives_the_same_objects(sqam):
    texts = ["I love you", "let's play baseball", "pizza"]
    Path("in.txt").write_text("\n".join(texts), encoding="utf-8")
    _, expected, _ = sqam("rank", *texts, "--json", "-k", "4")
    assert sqam("rank", "--input", "in.txt", "-k", "4") == (0, expected, "")
    assert sqam("rank", "--input", "in.txt", "--output", "-", "-k", "4") == (0, expected, "")
    assert sqam("rank", "--input", "in.txt", "--output", "out.jsonl", "-k", "4") == (0, "", "")
    assert Path("out.jsonl").read_text(encoding="utf-8") == expected
    assert sqam("rank", "--input", "out.jsonl", "--output", "out.csv", "-k", "4") == (0, "", "")
    lines = Path("out.csv").read_text(encoding="utf-8").splitlines()
    assert (lines[0], len(lines)) == ("text,rank,emoji,name,score", 1 + 3 * 4)
    sqam("rank", "--input", "out.csv", "--output", "again.jsonl", "-k", "4")
    # One row a match, so each text comes four times.
    assert Path("again.jsonl").read_text(encoding="utf-8").splitlines() == [
        line for line in expected.splitlines() for _ in range(4)
    ]


def test_every_candidate_once_when_k_is_large(sqam):
    _, out, _ = sqam("rank", "pizza", "--json", "-k", "1" + "0" * 30)
    found = [match["emoji"] for match in json.loads(out)["matches"]]
    assert sorted(found) == sorted(emoji.sequence for emoji in catalogue())


def test_ties_keep_the_order_that_was_given(sqam):
    for among in (["👍🏽", "👍", "👍🏻"], ["👍🏻", "👍🏽", "👍"]):
        _, out, _ = sqam("rank", "good work", "--json", "--among", *among)
        matches = json.loads(out)["matches"]
        assert len({match["score"] for match in matches}) == 1
        assert [match["emoji"] for match in matches] == among


def test_pictures(sqam):
    code, out, err = sqam(
        "rank",
        "good morning",
        "--json",
        "--pictures",
        picture("sun.png"),
        picture("sea.png", "blue"),
    )
    assert (code, err) == (0, "")
    assert sorted(match["emoji"] for match in json.loads(out)["matches"]) == ["sea.png", "sun.png"]
    _, table, _ = sqam("rank", "good morning", "--pictures", "sun.png")
    assert re.fullmatch(r"  1  .{7}  sun\.png\n", table)


def test_pictures_of_emojis_score_like_the_emojis(sqam):
    # One scoring path: a picture from the sheet is that emoji.
    from emoji_vae import images

    pizza = catalogue().index("🍕")
    images.write("pizza.png", images.sheet()[pizza])
    _, picked, _ = sqam("rank", "pizza", "--json", "--among", "🍕")
    _, drawn, _ = sqam("rank", "pizza", "--json", "--pictures", "pizza.png")
    scores = [json.loads(out)["matches"][0]["score"] for out in (picked, drawn)]
    assert scores[0] == pytest.approx(scores[1], abs=0.02)


def test_generated(sqam):
    arguments = ["rank", "good morning", "--generated", "12", "--json"]
    code, out, err = sqam(*arguments, "--seed", "7", "--save", "best.png")
    assert (code, err) == (0, "")
    assert len(json.loads(out)["matches"]) == 10
    with Image.open("best.png") as best:
        assert best.size == (144, 144)
    assert sqam(*arguments, "--seed", "7", "--save", "small.png", "--size", "36")[1] == out
    with Image.open("small.png") as small:
        assert small.size == (36, 36)
    assert sqam(*arguments, "--seed", "8")[1] != out
    assert sqam(*arguments)[1] == sqam(*arguments, "--seed", "0")[1]
    assert sorted(os.listdir()) == ["best.png", "small.png"]


def test_the_best_picture_is_what_was_scored(sqam):
    _, out, _ = sqam(
        "rank", "sun", "--generated", "9", "--save", "best.png", "--size", "36", "--json"
    )
    _, again, _ = sqam("rank", "sun", "--pictures", "best.png", "--json")
    first, saved = (json.loads(text)["matches"][0]["score"] for text in (out, again))
    assert first == pytest.approx(saved, abs=0.02)  # the file has 8 bits a channel


def test_own_models(sqam):
    expected = sqam("rank", "pizza")
    assert sqam("rank", "pizza", "--model", str(asset("models"))) == expected


# Help, version, imports


@pytest.mark.parametrize("arguments", [["--help"], ["rank", "--help"]])
def test_help(sqam, capfd, arguments):
    with pytest.raises(SystemExit) as stop:
        sqam(*arguments)
    assert not stop.value.code
    out = capfd.readouterr().out
    assert "examples:" in out
    assert "exit codes:" in out
    assert 'sqam rank "good morning" --generated 100 --seed 7 --save best.png' in out


def test_version(sqam, capfd):
    with pytest.raises(SystemExit) as stop:
        sqam("--version")
    assert not stop.value.code
    assert capfd.readouterr().out == f"sqam {__version__}\n"


def loaded_by(*arguments: str) -> set[str]:
    code = (
        "import sys\nfrom sqam.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('\\n' + ' '.join({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return set(done.stdout.splitlines()[-1].split())


def test_help_loads_nothing_heavy():
    heavy = {"numpy", "onnxruntime", "PIL", "tqdm", "emoji", "importlib_metadata"}
    assert not loaded_by("--help") & heavy
    assert not loaded_by("rank", "a", "-k", "0") & heavy


def test_ranking_loads_no_training_package():
    loaded = loaded_by("rank", "I love you")
    assert "onnxruntime" in loaded
    assert not loaded & {"tensorflow", "keras", "pandas", "tqdm", "PIL", "torch", "jax"}


# Bad options


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND; see sqam --help"),
        (["rnak", "a"], "invalid choice: 'rnak'"),
        (["rank"], "nothing to rank for"),
        (["rank", "--among", "😄", "a"], "'a' is no emoji|nothing to rank for"),
        (["rank", "a", "-k", "0"], "'0' is not a whole number of at least 1"),
        (["rank", "a", "-k", "-3"], "'-3' is not a whole number|expected one argument"),
        (["rank", "a", "-k", "ten"], "'ten' is not a whole number"),
        (["rank", "a", "-k", "9" * 5000], "is not a whole number"),
        (["rank", "a", "--jso"], "unrecognized arguments: --jso"),
        (["rank", "a", "--among"], "expected at least one argument"),
        (["rank", "a", "--among", "x"], "'x' is no emoji"),
        (["rank", "a", "--among", "😄😄"], "is no emoji"),
        (["rank", "a", "--among", "😄", ""], "is no emoji"),
        (["rank", "a", "--among", "\udcff"], "is no emoji"),
        (["rank", "a", "--among", "😄", "--pictures", "a.png"], "not allowed with"),
        (["rank", "a", "--among", "😄", "--generated", "3"], "not allowed with"),
        (["rank", "a", "--pictures", "a.png", "--generated", "3"], "not allowed with"),
        (["rank", "a", "--seed", "1"], "--seed is for --generated"),
        (["rank", "a", "--seed", "0"], "--seed is for --generated"),
        (["rank", "a", "--save", "a.png"], "--save is for --generated"),
        (["rank", "a", "--generated", "3", "--size", "9"], "--size is for --save"),
        (["rank", "a", "--generated", "0"], "0"),
        (["rank", "a", "--generated", "-1"], "-1"),
        (["rank", "a", "--generated", "1" + "0" * 30], "1000"),
        (["rank", "a", "--generated", "3", "--seed", "-1"], "-1"),
        (["rank", "love", "--generated", "3", "--save", "a.jpg"], "PNG"),
        (["rank", "love", "--generated", "3", "--save", "no/a.png"], "no/a.png"),
        (["rank", "love", "--generated", "3", "--save", "a.png", "--size", "0"], "0"),
        (["rank", "a", "--input", "in.txt"], "both a TEXT .* and --input"),
        (["rank", "a", "--output", "a.csv"], "--output is for --input"),
        (["rank", "a", "--column", "c"], "--column is for --input"),
        (["rank", "a", "--resume"], "--resume is for --input"),
        (["rank", "a", "--keep", "id"], "--keep is for --input"),
        (["rank", "--input", "in.txt", "--keep", "id"], "lines of text have no column 'id'"),
        (["rank", "--input", "in.csv", "--keep", "x"], "no column 'x'; name one with --keep"),
        (["rank", "--input", "in.csv", "--keep", "text", "id", "id"], "'id' twice"),
        (["rank", "--input", "in.csv", "--keep", "text"], "has a column 'text' of its own"),
        (["rank", "--input", "in.csv", "--output", "a.csv.zip"], "cannot tell how to write"),
        (["rank", "a", "--shards", "csv"], "--shards is for --cluster"),
        (["rank", "a", "--workers", "2"], "--workers is for --input"),
        (["rank", "--input", "in.csv", "--workers", "2"], "--workers is for files"),
        (["rank", "--input", "-", "--output", "o.csv", "--workers", "2"], "--workers is for files"),
        (["rank", "--input", "in.csv", "--timeout", "0"], "'0' is not a whole number"),
        (["rank", "a", "--cluster", "auto"], "--cluster is for files; name them with --input"),
        (["rank", "--input", "in.csv", "--cluster", "auto"], "a folder as --output"),
        (["rank", "--cluster", "auto", "--output", "out"], "name them with --input"),
        (
            ["rank", "--input", "in.csv", "--output", "o", "--cluster", "auto", "--resume"],
            "--resume is not for --cluster, where the same command makes what is missing",
        ),
        (
            ["rank", "--input", "in.csv", "--output", "o", "--cluster", "x", "--shards", "xml"],
            "shards cannot be 'xml'",
        ),
        (["rank", "--input", "none.txt"], "there is no file 'none.txt'"),
        (["rank", "--input", "in.txt", "--output", "in.csv"], "'in.csv' is there already"),
        (["rank", "--input", "in.txt", "--output", "no/a.csv"], "cannot write 'no/a.csv.part'"),
        (["rank", "--input", "in.csv", "--column", "c"], "no column 'c'; .* it has: 'id', 'text'"),
        (["rank", "--input", "-", "--generated", "3", "--save", "a.png"], "--save is for a TEXT"),
        (["rank", "a", "--model", "none"], "'none' holds no folder"),
    ],
)
def test_bad_options(fails, arguments, message):
    Path("in.txt").write_text("a\n")
    Path("in.csv").write_text("id,text\n1,a\n")
    assert re.search(message, fails(*arguments))
    assert sorted(os.listdir()) == ["in.csv", "in.txt"]


# Odd texts


@pytest.mark.parametrize("text", ["", "   ", "\n\t", "\u200b"])
def test_empty_text(fails, text):
    assert "some words" in fails("rank", text) or text == "\u200b"


@pytest.mark.parametrize("text", ["zzxqvw", "zzxqvw " * 200_000, "\x00\x01", "\udcff\udcfe"])
def test_no_known_word(fails, text):
    assert "knows no word of" in fails("rank", text)


def test_one_bad_text_among_several(fails):
    assert "'zzxqvw'" in fails("rank", "I love you", "zzxqvw", "--json")


@pytest.mark.parametrize(
    "text",
    [
        "love " * 200_000,  # 1 MB
        "lo\x00ve \x1b[31mpizza\x07 you",
        "I ❤️ you 👩‍👩‍👧 🏳️‍🌈 1️⃣",
        "I LOVE YOU!!!",
        "\u202epizza \u200b\ufeff love",
    ],
)
def test_odd_texts_are_ranked(sqam, text):
    code, out, err = sqam("rank", text, "--json", "-k", "2")
    assert (code, err) == (0, "")
    assert json.loads(out)["text"] == text
    assert len(json.loads(out)["matches"]) == 2


def test_tables_show_no_control_characters(sqam):
    picture("a\x1b[31m\n.png")
    _, out, _ = sqam("rank", "I love you\x1b[31m", "pizza", "--pictures", "a\x1b[31m\n.png")
    assert "\x1b" not in out
    assert out.count("\n") == 5


def test_a_lone_surrogate_in_a_text(sqam):
    code, out, err = sqam("rank", "love \udcff", "--json")
    assert code == 0
    assert json.loads(out)["text"] == "love \ufffd"
    assert err == (
        "sqam: note: of 1 texts 1 are not valid Unicode; U+FFFD stands for the bad parts\n"
    )


def test_a_file_of_odd_lines(sqam):
    Path("in.txt").write_bytes(b"love\n\nzzxqvw\n\xff pizza\n\x00\n" + b"pizza " * 200_000)
    code, out, err = sqam("rank", "--input", "in.txt", "-k", "1")
    assert code == 0
    found = [json.loads(line) for line in out.splitlines()]
    assert [len(result["matches"]) for result in found] == [1, 0, 0, 1, 0, 1]
    assert err.startswith("sqam: note: of 6 texts 3 have no word that the model knows")
    assert err.count("\n") == 1


# Odd pictures


def bomb(path: Path) -> None:
    """A PNG of a few hundred bytes that says it has 10 thousand million pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 6, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + data)


def truncated(path: Path) -> None:
    Image.effect_noise((200, 200), 90).save(path)
    path.write_bytes(path.read_bytes()[:5000])


PICTURES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: None,
    "folder": Path.mkdir,
    "empty": Path.touch,
    "text": lambda path: path.write_text("no picture"),
    "truncated": truncated,
    "huge": bomb,
}


@pytest.mark.parametrize("kind", PICTURES)
def test_bad_picture(fails, kind):
    PICTURES[kind](Path("bad.png"))
    picture("fine.png")
    assert "bad.png" in fails("rank", "hello", "--pictures", "fine.png", "bad.png")


# Damaged and foreign models


@pytest.fixture
def models(tmp_path_factory) -> Path:
    return shutil.copytree(asset("models"), tmp_path_factory.mktemp("own") / "models")


def change_codes(models: Path, change) -> None:
    path = models / "vae" / "codes.npz"
    with np.load(path, allow_pickle=False) as file:
        arrays = dict(file)
    (key,) = (key for key, array in arrays.items() if array.dtype == np.float32 and array.ndim == 2)
    arrays[key] = change(arrays[key])
    np.savez(path, **arrays)


def one_nan(codes: np.ndarray) -> np.ndarray:
    codes = codes.copy()
    codes[3, 5] = np.nan
    return codes


@pytest.mark.parametrize(
    "change",
    [one_nan, lambda codes: codes * np.inf, lambda codes: codes[:5], lambda codes: codes[0]],
)
def test_spoilt_codes(fails, models, change):
    change_codes(models, change)
    fails("rank", "hello", "--model", str(models))


def test_codes_of_another_size(fails, models):
    change_codes(models, lambda codes: codes[:, :7])
    fails("rank", "hello", "--model", str(models))


FILES = sorted(
    path.relative_to(asset("models"))
    for path in asset("models").rglob("*")
    if path.suffix in {".onnx", ".npz", ".npy", ".txt", ".json"}
)


def candidates_for(file: Path) -> list[str]:
    """Options that need the file."""
    if file.name == "encoder.onnx":
        return ["--pictures", picture("sun.png")]
    return ["--generated", "3"] if file.parts[0] == "vae" and file.name != "codes.npz" else []


@pytest.mark.parametrize("file", FILES, ids=str)
@pytest.mark.parametrize("content", [b"", b"no model", b"\x80\x04K\x01.", None])
def test_damaged_model_file(fails, models, file, content):
    path = models / file
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] if content is None else content)
    fails("rank", "hello", "--model", str(models), *candidates_for(file))


@pytest.mark.parametrize("file", FILES, ids=str)
def test_missing_model_file(fails, models, file):
    (models / file).unlink()
    fails("rank", "hello", "--model", str(models), *candidates_for(file))


def test_foreign_model_file(fails, models):
    shutil.copy(models / "vae" / "decoder.onnx", models / "sqam" / "question.onnx")
    fails("rank", "hello", "--model", str(models))
    shutil.copy(models / "vae" / "encoder.onnx", models / "vae" / "decoder.onnx")
    fails("rank", "hello", "--model", str(models), "--generated", "3")


def test_a_file_as_model(fails, models):
    fails("rank", "hello", "--model", str(models / "vae" / "codes.npz"))


# Signals, pipes and interruptions


LINES = [f"good morning number {i} 😄\n".encode() for i in range(6_000)]


def test_broken_pipe():
    with process("rank", "--input", "-") as running:
        assert running.stdin and running.stdout and running.stderr
        # Few enough that the pipe takes them all, enough that the results do not fit into one.
        running.stdin.writelines(LINES[:1500])
        running.stdin.close()
        assert json.loads(running.stdout.readline())["matches"]
        running.stdout.close()
        assert running.stderr.read() == b""
    assert running.returncode == 141


def test_interrupted_by_the_keyboard():
    with process("rank", "--input", "-") as running:
        assert running.stdin and running.stdout and running.stderr
        running.stdin.writelines(LINES[:1100])
        running.stdin.flush()
        running.stdout.readline()
        running.send_signal(signal.SIGINT)
        _, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (130, b"")


def test_killed_and_resumed(sqam):
    Path("in.txt").write_bytes(b"".join(LINES))
    assert sqam("rank", "--input", "in.txt", "--output", "whole.jsonl", "-k", "3")[0] == 0
    part = Path("out.jsonl.part")
    with process("rank", "--input", "-", "--output", "out.jsonl", "-k", "3") as running:
        assert running.stdin
        running.stdin.writelines(LINES[:3000])  # and leaves it waiting for more
        running.stdin.flush()
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 100_000):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        running.kill()
    assert not Path("out.jsonl").exists()
    resume = ["rank", "--input", "in.txt", "--output", "out.jsonl", "--resume"]
    assert sqam(*resume, "-k", "4")[0] == 2  # other options
    assert sqam(*resume, "-k", "3")[0] == 0

    def content(name: str) -> list[tuple[str, list[str]]]:
        found = [json.loads(line) for line in Path(name).read_bytes().splitlines()]
        return [(one["text"], [match["emoji"] for match in one["matches"]]) for one in found]

    assert content("out.jsonl") == content("whole.jsonl")
    assert sorted(os.listdir()) == ["in.txt", "out.jsonl", "whole.jsonl"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_disk_full():
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "sqam.cli", "rank", "hello"],
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=full,
            stderr=subprocess.PIPE,
        )
    assert done.returncode == 2
    assert done.stderr == b"sqam: error: No space left on device\n"


def test_output_is_utf8_whatever_the_locale():
    done = subprocess.run(
        [sys.executable, "-m", "sqam.cli", "rank", "pizza", "--among", "🍕"],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=True,
    )
    assert "🍕" in done.stdout.decode()


@pytest.mark.parametrize("command", ["rank", "emojify"])
def test_several_cores_change_no_byte(sqam, monkeypatch, command):
    used = []

    def noted(work, chunks, workers):
        used.append(workers)
        return in_order(work, chunks, workers)

    in_order = processes.in_order
    monkeypatch.setattr(processes, "in_order", noted)
    monkeypatch.setattr(cli, "_WORTH_WORKERS", 10_000)
    lines = LINES[:2100]
    Path("in.txt").write_bytes(b"".join(lines))
    Path("few.txt").write_bytes(b"".join(lines[:9]))
    found = {}
    for cores in (1, 3):
        there = set(range(cores))
        monkeypatch.setattr(os, "sched_getaffinity", lambda process: there, raising=False)  # noqa: B023
        for name in ("in.txt", "few.txt"):
            made = Path(f"{name}-{cores}.jsonl")
            assert sqam(command, "--input", name, "--output", str(made))[0] == 0
            found[name, cores] = made.read_bytes()
    assert used == [3]  # where there are several, for the file that is worth it
    assert found["in.txt", 3] == found["in.txt", 1]
    assert found["few.txt", 3] == found["few.txt", 1]
    # From a pipe or to one there is one process.
    code, out, _ = sqam(command, "--input", "in.txt", *(["--json"] if command == "emojify" else []))
    assert (code, used) == (0, [3]) and out.encode() == found["in.txt", 1]
