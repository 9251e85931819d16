"""Parquet in and out, in batches; imported only where such a file is named.

Raises:
    MissingExtraError: Arrow is not installed.
"""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import IO, Any, BinaryIO, get_args, get_origin, get_type_hints, is_typeddict

from emoji_vae.errors import InputError, MissingExtraError
from sqam.reading import START, Block, Place, Record, no_column

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.json
    import pyarrow.parquet as pq
except ImportError as error:
    raise MissingExtraError("what reads and writes .parquet", "parquet") from error

# Rows of a batch that is read, or turned into Arrow; fewer of them if their lines are long.
_BATCH = 1024
_BATCH_BYTES = 4 * 2**20

# A row group of what is written; it is in memory as Arrow until it is whole.
_GROUP_ROWS = 64 * _BATCH
_GROUP_BYTES = 32 * 2**20

_READ_AHEAD = 2**20
_JSON_NAMES: Mapping[type, str] = {str: "string", int: "int64", float: "float64"}


class ParquetReader:
    """A .parquet file that is open; see `sqam.reading.Reader`.

    The text's column holds strings, or bytes that are read as UTF-8. Kept columns hold truth
    values, numbers and strings, which JSON has, or points in time, dates and decimals, which go as
    text. A number that is none (NaN, infinity) goes as null.

    Raises:
        InputError: it is no Parquet file or a damaged one, or lacks a column, or a column is of
            another type.
    """

    unit = " texts"

    def __init__(self, file: BinaryIO, name: str, column: str, keep: Sequence[str]) -> None:
        self._name, self._column, self._keep = name, column, keep
        try:
            # A row group may be larger than the memory: what is needed of it is read bit by bit.
            self._file = pq.ParquetFile(file, pre_buffer=False, buffer_size=_READ_AHEAD)
        except (pa.ArrowException, OSError) as error:
            raise self._told(error) from error
        schema = self._file.schema_arrow
        for needed, option in [(column, "--column"), *((one, "--keep") for one in keep)]:
            if needed not in schema.names:
                raise InputError(no_column(name, needed, schema.names, option))
            if schema.names.count(needed) > 1:
                raise InputError(f"{name!r} has several columns {needed!r}; rename all but one")
        found = _values(schema.field(column).type)
        if not (_is_string(found) or _is_binary(found)):
            raise InputError(
                f"{column!r} of {name!r} holds {found}, no text; name a column with --column"
            )
        self.types: Mapping[str, Any] = {one: _values(schema.field(one).type) for one in keep}
        for one, kind in self.types.items():
            if _carried(kind) is None:
                raise InputError(
                    f"{one!r} of {name!r} holds {kind}, which cannot be kept; leave it out of "
                    "--keep or turn it into text"
                )
        self.total = self._file.metadata.num_rows
        self._done = 0

    def position(self) -> int:
        """Return how many texts were read."""
        return self._done

    def records(self, place: Place = START, count: int | None = None) -> Iterator[Record]:
        """Yield the texts from a place on."""
        # Whole row groups are passed over unread.
        groups, skipped = list(range(self._file.num_row_groups)), 0
        while groups and skipped + self._rows(groups[0]) <= place.offset:
            skipped += self._rows(groups.pop(0))
        return itertools.islice(self._from_groups(groups, skipped, place.offset), count)

    def blocks(self, texts: int) -> Iterator[Block]:
        """Yield the file's blocks of ``texts`` texts (the last one of fewer), in order."""
        for start in range(0, self.total, texts):
            yield Block(Place(start, start), min(texts, self.total - start))

    def _rows(self, group: int) -> int:
        return int(self._file.metadata.row_group(group).num_rows)

    def _from_groups(self, groups: list[int], row: int, first: int) -> Iterator[Record]:
        """Yield the texts from ``first`` on of row groups, whose own first is number ``row``."""
        columns = [self._column, *(one for one in self._keep if one != self._column)]
        batches = self._file.iter_batches(_BATCH, row_groups=groups, columns=columns)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError) as error:
                raise self._told(error) from error
            if batch is None:
                return
            begun = max(first - row, 0)
            batch, row = batch.slice(begun), row + min(begun, len(batch))
            texts = _decoded(batch.column(self._column), "surrogateescape")
            kept = [_as_json(batch.column(one)) for one in self._keep]
            for text, *values in zip(texts, *kept, strict=True):
                row += 1
                if text is None:
                    raise InputError(
                        f"{self._column!r} in row {row} of {self._name!r} is null; "
                        "fill it or leave the row out"
                    )
                self._done = row
                yield Record(text, dict(zip(self._keep, values, strict=True)))

    def _told(self, error: Exception) -> Exception:
        """Return what to raise for what Arrow raised."""
        if isinstance(error, OSError) and error.errno is not None:
            return error
        return InputError(
            f"{self._name!r} is no Parquet file, or a damaged or cut-off one "
            f"({str(error)[:200]}); make it again"
        )


def write(
    file: IO[bytes], lines: Iterable[bytes], result: type, kept: Mapping[str, Any | None]
) -> None:
    """Write objects as rows of a Parquet file.

    Args:
        file: where it is written; stays open.
        lines: an object a line, as JSON; each has the kept columns and what ``result`` has.
        result: a TypedDict of strings, whole numbers, numbers, and lists of such TypedDicts.
        kept: the kept columns with their Arrow types, None for text.
    """
    types = {name: pa.string() if kind is None else kind for name, kind in kept.items()}
    read = pa.schema([*((name, _carried(kind)) for name, kind in types.items()), *_fields(result)])
    written = pa.schema([*types.items(), *_fields(result)])
    with pq.ParquetWriter(file, written, compression="zstd") as writer:
        for group in _groups(_tables(lines, read, written)):
            writer.write_table(group, row_group_size=_GROUP_ROWS)


def _tables(lines: Iterable[bytes], read: pa.Schema, written: pa.Schema) -> Iterator[pa.Table]:
    for data in _joined(lines):
        table = pyarrow.json.read_json(
            pa.BufferReader(data),
            # One block, since a line may not lie in more than two.
            pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            pyarrow.json.ParseOptions(explicit_schema=read, unexpected_field_behavior="error"),
        )
        yield table.select(written.names).cast(written)


def _joined(lines: Iterable[bytes]) -> Iterator[bytes]:
    batch, size = [], 0
    for line in lines:
        batch.append(line)
        size += len(line)
        if len(batch) == _BATCH or size >= _BATCH_BYTES:
            yield b"".join(batch)
            batch, size = [], 0
    if batch:
        yield b"".join(batch)


def _groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    group: list[pa.Table] = []
    for table in tables:
        group.append(table)
        if (
            sum(map(len, group)) >= _GROUP_ROWS
            or sum(table.nbytes for table in group) >= _GROUP_BYTES
        ):
            yield pa.concat_tables(group)
            group = []
    if group:
        yield pa.concat_tables(group)


def _fields(result: type) -> list[tuple[str, pa.DataType]]:
    """Return a TypedDict's items with their Arrow types."""
    return [(name, _arrow(hint)) for name, hint in get_type_hints(result).items()]


def _arrow(hint: Any) -> pa.DataType:
    if get_origin(hint) is list:
        return pa.list_(_arrow(get_args(hint)[0]))
    if is_typeddict(hint):
        return pa.struct(_fields(hint))
    return pa.type_for_alias(_JSON_NAMES[hint])


def _carried(kind: pa.DataType) -> pa.DataType | None:
    """Return as what a kept column passes through JSON; None if it cannot."""
    if _is_string(kind):
        return pa.string()
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind):
        return kind
    if pa.types.is_floating(kind):
        return pa.float64()
    as_text = (pa.types.is_timestamp, pa.types.is_date, pa.types.is_decimal)
    return pa.string() if any(fits(kind) for fits in as_text) else None


def _as_json(column: pa.Array) -> list[Any]:
    carried = _carried(_values(column.type))
    if pa.types.is_string(carried):
        return _decoded(column, "replace")
    if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
        column = column.cast(pa.string())  # 0.1, as a person reads it
    column = _dense(column).cast(carried)
    if pa.types.is_floating(carried):
        column = pc.if_else(pc.is_finite(column), column, None)
    return list(column.to_pylist())


def _decoded(column: pa.Array, errors: str) -> list[str | None]:
    """Return strings; Arrow itself believes any file that says that its bytes are UTF-8."""
    column = _dense(column)
    if not (_is_string(column.type) or _is_binary(column.type)):
        column = column.cast(pa.string())
    found = column.cast(pa.large_binary()).to_pylist()
    return [None if one is None else one.decode("utf-8", errors) for one in found]


def _dense(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _values(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_string(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_binary(kind: pa.DataType) -> bool:
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)
