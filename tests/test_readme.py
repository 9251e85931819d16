"""What README.md shows is run here as it stands there; `.ci/run` runs its set-up commands."""

import csv
import gzip
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from pipelines.results_page import at, shown

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BINARIES = Path(sys.executable).parent


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)


LINES = [line for block in blocks("sh") for line in block.splitlines()]
COMMANDS = [line for line in LINES if line.startswith(("sqam ", "emoji-vae "))]
# test_cluster.py has a cluster.
COMMANDS = [line for line in COMMANDS if "--cluster" not in line]
PIPELINES = [line.split()[2] for line in LINES if line.startswith("python -m pipelines.")]

# | what | 12.3 ± 0.4 % | `file.json` `key/of/the/figure` |
FIGURE = re.compile(r"^\| (.+) \| (.+?)( %)? \| `(.+\.json)` `(.+)` \|$", flags=re.MULTILINE)

needs_commands = pytest.mark.skipif(
    not (BINARIES / "sqam").exists(), reason="the commands are not installed: pip install -e ."
)


@pytest.fixture
def folder(tmp_path) -> Path:
    """A folder with the files that the commands of the README read."""
    Image.new("RGB", (64, 64), (255, 200, 0)).save(tmp_path / "sun.png")
    Image.new("RGBA", (120, 40), (0, 80, 200, 128)).save(tmp_path / "logo.png")
    text = "Congrats on the new job!\nI am hungry\nlet's play baseball\n"
    (tmp_path / "sentences.txt").write_text(text, encoding="utf-8")
    (tmp_path / "sentences.txt.gz").write_bytes(gzip.compress(text.encode()))
    rows = {"id": ["1", "2", "3"], "body": text.splitlines()}
    with open(tmp_path / "reviews.csv", "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([rows, *zip(*rows.values(), strict=True)])
    if importlib.util.find_spec("pyarrow"):
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.table(rows), tmp_path / "reviews.parquet")
    return tmp_path


def run(line: str, folder: Path) -> str:
    name, *arguments = shlex.split(line, comments=True)
    done = subprocess.run(
        [BINARIES / name, *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@needs_commands
@pytest.mark.parametrize("line", COMMANDS)
def test_command_does_what_it_says(line, folder):
    for word, package in [("parquet", "pyarrow"), (".zst", "backports.zstd")]:
        if word in line:
            pytest.importorskip(package, reason="needs the extra parquet or zstd")
    output = run(line, folder)
    outputs = re.findall(r"--(?:output|save) (\S+)", line)
    assert outputs or output
    for name in outputs:
        assert (folder / name).stat().st_size
        if name.endswith(".png"):
            with Image.open(folder / name) as picture:
                picture.load()
    if "--json" in line:
        found = json.loads(output)
        assert list(found) == ["text", "matches"]
        assert list(found["matches"][0]) == ["emoji", "name", "score"]
    if name := next((name for name in outputs if name.endswith(".jsonl")), None):
        rows = (folder / name).read_text(encoding="utf-8").splitlines()
        assert [len(json.loads(row)["matches"]) for row in rows] == [10, 10, 10]


def test_commands_are_found():
    assert len(COMMANDS) >= 8
    assert {line.split()[0] for line in COMMANDS} == {"sqam", "emoji-vae"}


@needs_commands
def test_five_classes_are_all_that_is_ranked(folder):
    (line,) = (line for line in COMMANDS if "--among" in line)
    matches = json.loads(run(line, folder))["matches"]
    assert sorted(match["emoji"] for match in matches) == sorted(["❤️", "⚾", "😄", "😞", "🍴"])
    scores = [match["score"] for match in matches]
    assert scores == sorted(scores, reverse=True)
    assert all(-1 <= score <= 1 for score in scores)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_runs(block, tmp_path):
    environment = {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", block],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    *_, classes, shape = done.stdout.splitlines()
    assert re.fullmatch(r"\['.+', '.+'\]", classes)
    assert shape == "(1, 20)"


def test_pipelines_are_commands():
    assert PIPELINES
    for module in PIPELINES:
        path = ROOT.joinpath(*module.split(".")).with_suffix(".py")
        assert '__name__ == "__main__"' in path.read_text(encoding="utf-8"), module


def test_set_up_is_two_commands():
    # .ci/run takes them from here.
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv ")]
    assert len(commands) == 2
    assert commands[0].endswith('.venv/bin/sqam rank "Congrats on the new job!"')
    assert commands[1].endswith(" && .venv/bin/python -m pytest -n auto")


def test_files_that_are_named_exist():
    targets = re.findall(r"\]\(([^)#:]+)\)", README)
    assert {"assets/example.png", "assets/README.md", "LICENSE"} <= set(targets)
    assert not [target for target in targets if not (ROOT / target).exists()]


def test_nothing_is_left_to_do():
    assert "TODO" not in README


def test_figures_are_there():
    assert len(FIGURE.findall(README)) >= 6


@pytest.mark.parametrize("row", FIGURE.findall(README), ids=lambda row: row[0])
def test_figure_is_the_one_in_the_results(row):
    _, figure, percent, file, path = row
    found = json.loads((ROOT / "assets" / "results" / file).read_text(encoding="utf-8"))
    decimals = len(figure.partition(" ")[0].partition(".")[2])
    form = f"{decimals}{'%' if percent else ''}"
    assert f"{figure}{percent}" == shown(at(found, path), form)
