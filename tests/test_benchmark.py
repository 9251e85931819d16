"""The benchmark measures what it says; how long things take is no matter of tests."""

import json

import pytest

from pipelines import benchmark


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
    assert "nothing of training" in capsys.readouterr().out


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
