"""Vectors of texts by MiniLM: what is encoded, and what is kept."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from emoji_vae.errors import InputError, MissingExtraError
from pipelines import minilm
from pipelines.minilm import encode


@pytest.fixture
def encoded(monkeypatch):
    """Have a text encoded as its length, 384 times; the calls are listed."""
    calls = []

    def run(texts, cache):
        calls.append(list(texts))
        return np.repeat([[len(text)] for text in texts], 384, axis=1).astype(np.float16)

    monkeypatch.setattr(minilm, "_encoded", run)
    return calls


def test_only_new_texts_are_encoded(tmp_path, encoded):
    folder = tmp_path / "new" / "work"
    found = encode(["three", "a", "four", "a"], tmp_path, folder)
    assert found.shape == (4, 384) and found.dtype == np.float32
    # In the order they were given, though the short ones are encoded first.
    assert found[:, 0].tolist() == [5, 1, 4, 1]
    assert encoded == [["a", "four", "three"]]
    assert encode(["a", "naïve 😀", "three"], tmp_path, folder)[:, 0].tolist() == [1, 7, 5]
    assert encoded[1:] == [["naïve 😀"]]
    assert encode(["naïve 😀", "four"], tmp_path, folder)[:, 0].tolist() == [7, 4]
    assert len(encoded) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["texts.json", "vectors.npy"]


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def lose_a_row(path: Path) -> None:
    np.save(path, np.load(path, allow_pickle=False)[1:])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("vectors.npy", lose_a_row),
        ("vectors.npy", shorten),
        ("vectors.npy", lambda path: path.write_bytes(b"")),
        ("texts.json", shorten),
        ("texts.json", lambda path: path.write_text('["a"]')),
    ],
)
def test_a_damaged_table_is_an_input_error(tmp_path, encoded, name, damage):
    encode(["a text of some length", "another"], tmp_path, tmp_path)
    damage(tmp_path / name)
    with pytest.raises(InputError, match=rf"{re.escape(str(tmp_path))}.*damaged.*remove it"):
        encode(["another"], tmp_path, tmp_path)


def test_an_encoder_that_is_missing_is_named(tmp_path, monkeypatch, encoded):
    encode(["known"], tmp_path, tmp_path / "work")
    monkeypatch.undo()
    # A module that is None in sys.modules counts as not installed.
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    with pytest.raises(InputError, match="a process that does not load TensorFlow"):
        encode(["known", "new"], tmp_path, tmp_path / "work")  # PyTorch would end the process
    monkeypatch.delitem(sys.modules, "tensorflow")
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'emoji-sqam[teacher]'")):
        encode(["known", "new"], tmp_path, tmp_path / "work")
    # What was encoded elsewhere needs no encoder.
    assert encode(["known"], tmp_path, tmp_path / "work")[0, 0] == 5
