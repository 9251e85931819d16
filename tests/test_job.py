"""Files of texts in, files of results out; the scorer here ranks by the length of a text."""

import csv
import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import CANDIDATES, LengthScorer

from emoji_vae.errors import InputError
from sqam import bulk
from sqam.job import Job


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
        ['a\r"b", c', "1", "🍴", "name of 🍴", "0.1667"],
        ['a\r"b", c', "2", "😄", "name of 😄", "0.1429"],
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


@pytest.mark.parametrize("spoil", [other_texts, fewer_texts, no_json, no_result])
def test_resume_of_another_run_is_refused(interrupted, spoil):
    spoil(interrupted)
    before = (interrupted / "out.jsonl.part").read_bytes()
    with pytest.raises(InputError, match=r"is from another run: .*; leave out --resume"):
        run(interrupted / "in.txt", interrupted / "out.jsonl", resume=True)
    assert (interrupted / "out.jsonl.part").read_bytes() == before


@pytest.mark.parametrize("options", [{"k": 3}, {"candidates": ["🍴", "😄"]}])
def test_resume_with_other_options_is_refused(interrupted, options):
    with pytest.raises(InputError, match="is from another run"):
        run(interrupted / "in.txt", interrupted / "out.jsonl", resume=True, **options)


def test_progress_on_a_terminal(tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_text("a\nb\n")
    run(source, output)
    assert "100%" in terminal.getvalue()
    assert texts(output) == ["a", "b"]
