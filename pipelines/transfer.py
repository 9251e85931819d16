"""Transfer to sentiment, emotion and sarcasm: DeepMoji's benchmark, every strategy and baselines.

    python -m pipelines.transfer                           # all sets of ../shared/data/deepmoji
    python -m pipelines.transfer --data FOLDER --output x.json          # others, in that layout
    python -m pipelines.transfer --sets SE0714 --seeds 0 --systems last chain-thaw --output x.json

A folder holds labels.json and, for each set that it names, SET/{train,val,test}.csv.gz: a column
"text", and "label", or a column of 0 and 1 a class. The measure is the one that labels.json names:
accuracy, or class-averaged F1, one F1 a class with a threshold chosen on val; of two classes the F1
of the second (Felbo et al., EMNLP 2017).

"TF-IDF" and "MiniLM" are logistic regressions: over words and characters, and over the vectors of
all-MiniLM-L6-v2 (needs the extra teacher). The strategies are those of ``sqam.finetune``; "chain-
thaw, n-grams" is the same network with n-grams weighed beside it. All of them learn from train, and
choose on val: thresholds in the same way, and of `GRID` one for each set and strategy, by the
first seed. Test figures choose nothing.

A run that was interrupted goes on where it stopped when the same command is given again.
"""

import argparse
import dataclasses
import hashlib
import itertools
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

from emoji_vae.command import Parser, check_target, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from emoji_vae.settings import typed
from pipelines import minilm, phrases, results, sources
from pipelines.ngrams import features
from pipelines.results_page import shown
from pipelines.tweeteval import not_in_train
from sqam.classifier import Classifier, best_thresholds, indicators, measured, probabilities
from sqam.encoder import Encoder
from sqam.finetune import STRATEGIES, FineTuneSettings, finetune, widen
from sqam.last_layer import best_layer, calibrated

FOLDER = "deepmoji"
"""Where the sets lie among the data."""

METRICS = ("accuracy", "class-averaged F1")

BASELINES = ("TF-IDF", "MiniLM")
WIDE = "chain-thaw, n-grams"
"""What comes with "chain-thaw"."""
SYSTEMS = (*BASELINES, *STRATEGIES)
"""In the order of the results."""

STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""What the baselines choose from, as `FineTuneSettings.strengths`."""

GRID: dict[str, tuple[dict[str, Any], ...]] = {
    "new": ({"new_rate": 0.001}, {"new_rate": 0.003}),
    "last": ({},),
    "full": ({"learning_rate": 0.001}, {"learning_rate": 0.0005}),
    "chain-thaw": ({"learning_rate": 0.001}, {"learning_rate": 0.0005}),
}
"""Changes to `FineTuneSettings` that each set chooses from."""

PUBLISHED = {
    "SE0714": 0.37,
    "Olympic": 0.61,
    "PsychExp": 0.57,
    "SS-Twitter": 0.88,
    "SS-Youtube": 0.93,
    "SCv1": 0.69,
    "SCv2-GEN": 0.75,
}
"""DeepMoji's figures with chain-thaw, as remembered from the paper and not checked against it."""


class Part(NamedTuple):
    """Texts of a set and their labels.

    Attributes:
        texts: as they are.
        labels: int64, the class's number (n,), or 0 and 1 (n, classes).
    """

    texts: list[str]
    labels: np.ndarray


class Task(NamedTuple):
    """A set.

    Attributes:
        name: of its folder.
        classes: their names.
        multi_label: whether a text may have none of them or several.
        metric: one of `METRICS`.
        train, val, test: its parts.
        hashes: of their files.
    """

    name: str
    classes: list[str]
    multi_label: bool
    metric: str
    train: Part
    val: Part
    test: Part
    hashes: dict[str, str]

    def correct(self, part: Part) -> np.ndarray:
        """Return a part's labels as float32 (n, classes)."""
        classes = range(len(self.classes))
        return indicators(part.labels, len(part.texts), classes, self.multi_label)


def read(folder: Path, names: Sequence[str] | None = None) -> list[Task]:
    """Read the sets of a folder, those of some names or all, in the order of labels.json.

    Raises:
        InputError: a file is missing or damaged, a set is not there, or a label is none.
    """
    path = folder / "labels.json"
    try:
        described = json.loads(path.read_text(encoding="utf-8"))
        kinds = {
            str(name): (
                [str(one) for one in entry["classes"]],
                bool(entry["multi_label"]),
                [str(one) for one in entry["columns"]],
                str(entry["metric"]),
            )
            for name, entry in described.items()
        }
    except OSError as error:
        raise InputError(
            f"cannot read {str(path)!r}: {error.strerror}; name a folder with labels.json and sets"
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{str(path)!r} does not describe sets ({error!r}); mend it") from error
    for name in names or ():
        if name not in kinds:
            raise InputError(f"{str(path)!r} has no set {name!r}; choose from {', '.join(kinds)}")
    return [_task(folder, name, *kinds[name]) for name in kinds if names is None or name in names]


def _task(
    folder: Path, name: str, classes: list[str], multi_label: bool, columns: list[str], metric: str
) -> Task:
    if metric not in METRICS:
        raise InputError(f"{name}: no measure {metric!r}; choose from {', '.join(METRICS)}")
    if len(columns) != (len(classes) if multi_label else 1):
        raise InputError(f"{name}: {len(columns)} columns for {len(classes)} classes; mend them")
    files = [folder / name / f"{part}.csv.gz" for part in ("train", "val", "test")]
    highest = 1 if multi_label else len(classes) - 1
    train, val, test = (_part(path, columns, multi_label, highest) for path in files)
    hashes = {f"{name}/{path.name}": results.sha256(path) for path in files}
    return Task(name, classes, multi_label, metric, train, val, test, hashes)


def _part(path: Path, columns: list[str], multi_label: bool, highest: int) -> Part:
    texts, labels = [], []
    known = {str(number): number for number in range(highest + 1)}
    for row, record in enumerate(phrases.rows(path, "text", *columns), 1):
        texts.append(record["text"])
        found = [known.get((record[column] or "").strip()) for column in columns]
        if None in found:
            raise InputError(
                f"{str(path)!r}, row {row}: a label is no whole number from 0 to {highest}; mend it"
            )
        labels.append(found if multi_label else found[0])
    if not texts:
        raise InputError(f"{str(path)!r} holds no text; get it again")
    return Part(texts, np.array(labels, dtype=np.int64))


# One run of one system.


def figures(task: Task, told: Callable[[Part], dict[str, float]]) -> dict[str, Any]:
    """Return a system's figures, each in [0, 1]: by the set's measure, and all measures.

    Args:
        task: the set.
        told: measures a part by `METRICS`.
    """
    fresh = not_in_train([*task.train.texts, *task.val.texts], task.test.texts)
    rows = np.flatnonzero(fresh)
    some = Part([task.test.texts[row] for row in rows], task.test.labels[rows])
    found = {"validation": told(task.val), "test": told(task.test)}
    if len(rows):
        found["test, not in train or val"] = told(some)
    return {part: by[task.metric] for part, by in found.items()} | {"measures": found}


def baseline(task: Task, vectors: Callable[[Sequence[str]], Any], trust: float) -> dict[str, Any]:
    """Fit a logistic regression to vectors of texts; its strength and thresholds by val.

    Args:
        task: the set.
        vectors: texts -> float (n, width), dense or sparse.
        trust: see ``best_thresholds``.

    Returns:
        See `figures`; "chosen" is its strength.
    """
    held, correct = vectors(task.val.texts), task.correct(task.val)
    train = task.correct(task.train)
    kernel, bias, strength = best_layer(
        vectors(task.train.texts), train, np.ones_like(train), held, correct, task.multi_label,
        STRENGTHS,
    )  # fmt: skip
    scale, _ = calibrated(held @ kernel + bias, correct, task.multi_label)

    def found(texts: Sequence[str]) -> np.ndarray:
        return probabilities(scale * (vectors(texts) @ kernel + bias), task.multi_label)

    thresholds = best_thresholds(found(task.val.texts), correct, trust)

    def told(part: Part) -> dict[str, float]:
        return measured(found(part.texts), task.correct(part), thresholds, task.multi_label)

    return figures(task, told) | {"chosen": {"strength": strength}}


def tuned(
    task: Task, encoder: Encoder, strategy: str, settings: FineTuneSettings, seed: int
) -> dict[str, dict[str, Any]]:
    """Fine-tune by a strategy; return system -> figures, for "chain-thaw" with n-grams as well.

    "loss" is the validation's.
    """
    held = (task.val.texts, task.val.labels)
    shared: dict[str, Any] = {"validation": held, "settings": settings, "seed": seed}
    names = list(range(len(task.classes)))
    made = finetune(encoder, *task.train, strategy, classes=names, **shared)
    found = {strategy: made}
    if strategy == "chain-thaw":
        found[WIDE] = widen(made, *task.train, **shared)

    def of(one: Classifier) -> dict[str, Any]:
        loss = one.notes["validation"]["loss"]
        return figures(task, lambda part: one.measure(*part)) | {"loss": loss}

    return {name: of(one) for name, one in found.items()}


class Log:
    """Runs that were made, in a folder: what was made already is not made again.

    Args:
        folder: of the runs; is made.
        shared: what all of them depend on: model, data.
    """

    def __init__(self, folder: Path, shared: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._shared = folder, shared

    def __call__(
        self, run: Mapping[str, Any], make: Callable[[], dict[str, Any]]
    ) -> dict[str, Any]:  # fmt: skip
        """Return what a run came to, making it only if it was not made before."""
        known = json.dumps([self._shared, run], sort_keys=True)
        path = self._folder / f"{hashlib.sha256(known.encode()).hexdigest()[:24]}.json"
        try:
            saved = json.loads(path.read_text(encoding="utf-8"))
            if saved["run"] == run:
                return saved["found"]
        except FileNotFoundError:
            pass
        except (KeyError, TypeError, ValueError):
            path.unlink()
        found = make()
        results.write(path, {"run": run, "found": found})
        return found


class Bench(NamedTuple):
    """What the sets are run with.

    Attributes:
        encoder: to fine-tune.
        settings: before what `GRID` changes.
        seeds: of each strategy; the first one chooses.
        log: of what was made.
        vectors: MiniLM's, of the texts; None where it is left out.
    """

    encoder: Encoder
    settings: FineTuneSettings
    seeds: Sequence[int]
    log: Log
    vectors: Callable[[Sequence[str]], np.ndarray] | None


def measure(
    task: Task, bench: Bench, systems: Sequence[str], progress: Callable[[], object]
) -> dict[str, dict[str, Any]]:
    """Return system -> figures of a set, with mean and spread over the seeds.

    Args:
        task: the set.
        bench: see `Bench`.
        systems: of `SYSTEMS`.
        progress: called after each run, of which there are as many as `jobs` says.
    """
    found: dict[str, dict[str, Any]] = {}
    trust = bench.settings.trust
    for name in systems:
        if name in BASELINES:
            vectors = bench.vectors if name == "MiniLM" else None
            identity = {"set": task.name, "system": name, "trust": trust}

            def make(vectors: Any = vectors) -> dict[str, Any]:
                return baseline(task, vectors or _tfidf(task), trust)

            found[name] = bench.log(identity, make)
            progress()
            continue

        def run_of(changes: Mapping[str, Any], seed: int, name: str = name) -> dict[str, Any]:
            settings = dataclasses.replace(bench.settings, **changes)
            identity = {
                "set": task.name, "system": name, "seed": seed,
                "settings": json.loads(json.dumps(dataclasses.asdict(settings))),
            }  # fmt: skip
            made = bench.log(identity, lambda: tuned(task, bench.encoder, name, settings, seed))
            progress()
            return made

        tried = [run_of(changes, bench.seeds[0]) for changes in GRID[name]]
        best = min(range(len(tried)), key=lambda at: tried[at][name]["loss"])
        chosen = GRID[name][best]
        runs = [tried[best], *(run_of(chosen, seed) for seed in bench.seeds[1:])]
        for system in runs[0]:
            found[system] = _spread([one[system] for one in runs]) | {"chosen": chosen}
    return found


def jobs(systems: Sequence[str], seeds: Sequence[int]) -> int:
    """Return how many runs a set takes."""
    return sum(1 if s in BASELINES else len(GRID[s]) + len(seeds) - 1 for s in systems)


def _tfidf(task: Task) -> Callable[[Sequence[str]], Any]:
    made = features()
    made.fit(task.train.texts)
    return made.transform


def _spread(runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return figures of several seeds as one, with their means and spreads."""

    def of(values: Sequence[Any]) -> Any:
        if isinstance(values[0], Mapping):
            return {key: of([value[key] for value in values]) for key in values[0]}
        return results.spread(values)

    return of(runs)


# The command.


def settings_from(changes: Sequence[str]) -> FineTuneSettings:
    """Read ``NAME=VALUE`` changes to `FineTuneSettings`, values as JSON has them.

    Raises:
        InputError: a change of another form, a setting that does not exist or a value it refuses.
    """
    values = typed(changes, FineTuneSettings)
    if clash := values.keys() & set(itertools.chain(*itertools.chain(*GRID.values()))):
        raise InputError(f"{min(clash)} is chosen on the validation part; leave it out of --set")
    return FineTuneSettings.from_dict(values)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.transfer", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=phrases.DATA / FOLDER, help="folder of the sets")
    add("--sets", nargs="+", metavar="SET", help="of that folder; default: all")
    add("--systems", nargs="+", default=list(SYSTEMS), metavar="NAME", help="default: all")
    add("--seeds", type=int, nargs="+", default=list(range(5)), metavar="S", help="default: 0 to 4")
    add(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
        help="change a setting of FineTuneSettings",
    )  # fmt: skip
    add("--model", type=Path, default=asset("models", "sqam"), help="folder of the trained model")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    add("--vectors", type=Path, default=minilm.FOLDER, help="where MiniLM's vectors are kept")
    add("--work", type=Path, default=Path("build/transfer"), help="where runs are kept")
    add("--output", type=Path, default=asset("results", "transfer.json"), help="results file")
    return run(parser.prog, lambda: _work(parser.parse_args(argv), argv))


def _work(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    if unknown := [name for name in options.systems if name not in SYSTEMS]:
        raise InputError(f"there is no system {unknown[0]!r}; choose from {', '.join(SYSTEMS)}")
    if min(options.seeds) < 0 or len(set(options.seeds)) != len(options.seeds):
        raise InputError(f"seeds are {options.seeds}; give whole numbers from 0 on, each once")
    settings = settings_from(options.changes)
    check_target(options.output)
    tasks = read(options.data, options.sets)
    encoder = Encoder.load(options.model)
    encoder.encode([])  # an older model has no features; better said now than after the baselines
    model = results.hashes(
        [options.model / name for name in ("question.onnx", "embedding.npy", "scales.npy")]
    )
    systems = [name for name in SYSTEMS if name in options.systems]
    vectors = None
    if "MiniLM" in systems:
        texts = [text for task in tasks for part in (task.train, task.val, task.test)
                 for text in part.texts]  # fmt: skip
        rows = minilm.in_a_process(texts, options.cache, options.vectors)
        place = {text: row for row, text in enumerate(texts)}

        def vectors(asked: Sequence[str]) -> np.ndarray:
            return rows[[place[text] for text in asked]]

    found = {}
    total = jobs(systems, options.seeds) * len(tasks)
    with tqdm(total=total, unit="run", leave=False, disable=None) as bar:
        for task in tasks:
            bar.set_description(task.name)
            log = Log(options.work, {"model": model, "data": task.hashes, "version": 1})
            bench = Bench(encoder, settings, options.seeds, log, vectors)
            found[task.name] = {
                "metric": task.metric,
                "classes": task.classes,
                "texts": {
                    part: len(getattr(task, part).texts) for part in ("train", "val", "test")
                },
                "published": PUBLISHED.get(task.name),
                "figures": measure(task, bench, systems, bar.update),
            }
    results.write(
        options.output,
        {
            "command": results.command("pipelines.transfer", argv),
            "seeds": options.seeds,
            "settings": {
                "fine-tuning": dataclasses.asdict(settings),
                "chosen from, by the validation part": {s: GRID[s] for s in systems if s in GRID},
                "strengths of the baselines": STRENGTHS,
            },
            "published": "DeepMoji with chain-thaw, remembered from the paper, not checked",
            "sets": found,
            "data": {**model, **{k: v for task in tasks for k, v in task.hashes.items()}},
            "versions": results.versions(),
        },
    )
    print(table(found))


def table(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the test figures, set -> "figures" -> system -> "test", as a table in per cent."""
    systems = list(dict.fromkeys(name for one in found.values() for name in one["figures"]))
    lines = [f"{'test':12}{'measure':>20}{'DeepMoji':>10}" + "".join(f"{s:>21}" for s in systems)]
    for name, one in found.items():
        published = "–" if one["published"] is None else shown(one["published"], "0%")
        cells = [shown(one["figures"][s]["test"], "1%") for s in systems]
        lines.append(
            f"{name:12}{one['metric']:>20}{published:>10}" + "".join(f"{c:>21}" for c in cells)
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
