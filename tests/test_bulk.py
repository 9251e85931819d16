"""Texts in, result objects out; the scorer here ranks by the length of a text."""

import json
from typing import Any

import numpy as np
from conftest import CANDIDATES, Candidates, LengthScorer
from hypothesis import example, given
from hypothesis import strategies as st

from sqam import bulk
from sqam.bulk import Tally
from sqam.scorer import Match


def results(given_texts, scorer: Any = None, k=2):
    tally = Tally()
    ranker: Any = scorer or LengthScorer()
    candidates: Any = CANDIDATES
    return list(bulk.results(ranker, given_texts, candidates, k, tally)), tally


def test_result_object():
    # "ab" has length 2: 😄 (index 2) scores 1, ⚾ and 🍴 score 1/2 and ⚾ comes first.
    (result,), tally = results(["ab"])
    assert result == {
        "text": "ab",
        "matches": [
            {"emoji": "😄", "name": "grinning face with smiling eyes", "score": 1.0},
            {"emoji": "⚾", "name": "baseball", "score": 0.5},
        ],
    }
    assert (tally.texts, tally.unmatched, tally.replaced, tally.note()) == (1, 0, 0, "")


def test_scores_have_four_digits_and_no_negative_zero():
    class Scorer:
        def rank(self, sentences, candidates, k):
            return [[Match("❤️", "x", -0.00001), Match("⚾", "y", 1 / 3)]]

    (result,), _ = results(["a"], Scorer())
    assert bulk.json_line(result).count("-") == 0
    assert [match["score"] for match in result["matches"]] == [0.0, 0.3333]


@given(st.lists(st.text(st.characters(exclude_categories=[])), max_size=20))
def test_every_text_gives_one_object_that_is_utf8(given_texts):
    found, tally = results(given_texts)
    assert len(found) == tally.texts == len(given_texts)
    for text, result in zip(given_texts, found, strict=True):
        line = bulk.json_line(result)
        assert line.count("\n") == 1
        assert json.loads(line.encode()) == result
        assert len(result["text"]) == len(text)


def test_lone_surrogates_are_replaced_and_counted():
    found, tally = results(["a\udcffb", "fine", "?"])
    assert [result["text"] for result in found] == ["a\ufffdb", "fine", "?"]
    assert tally.note() == (
        "of 3 texts 1 have no word that the model knows and got no matches, "
        "1 are not valid Unicode; U+FFFD stands for the bad parts"
    )


def test_chunks_are_bounded_in_texts_and_characters(monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK_TEXTS", 3)
    monkeypatch.setattr(bulk, "CHUNK_CHARACTERS", 10)
    scorer = LengthScorer()
    found, _ = results(["a"] * 4 + ["b" * 50, "c", "d"], scorer)
    assert len(found) == 7
    # Three texts are full; "a" and the long one reach ten characters; the sixth text of all ends a
    # chunk again; the rest.
    assert scorer.chunks == [3, 2, 1, 1]


def test_results_stream():
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield "a"

    scorer: Any = LengthScorer()
    candidates: Any = CANDIDATES
    stream = bulk.results(scorer, endless(), candidates, 1, Tally())
    assert next(stream)["matches"]
    assert len(taken) <= bulk.CHUNK_TEXTS


def test_counts_are_added():
    tally = Tally(5, 1, 2)
    tally.include(Tally(3, 2, 1))
    assert (tally.texts, tally.unmatched, tally.replaced) == (8, 3, 3)


@given(st.lists(st.text(max_size=12), max_size=4))
def test_lines_are_those_of_the_results(texts):
    candidates: Any = Candidates([*CANDIDATES, 'a "picture".png', "p\udcffc.png"])
    ranker: Any = LengthScorer()
    task = bulk.Ranking(ranker, candidates, 6)
    clean = [bulk.mended(text) for text in texts]
    expected = [(bulk.json_line(one), bool(one["matches"])) for one in task.results(clean)]
    assert list(task.lines(clean)) == expected
    tally, before = Tally(), Tally()
    assert list(bulk.lines_of_chunk(task, texts, tally)) == [line for line, _ in expected]
    list(bulk.of_chunk(task, texts, before))
    assert tally == before


# 1/32 = 0.03125 and its like lie between two numbers of four digits, to the last bit.
@example(0.03125)
@example(-0.09375)
@example(-0.0)
@example(-1e-6)
@given(st.floats(-1, 1, width=32))
def test_a_score_is_written_as_it_is_rounded(score):
    class One:
        def best_arrays(self, sentences, candidates, k):
            return np.array([[0]]), np.array([[score]], dtype=np.float32), np.array([True])

    ranker: Any = One()
    candidates: Any = CANDIDATES
    ((line, _),) = bulk.Ranking(ranker, candidates, 1).lines(["a"])
    assert line.endswith(f'"score": {json.dumps(bulk.rounded(score))}}}]}}\n')
