"""Time one text, many texts and many candidates, ours beside MiniLM, on cores that are pinned.

    python -m pipelines.benchmark_bulk                      # all, about 14 minutes
    python -m pipelines.benchmark_bulk --parts bulk floor --results build/bulk.json
    python -m pipelines.benchmark_bulk --lines 200000 --results build/bulk.json  # 6 minutes
    python -m pipelines.benchmark_bulk --quick --results build/bulk.json   # does it run?

Needs Linux. Each system runs in a process of its own, on one core and with one thread, unless two
are said. MiniLM needs the extras "teacher" and "train", Keras the latter, the approximate index the
extra "approximate"; what is not installed is left out, and a line says so. Absolute times hold for
the machine at hand alone, and for it only while nothing else runs.

The floor is the least time that a core needs for the multiplications of the question network, at
the speed of a large matrix product on it: NumPy's or ONNX Runtime's (extra "train"), whichever is
the faster. With units u of an LSTM, d dimensions of a word and dense
layers of widths w0, w1, ..., a word costs 2 * 4u * (d + u) multiply-adds (two directions of four
gates), and 4u more where there is attention (2u for its weight, 2u for the weighed mean); a text
costs w0 * w1 + w1 * w2 + ... more, where w0 is 2u, or 4u with attention. Each multiply-add is two
operations. Words beyond a text's end, which fill a batch, are not counted.
"""

import argparse
import contextlib
import dataclasses
import functools
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, positive, run
from emoji_vae.errors import InputError, MissingExtraError
from emoji_vae.locations import asset
from pipelines import phrases, rankers, results, sources
from sqam import bulk, scorer, writing
from sqam.encoder import Encoder
from sqam.job import Job
from sqam.scorer import Scorer
from sqam.text import Vocabulary

PARTS = ("one", "bulk", "floor", "memory", "candidates")
BESIDE = {"times MiniLM torch": "MiniLM, torch", "times its int8": "MiniLM, ONNX, int8"}
"""Name of a ratio -> the system that it is to."""


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes:
        tokens: of the single texts, by our tokenizer.
        singles: different texts of each length, at most.
        calls: of one text that are timed.
        sizes: of the bulks that every system ranks.
        texts: of the largest bulk, which ours ranks alone, and which goes from file to file.
        parts_texts: of the bulk whose parts are timed.
        repeats: of a bulk.
        budget: seconds after which no repeat is begun, and no further texts of it.
        lines: of the file whose ranking is watched for its memory.
        candidates: how many there are, from the fewest.
        questions: that are ranked among them at once.
        graph: most candidates that the graph of neighbours is built of; it takes long.
        recall: share of the exact best that an index must find; how far it looks is doubled until
            it does, on the questions that it is timed with.
        side: rows of the matrix product.
    """

    tokens: tuple[int, ...] = (8, 20)
    singles: int = 20
    calls: int = 300
    sizes: tuple[int, ...] = (256, 4096)
    texts: int = 100_000
    parts_texts: int = 20_480
    repeats: int = 5
    budget: float = 20.0
    lines: int = 5_000_000
    candidates: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    questions: int = 256
    graph: int = 100_000
    recall: float = 0.95
    side: int = 2048

    def __post_init__(self) -> None:
        """Check that something is measured.

        Raises:
            InputError: a value below 1, or none.
        """
        for name, value in vars(self).items():
            values = value if isinstance(value, tuple) else (value,)
            if not values or min(values) <= 0:
                raise InputError(f"{name} {value} measures nothing; give at least 1")


QUICK = Settings(
    singles=2, calls=4, sizes=(16, 64), texts=1500, parts_texts=1100, repeats=2, budget=1.0,
    lines=3000, candidates=(100, 1000), questions=16, graph=1000, side=256,
)  # fmt: skip
"""Shows that it runs; its figures say nothing."""

PHRASES = 50_000
"""Texts that the single ones are chosen from, the first of `many`."""

_THREADS = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "TF_INTRAOP")}
_ON_CORES = "import os, sys; os.sched_setaffinity(0, {{{}}}); "
_CHILD = "from pipelines import benchmark_bulk; benchmark_bulk.child()"
_COMMAND = "from sqam.cli import main; sys.exit(main(sys.argv[1:]))"


# What is counted.


def multiply_adds(settings: Mapping[str, Any], tokens: int, texts: int) -> int:
    """Return the multiply-adds of the question network, as the module says.

    Args:
        settings: of the model: ``lstm_units``, ``dimensions``, ``attention``, ``question_units``,
            ``shared_units`` and ``space``.
        tokens: of all texts.
        texts: with a token.
    """
    units, attention = settings["lstm_units"], bool(settings["attention"])
    token = 2 * 4 * units * (settings["dimensions"] + units) + 4 * units * attention
    first = (4 if attention else 2) * units
    widths = [first, *settings["question_units"], *settings["shared_units"], settings["space"]]
    return tokens * token + texts * sum(a * b for a, b in itertools.pairwise(widths))


def summary(values: Sequence[float], digits: int = 3) -> dict[str, Any]:
    """Return the median, what 10 % and 90 % stay below (between values: on a line), and the count.

    Raises:
        ValueError: no values.
    """
    if not values:
        raise ValueError("there is nothing to sum up")
    low, median, high = np.percentile(np.asarray(values, dtype=float), [10, 50, 90])
    found = {"median": median, "10 %": low, "90 %": high}
    return {
        **{name: round(float(value), digits) for name, value in found.items()},
        "repeats": len(values),
    }


def ratios(found: Mapping[str, Mapping[str, Any]], slower: bool) -> dict[str, dict[str, Any]]:
    """Return the systems' figures, each with how many times MiniLM's speed it has.

    Args:
        found: system -> figures with a "median".
        slower: whether a larger figure is a slower system (milliseconds), or a faster one.
    """
    beside = {name: found[system]["median"] for name, system in BESIDE.items() if system in found}
    return {
        system: {
            **figures,
            **{
                name: round(other / figures["median"] if slower else figures["median"] / other, 2)
                for name, other in beside.items()
            },
        }
        for system, figures in found.items()
    }


def crossover(build: float, exact: float, indexed: float) -> int | None:
    """Return from how many questions on an index pays, its making counted; None: never.

    Args:
        build: seconds that making it takes.
        exact, indexed: seconds a question without and with it.
    """
    return None if indexed >= exact else max(1, int(np.ceil(build / (exact - indexed))))


def recall(found: np.ndarray, exact: np.ndarray) -> float:
    """Return the share of the exact places, int (n, k), that are among the found ones."""
    pairs = zip(found.tolist(), exact.tolist(), strict=True)
    return float(np.mean([len({*a} & {*b}) / len(b) for a, b in pairs]))


def many(count: int) -> list[str]:
    """Return so many different lines of text: the phrasebook's, then each with one word more."""
    book = [" ".join(text.split()) for text, _ in phrases.phrasebook()]
    words = [word for text in book for word in text.split()]
    # Another stride each time round gives each text another word.
    found = itertools.chain(
        book,
        (
            f"{text} {words[(at * 7 + again) % len(words)]}"
            for again in itertools.count()
            for at, text in enumerate(book)
        ),
    )
    return list(itertools.islice(found, count))


# What is timed, in processes of their own.


def child() -> None:
    """Do one job, which standard input holds as JSON; print what it gave, or why it did not."""
    job = json.load(sys.stdin)
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in job.pop("settings").items()
    }
    settings = Settings(**given)
    try:
        found = _JOBS[job.pop("job")](settings, **job)
    except InputError as error:
        found = {"error": str(error), "missing": isinstance(error, MissingExtraError)}
    print(json.dumps(found))


def _timed(work: Callable[[], object], repeats: int, budget: float) -> list[float]:
    """Return the seconds of each repeat; none is begun after so many seconds, but for the first."""
    seconds: list[float] = []
    end = time.perf_counter() + budget
    while len(seconds) < repeats and (not seconds or time.perf_counter() < end):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return seconds


def _read(path: str, count: int) -> list[str]:
    with open(path, encoding="utf-8") as file:
        return [line.rstrip("\n") for line in itertools.islice(file, count)]


def _speed(
    rank: Callable[[list[str]], object], texts: list[str], settings: Settings
) -> dict[str, Any]:
    """Return how many texts a second are ranked, in chunks; of them as many as fit the budget."""
    first = texts[: settings.sizes[0]]
    rank(first)
    (once,) = _timed(lambda: rank(first), 1, 0)
    some = texts[: max(1, int(settings.budget / once * len(first)))]

    def work() -> None:
        for chunk in bulk.chunks(some):
            rank(chunk)

    speeds = [len(some) / seconds for seconds in _timed(work, settings.repeats, settings.budget)]
    return {"texts": len(some), **summary(speeds, 1)}


def _prepare(settings: Settings, folder: str, cache: str) -> Any:
    rankers.prepare_minilm(Path(folder), Path(cache))
    return {}


def _system(
    settings: Settings,
    name: str,
    folder: str,
    cache: str,
    parts: Sequence[str],
    singles: Mapping[str, Sequence[str]],
    texts: str,
) -> Any:
    """Time one text, and bulks, of one system; return the ranking of the smallest bulk, too."""
    rank = rankers.RANKERS[name](Path(folder), Path(cache))
    found: dict[str, Any] = {"ranked": rank(_read(texts, settings.sizes[0]))}
    if "one" in parts:
        found["one"] = {}
        for tokens, some in singles.items():
            for text in some:
                rank([text])
            following = itertools.cycle(some)
            seconds = _timed(lambda: rank([next(following)]), settings.calls, settings.budget)  # noqa: B023
            found["one"][tokens] = summary([1000 * each for each in seconds])
    if "bulk" in parts:
        sizes = (*settings.sizes, settings.texts) if name == "ours" else settings.sizes
        found["bulk"] = {str(size): _speed(rank, _read(texts, size), settings) for size in sizes}
    return found


def _objects(settings: Settings, texts: str) -> Any:
    """Time `sqam.bulk.results`, the way from texts to result objects."""
    model, codes = Scorer.load(threads=1), EmojiCodes.load()

    def work(some: list[str]) -> list[bulk.Result]:
        return list(bulk.results(model, some, codes, rankers.K, bulk.Tally()))

    sizes = (*settings.sizes, settings.texts)
    return {str(size): _speed(work, _read(texts, size), settings) for size in sizes}


def _features(settings: Settings, texts: str) -> Any:
    """Time the sentence features, which classifiers of other tasks read."""
    encoder = Encoder.load(threads=1)
    sizes = (*settings.sizes, settings.texts)
    return {str(size): _speed(encoder.encode, _read(texts, size), settings) for size in sizes}


class Clock:
    """Times parts of a work: what is called within a part counts for itself alone.

    Attributes:
        seconds: of each part.
    """

    def __init__(self, outermost: str) -> None:
        self.seconds = {outermost: 0.0}
        self._open = [outermost]
        self._since = time.perf_counter()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function as a part."""

        def call(*arguments: Any, **options: Any) -> Any:
            self._count()
            self._open.append(part)
            try:
                return function(*arguments, **options)
            finally:
                self._count()
                self._open.pop()

        return call

    def stop(self) -> dict[str, float]:
        """Return the seconds of each part."""
        self._count()
        return self.seconds

    def _count(self) -> None:
        now = time.perf_counter()
        part = self._open[-1]
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self._since
        self._since = now


class _Network:
    """A network whose runs are a part."""

    def __init__(self, network: Any, clock: Clock) -> None:
        self.run = clock.timed("question network", network.run)


def _parts(settings: Settings, folder: str, texts: str) -> Any:
    """Rank a file within this process, timing the parts; then compare with the floor."""
    model, codes = Scorer.load(threads=1), EmojiCodes.load()
    source, output = Path(folder, "parts.txt"), Path(folder, "parts.jsonl")
    some = _read(texts, settings.parts_texts)
    source.write_text("".join(f"{text}\n" for text in some), encoding="utf-8")

    def work() -> dict[str, float]:
        clock = Clock("reading and writing")
        encoder = model.encoder
        with contextlib.ExitStack() as changed:
            for where, name, part in (
                (writing, "made", "lines of JSON"),
                (Vocabulary, "ids", "tokenizer"),
                (Encoder, "run", "vectors looked up"),
                (Scorer, "_cosines", "cosines"),
                (scorer, "top", "best of all"),
            ):
                part_of: Any = clock.timed(part, getattr(where, name))
                part_of = staticmethod(part_of) if name == "_cosines" else part_of
                changed.enter_context(mock.patch.object(where, name, part_of))
            network = _Network(encoder._network, clock)
            changed.enter_context(mock.patch.object(encoder, "_network", network))
            Job(str(source), output, force=True).run(model, codes, rankers.K)
            return clock.stop()

    work()
    runs = [work() for _ in range(settings.repeats)]
    seconds = {part: float(np.median([each[part] for each in runs])) for part in runs[0]}
    whole = sum(seconds.values())
    lengths = [len(ids) for ids in model.encoder.ids(some)]
    products = _products(settings)
    operations = max(products.values(), key=lambda each: each["median"])
    counted = 2 * multiply_adds(model.encoder.settings, sum(lengths), sum(map(bool, lengths)))
    floor = counted / (1e9 * operations["median"])
    encoder = sum(seconds[each] for each in ("tokenizer", "vectors looked up", "question network"))
    return {
        "parts": {
            "texts": len(some),
            "repeats": len(runs),
            "parts": {
                part: {
                    "microseconds a text": round(1e6 * each / len(some), 2),
                    "share": round(each / whole, 4),
                }
                for part, each in sorted(seconds.items(), key=lambda pair: -pair[1])
            },
        },
        "floor": {
            "tokens a text": round(sum(lengths) / len(some), 3),
            "operations a text": round(counted / len(some)),
            "matrix product": f"float32 {settings.side} x {settings.side}",
            "operations a second, 10^9": operations,
            "products, 10^9 operations a second": products,
            "microseconds a text": round(1e6 * floor / len(some), 2),
            "texts a second": round(len(some) / floor, 1),
            "share that is reached": {
                "question network": round(floor / seconds["question network"], 4),
                "with the vectors looked up": round(floor / (encoder - seconds["tokenizer"]), 4),
                "encoder": round(floor / encoder, 4),
                "file to file": round(floor / whole, 4),
            },
        },
    }  # fmt: skip


def _products(settings: Settings) -> dict[str, dict[str, Any]]:
    """Return how many 10^9 operations a second a large matrix product makes, by what makes it."""
    square = np.random.default_rng(0).random((settings.side, settings.side), dtype=np.float32)
    found: dict[str, Callable[[], object]] = {"NumPy": lambda: square @ square}
    try:
        from onnx import TensorProto, helper
    except ImportError:
        pass
    else:
        from emoji_vae.network import open_network

        a, b, c = (
            helper.make_tensor_value_info(name, TensorProto.FLOAT, square.shape) for name in "abc"
        )
        graph = helper.make_graph([helper.make_node("MatMul", ["a", "b"], ["c"])], "c", [a, b], [c])
        opsets = [helper.make_opsetid("", 17)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
        network = open_network(Path("product"), 1, model.SerializeToString())
        found["ONNX Runtime"] = lambda: network.run(None, {"a": square, "b": square})
    operations = 2 * settings.side**3 / 1e9
    speeds = {}
    for name, product in found.items():
        product()
        seconds = _timed(product, 4 * settings.repeats, settings.budget)
        speeds[name] = summary([operations / each for each in seconds], 1)
    return speeds


def _candidates(settings: Settings, count: int, singles: Mapping[str, Sequence[str]]) -> Any:
    """Rank texts among so many codes that are drawn at random; then by an index, if one is there.

    What is compared is the search alone, from the questions' vectors on.
    """
    rng = np.random.default_rng(count)
    codes = EmojiCodes(
        [f"drawn {at}" for at in range(count)], rng.standard_normal((count, 16)).astype(np.float32)
    )
    model = Scorer.load(threads=1)
    known = [text for some in singles.values() for text in some]
    texts = [
        f"{a} {b}" for a, b in itertools.islice(itertools.product(known, known), settings.questions)
    ]
    began = time.perf_counter()
    model.best(texts[:1], codes, rankers.K)
    made = time.perf_counter() - began
    found: dict[str, Any] = {"seconds to make the answers": round(made, 3)}
    repeats, budget = 4 * settings.repeats, settings.budget / 4
    for some in (texts[:1], texts):
        seconds = _timed(lambda: model.best(some, codes, rankers.K), repeats, budget)  # noqa: B023
        name = f"milliseconds, {len(some)} texts" if len(some) > 1 else "milliseconds, one text"
        found[name] = summary([1000 * each for each in seconds])
    found["megabytes at the peak"] = round(_status(os.getpid(), "VmHWM"), 1)
    try:
        import faiss
    except ImportError:
        found["indexes"] = None
        return found
    faiss.omp_set_num_threads(1)
    questions, answers = model.questions(texts), model.answers(codes)
    model.rank_questions(questions, codes, rankers.K)

    def exact(some: np.ndarray) -> list[Any]:
        return model.rank_questions(some, codes, rankers.K)

    best = np.asarray([[at for at, _ in row] for row in model.best(texts, codes, rankers.K)])
    found["indexes"] = {}
    for name, most in (("inverted lists", count), ("graph of neighbours", settings.graph)):
        if count > most:
            continue
        began = time.perf_counter()
        index, told, widest = _index(faiss, name, answers)
        figures: dict[str, Any] = {"seconds to build": round(time.perf_counter() - began, 3)}
        # It looks as far as it must to find nearly all.
        width = 1
        while True:
            told(width)
            reached = recall(index.search(questions, rankers.K)[1], best)
            if reached >= settings.recall or width >= widest:
                break
            width = min(2 * width, widest)
        figures |= {"looks at": width, f"recall@{rankers.K}": round(reached, 4)}
        for asked in (questions[:1], questions):
            look = len(asked)
            seconds = _timed(functools.partial(index.search, asked, rankers.K), repeats, budget)
            with_index = float(np.median(seconds)) / look
            seconds = _timed(functools.partial(exact, asked), repeats, budget)
            without = float(np.median(seconds)) / look
            what = f"{look} at once" if look > 1 else "one by one"
            figures |= {
                f"milliseconds a text, exact, {what}": round(1000 * without, 4),
                f"milliseconds a text, {what}": round(1000 * with_index, 4),
                f"pays from so many texts on, {what}": crossover(
                    figures["seconds to build"], without, with_index
                ),
            }
        found["indexes"][name] = figures
    return found


def _index(faiss: Any, name: str, answers: np.ndarray) -> tuple[Any, Callable[[int], None], int]:
    """Return an index of the answers, what sets how far it looks, and the farthest."""
    count, width = answers.shape
    if name == "inverted lists":
        lists = max(1, round(count**0.5))
        flat = faiss.IndexFlatIP(width)
        index = faiss.IndexIVFFlat(flat, width, lists, faiss.METRIC_INNER_PRODUCT)
        index.cp.min_points_per_centroid = 1  # else it complains of few
        index.train(answers)
        index.add(answers)
        return index, functools.partial(setattr, index, "nprobe"), lists
    index = faiss.IndexHNSWFlat(width, 32, faiss.METRIC_INNER_PRODUCT)
    index.add(answers)
    return index, functools.partial(setattr, index.hnsw, "efSearch"), 1024


_JOBS: Mapping[str, Callable[..., Any]] = {
    "prepare": _prepare,
    "system": _system,
    "objects": _objects,
    "features": _features,
    "parts": _parts,
    "candidates": _candidates,
}


def _status(process: int, name: str) -> float:
    """Return a figure of /proc/PID/status in MB (10^6 bytes); 0 where the process has ended."""
    with contextlib.suppress(OSError), open(f"/proc/{process}/status", encoding="utf-8") as file:
        for line in file:
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) * 1024 / 1e6
    return 0.0


def _megabytes(process: int) -> float:
    """Return the memory of a process and its children in MB; pages that they share count once."""
    found = 0.0
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii")
        for each in (process, *children.split()):
            with contextlib.suppress(OSError), open(f"/proc/{each}/smaps_rollup", "rb") as file:
                found += sum(int(line.split()[1]) for line in file if line.startswith(b"Pss:"))
    return found * 1024 / 1e6


# What starts them.


@dataclass
class Bench:
    """Measures part by part.

    Attributes:
        settings: how much.
        folder: for files that are removed in the end.
        cache: of downloaded packages.
        notes: what was left out, and why.
    """

    settings: Settings
    folder: Path
    cache: Path
    notes: list[str] = dataclasses.field(default_factory=list)

    def __post_init__(self) -> None:
        """Write the texts and choose the single ones."""
        self.cores = sorted(os.sched_getaffinity(0))
        texts = many(max(self.settings.texts, self.settings.parts_texts, *self.settings.sizes))
        self.texts = self.folder / "texts.txt"
        self.texts.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        self.count = len(texts)
        words = Vocabulary.load(asset("models", "sqam", "vocabulary.txt"))
        self.singles: dict[str, list[str]] = {str(count): [] for count in self.settings.tokens}
        for text in many(PHRASES):
            some = self.singles.get(str(len(words.ids(text))))
            if some is not None and len(some) < self.settings.singles:
                some.append(text)
        for count, some in self.singles.items():
            if not some:
                raise InputError(f"no text of the phrasebook has {count} tokens; choose others")

    def job(self, job: str, **options: Any) -> Any:
        """Do a job on one core, in a process of its own.

        Raises:
            InputError: it failed.
            MissingExtraError: a package is not installed.
        """
        given = json.dumps({"job": job, "settings": dataclasses.asdict(self.settings), **options})
        done = subprocess.run(
            [sys.executable, "-c", _ON_CORES.format(self.cores[0]) + _CHILD],
            input=given,
            capture_output=True,
            encoding="utf-8",
            env=os.environ | _THREADS,
            check=False,
        )
        if done.returncode:
            said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise InputError(f"cannot measure {options.get('name', job)}: {said[-1]}")
        found = json.loads(done.stdout.splitlines()[-1])
        if "error" in found:
            raise _MissingError(found["error"]) if found["missing"] else InputError(found["error"])
        return found

    def systems(self, parts: Sequence[str]) -> dict[str, Any]:
        """Return what `_system` does of every system that is installed."""
        found: dict[str, Any] = {}
        unprepared = ""
        for name in rankers.RANKERS:
            try:
                if unprepared and name.startswith("MiniLM, ONNX"):
                    raise _MissingError(unprepared)
                if name == "MiniLM, torch":
                    self._prepare()
                found[name] = self.job(
                    "system", name=name, folder=str(self.folder), cache=str(self.cache),
                    parts=parts, singles=self.singles, texts=str(self.texts),
                )  # fmt: skip
            except _MissingError as error:
                unprepared = str(error) if name == "MiniLM, torch" else unprepared
                self.note(f"{name} is left out: {error}")
        return found

    def _prepare(self) -> None:
        self.job("prepare", folder=str(self.folder), cache=str(self.cache))

    def note(self, text: str) -> None:
        """Keep a note, and print it."""
        self.notes.append(text)
        print(f"note: {text}", file=sys.stderr)

    def command(self, cores: Sequence[int], source: Path, output: Path) -> subprocess.Popen[str]:
        """Start ``sqam rank`` from file to file on these cores."""
        return start_rank(source, output, "--force", cores=cores)

    def files(self) -> dict[str, Any]:
        """Time the command from file to file, on one core and on two."""
        one = self.folder / "one.txt"
        one.write_text(f"{next(iter(self.singles.values()))[0]}\n", encoding="utf-8")
        found: dict[str, Any] = {}
        hashes = set()
        for count in (1, 2):
            if count > len(self.cores):
                self.note(f"file to file on {count} cores is left out: there is {len(self.cores)}")
                continue
            output = self.folder / f"ranked-{count}.jsonl"

            def work(source: Path, output: Path = output, count: int = count) -> None:
                finish_rank(self.command(self.cores[:count], source, output))

            work(one)
            start = _timed(lambda: work(one), self.settings.repeats, self.settings.budget)
            # As often in any case: the repeats of a file are few enough.
            seconds = _timed(lambda: work(self.texts), min(3, self.settings.repeats), float("inf"))
            hashes.add(results.sha256(output))
            found[f"{count} core" + "s" * (count > 1)] = {
                "texts a second": summary([self.count / each for each in seconds], 1),
                "texts a second, the start left out": round(
                    self.count / max(1e-9, float(np.median(seconds) - np.median(start))), 1
                ),
                "seconds to start": summary(start),
            }
        if len(hashes) == 1 and len(found) == 2:
            one_, two = (figures["texts a second"]["median"] for figures in found.values())
            found["two cores over one"] = round(two / one_, 3)
        if len(hashes) > 1:
            raise InputError("sqam rank wrote other bytes on two cores than on one; mend that")
        return {"texts": self.count, **found}

    def memory(self) -> dict[str, Any]:
        """Watch the memory of the command over a long file, on one core and on two."""
        source, output = self.folder / "lines.txt", self.folder / "lines.jsonl"
        texts = self.texts.read_text("utf-8").splitlines(keepends=True)
        with open(source, "w", encoding="utf-8") as file:
            file.writelines(itertools.islice(itertools.cycle(texts), self.settings.lines))
        found: dict[str, Any] = {"lines": self.settings.lines}
        for count in (1, 2)[: len(self.cores)]:
            figures = self._watched(self.cores[:count], source, output)
            found |= figures if count == 1 else {f"{count} cores": figures}
        source.unlink()
        return found

    def _watched(self, cores: Sequence[int], source: Path, output: Path) -> dict[str, Any]:
        """Return the memory of the command on these cores, and how fast it was meanwhile."""
        part = output.with_name(output.name + ".part")
        watched: list[tuple[int, float]] = []
        began = time.perf_counter()
        process = self.command(cores, source, output)
        while process.poll() is None:
            # Of several processes the kernel keeps no peak.
            several = len(cores) > 1
            peak = _megabytes(process.pid) if several else _status(process.pid, "VmHWM")
            if peak and part.exists():
                with contextlib.suppress(FileNotFoundError):
                    most = max(peak, watched[-1][1]) if watched else peak
                    watched.append((part.stat().st_size, most))
            time.sleep(0.02 if len(watched) < 500 else 0.2)  # to watch takes time, too
        seconds = time.perf_counter() - began
        finish_rank(process)
        if not watched:
            raise InputError(f"{self.settings.lines} lines are ranked too soon; give more --lines")
        size = output.stat().st_size
        output.unlink()
        found = {
            when: round(next((mb for at, mb in watched if at >= share * size), watched[-1][1]), 1)
            for when, share in (("a quarter", 0.25), ("half", 0.5))
        }
        found["the end"] = round(watched[-1][1], 1)
        return {
            "megabytes at the peak, up to": found,
            "the end over a quarter": round(found["the end"] / found["a quarter"], 4),
            "texts a second": round(self.settings.lines / seconds, 1),
        }

    def candidates(self) -> dict[str, Any]:
        """Rank among more and more candidates."""
        found = {
            f"{count:,}": self.job("candidates", count=count, singles=self.singles)
            for count in self.settings.candidates
        }
        if any(figures["indexes"] is None for figures in found.values()):
            missing = MissingExtraError("faiss", "approximate")
            self.note(f"the approximate indexes are left out: {missing}")
        return found

    def measure(self, parts: Sequence[str]) -> dict[str, Any]:
        """Return the figures of the parts."""
        found: dict[str, Any] = {
            "texts": {
                "of": "the phrasebook, again with one word more where there are too few",
                "count": self.count,
                "sha256": results.sha256(self.texts),
            }
        }
        if {"one", "bulk"} & set(parts):
            systems = self.systems(parts)
            found["the same first emoji"] = same_first(systems)
        if "one" in parts:
            found["one text, milliseconds"] = {
                f"{tokens} tokens": ratios(
                    {name: each["one"][tokens] for name, each in systems.items()}, slower=True
                )
                for tokens in self.singles
            }
        if "bulk" in parts:
            found["ranked, texts a second"] = {
                f"{size} texts": ratios(
                    {
                        name: each["bulk"][str(size)]
                        for name, each in systems.items()
                        if str(size) in each["bulk"]
                    },
                    slower=False,
                )
                for size in (*self.settings.sizes, self.settings.texts)
            }
            found["result objects, texts a second"] = self.job("objects", texts=str(self.texts))
            found["sentence features, texts a second"] = self.job("features", texts=str(self.texts))
            found["file to file"] = self.files()
        if {"bulk", "floor"} & set(parts):
            found |= self.job("parts", folder=str(self.folder), texts=str(self.texts))
        if "memory" in parts:
            found["memory"] = self.memory()
        if "candidates" in parts:
            found["candidates"] = self.candidates()
        return found


def start_rank(
    source: Path, output: Path, *options: str, cores: Sequence[int] = ()
) -> subprocess.Popen[str]:
    """Start ``sqam rank`` from file to file, on these cores alone if any are named."""
    on = _ON_CORES.format(", ".join(map(str, cores))) if cores else "import sys; "
    return subprocess.Popen(
        [sys.executable, "-c", on + _COMMAND, "rank", "--input", str(source),
         "--output", str(output), *options],
        stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip


def finish_rank(process: subprocess.Popen[str]) -> None:
    """Wait for a command that `start_rank` started; end it if this process is to end.

    Raises:
        InputError: it failed.
    """
    with process:
        try:
            _, said = process.communicate()
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise InputError(f"sqam rank exited with {process.returncode}: {said.strip()}")


class _MissingError(InputError):
    """A process lacks a package, and said which."""


def same_first(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return for how many texts a system has the first emoji of ours, or of MiniLM, as it is."""
    found = {}
    for name, each in systems.items():
        whole = "ours" if name.startswith("ours") else "MiniLM, torch"
        if whole in systems and name != whole:
            pairs = zip(each["ranked"], systems[whole]["ranked"], strict=True)
            found[name] = round(float(np.mean([a[:1] == b[:1] for a, b in pairs])), 4)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.benchmark_bulk", description=__doc__)
    add = parser.add_argument
    add("--parts", nargs="+", choices=PARTS, default=list(PARTS), help="only these")
    add("--lines", type=positive, metavar="N", help=f"of the file of memory ({Settings.lines:,})")
    add(
        "--budget", type=positive, metavar="SECONDS",
        help=f"after which a bulk is cut or repeated no more ({Settings.budget:g})",
    )  # fmt: skip
    add("--quick", action="store_true", help="as little as shows that it runs")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    add("--results", type=Path, default=asset("results", "bulk.json"))
    return run(parser.prog, lambda: _work(parser.parse_args(argv), argv))


def _work(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise InputError("this system cannot pin a process to a core; run it on Linux")
    given = {name: getattr(options, name) for name in ("lines", "budget")}
    settings = dataclasses.replace(
        QUICK if options.quick else Settings(), **{k: v for k, v in given.items() if v is not None}
    )
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        bench = Bench(settings, Path(folder), options.cache.absolute())
        found = bench.measure(options.parts)
    results.write(
        options.results,
        {
            "command": results.command("pipelines.benchmark_bulk", argv),
            "measured": "processes pinned to one core with one thread, unless two cores are said",
            "processors": os.cpu_count(),
            "settings": dataclasses.asdict(settings),
            "seconds": round(time.perf_counter() - began, 1),
            **found,
            "left out": bench.notes,
            "versions": results.versions(),
        },
    )
    for line in as_lines(found):
        print(line)


def as_lines(found: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """Yield the figures, one a line."""
    for name, value in found.items():
        path = f"{before}{name}"
        if isinstance(value, dict) and "median" in value:
            beside = [f"{k} {v}" for k, v in value.items() if k != "median"]
            yield f"{path}: {value['median']}  ({', '.join(beside)})"
        elif isinstance(value, dict):
            yield from as_lines(value, f"{path} / ")
        else:
            yield f"{path}: {value}"


if __name__ == "__main__":
    sys.exit(main())
