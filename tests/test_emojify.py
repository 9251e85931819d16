"""Emojis after sentences: where they go, what is left alone, and that nothing else changes."""

import io
import json
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from sqam import bulk
from sqam.emojify import MIN_SCORE, Emojified, Emojifying, Insertion, check, emojify, sentences
from sqam.job import Job
from sqam.scorer import Match, Scorer

ROOT = Path(__file__).resolve().parent.parent


class EagerScorer:
    """Every sentence gets 🎉 (0.9), 🍕 (0.7) and 😄 (0.5), but for those with "zzx": none."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def rank(self, texts, candidates, k):
        assert not isinstance(texts, str)
        self.calls.append(list(texts))
        matches = [Match("🎉", "party", 0.9), Match("🍕", "pizza", 0.7), Match("😄", "grin", 0.5)]
        return [[] if "zzx" in text else matches[:k] for text in texts]


EAGER: Any = EagerScorer()
NONE: Any = None  # the eager scorer needs no candidates


def eager(text: str, *options, scorer: Any = None, **named) -> str:
    return str(emojify(text, scorer or EAGER, NONE, *options, **named))


def without(found: Emojified) -> str:
    """Take the insertions out of the text with emojis."""
    rest, pieces, end = found.emojified, [], 0
    position = 0  # in the text with emojis
    for insertion in found.insertions:
        inserted = f" {insertion.emoji}"
        kept = insertion.position - end
        pieces.append(rest[position : position + kept])
        position += kept + len(inserted)
        assert rest[position - len(inserted) : position] == inserted
        end = insertion.position
    return "".join([*pieces, rest[position:]])


# Sentences

SPLIT = {
    "plain": ["Congratulations on the promotion!", "Lets get coffee and talk.", "Love you!"],
    "no punctuation": ["no punctuation at all"],
    "lower case": ["i love you.", "do you love me?", "i hope so."],
    "abbreviations": [
        "Dr. Smith met Mr. Jones at 5 p.m. on Jan. 5.",
        "They talked, e.g. about the U.S. economy.",
        "J. K. Rowling wrote it.",
        "See you at 5 p.m.",
        "We go.",
    ],
    "ellipses": ["I don't know...", "Wait… what?", "Hmm...", "Maybe not."],
    "quotes": [
        'He said "I love you!" and left.',
        'She said, "Why?"',
        "“It is late.”",
        "We left.",
        "‘Go home!’ he cried.",
        "I said “hello. And bye.”",
        "« Oui. »",
        "„Ja.“",
        "Er ging.",
    ],
    "runs of marks": ["Yes!!!", "No?!?", "What!?", "OK."],
    "numbers and links": [
        "It costs $3.50.",
        "Version 2.0.1 is out.",
        "See www.example.com.",
        "Mail a.b@c.org now.",
    ],
    "joined words": ["I use ASP.NET daily.", "Node.JS is fine.", "ok!Great.", "Right."],
    "emoticons": [
        "I love it :) See you tomorrow :-( bye.",
        "Oh no :( I lost.",
        "My cat <3 you.",
        "Great! :D",
        "Fine ;)",
    ],
    "an emoticon in brackets": ["We won (at last :)) today.", "Good."],
    "emojis": ["I love pizza 🍕.", "It is great! 🎉", "Really? 😀😀 :D", "Fine! ❤️.", "Yes"],
    "an emoji before a word": ["Love you!❤️", "Bye! ❤️", "Bye"],
    "marks": ["**Bold text.**", "*Great!*", "_Fine._", "~~No.~~", "`x.y`.", "[link](a.b/c.d)."],
    "spaces before marks": ["Hi there !", "Ça va ?", "Oui !"],
    "Chinese": ["今天天气很好。", "我们去公园吧\uff01", "你好吗\uff1f"],
    "Japanese": ["「はい。」", "と言った。", "次。"],
    "Hindi": ["मैं खुश हूँ।", "तुम कैसे हो?"],
    "Arabic": ["هل أنت بخير؟", "نعم، شكرا.", "الحمد لله"],
    "Armenian": ["Բարեւ։", "Ինչպես ես։"],
    "Spanish": ["¿Cómo estás?", "¡Muy bien!", "Gracias."],
}


@pytest.mark.parametrize("expected", SPLIT.values(), ids=SPLIT)
def test_sentences(expected):
    joined = {"今天天气很好。", "「はい。」", "Love you!❤️"} & set(expected)
    text = ("" if joined else " ").join(expected)
    if "Love you!❤️" in joined:
        text = "Love you!❤️ Bye! ❤️Bye"
    assert [text[start:end] for start, end in sentences(text)] == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Happy birthday\nLove you", ["Happy birthday", "Love you"]),
        ("a letter that\ngoes on. Yes", ["a letter that\ngoes on.", "Yes"]),
        ("Title\n\nparagraph", ["Title", "paragraph"]),
        ("One\r\nTwo\rThree\u2028Four", ["One", "Two", "Three", "Four"]),
        ("- item one\n- item two\n* more", ["- item one", "- item two", "* more"]),
        ("# Heading\n1. One. Yes.\n2. Two.", ["# Heading", "1. One.", "Yes.", "2. Two."]),
        ("  Two.   spaces.\t Tab \t\n", ["Two.", "spaces.", "Tab"]),
        # What an emoji says at the start of a line is of that line.
        ("It is great!\n🎉 Party", ["It is great!", "🎉 Party"]),
        # An unclosed bracket ends with its line.
        ("(see. We\nGo. On", ["(see.", "We", "Go.", "On"]),
        ("", []),
        (" \n\t", []),
    ],
)
def test_lines_and_spaces(text, expected):
    assert [text[start:end] for start, end in sentences(text)] == expected


# All that sentencex and the rules around it look at, and anything else.
TRICKY = st.text(
    st.one_of(
        st.sampled_from(
            " .!?…\n\r\t\"'()[]*-:;。\uff01”“’«»1aA🎉❤\ufe0f\u200d\x00\x85\u2028\ufffc"
        ),
        st.characters(exclude_categories=[]),
    )
)


@given(TRICKY, st.integers(1, 3))
def test_taking_the_insertions_out_gives_the_text_back(text, count):
    scorer: Any = EagerScorer()
    found = emojify(text, scorer, NONE, count)
    assert found.text == text
    assert without(found) == text
    assert [insertion.position for insertion in found.insertions] == sorted(
        insertion.position for insertion in found.insertions
    )
    for insertion in found.insertions:
        before, after = text[: insertion.position], text[insertion.position :]
        assert before and not before[-1].isspace()
        # No line is added, and no mark or joiner takes part in the emoji.
        assert not after or after[0] not in "\ufe0f\u200d\ufe0e"
    assert len(found.emojified.splitlines()) == len(text.splitlines())


@given(TRICKY)
def test_sentences_are_in_order_and_hold_all_but_white_space(text):
    found = sentences(text)
    assert all(start < end and text[start:end].strip() == text[start:end] for start, end in found)
    assert all(left[1] <= right[0] for left, right in pairwise(found))
    between = "".join(
        text[left[1] : right[0]] for left, right in pairwise([(0, 0), *found, (len(text), 0)])
    )
    assert not between.strip()


@given(st.lists(st.text("ab.! \n🎉", max_size=12), max_size=8))
def test_several_texts_give_what_each_gives(texts):
    scorer: Any = EagerScorer()
    assert emojify(texts, scorer, NONE) == [emojify(text, EAGER, NONE) for text in texts]
    assert len(scorer.calls) <= 1


# Where emojis go


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Hello.  Bye!\r\n", "Hello. 🎉  Bye! 🎉\r\n"),
        ('She said "Stop!"\tYes (oh.)', 'She said "Stop!" 🎉\tYes (oh.) 🎉'),
        ("**Great.** We _won!_\n\n- Yes\n", "**Great.** 🎉 We _won!_ 🎉\n\n- Yes 🎉\n"),
        ("Great! :D Bye", "Great! :D 🎉 Bye 🎉"),
        ("See https://a.b/c", "See https://a.b/c 🎉"),
        ("  indented\tline  ", "  indented\tline 🎉  "),
        ("今天。明天。", "今天。 🎉明天。 🎉"),
        # No known word.
        ("zzx. Yes.", "zzx. Yes. 🎉"),
        # Already there, at the end or after the sentence.
        ("I love pizza 🍕", "I love pizza 🍕"),
        ("I love pizza 🍕. Bye", "I love pizza 🍕. Bye 🎉"),
        ('"I love pizza 🍕!" Bye', '"I love pizza 🍕!" Bye 🎉'),
        ("Yes! 😀😀", "Yes! 😀😀"),
        ("Yes! 😀.", "Yes! 😀."),
        ("Yes! ❤ No 👍🏽 :)", "Yes! ❤ No 👍🏽 :)"),
        ("Number 1️⃣", "Number 1️⃣"),
        ("I ❤️ you", "I ❤️ you 🎉"),
        ("🎉 Party", "🎉 Party 🎉"),
        # Signs that Unicode counts among the emojis and nobody else does.
        ("Nike™. What‼", "Nike™. 🎉 What‼ 🎉"),
        ("Nike™️", "Nike™️"),
        # Nothing to say.
        ("", ""),
        (" \n", " \n"),
        ("🎉 🎉\n--- \n... !!! 42.\n:D", "🎉 🎉\n--- \n... !!! 42.\n:D"),
    ],
)
def test_places(text, expected):
    assert eager(text) == expected


def test_several_emojis_and_the_least_score():
    # Scores are 0.9, 0.7 and 0.5.
    assert eager("Hi. Bye", 2) == "Hi. 🎉 🍕 Bye 🎉 🍕"
    assert eager("Hi", 3) == "Hi 🎉 🍕"  # MIN_SCORE lies between 0.5 and 0.7
    assert eager("Hi", 9, 0.5) == "Hi 🎉 🍕 😄"
    assert eager("Hi", 9, 0.7) == "Hi 🎉 🍕"
    assert eager("Hi", min_score=0.91) == "Hi"


def test_insertions():
    scorer: Any = EagerScorer()
    found = emojify("Hi. Bye", scorer, NONE, 2, 0.8)
    assert found == Emojified(
        "Hi. Bye", (Insertion(3, "🎉", "party", 0.9), Insertion(7, "🎉", "party", 0.9))
    )
    assert found.emojified == str(found) == "Hi. 🎉 Bye 🎉"
    with pytest.raises(AttributeError):
        found.text = "x"  # type: ignore[misc]


def test_sentences_share_a_call():
    scorer: Any = EagerScorer()
    emojify(["Hi. Bye.", "🎉", "Yes"], scorer, NONE)
    assert scorer.calls == [["Hi.", "Bye.", "Yes"]]


def test_lone_surrogates_stay():
    assert eager("a\udcffb. \ud800 c") == "a\udcffb. 🎉 \ud800 c 🎉"


@pytest.mark.parametrize("text", ["word ", "word. ", "x", "!", "(", "🎉a. ", ":( ", "1. "])
def test_a_megabyte(text):
    long = text * (1_000_000 // len(text))
    began = time.perf_counter()
    scorer: Any = EagerScorer()
    found = emojify(long, scorer, NONE)
    assert without(found) == long
    # So many sentences are not scored at once.
    assert all(len(call) <= 2048 for call in scorer.calls)
    assert time.perf_counter() - began < 60  # linear: some seconds on a slow core


@pytest.mark.parametrize("count", [0, -1, 1.5, True, None, "1"])
def test_bad_count(count):
    with pytest.raises(InputError, match="a whole number of at least 1"):
        eager("Hi", count)


@pytest.mark.parametrize("score", [1.01, -1.01, float("nan"), float("inf"), None, "0.5"])
def test_bad_score(score):
    with pytest.raises(InputError, match="from -1 to 1"):
        eager("Hi", 1, score)


def test_limits_of_the_score():
    check(1, -1)
    check(1, 1)


@pytest.mark.parametrize("texts", [3, [3], ["a", None], [b"a"]])
def test_no_text(texts):
    with pytest.raises((InputError, TypeError)):
        eager(texts)


# Files, with bulk's own machinery


def do(source, output=None, scorer: Any = None, lines=True, **options):
    task = Emojifying(scorer or EAGER, NONE)
    return Job(str(source), output, lines=lines, **options).do(task)


BYTES = (
    "\ufeffHi. Bye\r\n\r\n\tzzx\n".encode()
    + b"\xff Latin \xe9. Yes\n\x00\x1b[31m\x0c\ntw\ro\n\xed\xa0\x80\n"
    + "🎉\nlast".encode()
)
EMOJIFIED = (
    "\ufeffHi. 🎉 Bye 🎉\r\n\r\n\tzzx\n".encode()
    + b"\xff Latin \xe9. "
    + "🎉 Yes 🎉\n\x00\x1b[31m 🎉\x0c\ntw\ro 🎉\n".encode()
    + b"\xed\xa0\x80\n"
    + "🎉\nlast 🎉".encode()
)


def test_lines_stay_lines_to_the_byte(tmp_path):
    source, output = tmp_path / "in.txt", tmp_path / "out.txt"
    source.write_bytes(BYTES)
    tally = do(source, output)
    assert output.read_bytes() == EMOJIFIED
    # Lines: 2 (empty), 3 (no known word), 7 (no letter) and 8 (an emoji) got none.
    assert (tally.texts, tally.unmatched, tally.replaced) == (9, 4, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.txt", "out.txt"]


def test_lines_through_standard_input_and_output(monkeypatch):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(BYTES)))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding="utf-8"))
    do("-")
    sys.stdout.flush()
    assert out.getvalue() == EMOJIFIED


def test_objects_and_tables(tmp_path, capsys):
    source = tmp_path / "in.csv"
    source.write_bytes(b'id,body\r\n1,"Hi.\nBye"\r\n2,zzx\r\n')
    expected = [
        {
            "text": "Hi.\nBye",
            "emojified": "Hi. 🎉\nBye 🎉",
            "insertions": [
                {"position": 3, "emoji": "🎉", "name": "party", "score": 0.9},
                {"position": 7, "emoji": "🎉", "name": "party", "score": 0.9},
            ],
        },
        {"text": "zzx", "emojified": "zzx", "insertions": []},
    ]
    do(source, tmp_path / "out.jsonl", column="body")
    lines = (tmp_path / "out.jsonl").read_text("utf-8").splitlines()
    assert [json.loads(line) for line in lines] == expected
    # Its texts may have several lines, so they are objects on standard output as well.
    do(source, column="body")
    assert capsys.readouterr().out.splitlines() == lines
    do(tmp_path / "out.jsonl", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_bytes().decode() == (
        'text,emojified\n"Hi.\nBye","Hi. 🎉\nBye 🎉"\nzzx,zzx\n'.replace("\n", "\r\n")
        .replace("Hi.\r\n", "Hi.\n")
        .replace("🎉\r\nB", "🎉\nB")
    )


def test_objects_are_mended(tmp_path):
    source, output = tmp_path / "in.txt", tmp_path / "out.jsonl"
    source.write_bytes(b"\xef\xbb\xbfa\xff\r\n")
    tally = do(source, output)
    assert json.loads(output.read_text("utf-8"))["emojified"] == "a\ufffd 🎉"
    assert tally.replaced == 1


def test_a_table_has_no_line_output(tmp_path):
    source = tmp_path / "in.csv"
    source.write_text("text\na\n")
    with pytest.raises(InputError, match=r"may have several lines; name a \.jsonl, \.csv"):
        do(source, tmp_path / "out.txt")
    with pytest.raises(InputError, match=r"name a \.txt, \.jsonl or \.csv file"):
        do(source, tmp_path / "out.xlsx")
    # Ranking and --json write no lines.
    with pytest.raises(InputError, match=r"name a \.jsonl or \.csv file"):
        do(source, tmp_path / "out.txt", lines=False)


def test_files_stream():
    taken = []

    def endless():
        while True:
            taken.append(1)
            yield "Hi"

    scorer: Any = EagerScorer()
    task = Emojifying(scorer, NONE)
    assert next(bulk.objects(task, endless(), bulk.Tally()))["emojified"] == "Hi 🎉"
    assert len(taken) <= bulk.CHUNK_TEXTS


class InterruptedScorer(EagerScorer):
    """Stops as Ctrl-C does, in the third call."""

    def rank(self, texts, candidates, k):
        if len(self.calls) == 2:
            raise KeyboardInterrupt
        return super().rank(texts, candidates, k)


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A source of 10 lines, of which 8 are done; the whole output is what it should become."""
    monkeypatch.setattr(bulk, "CHUNK_TEXTS", 4)
    source = tmp_path / "in.txt"
    ends = [b"\xff.\r\n", b"\n", b" zzx\n"]
    source.write_bytes(b"".join(b"x" * i + ends[i % 3] for i in range(10)))
    do(source, tmp_path / "whole.txt")
    with pytest.raises(KeyboardInterrupt):
        do(source, tmp_path / "out.txt", scorer=InterruptedScorer())
    assert not (tmp_path / "out.txt").exists()
    assert len((tmp_path / "out.txt.part").read_bytes().splitlines()) == 8
    return tmp_path


@pytest.mark.parametrize("torn", range(0, 900, 61))
def test_resume_loses_and_doubles_nothing(interrupted, torn):
    part = interrupted / "out.txt.part"
    part.write_bytes(part.read_bytes()[:torn] if torn else part.read_bytes())
    do(interrupted / "in.txt", interrupted / "out.txt", resume=True)
    assert (interrupted / "out.txt").read_bytes() == (interrupted / "whole.txt").read_bytes()
    assert not part.exists()


@pytest.mark.parametrize("options", [{"max_per_sentence": 2}, {"min_score": 0.95}])
def test_resume_with_other_options_is_refused(interrupted, options):
    scorer: Any = EagerScorer()
    job = Job(str(interrupted / "in.txt"), interrupted / "out.txt", resume=True, lines=True)
    with pytest.raises(InputError, match="is from another run"):
        job.do(Emojifying(scorer, NONE, **options))


# With the model that ships


@pytest.fixture(scope="module")
def shipped() -> tuple[Scorer, EmojiCodes]:
    return Scorer.load(), EmojiCodes.load()


def test_the_example(shipped):
    text = "Congratulations on the promotion! Lets get coffee and talk. Love you!"
    found = emojify(text, *shipped)
    assert without(found) == text
    assert [insertion.position for insertion in found.insertions] == [33, 59, 69]
    assert found.insertions[1].emoji == "☕"
    assert found.insertions[2].emoji in {"❤️", "😍", "😘", "💕", "💖", "🥰"}


def test_scores_are_those_of_ranking(shipped):
    scorer, codes = shipped
    five = codes.select(["❤️", "⚾", "😄", "😞", "🍴"])
    found = emojify("I adore you. Lets play baseball", scorer, five, 5, -1)
    ranked = scorer.rank(["I adore you.", "Lets play baseball"], five, 5)
    matches = [match for row in ranked for match in row]
    assert [insertion.emoji for insertion in found.insertions] == [m.emoji for m in matches]
    assert [insertion.score for insertion in found.insertions] == pytest.approx(
        [match.score for match in matches], abs=1e-6
    )


def test_lone_surrogates_are_no_words(shipped):
    scorer, codes = shipped
    found = emojify("love \udcff pizza.", scorer, codes, min_score=-1)
    assert without(found) == "love \udcff pizza." and found.insertions


def test_the_least_score_is_the_calibrated_one():
    found = json.loads(asset("results", "emojify.json").read_text(encoding="utf-8"))
    assert found["minimum score"] == MIN_SCORE


# Imports


def loaded_by(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{code}\nprint(*sys.modules, sep='\\n')"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return {name.split(".")[0] for name in done.stdout.splitlines()}


@pytest.mark.parametrize(
    "code",
    [
        "import sqam, sqam.cli, sqam.emojify",
        "from sqam.cli import main\ntry: main(['emojify', '--help'])\nexcept SystemExit: pass",
        "from sqam.cli import main; main(['rank', 'good morning', '--json'])",
    ],
)
def test_the_splitter_is_loaded_for_splitting_alone(code):
    found = loaded_by(code)
    assert "sqam" in found and "sentencex" not in found
    assert ("numpy" in found) == ("good morning" in code)
