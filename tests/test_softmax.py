"""The baseline: the question tower alone learns, and logits are what they say."""

import dataclasses

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the extra train")

from pipelines.softmax import Softmax
from sqam.model import SQAM, SQAMSettings

SETTINGS = SQAMSettings(
    dimensions=6, vocabulary=9, max_tokens=5, lstm_units=4, question_units=(8,),
    answer_units=(8,), shared_units=(8,), space=5, learning_rate=0.05, decay=False,
)  # fmt: skip


def model():
    rng = np.random.default_rng(0)
    codes = rng.standard_normal((3, 16)).astype("float32")
    vectors = rng.standard_normal((9, 6)).astype("float32")
    return Softmax(SQAM(dataclasses.replace(SETTINGS), vectors, codes), 3)


IDS = np.array([[1, 2, 3, 0, 0], [4, 5, 0, 0, 0], [6, 7, 8, 9, 1]], np.int32)


def test_logits_by_hand():
    found = model()
    kernel, bias = found.head.get_weights()
    expected = 20 * found.tower.question_vectors(IDS) @ kernel + bias
    np.testing.assert_allclose(np.asarray(found(IDS)), expected, atol=1e-4)


def test_training_leaves_the_answer_tower_alone_and_learns():
    found = model()
    found.compile_for_training(100)
    before = [layer.get_weights() for layer in found.tower.answer_layers]
    embedding = np.array(found.tower.embedding.get_weights()[0])
    losses = [float(found.train_on_batch(IDS, np.eye(3, dtype="float32"))) for _ in range(40)]
    assert losses[-1] < losses[0] / 2
    for layer, weights in zip(found.tower.answer_layers, before, strict=True):
        for now, then in zip(layer.get_weights(), weights, strict=True):
            np.testing.assert_array_equal(now, then)
    assert np.abs(found.tower.embedding.get_weights()[0] - embedding).max() > 0.01
    assert np.asarray(found(IDS)).argmax(axis=1).tolist() == [0, 1, 2]
