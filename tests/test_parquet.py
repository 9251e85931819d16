"""Parquet in and out."""

import datetime
import decimal
import io
import json
import sys
from typing import TypedDict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.errors import InputError, MissingExtraError
from sqam.bulk import json_line
from sqam.reading import Place, Source

pa = pytest.importorskip("pyarrow", reason="needs the extra parquet")
pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")

from sqam import parquet  # noqa: E402


class Thing(TypedDict):
    position: int
    name: str
    score: float


class Made(TypedDict):
    text: str
    things: list[Thing]


def file(columns, **options) -> io.BytesIO:
    made = io.BytesIO()
    pq.write_table(pa.table(columns), made, **options)
    return made


def reader(made: io.BytesIO, **options):
    return Source("in.parquet", **options).reader(made, len(made.getvalue()))


def texts(made: io.BytesIO, place=Place(), count=None, **options) -> list[str]:  # noqa: B008
    return [record.text for record in reader(made, **options).records(place, count)]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "", "ü😄"]),
        pa.array(["a", "", "ü😄"], pa.large_string()),
        pa.array([b"a", b"", "ü😄".encode()]),
        pa.array(["a", "", "ü😄"]).dictionary_encode(),
    ],
)
def test_texts(column):
    assert texts(file({"text": column})) == ["a", "", "ü😄"]


def test_bytes_that_are_no_utf8():
    # Bytes that say that they are a string: Arrow believes it.
    lying = pa.Array.from_buffers(pa.string(), 1, pa.array([b"a\xff"]).buffers())
    assert texts(file({"text": lying})) == ["a\udcff"]
    assert texts(file({"text": pa.array([b"a\xff"])})) == ["a\udcff"]
    (record,) = reader(file({"text": ["a"], "id": lying}), keep=("id",)).records()
    assert record.kept == {"id": "a\ufffd"}


@given(st.lists(st.text(max_size=3), max_size=9), st.integers(1, 5), st.integers(1, 5))
def test_blocks_are_the_file_in_parts(found, group, size):
    made = file({"text": pa.array(found, pa.string())}, row_group_size=group)
    blocks = list(reader(made).blocks(size))
    assert sum(block.texts for block in blocks) == len(found) == reader(made).total
    assert texts(made) == found
    parts = [texts(made, block.place, block.texts) for block in blocks]
    assert [len(part) for part in parts] == [block.texts for block in blocks]
    assert [text for part in parts for text in part] == found


KEPT = {
    "whole": pa.array([2**62, None], pa.int64()),
    "small": pa.array([255, 0], pa.uint8()),
    "float": pa.array([0.1, None], pa.float32()),
    "double": pa.array([0.1, 1e300], pa.float64()),
    "truth": pa.array([True, None]),
    "string": pa.array(["a,\n\"b'", None], pa.large_string()),
    "category": pa.array(["x", "y"]).dictionary_encode(),
    "time": pa.array([datetime.datetime(2024, 1, 2, 3, 4, 5, 6), None], pa.timestamp("us", "UTC")),
    "day": pa.array([datetime.date(2024, 1, 2), None]),
    "money": pa.array([decimal.Decimal("1.20"), None], pa.decimal128(9, 2)),
    "nothing": pa.array([None, None]),
}


def test_kept_columns_come_out_as_they_went_in():
    source = reader(file({"text": ["a", "b"], **KEPT}), keep=tuple(KEPT))
    records = list(source.records())
    assert records[0].kept == {
        "whole": 2**62,
        "small": 255,
        "float": 0.1,
        "double": 0.1,
        "truth": True,
        "string": "a,\n\"b'",
        "category": "x",
        "time": "2024-01-02 03:04:05.000006Z",
        "day": "2024-01-02",
        "money": "1.20",
        "nothing": None,
    }
    lines = [json_line({**kept, "text": text, "things": []}).encode() for text, kept in records]
    made = io.BytesIO()
    parquet.write(made, lines, Made, source.types)
    table = pq.read_table(made)
    assert table.schema.names == [*KEPT, "text", "things"]
    for name, column in KEPT.items():
        expected = column.dictionary_decode() if name == "category" else column
        assert table[name].combine_chunks().equals(expected), name


def test_numbers_that_are_none_become_null():
    made = file({"text": ["a", "b"], "n": [float("nan"), float("-inf")]})
    assert [record.kept["n"] for record in reader(made, keep=("n",)).records()] == [None, None]


@pytest.mark.parametrize(
    ("columns", "options", "message"),
    [
        ({"body": ["a"]}, {}, "no column 'text'; name one with --column, it has: 'body'"),
        ({"text": ["a"]}, {"keep": ("id",)}, "no column 'id'; name one with --keep"),
        ({"text": [1]}, {}, "'text' of 'in.parquet' holds int64, no text"),
        ({"text": [["a"]]}, {}, "'text' of 'in.parquet' holds list"),
        ({"text": ["a"], "x": [[1]]}, {"keep": ("x",)}, "'x' of .* holds list.* cannot be kept"),
        ({"text": ["a"], "x": [b"1"]}, {"keep": ("x",)}, "'x' of .* holds binary"),
        ({"text": ["a", None]}, {}, "'text' in row 2 of 'in.parquet' is null; fill it"),
    ],
)
def test_what_cannot_be_read(columns, options, message):
    with pytest.raises(InputError, match=message):
        texts(file(columns), **options)


def test_two_columns_of_one_name():
    made = io.BytesIO()
    pq.write_table(pa.Table.from_arrays([pa.array(["a"])] * 2, ["text", "text"]), made)
    with pytest.raises(InputError, match="several columns 'text'"):
        texts(made)


def test_damaged_files():
    whole = file({"text": [f"text {i}" for i in range(50_000)]}, compression="gzip").getvalue()
    spoilt = bytearray(whole)
    spoilt[len(whole) // 3 : len(whole) // 2] = b"\xff" * (len(whole) // 2 - len(whole) // 3)
    for data in (b"", b"no Parquet", whole[: len(whole) // 2], bytes(spoilt)):
        with pytest.raises(
            InputError, match=r"'in\.parquet' is no Parquet file, or a damaged"
        ) as e:
            texts(io.BytesIO(data))
        assert "\n" not in str(e.value)


def test_a_failing_disk_is_not_the_files_fault():
    class Failing(io.BytesIO):
        def read(self, size=-1):
            raise OSError(5, "Input/output error")

    with pytest.raises(OSError, match="Input/output error"):
        texts(Failing(file({"text": ["a"]}).getvalue()))


def test_reading_is_lazy():
    # One row group of more than 10 MB.
    made = file({"text": [f"{i:0100}" for i in range(100_000)]}, compression="none")
    size = len(made.getvalue())

    class Counting(io.BytesIO):
        taken = 0

        def read(self, size=-1):
            found = super().read(size)
            Counting.taken += len(found)
            return found

    source = Source("in.parquet").reader(Counting(made.getvalue()), size)
    records = source.records()
    assert next(records).text == "0" * 100
    assert Counting.taken < size / 2
    assert source.position() == 1
    assert sum(1 for _ in records) == 99_999 == source.total - 1
    assert source.position() == source.total


@given(
    st.lists(
        st.tuples(
            st.text(max_size=9),
            st.lists(
                st.tuples(st.integers(0, 2**40), st.text(max_size=3), st.floats(-1, 1)), max_size=3
            ),
        ),
        max_size=9,
    )
)
def test_what_is_written_is_what_json_has(rows):
    objects = [
        {
            "text": text,
            "things": [dict(zip(Thing.__annotations__, one, strict=True)) for one in some],
        }
        for text, some in rows
    ]
    made = io.BytesIO()
    parquet.write(made, [json_line(one).encode() for one in objects], Made, {})
    assert pq.read_table(made).to_pylist() == json.loads(json.dumps(objects))
    assert not made.closed


def test_row_groups_are_written_one_by_one(monkeypatch):
    monkeypatch.setattr(parquet, "_BATCH", 4)
    monkeypatch.setattr(parquet, "_GROUP_ROWS", 8)
    made = io.BytesIO()
    sizes = []

    def lines():
        for number in range(21):
            sizes.append(made.tell())
            yield json_line({"n": str(number), "text": "a", "things": []}).encode()

    parquet.write(made, lines(), Made, {"n": None})
    found = pq.ParquetFile(made)
    groups = [found.metadata.row_group(i).num_rows for i in range(found.num_row_groups)]
    assert groups == [8, 8, 5]
    assert found.read()["n"].to_pylist() == [str(number) for number in range(21)]
    # The first group was written before the second was asked for.
    assert sizes[7] <= 4 < sizes[8] == sizes[15] < sizes[16]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.delitem(sys.modules, "sqam.parquet")
    monkeypatch.delattr("sqam.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'emoji-sqam\[parquet\]'"):
        Source("in.parquet")
