"""The command ``sqam emojify`` as people call it, on the models that ship."""

import functools
import json
import os
import re
from pathlib import Path

import pytest

from emoji_vae.locations import asset
from sqam.emojify import MIN_SCORE

TEXT = "Congratulations on the promotion! Lets get coffee and talk. Love you!"
FIVE = ["❤️", "⚾", "😄", "😞", "🍴"]
NOTE = "got no emoji (no known word, none reaches --min-score, or one is there already)\n"


@pytest.fixture
def sqam(sqam):
    """Run ``sqam emojify``, as the fixture of that name runs ``sqam``."""
    return functools.partial(sqam, "emojify")


def test_the_example(sqam):
    code, out, err = sqam(TEXT)
    assert (code, err) == (0, "")
    assert re.fullmatch(r"(.+!) (\S+) (Lets.+\.) ☕ (Love you!) (\S+)\n", out)


def test_options(sqam):
    _, out, _ = sqam(TEXT, "--max-per-sentence", "2", "--min-score", "-1", "--among", *FIVE)
    found = re.fullmatch(r".+! (\S+) (\S+) Lets.+\. (\S+) (\S+) Love you! (\S+) (\S+)\n", out)
    assert found is not None and set(found.groups()) <= set(FIVE)
    assert sqam(TEXT, "--min-score", "1")[:2] == (0, TEXT + "\n")
    assert sqam(TEXT, "--min-score", str(MIN_SCORE)) == sqam(TEXT)
    assert sqam(TEXT, "--model", str(asset("models"))) == sqam(TEXT)


def test_json(sqam):
    _, out, err = sqam(TEXT, "zzxqvw", "--json", "--min-score", "0")
    first, second = (json.loads(line) for line in out.splitlines())
    assert list(first) == ["text", "emojified", "insertions"]
    assert [list(insertion) for insertion in first["insertions"]] == [
        ["position", "emoji", "name", "score"]
    ] * 3
    assert first["text"] == TEXT and f"talk. {first['insertions'][1]['emoji']}" in out
    assert second == {"text": "zzxqvw", "emojified": "zzxqvw", "insertions": []}
    assert err == f"sqam: note: of 2 texts 1 {NOTE}"


@pytest.mark.parametrize(
    "text", ["", "  \n", "zzxqvw", "\x00\x01", "I love pizza 🍕", "zzxqvw " * 150_000]
)
def test_what_is_left_alone(sqam, text):
    assert sqam(text) == (0, text + "\n", f"sqam: note: of 1 texts 1 {NOTE}")


def test_odd_texts(sqam):
    odd = "lo\x00ve \x1b[31mpizza\x07 \u202eyou."
    code, out, _ = sqam(odd, "--min-score", "-1")
    assert code == 0 and re.fullmatch(re.escape(odd) + r" \S+\n", out)
    code, out, err = sqam("love \udcff pizza", "--min-score", "-1")
    assert code == 0 and re.fullmatch("love \ufffd pizza \\S+\n", out)
    assert "1 are not valid Unicode" in err
    assert sqam("-love")[0] == 2  # a text that begins with a dash goes after --
    assert sqam("--", "- I love pizza.")[1].startswith("- I love pizza. ")


def test_a_line_of_a_megabyte(sqam):
    sentence = f"I love pizza{', so very much' * 70}."
    count = 1_000_000 // len(sentence)
    Path("in.txt").write_text(f"{sentence} " * count + "\r\nWe won!", newline="")
    options = ["--among", "🍕", "--min-score", "-1"]
    assert sqam("--input", "in.txt", "--output", "out.txt", *options) == (0, "", "")
    expected = f"{sentence} 🍕 " * count + "\r\nWe won! 🍕"
    assert Path("out.txt").read_bytes().decode() == expected


def test_files(sqam):
    Path("in.txt").write_bytes("Love you!\r\n\tzzxqvw\n🎉\nLets get coffee. \n".encode())
    code, lines, err = sqam("--input", "in.txt")
    assert code == 0 and err == f"sqam: note: of 4 texts 2 {NOTE}"
    assert re.fullmatch(r"Love you! \S+\r?\n\tzzxqvw\n🎉\nLets get coffee\. ☕ \n", lines)
    assert sqam("--input", "in.txt", "--output", "out.txt")[0] == 0
    assert Path("out.txt").read_bytes().decode().replace("\r", "") == lines.replace("\r", "")
    assert b"\r\n\tzzxqvw" in Path("out.txt").read_bytes()
    assert sqam("--input", "in.txt", "--output", "out.txt")[0] == 2  # it is there
    assert sqam("--input", "in.txt", "--output", "out.txt", "--force")[0] == 0

    _, objects, _ = sqam("--input", "in.txt", "--json")
    assert sqam("--input", "in.txt", "--output", "out.jsonl")[0] == 0
    assert Path("out.jsonl").read_text("utf-8") == objects
    assert [json.loads(line)["text"] for line in objects.splitlines()] == [
        "Love you!",
        "\tzzxqvw",
        "🎉",
        "Lets get coffee. ",
    ]
    # The texts of objects, emojified, are those of the lines.
    assert sqam("--input", "out.jsonl", "--column", "emojified", "--output", "two.csv")[0] == 0
    rows = Path("two.csv").read_text("utf-8").splitlines()
    assert rows[0] == "text,emojified"
    # Each sentence ends with an emoji by now, so nothing is added.
    assert all(row.split(",")[0] == row.split(",")[1] for row in rows[1:] if '"' not in row)
    assert sorted(os.listdir()) == ["in.txt", "out.jsonl", "out.txt", "two.csv"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to emojify"),
        (["a", "--max-per-sentence", "0"], "'0' is not a whole number of at least 1"),
        (["a", "--max-per-sentence", "-1"], "whole number|expected one argument"),
        (["a", "--max-per-sentence", "1.5"], "'1.5' is not a whole number"),
        (["a", "--min-score", "1.01"], "'1.01' is no cosine; give a number from -1 to 1"),
        (["a", "--min-score", "-2"], "'-2' is no cosine"),
        (["a", "--min-score", "nan"], "'nan' is no cosine"),
        (["a", "--min-score", "inf"], "'inf' is no cosine"),
        (["a", "--min-score", "much"], "'much' is no cosine"),
        (["a", "--min-score", "9" * 5000], "is no cosine"),
        (["a", "--among"], "expected at least one argument"),
        (["a", "--among", "x"], "'x' is no emoji"),
        (["a", "--among", "😄", "\udcff"], "is no emoji"),
        (["a", "--pictures", "a.png"], "unrecognized arguments"),
        (["a", "--input", "in.txt"], "both a TEXT .* and --input"),
        (["a", "--output", "a.txt"], "--output is for --input"),
        (["a", "--resume"], "--resume is for --input"),
        (["--input", "none.txt"], "there is no file 'none.txt'"),
        (["--input", "in.txt", "--column", "c"], "lines of text have no column 'c'"),
        (["--input", "in.txt", "--output", "a.doc"], r"name a \.txt, \.jsonl or \.csv file"),
        (["--input", "in.txt", "--output", "a.txt", "--json"], r"name a \.jsonl or \.csv file"),
        (["--input", "in.csv", "--output", "a.txt"], "may have several lines"),
        (["--input", "in.csv", "--column", "c"], "no column 'c'; .* it has: 'id', 'text'"),
        (["--input", "in.txt", "--output", "no/a.txt"], "cannot write 'no/a.txt.part'"),
        (["a", "--model", "none"], "'none' holds no folder"),
    ],
)
def test_bad_options(sqam, arguments, message):
    Path("in.txt").write_text("a\n")
    Path("in.csv").write_text("id,text\n1,a\n")
    code, out, err = sqam(*arguments)
    assert (code, out) == (2, "")
    assert re.fullmatch(r"sqam: error: [^\n]+\n", err) and len(err) < 1000
    assert re.search(message, err)
    assert sorted(os.listdir()) == ["in.csv", "in.txt"]


def test_help(sqam, capfd):
    with pytest.raises(SystemExit) as stop:
        sqam("--help")
    assert not stop.value.code
    out = " ".join(capfd.readouterr().out.split())
    assert f"(default: {MIN_SCORE})" in out
    assert "examples:" in out and "exit codes:" in out
    assert "it ends with one" in out
