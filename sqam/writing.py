"""Files of results out: what is known as JSON lines becomes a file of the kind that its name says.

Nothing appears under a name before it is whole.
"""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from sqam import compression
from sqam.bulk import Tally, Task, json_line, lines_of_chunk, mended, of_chunk
from sqam.reading import Record


def check(name: str, lines: bool = False) -> None:
    """Refuse a file that could not be written.

    Args:
        name: of the file.
        lines: whether what is written may be lines of text.

    Raises:
        InputError: its name says no kind that can be written.
        MissingExtraError: what writes this kind is not installed.
    """
    kind, packed = compression.split(name)
    kinds = {".jsonl", ".csv", ".parquet"} | ({".txt"} if lines else set())
    if kind not in kinds or (packed and kind == ".parquet"):
        raise InputError(
            f"cannot tell how to write {name!r}; name a {'.txt, ' if lines else ''}.jsonl or .csv "
            "file (also as .gz, .bz2, .xz or .zst), a .parquet file, or - for standard output"
        )
    compression.check(packed)
    if kind == ".parquet":
        from sqam import parquet  # noqa: F401  # says what is missing


def check_kept(name: str, keep: Iterable[str], made: type, header: Iterable[str]) -> None:
    """Refuse kept columns whose names the file needs.

    Args:
        name: of the file.
        keep: the columns.
        made: a task's ``made``.
        header: and its ``header``.

    Raises:
        InputError: the task writes a column of the same name.
    """
    own = {*made.__annotations__, *(header if compression.split(name)[0] == ".csv" else ())}
    for column in keep:
        if column in own:
            raise InputError(
                f"the output has a column {column!r} of its own; rename the one to keep, or leave "
                "it out of --keep"
            )


def fitted(records: Iterable[Record], name: str, types: Mapping[str, Any]) -> Iterator[Record]:
    """Return records with what is kept as a file of that name holds it.

    JSON lines hold everything, a .parquet file what came from one (``types`` are not empty). Else
    all becomes text, JSON for what is none; null stays null.
    """
    kind = compression.split(name)[0]
    if kind in {"", ".jsonl"} or (kind == ".parquet" and types):
        return iter(records)
    return (
        Record(text, {name: _text(value) for name, value in kept.items()}) if kept else record
        for record in records
        for text, kept in [record]
    )


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value)


def made(task: Task, chunk: list[Record], tally: Tally, as_lines: bool = False) -> list[str]:
    """Do a task with texts, which are handled together; return a line of JSON for each.

    Args:
        task: what is done.
        chunk: the texts; what is kept comes before what is found.
        tally: counts the texts.
        as_lines: the texts stay as they are; else lone surrogates become U+FFFD.
    """
    texts = [record.text for record in chunk]
    if as_lines:
        # What stays a line may hold lone surrogates, which only ASCII can escape.
        return [json.dumps(result) + "\n" for result in of_chunk(task, texts, tally, mend=False)]
    return [
        f"{mended(json_line(record.kept))[:-2]}, {line[1:]}" if record.kept else line
        for record, line in zip(chunk, lines_of_chunk(task, texts, tally), strict=True)
    ]


def write(path: Path, lines: Iterable[bytes], task: Task, kept: Mapping[str, Any]) -> None:
    """Write results to a file that takes its name when it is whole.

    Args:
        path: its name says its kind.
        lines: the results as JSON lines, each with the kept columns before it.
        task: what made them.
        kept: the kept columns, with their Arrow types if they come from a .parquet file, else None.

    Raises:
        InputError: the folder is missing or cannot be written.
    """
    kind, packed = compression.split(path.name)
    with replacing(path) as file:
        if kind == ".parquet":
            from sqam import parquet

            parquet.write(file, lines, task.made, kept)
        elif packed:
            with compression.opened(file, packed, "wb") as plain:
                _write(kind, plain, lines, task, kept)
        else:
            _write(kind, file, lines, task, kept)


def _write(
    kind: str, file: IO[bytes], lines: Iterable[bytes], task: Task, kept: Mapping[str, Any]
) -> None:
    if kind == ".jsonl":
        file.writelines(lines)
    elif kind == ".txt":
        for line in lines:
            file.write(json.loads(line)[task.becomes].encode("utf-8", "surrogateescape"))
    else:
        table = io.TextIOWrapper(file, encoding="utf-8", newline="")
        # RFC 4180's CRLF: with another line end the csv module leaves a lone CR in a text unquoted.
        writer = csv.writer(table)
        writer.writerow([*kept, *task.header])
        for line in lines:
            result = json.loads(line)
            beside = [result[column] for column in kept]
            writer.writerows([*beside, *row] for row in task.rows(result))
        table.detach()
