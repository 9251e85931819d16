"""Texts out of files; `test_job.py` reads the odd ones."""

import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.errors import InputError
from sqam import reading
from sqam.reading import Place, Record, Source


def read(name: str, data: bytes, place=reading.START, count=None, **options) -> list[Record]:
    return list(Source(name, **options).reader(io.BytesIO(data), len(data)).records(place, count))


def texts(name: str, data: bytes, **options) -> list[str]:
    return [record.text for record in read(name, data, **options)]


# Characters that end lines somewhere, or mean something to one of the formats.
TEXT = st.text(st.sampled_from("a é😄,\"'\\\r\n\t\u2028\x0b\x00\ufeff"), max_size=6)


@st.composite
def files(draw) -> tuple[str, bytes, list[str]]:
    """A file's name, its bytes, and the texts in it."""
    kind = draw(st.sampled_from(["a.txt", "a.csv", "a.jsonl"]))
    found = draw(st.lists(TEXT, max_size=9))
    mark = draw(st.sampled_from([b"", b"\xef\xbb\xbf"]))
    if kind == "a.txt":
        found = [text.replace("\n", " ").rstrip("\r") for text in found]
        end = draw(st.sampled_from(["\n", "\r\n"]))
        if found and not mark:
            found[0] = found[0].lstrip("\ufeff")
        return kind, mark + "".join(text + end for text in found).encode(), found
    if kind == "a.csv":
        file = io.StringIO(newline="")
        writer = csv.writer(file, quoting=csv.QUOTE_ALL)
        writer.writerows([["id", "text"], *([number, text] for number, text in enumerate(found))])
        return kind, mark + file.getvalue().encode(), found
    lines = [json.dumps({"id": number, "text": text}) for number, text in enumerate(found)]
    for _ in range(draw(st.integers(0, 3))):
        lines.insert(draw(st.integers(0, len(lines))), draw(st.sampled_from(["", "  ", "\r"])))
    return kind, mark + "".join(line + "\n" for line in lines).encode(), found


@given(files())
def test_every_text_is_read(file):
    name, data, expected = file
    assert texts(name, data) == expected


@given(files(), st.integers(1, 4))
def test_blocks_are_the_file_in_parts(file, size):
    name, data, expected = file
    keep = () if name == "a.txt" else ("id",)
    source = Source(name, keep=keep)
    blocks = list(source.reader(io.BytesIO(data), len(data)).blocks(size))
    assert [block.texts for block in blocks[:-1]] == [size] * (len(blocks) - 1)
    assert sum(block.texts for block in blocks) == len(expected)
    found = [
        record
        for block in blocks
        for record in read(name, data, block.place, block.texts, keep=keep)
    ]
    assert found == read(name, data, keep=keep)


def test_places_tell_lines():
    # Line 1 is the header, the first row has two lines, line 4 is blank.
    data = b'text\n"a\nb"\n\nc\nd\n'
    blocks = list(Source("a.csv").reader(io.BytesIO(data), len(data)).blocks(2))
    # Before "d" there are 5 + 6 + 1 + 2 bytes in five lines.
    assert blocks == [((0, 0), 2), ((14, 5), 1)]
    with pytest.raises(InputError, match=r"line 7 of 'a\.csv'"):
        read("a.csv", data + b'"e\n', Place(14, 5))
    with pytest.raises(InputError, match=r"line 9 of 'a\.jsonl' is no JSON"):
        read("a.jsonl", b'{"text": "a"}\nx\n', Place(14, 8))


def test_a_compressed_file_is_read_from_its_beginning_alone():
    with pytest.raises(InputError, match=r"'a\.txt\.gz' is compressed"):
        next(iter(Source("a.txt.gz").reader(io.BytesIO(b""), 0).blocks(3)))


def test_kept_columns():
    assert read("a.csv", b"id,text,n\n7,a,\n8,b,2\n", keep=("n", "id")) == [
        ("a", {"n": "", "id": "7"}),
        ("b", {"n": "2", "id": "8"}),
    ]
    data = b'{"n": {"a": [1, null]}, "text": "a", "more": 1}\n{"n": NaN, "text": "b"}\n'
    # NaN is no JSON, and would make none of the output.
    assert read("a.jsonl", data, keep=("n",)) == [
        ("a", {"n": {"a": [1, None]}}),
        ("b", {"n": None}),
    ]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("a.csv", b"text\na\n", "no column 'id'; name one with --keep, it has: 'text'"),
        ("a.csv", b"text,id\na,1\nb\n", "line 3 of 'a.csv' has 1 columns, and 'id' is number 2"),
        ("a.jsonl", b'{"text": "a"}\n', "'line 1 of a.jsonl' has no column 'id'"),
        ("a.txt", b"a\n", "lines of text have no column 'id'"),
    ],
)
def test_a_missing_column_to_keep(name, data, message):
    with pytest.raises(InputError, match=message):
        read(name, data, keep=("id",))


def test_a_column_is_kept_once():
    with pytest.raises(InputError, match="--keep names 'id' twice"):
        Source("a.csv", keep=("id", "n", "id"))


def test_ragged_rows():
    # What is cut off at its end, and what has empty columns more, loses nothing.
    assert texts("a.csv", b"text,id,n\na\nb,1\nc,1,2,,\n") == ["a", "b", "c"]
    # A comma without quotes would cut the text off.
    with pytest.raises(InputError, match=r"line 3 of 'a\.csv' has 3 columns, its header 2; put qu"):
        texts("a.csv", b"id,text\n1,a\n2,Hello, world\n")


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv"])
def test_a_line_without_an_end(name, monkeypatch):
    monkeypatch.setattr(reading, "LONGEST", 50)
    first = b'{"text": ""}\n' if name == "a.jsonl" else b"text\n"
    assert texts("a.txt", first + b"x" * 50)[1] == "x" * 50
    with pytest.raises(InputError, match=r"line 2 of .* has more than 50 characters; break it"):
        texts(name, first + b"x" * 51)


def test_a_quote_that_is_never_closed(monkeypatch):
    monkeypatch.setattr(reading, "LONGEST", 50)
    taken = []

    class Endless(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            taken.append(1)
            data = b'text\n"' if len(taken) == 1 else b"line\n" * 2
            buffer[: len(data)] = data
            return len(data)

    reader = Source("a.csv").reader(io.BufferedReader(Endless()), 0)
    with pytest.raises(InputError, match=r"is no CSV .*; mend its quotes"):
        list(reader.records())
    assert len(taken) < 5000


def test_reading_is_lazy():
    data = b"some text\n" * 100_000
    file = io.BytesIO(data)
    reader = Source("a.txt").reader(file, len(data))
    records = reader.records()
    next(records)
    assert 0 < reader.position() == file.tell() < 100_000
    assert sum(1 for _ in records) == 99_999
    assert reader.position() == reader.total == len(data)
    assert not file.closed
