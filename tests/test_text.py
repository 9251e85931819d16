"""The tokenizer: what each kind of writing becomes, and that nothing breaks it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.errors import InputError
from sqam.text import MAX_CHARACTERS, Vocabulary, pad, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Congrats on the new job!", "congrats on the new job !"),
        ("let's play", "let 's play"),
        ("I don’t know", "i do n't know"),
        ("CAN'T won't cannot", "ca n't wo n't can not"),
        ("dont im youre", "do n't i 'm you 're"),
        ("she's John's", "she 's john 's"),
        ("well-known e-mail", "well-known e-mail"),
        ("see https://a.org/x?y=1 or www.b.com or me@c.net now", "see or or now"),
        ("@user thanks @Some_One", "thanks"),
        ("#MondayMood #happy #top10 #snake_case", "monday mood happy top 10 snake case"),
        ("3.5 km, 1,000 at 10:30", "3.5 km 1,000 at 10:30"),
        ("wow... really?! ;", "wow ... really ? !"),
        ("nice :) so :-( and <3", "nice smile so sad and love"),
        ("at 3:00)", "at 3:00"),
        ("I 💔 this", "i broken heart this"),
        ("👍🏽 ok ❤", "thumbs up ok red heart"),
        ("ｆｕｌｌ ｗｉｄｔｈ", "full width"),
        ("tab\tand\x00control\x07\x1b[31m", "tab and control 31 m"),
        ("half \ud83d a pair", "half a pair"),
        ("naïve café", "naïve café"),
        ("", ""),
        (" \n\t ", ""),
        ("… — * / ( )", "..."),
    ],
)
def test_tokenize(text, tokens):
    assert tokenize(text) == tokens.split()


def test_emoticon_inside_a_word_is_none():
    assert tokenize("http:// a:b b:) xdy") == ["http", "a", "b", "b", "xdy"]


@given(st.text(st.characters(codec=None), max_size=80))
def test_any_text_gives_plain_lower_case_tokens(text):
    for token in tokenize(text):
        assert token and not any(c.isspace() for c in token)
        assert token == token.lower()


def test_a_megabyte_is_read_to_its_limit():
    text = "word " * 250_000
    assert len(tokenize(text)) == MAX_CHARACTERS // len("word ")
    # 20,000 = 2,857 * 7 + 1: the cut would leave an "a", which is another word.
    assert set(tokenize("abcdef " * 100_000)) == {"abcdef"}
    assert len(tokenize("a" * 1_000_000)) == 1
    assert tokenize(" " * 1_000_000) == []


@pytest.mark.parametrize("value", [None, 3, b"bytes", ["list"]])
def test_what_is_no_string_is_refused(value):
    with pytest.raises(InputError, match="must be a string"):
        tokenize(value)


@pytest.fixture
def vocabulary():
    return Vocabulary(["so", "good", "well", "known", "soon", "cool", "n't", "is"])


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("so good", [0, 1]),
        ("sooooo goooood", [0, 1]),  # "soo" is unknown, "so" known; "good" is known with two o
        ("coooool", [5]),
        ("well-known", [2, 3]),  # not known whole, so by its parts
        ("well-unheard", [2]),
        ("isn't", [7, 6]),
        ("unheard of", []),
        ("", []),
    ],
)
def test_ids(vocabulary, text, rows):
    assert vocabulary.ids(text) == rows


def test_ids_stop_at_the_limit_of_known_words(vocabulary):
    assert vocabulary.ids("unheard so of good is", limit=2) == [0, 1]


def test_vocabulary_of_nothing_or_with_a_word_twice():
    with pytest.raises(InputError):
        Vocabulary([])
    with pytest.raises(InputError):
        Vocabulary(["a", "b", "a"])


def test_vocabulary_file(tmp_path, vocabulary):
    path = tmp_path / "vocabulary.txt"
    path.write_text("so\ngood\n\x85odd\n", "utf-8")
    assert Vocabulary.load(path).words == ["so", "good", "\x85odd"]
    assert len(Vocabulary.load(path)) == 3 and "good" in vocabulary and "bad" not in vocabulary
    path.write_bytes(b"\xff\xfe\n")
    with pytest.raises(InputError, match="vocabulary"):
        Vocabulary.load(path)
    with pytest.raises(InputError, match="vocabulary"):
        Vocabulary.load(tmp_path / "missing.txt")


def test_pad():
    # Rows 4, 0 become ids 5, 1; the third text loses what is beyond three tokens.
    found = pad([[4, 0], [], [1, 2, 3, 4]], 3)
    assert found.dtype == np.int32
    assert found.tolist() == [[5, 1, 0], [0, 0, 0], [2, 3, 4]]
