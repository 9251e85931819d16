"""Texts in, result objects out: one text, several, or files of any length, by one path."""

import contextlib
import csv
import io
import json
import os
import re
import sys
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, ClassVar, Protocol, TextIO, TypedDict, cast

from emoji_vae.command import printable, shortened
from emoji_vae.errors import InputError
from emoji_vae.files import replacing

if TYPE_CHECKING:
    from emoji_vae.codes import EmojiCodes
    from sqam.scorer import Scorer

# Texts that are handled together; long ones make a smaller chunk, so that memory stays bounded.
CHUNK_TEXTS = 1024
CHUNK_CHARACTERS = 4_000_000

_DIGITS = 4
_SURROGATE = re.compile("[\ud800-\udfff]")


class MatchObject(TypedDict):
    """One ranked emoji; the score is the cosine, rounded to four digits."""

    emoji: str
    name: str
    score: float


class Result(TypedDict):
    """What is said of one text; no matches where the model knows no word of it."""

    text: str
    matches: list[MatchObject]


class Task(Protocol):
    """What is done with texts: each becomes an object that JSON can hold, with its ``"text"``."""

    finds: ClassVar[str]
    """Where an object holds the list of what was found, items with a ``"score"``."""

    becomes: ClassVar[str]
    """Where an object holds what a line of text becomes."""

    nothing: ClassVar[str]
    """What is said of texts that nothing was found for, after their number."""

    header: ClassVar[Sequence[str]]
    """The columns of a .csv output."""

    rechecked: ClassVar[int]
    """How many finished texts show, done again, that a resumed run has the same options."""

    def results(self, texts: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Return an object a text, in order."""

    def tells(self, result: Mapping[str, Any]) -> bool:
        """Tell whether doing this object's text again can show that the options differ."""

    def rows(self, result: Mapping[str, Any]) -> Iterator[Sequence[object]]:
        """Yield an object's rows of a .csv output."""


@dataclass(frozen=True)
class Ranking:
    """The task of ranking the candidates for each text; ``k`` matches at most, at least 1."""

    scorer: "Scorer"
    candidates: "EmojiCodes"
    k: int

    finds: ClassVar[str] = "matches"
    becomes: ClassVar[str] = "text"
    nothing: ClassVar[str] = "have no word that the model knows and got no matches"
    header: ClassVar[Sequence[str]] = ("text", "rank", "emoji", "name", "score")
    rechecked: ClassVar[int] = 1

    def results(self, texts: Sequence[str]) -> list[Result]:
        """Return each text with its matches, best first.

        Raises:
            InputError: from the scorer, e.g. ``k`` below 1.
        """
        ranked = self.scorer.rank(texts, self.candidates, self.k)
        return [result_object(*pair) for pair in zip(texts, ranked, strict=True)]

    def tells(self, result: Mapping[str, Any]) -> bool:
        """Tell whether there are matches, whose scores are those of the candidates."""
        return bool(result["matches"])

    def rows(self, result: Mapping[str, Any]) -> Iterator[Sequence[object]]:
        """Yield a row a match, and one without for a text that has none."""
        if not result["matches"]:
            yield result["text"], "", "", "", ""
        for rank, match in enumerate(result["matches"], start=1):
            yield result["text"], rank, match["emoji"], match["name"], match["score"]


def mended(text: str) -> str:
    """Return the text with U+FFFD for lone surrogates, so that it is valid Unicode."""
    return _SURROGATE.sub("\ufffd", text)


def match_object(emoji: str, name: str, score: float) -> MatchObject:
    """Return a match as JSON has it."""
    return {
        # A candidate may be named after a file, and files have any name.
        "emoji": mended(emoji),
        "name": mended(name),
        "score": rounded(score),
    }


def result_object(text: str, matches: Iterable[tuple[str, str, float]]) -> Result:
    """Return a text and its matches as JSON has them."""
    return {"text": text, "matches": [match_object(*match) for match in matches]}


def match_line(rank: int, match: MatchObject) -> str:
    """Return a match as a row of a table for people."""
    # The tab keeps names in line, however wide a terminal draws an emoji. A picture has no name
    # but its file's.
    name = f"\t{match['name']}" if match["name"] != match["emoji"] else ""
    return f"{rank:3}  {match['score']:7.4f}  {printable(match['emoji'])}{name}"


def no_matches(text: str) -> str:
    """Return what to say of a text without a word that the model knows."""
    if not text.strip():
        return f"the text {shortened(text)} is empty; give some words"
    return f"the model knows no word of {shortened(text)}; try other, English words"


def rounded(score: float) -> float:
    """Return a score as JSON has it."""
    # Adding 0.0 turns -0.0 into 0.0.
    return round(float(score), _DIGITS) + 0.0


@dataclass
class Tally:
    """Counts of the texts that were handled, that nothing was found for, and that were mended."""

    texts: int = 0
    unmatched: int = 0
    replaced: int = 0
    nothing: str = Ranking.nothing

    def add(self, text: str, result: Mapping[str, Any], found: bool) -> None:
        """Count one text as it was read, with its result and whether anything was found."""
        self.texts += 1
        self.unmatched += not found
        self.replaced += text != result["text"]

    def note(self) -> str:
        """Return one line on what a user should know, or an empty string."""
        notes = []
        if self.unmatched:
            notes.append(f"{self.unmatched} {self.nothing}")
        if self.replaced:
            notes.append(f"{self.replaced} are not valid Unicode; U+FFFD stands for the bad parts")
        return f"of {self.texts} texts " + ", ".join(notes) if notes else ""


def results(
    scorer: "Scorer", texts: Iterable[str], candidates: "EmojiCodes", k: int, tally: Tally
) -> Iterator[Result]:
    """Yield one ranking a text, in order, ranking in chunks.

    Args:
        scorer: ranks the texts.
        texts: any strings; lone surrogates become U+FFFD.
        candidates: what is ranked.
        k: how many matches a text gets at most, at least 1.
        tally: counts what is yielded.

    Raises:
        InputError: from the scorer, e.g. ``k`` below 1.
    """
    found = objects(Ranking(scorer, candidates, k), texts, tally)
    return cast(Iterator[Result], found)


def objects(
    task: Task, texts: Iterable[str], tally: Tally, mend: bool = True
) -> Iterator[Mapping[str, Any]]:
    """Yield one object a text, in order, handling them in chunks.

    Args:
        task: what is done with the texts.
        texts: any strings.
        tally: counts what is yielded.
        mend: lone surrogates become U+FFFD; else the task gets texts as they are.

    Raises:
        InputError: from the task.
    """
    for chunk in _chunks(texts):
        clean = [mended(text) for text in chunk] if mend else chunk
        for raw, result in zip(chunk, task.results(clean), strict=True):
            tally.add(raw, result, bool(result[task.finds]))
            yield result


def json_line(result: Mapping[str, Any]) -> str:
    """Return the result as one line of JSON, with its line end."""
    return json.dumps(result, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Job:
    """Work on a file of texts; everything that can be checked before the work is.

    ``source`` is a ``.txt`` file (or one without an extension: one text a line), a ``.csv`` or a
    ``.jsonl`` file, whose texts are in ``column`` ("text" if None), or ``-``: lines on standard
    input. ``output`` is a ``.jsonl`` or a ``.csv`` file, or None: JSON lines on standard output.

    With ``lines``, for tasks that turn a text into a text, what comes from lines goes out as lines,
    to a ``.txt`` file or to standard output: they keep their line ends and the bytes that are no
    UTF-8.

    The results grow in ``OUTPUT.part``, as JSON lines, and take the output's name when they are
    whole. With ``resume`` a run goes on where an interrupted one left that file.

    Raises:
        InputError: a kind of file that is not one of these, a missing source, an output that is
            there already (unless ``force``).
    """

    source: str
    output: Path | None = None
    column: str | None = None
    resume: bool = False
    force: bool = False
    lines: bool = False

    def __post_init__(self) -> None:
        """Check what was asked for."""
        if self._kind not in {"", ".txt", ".csv", ".jsonl"}:
            raise InputError(
                f"cannot tell how to read {self.source!r}; "
                "name a .txt, .csv or .jsonl file, or pipe lines to --input -"
            )
        if self.column is not None and self._from_lines:
            raise InputError(
                f"lines of text have no column {self.column!r}; "
                "--column is for .csv and .jsonl files, leave it out"
            )
        if self.source != "-" and not Path(self.source).exists():
            raise InputError(f"there is no file {self.source!r}; check the name")
        if self.output is None:
            if self.resume or self.force:
                raise InputError("--resume and --force are for files; name one with --output")
            return
        suffix = self.output.suffix.lower()
        if suffix not in ({".jsonl", ".csv", ".txt"} if self.lines else {".jsonl", ".csv"}):
            raise InputError(
                f"cannot tell how to write {str(self.output)!r}; name a "
                f"{'.txt, ' if self.lines else ''}.jsonl or .csv file, or - for standard output"
            )
        if suffix == ".txt" and not self._from_lines:
            raise InputError(
                f"cannot write {str(self.output)!r}: a text of {self.source!r} may have several "
                "lines; name a .jsonl or .csv file"
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
            InputError: a source that is not what its name says, a folder that cannot be written,
                a partial output that other options made.
        """
        tally = Tally(nothing=task.nothing)
        with self._source() as file:
            texts = self._texts(file)
            if self.output is None:
                if self._as_lines and isinstance(sys.stdout, io.TextIOWrapper):
                    sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape", newline="\n")
                for result in _with_progress(
                    self._objects(task, texts, tally), file, sys.stdout.isatty()
                ):
                    sys.stdout.write(result[task.becomes] if self._as_lines else json_line(result))
                return tally
            part = self.output.with_name(self.output.name + ".part")
            with self._part(part) as partial:
                self._skip_finished(partial, texts, task, tally)
                for result in _with_progress(self._objects(task, texts, tally), file, hidden=False):
                    # What stays a line may hold lone surrogates, which only ASCII can escape.
                    line = json.dumps(result) + "\n" if self._as_lines else json_line(result)
                    partial.write(line.encode())
        if self.output.suffix.lower() == ".jsonl":
            os.replace(part, self.output)
            return tally
        with open(part, "rb") as lines:
            if self._as_lines:
                with replacing(self.output) as plain:
                    for row in lines:
                        text = json.loads(row)[task.becomes]
                        plain.write(text.encode("utf-8", "surrogateescape"))
            else:
                with replacing(self.output, "w") as table:
                    _write_csv(task, lines, table)
        part.unlink()
        return tally

    @property
    def _kind(self) -> str:
        return ".txt" if self.source == "-" else Path(self.source).suffix.lower()

    @property
    def _from_lines(self) -> bool:
        return self._kind not in {".csv", ".jsonl"}

    @property
    def _as_lines(self) -> bool:
        to_lines = self.output is None or self.output.suffix.lower() == ".txt"
        return self.lines and self._from_lines and to_lines

    def _objects(
        self, task: Task, texts: Iterable[str], tally: Tally
    ) -> Iterator[Mapping[str, Any]]:
        return objects(task, texts, tally, mend=not self._as_lines)

    def _source(self) -> contextlib.AbstractContextManager[TextIO]:
        # Bytes that are no UTF-8 come out as lone surrogates, which `objects` mends and counts.
        # Texts end at line feeds alone; the csv module wants every line end as it is.
        # What goes out as lines keeps its byte order mark.
        encoding, errors = "utf-8" if self._as_lines else "utf-8-sig", "surrogateescape"
        newline = "" if self._kind == ".csv" else "\n"
        if self.source == "-":
            if sys.stdin is None:
                raise InputError("standard input is closed; pipe lines to it or name a file")
            if isinstance(sys.stdin, io.TextIOWrapper):
                sys.stdin.reconfigure(encoding=encoding, errors=errors, newline=newline)
            return contextlib.nullcontext(sys.stdin)
        try:
            return open(self.source, encoding=encoding, errors=errors, newline=newline)
        except OSError as error:
            raise InputError(
                f"cannot read {self.source!r}: {error.strerror}; name a file that can be read"
            ) from error

    def _part(self, part: Path) -> BinaryIO:
        try:
            return open(part, "r+b" if self.resume and part.exists() else "w+b")
        except OSError as error:
            raise InputError(
                f"cannot write {str(part)!r}: {error.strerror}; name a folder that can be written"
            ) from error

    def _texts(self, file: TextIO) -> Iterator[str]:
        lines = _refusing_utf16(file, self.source)
        if self._kind == ".csv":
            return _csv_texts(lines, self.column or "text", self.source)
        if self._kind == ".jsonl":
            return _jsonl_texts(lines, self.column or "text", self.source)
        if self._as_lines:
            return lines
        return (line.removesuffix("\n").removesuffix("\r") for line in lines)

    def _skip_finished(
        self, partial: BinaryIO, texts: Iterator[str], task: Task, tally: Tally
    ) -> None:
        """Take from ``texts`` what ``partial`` holds results for; leave it at its last whole line.

        Raises:
            InputError: the results are of other texts, candidates or options than these.
        """
        foreign = InputError(
            f"{partial.name!r} is from another run (other texts or options); "
            "leave out --resume to start anew"
        )
        end = 0
        last: deque[Mapping[str, Any]] = deque(maxlen=task.rechecked)
        for line in partial:
            if not line.endswith(b"\n"):  # the interruption tore it
                break
            end += len(line)
            text = next(texts, None)
            try:
                result = json.loads(line)
                read = text if self._as_lines or text is None else mended(text)
                same = text is not None and result["text"] == read
                tally.add(text or "", result, bool(result[task.finds]))
                if task.tells(result):
                    last.append(result)
            except (ValueError, TypeError, KeyError) as error:
                raise foreign from error
            if not same:
                raise foreign
        # Texts that are done again show whether the model, the candidates and the options are the
        # same. Scores are compared loosely, since they may differ in the last digits with the
        # chunk's size.
        again = self._objects(task, [result["text"] for result in last], Tally())
        for pair in zip(last, again, strict=True):
            before, after = ([item["score"] for item in result[task.finds]] for result in pair)
            if len(before) != len(after) or any(
                abs(a - b) > 0.01 for a, b in zip(before, after, strict=True)
            ):
                raise foreign
        partial.seek(end)
        partial.truncate()


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    chunk: list[str] = []
    characters = 0
    for text in texts:
        chunk.append(text)
        characters += len(text)
        if len(chunk) == CHUNK_TEXTS or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _refusing_utf16(lines: Iterable[str], source: str) -> Iterator[str]:
    for number, line in enumerate(lines):
        # A byte order mark of UTF-16 as surrogateescape decodes it.
        if number == 0 and line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
            raise InputError(f"{source!r} is UTF-16; save it as UTF-8")
        yield line


def _csv_texts(lines: Iterator[str], column: str, source: str) -> Iterator[str]:
    # The default limit, 128 KB a field, is below the length of lines that people have.
    csv.field_size_limit(2**31 - 1)
    # Strict: else a quote that is never closed makes one text of all the lines after it.
    rows = csv.reader(lines, strict=True)
    try:
        header = next(rows, [])
        if column not in header:
            raise InputError(_no_column(source, column, header))
        position = header.index(column)
        for row in rows:
            if not row:  # a blank line
                continue
            if len(row) <= position:
                raise InputError(
                    f"line {rows.line_num} of {source!r} has {len(row)} columns, "
                    f"and {column!r} is number {position + 1}; mend the line"
                )
            yield row[position]
    except csv.Error as error:
        raise InputError(
            f"line {rows.line_num} of {source!r} is no CSV ({error}); mend its quotes"
        ) from error


def _jsonl_texts(lines: Iterator[str], column: str, source: str) -> Iterator[str]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"line {number} of {source!r} is no JSON; write one object a line"
            ) from error
        if not isinstance(row, dict):
            raise InputError(
                f"line {number} of {source!r} is no JSON object; write one object a line"
            )
        if column not in row:
            raise InputError(_no_column(f"line {number} of {source}", column, list(row)))
        if not isinstance(row[column], str):
            raise InputError(f"{column!r} in line {number} of {source!r} is no string; make it one")
        yield row[column]


def _no_column(where: str, column: str, columns: list[str]) -> str:
    there = ", ".join(repr(name[:40]) for name in columns[:20]) or "none"
    more = ", …" if len(columns) > 20 else ""
    return f"{where!r} has no column {column!r}; name one with --column, it has: {there}{more}"


def _write_csv(task: Task, lines: Iterable[bytes], file: IO[str]) -> None:
    # RFC 4180's CRLF: with another line end the csv module leaves a lone CR in a text unquoted.
    writer = csv.writer(file)
    writer.writerow(task.header)
    for line in lines:
        writer.writerows(task.rows(json.loads(line)))


def _with_progress(
    found: Iterator[Mapping[str, Any]], file: TextIO, hidden: bool
) -> Iterator[Mapping[str, Any]]:
    if hidden or not sys.stderr.isatty():
        yield from found
        return
    from tqdm import tqdm

    # A file's length says how much is left; of a pipe only the texts can be counted.
    size = os.fstat(file.fileno()).st_size
    with tqdm(total=size, unit="B", unit_scale=True) if size else tqdm(unit=" texts") as bar:
        for result in found:
            yield result
            bar.update(file.buffer.tell() - bar.n if size else 1)
