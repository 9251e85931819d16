"""Repeat the embedding-layer study: are word vectors learned with the task, or before it, better?

    python -m pipelines.embedding_study
    python -m pipelines.embedding_study --imdb aclImdb --output build/study.json
    python -m pipelines.embedding_study --sizes 50 200 --seeds 0 1 --output build/study.json

François Chollet: Deep Learning with Python (2018), section 6.1: a small network reads 200 film
reviews of 100 tokens through an embedding layer that is learned with the task, or that is GloVe,
frozen. Here GloVe that is tuned comes third, from 50 to 10,000 training examples, on two sets of
tweets and, where its folder is given, on the reviews themselves (the Large Movie Review Dataset,
aclImdb). The learning curves are drawn beside the results, in a .png of the same name.

An interrupted run goes on where it stopped when the same command is given again.
"""

import argparse
import dataclasses
import hashlib
import io
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, PercentFormatter
from PIL import Image
from sklearn.dummy import DummyClassifier
from sklearn.metrics import accuracy_score, f1_score

from emoji_vae import images
from emoji_vae.command import Parser, check_target, positive, progress, run
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from emoji_vae.locations import asset
from pipelines import glove, phrases, results, sources
from sqam.text import tokenize

TREATMENTS = {
    "learned": "learned with the task",
    "frozen": "GloVe, frozen",
    "tuned": "GloVe, then tuned",
}
"""What becomes of the embedding layer, by name."""

MEASURES = {"accuracy": "accuracy", "macro-F1": "macro-F1"}
"""Figures on the test texts, by name; what they are called in the picture."""

_COLOURS = {"learned": "#0072b2", "frozen": "#d55e00", "tuned": "#009e73"}
_AIRLINE = "airline/tweets.csv.gz"
_OFFENSIVE = "tweeteval/offensive/{}.csv.gz"


@dataclasses.dataclass(frozen=True)
class StudySettings:
    """The network and its training, as the book has them; saved with the results.

    Attributes:
        tokens: that a text has; of a longer one the last are read, a shorter one is padded in
            front.
        words: of the vocabulary: the most frequent ones of all training texts, whatever the number
            of examples.
        glove: word vectors; see ``pipelines.glove.load``.
        hidden: units of the dense layer.
        learning_rate: of RMSprop.
        batch: texts a step.
        epochs: of training.
        sizes: numbers of training examples; those that a set does not have are left out.
    """

    tokens: int = 100
    words: int = 10_000
    glove: str = "100d"
    hidden: int = 32
    learning_rate: float = 0.001
    batch: int = 32
    epochs: int = 10
    sizes: tuple[int, ...] = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)

    def __post_init__(self) -> None:
        numbers = (self.tokens, self.words, self.hidden, self.batch, self.epochs, *self.sizes)
        if not self.sizes or min(numbers) < 1 or not self.learning_rate > 0:
            raise InputError(
                "all settings of the study must be above 0; change the one that is not"
            )


class Text(NamedTuple):
    """The tokens of a text and its class, 0 or 1."""

    tokens: tuple[str, ...]
    label: int


@dataclasses.dataclass(frozen=True)
class TextSet:
    """A data set of two classes, no text of which is in both parts, or twice in one.

    Attributes:
        title: what it is, for people.
        train: texts that training draws from.
        test: texts that are measured on.
        data: hashes of its files.
    """

    title: str
    train: list[Text]
    test: list[Text]
    data: dict[str, str]


def parted(
    train: Iterable[tuple[str, int]], test: Iterable[tuple[str, int]]
) -> tuple[list[Text], list[Text]]:
    """Tokenize texts; keep each once, on the side of the test where it stands on both.

    A text is known by its tokens. Texts without a token, and those that carry both labels, are
    left out.
    """
    labels: dict[tuple[str, ...], set[int]] = {}
    held_out: set[tuple[str, ...]] = set()
    for rows, is_test in ((train, False), (test, True)):
        for text, label in rows:
            tokens = tuple(tokenize(text))
            labels.setdefault(tokens, set()).add(label)
            if is_test:
                held_out.add(tokens)
    texts = [Text(t, min(both)) for t, both in labels.items() if t and len(both) == 1]
    return (
        [text for text in texts if text.tokens not in held_out],
        [text for text in texts if text.tokens in held_out],
    )


def airline(data: Path) -> TextSet:
    """Read the airline tweets, positive (1) or negative (0); a fifth of the texts is the test.

    Which fifth, a hash of the tokens says.

    Raises:
        InputError: the file is missing, lacks a column or holds another sentiment.
    """
    path = data / _AIRLINE
    parts: tuple[list[tuple[str, int]], list[tuple[str, int]]] = ([], [])
    for row in phrases.rows(path, "text", "airline_sentiment"):
        sentiment = row["airline_sentiment"]
        if sentiment not in ("negative", "neutral", "positive"):
            raise InputError(
                f"{str(path)!r} has the airline_sentiment {sentiment!r:.40}; it must be negative, "
                "neutral or positive"
            )
        if sentiment != "neutral":
            key = " ".join(tokenize(row["text"]))
            digest = hashlib.sha256(key.encode()).digest()
            parts[digest[0] < 256 / 5].append((row["text"], int(sentiment == "positive")))
    title = "airline tweets: positive or negative"
    return TextSet(title, *parted(*parts), {_AIRLINE: results.sha256(path)})


def offensive(data: Path) -> TextSet:
    """Read TweetEval's offensive tweets (1) and others (0); its validation split is the test.

    Its own test split is not there; nothing is chosen by either.

    Raises:
        InputError: a file is missing, lacks a column or holds another label.
    """
    files = [_OFFENSIVE.format(part) for part in ("train", "val")]
    parts = [list(_labelled(data / name)) for name in files]
    return TextSet(
        "TweetEval: offensive or not",
        *parted(*parts),
        {name: results.sha256(data / name) for name in files},
    )


def _labelled(path: Path) -> Iterator[tuple[str, int]]:
    for row in phrases.rows(path, "text", "label"):
        if row["label"] not in ("0", "1"):
            raise InputError(f"{str(path)!r} has the label {row['label']!r:.40}; it must be 0 or 1")
        yield row["text"], int(row["label"])


def imdb(folder: Path) -> TextSet:
    """Read film reviews, positive (1) or negative (0), in the layout of aclImdb.

    That is ``{train,test}/{pos,neg}/*.txt``. Andrew Maas et al.: Learning Word Vectors for
    Sentiment Analysis (ACL 2011).

    Raises:
        InputError: a folder is missing or empty, or a file is no UTF-8.
    """
    names = [f"{part}/{kind}" for part in ("train", "test") for kind in ("neg", "pos")]
    files = {name: sorted((folder / name).glob("*.txt")) for name in names}
    if missing := [name for name in names if not files[name]]:
        raise InputError(
            f"{str(folder)!r} has no texts at {', '.join(f'{name}/*.txt' for name in missing)}; "
            "name a folder laid out like aclImdb"
        )
    parts: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    digest = hashlib.sha256()
    for name, paths in files.items():
        part, kind = name.split("/")
        for path in paths:
            content = path.read_bytes()
            digest.update(f"{name}/{path.name}\n{len(content)}\n".encode() + content)
            try:
                text = content.decode("utf-8").replace("<br />", " ")
            except UnicodeDecodeError as error:
                raise InputError(f"cannot read {str(path)!r}: {error}; get it again") from error
            parts[part].append((text, int(kind == "pos")))
    title = "IMDB reviews: positive or negative"
    return TextSet(title, *parted(**parts), {"aclImdb": digest.hexdigest()})


SETS: dict[str, Callable[[Path], TextSet]] = {"airline": airline, "offensive": offensive}
"""The data sets below the data's folder, by name."""


@dataclasses.dataclass(frozen=True)
class Arrays:
    """A data set in numbers.

    Attributes:
        train: int32 (n, tokens), rows of the embedding, 0 for padding.
        train_labels: int (n,), 0 or 1.
        test: int32 (m, tokens).
        test_labels: int (m,).
        vectors: float32 (words + 1, d): GloVe's of the vocabulary; zeros in row 0 and for words
            that GloVe lacks.
        known: how many of the words GloVe has.
    """

    train: np.ndarray
    train_labels: np.ndarray
    test: np.ndarray
    test_labels: np.ndarray
    vectors: np.ndarray
    known: int


def arrays(texts: TextSet, pretrained: glove.Glove, settings: StudySettings) -> Arrays:
    """Turn texts into rows of an embedding whose words are the most frequent of training.

    Words beyond the vocabulary are passed over, as the book's tokenizer does.
    """
    counts = Counter(token for text in texts.train for token in text.tokens)
    rows = {word: row for row, (word, _) in enumerate(counts.most_common(settings.words), start=1)}
    vectors = np.zeros((len(rows) + 1, pretrained.vectors.shape[1]), np.float32)
    place = {word: at for at, word in enumerate(pretrained.words) if word in rows}
    for word, at in place.items():
        vectors[rows[word]] = pretrained.vectors[at]

    def ids(part: Sequence[Text]) -> np.ndarray:
        known = [[rows[token] for token in text.tokens if token in rows] for text in part]
        return keras.utils.pad_sequences(known, maxlen=settings.tokens)

    def labels(part: Sequence[Text]) -> np.ndarray:
        return np.array([text.label for text in part])

    return Arrays(
        ids(texts.train),
        labels(texts.train),
        ids(texts.test),
        labels(texts.test),
        vectors,
        len(place),
    )


class Network:
    """The book's network; compiled once and trained anew as often as one likes.

    Embedding, flatten, dense with relu, dense with sigmoid; binary cross-entropy, RMSprop. Padding
    is a zero vector whatever the treatment: texts of tweets are mostly padding.

    Args:
        settings: of the study.
        shape: rows and dimensions of the embedding.
        trainable: whether the embedding is trained.
    """

    def __init__(self, settings: StudySettings, shape: tuple[int, int], trainable: bool) -> None:
        self._settings = settings
        layers = keras.layers
        ids = keras.Input((settings.tokens,), dtype="int32")
        self._embedding = layers.Embedding(*shape, trainable=trainable)
        written = ops.cast(ops.not_equal(ids, 0), "float32")[..., None]
        x = layers.Flatten()(self._embedding(ids) * written)
        self._dense = [layers.Dense(settings.hidden, "relu"), layers.Dense(1, "sigmoid")]
        for layer in self._dense:
            x = layer(x)
        self._model = keras.Model(ids, x)
        self._model.compile(
            optimizer=keras.optimizers.RMSprop(settings.learning_rate),
            loss="binary_crossentropy",
            jit_compile=False,
            # The steps are so small that going back to Python after each would cost a third more.
            steps_per_execution=16,
        )
        optimizer = self._model.optimizer
        optimizer.build(self._model.trainable_variables)
        self._fresh = [variable.numpy() for variable in optimizer.variables]

    def fit(
        self, ids: np.ndarray, labels: np.ndarray, seed: int, vectors: np.ndarray | None = None
    ) -> None:
        """Train from the start: nothing of an earlier training is left.

        Args:
            ids: int32 (n, tokens).
            labels: int (n,), 0 or 1.
            seed: of the weights and the order of the texts.
            vectors: float32, what the embedding starts from; drawn at random if None.
        """
        keras.utils.set_random_seed(seed)
        # The dense layers first: they start alike whatever becomes of the embedding.
        for layer in self._dense:
            kernel, bias = layer.get_weights()
            drawn = ops.convert_to_numpy(keras.initializers.GlorotUniform()(kernel.shape))
            layer.set_weights([drawn, np.zeros_like(bias)])
        if vectors is None:
            shape = self._embedding.get_weights()[0].shape
            vectors = ops.convert_to_numpy(keras.initializers.RandomUniform()(shape))
        self._embedding.set_weights([vectors])
        for variable, value in zip(self._model.optimizer.variables, self._fresh, strict=True):
            variable.assign(value)
        self._model.fit(
            ids,
            labels.astype(np.float32),
            batch_size=self._settings.batch,
            epochs=self._settings.epochs,
            verbose=0,
        )

    def classify(self, ids: np.ndarray) -> np.ndarray:
        """Return the classes, int (n,), 0 or 1."""
        found = self._model.predict(ids, batch_size=512, verbose=0)
        return (found[:, 0] > 0.5).astype(int)


def measure(labels: np.ndarray, found: np.ndarray) -> dict[str, float]:
    """Return accuracy and macro-F1 in [0, 1] of found classes (n,) against the labels (n,)."""
    return {
        "accuracy": float(accuracy_score(labels, found)),
        "macro-F1": float(f1_score(labels, found, labels=[0, 1], average="macro", zero_division=0)),
    }


def majority(numbers: Arrays) -> dict[str, float]:
    """Return the figures of always answering the most frequent class of the training texts."""
    always = DummyClassifier(strategy="most_frequent").fit(numbers.train, numbers.train_labels)
    return measure(numbers.test_labels, always.predict(numbers.test))


class Kept:
    """The figures of finished runs in a file, so that an interrupted study goes on.

    Args:
        path: of the file; its folder is made.
        study: what makes the runs what they are: settings, hashes of data, versions.

    Raises:
        InputError: the file holds runs of another study, or is damaged.
    """

    def __init__(self, path: Path, study: dict[str, Any]) -> None:
        self._path = path
        self._study = json.loads(json.dumps(study))
        self.runs: dict[str, dict[str, float]] = {}
        if path.is_file():
            try:
                saved = json.loads(path.read_text(encoding="utf-8"))
                same, self.runs = saved["study"] == self._study, saved["runs"]
            except (KeyError, TypeError, ValueError) as error:
                raise InputError(f"{str(path)!r} is damaged; remove it") from error
            if not same:
                raise InputError(
                    f"{str(path)!r} holds runs with other settings, data or versions; remove it or "
                    "name another folder with --work"
                )
        path.parent.mkdir(parents=True, exist_ok=True)

    def add(self, name: str, figures: dict[str, float]) -> None:
        """Keep a run's figures."""
        self.runs[name] = figures
        with replacing(self._path, "w") as file:
            json.dump({"study": self._study, "runs": self.runs}, file, indent=1)


def study(
    numbers: Arrays,
    settings: StudySettings,
    seeds: Sequence[int],
    kept: Kept,
    count: Callable[[int], object] | None = None,
) -> dict[str, dict[str, dict[str, Any]]]:
    """Train and measure every treatment at every size and seed.

    The examples of a smaller size are among those of a larger one of the same seed, and the same
    for all treatments.

    Returns:
        Number of examples -> treatment -> figure -> `results.spread` over the seeds.
    """
    sizes = [size for size in settings.sizes if size <= len(numbers.train)]
    for treatment in TREATMENTS:
        network = None
        for size in sizes:
            for seed in seeds:
                name = f"{size}/{treatment}/{seed}"
                if name not in kept.runs:
                    network = network or Network(
                        settings, numbers.vectors.shape, trainable=treatment != "frozen"
                    )
                    chosen = np.random.default_rng(seed).permutation(len(numbers.train))[:size]
                    network.fit(
                        numbers.train[chosen],
                        numbers.train_labels[chosen],
                        seed,
                        None if treatment == "learned" else numbers.vectors,
                    )
                    found = network.classify(numbers.test)
                    kept.add(name, measure(numbers.test_labels, found))
                if count:
                    count(1)
    return {
        str(size): {
            treatment: {
                figure: results.spread(
                    [kept.runs[f"{size}/{treatment}/{seed}"][figure] for seed in seeds]
                )
                for figure in MEASURES
            }
            for treatment in TREATMENTS
        }
        for size in sizes
    }


def picture(found: dict[str, Any]) -> Image.Image:
    """Draw the learning curves: a column a data set, a row a figure; bands of one deviation.

    Args:
        found: the results' ``sets``.

    Returns:
        An image of few colours, so that its file is small.
    """
    figure = Figure((1 + 4.2 * len(found), 6.8), dpi=100, layout="constrained")
    panels = figure.subplots(len(MEASURES), len(found), sharex="col", squeeze=False)
    for column, each in zip(panels.T, found.values(), strict=True):
        column[0].set_title(each["title"], size="medium")
        column[-1].set_xlabel("training examples")
        sizes = [int(size) for size in each["figures"]]
        for axes, (measured, label) in zip(column, MEASURES.items(), strict=True):
            for treatment, meaning in TREATMENTS.items():
                spreads = [row[treatment][measured] for row in each["figures"].values()]
                mean = np.array([spread["mean"] for spread in spreads])
                deviation = np.array([spread["sd"] or 0 for spread in spreads])
                colour = _COLOURS[treatment]
                axes.plot(sizes, mean, marker="o", markersize=3, color=colour, label=meaning)
                axes.fill_between(
                    sizes, mean - deviation, mean + deviation, color=colour, alpha=0.2, linewidth=0
                )
            always = each["majority"][measured]
            axes.axhline(always, color="#777777", linestyle=":", label="most frequent class")
            axes.set_xscale("log")
            axes.set_xticks(sizes)
            axes.xaxis.set_major_formatter(FuncFormatter(lambda size, _: f"{size:,.0f}"))
            axes.minorticks_off()
            axes.tick_params(axis="x", labelrotation=45)
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
            axes.set_ylabel(label)
            axes.grid(alpha=0.3)
    named = panels[0, 0].get_legend_handles_labels()
    figure.legend(*named, loc="outside lower center", ncols=2 if len(found) == 1 else 4)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return Image.open(file).convert("RGB").quantize(96)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.embedding_study", description=__doc__)
    default = StudySettings()
    add = parser.add_argument
    add("--data", type=Path, default=phrases.DATA, metavar="FOLDER", help="of the tweets")
    add("--imdb", type=Path, metavar="FOLDER", help="film reviews in the layout of aclImdb as well")
    add("--cache", type=Path, default=sources.CACHE, metavar="FOLDER", help="of downloads")
    add("--glove", default=default.glove, metavar="SOURCE", help="100d, 50d or your own file")
    add("--sizes", type=positive, nargs="+", default=default.sizes, help="training examples")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    add("--work", type=Path, default=Path("build/embedding-study"), metavar="FOLDER",
        help="of the finished runs")  # fmt: skip
    add("--output", type=Path, default=asset("results", "embedding-study.json"), metavar="FILE",
        help="results; the picture has the same name with .png")  # fmt: skip
    return run(parser.prog, lambda: _study(parser.parse_args(argv), argv))


def _study(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    if min(options.seeds) < 0:
        raise InputError(f"the seed {min(options.seeds)} is below 0; give another")
    drawn = options.output.with_suffix(".png")
    if options.output == drawn:
        raise InputError(f"{str(drawn)!r} is the picture's name; name the results .json")
    for target in (options.output, drawn):
        check_target(target)
    settings = StudySettings(
        glove=options.glove, sizes=tuple(sorted(set(options.sizes))),
    )  # fmt: skip
    texts = {} if options.imdb is None else {"imdb": imdb(options.imdb)}
    texts = {**{name: read(options.data) for name, read in SETS.items()}, **texts}
    for name, each in texts.items():
        if len(each.train) < settings.sizes[0] or not each.test:
            raise InputError(
                f"{name!r} has {len(each.train)} training and {len(each.test)} test texts, too "
                f"few for the least of the sizes, {settings.sizes[0]}; change --sizes"
            )
    pretrained = glove.load(settings.glove, options.cache)
    vectors = glove.hashes(settings.glove)

    sets: dict[str, Any] = {}
    fits = len(TREATMENTS) * len(options.seeds) * sum(
        size <= len(each.train) for each in texts.values() for size in settings.sizes
    )  # fmt: skip
    with progress(fits, "trainings") as count:
        for name, each in texts.items():
            numbers = arrays(each, pretrained, settings)
            same = dataclasses.asdict(settings)
            del same["sizes"]  # More sizes or seeds do not change a run.
            data = {**each.data, **vectors}
            kept = Kept(
                options.work / f"{name}.json",
                {"settings": same, "data": data, "versions": results.versions()},
            )
            sets[name] = {
                "title": each.title,
                "training texts": len(each.train),
                "test texts": len(each.test),
                "words": len(numbers.vectors) - 1,
                "words that GloVe has": numbers.known,
                "majority": {k: round(v, 5) for k, v in majority(numbers).items()},
                "figures": study(numbers, settings, options.seeds, kept, count),
            }
    results.write(
        options.output,
        {
            "command": results.command("pipelines.embedding_study", argv),
            "settings": dataclasses.asdict(settings),
            "seeds": options.seeds,
            "sets": sets,
            "data": {**{k: v for each in texts.values() for k, v in each.data.items()}, **vectors},
            "versions": results.versions(),
        },
    )
    images.save(drawn, picture(sets))
    for name, found in sets.items():
        print(
            f"{name}: always the most frequent class: accuracy {found['majority']['accuracy']:.3f}"
        )
        for size, row in found["figures"].items():
            cells = [f"{t} {row[t]['accuracy']['mean']:.3f}" for t in TREATMENTS]
            print(f"{size:>7} examples   {'   '.join(cells)}")


if __name__ == "__main__":
    sys.exit(main())
