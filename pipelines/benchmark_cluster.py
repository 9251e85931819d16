"""Time a file's ranking by a Ray cluster of two nodes, one worker and two, beside one machine.

    python -m pipelines.benchmark_cluster                      # a million texts, about 8 minutes
    python -m pipelines.benchmark_cluster --texts 4000000 --results build/cluster.json
    python -m pipelines.benchmark_cluster --quick --results build/cluster.json   # does it run?

Needs Linux and the extra "cluster". The nodes are processes on this machine, begun for this alone;
no other cluster is touched. What is timed is the whole command `sqam rank`, each in turn:

- "one machine" without a cluster, in one process on one core;
- with a worker of the cluster, and with two, which share the machine's processors with the
  processes of the cluster and of the command.

"The start left out": less the seconds that the same takes for a line a worker. The shards together
must be what one machine writes, to the byte. What a billion texts would take is multiplied from the
speeds without the start; it holds for texts of this length and for processors of this kind. Times
hold for the machine at hand alone, and for it only while nothing else runs.
"""

import argparse
import dataclasses
import hashlib
import math
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emoji_vae.command import Parser, positive, progress, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import benchmark_bulk, nodes, results
from pipelines.benchmark_bulk import summary

ONE = "one machine"
BILLION = 10**9


@dataclass(frozen=True)
class Settings:
    """How much is measured.

    Attributes:
        texts: of the file.
        repeats: of each way to rank it.
        workers: that are measured beside one, at least 2.
        nodes: of the cluster.
        cpus: that each node says it has; one of them is left to Ray.
    """

    texts: int = 1_000_000
    repeats: int = 2
    workers: int = 2
    nodes: int = 2
    cpus: int = 2

    def __post_init__(self) -> None:
        """Check that something is measured.

        Raises:
            InputError: a value below 1, fewer than two workers, or more than there is room for.
        """
        for name, value in vars(self).items():
            if value < 1:
                raise InputError(f"{name} {value} measures nothing; give at least 1")
        room = self.nodes * (self.cpus - 1)
        if not 2 <= self.workers <= room:
            raise InputError(
                f"{self.workers} workers cannot be measured beside one; give 2 to {room}, for "
                "which there is room"
            )


QUICK = Settings(texts=20_000, repeats=1)
"""Shows that it runs, with two shards; its figures say nothing."""


# What is counted.


def speed(texts: int, whole: Sequence[float], start: Sequence[float]) -> dict[str, Any]:
    """Return a command's seconds and texts a second, from medians.

    Args:
        texts: that it ranked.
        whole: its seconds, each time.
        start: seconds that it takes for hardly a text.
    """
    median = statistics.median(whole)
    return {
        "seconds": summary(whole, 2),
        "seconds to start": summary(start, 2),
        "texts a second": round(texts / median, 1),
        "texts a second, the start left out": round(
            texts / max(1e-9, median - statistics.median(start)), 1
        ),
    }


def billion(one: float, cluster: float, workers: int, sizes: Mapping[str, float]) -> dict[str, Any]:
    """Return what a billion texts would cost at these speeds.

    Args:
        one: texts a second of one machine's core.
        cluster: texts a second of all workers.
        workers: how many.
        sizes: what -> bytes a text.
    """
    hours = {ONE: BILLION / one / 3600, "cluster": BILLION * workers / cluster / 3600}
    return {
        "core hours": {name: round(value, 1) for name, value in hours.items()},
        "workers that take an hour": math.ceil(hours["cluster"]),
        "TB": {name: round(BILLION * size / 1e12, 3) for name, size in sizes.items()},
    }


def sha256(paths: Iterable[Path]) -> str:
    """Return the SHA-256 of files as if they were one."""
    found = hashlib.sha256()
    for path in paths:
        with open(path, "rb") as file:
            while part := file.read(1 << 20):
                found.update(part)
    return found.hexdigest()


# What is timed.


@dataclass
class Bench:
    """Times commands.

    Attributes:
        settings: how much.
        folder: for files, which are removed in the end.
        address: of the cluster.
    """

    settings: Settings
    folder: Path
    address: str

    def __post_init__(self) -> None:
        """Write the texts, and a line for each worker."""
        texts = benchmark_bulk.many(self.settings.texts)
        self.texts = self.folder / "texts.txt"
        self.texts.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
        self._output = self.folder / "ranked"
        self._sha256 = ""
        for workers in (1, self.settings.workers):
            lines = self._lines(workers)
            lines.mkdir()
            for worker in range(workers):
                (lines / f"{worker}.txt").write_text(f"{texts[0]}\n", encoding="utf-8")

    def _lines(self, workers: int) -> Path:
        return self.folder / f"lines-{workers}"

    def rank(self, source: Path, workers: int | None, kind: str = "jsonl") -> dict[str, Any]:
        """Run the command once, with workers of the cluster or, if None, without.

        Returns:
            Its ``seconds``, and of a cluster's those until it had ``planned`` the shards; the
            ``bytes`` and, of JSON lines, the ``sha256`` of what it wrote; the number of ``shards``.

        Raises:
            InputError: the command failed.
        """
        if workers is None:
            output = self._output.with_suffix(f".{kind}")
            options, cores = ["--workers", "1"], sorted(os.sched_getaffinity(0))[:1]
        else:
            output, cores = self._output, []
            options = ["--cluster", self.address, "--shards", kind, "--workers", str(workers)]
        began, began_at = time.perf_counter(), time.time()
        benchmark_bulk.finish_rank(benchmark_bulk.start_rank(source, output, *options, cores=cores))
        found: dict[str, Any] = {"seconds": time.perf_counter() - began}
        parts = sorted(output.glob(f"part-*.{kind}")) if output.is_dir() else [output]
        found |= {"bytes": sum(part.stat().st_size for part in parts), "shards": len(parts)}
        found["sha256"] = sha256(parts) if kind == "jsonl" else ""
        if output.is_dir():
            found["planned"] = (output / "_manifest.json").stat().st_mtime - began_at
            shutil.rmtree(output)
        else:
            output.unlink()
        return found

    def start(self, workers: int | None) -> float:
        """Return the seconds that the command takes for a line a worker."""
        lines = self._lines(workers or 1)
        return float(self.rank(lines if workers else lines / "0.txt", workers)["seconds"])

    def measure(self, moved: Callable[[int], object]) -> dict[str, Any]:
        """Return all figures.

        Args:
            moved: is told of each command that has ended, as many as `commands`.

        Raises:
            InputError: a command failed, or shards together are not what one machine writes.
        """
        ways = {ONE: None, "1 worker": 1, f"{self.settings.workers} workers": self.settings.workers}
        start: dict[str, list[float]] = {name: [] for name in ways}
        ranked: dict[str, list[dict[str, Any]]] = {name: [] for name in ways}
        for workers in ways.values():
            self.start(workers)  # from now on its files are in memory
            moved(1)
        # In turn, so that whatever else the machine does meets all of them.
        for _ in range(self.settings.repeats):
            for name, workers in ways.items():
                start[name].append(self.start(workers))
                moved(1)
                ranked[name].append(self.rank(self.texts, workers))
                moved(1)
                if ranked[name][-1]["sha256"] != ranked[ONE][0]["sha256"]:
                    raise InputError(
                        f"{name} ranked {self.settings.texts} texts to other bytes than {ONE}; "
                        "mend that"
                    )
        parquet = self.rank(self.texts, self.settings.workers, "parquet")
        moved(1)
        return self._figures(start, ranked, parquet)

    @property
    def commands(self) -> int:
        """How many commands are run."""
        return 3 + 2 * 3 * self.settings.repeats + 1

    def _figures(
        self,
        start: Mapping[str, Sequence[float]],
        ranked: Mapping[str, Sequence[Mapping[str, Any]]],
        parquet: Mapping[str, Any],
    ) -> dict[str, Any]:
        count, workers = self.settings.texts, self.settings.workers
        found = {
            name: speed(count, [run["seconds"] for run in runs], start[name])
            for name, runs in ranked.items()
        }
        for name, runs in ranked.items():
            if name != ONE:
                planned = statistics.median(run["planned"] for run in runs)
                found[name]["shards"] = runs[0]["shards"]
                found[name]["seconds until they were planned"] = round(planned, 2)
        one, single, several = found.values()
        left_out = "texts a second, the start left out"
        sizes = {
            "in": self.texts.stat().st_size / count,
            "out, JSON lines": ranked[ONE][0]["bytes"] / count,
            "out, Parquet": parquet["bytes"] / count,
        }
        return {
            "texts": {
                "of": "the phrasebook, again with one word more where there are too few",
                "count": count,
                "sha256": results.sha256(self.texts),
            },
            **found,
            f"{workers} workers over one": {
                "whole command": round(several["texts a second"] / single["texts a second"], 3),
                "the start left out": round(several[left_out] / single[left_out], 3),
            },
            "one worker over one machine": {
                "whole command": round(single["texts a second"] / one["texts a second"], 3),
                "the start left out": round(single[left_out] / one[left_out], 3),
            },
            "shards as Parquet": {
                "seconds": round(parquet["seconds"], 2),
                "texts a second": round(count / parquet["seconds"], 1),
            },
            "bytes a text": {name: round(size, 1) for name, size in sizes.items()},
            "a billion texts": billion(one[left_out], several[left_out], workers, sizes),
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.benchmark_cluster", description=__doc__)
    add = parser.add_argument
    add("--texts", type=positive, metavar="N", help=f"of the file ({Settings.texts:,})")
    add("--repeats", type=positive, metavar="N", help=f"of each way ({Settings.repeats})")
    add("--quick", action="store_true", help="as little as shows that it runs")
    add("--results", type=Path, default=asset("results", "cluster.json"))
    return run(parser.prog, lambda: _work(parser.parse_args(argv), argv))


def _work(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    if not hasattr(os, "sched_setaffinity"):
        raise InputError("this system cannot pin a process to a core; run it on Linux")
    given = {name: getattr(options, name) for name in ("texts", "repeats")}
    settings = dataclasses.replace(
        QUICK if options.quick else Settings(), **{k: v for k, v in given.items() if v is not None}
    )
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="benchmark-") as folder,
        nodes.running(*[settings.cpus] * settings.nodes) as there,
    ):
        bench = Bench(settings, Path(folder), there.address)
        with progress(bench.commands, "commands") as moved:
            found = bench.measure(moved or (lambda more: None))
    results.write(
        options.results,
        {
            "command": results.command("pipelines.benchmark_cluster", argv),
            "measured": "sqam rank, the whole command; one machine: a process on one core; the "
            f"cluster: {settings.nodes} nodes on this machine, whose processes share its "
            "processors; all wrote the same bytes",
            "processors": os.cpu_count(),
            "settings": dataclasses.asdict(settings),
            "seconds": round(time.perf_counter() - began, 1),
            **found,
            "versions": results.versions("ray", "pyarrow"),
        },
    )
    for line in benchmark_bulk.as_lines(found):
        print(line)


if __name__ == "__main__":
    sys.exit(main())
