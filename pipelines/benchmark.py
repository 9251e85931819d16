"""Time the whole command from a cold start, and one sentence in a program that has the model open.

    python -m pipelines.benchmark
    python -m pipelines.benchmark --runs 30 --results build/benchmark.json

Absolute times hold for the machine at hand alone; the results file says how many processors it has.
"""

import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import phrases, results
from sqam.scorer import Scorer

SENTENCE = "Congrats on the new job!"
COMMAND = ("-m", "sqam.cli", "rank", SENTENCE)
TRAINING = ("tensorflow", "keras", "torch", "jax", "pandas")
"""Packages that ranking must not load."""

TEXTS = 2_000
"""Of the phrasebook, that are ranked with the model open."""


def cold(runs: int) -> dict[str, Any]:
    """Run the command in new processes, after one run that warms the disk.

    Returns:
        Wall-clock seconds and peak resident memory in MB (10^6 bytes) of the whole process: the
        median, the least and the most of each.
    """
    seconds, megabytes = [], []
    for number in range(runs + 1):
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, *COMMAND], stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            raise InputError(f"sqam rank exited with {process.returncode}; mend that first")
        if number:
            seconds.append(time.perf_counter() - began)
            # The kernel counts in KiB.
            megabytes.append(usage.ru_maxrss * 1024 / 1e6)
    return {
        name: {
            "median": round(statistics.median(values), 3),
            "least": round(min(values), 3),
            "most": round(max(values), 3),
        }
        for name, values in (("seconds", seconds), ("megabytes", megabytes))
    }


def warm(texts: Sequence[str]) -> dict[str, float]:
    """Rank all emojis for one text after the other, on one core.

    Returns:
        Milliseconds a text: the median, and what 99 % of the texts stay below.
    """
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


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.benchmark", description=__doc__)
    parser.add_argument("--runs", type=int, default=20, help="counted runs (20)")
    parser.add_argument("--results", type=Path, default=asset("results", "benchmark.json"))

    def work() -> None:
        options = parser.parse_args(argv)
        if options.runs < 1:
            raise InputError(f"{options.runs} runs measure nothing; ask for at least 1")
        texts = [text for text, _ in itertools.islice(phrases.phrasebook(), TEXTS)]
        found = {
            "command": results.command("pipelines.benchmark", argv),
            "measured": f"python -m sqam.cli rank {SENTENCE!r}, a new process each time",
            "runs": options.runs,
            "processors": os.cpu_count(),
            "cold start": cold(options.runs),
            "texts": len(texts),
            "milliseconds a text, model open, one core": warm(texts),
            "training packages loaded": loaded(),
            "bytes": shipped(),
            "versions": results.versions(),
        }
        results.write(options.results, found)
        for name, value in found["cold start"].items():
            print(f"{name:10} median {value['median']}  ({value['least']} to {value['most']})")
        for name, value in found["milliseconds a text, model open, one core"].items():
            print(f"{'open, ms':10} {name} {value}")
        print(f"loaded     {', '.join(found['training packages loaded']) or 'nothing of training'}")
        print(f"bytes      {found['bytes']['all']:,}")

    return run(parser.prog, work)


if __name__ == "__main__":
    sys.exit(main())
