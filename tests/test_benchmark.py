"""The benchmark measures what it says; how long things take is no matter of tests."""

import ctypes
import errno
import json
import mmap
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emoji_vae.errors import InputError, MissingExtraError
from emoji_vae.locations import asset
from pipelines import benchmark

ROOT = Path(__file__).resolve().parent.parent
needs_linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux alone")


def test_results(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(benchmark, "TEXTS", 5)
    path = tmp_path / "benchmark.json"
    assert benchmark.main(["--runs", "2", "--results", str(path)]) == 0
    found = json.loads(path.read_text("utf-8"))
    for figure in found["cold start"].values():
        assert 0 < figure["least"] <= figure["median"] <= figure["most"]
    open_ = found["milliseconds a text, model open, one core"]
    assert 0 < open_["median"] <= open_["99 %"] and found["texts"] == 5
    assert found["runs"] == 2 and found["training packages loaded"] == []
    sizes = found["bytes"]
    assert sizes["all"] == sum(size for name, size in sizes.items() if name != "all") < 10_000_000
    assert "sqam/question.onnx" in sizes and "vae/codes.npz" in sizes
    output = capsys.readouterr().out
    assert "nothing of training" in output
    by_numpy = found["NumPy alone"]
    assert by_numpy["bytes of weights"] > 1_000_000 and "cold start" in by_numpy
    for part in (found, by_numpy):
        disk = part["cold start, cold disk"]
        if "left out" in disk:  # whatever this machine's disk is
            assert disk["left out"] in output
            continue
        assert disk["runs"] == 2 and disk["files"] > 50
        # More than the files hold cannot stay, but for the ends of their last pages.
        most = disk["megabytes of files"] + disk["files"] * mmap.PAGESIZE / 1e6
        assert 0 <= disk["megabytes that stayed"]["most"] <= most
        assert 0 < disk["megabytes read"]["least"] <= disk["megabytes read"]["median"]
        assert set(disk["seconds"]) == set(disk["megabytes"]) == {"median", "least", "most"}
    # The weights went again.
    assert [file.name for file in tmp_path.iterdir()] == ["benchmark.json"]


def test_nothing_that_the_command_loads_is_mapped_by_the_benchmark():
    code = "import sys, pipelines.benchmark; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert not {"numpy", "onnxruntime", "sqam.scorer"} & set(done.stdout.split())


@needs_linux
def test_files_of_the_command():
    files = benchmark.files_of(benchmark.COMMAND)
    assert len(files) == len(set(files)) and all(file.is_file() for file in files)
    models = {file for file in files if file.is_relative_to(asset("models").resolve())}
    # What ranking reads of the models, and nothing that it does not.
    assert {file.name for file in models} == {
        "answer.onnx", "config.json", "embedding.npy", "question.onnx", "scales.npy",
        "vocabulary.txt", "codes.npz",
    }  # fmt: skip
    names = [file.as_posix() for file in files]
    for part in ("onnxruntime/", "numpy/", "sqam/scorer.", "emojis.csv", "libc.", "encodings/"):
        assert any(part in name for name in names), part
    assert not any(name.startswith(("/proc/", "/sys/", "/dev/")) for name in names)


@needs_linux
def test_what_is_dropped_leaves_memory(tmp_path):
    path, empty = tmp_path / "file", tmp_path / "empty"
    path.write_bytes(os.urandom(24 * mmap.PAGESIZE + 1))  # 25 pages, the last of them all but empty
    empty.touch()
    assert (benchmark.held(path), benchmark.held(empty)) == (25 * mmap.PAGESIZE, 0)
    written = path.read_bytes()
    benchmark.drop([path, empty])
    kind = subprocess.run(
        ["stat", "-f", "-c", "%T", path], capture_output=True, text=True, check=True
    ).stdout.strip()
    # What is on a disk that is memory itself has nowhere to go.
    left = 25 * mmap.PAGESIZE if kind in ("tmpfs", "ramfs") else 0
    assert (benchmark.held(path), benchmark.held(empty)) == (left, 0)
    assert path.read_bytes() == written


@needs_linux
def test_a_system_that_does_not_tell_what_it_holds(monkeypatch, tmp_path):
    class Library:
        def __init__(self, *_, **__):
            ctypes.set_errno(errno.ENOSYS)

        def mincore(self, *_):
            return -1

    monkeypatch.setattr(ctypes, "CDLL", Library)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(OSError) as error:
        benchmark.held(tmp_path / "file")
    assert error.value.errno == errno.ENOSYS and error.value.filename == str(tmp_path / "file")


def test_a_cold_disk_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setattr(benchmark, "_MAPS", tmp_path / "none")
    with pytest.raises(benchmark.ColdDiskError, match="Linux alone"):
        benchmark.files_of(benchmark.COMMAND)
    found = benchmark.starts(("-c", "pass"), 1)
    assert set(found["cold start"]) == {"seconds", "megabytes"}
    assert list(found["cold start, cold disk"]) == ["left out"]
    assert "Linux alone" in found["cold start, cold disk"]["left out"]


def test_without_a_way_to_drop_files(monkeypatch):
    monkeypatch.delattr(os, "posix_fadvise", raising=False)
    with pytest.raises(benchmark.ColdDiskError, match="Linux alone"):
        benchmark.files_of(benchmark.COMMAND)


@needs_linux
def test_a_disk_that_stays_warm_is_told(monkeypatch):
    # Nothing is dropped, and the run before has read all there is.
    benchmark.cold(("-c", "pass"), 1)
    with pytest.raises(benchmark.ColdDiskError, match="nothing was read from the disk"):
        benchmark.cold(("-c", "pass"), 1, [])
    monkeypatch.setattr(benchmark, "files_of", lambda command: [])
    found = benchmark.starts(("-c", "pass"), 1)
    assert "nothing was read" in found["cold start, cold disk"]["left out"]


def test_fewer_runs_with_a_cold_disk(monkeypatch):
    counted = []

    def cold(command, runs, files=None):
        counted.append((runs, files))
        return {}

    monkeypatch.setattr(benchmark, "cold", cold)
    monkeypatch.setattr(benchmark, "files_of", lambda command: [])
    assert benchmark.starts(("-c", "pass"), 20)["cold start, cold disk"]["runs"] == 7
    assert counted == [(20, None), (7, [])]


def test_without_onnx_numpy_is_left_out(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "sqam.export", raising=False)
    with pytest.raises(MissingExtraError, match="pip install"):
        benchmark.write_weights(tmp_path / "weights.npz")
    # In this process, where ONNX cannot be imported.
    monkeypatch.setattr(benchmark, "apart", lambda work, *arguments: work(*arguments))
    found = benchmark.by_numpy(1, tmp_path)
    assert list(found) == ["left out"] and "pip install" in found["left out"]
    assert list(tmp_path.iterdir()) == []
    benchmark.show("NumPy, ", found)
    assert capsys.readouterr().out == f"NumPy, left out: {found['left out']}\n"


@pytest.fixture
def model(tmp_path):
    """A copy of the model that ships, to be changed."""
    return Path(shutil.copytree(asset("models", "sqam"), tmp_path / "model"))


@pytest.mark.parametrize("change", ["mask", "tokenizer", "LSTM", "Relu"])
def test_weights_of_a_model_of_another_form(change, model, monkeypatch, tmp_path):
    from sqam import export

    config = json.loads((model / "config.json").read_text("utf-8"))
    if change == "mask":
        config["settings"]["mask"] = False
    elif change == "tokenizer":
        config["tokenizer"] = {"emojis": "kept"}
    else:  # one more such layer
        nodes = export.network_constants(model / "question.onnx")
        nodes[change].append(nodes[change][0])
        monkeypatch.setattr(export, "network_constants", lambda path: nodes)
    (model / "config.json").write_text(json.dumps(config), "utf-8")
    path = tmp_path / "weights.npz"
    with pytest.raises(InputError, match=r"model.*of another form"):
        benchmark.write_weights(path, model)
    assert not path.exists()
    # The rest is measured all the same.
    monkeypatch.setattr(benchmark, "apart", lambda work, path: work(path, model))
    found = benchmark.by_numpy(1, tmp_path)
    assert list(found) == ["left out"] and "of another form" in found["left out"]


def test_weights_hold_the_network_as_it_is(tmp_path):
    path = tmp_path / "weights.npz"
    benchmark.apart(benchmark.write_weights, path)
    with np.load(path, allow_pickle=False) as arrays:
        units = arrays["recurrent"].shape[-1]
        assert arrays["weights"].shape[:2] == (2, 4 * units)
        assert arrays["biases"].shape == (2, 4 * units)
        assert arrays["attention"].shape == (2 * units, 1)
        lengths = np.linalg.norm(arrays["answers"], axis=1)
    np.testing.assert_allclose(lengths, 1, atol=1e-5)


def test_loaded_finds_what_is_loaded(monkeypatch):
    monkeypatch.setattr(benchmark, "TRAINING", ("tensorflow", "numpy"))
    assert benchmark.loaded() == ["numpy"]


def test_a_command_that_fails_is_told(monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(benchmark, "COMMAND", ("-m", "sqam.cli", "rank", ""))
    assert benchmark.main(["--results", str(tmp_path / "b.json")]) == 2
    assert "exited with 2" in capfd.readouterr().err and not (tmp_path / "b.json").exists()


@pytest.mark.parametrize("runs", ["0", "-3"])
def test_no_runs(runs, capsys):
    assert benchmark.main(["--runs", runs]) == 2
    assert runs in capsys.readouterr().err
