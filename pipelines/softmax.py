"""The baseline that DeepMoji is: the question tower of ours with a softmax over fixed emojis.

It ranks the emojis that it was trained on and no others, and is no part of what ranks.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from sqam.model import SQAM


class Softmax(keras.Model):
    """A question tower and a dense layer with a unit an emoji; returns logits (n, n_emojis).

    What the tower puts into the space is of length 1, so a learnt scale, from 20 on (the sharpness
    of our own loss), lets the softmax be as sure as it likes.

    Args:
        tower: its question side is trained; the answer side is left alone.
        n_emojis: how many there are.
    """

    def __init__(self, tower: SQAM, n_emojis: int) -> None:
        super().__init__()
        self.tower = tower
        for layer in tower.answer_layers:
            layer.trainable = False
        self.head = keras.layers.Dense(n_emojis, name="head")
        self.scale = self.add_weight((), keras.initializers.Constant(20.0), name="scale")
        self(np.ones((1, tower.settings.max_tokens), dtype=np.int32))

    def call(self, ids: Any, training: bool = False) -> Any:
        """Return logits of sentences: int ids (n, tokens), 0 for padding -> (n, n_emojis)."""
        return self.head(self.scale * self.tower.questions(ids, training))

    def draw_from(self, step: int) -> None:
        """See ``SQAM.draw_from``."""
        self.tower.draw_from(step)

    def compile_for_training(self, steps: int) -> None:
        """Set the cross-entropy, and the tower's own optimizer.

        Args:
            steps: of the whole training.
        """
        self.tower.compile_for_training(steps)

        def loss(correct: Any, scores: Any) -> Any:
            return ops.categorical_crossentropy(correct, scores, from_logits=True)

        self.compile(optimizer=self.tower.optimizer, loss=loss, jit_compile=False)
