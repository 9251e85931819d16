"""The wheel: complete, clean, and enough to rank with where nothing else is installed."""

import json
import os
import re
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
NO_INDEX = re.compile(
    r"NewConnectionError|ConnectTimeout|Read timed out|Name or service not known"
    r"|Temporary failure in name resolution|Connection refused|Network is unreachable"
)


def pip(*arguments: str | Path, python: str | Path = sys.executable) -> None:
    """Run pip; skip the test where no package index answers, fail it on anything else."""
    done = subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        timeout=600,
    )
    if done.returncode and NO_INDEX.search(done.stdout + done.stderr):
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def shipped() -> set[str]:
    """The files of the checkout that belong into the wheel, by their names there."""
    names = set()
    for package in ("emoji_vae", "sqam"):
        for path in (ROOT / package).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                names.add(path.relative_to(ROOT).as_posix())
    assets = ROOT / "assets"
    for name in ("README.md", "catalogue.json", "emojis.csv", "emojis.png", "emojis-64.webp"):
        names.add(f"emoji_vae/assets/{name}")
    for path in (assets / "models").rglob("*"):
        if path.is_file():
            names.add(f"emoji_vae/assets/{path.relative_to(assets).as_posix()}")
    return names


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    # A copy, so that nothing left in a build folder of the checkout can slip in.
    source = tmp_path_factory.mktemp("source")
    for folder in ("emoji_vae", "sqam", "assets", "pipelines", "tests"):
        shutil.copytree(ROOT / folder, source / folder)
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copyfile(ROOT / name, source / name)
    output = tmp_path_factory.mktemp("wheel")
    pip("wheel", "--quiet", "--no-deps", "--wheel-dir", output, source)
    (built,) = output.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """The ``bin`` folder of an empty environment with the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    binaries = folder / "bin"
    pip("install", "--quiet", wheel, python=binaries / "python")
    return binaries


def metadata_folder(wheel: Path) -> str:
    name, version, *_ = wheel.name.split("-")
    return f"{name}-{version}.dist-info"


def run(*command: str | Path, folder: Path) -> str:
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment | {"PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_wheel_holds_all_that_ships_and_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    inside = {name for name in names if not name.startswith(f"{metadata_folder(wheel)}/")}
    assert inside == shipped()
    assert {name.split("/")[0] for name in inside} == {"emoji_vae", "sqam"}


def test_wheel_says_what_it_is(wheel):
    with zipfile.ZipFile(wheel) as archive:
        folder = metadata_folder(wheel)
        metadata = archive.read(f"{folder}/METADATA").decode()
        scripts = archive.read(f"{folder}/entry_points.txt").decode()
        assert any(name.endswith("/LICENSE") for name in archive.namelist())
    assert re.search(r"^Name: emoji-sqam$", metadata, re.MULTILINE)
    assert re.search(r"^Requires-Python: >=3\.11$", metadata, re.MULTILINE)
    base = re.findall(r"^Requires-Dist: ([\w-]+)(?!.*extra ==)", metadata, re.MULTILINE)
    assert {name.lower() for name in base} == {
        "numpy",
        "pillow",
        "emoji",
        "onnxruntime",
        "sentencex",
        "tqdm",
    }
    assert "sqam = sqam.cli:main" in scripts
    assert "emoji-vae = emoji_vae.cli:main" in scripts


def test_installed_wheel_ranks_without_tensorflow(installed, tmp_path):
    ranked = json.loads(run(installed / "sqam", "rank", "good morning", "--json", folder=tmp_path))
    assert ranked["text"] == "good morning"
    assert len(ranked["matches"]) == 10
    code = """
import importlib.util, json, pathlib, emoji_vae
print(json.dumps([pathlib.Path(emoji_vae.__file__).parent.as_posix()] + [
    name for name in ("assets", "pipelines", "tests", "tensorflow", "keras", "pandas")
    if importlib.util.find_spec(name)
]))
"""
    where, *present = json.loads(run(installed / "python", "-c", code, folder=tmp_path))
    assert Path(where).is_relative_to(installed.parent.resolve())
    assert present == []


def test_installed_wheel_explains_what_training_needs(installed, tmp_path):
    done = subprocess.run(
        [installed / "python", "-c", "import emoji_vae.model"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode != 0
    assert "pip install 'emoji-sqam[train]'" in done.stderr
