"""Exporting again gives what has been added since, and changes no weight."""

import json
import shutil

import onnx
import pytest

pytest.importorskip("keras", reason="needs the extra train")

from pipelines import export_again
from sqam.encoder import Encoder


def test_an_older_model_gains_its_features(tiny, tmp_path, monkeypatch, capsys):
    folder = shutil.copytree(tiny["folder"], tmp_path / "older")
    graph = onnx.load(folder / "question.onnx")
    del graph.graph.output[1:]
    (folder / "question.onnx").write_bytes(graph.SerializeToString())
    tiny["codes"].save(tmp_path / "codes.npz")
    # `export` compares on a thousand texts; ten words make some, again and again.
    monkeypatch.setattr(export_again, "sample", lambda words: tiny["sentences"])
    command = ["--model", str(folder), "--codes", str(tmp_path / "codes.npz")]
    assert export_again.main(command) == 0
    assert str(folder) in capsys.readouterr().out
    assert Encoder.load(folder).encode(["i love pizza"]).any()
    for path in tiny["folder"].iterdir():
        if path.suffix == ".json":
            assert json.loads(path.read_text()) == json.loads((folder / path.name).read_text())
        else:
            assert path.read_bytes() == (folder / path.name).read_bytes(), path.name
    assert export_again.main([*command[:1], str(tmp_path / "none"), *command[2:]]) == 2
    assert "none" in capsys.readouterr().err
