"""TweetEval's emoji task (SemEval 2018, task 2): which of 20 emojis a tweet had, by cosine.

    python -m pipelines.tweeteval                          # on the validation part
    python -m pipelines.tweeteval --seeds 0 1 2 3 4        # of the tuned model
    python -m pipelines.tweeteval --test FOLDER            # the same models, on a test part
    python -m pipelines.tweeteval --systems tuned --set balance=0.3 --output x.json

The answers are the codes of the 20 emojis, through the one scoring path; no softmax, no head. All
is measured on two variants of the texts. "leak-free" is what `phrases.clean_tweet` leaves of them.
"as published" keeps U+FE0F, which TweetEval left behind where it took an emoji out: it tells the
red heart and the sun. Our tokenizer passes over it, so the tuned model reads a word in its place,
one that no training tweet has.

"most frequent class" and "linear SVM" (TF-IDF of words and characters) are there to compare with.
"as it ships" is the shipped model without any tuning; its own training saw the training tweets
among much else, and stopped by the validation part, so it is no stranger to either. "tuned" is the
same model trained on the training tweets alone, and "tuned, n-grams" that with what a linear
classifier finds in n-grams put into the same space (``pipelines.ngrams``). A tweet without a known
word is a mistake.

The validation part is for choosing settings (--set), a test part for figures: give it as TweetEval
publishes it (datasets/emoji: test_text.txt and test_labels.txt). It chooses nothing; its results
are written where --output says, and nowhere by default.
"""

import argparse
import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from sklearn.svm import LinearSVC
from tqdm import tqdm

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, check_target, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from emoji_vae.settings import from_mapping, typed
from pipelines import ngrams, phrases, results
from pipelines.emojifier import Labelled, take
from pipelines.evaluate import quality
from pipelines.results_page import shown
from pipelines.train_sqam import DRAWS, WIDTHS, packed
from sqam.export import export, restore
from sqam.model import SQAM
from sqam.scorer import Scorer
from sqam.text import Vocabulary, tokenize


@dataclasses.dataclass(frozen=True)
class TuneSettings:
    """How the shipped model is tuned.

    Attributes:
        epochs: over the training tweets; the weights are those after the last one.
        learning_rate: at first; it falls to 0 along a cosine.
        batch: tweets a step.
        margin: of the hinge loss.
        dropout: on the pooled tweet.
        word_dropout: share of the tokens hidden.
        tokens: of a tweet that are read, in training and ever after.
        balance: from 0 to 1, how much of the log of each class's share the loss explains away, so
            that the cosines need not say it (see ``SQAM.compile_for_training``). 0 serves accuracy,
            about 0.8 macro-F1. Only the loss in its smooth form heeds it.
        ngrams: what n-grams add to a cosine for each unit of the linear classifier's distance.
        strength: of that classifier, the inverse of its penalty.
    """

    epochs: int = 3
    learning_rate: float = 0.001
    batch: int = 128
    margin: float = 0.1
    dropout: float = 0.3
    word_dropout: float = 0.1
    tokens: int = 32
    balance: float = 0.8
    ngrams: float = 0.4
    strength: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.epochs, self.batch, self.tokens) < 1:
            raise InputError("epochs, batch and tokens must be at least 1")
        if not (0 < self.learning_rate <= 1 and 0 <= self.margin <= 2 and 0 <= self.balance <= 1):
            raise InputError(
                "learning_rate must be above 0 to 1, margin from 0 to 2, balance from 0 to 1"
            )
        if self.ngrams < 0 or self.strength <= 0:
            raise InputError("ngrams must be at least 0 and strength above 0")
        if not (0 <= self.dropout < 1 and 0 <= self.word_dropout < 1):
            raise InputError("dropout and word_dropout must be from 0 to below 1")

    def of_model(self) -> dict[str, Any]:
        """Return those that are settings of the network, whose word vectors are tuned as well."""
        names = ("learning_rate", "batch", "margin", "dropout", "word_dropout")
        return {name: getattr(self, name) for name in names} | {
            "max_tokens": self.tokens,
            "popularity": self.balance,
            "tune_embedding": True,
        }


CLASSES = 20
"""Labels go from 0 to below this."""

SELECTOR = "\ufe0f"
"""Variation selector 16, which stands behind ❤ and ☀ and asks for their coloured pictures."""

VARIANTS: dict[str, Callable[[str], str]] = {"leak-free": phrases.clean_tweet, "as published": str}
"""Of the texts, in the order of the results."""

SYSTEMS = ("most frequent class", "linear SVM", "as it ships", "tuned", "tuned, n-grams")
"""In the order of the results."""

TUNED = SYSTEMS[-2:]
"""Those that are trained here, side by side."""

TEXTS, LABELS = "test_text.txt", "test_labels.txt"
"""A test part as it is published."""

GRID: list[dict[str, Any]] = [
    {"C": c, "class_weight": weight}
    for weight, c in itertools.product((None, "balanced"), (0.03, 0.1, 0.3, 1.0))
]
"""What the linear SVM chooses from."""

COMPARED = 2_000
"""Training tweets by which each export is compared with Keras, at most; it asks for 1,000."""

_MODEL = (
    "config.json", "vocabulary.txt", "embedding.npy", "scales.npy", "question.onnx", "answer.onnx",
)  # fmt: skip
_LABELS = {str(label): label for label in range(CLASSES)}


def _label(text: str | None, path: Path, where: str) -> int:
    label = _LABELS.get((text or "").strip())
    if label is None:
        raise InputError(
            f"{str(path)!r}, {where}: the label {text!r:.40} is no whole number from 0 to "
            f"{CLASSES - 1}; mend it"
        )
    return label


def classes(data: Path) -> list[str]:
    """Return the 20 emojis in the order of their labels, written as the catalogue has them.

    Raises:
        InputError: the mapping cannot be read or names anything but 20 emojis for the 20 labels.
    """
    path = data / phrases.Sources().labels
    found = [
        (_label(record["label"], path, f"row {row}"), catalogue().index(record["emoji-or-name"]))
        for row, record in enumerate(phrases.rows(path, "label", "emoji-or-name"), 1)
    ]
    if sorted(label for label, _ in found) != list(range(CLASSES)) or len(dict(found)) != len(
        {place for _, place in found}
    ):
        raise InputError(
            f"{str(path)!r} must name an emoji of its own for each label from 0 to {CLASSES - 1}, "
            "once"
        )
    return [catalogue().sequences[place] for _, place in sorted(found)]


def read(path: Path) -> Labelled:
    """Read a part of the data: texts as they are, and their labels, int64 (n,), 0 to 19.

    Raises:
        InputError: the file cannot be read, lacks a column or any tweet, or a label is none.
    """
    texts, labels = [], []
    for row, record in enumerate(phrases.rows(path, "text", "label"), 1):
        texts.append(record["text"])
        labels.append(_label(record["label"], path, f"tweet {row}"))
    if not texts:
        raise InputError(f"{str(path)!r} holds no tweet; name the folder of the data")
    return Labelled(texts, np.array(labels))


def published(folder: Path) -> Labelled:
    """Read a test part in the published layout: a tweet a line, its label in the other file.

    Lines end at "\\n" alone, since tweets hold other line ends.

    Returns:
        Texts as they are, and their labels, int64 (n,), 0 to 19.

    Raises:
        InputError: a file is missing or not UTF-8, there is no line, one has no partner in the
            other file, or a label is none.
    """
    texts, written = (_lines(folder / name) for name in (TEXTS, LABELS))
    path = folder / LABELS
    if len(texts) != len(written):
        raise InputError(
            f"{str(folder / TEXTS)!r} has {len(texts)} lines, {str(path)!r} {len(written)}: line "
            f"{min(len(texts), len(written)) + 1} has no partner; get both files again"
        )
    if not texts:
        raise InputError(f"{str(folder / TEXTS)!r} holds no tweet; get it again")
    labels = [_label(text, path, f"line {line}") for line, text in enumerate(written, 1)]
    return Labelled(texts, np.array(labels))


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_bytes().decode("utf-8").split("\n")
    except OSError as error:
        raise InputError(
            f"cannot read {str(path)!r}: {error.strerror}; name a folder that holds {TEXTS} and "
            f"{LABELS}"
        ) from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(f"{str(path)!r}, line {line}: not UTF-8; get it again") from error
    return lines if lines[-1] else lines[:-1]


class Material(NamedTuple):
    """What the systems learn from and are measured on, in one variant of the texts.

    Attributes:
        train: learnt from.
        by: what the linear SVM chooses its settings by; None for a part of ``train``, see `parted`.
        measured: what figures are of. It chooses nothing.
        fresh: bool (n,), those of ``measured`` that are not in train.
    """

    train: Labelled
    by: Labelled | None
    measured: Labelled
    fresh: np.ndarray

    def of(self, variant: str) -> Self:
        """Return all of it with the texts as one of `VARIANTS` has them."""

        def changed(data: Labelled) -> Labelled:
            return data._replace(sentences=[VARIANTS[variant](text) for text in data.sentences])

        return self._replace(
            train=changed(self.train),
            by=None if self.by is None else changed(self.by),
            measured=changed(self.measured),
        )


def stand_in(vocabulary: Vocabulary, texts: Sequence[str]) -> str:
    """Return the rarest word that no text has, in whatever form: it is to stand for U+FE0F.

    Raises:
        InputError: there is none.
    """
    met = {row for text in texts for row in vocabulary.ids(text)}
    for row, word in reversed(list(enumerate(vocabulary.words))):
        if row not in met and word.isalpha() and tokenize(word) == [word]:
            return word
    raise InputError("the training tweets have every word of the model; none can stand for U+FE0F")


def spelled_out(texts: Sequence[str], word: str) -> list[str]:
    """Return texts in which the word stands for U+FE0F, so that the tokenizer finds it."""
    return [text.replace(SELECTOR, f" {word} ") for text in texts]


def not_in_train(train: Sequence[str], texts: Sequence[str]) -> np.ndarray:
    """Tell of each text, bool (n,), that it is no training text: without leaks and case."""
    known = {phrases.clean_tweet(text).lower() for text in train}
    return np.array([phrases.clean_tweet(text).lower() not in known for text in texts], dtype=bool)


def measure(answers: np.ndarray, material: Material) -> dict[str, float]:
    """Return ``quality`` of what is measured and, if there is any, of what of it is not in train.

    Args:
        answers: int (n,).
        material: with n tweets to measure on.
    """
    labels, fresh = material.measured.labels, material.fresh
    found = quality(answers, labels, CLASSES)
    if fresh.any():
        alone = quality(answers[fresh], labels[fresh], CLASSES)
        found |= {f"{name}, not in train": value for name, value in alone.items()}
    return found


def answered(scorer: Scorer, texts: Sequence[str], codes: EmojiCodes) -> np.ndarray:
    """Return the place of each text's nearest code, int (n,); -1 without a known word."""
    return np.where(scorer.known(texts), scorer.score(texts, codes).argmax(axis=1), -1)


def parted(train: Labelled) -> tuple[Labelled, Labelled]:
    """Part the training tweets by a hash of their tokens: 85 % to fit on, 15 % to choose by.

    Raises:
        InputError: one of the two is empty.
    """
    keys = [" ".join(tokenize(text)) for text in train.sentences]
    aside = np.array([phrases.part(key) != "train" for key in keys])
    if aside.all() or not aside.any():
        raise InputError(f"{len(keys)} training tweets are too few to choose by; give more")
    return take(train, np.flatnonzero(~aside)), take(train, np.flatnonzero(aside))


def choose(fit_on: Labelled, by: Labelled) -> dict[str, Any]:
    """Return that one of `GRID` which, fitted on some tweets, has the best macro-F1 on others."""
    found = ngrams.features()
    seen, asked = found.fit_transform(fit_on.sentences), found.transform(by.sentences)

    def macro(settings: dict[str, Any]) -> float:
        fitted = LinearSVC(**settings, random_state=0).fit(seen, fit_on.labels)
        return quality(fitted.predict(asked), by.labels, CLASSES)["macro-F1"]

    return max(tqdm(GRID, "linear SVM", leave=False, disable=None), key=macro)


def linear_svm(material: Material) -> tuple[np.ndarray, dict[str, Any]]:
    """Return a linear SVM's answers to what is measured, int (n,), and the settings it chose."""
    train, by = material.train, material.by
    chosen = choose(*(parted(train) if by is None else (train, by)))
    found = ngrams.features()
    fitted = LinearSVC(**chosen, random_state=0)
    fitted.fit(found.fit_transform(train.sentences), train.labels)
    return fitted.predict(found.transform(material.measured.sentences)), chosen


Example = tuple[list[int], dict[int, float]]
"""A tweet's words as rows of the vocabulary, and its grades: label -> 1."""


def examples(train: Labelled, vocabulary: Vocabulary, tokens: int) -> list[Example]:
    """Return the tweets to tune on. One without a known word teaches nothing and is left out.

    Raises:
        InputError: none has a known word.
    """
    rows = [vocabulary.ids(text, tokens) for text in train.sentences]
    found = [
        (ids, {label: 1.0})
        for ids, label in zip(rows, train.labels.tolist(), strict=True)
        if ids
    ]  # fmt: skip
    if not found:
        raise InputError("no training tweet has a word that the model knows; give other tweets")
    return found


def tune(
    folder: Path, codes: EmojiCodes, train: Sequence[Example], settings: TuneSettings, seed: int
) -> SQAM:
    """Train an exported model further.

    Args:
        folder: of the model, which stays as it is.
        codes: of the classes, in the order of the labels.
        train: the tweets.
        settings: of the training.
        seed: of the order of the tweets and of what is dropped out; at least 0.
    """
    model = restore(folder, codes.codes, **settings.of_model())

    def batches(epoch: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        rng = np.random.default_rng([seed, epoch])
        return packed(train, model.settings, WIDTHS, len(codes), rng)

    steps = sum(1 for _ in batches(0))
    labels = [label for _, grades in train for label in grades]
    seen = np.bincount(labels, minlength=len(codes)).astype(float)
    model.compile_for_training(steps * settings.epochs, seen)
    for epoch in range(settings.epochs):
        model.draw_from((seed * settings.epochs + epoch) * DRAWS)
        model.reset_metrics()
        done = tqdm(
            batches(epoch), f"epoch {epoch + 1}", total=steps, leave=False, unit="batch",
            disable=None,
        )  # fmt: skip
        for ids, correct in done:
            # Keras gives the mean of the epoch so far.
            done.set_postfix(loss=f"{float(model.train_on_batch(ids, correct)):.4f}")
    return model


class Models(NamedTuple):
    """What answers by cosine.

    Attributes:
        folder: of the model, which is tuned too.
        scorer: the same, opened.
        codes: of the classes, in the order of the labels.
        word: that the tuned model reads in the place of U+FE0F.
        settings: of tuning.
        seeds: of tuning.
    """

    folder: Path
    scorer: Scorer
    codes: EmojiCodes
    word: str
    settings: TuneSettings
    seeds: Sequence[int]


def tuned(material: Material, models: Models) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield what each seed's tuned model, exported, answers to what is measured.

    Yields:
        int (n,) of the model alone, and int (n,) with n-grams beside it.

    Raises:
        InputError: fewer than 1,000 training tweets, or none with a known word.
    """
    vocabulary, settings = models.scorer.vocabulary, models.settings
    texts = spelled_out(material.train.sentences, models.word)
    asked = spelled_out(material.measured.sentences, models.word)
    train = examples(material.train._replace(sentences=texts), vocabulary, settings.tokens)
    beside = ngrams.NGrams(*material.train, CLASSES, settings.strength)
    for seed in tqdm(models.seeds, "seeds", leave=False, disable=None):
        model = tune(models.folder, models.codes, train, settings, seed)
        with tempfile.TemporaryDirectory() as folder:
            export(model, vocabulary.words, Path(folder), {}, models.codes, texts[:COMPARED])
            scorer = Scorer.load(folder)
            yield (
                answered(scorer, asked, models.codes),
                ngrams.classify(
                    scorer, beside, material.measured.sentences, asked, models.codes,
                    settings.ngrams,
                ),
            )  # fmt: skip


def figures(systems: Sequence[str], material: Material, models: Models) -> dict[str, Any]:
    """Return the figures of systems: name -> value in [0, 1], or what `results.spread` returns.

    Args:
        systems: some of `SYSTEMS`, in their order.
        material: of one variant.
        models: for those that need them.
    """
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in TUNED if name in systems}
    if runs:
        for both in tuned(material, models):
            for name, answers in zip(TUNED, both, strict=True):
                if name in runs:
                    runs[name].append(measure(answers, material))
    found: dict[str, Any] = {}
    for name in systems:
        if name == "most frequent class":
            most = np.bincount(material.train.labels).argmax()
            found[name] = measure(np.full(len(material.fresh), most), material)
        elif name == "linear SVM":
            answers, chosen = linear_svm(material)
            found[name] = measure(answers, material) | chosen
        elif name == "as it ships":
            texts = material.measured.sentences
            found[name] = measure(answered(models.scorer, texts, models.codes), material)
        else:
            rows = runs[name]
            found[name] = {key: results.spread([row[key] for row in rows]) for key in rows[0]}
    return found


def settings_from(changes: Sequence[str]) -> TuneSettings:
    """Read ``NAME=VALUE`` changes to the settings of tuning.

    Raises:
        InputError: a change of another form, a setting that does not exist or a value it refuses.
    """
    return from_mapping(TuneSettings, typed(changes, TuneSettings))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.tweeteval", description=__doc__)
    add = parser.add_argument
    add("--test", type=Path, metavar="FOLDER", help=f"measure on its {TEXTS} and {LABELS}")
    add("--seeds", type=int, nargs="+", default=[0], metavar="S", help="of the tuned model")
    add(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
        help="change a setting of TuneSettings",
    )  # fmt: skip
    add("--systems", nargs="+", default=list(SYSTEMS), metavar="NAME", help="default: all")
    add("--model", type=Path, default=asset("models", "sqam"), help="folder of the trained model")
    add("--codes", type=Path, default=asset("models", "vae", "codes.npz"), help="its answers")
    add("--data", type=Path, default=phrases.DATA, help="folder with tweeteval/emoji")
    add(
        "--output", type=Path,
        help="results file; default: tweeteval.json in assets/results, or none with --test",
    )  # fmt: skip
    return run(parser.prog, lambda: _work(parser.parse_args(argv), argv))


def _work(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    if unknown := [name for name in options.systems if name not in SYSTEMS]:
        raise InputError(f"there is no system {unknown[0]!r}; choose from {', '.join(SYSTEMS)}")
    if min(options.seeds) < 0:
        raise InputError(f"the seed {min(options.seeds)} is below 0; give whole numbers from 0 on")
    settings = settings_from(options.changes)
    output = options.output
    if output is None and options.test is None:
        output = asset("results", "tweeteval.json")
    if output is not None:
        check_target(output)

    part = "validation" if options.test is None else "test"
    sources = phrases.Sources()
    parts = [options.data / sources.labelled_tweets.format(name) for name in ("train", "val")]
    train, validation = (read(path) for path in parts)
    measured = validation if options.test is None else published(options.test)
    fresh = not_in_train(train.sentences, measured.sentences)
    material = Material(train, None if options.test is None else validation, measured, fresh)
    names = classes(options.data)
    if missing := set(range(CLASSES)) - set(train.labels.tolist()):
        raise InputError(f"{str(parts[0])!r} has no tweet of label {min(missing)}; get it again")
    scorer = Scorer.load(options.model)
    codes = EmojiCodes.load(options.codes).select(names)
    word = stand_in(scorer.vocabulary, train.sentences)
    models = Models(options.model, scorer, codes, word, settings, options.seeds)
    files = [*parts, options.data / sources.labels, options.codes]
    files += [options.model / name for name in _MODEL]
    if options.test is not None:
        files += [options.test / name for name in (TEXTS, LABELS)]
    hashes = results.hashes(files)  # before the work, lest a file change in the meantime

    found: dict[str, dict[str, Any]] = {}
    for variant in VARIANTS:
        shaped = material.of(variant)
        systems = [name for name in SYSTEMS if name in options.systems]
        found[variant] = figures(systems, shaped, models)

    leaks = [sum(SELECTOR in text for text in data.sentences) for data in (train, measured)]
    if output is not None:
        results.write(
            output,
            {
                "command": results.command("pipelines.tweeteval", argv),
                "part": part,
                "tweets": {
                    "train": len(train.labels),
                    "measured": len(fresh),
                    "measured, not in train": int(fresh.sum()),
                    "train, with U+FE0F": leaks[0],
                    "measured, with U+FE0F": leaks[1],
                },
                "classes": names,
                "settings": {
                    "tuned": dataclasses.asdict(settings),
                    "word for U+FE0F": word,
                    "linear SVM": GRID,
                    "linear SVM chooses by": "15 % of the training part, by a hash"
                    if options.test is None
                    else "the validation part",
                },
                "seeds": options.seeds,
                "figures": found,
                "data": hashes,
                "versions": results.versions(),
            },
        )
    print(
        f"{part} part: {len(fresh):,} tweets, {fresh.sum():,} of them not in train; U+FE0F is in "
        f"{shown(leaks[1] / len(fresh), '1%')} of them and in "
        f"{shown(leaks[0] / len(train.labels), '1%')} of the training part"
    )
    for variant, systems_found in found.items():
        print(f"\n{table(variant, systems_found)}")


FIGURES = ("accuracy", "macro-F1", "accuracy, not in train", "macro-F1, not in train")
"""Of a system, in the order of the table."""


def table(title: str, found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the figures of a variant, system -> figure -> value, as a table in per cent."""
    lines = [f"{title:20}" + "".join(f"{name:>24}" for name in FIGURES)]
    for system, row in found.items():
        cells = [shown(row[name], "1%") if name in row else "–" for name in FIGURES]
        lines.append(f"{system:20}" + "".join(f"{cell:>24}" for cell in cells))
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
