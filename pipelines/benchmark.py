"""Time the whole command from a cold start, and one sentence in a program that has the model open.

    python -m pipelines.benchmark
    python -m pipelines.benchmark --runs 30 --results build/benchmark.json

The command runs with a warm disk, where the system still holds all files in memory, and with a cold
one, beside a prototype that runs the networks by NumPy alone (`pipelines.numpy_ranker`).

A cold disk (Linux alone): before each run the page cache loses every file that the command reads,
by ``posix_fadvise``. The bytes that each process then had read from the disk stand beside its
seconds and show that it was cold. What other running processes have mapped stays in memory, the
interpreter and the C library at least, by this process; how much that is of the files is told too,
by ``mincore`` (which counts all of a file that belongs to another user). So run it while no other
program has NumPy or ONNX Runtime loaded. Directories stay, and what the disk or a hypervisor keeps
in a memory of its own.

Absolute times hold for the machine at hand alone; the results file says how many processors it has.
"""

import ctypes
import itertools
import json
import mmap
import multiprocessing
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.files import make_folder, replacing
from emoji_vae.locations import asset
from pipelines import results

# What loads NumPy or ONNX Runtime is imported where it is used, after the cold disk was measured:
# their libraries, mapped by this process, would not leave the page cache.

SENTENCE = "Congrats on the new job!"
COMMAND = ("-m", "sqam.cli", "rank", SENTENCE)
TRAINING = ("tensorflow", "keras", "torch", "jax", "pandas")
"""Packages that ranking must not load."""

COLD_RUNS = 7
"""With a cold disk, or as many as with a warm one where these are fewer."""

TEXTS = 2_000
"""Of the phrasebook, that are ranked with the model open."""

_MAPS = Path("/proc/self/maps")

# Runs a module as `python -m` does. The last line is JSON: the files that Python opened meanwhile,
# those of the modules that were imported before, and those that the process has mapped.
_READS = """
import json, os, runpy, sys
opened = set()
def hook(event, arguments):
    if event == "open" and not isinstance(arguments[0], int):
        opened.add(os.path.abspath(os.fsdecode(arguments[0])))
sys.addaudithook(hook)
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as end:
    if end.code:
        raise
files = set(opened)
for module in list(sys.modules.values()):
    spec = getattr(module, "__spec__", None)
    files.update(filter(None, (getattr(spec, "origin", None), getattr(spec, "cached", None))))
with open(MAPS, encoding="utf-8") as lines:
    files.update(line.split(maxsplit=5)[5].rstrip("\\n") for line in lines if "/" in line)
print()
print(json.dumps(sorted(files)))
"""


class ColdDiskError(InputError):
    """What the command reads cannot be made to come from the disk here."""


def files_of(command: Sequence[str]) -> list[Path]:
    """Return the files that a command reads, ``("-m", module, …)``.

    It runs once, watched: its modules, the libraries that it maps, the models.

    Raises:
        ColdDiskError: this system does not tell, or has no way to drop them.
    """
    if not (hasattr(os, "posix_fadvise") and _MAPS.exists()):
        raise ColdDiskError("a cold disk can be had on Linux alone, with /proc; measure it there")
    done = subprocess.run(
        [sys.executable, "-c", _READS.replace("MAPS", repr(str(_MAPS))), *command[1:]],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    names = sorted({os.path.realpath(name) for name in json.loads(done.stdout.splitlines()[-1])})
    # What these hold is made when it is read.
    made = ("/proc/", "/sys/", "/dev/")
    return [Path(name) for name in names if os.path.isfile(name) and not name.startswith(made)]


def drop(files: Sequence[Path]) -> None:
    """Take files out of the page cache, but for what a running process has mapped of them."""
    for path in files:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)  # what is yet to be written would stay
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        finally:
            os.close(descriptor)


def held(path: Path) -> int:
    """Return the bytes of a file that are in the page cache, in whole pages."""
    if not path.stat().st_size:
        return 0
    # Private, since ctypes tells the address of what may be written alone.
    kind = {"flags": mmap.MAP_PRIVATE, "prot": mmap.PROT_READ | mmap.PROT_WRITE}
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, **kind) as mapped:
        pages = ctypes.create_string_buffer(-(-len(mapped) // mmap.PAGESIZE))
        start = ctypes.c_char.from_buffer(mapped)
        failed = ctypes.CDLL(None, use_errno=True).mincore(
            ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(mapped)), pages
        )
        del start  # or the map cannot be closed
    if failed:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(path))
    return sum(page & 1 for page in pages.raw) * mmap.PAGESIZE


def cold(
    command: Sequence[str], runs: int, files: Sequence[Path] | None = None
) -> dict[str, dict[str, float]]:
    """Run a command in new processes.

    Args:
        command: arguments of Python.
        runs: that count.
        files: that it reads, which are dropped before each run (see `drop`); None: they stay in
            memory, where a run that does not count brings them first.

    Returns:
        Wall-clock seconds and peak resident memory in MB (10^6 bytes) of the whole process, and
        with ``files`` the MB that it had read from the disk and those of the files that had stayed
        in memory: the median, the least and the most of each.

    Raises:
        InputError: the command fails.
        ColdDiskError: a run with ``files`` had nothing read from the disk.
    """
    seconds, megabytes, read, stayed = [], [], [], []
    for number in range(runs + (files is None)):
        if files is not None:
            drop(files)
            stayed.append(sum(map(held, files)) / 1e6)
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, *command], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        ended = time.perf_counter()
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            started = shlex.join(["python", *command])
            raise InputError(f"{started} exited with {process.returncode}; mend that first")
        if number or files is not None:
            seconds.append(ended - began)
            # The kernel counts memory in KiB, and what is read in blocks of 512 bytes.
            megabytes.append(usage.ru_maxrss * 1024 / 1e6)
            read.append(usage.ru_inblock * 512 / 1e6)
    if files is not None and not min(read):
        raise ColdDiskError(
            "nothing was read from the disk: the system holds the files elsewhere, or other "
            "processes use them; put the environment on a disk of its own"
        )
    found = {"seconds": seconds, "megabytes": megabytes}
    if files is not None:
        found |= {"megabytes read": read, "megabytes that stayed": stayed}
    return {
        name: {
            "median": round(statistics.median(values), 3),
            "least": round(min(values), 3),
            "most": round(max(values), 3),
        }
        for name, values in found.items()
    }


def starts(command: Sequence[str], runs: int) -> dict[str, Any]:
    """Start a command with a warm and with a cold disk.

    Returns:
        "cold start" and "cold start, cold disk": see `cold`; the latter has the number of its runs
        and of the dropped files and their MB as well, or else says why it was left out.

    Raises:
        InputError: the command fails.
    """
    found: dict[str, Any] = {"cold start": cold(command, runs)}
    try:
        files = files_of(command)
        size = sum(path.stat().st_size for path in files)
        few = min(runs, COLD_RUNS)
        found["cold start, cold disk"] = {
            **cold(command, few, files),
            "runs": few,
            "files": len(files),
            "megabytes of files": round(size / 1e6, 3),
        }
    except ColdDiskError as error:
        found["cold start, cold disk"] = {"left out": str(error)}
    return found


def write_weights(path: Path, folder: Path | None = None) -> None:
    """Write what `pipelines.numpy_ranker` reads, an .npz file.

    Args:
        path: of the file.
        folder: of the model; by default the one that ships, the only one whose form is known.

    Raises:
        InputError: the model is of another form, or the file cannot be written.
        MissingExtraError: ONNX is not installed, which reads the exported network.
    """
    import numpy as np

    from emoji_vae.codes import EmojiCodes
    from sqam.export import network_constants
    from sqam.scorer import Scorer

    folder = asset("models", "sqam") if folder is None else folder
    scorer = Scorer.load(folder)
    nodes = network_constants(folder / "question.onnx")
    form = {name: len(nodes.get(name, ())) for name in ("LSTM", "ReduceMax", "MatMul", "Tanh")}
    settled = scorer.encoder.settings["mask"] and not scorer.vocabulary.reading()
    if set(form.values()) != {1} or len(nodes["Relu"]) != len(nodes["Gemm"]) - 1 or not settled:
        raise InputError(
            f"{str(folder)!r} holds a model of another form than the one that ships; NumPy alone "
            "is measured on that one"
        )
    ((weights, recurrent, biases),) = nodes["LSTM"]
    ((attention,),) = nodes["MatMul"]
    # ONNX has two biases, which are added up.
    arrays = {"biases": biases.reshape(2, 2, -1).sum(axis=1)}
    halves = {"weights": weights, "recurrent": recurrent, "attention": attention}
    for number, (kernel, bias) in enumerate(nodes["Gemm"]):
        halves[f"kernel {number}"] = kernel
        arrays[f"bias {number}"] = bias
    # The network keeps its matrices in half precision, too, so nothing is lost.
    arrays |= {name: array.astype(np.float16) for name, array in halves.items()}
    arrays |= {
        "answers": scorer.answers(EmojiCodes.load()),
        "max_tokens": np.array(scorer.max_tokens),
    }
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def apart(work: Callable[..., None], *arguments: Any) -> None:
    """Call something in a process of its own, so that this one maps none of its libraries."""
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(work, *arguments).result()


def by_numpy(runs: int, place: Path) -> dict[str, Any]:
    """Start the prototype that runs the networks by NumPy alone, as `starts` does.

    Args:
        runs: that count, with a warm disk.
        place: folder for the weights, which go again; on a disk, where a system's own folder for
            such files may be in memory.

    Returns:
        See `starts`, and the bytes of the weights; or why all was left out.
    """
    with tempfile.TemporaryDirectory(prefix=".benchmark-", dir=place) as folder:
        path = Path(folder, "weights.npz")
        try:
            apart(write_weights, path)
        except InputError as error:
            return {"left out": str(error)}
        command = ("-m", "pipelines.numpy_ranker", str(path), SENTENCE)
        return {
            "measured": "python -m pipelines.numpy_ranker, a prototype, in the same way",
            "bytes of weights": path.stat().st_size,
            **starts(command, runs),
        }


def warm(texts: Sequence[str]) -> dict[str, float]:
    """Rank all emojis for one text after the other, on one core.

    Returns:
        Milliseconds a text: the median, and what 99 % of the texts stay below.
    """
    from emoji_vae.codes import EmojiCodes
    from sqam.scorer import Scorer

    scorer, codes = Scorer.load(threads=1), EmojiCodes.load()
    scorer.rank(texts[:1], codes)  # opens what is opened once
    milliseconds = []
    for text in texts:
        began = time.perf_counter()
        scorer.rank([text], codes)
        milliseconds.append(1e3 * (time.perf_counter() - began))
    return {
        "median": round(statistics.median(milliseconds), 3),
        "99 %": round(statistics.quantiles(milliseconds, n=100)[-1], 3),
    }


def loaded() -> list[str]:
    """Return those of ``TRAINING`` that the command has loaded at its end."""
    code = (
        "import sys; from sqam.cli import main; main(sys.argv[1:]); "
        "print(*sorted(sys.modules), sep='\\n')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *COMMAND[2:]],
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return [name for name in TRAINING if name in done.stdout.splitlines()]


def shipped() -> dict[str, int]:
    """Return the bytes of the shipped models, their vocabulary and the codes, and of them all."""
    files = [path for path in sorted(asset("models").rglob("*")) if path.is_file()]
    sizes = {path.relative_to(asset("models")).as_posix(): path.stat().st_size for path in files}
    return {**sizes, "all": sum(sizes.values())}


def sentences() -> list[str]:
    """Return `TEXTS` texts of the phrasebook."""
    from pipelines import phrases

    return [text for text, _ in itertools.islice(phrases.phrasebook(), TEXTS)]


def show(whose: str, found: dict[str, Any]) -> None:
    """Print what `starts` or `by_numpy` found, or why they found nothing."""
    if "left out" in found:
        print(f"{whose}left out: {found['left out']}")
        return
    for part in ("cold start", "cold start, cold disk"):
        if "left out" in found[part]:
            print(f"{whose}{part}: left out: {found[part]['left out']}")
            continue
        for name in ("seconds", "megabytes", "megabytes read", "megabytes that stayed"):
            if value := found[part].get(name):
                spread = f"median {value['median']}  ({value['least']} to {value['most']})"
                print(f"{whose}{part}, {name}: {spread}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.benchmark", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="counted runs (20)")
    parser.add_argument("--results", type=Path, default=asset("results", "benchmark.json"))

    def work() -> None:
        options = parser.parse_args(argv)
        if options.runs < 1:
            raise InputError(f"{options.runs} runs measure nothing; ask for at least 1")
        make_folder(options.results.parent)
        started = starts(COMMAND, options.runs)
        started["NumPy alone"] = by_numpy(options.runs, options.results.parent)
        texts = sentences()
        found = {
            "command": results.command("pipelines.benchmark", argv),
            "measured": f"python -m sqam.cli rank {SENTENCE!r}, a new process each time",
            "runs": options.runs,
            "processors": os.cpu_count(),
            **started,
            "texts": len(texts),
            "milliseconds a text, model open, one core": warm(texts),
            "training packages loaded": loaded(),
            "bytes": shipped(),
            "versions": results.versions(),
        }
        results.write(options.results, found)
        show("", found)
        show("NumPy, ", found["NumPy alone"])
        for name, value in found["milliseconds a text, model open, one core"].items():
            print(f"{'open, ms':10} {name} {value}")
        print(f"loaded     {', '.join(found['training packages loaded']) or 'nothing of training'}")
        print(f"bytes      {found['bytes']['all']:,}")

    return run(parser.prog, work)


if __name__ == "__main__":
    sys.exit(main())
