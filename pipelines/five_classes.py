"""The Emojifier's five classes ❤️ ⚾ 😄 😞 🍴 by cosine: no softmax, no head, the one scoring path.

    python -m pipelines.five_classes                       # the table; minutes
    python -m pipelines.five_classes --search              # choose how to tune, by validation
    python -m pipelines.five_classes --model build/sqam/default-0/model --output x.json

Three settings: the shipped model as it is (zero-shot), the shipped model tuned on the 132 training
sentences, and the same network trained on nothing but these. Each is exported and read through
``Scorer.classify``. What is tuned with is chosen by cross-validation on the training sentences.
``--search`` also says how the phrasebook's sentences kept for choices are read, which tells what
tuning has unlearnt: mixing the weights with those before (``kept``) or showing sentences of the
phrasebook again (``replay``) wins some of that back, and loses in cross-validation, so by default
neither is done.
"""

import argparse
import dataclasses
import itertools
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from keras import ops
from sklearn.model_selection import RepeatedStratifiedKFold
from tqdm import tqdm

from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import glove, phrases, results, sources
from pipelines.emojifier import EMOJIS, Labelled, part_file, read, take
from sqam.encoder import quantize
from sqam.export import export, restore
from sqam.model import SQAM
from sqam.scorer import Scorer
from sqam.text import Vocabulary, pad, tokenize

READINGS = {
    "not feeling happy": "😞",
    "not happy": "😞",
    "this movie is not good and not enjoyable": "😞",
    "I adore you": "❤️",
    "I do not want to joke": "😞",
}
"""Labelled that Emojifiers are tried with, and what they mean."""

FOLDER = "emojiset"
"""Where the sentences lie among the data."""


@dataclasses.dataclass(frozen=True)
class TuneSettings:
    """How the five classes are trained.

    Attributes:
        epochs: over the training sentences.
        learning_rate: at first; it falls to 0 along a cosine.
        batch: sentences a step.
        margin: of the hinge loss.
        dropout: on the pooled sentence.
        word_dropout: share of the tokens hidden.
        tokens: of a sentence that are read.
        replay: sentences of the phrasebook's training part an epoch, drawn anew each time, that
            are shown with that one of the five classes which they name first.
        kept: share of the weights before in the mean of before and after that is the result
            (Wortsman et al.: Robust fine-tuning of zero-shot models, CVPR 2022); 0 is tuning alone.
    """

    epochs: int = 12
    learning_rate: float = 0.0005
    batch: int = 33
    margin: float = 0.1
    dropout: float = 0.5
    word_dropout: float = 0.1
    tokens: int = 16
    replay: int = 0
    kept: float = 0.0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.epochs, self.batch, self.tokens) < 1 or self.replay < 0:
            raise InputError("epochs, batch and tokens must be at least 1, replay at least 0")
        if not (self.learning_rate > 0 and 0 <= self.dropout < 1 and 0 <= self.word_dropout < 1):
            raise InputError("the rate must be above 0, and the dropouts from 0 to below 1")
        if not 0 <= self.kept < 1:
            raise InputError(f"kept is {self.kept}; it must be from 0 to below 1")

    def of_model(self) -> dict[str, Any]:
        """Return those that are settings of the network, whose word vectors stay as they are."""
        names = ("learning_rate", "batch", "margin", "dropout", "word_dropout")
        return {name: getattr(self, name) for name in names} | {"tune_embedding": False}


TUNED = TuneSettings()
"""For the shipped model; chosen by cross-validation on the training sentences."""
ALONE = TuneSettings(epochs=60, learning_rate=0.001, margin=0.5, dropout=0.5)
"""For the network without any other training, which must learn more; its rate is chosen so."""
GRID = {
    "epochs": (12, 24),
    "margin": (0.1, 0.3),
    "kept": (0.0, 0.3, 0.5, 0.7),
    "replay": (0, 66),
}
"""What ``--search`` tries."""


class Tuner:
    """A model that can be trained again and again from where it began.

    Args:
        model: as it begins.
        vocabulary: its words.
        settings: of the training; those that belong to the network must be in the model's already.
        sentences: of a training, for the schedule of the learning rate.
        again: what ``settings.replay`` is drawn from.
    """

    def __init__(
        self,
        model: SQAM,
        vocabulary: Vocabulary,
        settings: TuneSettings,
        sentences: int,
        again: Labelled | None = None,
    ) -> None:
        self.model = model
        self._vocabulary = vocabulary
        self._settings = settings
        self._again = again
        shown = sentences + (settings.replay if again is not None else 0)
        model.compile_for_training(settings.epochs * -(-shown // settings.batch))
        model.optimizer.build(model.trainable_variables)
        variables = [*model.variables, *model.optimizer.variables]
        self._beginning = [(variable, ops.convert_to_numpy(variable)) for variable in variables]

    def ids(self, texts: Sequence[str]) -> np.ndarray:
        """Return token ids, int32 (n, tokens)."""
        tokens = self._settings.tokens
        return pad([self._vocabulary.ids(text, tokens) for text in texts], tokens)

    def fit(self, data: Labelled, seed: int) -> None:
        """Train from the beginning. A sentence without a known word teaches nothing."""
        for variable, value in self._beginning:
            variable.assign(value)
        rng = np.random.default_rng(seed)
        more = self._again if self._again is not None else Labelled([], np.empty(0, dtype=int))
        ids = self.ids([*data.sentences, *more.sentences])
        labels = np.concatenate([data.labels, more.labels])
        correct = np.eye(len(EMOJIS), dtype=np.float32)[labels]
        written = np.flatnonzero(ids[: len(data.sentences)].any(axis=1))
        others = len(data.sentences) + np.flatnonzero(ids[len(data.sentences) :].any(axis=1))
        replay = min(self._settings.replay, len(others))
        batch = self._settings.batch
        for epoch in range(self._settings.epochs):
            self.model.draw_from(1_000_000 * (1000 * seed + epoch))
            shown = rng.choice(others, size=replay, replace=False)
            order = rng.permutation(np.concatenate([written, shown]))
            # Full batches only, since each shape is compiled: the last one is filled up.
            order = np.concatenate([order, rng.choice(written, size=-len(order) % batch)])
            for rows in order.reshape(-1, batch):
                self.model.train_on_batch(ids[rows], correct[rows])
        if kept := self._settings.kept:
            trained = {id(variable) for variable in self.model.trainable_variables}
            for variable, value in self._beginning:
                if id(variable) in trained:
                    variable.assign(kept * value + (1 - kept) * ops.convert_to_numpy(variable))

    def accuracy(self, data: Labelled) -> float:
        """Return the share of sentences, in [0, 1], whose nearest answer is the right one."""
        found = ops.convert_to_numpy(self.model(self.ids(data.sentences))).argmax(axis=1)
        return float((found == data.labels).mean())


def replayed() -> Labelled:
    """Return the phrasebook's training sentences that name one of the five classes.

    The label is that of the one which they name first.
    """
    found = [
        (text, min(named, key=emojis.index))
        for text, emojis in phrases.phrasebook()
        if (named := set(EMOJIS) & set(emojis))
        and phrases.part(" ".join(tokenize(text))) == "train"
    ]
    labels = np.array([EMOJIS.index(emoji) for _, emoji in found], dtype=int)
    return Labelled([text for text, _ in found], labels)


def kept_for_choices() -> Labelled:
    """Return short sentences of the phrasebook that training leaves out, to choose settings by.

    Those of at most 12 words whose two best emojis hold one of the five classes and whose others
    hold none: between two of them the phrasebook's order would decide, and not the text.
    """
    found = []
    for text, emojis in phrases.phrasebook():
        named = [emoji for emoji in emojis if emoji in EMOJIS]
        if len(named) != 1 or named[0] not in emojis[:2] or len(text.split()) > 12:
            continue
        if phrases.part(" ".join(tokenize(text))) == "validation":
            found.append((text, EMOJIS.index(named[0])))
    return Labelled([text for text, _ in found], np.array([label for _, label in found], dtype=int))


def cross_validate(
    folder: Path, codes: EmojiCodes, train: Labelled, settings: TuneSettings, repeats: int
) -> tuple[float, float]:
    """Return how accurate models are that are tuned on four of five folds of the sentences.

    Returns:
        Mean accuracies in [0, 1] over the folds, ``repeats`` times over: on the part left out, and
        on `kept_for_choices`.
    """
    model = restore(folder, codes.codes, **settings.of_model())
    vocabulary = Scorer.load(folder).vocabulary
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=repeats, random_state=0)
    tuner = Tuner(model, vocabulary, settings, len(train.sentences) * 4 // 5, replayed())
    others = kept_for_choices()
    found = []
    for seed, (inner, outer) in enumerate(folds.split(train.sentences, train.labels)):
        tuner.fit(take(train, inner), seed)
        found.append((tuner.accuracy(take(train, outer)), tuner.accuracy(others)))
    left_out, phrasebook = np.mean(found, axis=0).tolist()
    return left_out, phrasebook


def measure(scorer: Scorer, codes: EmojiCodes, train: Labelled, test: Labelled) -> dict[str, Any]:
    """Measure a model through the scoring path.

    Returns:
        Accuracies in [0, 1] on the test sentences, on those of them that do not stand in the
        training part too, and on the training part; how it reads each of `READINGS`; the confusion
        matrix, rows the truth. A sentence without a known word is a mistake.
    """
    known = {" ".join(tokenize(text)) for text in train.sentences}
    fresh = np.array([" ".join(tokenize(text)) not in known for text in test.sentences])
    named = list(codes.names)

    def right(data: Labelled) -> np.ndarray:
        found = scorer.classify(data.sentences, codes)
        return np.array(
            [name == named[label] for name, label in zip(found, data.labels, strict=True)]
        )

    hits = right(test)
    confusion = np.zeros((len(named), len(named)), dtype=int)
    for name, label in zip(scorer.classify(test.sentences, codes), test.labels, strict=True):
        if name is not None:
            confusion[label, named.index(name)] += 1
    readings = dict(zip(READINGS, scorer.classify(list(READINGS), codes), strict=True))
    return {
        "test": float(hits.mean()),
        "test, not in train": float(hits[fresh].mean()),
        "train": float(right(train).mean()),
        "readings right": float(np.mean([readings[text] == READINGS[text] for text in READINGS])),
        "readings": readings,
        "confusion": confusion.tolist(),
    }


def vectors_of(words: Sequence[str], table: glove.Glove) -> np.ndarray:
    """Return GloVe's vectors of words as they ship untuned, float32 (n, d).

    Raises:
        InputError: GloVe lacks a word.
    """
    place = {word: row for row, word in enumerate(table.words)}
    if missing := [word for word in words if word not in place]:
        raise InputError(f"GloVe lacks {missing[0]!r} of the model's words; train it again")
    rounded, scales = quantize(table.vectors[[place[word] for word in words]])
    return rounded * scales


def sample(words: Sequence[str]) -> list[str]:
    """Return a thousand texts to compare an export by: any will do."""
    return [" ".join(pair) for pair in itertools.pairwise(words[:1001])]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.five_classes", description=__doc__)
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", default=list(range(10)))
    add("--model", type=Path, default=asset("models", "sqam"), help="folder of the trained model")
    add("--codes", type=Path, default=asset("models", "vae", "codes.npz"), help="its answers")
    add("--data", type=Path, default=phrases.DATA, help="folder with emojiset/{train,test}.csv")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    add("--output", type=Path, default=asset("results", "five-classes.json"), help="results file")
    add("--search", action="store_true", help="print how settings do on validation, and end")
    add("--repeats", type=int, default=1, help="of the five folds of --search")
    return run(parser.prog, lambda: _work(parser.parse_args(argv), argv))


def _work(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    files = [part_file(options.data / FOLDER, part) for part in ("train", "test")]
    train, test = (read(file) for file in files)
    codes = EmojiCodes.load(options.codes).select(EMOJIS)
    if options.search:
        _search(options, codes, train)
        return
    again = replayed()
    runs: dict[str, list[dict[str, Any]]] = {"tuned": [], "alone": []}
    zero_shot = measure(Scorer.load(options.model), codes, train, test)
    vocabulary = Scorer.load(options.model).vocabulary
    words = vocabulary.words
    untrained = vectors_of(words, glove.load("100d", options.cache))
    jobs = [(name, seed) for name in runs for seed in options.seeds]
    for name, seed in tqdm(jobs, "trainings", leave=False, disable=None):
        settings = TUNED if name == "tuned" else ALONE
        model = restore(options.model, codes.codes, **settings.of_model())
        if name == "alone":
            # The same network as it was before any training.
            model = SQAM(model.settings, untrained, codes.codes, seed)
        tuner = Tuner(model, vocabulary, settings, len(train.sentences), again)
        tuner.fit(train, seed)
        with tempfile.TemporaryDirectory() as folder:
            export(model, vocabulary, Path(folder), {}, codes, sample(words))
            runs[name].append({"seed": seed, **measure(Scorer.load(folder), codes, train, test)})
    found = {"zero-shot": zero_shot} | {name: _spread(rows) for name, rows in runs.items()}
    results.write(
        options.output,
        {
            "command": results.command("pipelines.five_classes", argv),
            "classes": EMOJIS,
            "settings": {"tuned": dataclasses.asdict(TUNED), "alone": dataclasses.asdict(ALONE)},
            "seeds": options.seeds,
            "figures": found,
            "runs": runs,
            "data": {
                **results.hashes(files),
                **results.hashes([options.model / "question.onnx", options.model / "answer.onnx"]),
                **results.hashes([options.codes]),
                **glove.hashes("100d"),
            },
            "versions": results.versions(),
        },
    )
    print(f"{'':12}  {'test':>15}  {'not in train':>15}  {'readings right':>15}")
    for name, row in found.items():
        cells = [_cell(row[key]) for key in ("test", "test, not in train", "readings right")]
        print(f"{name:12}  {'  '.join(f'{cell:>15}' for cell in cells)}")


def _search(options: argparse.Namespace, codes: EmojiCodes, train: Labelled) -> None:
    for values in itertools.product(*GRID.values()):
        changes: dict[str, Any] = dict(zip(GRID, values, strict=True))
        settings = dataclasses.replace(TUNED, **changes)
        found = cross_validate(options.model, codes, train, settings, options.repeats)
        print(f"{found[0]:.4f}  phrasebook {found[1]:.4f}  {changes}", flush=True)


def _spread(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        key: results.spread([row[key] for row in rows])
        for key in ("test", "test, not in train", "train", "readings right")
    }


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1%}"
    return f"{value['mean']:.1%}" + (f" ± {value['sd']:.1%}" if value["sd"] is not None else "")


if __name__ == "__main__":
    sys.exit(main())
