"""Pre-train the question-answer model on raw texts that hold emojis, as DeepMoji was trained.

    python -m pipelines.pretrain --input 'tweets/*.parquet' --column body --output build/pretrained
    sqam rank "good morning" --model build/pretrained

    python -m pipelines.pretrain --input tweets.jsonl.gz --emojis 64 --preset 2017 --workers 2
    python -m pipelines.pretrain --input s3://bucket/tweets --processes 8 --prepare
    python -m pipelines.pretrain --input tweets.txt --objectives contrastive softmax

The texts (.txt, .csv, .jsonl, .parquet; paths, globs, folders, or addresses that fsspec opens) are
read once and laid out below --work (see pipelines.corpus); training streams them from there.
--objectives softmax trains DeepMoji's own form, the same text side with a softmax, to compare with.

On several machines, first prepare with --prepare, then start the same command on each with
TF_CONFIG set; --work and --output must be reached by all. When a worker dies all end: start them
again, and they go on at the last checkpoint (--workers N, on one machine, does so by itself).
"""

import argparse
import dataclasses
import hashlib
import json
import math
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, positive, run
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from emoji_vae.locations import asset
from emoji_vae.settings import from_mapping
from pipelines import corpus, glove, results, sources, workers
from pipelines.checkpoints import Checkpoints
from pipelines.corpus import Prepared, Showing, Stream
from pipelines.evaluate import ahead
from pipelines.softmax import Softmax
from pipelines.train_sqam import TrainSettings, changes_from, install, vocabulary_of
from pipelines.workers import Workers
from sqam.export import export
from sqam.model import SQAM, SQAMSettings
from sqam.text import Vocabulary, pad

OBJECTIVES = ("contrastive", "softmax")


@dataclasses.dataclass(frozen=True)
class PretrainSettings:
    """One pre-training; saved with what it trains. ``model.batch`` is that of all workers."""

    model: SQAMSettings = dataclasses.field(default_factory=SQAMSettings)
    """Of its ``vocabulary`` fewer words are taken where the corpus has fewer."""
    glove: str = "100d"
    """Word vectors to start from, see ``pipelines.glove.load``; "none": random ones, of the
    corpus's most frequent words, as DeepMoji did."""
    shards: int | None = None
    """Parts that the corpus and each batch fall into; each worker has as many of them. The result
    hangs on this and not on how many workers there are. None: as many as workers."""
    epochs: int = 1
    """How often the training shows the corpus, on average over its shards."""
    steps: int | None = None
    """Batches; instead of ``epochs``."""
    balance: float = 1.0
    """From 0, each emoji shown as often as it comes, to 1, all alike; see ``corpus.rates``."""
    most: float = 20.0
    """Showings of a text for one emoji in an epoch, at most."""
    buffer: int = 100_000
    """Showings that a shard has in memory to shuffle."""
    every: int = 1_000
    """Steps between two checkpoints, each with a validation."""
    validation: int = 20_000
    """Texts to validate on, at most."""
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (self.epochs, self.buffer, self.every, self.validation)
        options = (self.shards or 1, 1 if self.steps is None else self.steps)
        if self.shards == 0 or min(*counts, *options) < 1 or self.seed < 0:
            raise InputError(
                "shards, epochs, steps, buffer, every and validation must be at least 1, seed at "
                "least 0"
            )
        if not 0 <= self.balance <= 1 or not self.most >= 1:
            raise InputError(
                f"balance is {self.balance} and most {self.most}; balance must be from 0 to 1 and "
                "most at least 1"
            )
        if self.glove == "none" and not self.model.tune_embedding:
            raise InputError(
                "glove=none starts from random vectors, which must learn; set "
                "model.tune_embedding=true"
            )

    def for_workers(self, count: int, buckets: int) -> "PretrainSettings":
        """Return the settings with their shards.

        Raises:
            InputError: workers, shards and batch do not divide, or there are too few buckets.
        """
        shards = self.shards or count
        if shards % count:
            raise InputError(
                f"{count} workers cannot share {shards} shards evenly; set shards to a multiple of "
                f"{count}, or take another number of workers"
            )
        if self.model.batch % shards:
            raise InputError(
                f"a batch of {self.model.batch} does not divide among {shards} shards; set "
                "model.batch to a multiple of it"
            )
        if shards > buckets:
            raise InputError(f"{shards} shards need as many --buckets, not {buckets}")
        return dataclasses.replace(self, shards=shards)


@dataclasses.dataclass(frozen=True)
class Material:
    """What a model is trained on.

    Attributes:
        prepared: the corpus.
        rows: the kept emojis, in the catalogue.
        rates: float64 (len(rows),), how often a pass shows an example of each.
        words: the vocabulary.
        vectors: float32 (len(words), dimensions), which they start from.
        codes: of the kept emojis.
    """

    prepared: Prepared
    rows: list[int]
    rates: np.ndarray
    words: list[str]
    vectors: np.ndarray
    codes: EmojiCodes

    @property
    def showings(self) -> np.ndarray:
        """How often a pass shows each emoji, on average."""
        return np.asarray(self.rates * self.prepared.counts[self.rows])


def gather(
    settings: PretrainSettings, prepared: Prepared, emojis: str, vae: Path, cache: Path
) -> tuple[PretrainSettings, Material]:
    """Return what is trained on, and the settings with the vocabulary that there is.

    Raises:
        InputError: see ``corpus.chosen`` and ``glove.load``; codes of another catalogue, or no word
            of the corpus is known.
    """
    rows = corpus.chosen(prepared, emojis)
    codes = EmojiCodes.load(vae / "codes.npz")
    if list(codes.names) != catalogue().sequences:
        raise InputError(
            f"{str(vae / 'codes.npz')!r} does not fit the catalogue; train the VAE again"
        )
    seen = prepared.words()
    if settings.glove == "none":
        known = list(seen)
    else:
        table = glove.load(settings.glove, cache)
        known = list(set(table.words) & set(seen))
    if not known:
        raise InputError(f"GloVe {settings.glove!r} knows no word of the corpus; is it English?")
    size = min(settings.model.vocabulary, len(known))
    settings = dataclasses.replace(
        settings, model=dataclasses.replace(settings.model, vocabulary=size)
    )
    if settings.glove == "none":
        words = [word for word, _ in seen.most_common(size)]
        shape = (size, settings.model.dimensions)
        # As Keras begins an embedding.
        vectors = np.random.default_rng(settings.seed).uniform(-0.05, 0.05, shape)
        vectors = vectors.astype(np.float32)
    else:
        training = TrainSettings(model=settings.model, glove=settings.glove)
        words, vectors = vocabulary_of(training, table, seen, None)
    rates = corpus.rates(prepared.counts[rows], settings.balance, settings.most)
    return settings, Material(
        prepared, rows, rates, words, vectors, codes.take(np.array(rows, dtype=np.int64))
    )


def batch(
    showings: Sequence[Showing], settings: SQAMSettings, n_answers: int, objective: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return token ids, int32 (n, tokens), and grades, float32 (n, n_answers).

    For the contrastive loss each of a text's emojis is an answer, grade 1, and none of them an
    incorrect one; a softmax is shown the one emoji that it is the text's turn for.
    """
    grades = np.zeros((len(showings), n_answers), dtype=np.float32)
    for row, showing in zip(grades, showings, strict=True):
        row[list(showing.answers) if objective == "contrastive" else showing.shown] = 1
    return padded([showing.ids for showing in showings], settings), grades


def padded(ids: Sequence[Sequence[int]], settings: SQAMSettings) -> np.ndarray:
    """Return token ids, int32 (n, tokens), no wider than the texts need."""
    if not settings.mask:
        return pad(ids, settings.max_tokens)
    longest = max(map(len, ids))
    return pad(ids, min(settings.max_tokens, -(-longest // 8) * 8))


class Part:
    """A part of the corpus that is measured on: what of it belongs to one worker.

    Args:
        material: see there.
        settings: of the run.
        part: one of ``phrases.SPLITS``.
        workers: this worker has every count-th bucket.
    """

    def __init__(
        self, material: Material, settings: PretrainSettings, part: str, workers: Workers
    ) -> None:
        prepared, vocabulary = material.prepared, Vocabulary(material.words)
        column = {row: at for at, row in enumerate(material.rows)}
        self._settings = settings.model
        self._n = len(material.rows)
        self._unknown = np.zeros(self._n)
        self._ids: list[list[int]] = []
        self._right: list[int] = []
        # The same texts for any number of workers.
        share = math.ceil(settings.validation / prepared.buckets)
        for bucket in range(workers.index, prepared.buckets, workers.count):
            taken = 0
            for text, emojis in prepared.bucket(bucket, part):
                answers = [column[row] for row in emojis if row in column]
                if not answers or taken == share:
                    continue
                taken += 1
                ids = vocabulary.ids(text, settings.model.max_tokens)
                if not ids:
                    self._unknown[answers] += 1
                    continue
                self._ids += [ids] * len(answers)
                self._right += answers

    def measure(self, model: Any) -> np.ndarray:
        """Return for each emoji its examples, its hits at 1 and at 5: float64 (n, 3).

        An example is a text with one of its emojis; one without a known word is no hit.
        """
        found = np.zeros((self._n, 3))
        found[:, 0] = self._unknown
        for start in range(0, len(self._ids), 512):
            right = np.array(self._right[start : start + 512])
            scores = model(padded(self._ids[start : start + 512], self._settings))
            before = ahead(np.asarray(scores), right)
            np.add.at(found, right, np.column_stack([before >= 0, before < 1, before < 5]))
        return found


def figures(found: np.ndarray) -> dict[str, float]:
    """Return the hits of what ``Part.measure`` counted, summed over the workers.

    hit@k gives each emoji that occurs the same weight, as DeepMoji's validation set had each
    equally often; "as they come" gives each example the same.
    """
    there = found[found[:, 0] > 0]
    if not len(there):
        return {"examples": 0}
    alike = (there[:, 1:] / there[:, :1]).mean(axis=0)
    together = there[:, 1:].sum(axis=0) / there[:, 0].sum()
    return {
        "examples": int(there[:, 0].sum()),
        "emojis": len(there),
        **{f"hit@{k}": round(float(alike[at]), 5) for at, k in enumerate((1, 5))},
        **{f"hit@{k}, as they come": round(float(together[at]), 5) for at, k in enumerate((1, 5))},
    }


DRAWS = 64
"""Random draws set aside for a shard's part of a step, more than it makes."""


class Training:
    """A model under training on one or several workers.

    A step adds up the gradients of the shards, each of the same number of showings, so it is that
    of the whole batch. Each shard has random draws of its own. So what is trained is the same, but
    for the order of sums, whoever has the shards.

    Args:
        objective: one of `OBJECTIVES`.
        settings: with their shards.
        material: what to train on.
        workers: this one among all.
    """

    def __init__(
        self, objective: str, settings: PretrainSettings, material: Material, workers: Workers
    ) -> None:
        assert settings.shards is not None
        self.objective, self.settings, self.material = objective, settings, material
        self.workers, self.shards = workers, settings.shards
        total = material.showings.sum()
        self.steps = settings.steps or math.ceil(settings.epochs * total / settings.model.batch)
        tower = SQAM(settings.model, material.vectors, material.codes.codes, settings.seed)
        self.tower = tower
        if objective == "contrastive":
            self.model: Any = tower
            tower.compile_for_training(self.steps, material.showings)
        else:
            self.model = Softmax(tower, len(material.rows))
            self.model.compile_for_training(self.steps)
        self.model.optimizer.build(self.model.trainable_variables)
        n = len(material.rows)
        tokens = tf.TensorSpec([None, None], tf.int32)
        grades = tf.TensorSpec([None, n], tf.float32)
        self._gradients = tf.function(self._of_shard, input_signature=[tokens, grades])
        self._scores = tf.function(lambda ids: self.model(ids), input_signature=[tokens])
        self._update = tf.function(self._of_all)
        self._sum = tf.function(
            lambda values: self.workers.sum([values])[0],
            input_signature=[tf.TensorSpec([None], tf.float64)],
        )

    def _of_shard(self, ids: Any, correct: Any) -> tuple[Any, list[Any]]:
        variables = self.model.trainable_variables
        with tf.GradientTape() as tape:
            scores = self.model(ids, training=True)
            loss = self.model.compute_loss(x=ids, y=correct, y_pred=scores) / self.shards
        found = tape.gradient(loss, variables)
        # The embedding's comes as a few of its rows, some of them several times. It is filled up,
        # since what comes of it is to hang on their sum, not on which worker had which row: Keras
        # clips such rows, and Adam squares them, before they are added up.
        return loss, [
            tf.zeros(variable.shape, variable.dtype) if one is None else tf.convert_to_tensor(one)
            for variable, one in zip(variables, found, strict=True)
        ]

    def _of_all(self, loss: Any, gradients: list[Any]) -> Any:
        loss, *gradients = self.workers.sum([loss, *gradients])
        self.model.optimizer.apply(gradients, self.model.trainable_variables)
        return loss

    def summed(self, values: np.ndarray) -> np.ndarray:
        """Add up float64 arrays (n,) over all workers, who wait for each other."""
        return np.asarray(self._sum(values))

    def fit(self, folder: Path, run: Mapping[str, Any]) -> list[dict[str, float]]:
        """Train to the last step, on from the last checkpoint in the folder; return its history.

        Raises:
            InputError: the folder holds another run, the workers see different folders, or a shard
                is empty.
        """
        kept = Checkpoints(folder, run)
        if kept.restore(self.model):
            self._say(f"{self.objective}: going on after step {kept.state['step']}")
        begin = kept.state.get("step", 0)
        if self.summed(np.array([float(begin)]))[0] != begin * self.workers.count:
            raise InputError(
                f"this worker's checkpoint is of step {begin}, others' is not; name a --work that "
                "all workers reach"
            )
        places = kept.state.get("places", [[0, 0]] * self.shards)
        mine = range(self.workers.index, self.shards, self.workers.count)
        vocabulary = Vocabulary(self.material.words)
        streams = {
            shard: Stream(
                self.material.prepared, self.material.rows, self.material.rates, vocabulary,
                self.settings.model.max_tokens, shard, self.shards, self.settings.seed,
                self.settings.buffer, (places[shard][0], places[shard][1]),
            )
            for shard in mine
        }  # fmt: skip
        validation = Part(self.material, self.settings, "validation", self.workers)
        losses: list[float] = []
        shown = tqdm(
            range(begin, self.steps), self.objective, initial=begin, total=self.steps, leave=False,
            unit="batch", disable=True if self.workers.index else None,
        )  # fmt: skip
        for step in shown:
            losses.append(self._step(step, streams))
            shown.set_postfix(loss=f"{losses[-1]:.4f}")
            if (step + 1) % self.settings.every and step + 1 < self.steps:
                continue
            loss, losses = float(np.mean(losses)), []
            places = np.zeros((self.shards, 2))
            for shard, stream in streams.items():
                places[shard] = stream.place
            measured = validation.measure(self._scores)
            # The workers meet here, so all have what the first one is to write.
            summed = self.summed(np.concatenate([places.ravel(), measured.ravel()]))
            if self.workers.index:
                continue
            found = figures(summed[places.size :].reshape(measured.shape))
            kept.history.append({"step": step + 1, "loss": loss, **found})
            places = summed[: places.size].reshape(places.shape).astype(int).tolist()
            kept.state = {"step": step + 1, "places": places}
            kept.keep(self.model)
            hits = "  ".join(f"hit@{k} {found.get(f'hit@{k}', math.nan):.3f}" for k in (1, 5))
            self._say(f"{self.objective}: step {step + 1}/{self.steps}  loss {loss:.4f}  {hits}")
        return kept.history

    def _step(self, step: int, streams: Mapping[int, Stream]) -> float:
        size = self.settings.model.batch // self.shards
        total: list[Any] = []
        for shard, stream in streams.items():
            ids, correct = batch(
                stream.take(size), self.settings.model, len(self.material.rows), self.objective
            )
            self.model.draw_from((step * self.shards + shard) * DRAWS % 2**31)
            loss, found = self._gradients(ids, correct)
            found = [loss, *found]
            total = [a + b for a, b in zip(total, found, strict=True)] if total else found
        return float(self._update(total[0], total[1:]))

    def measure(self, part: str) -> dict[str, float]:
        """Return the figures of a part of the corpus."""
        found = Part(self.material, self.settings, part, self.workers).measure(self._scores)
        return figures(self.summed(found.ravel()).reshape(found.shape))

    def _say(self, text: str) -> None:
        if not self.workers.index:
            tqdm.write(text, file=sys.stderr)


def write(training: Training, output: Path, vae: Path, config: dict[str, Any]) -> None:
    """Write what was trained.

    Of the contrastive model a folder ``sqam`` with the networks that ``Scorer`` and ``Encoder``
    load, and beside it a copy of the autoencoder, so that ``sqam rank --model`` takes the two; of
    the softmax its weights, its words and its emojis.
    """
    material = training.material
    if training.objective == "softmax":
        folder = output / "softmax"
        folder.mkdir(parents=True, exist_ok=True)
        whole = folder / ".new.weights.h5"
        training.model.save_weights(whole)
        os.replace(whole, folder / "softmax.weights.h5")
        emojis = [catalogue().sequences[row] for row in material.rows]
        for name, lines in (("vocabulary.txt", material.words), ("emojis.txt", emojis)):
            with replacing(folder / name, "w") as file:
                file.writelines(f"{line}\n" for line in lines)
        return
    prepared = material.prepared
    sentences = [
        example.text
        for bucket in range(prepared.buckets)
        for example in prepared.bucket(bucket, "validation")
    ][:2000]
    # The comparison wants a thousand texts, and a small corpus has fewer to validate on.
    sentences += [entry.name for entry in catalogue()][: max(0, 1000 - len(sentences))]
    export(training.tower, material.words, output / "sqam", config, material.codes, sentences)
    install(vae, output / "vae")


def identity(settings: PretrainSettings, material: Material, vae: Path) -> dict[str, Any]:
    """Return what makes a training what it is, but for its objective."""
    # Its files by a hash: their addresses are nobody's business who gets the model.
    source = json.dumps(material.prepared.source).encode()
    data = {
        "corpus": hashlib.sha256(source).hexdigest(),
        "codes.npz": results.sha256(vae / "codes.npz"),
        **({} if settings.glove == "none" else glove.hashes(settings.glove)),
    }
    emojis = [catalogue().sequences[row] for row in material.rows]
    return {"settings": dataclasses.asdict(settings), "emojis": emojis, "data": data}


def train(
    arguments: argparse.Namespace,
    settings: PretrainSettings,
    material: Material,
    together: Workers,
    argv: Sequence[str] | None,
) -> None:
    """Train each objective on the same material; the first worker writes models and results."""
    made_of = identity(settings, material, arguments.vae)
    config = {
        "training": {k: v for k, v in made_of["settings"].items() if k != "model"},
        "emojis": made_of["emojis"],
        "data": made_of["data"],
        "versions": results.versions(),
    }
    found: dict[str, Any] = {}
    for objective in arguments.objectives:
        began = time.monotonic()
        training = Training(objective, settings, material, together)
        history = training.fit(arguments.work / objective, {"objective": objective, **made_of})
        measured = {part: training.measure(part) for part in ("validation", "held-out")}
        found[objective] = {"steps": training.steps, **measured, "history": history}
        if not together.index:
            write(training, arguments.output, arguments.vae, config)
            print(f"{objective:12} {'  '.join(_shown(*each) for each in measured.items())}")
            print(f"{objective}: {time.monotonic() - began:.0f} s", file=sys.stderr)
        # Workers that ended earlier would seem to be lost.
        training.summed(np.zeros(1))
    if together.index:
        return
    counts = material.prepared.counts[material.rows]
    results.write(
        arguments.results or arguments.output / "pretrain.json",
        {
            "command": results.command("pipelines.pretrain", argv),
            "settings": made_of["settings"],
            "workers": together.count,
            "data": made_of["data"],
            "texts": material.prepared.texts,
            "emojis": {
                emoji: {"examples": int(count), "rate": round(float(rate), 4)}
                for emoji, count, rate in zip(
                    made_of["emojis"], counts, material.rates, strict=True
                )
            },
            "versions": results.versions(),
            "figures": found,
        },
    )


def _shown(part: str, measured: Mapping[str, float]) -> str:
    hits = "  ".join(f"hit@{k} {measured.get(f'hit@{k}', math.nan):.3f}" for k in (1, 5))
    return f"{part} {hits} ({measured['examples']} examples)"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.pretrain", description=__doc__)
    add = parser.add_argument
    add("--input", nargs="+", required=True, metavar="TEXTS", help="files, globs, folders or "
        "addresses")  # fmt: skip
    add("--column", help='of the texts, in files that have columns; default: "text"')
    add("--emojis", default="64", metavar="N|all|FILE", help="the N most frequent ones, all that "
        "occur, or those of a file, one a line; default: 64")  # fmt: skip
    add("--objectives", nargs="+", choices=OBJECTIVES, default=["contrastive"],
        help="default: contrastive")  # fmt: skip
    add("--preset", default="default", help="of SQAMSettings")
    add("--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
        help="change a setting of PretrainSettings or, as model.NAME=VALUE, of "
        "SQAMSettings")  # fmt: skip
    add("--seed", type=int, default=0)
    add("--workers", type=positive, metavar="N", help="processes on this machine that train; "
        "default: 1, or what TF_CONFIG says")  # fmt: skip
    add("--restarts", type=int, default=3, help="of all workers, when one dies; default: 3")
    add("--processes", type=positive, default=1, metavar="N", help="that read the texts")
    add("--buckets", type=positive, default=64, metavar="N", help="that the corpus is dealt out "
        "to, of which one at a time is in memory; default: 64")  # fmt: skip
    add("--prepare", action="store_true", help="read the texts and end")
    add("--output", type=Path, default=Path("build/pretrained"), help="folder of the model")
    add("--work", type=Path, default=Path("build/pretrain"), help="folder of the prepared corpus "
        "and of checkpoints")  # fmt: skip
    add("--vae", type=Path, default=asset("models", "vae"), help="folder of the trained VAE")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    add("--results", type=Path, help="results file; default: pretrain.json in --output")
    code = 0

    def work() -> None:
        nonlocal code
        arguments = parser.parse_args(argv)
        place = workers.place()
        workers.end_with_parent()
        if place is not None and arguments.workers not in (None, place.count):
            raise InputError(
                f"--workers {arguments.workers}, but TF_CONFIG tells of {place.count}; leave it out"
            )
        if arguments.restarts < 0:
            raise InputError(f"--restarts {arguments.restarts}: it must be at least 0")
        count = (arguments.workers or 1) if place is None else place.count
        training, model = changes_from(arguments.changes, PretrainSettings)
        preset = SQAMSettings.preset(arguments.preset, **model)
        settings = from_mapping(
            PretrainSettings, {**training, "model": preset, "seed": arguments.seed}
        ).for_workers(count, arguments.buckets)
        folder = arguments.work / "corpus"
        if place is not None and not (folder / corpus.MANIFEST).is_file():
            raise InputError(
                f"{str(folder)!r} holds no prepared corpus; run the command with --prepare once, "
                "without TF_CONFIG, in a folder that all workers reach"
            )
        prepared = corpus.prepare(
            arguments.input, arguments.column, folder, arguments.buckets, arguments.processes
        )
        if place is None:
            told = ", ".join(f"{name} {number}" for name, number in prepared.texts.items())
            print(f"texts: {told}", file=sys.stderr)
        if arguments.prepare:
            return
        settings, material = gather(
            settings, prepared, arguments.emojis, arguments.vae, arguments.cache
        )
        if place is None and count > 1:
            made_of = identity(settings, material, arguments.vae)
            for objective in arguments.objectives:
                # Another run's folder is refused once, not by each worker.
                Checkpoints(arguments.work / objective, {"objective": objective, **made_of})
            command = [sys.executable, "-m", "pipelines.pretrain"]
            command += sys.argv[1:] if argv is None else argv
            code = workers.launch(command, count, arguments.restarts)
            return
        together = Workers(place)
        try:
            train(arguments, settings, material, together, argv)
        except (
            tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError,
            tf.errors.InternalError, tf.errors.UnavailableError,
        ) as error:  # fmt: skip
            if together.count == 1:
                raise
            workers.lost(error)

    return run(parser.prog, work) or code


if __name__ == "__main__":
    sys.exit(main())
