"""Files of texts in, files of results out; the scorer here ranks by the length of a text."""

import copy
import csv
import gzip
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from conftest import CANDIDATES, Candidates, LengthScorer, packed, suffixes

from emoji_vae.errors import InputError
from sqam import bulk, compression
from sqam.job import Job
from sqam.scorer import Scorer

ROOT = Path(__file__).resolve().parent.parent


def run(source, output=None, k=2, scorer: Any = None, candidates: Any = CANDIDATES, **options):
    ranker: Any = scorer or LengthScorer()
    return Job(str(source), output, **options).run(ranker, candidates, k)


def ranked(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def texts(path: Path) -> list[str]:
    return [result["text"] for result in ranked(path)]


@pytest.fixture
def stdin(monkeypatch):
    def give(data: bytes) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


def test_lines_of_text(tmp_path):
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    # A byte order mark, CRLF, an empty line, control characters (a lone CR, NUL, a line separator
    # and a form feed end no line), a byte that is no UTF-8, and no line feed at the end.
    lines = "\ufeffone\r\n\ntw\ro\n\x00\x1b[31m\u2028\x0c\nno? \U0001f600\n".encode()
    source.write_bytes(lines + b"\xffx\nlast")
    tally = run(source, output)
    expected = ["one", "", "tw\ro", "\x00\x1b[31m\u2028\x0c", "no? 😀", "\ufffdx", "last"]
    assert texts(output) == expected
    assert [bool(result["matches"]) for result in ranked(output)] == [True] * 4 + [
        False,
        True,
        True,
    ]
    assert (tally.texts, tally.unmatched, tally.replaced) == (7, 1, 1)
    assert sorted(os.listdir(tmp_path)) == ["in.txt", "out.jsonl"]


def test_empty_file_gives_an_empty_output(tmp_path):
    (tmp_path / "in.txt").touch()
    assert run(tmp_path / "in.txt", tmp_path / "out.jsonl").texts == 0
    assert (tmp_path / "out.jsonl").read_bytes() == b""


def test_a_line_of_a_megabyte(tmp_path):
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    long = "word " * 200_000
    source.write_text(f"a\n{long}\nb\n", encoding="utf-8")
    run(source, output)
    assert texts(output) == ["a", long, "b"]


def test_standard_input_to_standard_output(stdin, capsys):
    stdin("\ufeffone\ntwo\n".encode())
    run("-")
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [result["text"] for result in found] == ["one", "two"]


def test_closed_standard_input(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(InputError, match="standard input is closed"):
        run("-")


def test_csv_column(tmp_path):
    source, output = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_bytes('\ufeffid,body\r\n1,"a ""b""\r\nc"\r\n\r\n2,\r\n3,d\r\n'.encode())
    run(source, output, column="body")
    assert texts(output) == ['a "b"\r\nc', "", "d"]


def test_csv_field_of_a_megabyte(tmp_path):
    source, output = tmp_path / "in.csv", tmp_path / "out.jsonl"
    source.write_text(f"text\n{'x' * 1_000_000}\n", encoding="utf-8")
    run(source, output)
    assert len(texts(output)[0]) == 1_000_000


def test_jsonl(tmp_path):
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    # An escaped pair is one emoji, a lone surrogate is none.
    source.write_text('{"text": "a\\ud83d\\ude00"}\n\n{"n": 1, "text": "\\ud800"}\n')
    tally = run(source, output)
    assert texts(output) == ["a😀", "\ufffd"]
    assert tally.replaced == 1


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("in.csv", "id,body\n1,a\n", "no column 'text'; .* it has: 'id', 'body'"),
        ("in.csv", "", "no column 'text'; .* it has: none"),
        ("in.csv", "id,text\n1,a\n2\n", "line 3 of .* has 1 columns, and 'text' is number 2"),
        ("in.csv", 'text\n"a\nb\n', "is no CSV .* mend its quotes"),
        ("in.jsonl", '{"text": "a"}\n{"tex', "line 2 of .* is no JSON;"),
        ("in.jsonl", "[" * 100_000, "line 1 of .* is no JSON;"),
        ("in.jsonl", "[]\n", "line 1 of .* is no JSON object"),
        ("in.jsonl", '{"body": 1}\n', "no column 'text'; .* it has: 'body'"),
        ("in.jsonl", '{"text": null}\n', "'text' in line 1 of .* is no string"),
        ("in.txt", "\ufeffa\n".encode("utf-16-le"), "is UTF-16; save it as UTF-8"),
        ("in.csv", "\ufefftext\n".encode("utf-16-be"), "is UTF-16; save it as UTF-8"),
    ],
)
def test_bad_content(tmp_path, name, content, message):
    data = content if isinstance(content, bytes) else content.encode()
    (tmp_path / name).write_bytes(data)
    with pytest.raises(InputError, match=message) as error:
        run(tmp_path / name, tmp_path / "out.jsonl")
    assert "\n" not in str(error.value)
    assert not (tmp_path / "out.jsonl").exists()


def test_many_columns_are_cut(tmp_path):
    (tmp_path / "in.csv").write_text(",".join("c" * 100 for _ in range(1000)) + "\n")
    with pytest.raises(InputError) as error:
        run(tmp_path / "in.csv")
    assert len(str(error.value)) < 1500


@pytest.mark.parametrize(
    ("source", "output", "options", "message"),
    [
        ("in.xlsx", None, {}, "cannot tell how to read"),
        ("none.txt", None, {}, "there is no file"),
        ("in.txt", None, {"column": "body"}, "lines of text have no column 'body'"),
        ("-", None, {"column": "body"}, "lines of text have no column 'body'"),
        ("in.txt", None, {"resume": True}, "--resume and --force are for files"),
        ("in.txt", "out.xlsx", {}, "cannot tell how to write"),
        ("in.txt", "out", {}, "cannot tell how to write"),
        ("in.txt", "folder.csv", {}, "it is a folder"),
        ("in.txt", "there.csv", {}, "is there already; name another file or add --force"),
    ],
)
def test_bad_job(tmp_path, monkeypatch, source, output, options, message):
    monkeypatch.chdir(tmp_path)
    for name in ("in.txt", "in.xlsx", "there.csv"):
        Path(name).touch()
    Path("folder.csv").mkdir()
    with pytest.raises(InputError, match=message):
        Job(source, None if output is None else Path(output), **options)


def test_a_folder_as_source(tmp_path):
    with pytest.raises(InputError, match=r"cannot read .*; name a file that can be read"):
        run(tmp_path)


def test_output_in_a_missing_folder(tmp_path):
    (tmp_path / "in.txt").write_text("a\n")
    with pytest.raises(InputError, match="name a folder that can be written"):
        run(tmp_path / "in.txt", tmp_path / "none" / "out.jsonl")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_output_in_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "in.txt").write_text("a\n")
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(InputError, match="name a folder that can be written"):
        run(tmp_path / "in.txt", tmp_path / "locked" / "out.jsonl")


def test_force_replaces(tmp_path):
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("a\n")
    output.write_text("old")
    run(source, output, force=True)
    assert texts(output) == ["a"]


def test_csv_output_has_a_row_a_match_and_reads_back(tmp_path):
    source, output = tmp_path / "in.txt", tmp_path / "out.csv"
    source.write_text('a\r"b", c\nno?\n', newline="")
    run(source, output)
    with open(output, encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file, strict=True))
    # 'a\r"b", c' has 8 characters: nearest is 🍴 (3) with 1/6, then 😄 (2) with 1/7.
    assert rows == [
        ["text", "rank", "emoji", "name", "score"],
        ['a\r"b", c', "1", "🍴", "fork and knife", "0.1667"],
        ['a\r"b", c', "2", "😄", "grinning face with smiling eyes", "0.1429"],
        ["no?", "", "", "", ""],
    ]
    assert not (tmp_path / "out.csv.part").exists()


class InterruptedScorer(LengthScorer):
    """Stops as Ctrl-C does, in the third chunk."""

    def rank(self, sentences, candidates, k):
        if len(self.chunks) == 2:
            raise KeyboardInterrupt
        return super().rank(sentences, candidates, k)


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A source of 10 texts, of which 8 are ranked; the whole output is what it should become."""
    monkeypatch.setattr(bulk, "CHUNK_TEXTS", 4)
    source = tmp_path / "in.txt"
    source.write_text("".join(f"{'x' * i}{'?' if i == 7 else ''}\n" for i in range(10)))
    run(source, tmp_path / "whole.jsonl")
    run(source, tmp_path / "whole.csv")
    with pytest.raises(KeyboardInterrupt):
        run(source, tmp_path / "out.jsonl", scorer=InterruptedScorer())
    assert not (tmp_path / "out.jsonl").exists()
    assert len(ranked(tmp_path / "out.jsonl.part")) == 8
    return tmp_path


@pytest.mark.parametrize("torn", range(0, 700, 37))
def test_resume_loses_and_doubles_nothing(interrupted, torn):
    # However much of the partial file reached the disk, the result is the same, to the byte.
    part = interrupted / "out.jsonl.part"
    part.write_bytes(part.read_bytes()[:torn] if torn else part.read_bytes())
    scorer = LengthScorer()
    tally = run(interrupted / "in.txt", interrupted / "out.jsonl", resume=True, scorer=scorer)
    assert (interrupted / "out.jsonl").read_bytes() == (interrupted / "whole.jsonl").read_bytes()
    assert (tally.texts, tally.unmatched) == (10, 1)
    assert not part.exists()
    if not torn:
        # One text to see that the options are the same, then the two that are left.
        assert scorer.chunks == [1, 2]


def test_resume_to_csv(interrupted):
    (interrupted / "out.jsonl.part").rename(interrupted / "out.csv.part")
    run(interrupted / "in.txt", interrupted / "out.csv", resume=True)
    assert (interrupted / "out.csv").read_bytes() == (interrupted / "whole.csv").read_bytes()


def test_resume_without_a_partial_output_starts(interrupted):
    (interrupted / "out.jsonl.part").unlink()
    run(interrupted / "in.txt", interrupted / "out.jsonl", resume=True)
    assert (interrupted / "out.jsonl").read_bytes() == (interrupted / "whole.jsonl").read_bytes()


def test_without_resume_it_starts_anew(interrupted):
    scorer = LengthScorer()
    run(interrupted / "in.txt", interrupted / "out.jsonl", scorer=scorer)
    assert sum(scorer.chunks) == 10
    assert (interrupted / "out.jsonl").read_bytes() == (interrupted / "whole.jsonl").read_bytes()


def other_texts(folder):
    (folder / "in.txt").write_text("other\n" * 10)


def fewer_texts(folder):
    (folder / "in.txt").write_text("\nx\n")


def no_json(folder):
    (folder / "out.jsonl.part").write_text("no JSON\n")


def no_result(folder):
    (folder / "out.jsonl.part").write_text("[1]\n")


def result_of_another_task(folder):
    (folder / "out.jsonl.part").write_text('{"text": "", "emojified": "", "insertions": []}\n')


@pytest.mark.parametrize(
    "spoil", [other_texts, fewer_texts, no_json, no_result, result_of_another_task]
)
def test_resume_of_another_run_is_refused(interrupted, spoil):
    spoil(interrupted)
    before = (interrupted / "out.jsonl.part").read_bytes()
    with pytest.raises(InputError, match=r"is from another run: .*; leave out --resume"):
        run(interrupted / "in.txt", interrupted / "out.jsonl", resume=True)
    assert (interrupted / "out.jsonl.part").read_bytes() == before


@pytest.mark.parametrize("options", [{"k": 3}, {"candidates": Candidates(["🍴", "😄"])}])
def test_resume_with_other_options_is_refused(interrupted, options):
    with pytest.raises(InputError, match="is from another run"):
        run(interrupted / "in.txt", interrupted / "out.jsonl", resume=True, **options)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("name", ["in.txt", "in.txt.gz", "in.jsonl"])
def test_progress_on_a_terminal(tmp_path, monkeypatch, name):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    source, output = tmp_path / name, tmp_path / "out.csv"
    lines = b'{"text": "a"}\n{"text": "b"}\n' if name == "in.jsonl" else b"a\nb\n"
    source.write_bytes(gzip.compress(lines) if name.endswith(".gz") else lines)
    run(source, output)
    assert len(list(csv.reader(output.open(encoding="utf-8")))) == 1 + 2 * 2
    # Two bars, of the ranking and of the writing: how much, the time that is left, and the rate.
    bars = re.findall(r"100%.*?\[[\d:]+<[\d:]+, [^]]+/s", terminal.getvalue())
    assert len(bars) == 2
    assert re.search(r"[\d,]+ texts/s\]", terminal.getvalue())


def test_progress_of_a_pipe_counts_texts(tmp_path, monkeypatch, stdin):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    stdin(b"a\nb\nc\n")
    run("-", tmp_path / "out.jsonl")
    assert re.search(r"3\.00 texts \[.*texts/s\]", terminal.getvalue())


def test_no_progress_where_nobody_watches(tmp_path, capsys):
    (tmp_path / "in.txt").write_text("a\n")
    run(tmp_path / "in.txt", tmp_path / "out.csv")
    run(tmp_path / "in.txt")
    assert capsys.readouterr().err == ""


# Kinds of files


@pytest.mark.parametrize("suffix", suffixes())
@pytest.mark.parametrize("kind", [".csv", ".jsonl", ".txt"])
def test_compressed_files(tmp_path, suffix, kind):
    lines = {".csv": "id,text\r\n7,Grüße\r\n8,b?\r\n", ".txt": "Grüße\nb?\n"}
    lines[".jsonl"] = '{"id": "7", "text": "Grüße"}\n{"id": "8", "text": "b?"}\n'
    keep = () if kind == ".txt" else ("id",)
    (tmp_path / f"in{kind}").write_bytes(lines[kind].encode())
    (tmp_path / f"in{kind}{suffix}").write_bytes(packed(lines[kind].encode(), suffix))
    for output in ("out.jsonl", "out.csv"):
        run(tmp_path / f"in{kind}", tmp_path / output, keep=keep)
        run(tmp_path / f"in{kind}{suffix}", tmp_path / f"{output}{suffix}", keep=keep)
        with open(tmp_path / f"{output}{suffix}", "rb") as file:
            with compression.opened(file, suffix, "rb") as plain:
                assert plain.read() == (tmp_path / output).read_bytes()
    assert not list(tmp_path.glob("*.part"))


def test_kept_columns(tmp_path):
    source = tmp_path / "in.jsonl"
    rows = [{"id": 7, "text": "ab", "more": [None, "ü"]}, {"more": None, "text": "?", "id": True}]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    run(source, tmp_path / "out.jsonl", keep=("more", "id"))
    first, second = ranked(tmp_path / "out.jsonl")
    assert list(first) == ["more", "id", "text", "matches"]
    assert (first["id"], first["more"], len(first["matches"])) == (7, [None, "ü"], 2)
    assert second == {"more": None, "id": True, "text": "?", "matches": []}
    run(source, tmp_path / "out.csv", keep=("more", "id"))
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        table = list(csv.reader(file, strict=True))
    assert table == [
        ["more", "id", "text", "rank", "emoji", "name", "score"],
        ['[null, "\\u00fc"]', "7", "ab", "1", "😄", "grinning face with smiling eyes", "1.0"],
        ['[null, "\\u00fc"]', "7", "ab", "2", "⚾", "baseball", "0.5"],
        ["", "true", "?", "", "", "", ""],
    ]


def test_kept_columns_are_valid_unicode(tmp_path):
    (tmp_path / "in.csv").write_bytes(b"id,text\n\xff,a\n")
    run(tmp_path / "in.csv", tmp_path / "out.jsonl", keep=("id",))
    assert ranked(tmp_path / "out.jsonl")[0]["id"] == "\ufffd"


@pytest.mark.parametrize(
    ("name", "column"), [("o.csv", "rank"), ("o.csv", "text"), ("o.jsonl", "matches")]
)
def test_a_kept_column_whose_name_is_taken(tmp_path, name, column):
    (tmp_path / "in.csv").write_text("text,rank,matches\na,b,c\n")
    with pytest.raises(InputError, match=rf"a column '{column}' of its own; rename"):
        run(tmp_path / "in.csv", tmp_path / name, keep=(column,))
    assert os.listdir(tmp_path) == ["in.csv"]
    run(tmp_path / "in.csv", tmp_path / "fine.jsonl", keep=("rank",))


def test_parquet(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    import pyarrow as pa

    table = pa.table({"id": pa.array([3, 4], pa.int16()), "body": ["ab", "?"], "x": [0.5, None]})
    pq.write_table(table, tmp_path / "in.parquet")
    options = {"column": "body", "keep": ("x", "id")}
    run(tmp_path / "in.parquet", tmp_path / "out.parquet", **options)
    made = pq.read_table(tmp_path / "out.parquet")
    assert made.schema.names == ["x", "id", "text", "matches"]
    assert made.schema.field("id").type == pa.int16()
    run(tmp_path / "in.parquet", tmp_path / "out.jsonl", **options)
    assert made.to_pylist() == ranked(tmp_path / "out.jsonl")
    assert made["matches"].to_pylist()[0][1] == {"emoji": "⚾", "name": "baseball", "score": 0.5}
    # From elsewhere what is kept is text.
    run(tmp_path / "out.jsonl", tmp_path / "again.parquet", keep=("x", "id"))
    again = pq.read_table(tmp_path / "again.parquet")
    assert again.select(["x", "id"]).to_pylist() == [
        {"x": "0.5", "id": "3"},
        {"x": None, "id": "4"},
    ]
    run(tmp_path / "in.parquet", tmp_path / "out.csv", **options)
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        assert next(csv.DictReader(file))["id"] == "3"


def test_an_empty_parquet_file(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    import pyarrow as pa

    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "in.parquet")
    assert run(tmp_path / "in.parquet", tmp_path / "out.parquet").texts == 0
    assert len(pq.read_table(tmp_path / "out.parquet")) == 0


@pytest.mark.parametrize("name", ["in.parquet.gz", "in.zip", "in.gz.tmp"])
def test_a_kind_that_cannot_be_read(name):
    with pytest.raises(InputError, match=r"cannot tell how to read '.*'; name a \.txt"):
        Job(name)


@pytest.mark.parametrize("name", ["out.parquet.gz", "out.gz", "out.jsonl.zip", "out.txt"])
def test_a_kind_that_cannot_be_written(tmp_path, name):
    (tmp_path / "in.txt").touch()
    with pytest.raises(InputError, match=r"cannot tell how to write '.*'; name a \.jsonl or"):
        Job(str(tmp_path / "in.txt"), tmp_path / name)


# What goes wrong


@pytest.mark.parametrize("suffix", suffixes())
def test_a_truncated_source(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK_TEXTS", 4)
    # Of digits that hardly repeat, so that half of the bytes hold about half of the texts.
    whole = packed("".join(f"{hash((i, 7)) % 10**15}\n" for i in range(20_000)).encode(), suffix)
    source, output = tmp_path / f"in.txt{suffix}", tmp_path / "out.jsonl"
    source.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=rf"'.*in\.txt\{suffix}' is damaged or cut off after line"):
        run(source, output)
    assert sorted(os.listdir(tmp_path)) == [source.name, "out.jsonl.part"]
    finished = len(ranked(tmp_path / "out.jsonl.part"))
    # When it is whole, the work goes on.
    source.write_bytes(whole)
    scorer = LengthScorer()
    assert run(source, output, resume=True, scorer=scorer).texts == 20_000
    assert sum(scorer.chunks) == 1 + 20_000 - finished if finished else 20_000
    assert len(ranked(output)) == 20_000


def test_a_truncated_parquet_source(tmp_path):
    pq = pytest.importorskip("pyarrow.parquet", reason="needs the extra parquet")
    import pyarrow as pa

    source = tmp_path / "in.parquet"
    pq.write_table(pa.table({"text": ["a"] * 1000}), source)
    source.write_bytes(source.read_bytes()[:-10])
    with pytest.raises(InputError, match=r"in\.parquet' is no Parquet file, or a damaged"):
        run(source, tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


class ChangingScorer(LengthScorer):
    """Adds to the source while its first chunk is ranked."""

    def __init__(self, source):
        super().__init__()
        self.source = source

    def rank(self, sentences, candidates, k):
        if not self.chunks:
            with open(self.source, "a") as file:
                file.write("more\n")
        return super().rank(sentences, candidates, k)


def test_a_source_that_changes_while_it_is_read(tmp_path):
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("a\nb\n")
    with pytest.raises(InputError, match=r"in\.txt' changed while it was read; .*--resume"):
        run(source, output, scorer=ChangingScorer(source))
    assert sorted(os.listdir(tmp_path)) == ["in.txt", "out.jsonl.part"]
    run(source, output, resume=True)
    assert texts(output) == ["a", "b", "more"]


def test_a_named_pipe_changes_all_the_time(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_text, args=("a\nb\n" * 9000,))
    writer.start()
    assert run(tmp_path / "pipe", tmp_path / "out.jsonl").texts == 18_000
    writer.join()


def test_resume_when_a_kept_column_changed(tmp_path, monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK_TEXTS", 2)
    source, output = tmp_path / "in.csv", tmp_path / "out.csv"
    source.write_text("id,text\n" + "".join(f"{i},a{i}\n" for i in range(6)))
    run(source, tmp_path / "whole.csv", keep=("id",))
    with pytest.raises(KeyboardInterrupt):
        run(source, output, scorer=InterruptedScorer(), keep=("id",))
    before = source.read_text()
    source.write_text(before.replace("3,a3", "33,a3"))
    with pytest.raises(InputError, match=r"another run: text 4 of '.*' is another by now"):
        run(source, output, resume=True, keep=("id",))
    source.write_text(before)
    with pytest.raises(InputError, match="is from another run"):
        run(source, output, resume=True)  # without what was kept
    run(source, output, resume=True, keep=("id",))
    assert output.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_resume_of_a_chunk_that_is_half_there_does_all_of_it_again(interrupted):
    # Scores depend, in their last digits, on the texts that are ranked together.
    part = interrupted / "out.jsonl.part"
    part.write_bytes(b"".join(part.read_bytes().splitlines(keepends=True)[:6]))
    scorer = LengthScorer()
    run(interrupted / "in.txt", interrupted / "out.jsonl", resume=True, scorer=scorer)
    assert scorer.chunks == [1, 4, 2]  # the recheck, the chunk, the rest


def test_chunks_are_the_same_after_resuming_anywhere(tmp_path, monkeypatch):
    # Long texts end chunks early; after every fourth text one ends anyway.
    monkeypatch.setattr(bulk, "CHUNK_TEXTS", 4)
    monkeypatch.setattr(bulk, "CHUNK_CHARACTERS", 10)

    class Noting(LengthScorer):
        def rank(self, sentences, candidates, k):
            self.chunks.append(sentences)
            return [self._rank(text, candidates, k) for text in sentences]

    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("".join("x" * (n % 7 * 2) + f"{n}\n" for n in range(11)))
    whole = Noting()
    run(source, tmp_path / "whole.jsonl", scorer=whole)
    # Characters: 1 + 3 + 5 + 7 | 9 + 11 | 13 | 1, the eighth text | 3 + 5 + 8.
    assert [len(chunk) for chunk in whole.chunks] == [4, 2, 1, 1, 3]
    lines = (tmp_path / "whole.jsonl").read_bytes().splitlines(keepends=True)
    for there in range(12):
        (tmp_path / "out.jsonl.part").write_bytes(b"".join(lines[:there]))
        scorer = Noting()
        run(source, output, scorer=scorer, resume=True, force=True)
        done = [n for n in range(6) if sum(map(len, whole.chunks[:n])) <= there][-1]
        recheck = scorer.chunks[:1] if done else []
        assert [len(chunk) for chunk in recheck] == [1] * len(recheck)
        assert scorer.chunks == [*recheck, *whole.chunks[done:]]
        assert output.read_bytes() == b"".join(lines)


# Memory


def test_no_more_is_read_than_is_ranked_and_written(tmp_path, tiny, monkeypatch):
    scorer = Scorer.load(tiny["folder"], threads=1)
    given, seen = [0], []
    line = " ".join(["i love pizza"] * 10) + "\n"

    class Lines(io.RawIOBase):
        def readable(self):
            return True

        def readinto(self, buffer):
            if given[0] == 40_000:
                return 0
            given[0] += 1
            buffer[: len(line)] = line.encode()
            return len(line)

    class Watched:
        def best_arrays(self, sentences, candidates, k):
            part = tmp_path / "out.csv.part"
            # Texts that were read and are not on the disk yet: this chunk, and buffers.
            seen.append(given[0] - sum(1 for _ in part.open("rb")))
            return scorer.best_arrays(sentences, candidates, k)

    stream = io.TextIOWrapper(io.BufferedReader(Lines()))
    monkeypatch.setattr(sys, "stdin", stream)
    tally = run("-", tmp_path / "out.csv", k=2, scorer=Watched(), candidates=tiny["codes"])
    assert tally.texts == 40_000 == given[0]
    assert len(seen) == 40  # 39 chunks of 1024 texts, and the rest
    assert max(seen) <= 2 * bulk.CHUNK_TEXTS
    with open(tmp_path / "out.csv", encoding="utf-8", newline="") as file:
        assert sum(1 for _ in csv.reader(file)) == 1 + 2 * 40_000


# Processes


LINES = "".join(f"good morning number {i}, {'pizza ' * (i % 9)}\n" for i in range(8_000))


def process(*arguments: str, limit: int | None = None, folder: Path) -> subprocess.Popen:
    def before() -> None:
        # A shell that starts the tests in the background lets its jobs ignore SIGINT.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.Popen(
        [sys.executable, "-m", "sqam.cli", "rank", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=before,
        start_new_session=True,
    )


def ended(*arguments: str, limit: int | None = None, folder: Path) -> tuple[int, str, str]:
    with process(*arguments, limit=limit, folder=folder) as running:
        out, err = running.communicate(timeout=120)
    return running.returncode, out.decode(), err.decode()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A folder with a source and what an uninterrupted run makes of it."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "in.txt").write_text(LINES)
    assert ended("--input", "in.txt", "--output", "whole.jsonl", folder=folder) == (0, "", "")
    return folder


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_run_that_is_ended_and_resumed_gives_the_same_bytes(whole, tmp_path, number):
    (tmp_path / "in.txt").write_text(LINES)
    part = tmp_path / "out.jsonl.part"
    with process("--input", "in.txt", "--output", "out.jsonl", folder=tmp_path) as running:
        deadline = time.monotonic() + 60
        while not (part.exists() and part.stat().st_size > 300_000):
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        running.send_signal(number)
        out, err = running.communicate(timeout=60)
    assert running.returncode == (130 if number == signal.SIGINT else -number)
    assert (out, err) == (b"", b"")
    assert sorted(os.listdir(tmp_path)) == ["in.txt", "out.jsonl.part"]
    assert part.stat().st_size < (whole / "whole.jsonl").stat().st_size
    resumed = ended("--input", "in.txt", "--output", "out.jsonl", "--resume", folder=tmp_path)
    assert resumed == (0, "", "")
    assert (tmp_path / "out.jsonl").read_bytes() == (whole / "whole.jsonl").read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["in.txt", "out.jsonl"]


@pytest.mark.parametrize(("name", "limit"), [("out.jsonl", 1_000_000), ("out.csv", 1_000_000)])
def test_a_disk_that_fills(tmp_path, name, limit):
    # Files may not grow beyond the limit. A .csv has each text ten times, so its .part fits.
    text = LINES if name == "out.jsonl" else "".join(f"{i} {'pizza ' * 40}\n" for i in range(600))
    (tmp_path / "in.txt").write_text(text)
    arguments = ["--input", "in.txt", "--output", name]
    code, out, err = ended(*arguments, limit=limit, folder=tmp_path)
    assert (code, out) == (2, "")
    file = "out.jsonl.part" if name == "out.jsonl" else name
    assert re.fullmatch(rf"sqam: error: cannot write '{file}': File too large; .*--resume\n", err)
    assert sorted(os.listdir(tmp_path)) == ["in.txt", f"{name}.part"]
    assert ended(*arguments, "--resume", folder=tmp_path) == (0, "", "")
    assert sorted(os.listdir(tmp_path)) == ["in.txt", name]
    if name == "out.jsonl":
        assert len((tmp_path / name).read_bytes().splitlines()) == 8_000


# Several processes


class Slow(LengthScorer):
    """Takes longer for every other chunk, so that later ones are ready first."""

    def best_arrays(self, sentences, candidates, k):
        time.sleep(0.01 if len(sentences[0]) % 2 else 0)
        return super().best_arrays(sentences, candidates, k)


class Failing(LengthScorer):
    """Refuses a text."""

    def best_arrays(self, sentences, candidates, k):
        if sentences == ["bad"]:
            raise InputError("bad; mend it")
        return super().best_arrays(sentences, candidates, k)


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv"])
def test_workers_change_no_byte(tmp_path, monkeypatch, name):
    monkeypatch.setattr(bulk, "CHUNK_TEXTS", 3)
    source = tmp_path / "in.txt"
    # A text without a known word, one that is not valid Unicode, and a last chunk of one text.
    source.write_bytes(b"".join(b"x" * (n % 9) + b"\n" for n in range(29)) + b"?\n\xffab\n")
    one = run(source, tmp_path / f"one-{name}")
    several = run(source, tmp_path / name, scorer=Slow(), workers=3)
    assert (tmp_path / name).read_bytes() == (tmp_path / f"one-{name}").read_bytes()
    assert one == several and several.texts == 31 and several.replaced == 1


def test_workers_write_what_came_before_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK_TEXTS", 2)
    source, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    source.write_text('{"text": "a"}\n' * 6 + "no JSON\n")
    with pytest.raises(InputError, match=r"line 7 of .* is no JSON"):
        run(source, output, workers=4)
    assert texts(tmp_path / "out.jsonl.part") == ["a"] * 6


def test_workers_leave_no_gap_when_one_fails(tmp_path, monkeypatch):
    monkeypatch.setattr(bulk, "CHUNK_TEXTS", 1)
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("a\nb\nbad\nc\nd\n")
    with pytest.raises(InputError, match="mend it"):
        run(source, output, scorer=Failing(), workers=2)
    assert texts(tmp_path / "out.jsonl.part") == ["a", "b"]
    run(source, output, workers=2, resume=True)
    assert texts(output) == ["a", "b", "bad", "c", "d"]


def test_no_workers(tmp_path):
    (tmp_path / "in.txt").touch()
    with pytest.raises(InputError, match="0 workers"):
        Job(str(tmp_path / "in.txt"), tmp_path / "out.jsonl", workers=0)


def test_workers_say_what_is_wrong_with_the_model(tmp_path):
    (tmp_path / "in.txt").write_text("a\n")
    scorer = bulk.late_scorer(tmp_path / "none", threads=1)
    with pytest.raises(InputError, match=r"no model at '.*none'"):
        run(tmp_path / "in.txt", tmp_path / "out.jsonl", scorer=scorer, workers=2)


def test_a_late_scorer_is_a_scorer_that_can_be_sent(tiny):
    late = bulk.late_scorer(tiny["folder"], threads=1)
    at_once = Scorer.load(tiny["folder"], threads=1)
    given = ["i love pizza", "good morning"], tiny["codes"], 3
    for scorer in (late, copy.copy(late), copy.deepcopy(late), copy.deepcopy(at_once)):
        assert scorer.best(*given) == at_once.best(*given)
    with pytest.raises(AttributeError, match="no_such"):
        _ = late.no_such  # type: ignore[attr-defined]


SEVERAL = ["--input", "in.txt", "--output", "out.jsonl", "--workers", "2"]


@pytest.fixture(scope="module")
def longer(tmp_path_factory) -> Path:
    """A folder with a source and what one process makes of it."""
    folder = tmp_path_factory.mktemp("longer")
    (folder / "in.txt").write_text(LINES * 3)
    one = ["--input", "in.txt", "--output", "out.jsonl", "--workers", "1"]
    assert ended(*one, folder=folder) == (0, "", "")
    return folder


def workers_of(process: int) -> list[int]:
    """The processes that do its work; there is one that cleans up after them as well."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    commands = {int(child): Path(f"/proc/{child}/cmdline").read_bytes() for child in children}
    return [child for child, command in commands.items() if b"spawn_main" in command]


def deaf(pid: int) -> bool:
    """Whether a process has blocked SIGINT."""
    status = Path(f"/proc/{pid}/status").read_text()
    blocked = re.search(r"^SigBlk:\s+([0-9a-f]+)$", status, re.MULTILINE)
    assert blocked is not None
    return bool(int(blocked[1], 16) >> (signal.SIGINT - 1) & 1)


def begun(running: subprocess.Popen, part: Path) -> None:
    """Wait until there are results."""
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size):
        assert running.poll() is None and time.monotonic() < deadline
        time.sleep(0.002)


def gone(processes: list[int]) -> bool:
    deadline = time.monotonic() + 60
    while any(Path(f"/proc/{process}").exists() for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def test_workers_of_the_command_change_no_byte(longer, tmp_path):
    (tmp_path / "in.txt").write_text(LINES * 3)
    assert ended(*SEVERAL, folder=tmp_path) == (0, "", "")
    assert (tmp_path / "out.jsonl").read_bytes() == (longer / "out.jsonl").read_bytes()


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are found in /proc")
@pytest.mark.parametrize("end", ["Ctrl-C", "the command is killed", "a worker is killed"])
def test_workers_end_with_the_command_and_it_resumes(longer, tmp_path, end):
    (tmp_path / "in.txt").write_text(LINES * 3)
    with process(*SEVERAL, folder=tmp_path) as running:
        begun(running, tmp_path / "out.jsonl.part")
        workers = workers_of(running.pid)
        assert len(workers) == 2
        assert all(map(deaf, workers))
        if end == "Ctrl-C":  # a terminal sends it to all
            os.killpg(running.pid, signal.SIGINT)
        else:
            os.kill(running.pid if end == "the command is killed" else workers[0], signal.SIGKILL)
        out, err = running.communicate(timeout=60)
    assert gone(workers)
    code = {"Ctrl-C": 130, "the command is killed": -signal.SIGKILL, "a worker is killed": 2}[end]
    assert (running.returncode, out) == (code, b"")
    if end == "a worker is killed":
        assert re.fullmatch(rb"sqam: error: a process .* was killed, .* --resume, [^\n]*\n", err)
    elif end == "Ctrl-C":
        assert err == b""
    else:  # Python's own cleaner may tell what it cleans up
        assert b"Traceback" not in err
    assert sorted(os.listdir(tmp_path)) == ["in.txt", "out.jsonl.part"]
    assert ended(*SEVERAL, "--resume", folder=tmp_path) == (0, "", "")
    assert (tmp_path / "out.jsonl").read_bytes() == (longer / "out.jsonl").read_bytes()
