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
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from emoji_vae.errors import InputError, MissingExtraError
from emoji_vae.files import replacing
from emoji_vae.settings import from_mapping
from sqam.classifier import (
    PLACES,
    Classifier,
    Head,
    NGrams,
    best_thresholds,
    gathered,
    indicators,
    measured,
    probabilities,
)
from sqam.encoder import Encoder, listed, quantize
from sqam.export import question_graph, restore
from sqam.model import SQAM, unit
from sqam.scorer import Scorer
from sqam.text import pad

try:
    import keras
    from keras import layers, ops
    from scipy import sparse
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.linear_model import LogisticRegression
    from sklearn.utils.validation import check_is_fitted
    from tqdm import tqdm
except ImportError as error:
    raise MissingExtraError("Keras or scikit-learn", "train") from error

STRATEGIES = ("new", "last", "full", "chain-thaw")
ClassWeight = Literal["balanced"] | Mapping[Any, float] | None


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


class _Task(NamedTuple):
    """What is learnt.

    Attributes:
        classes: their names.
        multi_label: whether a text may have none or several.
        texts: to learn from.
        correct: float32 (n, classes), 0 or 1.
        weights: float32 (n, classes), how much each of these counts.
        held: validation texts, maybe none.
        held_correct: of these, float32 (m, classes).
    """

    classes: list[Hashable]
    multi_label: bool
    texts: list[str]
    correct: np.ndarray
    weights: np.ndarray
    held: list[str]
    held_correct: np.ndarray


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
    task = _task(texts, labels, validation, classes, class_weight, settings, seed)
    read = encoder.settings["max_tokens"]
    tokens = settings.tokens if encoder.settings["mask"] else read
    ids, held = encoder.ids(task.texts, tokens), encoder.ids(task.held, tokens)
    known = np.array([bool(text) for text in ids])
    if not known.any():
        raise InputError("no training text has a word that the model knows; give other texts")
    steps: list[dict[str, Any]] = []
    places = settings.places
    if strategy == "last":
        mean, scale = _spreads(encoder, ids, known, places)
        head, _ = _fitted(encoder, ids, held, task, settings, mean, scale)
        tuned = Encoder(
            encoder.vocabulary, encoder.table, encoder.scales, encoder.graph,
            {**encoder.settings, "max_tokens": tokens}, encoder.folder,
        )  # fmt: skip
    else:
        kept = None if folder is None else _Kept(Path(folder), _identity(
            encoder, task, strategy, settings, seed
        ))  # fmt: skip
        tuned, head = _trained(encoder, ids, held, task, strategy, settings, seed, steps, kept)
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
    return _widened(made, task, settings) if settings.wide else _finished(made, task, settings)


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
    task = _task(texts, labels, validation, classes, class_weight, settings, seed)
    if task.multi_label != classifier.multi_label:
        raise InputError("these labels are of another form than the classifier's; give the same")
    return _widened(classifier, task, settings)


# The task.


def _task(
    texts: Sequence[str],
    labels: Any,
    validation: tuple[Sequence[str], Any] | None,
    classes: Sequence[Hashable] | None,
    class_weight: ClassWeight,
    settings: FineTuneSettings,
    seed: int,
) -> _Task:
    texts = list(listed(texts))
    if not texts:
        raise InputError("there is no text to learn from; give some")
    multi_label, names = _classes_of(labels, classes)
    correct = indicators(labels, len(texts), names, multi_label)
    if validation is None:
        aside = _aside(correct, settings.validation, multi_label, seed)
        held = [text for text, kept in zip(texts, aside, strict=True) if kept]
        held_correct = correct[aside]
        texts = [text for text, kept in zip(texts, aside, strict=True) if not kept]
        correct = correct[~aside]
    else:
        held = list(listed(validation[0]))
        held_correct = indicators(validation[1], len(held), names, multi_label)
    counts = correct.sum(axis=0)
    for name, count in zip(names, counts, strict=True):
        if not count or (multi_label and count == len(correct)):
            raise InputError(
                f"{'all' if count else 'no'} training texts are of class {name!r:.40}; leave the "
                "class out, or give other texts"
            )
    weights = _weights(correct, names, multi_label, class_weight)
    return _Task(names, multi_label, texts, correct, weights, held, held_correct)


def _classes_of(
    labels: Any, classes: Sequence[Hashable] | None
) -> tuple[bool, list[Hashable]]:  # fmt: skip
    """Tell whether labels are 0 or 1 for each class, and return the classes' names."""
    array = getattr(labels, "to_numpy", lambda: labels)()
    if not isinstance(array, np.ndarray | list | tuple):
        raise InputError(f"labels must be a list or an array, not {labels!r:.60}")
    multi_label = any(np.ndim(label) == 1 and not isinstance(label, str) for label in array[:1])
    names = None if classes is None else [getattr(n, "item", lambda n=n: n)() for n in classes]
    if names is not None and len(set(names)) != len(names):
        raise InputError(f"a class is named twice in {names!r:.60}; name each once")
    if multi_label:
        return True, list(range(len(array[0]))) if names is None else names
    found: dict[Hashable, None] = {}
    kinds: dict[str, Any] = {}
    for at, label in enumerate(array):
        label = getattr(label, "item", lambda label=label: label)()
        missing = label is None or (isinstance(label, float) and label != label)
        if missing or not isinstance(label, str | bool | int | float):
            raise InputError(
                f"the label of text {at} is {label!r:.40}; give a string or a whole number, or "
                "leave the text out"
            )
        if isinstance(label, float) and not label.is_integer():
            raise InputError(f"the label of text {at} is {label}, which is no class; give classes")
        kinds.setdefault("number" if isinstance(label, int | float) else "string", label)
        found[label] = None
    if len(kinds) > 1:
        one, other = kinds.values()
        raise InputError(f"labels are of mixed types: {one!r:.40} and {other!r:.40}; give one type")
    if len(found) < 2 and names is None:
        raise InputError(f"labels are of one class alone, {list(found)!r:.60}; give two or more")
    if names is not None and len(names) < 2:
        raise InputError(f"there is one class alone, {names!r:.60}; give two or more")
    if names is None:
        names = sorted(found)
    return False, names


def _aside(correct: np.ndarray, share: float, multi_label: bool, seed: int) -> np.ndarray:
    """Draw the validation texts, bool (n,): of each class its share, but never its only text."""
    rng = np.random.default_rng([seed, 0])
    order = rng.permutation(len(correct))
    aside = np.zeros(len(correct), dtype=bool)
    if multi_label:
        aside[order[: round(share * len(order))]] = True
        return aside
    for column in range(correct.shape[1]):
        rows = order[correct[order, column] == 1]
        aside[rows[: min(round(share * len(rows)), len(rows) - 1)]] = True
    return aside


def _weights(
    correct: np.ndarray, names: Sequence[Hashable], multi_label: bool, class_weight: ClassWeight
) -> np.ndarray:
    """Return how much each label counts, float32 (n, classes)."""
    there, absent = correct.mean(axis=0), 1 - correct.mean(axis=0)
    ones, zeros = np.ones(len(names)), np.ones(len(names))
    if isinstance(class_weight, Mapping):
        for name, weight in class_weight.items():
            if name not in names:
                raise InputError(f"class_weight has {name!r:.40}, which is no class; leave it out")
            if not (isinstance(weight, int | float) and 0 < weight < np.inf):
                raise InputError(
                    f"the weight of class {name!r:.40} is {weight!r:.40}; give one > 0"
                )
            ones[names.index(name)] = weight
    elif class_weight == "balanced":
        ones = 1 / (2 if multi_label else len(names)) / there
        zeros = 1 / 2 / absent if multi_label else zeros
    elif class_weight is not None:
        raise InputError(
            f"class_weight is {class_weight!r:.40}; give 'balanced', a number a class, or None"
        )
    if not multi_label:
        # A text counts as its class does, in all columns.
        return np.tile((correct @ ones)[:, None], len(names)).astype(np.float32)
    return np.where(correct == 1, ones, zeros).astype(np.float32)


# The last layer.


def _spreads(
    encoder: Encoder, ids: Sequence[Sequence[int]], known: np.ndarray, places: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features' means and what brings each place to a spread of 1 in all, float32."""
    means, scales = [], []
    for place in places:
        found = gathered(encoder, ids, [place])[known]
        deviation = found.std(axis=0)
        # Something that hardly varies here may vary there: it must not become the loudest.
        deviation = np.sqrt(deviation**2 + (0.1 * deviation.mean()) ** 2 + 1e-12)
        means.append(found.mean(axis=0))
        scales.append(1 / deviation / np.sqrt(len(deviation)))
    return np.concatenate(means).astype("f4"), np.concatenate(scales).astype("f4")


def _fitted(
    encoder: Encoder,
    ids: Sequence[Sequence[int]],
    held: Sequence[Sequence[int]],
    task: _Task,
    settings: FineTuneSettings,
    mean: np.ndarray,
    scale: np.ndarray,
) -> tuple[Head, float]:
    """Fit a last layer over features as they are; return it and its strength."""

    def read(texts: Sequence[Sequence[int]]) -> np.ndarray:
        found = (gathered(encoder, texts, settings.places) - mean) * scale
        found[[not text for text in texts]] = 0
        return found

    known = [bool(text) for text in ids]
    kernel, bias, strength = best_layer(
        read(ids)[known], task.correct[known], task.weights[known], read(held),
        task.held_correct, task.multi_label, settings.strengths,
    )  # fmt: skip
    return Head(mean, scale, kernel, bias), strength


def best_layer(
    features: Any,
    correct: np.ndarray,
    weights: np.ndarray,
    held: Any,
    held_correct: np.ndarray,
    multi_label: bool,
    strengths: Sequence[float],
) -> tuple[np.ndarray, np.ndarray, float]:
    """Fit logistic regressions of several strengths, and take that which validates best.

    Args:
        features: float (n, width), dense or sparse.
        correct: float32 (n, classes), 0 or 1.
        weights: float32 (n, classes), how much each of these counts.
        held: float (m, width), of the validation texts.
        held_correct: float32 (m, classes). Without any (m is 0) the middle strength is taken.
        multi_label: whether a row of ``correct`` may hold no 1 or several.
        strengths: inverses of the L2 penalty, ``LogisticRegression``'s C.

    Returns:
        Kernel, float32 (width, classes), bias, float32 (classes,), and the strength.
    """
    if not len(held_correct):
        strengths = sorted(strengths)[len(strengths) // 2 :][:1]
    best: tuple[float, np.ndarray, np.ndarray, float] | None = None
    for strength in strengths:
        kernel, bias = _layer(features, correct, weights, multi_label, strength)
        loss = 0.0
        if len(held_correct):
            loss = calibrated(held @ kernel + bias, held_correct, multi_label)[1]
        if best is None or loss < best[0]:
            best = (loss, kernel, bias, strength)
    assert best is not None  # there is a strength
    return best[1:]


def _layer(
    features: Any, correct: np.ndarray, weights: np.ndarray, multi_label: bool, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fit one layer: kernel, float32 (width, classes), and bias, float32 (classes,)."""

    def fit(answers: np.ndarray, counts: np.ndarray) -> LogisticRegression:
        made = LogisticRegression(C=strength, max_iter=1000)
        return made.fit(features, answers, sample_weight=counts)

    if multi_label:
        made = [fit(correct[:, c], weights[:, c]) for c in range(correct.shape[1])]
        kernel = np.concatenate([one.coef_ for one in made]).T
        bias = np.concatenate([one.intercept_ for one in made])
    else:
        one = fit(correct.argmax(axis=1), weights[:, 0])
        kernel, bias = one.coef_.T, one.intercept_
        if correct.shape[1] == 2:  # one logit for two classes: half of it for, half against
            kernel, bias = (np.concatenate([-x / 2, x / 2], axis=-1) for x in (kernel, bias))
    return kernel.astype("f4"), bias.astype("f4")


_SCALES = np.geomspace(0.1, 2.0, 27)


def _losses(logits: np.ndarray, correct: np.ndarray, multi_label: bool) -> float:
    """Return the mean cross-entropy a text, in nats, of all its classes."""
    if multi_label:
        losses = np.logaddexp(0, logits) - correct * logits
    else:
        top = logits.max(axis=1, keepdims=True)
        total = np.log(np.exp(logits - top).sum(axis=1, keepdims=True)) + top
        losses = correct * (total - logits)
    return float(losses.sum(axis=1).mean())


def calibrated(logits: np.ndarray, correct: np.ndarray, multi_label: bool) -> tuple[float, float]:
    """Return the factor by which logits fit best, and the loss with it: nats a text.

    A network that is trained on grows too sure of itself long before it orders texts worse (Guo et
    al.: On Calibration of Modern Neural Networks, ICML 2017); without this its loss would say that
    it does.
    """
    losses = [_losses(scale * logits, correct, multi_label) for scale in _SCALES]
    best = int(np.argmin(losses))
    return float(_SCALES[best]), losses[best]


def _finished(made: Classifier, task: _Task, settings: FineTuneSettings) -> Classifier:
    """Scale the logits, choose the thresholds and measure, by the validation texts if any."""
    if not task.held:
        return made
    logits = made.logits(task.held)
    scale, loss = calibrated(logits, task.held_correct, task.multi_label)
    found = probabilities(scale * logits, task.multi_label)
    made.thresholds = best_thresholds(found, task.held_correct, settings.trust)
    grams = None if made.head.grams is None else scale * made.head.grams
    made.head = dataclasses.replace(
        made.head, kernel=scale * made.head.kernel, bias=scale * made.head.bias, grams=grams
    )
    figures = measured(found, task.held_correct, made.thresholds, task.multi_label)
    made.notes["validation"] = {"texts": len(task.held), "loss": loss, **figures}
    return made


_SHARES = (0.0, 0.15, 0.3, 0.5, 0.7, 1.0)
_GRAM_STRENGTHS = (1.0, 10.0)


def _widened(classifier: Classifier, task: _Task, settings: FineTuneSettings) -> Classifier:
    ngrams = NGrams.of(task.texts)

    def read(texts: Sequence[str]) -> Any:
        rows = [ngrams(text) for text in texts]
        starts = np.cumsum([0, *(len(columns) for columns, _ in rows)])
        columns = np.concatenate([np.empty(0, dtype=int), *(columns for columns, _ in rows)])
        values = np.concatenate([np.empty(0), *(values for _, values in rows)])
        return sparse.csr_matrix((values, columns, starts), shape=(len(rows), len(ngrams.names)))

    held = read(task.held)
    grams, bias, _ = best_layer(
        read(task.texts), task.correct, task.weights, held, task.held_correct,
        task.multi_label, _GRAM_STRENGTHS,
    )  # fmt: skip
    head = dataclasses.replace(classifier.head, grams=None)
    share = 0.5
    if task.held:
        deep = Classifier(
            classifier.encoder, classifier.places, head, classifier.classes,
            classifier.multi_label, classifier.thresholds,
        ).logits(task.held)  # fmt: skip
        wide = held @ grams + bias
        # Alike in size, so that a share means the same everywhere.
        size = float(deep.std() / max(wide.std(), 1e-9))
        grams, bias = size * grams, size * bias
        wide = size * wide
        share = min(_SHARES, key=lambda share: calibrated(
            (1 - share) * deep + share * wide, task.held_correct, task.multi_label
        )[1])  # fmt: skip
    made = Classifier(
        classifier.encoder,
        classifier.places,
        Head(
            head.mean,
            head.scale,
            (1 - share) * head.kernel,
            (1 - share) * head.bias + share * bias,
            share * grams,
        ),
        classifier.classes,
        classifier.multi_label,
        classifier.thresholds,
        ngrams,
        {**classifier.notes, "share of n-grams": share},
    )
    return _finished(made, task, settings)


# The network.


class _Adam(keras.optimizers.Adam):
    """Adam with a factor for the learning rate of each variable; of 0 leaves it as it is.

    So a step of the chain-thaw freezes layers without compiling the network anew.
    """

    def build(self, variables: Sequence[Any]) -> None:
        super().build(variables)
        self.factors = [
            self.add_variable(shape=(), initializer="ones", name="factor") for _ in variables
        ]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        factor = self.factors[self._get_variable_index(variable)]
        super().update_step(gradient, variable, learning_rate * ops.cast(factor, variable.dtype))


@keras.saving.register_keras_serializable("sqam")
class _Network(keras.Model):
    """The question tower with a new last layer: token ids (n, tokens) -> logits (n, classes).

    Args:
        model: whose layers it trains.
        vectors: float32 (words, d) of the words that the texts have; row 0 is padding.
        head: the last layer as it begins.
        settings: see `FineTuneSettings`.
        seed: of what is dropped out.
    """

    def __init__(
        self, model: SQAM, vectors: np.ndarray, head: Head, settings: FineTuneSettings, seed: int
    ) -> None:
        super().__init__(name="network")
        self.model = model
        self.settings = settings
        self.words = layers.Embedding(
            *vectors.shape, embeddings_initializer=keras.initializers.Constant(vectors),
            name="words",
        )  # fmt: skip
        self.last = layers.Dense(head.kernel.shape[1], name="last")
        self.mean, self.scale = (ops.convert_to_tensor(x) for x in (head.mean, head.scale))
        self.seed_generator = keras.random.SeedGenerator(seed)
        for layer in model.layers:
            layer.trainable = any(layer is one for one in self.in_order())
        self(np.ones((1, model.settings.max_tokens), dtype=np.int32))
        self.last.set_weights([head.kernel, head.bias])

    def call(self, ids: Any, training: bool = False) -> Any:
        """Return logits."""
        settings = self.settings
        written = ids > 0
        if training and settings.word_dropout:
            kept = keras.random.uniform(ops.shape(ids), seed=self.seed_generator)
            ids = ops.where(kept < settings.word_dropout, 0, ids)
        vectors = self.words(ids)
        states, _ = self.model.pooled(vectors, written)
        parts = []
        for place in settings.places:
            if place == "states":
                parts.append(states)
            elif place == "space":
                x = states
                for layer in [*self.model.question_layers, *self.model.shared_layers]:
                    x = layer(x)
                parts.append(unit(x))
            else:
                there = ops.cast(written[..., None], vectors.dtype)
                count = ops.maximum(ops.sum(there, axis=1), 1.0)
                parts.append(ops.sum(vectors * there, axis=1) / count)
                parts.append(ops.max(ops.where(written[..., None], vectors, -1e9), axis=1))
        x = (ops.concatenate(parts, axis=-1) - self.mean) * self.scale
        # Nothing is written: an average text, as `Classifier` has it.
        x = ops.where(ops.any(written, axis=1, keepdims=True), x, 0.0)
        if training and settings.dropout:
            x = keras.random.dropout(x, settings.dropout, seed=self.seed_generator)
        return self.last(x)

    def in_order(self) -> list[Any]:
        """Return the layers that can be trained, from the first to the last."""
        above = [*self.model.question_layers, *self.model.shared_layers]
        space = above if "space" in self.settings.places else []
        return [self.words, *self.model.pooling_layers, *space, self.last]


class _Step(NamedTuple):
    """A step of a training.

    Attributes:
        name: what is trained.
        layers: these.
        epochs: at most.
        rate: at first.
        runs: of it, whose weights are averaged.
        factor: how much faster the last of the layers learns.
    """

    name: str
    layers: list[Any]
    epochs: int
    rate: float
    runs: int = 1
    factor: float = 1.0


def _steps(network: _Network, strategy: str, settings: FineTuneSettings) -> list[_Step]:
    every = network.in_order()
    if strategy == "new":
        return [_Step("all", every, settings.new_epochs, settings.new_rate)]
    everything = _Step("all", every, settings.epochs, settings.learning_rate, settings.runs)
    if strategy == "full":
        return [everything._replace(factor=settings.last_factor)]
    alone = [
        _Step(layer.name, [layer], settings.layer_epochs, settings.layer_rate)
        for layer in every[:-1]  # the last one was fitted before
    ]
    return [*alone, everything]


def _trained(
    encoder: Encoder,
    ids: Sequence[Sequence[int]],
    held: Sequence[Sequence[int]],
    task: _Task,
    strategy: str,
    settings: FineTuneSettings,
    seed: int,
    done: list[dict[str, Any]],
    kept: "_Kept | None",
) -> tuple[Encoder, Head]:
    """Train the network; return it as an encoder with a last layer, and log steps in ``done``."""
    model, encoder = _begun(encoder, strategy, settings, seed)
    known = np.array([bool(text) for text in ids])
    mean, scale = _spreads(encoder, ids, known, settings.places)
    strength = sorted(settings.strengths)[len(settings.strengths) // 2]
    if strategy == "chain-thaw":
        head, strength = _fitted(encoder, ids, held, task, settings, mean, scale)
    else:
        classes = len(task.classes)
        head = Head(mean, scale, np.zeros((len(mean), classes), "f4"), np.zeros(classes, "f4"))
    # The words of these texts alone are trained; row 0 of a table is padding.
    rows = sorted({row for text in [*ids, *held] for row in text})
    place = {row: at for at, row in enumerate(rows)}
    at = np.array([0, *(row + 1 for row in rows)])
    vectors = (encoder.table[at] * encoder.scales[at]).astype(np.float32)
    network = _Network(model, vectors, head, settings, seed)
    longest = max(map(len, [*ids, *held]))
    width = longest if encoder.settings["mask"] else encoder.max_tokens
    tokens, held_tokens = (
        pad([[place[row] for row in text] for text in part], width) for part in (ids, held)
    )
    trainer = _Trainer(
        network, task, settings, tokens[known], held_tokens, np.flatnonzero(known), strength
    )
    steps = _steps(network, strategy, settings)
    if kept is not None:
        done += kept.restore(network)
    total = sum(step.epochs * step.runs for step in steps[len(done) :])
    with tqdm(total=total, desc=strategy, unit="epoch", leave=False, disable=None) as bar:
        for step in steps[len(done) :]:
            bar.set_postfix_str(step.name)
            done.append(trainer.make(step, [seed, len(done)], bar.update))
            if kept is not None:
                kept.keep(network, done)
    table, scales = np.array(encoder.table), np.array(encoder.scales)
    table[at[1:]], scales[at[1:]] = quantize(np.asarray(network.words.get_weights()[0])[1:])
    tuned = Encoder(
        encoder.vocabulary, table, scales, question_graph(model).SerializeToString(),
        encoder.settings, encoder.folder,
    )  # fmt: skip
    kernel, bias = network.last.get_weights()
    return tuned, dataclasses.replace(head, kernel=kernel, bias=bias)


def _begun(
    encoder: Encoder, strategy: str, settings: FineTuneSettings, seed: int
) -> tuple[SQAM, Encoder]:
    """Return the Keras model to begin with, and the same as an encoder of the task's length."""
    codes = np.zeros((1, encoder.settings["code_size"]), dtype=np.float32)
    model = restore(encoder.folder, codes)
    kept = Encoder.load(encoder.folder)
    if kept.graph != encoder.graph or not np.array_equal(kept.table, encoder.table):
        raise InputError(
            f"the encoder is not the one at {str(encoder.folder)!r}, which training begins with; "
            "load one that train_sqam wrote, or take the strategy 'last'"
        )
    table, scales, graph = encoder.table, encoder.scales, encoder.graph
    if strategy == "new":
        rng = np.random.default_rng([seed, 1])
        # As Keras begins with word vectors.
        vectors = rng.uniform(-0.05, 0.05, table.shape).astype(np.float32)
        vectors[0] = 0
        table, scales = quantize(vectors)
        model = SQAM(model.settings, vectors[1:], codes, seed)
        graph = question_graph(model).SerializeToString()
    read = settings.tokens if encoder.settings["mask"] else encoder.max_tokens
    shaped = {**encoder.settings, "max_tokens": read}
    return model, Encoder(encoder.vocabulary, table, scales, graph, shaped, encoder.folder)


class _Trainer:
    """Makes steps of a training: each from the weights at hand, to the best that it finds.

    Args:
        network: that is trained.
        task: its labels and validation labels.
        settings: of the training.
        tokens: int32 (n, width), the training texts.
        held: int32 (m, width), the validation texts.
        rows: int (n,), which of the task's texts these are.
        strength: of the last layer.
    """

    def __init__(
        self,
        network: _Network,
        task: _Task,
        settings: FineTuneSettings,
        tokens: np.ndarray,
        held: np.ndarray,
        rows: np.ndarray,
        strength: float,
    ) -> None:
        self._network, self._task, self._settings = network, task, settings
        self._tokens, self._held = tokens, held
        # The labels, then how much each of them counts.
        self._targets = np.concatenate([task.correct, task.weights], axis=1)[rows]
        self._batch = min(settings.batch, len(tokens))
        # As `LogisticRegression` weighs its penalty: two logits for two classes halve a kernel.
        penalty = 0.5 / (strength * len(tokens))
        if len(task.classes) == 2 and not task.multi_label:
            penalty *= 2
        classes = len(task.classes)

        def loss(targets: Any, logits: Any) -> Any:
            correct, weights = targets[:, :classes], targets[:, classes:]
            if task.multi_label:
                losses = ops.softplus(logits) - correct * logits
            else:
                losses = -correct * ops.log_softmax(logits, axis=-1)
            kernel = network.last.kernel
            return ops.sum(weights * losses, axis=-1) + penalty * ops.sum(ops.square(kernel))

        self._optimizer = _Adam(clipnorm=1.0, name="adam")
        network.compile(self._optimizer, loss=loss, jit_compile=False)
        self._optimizer.build(network.trainable_variables)
        self._beginning = [ops.convert_to_numpy(value) for value in self._optimizer.variables]

    def make(
        self, step: _Step, seed: Sequence[int], progress: Callable[[int], object]
    ) -> dict[str, Any]:
        """Make a step; return how many epochs it took and what it came to.

        The best weights are those of the epoch with the lowest validation loss, if that is lower
        than before; without validation texts those of the last.
        """
        before = self._weights()
        made, epochs = [], []
        for run in range(step.runs):
            self._set(before)
            epochs.append(self._run(step, [*seed, run], progress))
            made.append(self._weights())
        self._set([np.mean(weights, axis=0) for weights in zip(*made, strict=True)])
        return {"trained": step.name, "epochs": epochs, "loss": self.loss()}

    def _run(
        self, step: _Step, seed: Sequence[int], progress: Callable[[int], object]
    ) -> int:  # fmt: skip
        network, optimizer, batch = self._network, self._optimizer, self._batch
        for variable, value in zip(optimizer.variables, self._beginning, strict=True):
            variable.assign(value)
        factors = {id(v): 1.0 for layer in step.layers for v in layer.trainable_variables}
        factors |= {id(v): step.factor for v in step.layers[-1].trainable_variables}
        for variable, factor in zip(network.trainable_variables, optimizer.factors, strict=True):
            factor.assign(factors.get(id(variable), 0.0))
        rng = np.random.default_rng(seed)
        state = network.seed_generator.state
        state.assign(rng.integers(0, 2**31, size=2).astype(state.dtype))
        n = len(self._tokens)
        steps = step.epochs * -(-n // batch)
        best, best_at, weights = self.loss(), 0, self._weights()
        for epoch in range(step.epochs):
            order = rng.permutation(n)
            # Full batches only, since each shape is compiled: the last one is filled up.
            order = np.concatenate([order, rng.choice(n, size=-n % batch)])
            for at, rows in enumerate(order.reshape(-1, batch), epoch * len(order) // batch):
                optimizer.learning_rate = step.rate * 0.5 * (1 + np.cos(np.pi * at / steps))
                network.train_on_batch(self._tokens[rows], self._targets[rows])
            progress(1)
            loss = self.loss()
            if loss is None or best is None or loss < best:
                best, best_at, weights = loss, epoch + 1, self._weights()
            elif epoch + 1 - best_at >= self._settings.patience:
                progress(step.epochs - epoch - 1)
                break
        self._set(weights)
        return best_at

    def loss(self) -> float | None:
        """Return the validation loss at its best scale; None without validation texts."""
        if not len(self._held):
            return None
        n = len(self._held)
        size = min(n, 256)
        parts = []
        for start in range(0, n, size):
            # One shape, since each is compiled.
            part = np.resize(self._held[start : start + size], (size, self._held.shape[1]))
            parts.append(self._network.predict_on_batch(part)[: n - start])
        logits = np.concatenate(parts)
        return calibrated(logits, self._task.held_correct, self._task.multi_label)[1]

    def _weights(self) -> list[np.ndarray]:
        return [ops.convert_to_numpy(value) for value in self._network.trainable_variables]

    def _set(self, weights: Sequence[np.ndarray]) -> None:
        for variable, value in zip(self._network.trainable_variables, weights, strict=True):
            variable.assign(value)


class _Kept:
    """The weights after each step, in a folder; an interrupted call goes on from there."""

    def __init__(self, folder: Path, run: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log, self._weights = folder / "log.json", folder / "weights-{}.npz"
        self._run = json.loads(json.dumps(run))
        self._done: list[dict[str, Any]] = []
        if self._log.is_file():
            try:
                saved = json.loads(self._log.read_text(encoding="utf-8"))
                same, self._done = saved["run"] == self._run, saved["steps"]
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{str(self._log)!r} is damaged; remove the folder") from error
            if not same:
                raise InputError(
                    f"{str(folder)!r} holds another training; remove it or name another folder"
                )

    def _path(self, steps: int) -> Path:
        return self._weights.with_name(self._weights.name.format(steps))

    def restore(self, network: _Network) -> list[dict[str, Any]]:
        """Load the weights after the last step that was made; return all that were."""
        if self._done:
            with np.load(self._path(len(self._done)), allow_pickle=False) as saved:
                for at, variable in enumerate(network.trainable_variables):
                    variable.assign(saved[f"arr_{at}"])
        return self._done

    def keep(self, network: _Network, steps: list[dict[str, Any]]) -> None:
        """Write the weights, and then the log that names them."""
        with replacing(self._path(len(steps))) as file:
            np.savez(file, *(ops.convert_to_numpy(v) for v in network.trainable_variables))
        with replacing(self._log, "w") as file:
            json.dump({"run": self._run, "steps": steps}, file, indent=1)
        self._path(len(steps) - 1).unlink(missing_ok=True)


def _identity(
    encoder: Encoder, task: _Task, strategy: str, settings: FineTuneSettings, seed: int
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


# For scikit-learn.


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
