"""Files of texts in: lines, CSV, JSON lines and Parquet, plain or compressed, one by one."""

import contextlib
import csv
import io
import itertools
import json
import os
import stat
import sys
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, Protocol, TextIO

from emoji_vae.errors import InputError
from sqam import compression

LONGEST = 100_000_000
"""Characters of a line, or of a field in .csv; without a limit a file that has no line ends, or a
quote that is never closed, would have to fit into memory."""

_KINDS = ("", ".txt", ".csv", ".jsonl", ".parquet")
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_NO_KEPT: Mapping[str, Any] = {}


class Record(NamedTuple):
    """A text with what stands beside it in the columns that are kept, as JSON has it."""

    text: str
    kept: Mapping[str, Any]


class Place(NamedTuple):
    """A place between two texts of a file."""

    offset: int = 0
    """Bytes of the file before it; rows in .parquet. 0 is the file's beginning, header and all."""

    line: int = 0
    """Lines before it, for messages."""


START = Place()


class Block(NamedTuple):
    """Some texts of a file that follow each other."""

    place: Place
    texts: int


class Reader(Protocol):
    """A file that is open."""

    unit: str
    """What ``total`` and ``position`` count, as tqdm names it."""

    total: int
    """How much there is to read; 0 if that cannot be known."""

    types: Mapping[str, Any]
    """Of a .parquet file's kept columns, their Arrow types."""

    def records(self, place: Place = ..., count: int | None = None) -> Iterator[Record]:
        """Yield the texts from a place on, ``count`` at most; one such iterator at a time.

        Raises:
            InputError: the file is not what its name says, or damaged; the message names it.
        """

    def blocks(self, texts: int) -> Iterator[Block]:
        """Yield the file's blocks of ``texts`` texts (the last one of fewer), in order.

        Raises:
            InputError: as ``records`` does, and of a compressed file, which is read from its
                beginning alone.
        """

    def position(self) -> int:
        """Return how much was read."""


@dataclass(frozen=True)
class Source:
    """What is read, and how.

    ``name`` is that of a ``.txt`` file (or of one without an extension: one text a line), of a
    ``.csv``, ``.jsonl`` or ``.parquet`` file, whose texts are in ``column`` ("text" if None), or
    ``-``: lines on standard input. After all but ``.parquet`` there may be ``.gz``, ``.bz2``,
    ``.xz`` or ``.zst``.

    ``keep`` names further columns. With ``whole``, lines keep their ends, and a file its byte order
    mark.

    Bytes that are no UTF-8 come out as lone surrogates.

    Raises:
        InputError: a kind of file that is not one of these, or columns of a file without any.
        MissingExtraError: what reads this kind is not installed.
    """

    name: str
    column: str | None = None
    keep: tuple[str, ...] = ()
    whole: bool = False

    def __post_init__(self) -> None:
        """Check what was asked for."""
        if self.kind not in _KINDS or (self.compression and self.kind == ".parquet"):
            raise InputError(
                f"cannot tell how to read {self.name!r}; name a .txt, .csv, .jsonl or .parquet "
                "file (the first three also as .gz, .bz2, .xz or .zst), or pipe lines to --input -"
            )
        for column in (self.column, *self.keep):
            if column is not None and self.from_lines:
                raise InputError(
                    f"lines of text have no column {column!r}; --column and --keep are for .csv, "
                    ".jsonl and .parquet files, leave it out"
                )
        for column in self.keep:
            if self.keep.count(column) > 1:
                raise InputError(f"--keep names {column!r} twice; name it once")
        compression.check(self.compression)
        if self.kind == ".parquet":
            from sqam import parquet  # noqa: F401  # says what is missing

    @property
    def kind(self) -> str:
        """Its kind, as an extension."""
        return ".txt" if self.name == "-" else compression.split(self.name)[0]

    @property
    def compression(self) -> str:
        """Its compression, as an extension; "" if none."""
        return "" if self.name == "-" else compression.split(self.name)[1]

    @property
    def from_lines(self) -> bool:
        """Whether each of its lines is a text."""
        return self.kind in {"", ".txt"}

    @contextlib.contextmanager
    def opened(self) -> Iterator[Reader]:
        """Open the file of this name, or standard input.

        Raises:
            InputError: it cannot be read, or changed while it was.
        """
        if self.name == "-":
            if sys.stdin is None:
                raise InputError("standard input is closed; pipe lines to it or name a file")
            # Of a pipe it is 0.
            yield self.reader(sys.stdin.buffer, _size(sys.stdin))
            return
        try:
            file = open(self.name, "rb")
        except OSError as error:
            raise InputError(
                f"cannot read {self.name!r}: {error.strerror}; name a file that can be read"
            ) from error
        with file:
            before = os.fstat(file.fileno())
            yield self.reader(file, before.st_size)
            after = os.fstat(file.fileno())
            # A named pipe changes all the time.
            if stat.S_ISREG(before.st_mode) and (before.st_size, before.st_mtime_ns) != (
                after.st_size,
                after.st_mtime_ns,
            ):
                raise InputError(
                    f"{self.name!r} changed while it was read; run the command again when it is "
                    "whole (with --resume, what is still true of it need not be done again)"
                )

    def reader(self, file: BinaryIO, size: int) -> Reader:
        """Return what reads an open file of so many bytes, 0 if unknown; it stays open.

        Raises:
            InputError: a .parquet file that is none, or lacks a column.
        """
        if self.kind == ".parquet":
            from sqam import parquet

            return parquet.ParquetReader(file, self.name, self.column or "text", self.keep)
        return TextReader(self, file, size)


class TextReader:
    """A file of lines, a .csv or a .jsonl file that is open; see `Reader`."""

    unit = "B"
    types: Mapping[str, Any] = {}

    def __init__(self, source: Source, file: BinaryIO, size: int) -> None:
        self.total = size
        self._source = source
        self._file = file
        self._plain = (
            compression.opened(file, source.compression, "rb") if source.compression else file
        )
        self._used = False

    def position(self) -> int:
        """Return how many bytes were read; of a compressed file, of those on the disk."""
        return self._file.tell()

    def records(self, place: Place = START, count: int | None = None) -> Iterator[Record]:
        """Yield the texts from a place on."""
        lines = self._lines(place)
        if self._source.kind == ".csv":
            found = self._csv_records(lines, place)
        elif self._source.kind == ".jsonl":
            found = self._jsonl_records(lines, place)
        elif self._source.whole:
            found = (Record(line, _NO_KEPT) for line in lines)
        else:
            found = (Record(line.removesuffix("\n").removesuffix("\r"), _NO_KEPT) for line in lines)
        return itertools.islice(found, count)

    def blocks(self, texts: int) -> Iterator[Block]:
        """Yield the file's blocks of ``texts`` texts (the last one of fewer), in order."""
        if self._source.compression:
            raise InputError(f"{self._source.name!r} is compressed and cannot be read in parts")
        begin, count = START, 0
        for after in self._ends():
            count += 1
            if count == texts:
                yield Block(begin, count)
                begin, count = after, 0
        if count:
            yield Block(begin, count)

    def _ends(self) -> Iterator[Place]:
        """Yield the place after each text."""
        offset = number = 0

        def counted() -> Iterator[str]:
            nonlocal offset, number
            self._used = True
            self._plain.seek(0)
            # A mark at the beginning is not among the characters.
            if not self._source.whole and self._plain.read(3) == _BYTE_ORDER_MARK:
                offset = 3
            for line in self._lines(START):
                ascii_alone = line.isascii()
                offset += len(line if ascii_alone else line.encode("utf-8", "surrogateescape"))
                number += 1
                yield line

        # A row may have several lines; the csv module takes no more of them than it needs.
        if self._source.kind == ".csv":
            rows = self._rows(counted(), 0)
            next(rows, None)
            texts: Iterator[object] = (row for row in rows if row[1])
        elif self._source.kind == ".jsonl":
            texts = (line for line in counted() if line.strip())
        else:
            texts = counted()
        for _ in texts:
            yield Place(offset, number)

    def _lines(self, place: Place) -> Generator[str, None, None]:
        """Yield the lines from a place on, decoded."""
        name = self._source.name
        if place.offset or self._used:
            self._plain.seek(place.offset)
        self._used = True
        text = self._decoded(skip_mark=not (place.offset or self._source.whole))
        try:
            for number in itertools.count(place.line + 1):
                try:
                    line = text.readline(LONGEST + 1)
                except Exception as error:
                    if self._source.compression and compression.damaged(
                        error, self._source.compression
                    ):
                        raise InputError(
                            f"{name!r} is damaged or cut off after line {number - 1} ({error}); "
                            "make it again"
                        ) from error
                    raise
                if not line:
                    return
                # A byte order mark of UTF-16 as surrogateescape decodes it.
                if number == 1 and line.startswith(("\udcff\udcfe", "\udcfe\udcff")):
                    raise InputError(f"{name!r} is UTF-16; save it as UTF-8")
                if len(line) > LONGEST:
                    raise InputError(
                        f"line {number} of {name!r} has more than {LONGEST:,} characters; "
                        "break it into several texts"
                    )
                yield line
        finally:
            # Else the file would be closed with what decodes it.
            if not self._file.closed:
                text.detach()

    def _decoded(self, skip_mark: bool) -> io.TextIOWrapper:
        return io.TextIOWrapper(
            self._plain,
            encoding="utf-8-sig" if skip_mark else "utf-8",
            errors="surrogateescape",
            # Texts end at line feeds alone; the csv module wants every line end as it is.
            newline="" if self._source.kind == ".csv" else "\n",
        )

    def _rows(self, lines: Iterator[str], before: int) -> Iterator[tuple[int, list[str]]]:
        """Yield the rows of .csv lines, each with the number of its last line."""
        csv.field_size_limit(LONGEST)
        # Strict: else a quote that is never closed makes one text of all the lines after it.
        rows = csv.reader(lines, strict=True)
        try:
            for row in rows:
                yield before + rows.line_num, row
        except csv.Error as error:
            raise InputError(
                f"line {before + rows.line_num} of {self._source.name!r} is no CSV ({error}); "
                "mend its quotes"
            ) from error

    def _csv_records(self, lines: Iterator[str], place: Place) -> Iterator[Record]:
        name, keep = self._source.name, self._source.keep
        rows = self._rows(lines, place.line)
        if place.offset:
            with contextlib.closing(self._lines(START)) as first:
                _, header = next(self._rows(first, 0), (0, []))
        else:
            _, header = next(rows, (0, []))
        for column, option in self._columns():
            if column not in header:
                raise InputError(no_column(name, column, header, option))
        positions = [(header.index(column), column) for column in keep]
        position = header.index(self._column)
        last = max([position, *(index for index, _ in positions)])
        for line, row in rows:
            if not row:  # a blank line
                continue
            if len(row) != len(header):
                self._check_ragged(row, header, last, line)
            kept = {column: row[index] for index, column in positions} if keep else _NO_KEPT
            yield Record(row[position], kept)

    def _check_ragged(self, row: list[str], header: list[str], last: int, line: int) -> None:
        """Refuse a row that lacks what is needed, or has more than its header has names for."""
        if len(row) <= last:
            raise InputError(
                f"line {line} of {self._source.name!r} has {len(row)} columns, "
                f"and {header[last]!r} is number {last + 1}; mend the line"
            )
        # A comma too many, in a text without quotes, would cut the text off without a word.
        if any(row[len(header) :]):
            raise InputError(
                f"line {line} of {self._source.name!r} has {len(row)} columns, its header "
                f"{len(header)}; put quotes around what holds commas"
            )

    def _jsonl_records(self, lines: Iterator[str], place: Place) -> Iterator[Record]:
        name, column, keep = self._source.name, self._column, self._source.keep
        for number, line in enumerate(lines, start=place.line + 1):
            if not line.strip():
                continue
            try:
                row = json.loads(line, parse_constant=lambda _: None)
            except (ValueError, RecursionError) as error:
                raise InputError(
                    f"line {number} of {name!r} is no JSON; write one object a line"
                ) from error
            if not isinstance(row, dict):
                raise InputError(
                    f"line {number} of {name!r} is no JSON object; write one object a line"
                )
            for needed, option in self._columns():
                if needed not in row:
                    raise InputError(
                        no_column(f"line {number} of {name}", needed, list(row), option)
                    )
            if not isinstance(row[column], str):
                raise InputError(
                    f"{column!r} in line {number} of {name!r} is no string; make it one"
                )
            yield Record(row[column], {one: row[one] for one in keep} if keep else _NO_KEPT)

    @property
    def _column(self) -> str:
        return self._source.column or "text"

    def _columns(self) -> Iterator[tuple[str, str]]:
        """Yield the columns that are needed, each with the option that names it."""
        yield self._column, "--column"
        for column in self._source.keep:
            yield column, "--keep"


def no_column(where: str, column: str, columns: list[str], option: str) -> str:
    """Return what to say where a column is missing."""
    there = ", ".join(repr(name[:40]) for name in columns[:20]) or "none"
    more = ", …" if len(columns) > 20 else ""
    return f"{where!r} has no column {column!r}; name one with {option}, it has: {there}{more}"


def _size(file: TextIO) -> int:
    try:
        return os.fstat(file.fileno()).st_size
    except OSError:
        return 0
