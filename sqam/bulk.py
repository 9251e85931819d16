"""Texts in, result objects out: one text, several, or files of any length, by one path."""

import contextlib
import csv
import io
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO, TextIO, TypedDict

from emoji_vae.errors import InputError
from emoji_vae.files import replacing

if TYPE_CHECKING:
    from emoji_vae.codes import EmojiCodes
    from sqam.scorer import Scorer

# Texts that are ranked together; long ones make a smaller chunk, so that memory stays bounded.
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


@dataclass
class Tally:
    """Counts of the texts that were ranked, left without matches, and mended."""

    texts: int = 0
    unmatched: int = 0
    replaced: int = 0

    def add(self, text: str, result: Result) -> None:
        """Count one text as it was read, and its result."""
        self.texts += 1
        self.unmatched += not result["matches"]
        self.replaced += text != result["text"]

    def note(self) -> str:
        """Return one line on what a user should know, or an empty string."""
        notes = []
        if self.unmatched:
            notes.append(f"{self.unmatched} have no word that the model knows and got no matches")
        if self.replaced:
            notes.append(f"{self.replaced} are not valid Unicode; U+FFFD stands for the bad parts")
        return f"of {self.texts} texts " + ", ".join(notes) if notes else ""


def results(
    scorer: "Scorer", texts: Iterable[str], candidates: "EmojiCodes", k: int, tally: Tally
) -> Iterator[Result]:
    """Yield one result a text, in order, ranking in chunks.

    Args:
        scorer: ranks the texts.
        texts: any strings; lone surrogates become U+FFFD.
        candidates: what is ranked.
        k: how many matches a text gets at most, at least 1.
        tally: counts what is yielded.

    Raises:
        InputError: from the scorer, e.g. ``k`` below 1.
    """
    for chunk in _chunks(texts):
        clean = [_SURROGATE.sub("\ufffd", text) for text in chunk]
        for raw, text, matches in zip(chunk, clean, scorer.rank(clean, candidates, k), strict=True):
            result: Result = {
                "text": text,
                "matches": [
                    {
                        # A candidate may be named after a file, and files have any name.
                        "emoji": _SURROGATE.sub("\ufffd", match.emoji),
                        "name": _SURROGATE.sub("\ufffd", match.name),
                        # Adding 0.0 turns -0.0 into 0.0.
                        "score": round(float(match.score), _DIGITS) + 0.0,
                    }
                    for match in matches
                ],
            }
            tally.add(raw, result)
            yield result


def json_line(result: Result) -> str:
    """Return the result as one line of JSON, with its line end."""
    return json.dumps(result, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class Job:
    """Rank a file of texts; everything that can be checked before the work is.

    ``source`` is a ``.txt`` file (or one without an extension: one text a line), a ``.csv`` or a
    ``.jsonl`` file, whose texts are in ``column`` ("text" if None), or ``-``: lines on standard
    input. ``output`` is a ``.jsonl`` or a ``.csv`` file, or None: JSON lines on standard output.

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

    def __post_init__(self) -> None:
        """Check what was asked for."""
        if self._kind not in {"", ".txt", ".csv", ".jsonl"}:
            raise InputError(
                f"cannot tell how to read {self.source!r}; "
                "name a .txt, .csv or .jsonl file, or pipe lines to --input -"
            )
        if self.column is not None and self._kind not in {".csv", ".jsonl"}:
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
        if self.output.suffix.lower() not in {".jsonl", ".csv"}:
            raise InputError(
                f"cannot tell how to write {str(self.output)!r}; "
                "name a .jsonl or .csv file, or - for standard output"
            )
        if self.output.is_dir():
            raise InputError(f"cannot write {str(self.output)!r}: it is a folder; name a file")
        if self.output.exists() and not self.force:
            raise InputError(
                f"{str(self.output)!r} is there already; name another file or add --force"
            )

    def run(self, scorer: "Scorer", candidates: "EmojiCodes", k: int) -> Tally:
        """Rank every text of the source and write the results.

        Raises:
            InputError: a source that is not what its name says, a folder that cannot be written,
                a partial output that other options made.
        """
        tally = Tally()
        with self._source() as file:
            texts = self._texts(file)
            if self.output is None:
                for result in _with_progress(
                    results(scorer, texts, candidates, k, tally), file, sys.stdout.isatty()
                ):
                    sys.stdout.write(json_line(result))
                return tally
            part = self.output.with_name(self.output.name + ".part")
            with self._part(part) as partial:
                _skip_finished(partial, texts, scorer, candidates, k, tally)
                for result in _with_progress(
                    results(scorer, texts, candidates, k, tally), file, hidden=False
                ):
                    partial.write(json_line(result).encode())
        if self.output.suffix.lower() == ".csv":
            with open(part, "rb") as lines, replacing(self.output, "w") as table:
                _write_csv(lines, table)
            part.unlink()
        else:
            os.replace(part, self.output)
        return tally

    @property
    def _kind(self) -> str:
        return ".txt" if self.source == "-" else Path(self.source).suffix.lower()

    def _source(self) -> contextlib.AbstractContextManager[TextIO]:
        # Bytes that are no UTF-8 come out as lone surrogates, which `results` mends and counts.
        # Texts end at line feeds alone; the csv module wants every line end as it is.
        encoding, errors = "utf-8-sig", "surrogateescape"
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
        return (line.removesuffix("\n").removesuffix("\r") for line in lines)


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


def _skip_finished(
    partial: BinaryIO,
    texts: Iterator[str],
    scorer: "Scorer",
    candidates: "EmojiCodes",
    k: int,
    tally: Tally,
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
    last: Result | None = None
    for line in partial:
        if not line.endswith(b"\n"):  # the interruption tore it
            break
        end += len(line)
        text = next(texts, None)
        try:
            result: Result = json.loads(line)
            same = text is not None and result["text"] == _SURROGATE.sub("\ufffd", text)
            tally.add(text or "", result)
        except (ValueError, TypeError, KeyError) as error:
            raise foreign from error
        if not same:
            raise foreign
        if result["matches"]:
            last = result
    if last is not None:
        # Ranking one text again shows whether the model, the candidates and k are the same. Scores
        # are compared loosely, since they may differ in the last digits with the chunk's size.
        again = next(results(scorer, [last["text"]], candidates, k, Tally()))
        before, after = ([match["score"] for match in r["matches"]] for r in (last, again))
        if len(before) != len(after) or any(
            abs(a - b) > 0.01 for a, b in zip(before, after, strict=True)
        ):
            raise foreign
    partial.seek(end)
    partial.truncate()


def _write_csv(lines: Iterable[bytes], file: IO[str]) -> None:
    # RFC 4180's CRLF: with another line end the csv module leaves a lone CR in a text unquoted.
    writer = csv.writer(file)
    writer.writerow(["text", "rank", "emoji", "name", "score"])
    for line in lines:
        result: Result = json.loads(line)
        if not result["matches"]:
            writer.writerow([result["text"], "", "", "", ""])
        for rank, match in enumerate(result["matches"], start=1):
            writer.writerow([result["text"], rank, match["emoji"], match["name"], match["score"]])


def _with_progress(ranked: Iterator[Result], file: TextIO, hidden: bool) -> Iterator[Result]:
    if hidden or not sys.stderr.isatty():
        yield from ranked
        return
    from tqdm import tqdm

    # A file's length says how much is left; of a pipe only the texts can be counted.
    size = os.fstat(file.fileno()).st_size
    with tqdm(total=size, unit="B", unit_scale=True) if size else tqdm(unit=" texts") as bar:
        for result in ranked:
            yield result
            bar.update(file.buffer.tell() - bar.n if size else 1)
