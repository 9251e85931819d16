"""N-grams put into the shared space, beside the question tower."""

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="needs the extra train")

from emoji_vae.codes import EmojiCodes
from pipelines.ngrams import NGrams, classify
from sqam.scorer import Scorer

TEXTS = ["so hungry", "pizza now", "we won", "a game", "so sad", "tears again"] * 3
LABELS = np.array([0, 0, 1, 1, 3, 3] * 3)


@pytest.fixture(scope="module")
def ngrams():
    return NGrams(TEXTS, LABELS, 4, strength=10.0)


def test_scores_stand_in_their_candidates_column(ngrams):
    scores = ngrams.scores(["pizza now", "tears again"])
    assert scores.shape == (2, 4)
    assert scores.argmax(axis=1).tolist() == [0, 3]
    assert (scores[:, 2] == -1).all()  # no text has that candidate


def test_what_is_added_by_hand(ngrams):
    # Answers along two axes and between them: pinv of the first two is the identity.
    answers = np.array([[1.0, 0.0], [0.0, 1.0]])
    questions = np.array([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    scores = np.array([[0.0, 2.0], [-3.0, -4.0], [0.0, 0.0]])
    found = ngrams.beside(questions, scores, answers, 0.5)
    # (1, 0) + (0, 1) has length sqrt(2); (-1.5, -2) has 2.5; nothing stays nothing.
    expected = [[0.5**0.5, 0.5**0.5], [-0.6, -0.8], [0, 0]]
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert found.dtype == np.float32
    # Answers that lean on each other: 0.6 of the first is in the second. The products with what is
    # added are the scores all the same.
    leaning = np.array([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0]])
    one = ngrams.beside(np.zeros((1, 3)), np.array([[0.3, 0.5]]), leaning, 1.0)
    products = leaning @ one[0]
    np.testing.assert_allclose(products[0] / products[1], 0.3 / 0.5, atol=1e-6)


def test_without_a_share_it_is_what_the_model_says(tiny, ngrams):
    scorer = Scorer.load(tiny["folder"])
    codes = EmojiCodes(
        ["a", "b", "c", "d"], np.random.default_rng(5).standard_normal((4, 16)).astype("f4")
    )
    texts = ["good love", "not the pizza", "happy"]
    plain = [codes.names.index(name) for name in scorer.classify(texts, codes)]
    assert classify(scorer, ngrams, texts, texts, codes, 0.0).tolist() == plain
    assert classify(scorer, ngrams, ["qwxz"], ["qwxz"], codes, 0.0).tolist() == [-1]
    # With a large share it is what the n-grams say, of other words than the model reads.
    said = classify(scorer, ngrams, ["pizza now", "we won"], ["happy", "qwxz"], codes, 1e6)
    assert said.tolist() == [0, 1]
