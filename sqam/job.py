"""A file of texts in, a file of results out: of any length, and through any interruption."""

import contextlib
import functools
import io
import itertools
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from emoji_vae.errors import InputError
from sqam import writing
from sqam.bulk import Ranking, Tally, Task, chunks, json_line, mended
from sqam.compression import split
from sqam.reading import Reader, Record, Source

if TYPE_CHECKING:
    from emoji_vae.codes import EmojiCodes
    from sqam.scorer import Scorer

# Lines between two looks at how far a file is written.
_GLANCE = 1024


@dataclass(frozen=True)
class Job:
    """Work on a file of texts; everything that can be checked before the work is.

    ``source``, ``column`` and ``keep`` are those of `sqam.reading.Source`. ``output`` is a
    ``.jsonl``, ``.csv`` or ``.parquet`` file, the first two perhaps compressed, or None: JSON lines
    on standard output. Columns that are kept stand before what is found.

    With ``lines``, for tasks that turn a text into a text, what comes from lines goes out as lines,
    to a ``.txt`` file or to standard output: they keep their line ends and the bytes that are no
    UTF-8.

    ``workers`` processes work on a file's chunks at once, if there is an output file; each gets the
    task, whose network should run in one thread. They change no byte of the file.

    The results grow in ``OUTPUT.part``, as JSON lines, and take the output's name when they are
    whole. With ``resume`` a run goes on where an interrupted one left that file; what is in it must
    fit the source as it is now. The file that comes of it is that of an uninterrupted run, to the
    byte.

    Raises:
        InputError: a kind of file that is not one of these, a missing source, an output that is
            there already (unless ``force``), fewer than one worker.
        MissingExtraError: what reads or writes such a file is not installed.
    """

    source: str
    output: Path | None = None
    column: str | None = None
    resume: bool = False
    force: bool = False
    lines: bool = False
    keep: tuple[str, ...] = ()
    workers: int = 1

    def __post_init__(self) -> None:
        """Check what was asked for."""
        source = self._source
        if self.workers < 1:
            raise InputError(f"{self.workers} workers cannot be; give at least 1")
        if self.source != "-" and not Path(self.source).exists():
            raise InputError(f"there is no file {self.source!r}; check the name")
        if self.output is None:
            if self.resume or self.force:
                raise InputError("--resume and --force are for files; name one with --output")
            return
        writing.check(str(self.output), self.lines)
        if self._output_kind == ".txt" and not source.from_lines:
            raise InputError(
                f"cannot write {str(self.output)!r}: a text of {self.source!r} may have several "
                "lines; name a .jsonl, .csv or .parquet file"
            )
        if self.output.is_dir():
            raise InputError(f"cannot write {str(self.output)!r}: it is a folder; name a file")
        if self.output.exists() and not self.force:
            raise InputError(
                f"{str(self.output)!r} is there already; name another file or add --force"
            )

    def run(self, scorer: "Scorer", candidates: "EmojiCodes", k: int) -> Tally:
        """Rank every text of the source and write the results; raises as ``do``."""
        return self.do(Ranking(scorer, candidates, k))

    def do(self, task: Task) -> Tally:
        """Do the task with every text of the source and write the results.

        Raises:
            InputError: a source that is not what its name says, or that changed while it was read,
                a folder or disk that cannot be written, a partial output that other texts or
                options made, a kept column whose name the output needs.
        """
        writing.check_kept(self._output_name, self.keep, task.made, task.header)
        tally = Tally(nothing=task.nothing)
        if self.output is None:
            self._print(task, tally)
            return tally
        part = self.output.with_name(self.output.name + ".part")
        with self._source.opened() as reader, self._part(part) as partial:
            kept: Mapping[str, Any] = {name: reader.types.get(name) for name in self.keep}
            rest = self._rest(partial, self._chunks(reader), task, tally)
            begin = reader.position() if tally.texts else 0
            with _progress(reader.total, reader.unit, reader.position, begin) as moved:
                work = functools.partial(_made, task, self._as_lines)
                for made, counts in self._in_order(work, rest):
                    with _telling(part):
                        partial.write(made)
                    tally.include(counts)
                    moved(counts.texts)
            with _telling(part):
                partial.flush()
                os.fsync(partial.fileno())
        if split(self.output.name) == (".jsonl", ""):
            os.replace(part, self.output)
            return tally
        with (
            open(part, "rb") as whole,
            _progress(part.stat().st_size, "B", whole.tell) as moved,
            _telling(self.output),
        ):
            writing.write(self.output, _glancing(whole, moved), task, kept)
        part.unlink()
        return tally

    def _in_order(
        self, work: Callable[[list[Record]], tuple[bytes, Tally]], rest: Iterator[list[Record]]
    ) -> Iterator[tuple[bytes, Tally]]:
        if self.workers == 1:
            return map(work, rest)
        from sqam.processes import in_order  # its imports take a tenth of a command's time

        return in_order(work, rest, self.workers)

    @functools.cached_property
    def _source(self) -> Source:
        return Source(self.source, self.column, self.keep, whole=self._as_lines)

    @property
    def _output_name(self) -> str:
        return "" if self.output is None else self.output.name

    @property
    def _output_kind(self) -> str:
        return split(self._output_name)[0]

    @property
    def _as_lines(self) -> bool:
        return (
            self.lines
            and Source(self.source).from_lines
            and (self.output is None or self._output_kind == ".txt")
        )

    def _chunks(self, reader: Reader) -> Iterator[list[Record]]:
        records = writing.fitted(reader.records(), self._output_name, reader.types)
        return chunks(records, lambda record: record.text)

    def _print(self, task: Task, tally: Tally) -> None:
        if self._as_lines and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
        with (
            self._source.opened() as reader,
            _progress(
                reader.total, reader.unit, reader.position, hidden=sys.stdout.isatty()
            ) as moved,
        ):
            for chunk in self._chunks(reader):
                for line in writing.made(task, chunk, tally, self._as_lines):
                    sys.stdout.write(json.loads(line)[task.becomes] if self._as_lines else line)
                moved(len(chunk))

    @contextlib.contextmanager
    def _part(self, part: Path) -> Iterator[BinaryIO]:
        try:
            partial = open(part, "r+b" if self.resume and part.exists() else "w+b")
        except OSError as error:
            raise InputError(
                f"cannot write {str(part)!r}: {error.strerror}; name a folder that can be written"
            ) from error
        try:
            yield partial
        finally:
            # What is still to be written when the disk is full cannot be; that was told before.
            with contextlib.suppress(OSError):
                partial.close()

    def _rest(
        self, partial: BinaryIO, found: Iterator[list[Record]], task: Task, tally: Tally
    ) -> Iterator[list[Record]]:
        """Return the chunks that ``partial`` does not hold, and leave it at its last whole one.

        Raises:
            InputError: the results are of other texts, candidates or options than these.
        """
        end = texts = 0
        last: deque[tuple[Record, Mapping[str, Any]]] = deque(maxlen=task.rechecked)
        rest: Iterator[list[Record]] = iter(())
        for chunk in found:
            finished = []
            for record in chunk:
                line = partial.readline()
                if not line.endswith(b"\n"):  # the interruption tore it
                    break
                texts += 1
                finished.append((line, self._finished(line, record, texts, task)))
            if len(finished) < len(chunk):
                rest = itertools.chain([chunk], found)
                break
            for record, (line, result) in zip(chunk, finished, strict=True):
                end += len(line)
                tally.add(record.text, result["text"], bool(result[task.finds]))
                if task.tells(result):
                    last.append((record, result))
        else:
            if partial.readline().endswith(b"\n"):
                raise self._foreign(f"{self.source!r} has {texts} texts by now")
        # Texts that are done again show whether the model, the candidates and the options are the
        # same. Scores are compared loosely, since they may differ in the last digits with the
        # chunk's size.
        records = [record for record, _ in last]
        again = writing.made(task, records, Tally(), self._as_lines) if last else []
        for (_, before), after in zip(last, map(json.loads, again), strict=True):
            old, new = ([item["score"] for item in one[task.finds]] for one in (before, after))
            if (
                list(before) != list(after)
                or len(old) != len(new)
                or any(abs(a - b) > 0.01 for a, b in zip(old, new, strict=True))
            ):
                raise self._foreign("the model, the candidates or the options are others")
        partial.seek(end)
        partial.truncate()
        return rest

    def _finished(self, line: bytes, record: Record, number: int, task: Task) -> Mapping[str, Any]:
        """Return a result that was read back, if it is this text's."""
        try:
            result = json.loads(line)
        except (ValueError, RecursionError):
            result = None
        # What is kept and what is found have names of their own.
        names = {*record.kept, *task.made.__annotations__}
        if not (isinstance(result, dict) and result.keys() == names):
            raise self._foreign(f"its line {number} is not what this one writes")
        text = record.text if self._as_lines else mended(record.text)
        kept = json.loads(mended(json_line(record.kept))) if record.kept else {}
        if any(result[name] != value for name, value in {**kept, "text": text}.items()):
            raise self._foreign(f"text {number} of {self.source!r} is another by now")
        return result

    def _foreign(self, reason: str) -> InputError:
        assert self.output is not None
        return InputError(
            f"'{self.output}.part' is from another run: {reason}; leave out --resume to start anew"
        )


def _made(task: Task, as_lines: bool, chunk: list[Record]) -> tuple[bytes, Tally]:
    """Return a chunk's lines, and what is counted of them."""
    tally = Tally()
    return "".join(writing.made(task, chunk, tally, as_lines)).encode(), tally


@contextlib.contextmanager
def _telling(path: Path) -> Iterator[None]:
    """Name the file that cannot be written, and the remedy."""
    try:
        yield
    except OSError as error:
        raise InputError(
            f"cannot write {str(path)!r}: {error.strerror or error}; what is finished is kept: "
            "make room, then give the same command with --resume"
        ) from error


def _glancing(lines: BinaryIO, moved: Callable[[int], object]) -> Iterator[bytes]:
    for number, line in enumerate(lines, start=1):
        yield line
        if number % _GLANCE == 0:
            moved(_GLANCE)


@contextlib.contextmanager
def _progress(
    total: int, unit: str, position: Callable[[], int], begin: int = 0, hidden: bool = False
) -> Iterator[Callable[[int], object]]:
    """Give what is called after so many texts more; it moves a bar if a person watches.

    The bar shows the rate and the time that is left, from ``begin`` on. Where the total is unknown
    (0), as that of a pipe, only the texts can be counted.
    """
    if hidden or not sys.stderr.isatty():
        yield lambda texts: None
        return
    from tqdm import tqdm

    texts = 0
    with tqdm(
        total=total or None,
        initial=begin if total else 0,
        unit=unit if total else " texts",
        unit_scale=True,
    ) as bar:

        def moved(more: int) -> None:
            nonlocal texts
            texts += more
            if total and unit == "B":
                rate = texts / max(bar.format_dict["elapsed"], 1e-3)
                bar.set_postfix_str(f"{rate:,.0f} texts/s", refresh=False)
            bar.update(position() - bar.n if total else more)

        yield moved
        if total:
            bar.update(position() - bar.n)
