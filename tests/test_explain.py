"""``sqam explain``: pulls worked by hand, any text, and the command as people call it."""

import dataclasses
import functools
import json
import math
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from sqam.cli import main
from sqam.explain import Explained, Explanation, Pull, as_object, explain, lines
from sqam.scorer import Answers, Scorer
from sqam.text import Vocabulary, Word

ROOT = Path(__file__).resolve().parent.parent
FIVE = ["❤️", "⚾", "😄", "😞", "🍴"]
COLOR = re.compile(r"\x1b\[(?:0|2|38;5;16;48;5;(\d+))m")
GREEN, RED = {"194", "157", "120", "83", "46"}, {"224", "217", "210", "203", "196"}


# Each word points one way in a plane; the codes lie in it as well.
WAYS = {"love": (1, 0), "pizza": (0, 1), "not": (-1, 0), "well": (0, -1)}
PLANE = EmojiCodes(
    ["❤️", "🍕", "😞"],
    np.pad(np.array([[1, 0], [0, 1], [-1, 0]], dtype=np.float32), [(0, 0), (0, 14)]),
)


class Planar(Scorer):
    """A scorer whose sentences point where the sum of their words does."""

    def __init__(self, max_tokens: int = 4) -> None:
        self.vocabulary = Vocabulary(list(WAYS))
        self.max_tokens = max_tokens
        self.batches: list[list[list[int]]] = []

    def _encoded(self, ids):
        self.batches.append([list(rows) for rows in ids])
        directions = np.array(list(WAYS.values()), dtype=np.float32)
        sums = np.array([directions[list(rows)].sum(axis=0) for rows in ids])
        return sums / np.maximum(np.linalg.norm(sums, axis=1, keepdims=True), 1e-9)

    def _answered(self, candidates):
        none = np.empty(0, dtype=int)
        return Answers(candidates.codes[:, :2], none, none, {})


def pulls(explanation: Explanation) -> list[tuple[str, float]]:
    return [(token.token, round(token.pull, 4)) for token in explanation.tokens]


# By hand


def test_pull_is_what_the_score_loses():
    # Both words lie at 45° to their sum, and the one that is left is the emoji or square to it.
    found = explain("Love pizza", Planar(), PLANE)
    assert [(one.emoji, one.name) for one in found.explanations] == [
        ("❤️", "red heart"),
        ("🍕", "pizza"),
        ("😞", "disappointed face"),
    ]
    half = math.sqrt(0.5)
    assert [one.score for one in found.explanations] == pytest.approx([half, half, -half])
    heart, pizza, sad = (pulls(one) for one in found.explanations)
    assert heart == [("love", 0.7071), ("pizza", -0.2929)]
    assert pizza == [("love", -0.2929), ("pizza", 0.7071)]
    assert sad == [("love", -0.7071), ("pizza", 0.2929)]


def test_one_of_two_like_words_is_hardly_missed():
    # (2, 1) / √5 with both, (1, 1) / √2 with one.
    (heart,) = explain("love love pizza", Planar(), PLANE, k=1).explanations
    one = round(2 / math.sqrt(5) - math.sqrt(0.5), 4)
    assert pulls(heart) == [("love", one), ("love", one), ("pizza", round(2 / math.sqrt(5) - 1, 4))]


def test_the_only_word_has_the_whole_score():
    heart, _, sad = explain("love, of course", Planar(), PLANE).explanations
    assert (heart.score, pulls(heart)) == (1.0, [("love", 1.0)])
    assert (sad.score, pulls(sad)) == (-1.0, [("love", -1.0)])


def test_all_is_scored_in_one_batch():
    scorer = Planar()
    explain("love pizza not", scorer, PLANE)
    assert scorer.batches == [[[0, 1, 2]], [[0, 1, 2], [1, 2], [0, 2], [0, 1]]]


def test_words_that_are_not_read_are_not_explained():
    scorer = Planar(max_tokens=2)
    found = explain("what love or pizza and not that", scorer, PLANE, k=1)
    assert pulls(found.explanations[0]) == [("love", 0.7071), ("pizza", -0.2929)]
    # What comes after the last word that is read is not passed over, and moves into no gap.
    assert [word.word for word in found.passed_over] == ["what", "or"]
    assert scorer.batches[-1] == [[0, 1], [1], [0]]


def test_tokens_say_where_they_came_from():
    text = "LOOOVE well-done 🍕, isn't it"
    found = explain(text, Planar(), PLANE, k=1)
    assert [
        (token.token, text[token.start : token.end]) for token in found.explanations[0].tokens
    ] == [("love", "LOOOVE"), ("well", "well"), ("pizza", "🍕")]
    assert [(word.word, text[word.start : word.end]) for word in found.passed_over] == [
        ("done", "done"),
        ("is", "is"),
        ("n't", "n't"),
        ("it", "it"),
    ]


def test_object():
    found = as_object(explain("pizza what? What pizza!", Planar(), PLANE, k=1))
    assert found == {
        "text": "pizza what? What pizza!",
        "explanations": [
            {
                "emoji": "🍕",
                "name": "pizza",
                "score": 1.0,
                "tokens": [
                    {"token": "pizza", "pull": 0.0, "start": 0, "end": 5},
                    {"token": "pizza", "pull": 0.0, "start": 17, "end": 22},
                ],
            }
        ],
        "passed over": ["what", "?", "!"],
    }
    assert list(found) == ["text", "explanations", "passed over"]
    assert "-0.0" not in json.dumps(found)


def test_explanations_are_frozen():
    found = explain("love", Planar(), PLANE)
    for one, field in [
        (found, "text"),
        (found.explanations[0], "score"),
        (found.explanations[0].tokens[0], "pull"),
    ]:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(one, field, None)


@pytest.mark.parametrize(
    ("text", "k", "message"),
    [
        ("", 3, "the text '' is empty; give some words"),
        (" \n", 3, "is empty"),
        ("what is this?", 3, "the model knows no word of 'what is this"),
        ("\ud800", 3, "knows no word"),
        (None, 3, "must be a string"),
        (["love"], 3, "must be a string"),
        ("love", 0, "k is 0; ask for at least 1"),
        ("love", -1, "k is -1"),
    ],
)
def test_refused(text, k, message):
    with pytest.raises(InputError, match=message):
        explain(text, Planar(), PLANE, k)


# As a terminal shows it


def test_lines_without_colours():
    assert list(lines(explain("Love pizza, o'brien", Planar(), PLANE, k=2), colored=False)) == [
        "  1   0.7071  ❤️\tred heart",
        "     +0.7071  love",
        "     -0.2929  pizza",
        "",
        "  2   0.7071  🍕\tpizza",
        "     +0.7071  pizza",
        "     -0.2929  love",
        "",
        "passed over: o'brien",
    ]


def up(text: str, color: int) -> str:
    return f"\x1b[38;5;16;48;5;{color}m{text}\x1b[0m"


def test_colours_tell_direction_and_strength():
    # The strongest pull is 0.7071, of which 0.2929 is two fifths.
    _, heart, *_ = lines(explain("Love, what a pizza!", Planar(), PLANE, k=1), colored=True)
    what, a, end = (f"\x1b[2m{piece}\x1b[0m" for piece in ("what", "a", "!"))
    assert heart == f"     {up('Love', 46)}, {what} {a} {up('pizza', 217)}{end}"


def test_weak_pulls_have_no_colour():
    tokens = (Pull("love", 0, 4, 0.5), Pull("not", 5, 8, 0.049), Pull("well", 9, 13, -0.051))
    found = Explained("love not well", (Explanation("x", "x", 0.5, tokens),), ())
    assert list(lines(found, colored=True))[1] == f"     {up('love', 46)} not {up('well', 224)}"
    nothing = Explained("love", (Explanation("x", "x", 0.0, (Pull("love", 0, 4, 0.0),)),), ())
    assert list(lines(nothing, colored=True)) == [
        "  1   0.0000  x",
        "     love",
        "     +0.0000  love",
    ]


def test_a_piece_with_several_tokens_has_their_sum():
    tokens = (Pull("red", 2, 3, 0.3), Pull("heart", 2, 3, -0.2), Pull("i", 0, 1, 0.5))
    found = Explained(
        "I ❤ u",
        (Explanation("x", "x", 0.5, tokens),),
        (Word("u", 4, 5, None), Word("v", 2, 3, None)),
    )
    shown = list(lines(found, colored=True))
    assert shown[1] == f"     {up('I', 46)} {up('❤', 194)} \x1b[2mu\x1b[0m"
    assert shown[2:5] == ["     +0.5000  i", "     +0.3000  red  (❤)", "     -0.2000  heart  (❤)"]


def test_long_pieces_are_cut():
    long = ["." * 5000, "l" + "o" * 2000 + "ve", "z" * 3000, "pizza", "?" * 4000]
    unknown = " ".join(f"w{letter}x" for letter in "abcdefghijklmnopqrstuvwx")
    found = explain(" ".join([*long, unknown]), Planar(), PLANE, k=1)
    shown = list(lines(found, colored=True))
    text = COLOR.sub("", shown[1]).strip()
    assert re.fullmatch(r"\.+…lo+… z+… pizza \?+…", text) and len(text) < 500
    assert max(map(len, shown)) < 2000
    # "z…", "...", "?" and 17 of the 24 others.
    assert re.fullmatch(r"passed over: \.\.\., z+…, \?, wax, .+, wqx and 7 more", shown[-1])


@given(st.text(st.characters(codec=None), max_size=30), st.text(st.characters(codec=None)))
def test_no_control_character_of_a_text_is_shown(before, after):
    found = explain(f"{before} love \x1b[31mpizza\x07\n{after}", Planar(100), PLANE)
    for colored in (False, True):
        for line in lines(found, colored):
            left = COLOR.sub("", line) if colored else line
            left = left.replace("\t", "", 1)  # before an emoji's name
            assert not re.search(r"[\x00-\x1f\x7f-\x9f]", left)


# On the model that ships


def test_matches_are_those_of_rank(scorer, codes):
    text = "let's play baseball in the park tomorrow"
    found = explain(text, scorer, codes, k=7).explanations
    assert [(one.emoji, one.name, one.score) for one in found] == [
        tuple(match) for match in scorer.rank([text], codes, 7)[0]
    ]
    twice = EmojiCodes(["b", "a"], np.stack([codes.codes[0]] * 2))
    assert [one.emoji for one in explain(text, scorer, twice).explanations] == ["b", "a"]


def test_pulls_are_those_of_shorter_texts(scorer, codes):
    words = ["praise", "on", "the", "new", "job"]
    (one,) = explain(" ".join(words), scorer, codes.select(["🎉"])).explanations
    assert [token.token for token in one.tokens] == words
    shorter = [" ".join(words[:place] + words[place + 1 :]) for place in range(5)]
    scores = scorer.score(shorter, codes.select(["🎉"]))[:, 0]
    assert [token.pull for token in one.tokens] == pytest.approx(one.score - scores, abs=1e-5)


def test_names_need_not_differ(scorer, codes):
    same = EmojiCodes(["x"] * 5, codes.select(FIVE).codes)
    named = EmojiCodes(list("abcde"), codes.select(FIVE).codes)
    found, expected = (explain("I am hungry", scorer, c, 5).explanations for c in (same, named))
    assert [one.tokens for one in found] == [one.tokens for one in expected]


WORDS = [
    "love",
    "pizza",
    "not",
    "don't",
    "sooooo",
    "zzxqvw",
    "well-known",
    "😂",
    "1️⃣",
    "#MyDog",
    ":(",
]


@settings(max_examples=60)
@given(
    st.text(st.characters(codec=None), max_size=40)
    | st.lists(st.sampled_from(WORDS) | st.text(max_size=4), max_size=45).map(" ".join)
)
def test_any_text_is_explained_or_refused(scorer, codes, text):
    candidates = codes.select(FIVE)
    try:
        found = explain(text, scorer, candidates, k=2)
    except InputError as error:
        assert not scorer.known([text])[0]
        assert re.search("is empty; give some words|knows no word of", str(error))
        assert "\n" not in str(error) and len(str(error)) < 300
        return
    rows = scorer.vocabulary.ids(text, scorer.max_tokens)
    assert found.text == text and len(found.explanations) == 2
    for one in found.explanations:
        assert [token.token for token in one.tokens] == [scorer.vocabulary.words[r] for r in rows]
        assert all(0 <= token.start < token.end <= len(text) for token in one.tokens)
        assert all(-2 <= token.pull <= 2 for token in one.tokens)
    assert not [word for word in found.passed_over if word.word in scorer.vocabulary]
    as_written = json.loads(json.dumps(as_object(found)))
    assert as_written == as_object(found)


# The command


@pytest.fixture
def sqam(sqam):
    """Run ``sqam explain``, as the fixture of that name runs ``sqam``."""
    return functools.partial(sqam, "explain")


@pytest.fixture
def fails(sqam):
    """Run the command, which must refuse with one line; return that line."""

    def run(*arguments: str) -> str:
        code, out, err = sqam(*arguments)
        assert (code, out) == (2, "")
        assert re.fullmatch(r"sqam: error: [^\n]+\n", err), err
        assert len(err) < 1000
        return err

    return run


TEXT = "Well done on the job!"
TOKENS = ["well", "done", "on", "the", "job", "!"]


def test_table(sqam):
    code, out, err = sqam(TEXT, "-k", "2")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    first, second = (block.splitlines() for block in out.split("\n\n"))
    for rank, block in enumerate([first, second], start=1):
        assert re.fullmatch(rf"  {rank}   0\.\d{{4}}  \S+\t.+", block[0])
        rows = [re.fullmatch(r"     ([+-]\d\.\d{4})  (\S+)", line) for line in block[1:]]
        found = [(float(row[1]), row[2]) for row in rows if row]
        assert sorted(token for _, token in found) == sorted(TOKENS)
        assert [pull for pull, _ in found] == sorted((pull for pull, _ in found), reverse=True)


def test_json(sqam, capfd):
    code, out, err = sqam(TEXT, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    found = json.loads(out)
    assert list(found) == ["text", "explanations", "passed over"]
    assert (found["text"], found["passed over"]) == (TEXT, [])
    for one in found["explanations"]:
        assert list(one) == ["emoji", "name", "score", "tokens"]
        names = ["token", "pull", "start", "end"]
        assert [list(token) for token in one["tokens"]] == [names] * 6
        assert [token["token"] for token in one["tokens"]] == TOKENS
    main(["rank", TEXT, "--json", "-k", "3"])
    matches = json.loads(capfd.readouterr().out)["matches"]
    keys = ("emoji", "name", "score")
    assert [{key: one[key] for key in keys} for one in found["explanations"]] == matches


def test_options(sqam):
    _, out, _ = sqam("I am hungry", "--among", *FIVE, "--json", "-k", "9" * 30)
    found = json.loads(out)["explanations"]
    assert sorted(one["emoji"] for one in found) == sorted(FIVE)
    assert sqam(TEXT, "--model", str(asset("models"))) == sqam(TEXT) == sqam(TEXT, "-k", "3")
    assert sqam(TEXT, "--color", "never") == sqam(TEXT, "--color", "auto") == sqam(TEXT)
    assert sqam("-k", "1", "--", "-_- good morning")[0] == 0


def test_unknown_words_are_named(sqam):
    code, out, err = sqam("zzxqvw love zzxqvw wvvkx-pizza", "-k", "1")
    assert (code, err) == (0, "")
    assert out.endswith("\n\npassed over: zzxqvw, wvvkx\n")
    assert len(re.findall(r"^     [+-]", out, flags=re.MULTILINE)) == 2


def test_colours_when_asked_for(sqam, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")  # an option of the command says more
    code, out, err = sqam(TEXT, "-k", "1", "--color", "always")
    assert (code, err) == (0, "")
    text = out.splitlines()[1]
    assert COLOR.sub("", text) == f"     {TEXT}"
    assert {color for color in COLOR.findall(text) if color} & GREEN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: TEXT"),
        (["a", "b"], "unrecognized arguments: b"),
        ([""], "the text '' is empty; give some words"),
        ([" \t\n"], "is empty; give some words"),
        (["\u200b"], "knows no word of"),
        (["zzxqvw"], "knows no word of 'zzxqvw'; try other"),
        (["zzxqvw " * 150_000], "knows no word of"),
        (["\x1b\x07\udcff"], "knows no word of"),
        (["a", "-k", "0"], "'0' is not a whole number of at least 1"),
        (["a", "-k", "-1"], "whole number|expected one argument"),
        (["a", "-k", "x"], "'x' is not a whole number"),
        (["a", "--among"], "expected at least one argument"),
        (["a", "--among", "x"], "'x' is no emoji"),
        (["a", "--among", "😄", "\udcff"], "is no emoji"),
        (["a", "--among", "😄😄"], "is no emoji"),
        (["a", "--color", "blue"], "invalid choice: 'blue'"),
        (["a", "--color", "always", "--json"], "not allowed with"),
        (["a", "--jso"], "unrecognized arguments: --jso"),
        (["a", "--model", "none"], "'none' holds no folder"),
    ],
)
def test_bad_input(fails, arguments, message):
    assert re.search(message, fails(*arguments))


@pytest.mark.parametrize("file", ["sqam/vocabulary.txt", "sqam/question.onnx", "vae/codes.npz"])
@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"no model")])
def test_damaged_models(fails, tmp_path_factory, file, damage):
    models = shutil.copytree(asset("models"), tmp_path_factory.mktemp("own") / "models")
    damage(models / file)
    fails(TEXT, "--model", str(models))


def test_long_texts_are_read_to_their_limit(sqam):
    limit = Scorer.load().max_tokens
    _, short, err = sqam("love " * limit, "--json")
    assert err == ""
    start = time.process_time()
    code, out, err = sqam("love " * 200_000, "--json")
    assert time.process_time() - start < 10
    assert code == 0
    assert json.loads(out)["explanations"] == json.loads(short)["explanations"]
    assert re.fullmatch(rf"sqam: note: the model reads the first {limit} known words .+\n", err)


def test_a_line_of_a_megabyte_without_a_space(sqam):
    start = time.process_time()
    code, out, _ = sqam("@love" * 200_000 + " pizza", "--color", "always")
    assert code == 0 and max(map(len, out.splitlines())) < 2000
    assert time.process_time() - start < 10


def test_odd_texts(sqam):
    odd = "lo\x00ve \x1b[31mpizza\x07 \u202eyou 👩‍👩‍👧 ｆｕｌｌ"
    code, out, err = sqam(odd, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["text"] == odd
    _, out, _ = sqam(odd, "--color", "always", "--among", "🍕")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", COLOR.sub("", out))
    code, out, err = sqam("love \udcff", "--json")
    assert code == 0
    assert json.loads(out)["text"] == "love \ufffd"
    assert err == (
        "sqam: note: of 1 texts 1 are not valid Unicode; U+FFFD stands for the bad parts\n"
    )


def test_help(capfd):
    with pytest.raises(SystemExit) as stop:
        main(["explain", "--help"])
    assert not stop.value.code
    out = capfd.readouterr().out
    assert 'sqam explain "Congrats on the new job!"' in out
    assert "examples:" in out and "exit codes:" in out
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize("arguments", [["--help"], ["a", "-k", "0"]])
def test_help_and_wrong_options_load_nothing_heavy(arguments):
    code = (
        "import sys\nfrom sqam.cli import main\n"
        "try:\n    main(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        "print('\\n' + ' '.join({name.split('.')[0] for name in sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "explain", *arguments],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    loaded = set(done.stdout.splitlines()[-1].split())
    assert not loaded & {"numpy", "onnxruntime", "PIL", "tqdm", "emoji"}


def on_a_terminal(*arguments: str, **environment: str) -> str:
    """What the command writes to a terminal."""
    pty = pytest.importorskip("pty", reason="there are no terminals here")
    ours, its = pty.openpty()
    clean = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    with subprocess.Popen(
        [sys.executable, "-m", "sqam.cli", "explain", *arguments],
        env=clean | {"PYTHONPATH": str(ROOT), "TERM": "xterm-256color"} | environment,
        stdin=subprocess.DEVNULL,
        stdout=its,
        stderr=subprocess.PIPE,
    ) as running:
        os.close(its)
        found = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # what Linux says at a terminal's end
                break
            if not part:
                break
            found += part
        assert running.stderr and running.stderr.read() == b""
    os.close(ours)
    assert running.returncode == 0
    return found.decode().replace("\r\n", "\n")


def test_a_terminal_gets_colours(sqam):
    plain = sqam(TEXT)[1]
    colored = sqam(TEXT, "--color", "always")[1]
    assert colored != plain
    assert on_a_terminal(TEXT) == colored
    assert on_a_terminal(TEXT, NO_COLOR="1") == plain
    assert on_a_terminal(TEXT, NO_COLOR="") == colored  # as no-color.org has it
    assert on_a_terminal(TEXT, TERM="dumb") == plain
    assert on_a_terminal(TEXT, "--color", "never") == plain
    found = {color for color in COLOR.findall(colored) if color}
    assert found & GREEN and found & RED
