"""Ranking on a cluster: many files of texts in, a folder of shards out, as a job of Ray Data.

What is read falls into blocks, and each block becomes one shard, a file of its own:

- A manifest in the output's folder says of which files, as they were, and by which model,
  candidates and options the shards are made. The same command goes on where another one ended;
  with anything else it is an error.
- A shard is written under a temporary name, renamed when it is whole, and then recorded. What is
  not recorded is done again, and gives the same file; so every text is there once, whatever died.
- A block begins where one machine would begin a chunk, so the scores are those of `sqam.job`.

Ray is imported here alone, and only for a job.
"""

import contextlib
import hashlib
import json
import logging
import math
import os
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emoji_vae import __version__, command
from emoji_vae.errors import InputError, MissingExtraError
from emoji_vae.locations import asset
from sqam import bulk, shards, writing
from sqam.bulk import Ranking, Tally
from sqam.reading import Place, Source
from sqam.shards import Block, File, Folder, Manifest, Shard, absolute, listed, reading

if TYPE_CHECKING:
    from emoji_vae.codes import EmojiCodes

KINDS = ("parquet", "jsonl", "csv")
"""What shards may be."""

BLOCK_TEXTS = 256 * bulk.CHUNK_TEXTS
"""Texts of a block at most: some seconds' work."""

# A second's work: a smaller block gains less than what it costs to ask for it.
_LEAST_TEXTS = 16 * bulk.CHUNK_TEXTS

# Blocks a worker, where there are texts enough: when the last blocks are being ranked, those
# without one wait for as long as one takes at most.
_BLOCKS_EACH = 16

# Attempts to read and write a block, since a network's disk may fail for a moment.
_ATTEMPTS = 3


@dataclass(frozen=True)
class ClusterJob:
    """Ranking of files on a Ray cluster.

    Attributes:
        source: a file, a glob of files, a folder, or such an address that fsspec or Arrow opens;
            every worker must reach it. Kinds of files are those of `sqam.reading.Source`.
        output: the folder, or address of a folder, of the shards; every worker must reach it.
        address: the cluster's, as Ray has it: ``auto``, ``HOST:PORT``, or ``local`` for one of this
            machine's own.
        column: where the texts are, "text" if None.
        keep: further columns to stand in the shards.
        kind: what the shards are, one of ``KINDS``.
        workers: how many there are, each on one CPU; None: as many as there is room for.
        timeout: seconds without a finished shard after which the job is given up, above 0.
        block: texts of a shard at most, a multiple of ``CHUNK_TEXTS``; fewer where not every worker
            would get several shards. Compressed files stay whole.

    Raises:
        InputError: a value that is out of its range.
    """

    source: str
    output: str
    address: str = "auto"
    column: str | None = None
    keep: tuple[str, ...] = ()
    kind: str = "parquet"
    workers: int | None = None
    timeout: float = 900.0
    block: int = BLOCK_TEXTS

    def __post_init__(self) -> None:
        """Check what was asked for."""
        if self.source == "-":
            raise InputError("a cluster cannot read standard input; name files")
        if self.kind not in KINDS:
            raise InputError(f"shards cannot be {self.kind!r}; name one of {', '.join(KINDS)}")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"{self.workers} workers cannot be; give at least 1")
        if not self.timeout > 0:
            raise InputError(f"a timeout of {self.timeout} s cannot be; give one above 0")
        if self.block < 1 or self.block % bulk.CHUNK_TEXTS:
            raise InputError(
                f"a block of {self.block} texts cannot be; give a multiple of {bulk.CHUNK_TEXTS}"
            )
        writing.check(f"x.{self.kind}")

    def run(self, candidates: "EmojiCodes", k: int, model: Path | None = None) -> Tally:
        """Rank every text and write the shards that are not there yet.

        Args:
            candidates: what is ranked.
            k: how many matches a text gets at most, at least 1.
            model: the model's folder, at the same place on every node; None: the one that ships.

        Returns:
            Counts of all texts, those of earlier runs as well.

        Raises:
            InputError: nothing to read, no cluster or too small a one, a folder that holds
                something else, input that changed, a file that is not what its name says, no
                progress.
            MissingExtraError: Ray is not installed.
        """
        folder = Folder(self.output, self.kind)
        files = listed(self.source, self.output)
        for file in files:
            Source(file.name, self.column, self.keep)
        writing.check_kept(f"x.{self.kind}", self.keep, Ranking.made, Ranking.header)
        made_by: dict[str, Any] = {
            "version": __version__,
            "model": digest(_model(model)),
            "candidates": _digest_of([repr(candidates.names).encode(), candidates.codes.tobytes()]),
            "k": k,
            "column": self.column,
            "keep": list(self.keep),
            "kind": self.kind,
            "block": self.block,
        }
        manifest = folder.manifest()
        if manifest is not None:
            manifest.check(made_by, files, self.output)
        if manifest is None or folder.missing(manifest):
            with _connected(self.address) as ray:
                workers = room(_cpus(ray), self.workers)
                if manifest is None:
                    manifest = Manifest(made_by, files, self._plan(ray, files, workers))
                    folder.begin(manifest, candidates)
                # Workers have working folders of their own.
                output, own = absolute(self.output), model and model.absolute()
                work = Work(output, self.kind, self.column, self.keep, k, own, made_by["model"])
                self._rank(ray, folder, manifest, work)
        return folder.end(manifest)

    def _plan(self, ray: Any, files: Sequence[File], workers: int) -> list[Shard]:
        """Find the blocks of all files; files of lines must be read through for that."""
        least = math.gcd(self.block, _LEAST_TEXTS)
        remote = ray.remote(num_cpus=1, max_retries=_ATTEMPTS)(shards.blocks)
        pending = [remote.remote(file, self.column, self.keep, least) for file in files]
        found: list[list[Block]] = []
        for reference in pending:
            try:
                blocks, problem = ray.get(reference, timeout=self.timeout)
            except ray.exceptions.GetTimeoutError as error:
                raise self._stalled("no file was looked through") from error
            except ray.exceptions.RayError as error:
                raise _broken(error) from error
            if problem:
                raise InputError(problem)
            found.append(blocks)
        total = sum(texts or 0 for blocks in found for *_, texts in blocks)
        size = block_texts(total, workers, least, self.block)
        joined = (
            (file, block)
            for file, blocks in enumerate(found)
            for block in shards.joined(blocks, size)
        )
        return [Shard(number, file, *block) for number, (file, block) in enumerate(joined)]

    def _rank(self, ray: Any, folder: Folder, manifest: Manifest, work: "Work") -> None:
        """Make the shards that are missing.

        A node that dies takes its workers with it, and where there is no room to start them again,
        the blocks that they had wait for ever. So after a while without progress those that are
        missing are begun anew, by as many workers as there is room for by then.
        """
        missing = folder.missing(manifest)
        with command.progress(len(missing), "shards") as moved:
            while missing:
                there = room(_cpus(ray), None)
                workers = min(there, self.workers or there, len(missing))
                rows = [
                    {"shard": json.dumps([shard, manifest.files[shard.file]])} for shard in missing
                ]
                stalled = self._round(ray, rows, workers, work, moved)
                left = folder.missing(manifest)
                if left and not stalled:
                    raise InputError(
                        f"the workers have made {len(left)} shards that are not in {self.output!r} "
                        "here; name an --output that is the same folder on every node"
                    )
                if len(left) == len(missing):
                    raise self._stalled(f"{len(left)} shards are missing, and none was finished")
                missing = left

    def _round(
        self,
        ray: Any,
        rows: Sequence[Mapping[str, str]],
        workers: int,
        work: "Work",
        moved: Callable[[int], object] | None,
    ) -> bool:
        """Let workers make shards; tell whether they stopped before the end."""
        from ray.data.exceptions import ExecutionTimeoutError

        # A block each, so that each is a task of its own.
        data = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            Worker,
            batch_size=1,
            num_cpus=1,
            # One shard at a time: what waits for a worker that is busy has another one do it.
            compute=ray.data.ActorPoolStrategy(size=workers, max_tasks_in_flight_per_actor=1),
            fn_constructor_args=(work,),
        )
        data.context.execution_no_progress_timeout_s = self.timeout
        data.context.enable_progress_bars = False
        data.context.print_on_execution_start = False
        try:
            for row in data.iter_rows():
                if row["problem"]:
                    raise InputError(row["problem"])
                if moved is not None:
                    moved(1)
        except ExecutionTimeoutError:
            return True
        except ray.exceptions.RayError as error:
            raise _broken(error) from error
        return False

    def _stalled(self, what: str) -> InputError:
        return InputError(
            f"{what} for {self.timeout:g} s; see whether the cluster's nodes live and have CPUs "
            "that nothing else has taken, or give it longer with --timeout, then give the same "
            "command again: what is finished is kept"
        )


@dataclass(frozen=True)
class Work:
    """What a worker must know."""

    output: str
    kind: str
    column: str | None
    keep: tuple[str, ...]
    k: int
    model: Path | None
    digest: str


class Worker:
    """A long-lived worker with a scorer of its own; Ray calls it with a shard at a time."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._folder = Folder(work.output, work.kind)
        self._problem = ""
        try:
            folder = _model(work.model)
            if digest(folder) != work.digest:
                raise InputError(
                    f"the model at {str(folder)!r} is another one on {socket.gethostname()!r}; "
                    "install the same release, or put the same model there, on every node"
                )
            from sqam.scorer import Scorer

            scorer = Scorer.load(folder, threads=1)
            self._task = Ranking(scorer, self._folder.candidates(), work.k)
        except InputError as error:
            self._problem = str(error)
        except OSError as error:
            self._problem = (
                f"cannot read {work.output!r} on {socket.gethostname()!r} ({error}); name an "
                "--output that is the same folder on every node"
            )

    def __call__(self, batch: Mapping[str, Any]) -> Mapping[str, Any]:
        """Make a shard; say what is wrong if it cannot be made."""
        block, read = json.loads(str(batch["shard"][0]))
        shard = Shard(*block)
        problem = self._problem or self._attempt(shard, File(*read))
        return {"shard": [shard.number], "problem": [problem]}

    def _attempt(self, shard: Shard, file: File) -> str:
        for attempt in range(_ATTEMPTS):
            if attempt:
                time.sleep(attempt)
            try:
                # After a worker's or a node's death Ray gives the shard to another one.
                if not self._folder.has(shard):
                    self._make(shard, file)
                return ""
            except InputError as error:
                return str(error)
            except OSError as error:
                failed = (
                    f"a block of {file.name!r} failed {_ATTEMPTS} times on "
                    f"{socket.gethostname()!r} ({error}); mend that, then give the same command "
                    "again"
                )
        return failed

    def _make(self, shard: Shard, file: File) -> None:
        work, tally = self._work, Tally()
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / f"made.{work.kind}"
            lines = Path(folder) / "lines"
            with reading(file, work.column, work.keep) as reader, open(lines, "wb") as spool:
                types = reader.types
                records = writing.fitted(
                    reader.records(Place(shard.offset, shard.line), shard.texts), made.name, types
                )
                for chunk in bulk.chunks(records, lambda record: record.text):
                    spool.write("".join(writing.made(self._task, chunk, tally)).encode())
            with open(lines, "rb") as whole:
                kept = {name: types.get(name) for name in work.keep}
                writing.write(made, whole, self._task, kept)
            self._folder.finish(shard, made, tally)


def room(cpus: Sequence[int], wanted: int | None) -> int:
    """Return how many workers a cluster has room for, or as many as are wanted.

    One CPU a node is left for what Ray itself does there. Where workers take them all, tasks wait
    for a CPU that is never free, without a word.

    Args:
        cpus: of each node.
        wanted: workers, or None for all that there is room for.

    Raises:
        InputError: there is not room for one, or for as many as are wanted.
    """
    found = sum(max(0, count - 1) for count in cpus)
    if found < (wanted or 1):
        raise InputError(
            f"the cluster has {sum(cpus)} CPUs on {len(cpus)} nodes, one a node is left to Ray, "
            f"which makes room for {found} workers, and {wanted or 1} are needed; start nodes with "
            "more CPUs (ray start --num-cpus N)"
            + (f", or give --workers {found}" if found and wanted else "")
        )
    return wanted or found


def block_texts(total: int, workers: int, least: int, most: int) -> int:
    """Return how many texts a block has, so that all workers have work to nearly the same end.

    Args:
        total: of all texts whose number is known.
        workers: that share them, at least 1.
        least: texts of a block.
        most: texts of a block, a multiple of ``least``, which the result is as well.
    """
    return min(most, max(1, -(-total // (_BLOCKS_EACH * workers * least))) * least)


def digest(folder: Path) -> str:
    """Return what tells a model's folder from any other."""
    names = sorted(path for path in folder.rglob("*") if path.is_file())
    parts = ((path.relative_to(folder).as_posix().encode(), path.read_bytes()) for path in names)
    return _digest_of(part for pair in parts for part in pair)


def _digest_of(parts: Iterable[bytes]) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(len(part).to_bytes(8, "big"))
        found.update(part)
    return found.hexdigest()


def _model(folder: Path | None) -> Path:
    return asset("models", "sqam") if folder is None else folder


@contextlib.contextmanager
def _connected(address: str) -> Iterator[Any]:
    """Give Ray, connected with the cluster; a connection that was there before is used."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    try:
        import ray
        import ray.data
    except ImportError as error:
        raise MissingExtraError("Ray", "cluster") from error
    # What a user must know is told by errors and a bar.
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    if ray.is_initialized():
        yield ray
        return
    unreachable = (
        f"no Ray cluster answers at {address!r}; start one (ray start --head), check the address, "
        "or let --cluster local start one on this machine alone"
    )
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdecimal():
        # Ray itself would wait for a minute, and then end the process.
        try:
            socket.create_connection((host, int(port)), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise InputError(f"{unreachable} ({error})") from error
    own = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    try:
        ray.init(
            address,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **(own if address == "local" else {}),
        )
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise InputError(unreachable) from error
    # Ray prints what it has to say of dead workers, to the end; standard output is for results.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            yield ray
        finally:
            ray.shutdown()


def _cpus(ray: Any) -> list[int]:
    """Return the CPUs of each node that lives."""
    return [int(node["Resources"].get("CPU", 0)) for node in ray.nodes() if node["Alive"]]


def _broken(error: Exception) -> InputError:
    """Return what to say when workers cannot even begin."""
    last = [line.strip() for line in str(error).splitlines() if line.strip()][-1:]
    return InputError(
        f"the cluster's workers failed ({''.join(last)[:300]}); install emoji-sqam[cluster] "
        f"{__version__} on every node"
    )
