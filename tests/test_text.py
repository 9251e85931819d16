"""The tokenizer: what each kind of writing becomes, and that nothing breaks it."""

import itertools
import time

import emoji
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.errors import InputError
from sqam import slang
from sqam.text import _PERHAPS_EMOJIS, MAX_CHARACTERS, Vocabulary, locate, pad, tokenize


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("Congrats on the new job!", "congratulations on the new job !"),
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


@pytest.mark.parametrize("unit", ["@", "a@", "'", "-", "a", "é…", "\u0301", "#aB", "😂", "\ufdfa"])
def test_no_line_takes_long(unit):
    start = time.process_time()
    tokenize(unit * MAX_CHARACTERS)
    locate(unit * MAX_CHARACTERS)
    assert time.process_time() - start < 10  # a second even on a slow machine; it was an hour


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("a@b.c", ""),
        ("(a@b.c) a@b.c.d/e f@g", "e f g"),
        ("@b.c @@b.c a@.c a@b. a@b", "c a c a b a b"),
        ("so:a@b/www.c.d;e so:http://a@b.c", "e"),
        ("x@y.z@", ""),
    ],
)
def test_addresses(text, tokens):
    assert tokenize(text) == tokens.split()


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Congrats on it!", "congratulations=Congrats on=on it=it !=!"),
        ("I’m, don't DONT cannot", "i=I 'm=’m do=do n't=n't do=DO n't=NT can=can not=not"),
        ("well-known :( <3", "well-known=well-known sad=:( love=<3"),
        ("idk Y'all", "i=idk do=idk n't=idk know=idk you=Y'all all=Y'all"),
        ("#MondayMood #a_b2", "monday=#Monday mood=Mood a=#a_b b=#a_b 2=2"),
        ("www.b.com @me x@y.z now", "now=now"),
        ("so💔sad 👍🏽!", "so=so broken=💔 heart=💔 sad=sad thumbs=👍🏽 up=👍🏽 !=!"),
        ("wow… ½ ok", "wow=wow ...=… 1=½ 2=½ ok=ok"),
        ("ｆｕｌｌ ｗｉｄｔｈ！", "full=ｆｕｌｌ width=ｗｉｄｔｈ！ !=ｗｉｄｔｈ！"),
        ("cafe\u0301s İzmir", "cafés=cafe\u0301s i=İ zmir=zmir"),
        ("a\u00a0b\x1b[31m", "a=a b=b 31=31 m=m"),
        ("", ""),
    ],
)
def test_locate(text, pieces):
    expected = [tuple(pair.split("=")) for pair in pieces.split()]
    assert [(token, text[start:end]) for token, start, end in locate(text)] == expected


ODD = [
    *("İ", "Σ", "ﬁ", "…", "ｶ\uff9e", "\u1161", "\u0301", "\u200d", "\ufe0f", "\ud83d", "🏽", "🇩🇪"),
    *("👩‍👩‍👧", "1️⃣", "#aBc1", "@you", "a@b.c", "www.", "don't", "im", "’", "-", ":)", "<3", " "),
]


@given(st.lists(st.sampled_from(ODD) | st.text(st.characters(codec=None), max_size=5)).map("".join))
def test_tokens_come_from_where_they_are_located(text):
    located = locate(text)
    assert [token for token, _, _ in located] == tokenize(text)
    for before, after in itertools.pairwise(located):
        assert before.start <= after.start and before.end <= after.end
    for _, start, end in located:
        assert 0 <= start < end <= len(text)


def test_what_emojis_are_written_with_is_known():
    for sequence in emoji.EMOJI_DATA:
        assert _PERHAPS_EMOJIS.fullmatch(sequence), sequence


def test_one_letter_grows_in_lower_case():
    assert [c for c in map(chr, range(0x110000)) if len(c.lower()) > 1] == ["İ"]


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


ENGLISH = [
    "a", "the", "in", "good", "life", "week", "such", "go", "goo", "day", "monday", "raisins",
    "scrub", "agree", "cutie", "winning", "story", "dress", "assault", "u.s.", "usa", "terrified",
    "friends",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        # Another form, the likelier ones first: "raisin" is no "raising", of which none is known.
        ("raisin scrubbing agreed", "raisins scrub agree"),
        ("cutiee winnin stories dresses", "cutie winning story dress"),
        # Words written together. "as" is not known, and letters alone are no words.
        ("#suchagoodweek #mondaygoodlife", "such a good week monday good life"),
        ("aaday asgood", ""),
        # A slip: a letter too few, swapped, another, too many; not in the first one, not two.
        ("assult freinds terrifed", "assault friends terrified"),
        ("asault essault aslt", "assault"),
        # Short words have too many neighbours: "goot" is left alone, and "week" is none of "wek".
        ("goot wek", ""),
        ("gooooo", "go"),  # more frequent than "goo"
        ("U.S. u.s USA U.S.A. d.c.", "u.s. u.s. usa usa"),
    ],
)
def test_what_is_unknown_is_read_as_what_is_near(text, words):
    read = Vocabulary(ENGLISH).read(text)
    assert [word.word for word in read if word.row is not None] == words.split()


def test_a_split_token_keeps_its_places():
    # A mended slip has the piece as it is written, shorter or longer than the word.
    text = "SuchagoodWeek sooo-good Assult terrifedd-day"
    read = [(w.word, text[w.start : w.end]) for w in Vocabulary(ENGLISH).read(text)]
    assert read == [
        ("such", "Such"), ("a", "a"), ("good", "good"), ("week", "Week"), ("sooo", "sooo"),
        ("good", "good"), ("assault", "Assult"), ("terrifedd", "terrifedd"), ("day", "day"),
    ]  # fmt: skip


@given(st.text(alphabet="aegdlnoswk.'-", max_size=60))
def test_any_word_is_read_alike_by_ids_and_read(text):
    vocabulary = Vocabulary(ENGLISH)
    rows = [word.row for word in vocabulary.read(text) if word.row is not None]
    assert rows == vocabulary.ids(text)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("idk, ily", "i do n't know i love you"),
        ("gr8 2nite b4 b44", "great tonight before b 44"),
        ("Y'ALL smh rn", "you all shaking my head right now"),
        ("Made in the U.S.A. at 9 a.m.", "made in the u.s.a. at 9 a.m."),
    ],
)
def test_chat_stands_for_words(text, tokens):
    assert tokenize(text) == tokens.split()


def test_what_stands_for_an_abbreviation_is_words_alone():
    for written, words in slang.STANDS_FOR.items():
        assert tokenize(written) == list(words), written
        # Nothing stands for what stands for something else.
        assert not set(words) & set(slang.STANDS_FOR), written


def test_ids_stop_at_the_limit_of_known_words(vocabulary):
    assert vocabulary.ids("unheard so of good is", limit=2) == [0, 1]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("Sooooo GOOD", "so=Sooooo=0 good=GOOD=1"),
        ("well-unheard, isn't", "well=well=2 unheard=unheard= is=is=7 n't=n't=6"),
        ("well-known-so", "well=well=2 known=known=3 so=so=0"),
        ("🎃 cool", "jack=🎃= o=🎃= lantern=🎃= cool=cool=5"),
        ("", ""),
    ],
)
def test_read(vocabulary, text, read):
    found = [
        f"{word}={text[start:end]}={'' if row is None else row}"
        for word, start, end, row in vocabulary.read(text)
    ]
    assert found == read.split()


def test_reading_ends_with_the_last_word_that_counts(vocabulary):
    read = vocabulary.read("unheard so of good of is", limit=2)
    assert [word.word for word in read] == ["unheard", "so", "of", "good"]
    assert [word.word for word in vocabulary.read("so of", limit=2)] == ["so", "of"]
    assert vocabulary.read("so", limit=0) == []


@given(
    st.lists(
        st.sampled_from(["so", "soon", "coool", "well-known", "x-is", "isn't", "-", " ", "é"])
    ),
    st.none() | st.integers(0, 5),
)
def test_read_gives_the_rows_of_ids(pieces, limit):
    vocabulary = Vocabulary(["so", "good", "well", "known", "soon", "cool", "n't", "is"])
    text = "".join(pieces)
    rows = [word.row for word in vocabulary.read(text, limit) if word.row is not None]
    assert rows == vocabulary.ids(text, limit)


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
