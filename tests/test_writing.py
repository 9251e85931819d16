"""Files of results; `test_job.py` and `test_parquet.py` look at what is in them."""

import json
import os
from typing import Any

import pytest
from conftest import CANDIDATES, LengthScorer

from emoji_vae.errors import InputError
from sqam import writing
from sqam.bulk import Ranking, Tally
from sqam.emojify import Emojifying
from sqam.reading import Record


@pytest.fixture
def task():
    scorer: Any = LengthScorer()
    candidates: Any = CANDIDATES
    return Ranking(scorer, candidates, 1)


def lines(*texts: str) -> list[bytes]:
    found = [
        {"text": text, "matches": [{"emoji": "⚾", "name": "x", "score": 0.5}]} for text in texts
    ]
    return [json.dumps(one).encode() + b"\n" for one in found]


@pytest.mark.parametrize("name", ["o.csv", "o.jsonl", "o.jsonl.gz", "o.csv.xz", "o.parquet"])
@pytest.mark.parametrize("error", [OSError(28, "No space left"), KeyboardInterrupt()])
def test_half_a_file_never_has_its_name(tmp_path, task, name, error):
    if name == "o.parquet":
        pytest.importorskip("pyarrow", reason="needs the extra parquet")

    def failing():
        yield from lines("a") * 5000
        assert any(there != name for there in os.listdir(tmp_path))  # it is being written
        raise error

    with pytest.raises(type(error)):
        writing.write(tmp_path / name, failing(), task, {})
    assert os.listdir(tmp_path) == []
    writing.write(tmp_path / name, iter(lines("a")), task, {})
    assert os.listdir(tmp_path) == [name]
    before = (tmp_path / name).read_bytes()
    with pytest.raises(type(error)):
        writing.write(tmp_path / name, failing(), task, {})
    assert (tmp_path / name).read_bytes() == before


def test_names_that_are_taken():
    for name in ("o.jsonl", "o.parquet", ""):
        writing.check_kept(name, ("id", "rank", "emojified"), Ranking.made, Ranking.header)
        with pytest.raises(InputError, match="a column 'matches' of its own"):
            writing.check_kept(name, ("id", "matches"), Ranking.made, Ranking.header)
    with pytest.raises(InputError, match="a column 'rank' of its own"):
        writing.check_kept("o.csv.gz", ("rank",), Ranking.made, Ranking.header)
    with pytest.raises(InputError, match="a column 'emojified' of its own"):
        writing.check_kept("o.csv", ("emojified",), Emojifying.made, Emojifying.header)


def test_what_is_kept_fits_the_file():
    given = [
        Record("a", {"x": None, "y": True, "z": "t"}),
        Record("b", {"x": [1], "y": 2, "z": ""}),
    ]
    as_text = [
        ("a", {"x": None, "y": "true", "z": "t"}),
        ("b", {"x": "[1]", "y": "2", "z": ""}),
    ]
    for name in ("o.csv", "o.csv.gz", "o.parquet"):
        assert list(writing.fitted(given, name, {})) == as_text
    for name, types in [("o.jsonl", {}), ("", {}), ("o.parquet", {"x": "some type"})]:
        assert list(writing.fitted(given, name, types)) == given


def test_made(task):
    tally = Tally()
    given = [Record("a\udcff", {"x": "\udcff"}), Record("b?", {})]
    first, second = (json.loads(line) for line in writing.made(task, given, tally))
    assert list(first) == ["x", "text", "matches"]
    assert (first["x"], first["text"]) == ("\ufffd", "a\ufffd")
    assert second == {"text": "b?", "matches": []}
    assert (tally.texts, tally.unmatched, tally.replaced) == (2, 1, 1)
