"""Variations of texts: what is replaced by what, and that each text has its own."""

import numpy as np
import pytest

from pipelines import variations
from pipelines.glove import Glove
from pipelines.variations import varied

WORDS = Glove(
    ["the", "not", "cat", "dog", "sun", "moon", "10"],
    np.array([[5, 5], [5, 5], [1, 0], [0.9, 0.1], [0, 1], [0.1, 0.9], [1, 0]], np.float32),
)


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Let the first two words be small ones, and each word have one neighbour."""
    monkeypatch.setattr(variations, "_SMALL", 2)
    monkeypatch.setattr(variations, "NEAREST", 1)


def test_words_give_way_to_the_nearest():
    # One word can be replaced: "the" is a small one and "xyz" is unknown. "10", which is where
    # "cat" is, is no word.
    assert varied(["the cat XYZ!"], WORDS, 5, 0) == ["the dog xyz !"]
    # Of two words one or both are: at least one, and each in some of 60 tries.
    assert set(varied(["Not the cat, the sun"], WORDS, 60, 0)) == {
        "not the dog the sun", "not the cat the moon", "not the dog the moon",
    }  # fmt: skip


def test_nothing_to_replace_and_nothing_new():
    assert varied(["the the", "10", "", "xyz"], WORDS, 3, 0) == []
    assert varied(["the cat"], WORDS, 0, 0) == []
    # What another text says already is no variation.
    assert varied(["the cat", "the dog"], WORDS, 3, 0) == []


def test_a_texts_variations_are_its_own():
    texts = ["cat sun moon dog sun cat", "moon moon sun dog dog cat"]
    both = varied(texts, WORDS, 4, 0)
    assert both == [*varied(texts[:1], WORDS, 4, 0), *varied(texts[1:], WORDS, 4, 0)]
    assert both != varied(texts, WORDS, 4, 1)


def test_pieces_are_words_in_a_row():
    found = variations.pieces(["One cat and two dogs run"], 200, 0)
    tokens = ["one", "cat", "and", "two", "dogs", "run"]
    rows = [" ".join(tokens[a : a + n]) for n in range(2, 6) for a in range(len(tokens) - n + 1)]
    # Two to five words, but never all of them; with 200 draws each of the 14 is there once.
    assert sorted(found) == sorted(rows) and len(rows) == 5 + 4 + 3 + 2


def test_a_texts_pieces_are_its_own():
    texts = ["cat sun moon dog sun cat", "moon moon sun dog dog cat"]
    both = variations.pieces(texts, 2, 0)
    assert both == [*variations.pieces(texts[:1], 2, 0), *variations.pieces(texts[1:], 2, 0)]
    assert variations.pieces(texts, 2, 1) != both


@pytest.mark.parametrize("text", ["", "cat", "cat sun"])
def test_short_texts_have_no_piece(text):
    assert variations.pieces([text], 5, 0) == []
    assert variations.pieces(["cat sun moon"], 0, 0) == []
