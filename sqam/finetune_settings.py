"""How a text classifier is fine-tuned."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from emoji_vae.errors import InputError
from emoji_vae.settings import from_mapping
from sqam.classifier import PLACES

STRATEGIES = ("new", "last", "full", "chain-thaw")


@dataclasses.dataclass(frozen=True)
class FineTuneSettings:
    """How a task is learnt. The defaults were chosen on validation texts of six small tasks."""

    tokens: int = 64
    """Tokens of a text that are read, if the model masks padding; else as many as it was trained
    on."""
    places: tuple[str, ...] = PLACES
    """Where the last layer's features come from, some of ``sqam.classifier.PLACES``."""
    strengths: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0)
    """What the last layer's freedom is chosen from, by the validation texts: the inverse of its L2
    penalty."""
    epochs: int = 10
    """Over the texts at most, in the step that trains everything."""
    layer_epochs: int = 3
    """The same in a step that trains one layer."""
    new_epochs: int = 40
    """The same for "new", which has everything to learn."""
    patience: int = 4
    """Epochs without a lower validation loss after which a step ends."""
    batch: int = 32
    """Texts a step of the optimizer, Adam."""
    learning_rate: float = 0.001
    """At first, where everything is trained; it falls to 0 along a cosine."""
    layer_rate: float = 0.001
    """The same where one layer is."""
    new_rate: float = 0.003
    """The same for "new"."""
    last_factor: float = 10.0
    """How much faster than the others the last layer learns where it is new and they are not: in
    "full"."""
    dropout: float = 0.3
    """On the features, in training."""
    word_dropout: float = 0.1
    """Share of the tokens hidden in training."""
    runs: int = 1
    """Of the step that trains everything, in other orders; their weights are averaged."""
    wide: bool = False
    """Weigh n-grams of words and characters beside the network, see ``widen``."""
    trust: float = 0.25
    """Of the validation labels where thresholds are chosen, see ``best_thresholds``."""
    validation: float = 0.1
    """Share of the texts that is kept aside if no validation texts are given."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "FineTuneSettings":
        """Build settings from a saved mapping.

        Raises:
            InputError: a setting that does not exist, or one that cannot be.
        """
        return from_mapping(cls, values)

    def __post_init__(self) -> None:
        counts = ("tokens", "epochs", "layer_epochs", "new_epochs", "patience", "batch", "runs")
        for name in counts:
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("learning_rate", "layer_rate", "new_rate", "last_factor"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0")
        for name in ("dropout", "word_dropout", "validation"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be from 0 to below 1")
        if not 0 <= self.trust <= 1:
            raise InputError(f"trust is {self.trust}; it must be from 0 to 1")
        if not self.strengths or not all(value > 0 for value in self.strengths):
            raise InputError(f"strengths are {self.strengths}; give one or more above 0")
        if not self.places or not set(self.places) <= set(PLACES):
            raise InputError(f"places are {self.places}; give some of {', '.join(PLACES)}")
