"""Measures, by hand."""

import json

import numpy as np
import pytest

from pipelines import evaluate, results


def test_best_and_hits():
    scores = np.array([[0.1, 0.9, 0.9, 0.5], [0.4, 0.3, 0.2, 0.1]])
    # Columns 1 and 2 tie: the earlier one is first.
    assert evaluate.best(scores, 2).tolist() == [[1, 2], [0, 1]]
    # First row: column 2 is not first but among two. Second row: column 3 is last of four.
    assert evaluate.hits(scores, [[2], [3]], 1) == 0.0
    assert evaluate.hits(scores, [[2], [3]], 2) == 0.5
    assert evaluate.hits(scores, [[2, 0], [3, 0]], 2) == 1.0
    assert evaluate.hits(scores, [[2], [3]], 4) == 1.0


def test_places_by_hand():
    scores = np.array([[0.1, 0.9, 0.9, 0.5, 0.2], [0.4, 0.4, 0.4, 0.4, 0.4]])
    # Two are better than column 3; column 1 ties with one; in the second row all tie.
    assert evaluate.ahead(scores, np.array([3, 0])).tolist() == [2, 2]
    assert evaluate.ahead(scores, np.array([1, 4])).tolist() == [0.5, 2]
    assert evaluate.ahead(scores[:1], np.array([0])).tolist() == [4]
    # Of 21: first, half-way and last; the middle one's percentile is 50. One is within 10, and the
    # one with 10 ahead is not.
    found = evaluate.places(np.array([0, 10, 20]), 21)
    assert found == {"median percentile": 50, "hit@10": pytest.approx(1 / 3)}


def test_popular():
    assert evaluate.popular([[0, 2], [2], []], 4).tolist() == [1, 0, 2, 0]


def test_spread():
    # Mean of 1, 2, 3 is 2; the squared distances 1 + 0 + 1 over n - 1 = 2 give 1.
    assert results.spread([1, 2, 3]) == {"mean": 2, "sd": 1, "values": [1, 2, 3]}
    assert results.spread([0.5])["sd"] is None


def test_results_file(tmp_path):
    path = tmp_path / "new" / "figures.json"
    results.write(path, {"figure": 0.5, "emoji": "🎉"})
    assert json.loads(path.read_text("utf-8")) == {"figure": 0.5, "emoji": "🎉"}
    # SHA-256 of "abc", from FIPS 180-2's example.
    (tmp_path / "abc").write_bytes(b"abc")
    digest = results.hashes([tmp_path / "abc"])["abc"]
    assert digest == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert "python" in results.versions() and "numpy" in results.versions()


def test_results_that_cannot_be_written_leave_the_old_ones(tmp_path):
    path = tmp_path / "figures.json"
    results.write(path, {"figure": 1})
    with pytest.raises(TypeError):
        results.write(path, {"figure": object()})
    assert json.loads(path.read_text()) == {"figure": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]
