"""Fine-tunes the text side to a task: sentiment, emotion, sarcasm, whatever texts are labelled by.

    >>> mood = finetune(Encoder.load(), texts, labels, strategy="chain-thaw")
    >>> mood.predict(["so tired of this"]), mood.predict_proba(["so tired of this"])
    >>> mood.save("build/mood")

The strategies are those of Felbo et al.: Using millions of emoji occurrences to learn any-domain
representations for detecting sentiment, emotion and sarcasm (EMNLP 2017), "DeepMoji":

    new         the same network without any training before: what pre-training gives, is the rest
    last        a new last layer alone, over features that stay as they are
    full        everything at once, the last layer still untrained
    chain-thaw  the last layer first, then each layer alone, from the first to the last, then all

A last layer that is trained alone is a logistic regression, so it is fitted as one and not by
steps: that has one solution. What follows begins there (Kumar et al.: Fine-Tuning can Distort
Pretrained Features and Underperform Out-of-Distribution, ICLR 2022).
"""

import dataclasses
import hashlib
import json
import os
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emoji_vae.errors import InputError, MissingExtraError
from sqam.classifier import Classifier
from sqam.encoder import Encoder
from sqam.finetune_settings import STRATEGIES, FineTuneSettings
from sqam.last_layer import finished, fitted, spreads, widened
from sqam.scorer import Scorer
from sqam.task import ClassWeight, Task, task_of
from sqam.thawing import Kept, trained

try:
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise MissingExtraError("scikit-learn", "train") from error

__all__ = ["STRATEGIES", "FineTuneSettings", "TextClassifier", "finetune", "widen"]


def finetune(
    encoder: Encoder | Scorer | str | os.PathLike[str] | None,
    texts: Sequence[str],
    labels: Any,
    strategy: str = "chain-thaw",
    *,
    validation: tuple[Sequence[str], Any] | None = None,
    classes: Sequence[Hashable] | None = None,
    class_weight: ClassWeight = None,
    settings: FineTuneSettings | None = None,
    seed: int = 0,
    folder: str | os.PathLike[str] | None = None,
) -> Classifier:
    """Learn to tell the classes of texts.

    A text without a known word teaches the network nothing and is passed over, though n-grams learn
    from it. It is answered all the same; see `Classifier`.

    Args:
        encoder: what to begin with, or the folder that it is in; None is the model that ships.
        texts: to learn from.
        labels: a class a text: strings, whole numbers or truths; or, where a text may have none of
            the classes or several, a 0 or 1 for each: (n, classes).
        strategy: one of `STRATEGIES`.
        validation: texts and labels to stop and to choose by, the last layer's penalty, scale and
            thresholds among others. By default ``settings.validation`` of the texts, drawn by the
            seed, as many of each class as there are in all. Without any (0) all epochs are made,
            the middle of ``settings.strengths`` is taken, and thresholds are 0.5.
        classes: names of the columns of labels, by default 0, 1, …; of single labels in the order
            that results are to have, by default sorted.
        class_weight: how much texts of a class count: a number a class, those that are left out
            count 1; "balanced" counts all classes alike. Of labels that are 0 or 1 for each class
            it is about the ones, and "balanced" counts the ones and the zeros of a class alike.
        settings: see `FineTuneSettings`.
        seed: of all that is drawn; the same seed gives the same classifier.
        folder: is made; the weights are kept there after every step, and an interrupted call goes
            on from there. The same folder is refused for anything else.

    Raises:
        InputError: no such strategy; not as many labels as texts; a label that is missing (NaN,
            None), of another type than the others, or not among the classes; a class without a
            text, or one class alone; no text with a known word; or no model to begin with.
    """
    settings = FineTuneSettings() if settings is None else settings
    if strategy not in STRATEGIES:
        raise InputError(f"no strategy {strategy!r:.40}; choose from {', '.join(STRATEGIES)}")
    if isinstance(encoder, Scorer):
        encoder = encoder.encoder
    if not isinstance(encoder, Encoder):
        encoder = Encoder.load(encoder)
    task = task_of(texts, labels, validation, classes, class_weight, settings.validation, seed)
    read = encoder.settings["max_tokens"]
    tokens = settings.tokens if encoder.settings["mask"] else read
    ids, held = encoder.ids(task.texts, tokens), encoder.ids(task.held, tokens)
    known = np.array([bool(text) for text in ids])
    if not known.any():
        raise InputError("no training text has a word that the model knows; give other texts")
    steps: list[dict[str, Any]] = []
    places = settings.places
    if strategy == "last":
        mean, scale = spreads(encoder, ids, known, places)
        head, _ = fitted(encoder, ids, held, task, settings, mean, scale)
        tuned = Encoder(
            encoder.vocabulary, encoder.table, encoder.scales, encoder.graph,
            {**encoder.settings, "max_tokens": tokens}, encoder.folder,
        )  # fmt: skip
    else:
        kept = None if folder is None else Kept(Path(folder), _identity(
            encoder, task, strategy, settings, seed
        ))  # fmt: skip
        tuned, head = trained(encoder, ids, held, task, strategy, settings, seed, steps, kept)
    notes = {
        "strategy": strategy,
        "seed": seed,
        "fine-tuning": dataclasses.asdict(settings),
        "steps": steps,
    }
    made = Classifier(
        tuned, places, head, task.classes, task.multi_label,
        np.full(len(task.classes), 0.5), None, notes,
    )  # fmt: skip
    return widened(made, task, settings) if settings.wide else finished(made, task, settings)


def widen(
    classifier: Classifier,
    texts: Sequence[str],
    labels: Any,
    *,
    validation: tuple[Sequence[str], Any] | None = None,
    class_weight: ClassWeight = None,
    settings: FineTuneSettings | None = None,
    seed: int = 0,
) -> Classifier:
    """Let a classifier weigh n-grams too, by a logistic regression of their own.

    What that says and what the network says are added in shares that the validation texts choose;
    without any, as they are. The arguments are those of `finetune`, and so is what is raised.
    """
    settings = FineTuneSettings() if settings is None else settings
    classes = classifier.classes
    task = task_of(texts, labels, validation, classes, class_weight, settings.validation, seed)
    if task.multi_label != classifier.multi_label:
        raise InputError("these labels are of another form than the classifier's; give the same")
    return widened(classifier, task, settings)


def _identity(
    encoder: Encoder, task: Task, strategy: str, settings: FineTuneSettings, seed: int
) -> dict[str, Any]:
    """Return what makes a training what it is."""
    data = hashlib.sha256(encoder.graph)
    for array in (encoder.table, task.correct, task.weights, task.held_correct):
        data.update(np.ascontiguousarray(array).tobytes())
    data.update(json.dumps([task.texts, task.held, task.classes]).encode())
    return {
        "strategy": strategy,
        "settings": dataclasses.asdict(settings),
        "seed": seed,
        "data": data.hexdigest(),
    }


class TextClassifier(ClassifierMixin, BaseEstimator):
    """`finetune` as an estimator of scikit-learn: ``fit(texts, labels)``, then ``predict(texts)``.

    >>> cross_val_score(TextClassifier(strategy="last"), texts, labels)

    Attributes:
        classes_: their names.
        classifier_: what `finetune` returned, after ``fit``.

    Args:
        encoder, strategy, class_weight, settings, folder: as in `finetune`.
        random_state: its seed, a whole number.
    """

    def __init__(
        self,
        encoder: Encoder | str | os.PathLike[str] | None = None,
        strategy: str = "chain-thaw",
        class_weight: ClassWeight = None,
        settings: FineTuneSettings | None = None,
        random_state: int = 0,
    ) -> None:
        self.encoder = encoder
        self.strategy = strategy
        self.class_weight = class_weight
        self.settings = settings
        self.random_state = random_state

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.one_d_array = True
        tags.input_tags.two_d_array = False
        tags.classifier_tags.multi_label = True
        return tags

    def fit(self, X: Sequence[str], y: Any) -> "TextClassifier":  # noqa: N803
        """Learn from texts and their labels; see `finetune`."""
        self.classifier_ = finetune(
            self.encoder, X, y, self.strategy, class_weight=self.class_weight,
            settings=self.settings, seed=self.random_state,
        )  # fmt: skip
        self.classes_ = np.array(self.classifier_.classes)
        return self

    def predict(self, X: Sequence[str]) -> np.ndarray:  # noqa: N803
        """Return each text's class; see `Classifier.predict`."""
        check_is_fitted(self)
        return self.classifier_.predict(X)

    def predict_proba(self, X: Sequence[str]) -> np.ndarray:  # noqa: N803
        """Return the classes' probabilities; see `Classifier.predict_proba`."""
        check_is_fitted(self)
        return self.classifier_.predict_proba(X)

    def score(self, X: Sequence[str], y: Any) -> float:  # noqa: N803
        """Return the accuracy; see `Classifier.measure`."""
        check_is_fitted(self)
        return self.classifier_.measure(X, y)["accuracy"]
