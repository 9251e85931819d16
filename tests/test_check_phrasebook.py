"""Checking a phrasebook: each fault is found and told by its place."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import phrases
from pipelines.check_phrasebook import NEAR, Line, coverage, main, read, repeated

GOOD = {"text": "a day that nobody here forgets", "emojis": ["😄", "🎉"]}


@pytest.fixture
def book(tmp_path, monkeypatch):
    """Make a phrasebook of one file with these lines; return its path."""
    monkeypatch.setattr(phrases, "asset", tmp_path.joinpath)

    def write(*lines, folder=phrases.BOOK):
        path = tmp_path / folder / "book.jsonl"
        path.parent.mkdir(exist_ok=True)
        texts = (line if isinstance(line, str) else json.dumps(line) for line in lines)
        path.write_text("".join(f"{text}\n" for text in texts), "utf-8")
        return path

    return write


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "no JSON"),
        ("[]", "must have the keys"),
        ({"emojis": ["😄", "🎉"], "text": "hi"}, "in this order"),
        ({"text": 3, "emojis": ["😄", "🎉"]}, "must be a string"),
        ({"text": "hi", "emojis": "😄🎉"}, "must be a string and emojis a list"),
        ({"text": " ", "emojis": ["😄", "🎉"]}, "has no word"),
        ({"text": "long " * 29, "emojis": ["😄", "🎉"]}, "145 characters, more than 140"),
        ({"text": "hi", "emojis": ["😄", "❤"]}, "no emoji of the catalogue"),
        ({"text": "hi", "emojis": ["😄", 5]}, "no emoji of the catalogue"),
        ({"text": "hi", "emojis": ["😄"]}, "1 emojis; give 2 to 6"),
        ({"text": "hi", "emojis": ["😄", "😄"]}, "twice"),
    ],
)
def test_a_wrong_line_is_told(book, capsys, line, said):
    book(GOOD, line)
    assert main([]) == 2
    told = capsys.readouterr()
    assert "book.jsonl:2: " in told.out and said in told.out
    assert told.err == (
        "python -m pipelines.check_phrasebook: error: 1 lines are wrong; correct or remove them\n"
    )


def test_what_is_counted(book, capsys):
    book(GOOD, {"text": "I don't care", "emojis": ["😄", "🙄"]})
    assert main(["--seldom", "2"]) == 0
    out = capsys.readouterr().out
    # "a day that nobody here forgets" has 6 tokens, "i do n't care" 4; both negate.
    assert out.startswith("2 lines, ") and "2 with a negation; 10 tokens" in out
    assert "1 of 1751 emojis are the best answer at least 1 times" in out
    assert "😀 0" in out and "😄" not in out


def test_lessons_are_checked_too_and_train(book, capsys):
    text = next(f"text {i}" for i in range(99) if phrases.part(f"text {i}") == "held-out")
    book(GOOD)
    book({**GOOD, "text": text}, GOOD, folder=phrases.LESSONS)
    assert main([]) == 2
    out = capsys.readouterr().out
    assert out.startswith("3 lines, 3 train\n")
    told = f"{phrases.LESSONS}/book.jsonl:2: says the same as {phrases.BOOK}/book.jsonl:1"
    assert told in out


def test_another_file_is_checked_against_the_book(book, tmp_path_factory, capsys):
    path = book(GOOD)
    more = tmp_path_factory.mktemp("more") / "new.jsonl"
    more.write_text(json.dumps({**GOOD, "text": "A day that nobody here FORGETS!"}), "utf-8")
    assert main([str(more)]) == 2
    told = f"/new.jsonl:1: says the same as {path.parent.name}/book.jsonl:1"
    assert told in capsys.readouterr().out
    assert main([str(path)]) == 0  # its own file is not read twice


def test_an_unreadable_file(book, tmp_path, capsys):
    book(GOOD)
    assert main([str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl" in capsys.readouterr().err
    good, wrong = read(book(GOOD, "{"))
    assert [line.emojis for line in good] == [("😄", "🎉")] and len(wrong) == 1


def line(text, place=""):
    return Line(place or text, text, tuple(text.split()), ("😄", "🎉"))


def test_near_duplicates_by_hand():
    # a b c d and a b c d e share 4 of 5 words, 0.8; a b c and a b c d 3 of 4, but a text of three
    # words has to be the same; a b c d and a b x y share 2 of 6.
    texts = ["a b c d", "a b c d e", "a b c", "a b x y", "c b a d", "a b c"]
    found = [(one.text, other.text) for one, other in repeated([line(text) for text in texts])]
    assert found == [
        ("a b c d e", "a b c d"), ("c b a d", "a b c d"), ("a b c", "a b c"),
    ]  # fmt: skip
    assert coverage([line("a"), line("b")]) == {"😄": 2}


@given(st.lists(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=8), max_size=12))
def test_every_near_duplicate_is_found(texts):
    lines = [line(" ".join(text), str(at)) for at, text in enumerate(texts)]
    found = {one.place for one, _ in repeated(lines)}
    kept: list[Line] = []
    for one in lines:
        words = set(one.tokens)
        again = any(
            one.tokens == other.tokens
            or (
                len(words) >= 4
                and len(words & set(other.tokens)) >= NEAR * len(words | set(other.tokens))
            )
            for other in kept
        )
        assert (one.place in found) == again
        if not again:
            kept.append(one)
