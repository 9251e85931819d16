"""A table of what each kind of writing becomes, by default and as settings choose; properties."""

import dataclasses
import itertools
import json
import shutil
import typing

import numpy as np
import pytest
from conftest import WORDS
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError
from sqam.encoder import Encoder
from sqam.text import MAX_CHARACTERS, Vocabulary, locate, tokenize
from sqam.tokenizer import LINK, NUMBER, USER, TokenizerSettings

# topic -> rows: a text; its tokens by default; then, for settings that make it otherwise, these and
# its tokens with them.
TABLE: dict[str, list[tuple]] = {
    "plain text": [
        ("Good MORNING, world.", "good morning world"),
        ("one  two\tthree\nfour", "one two three four"),
        ("really? Yes! No...", "really ? yes ! no ..."),
        ("a,b;c/d(e)", "a b c d e"),
        ("“quoted” «words» – dashed — twice", "quoted words dashed twice"),
        ("mother-in-law's e-mail", "mother-in-law 's e-mail", ("contractions=kept",
         "mother-in-law's e-mail")),
        ("R&B rock'n'roll", "are b rock'n'roll"),
        ("", ""),
        ("   ", ""),
        ("* / % $ €", ""),
    ],
    "users": [
        ("@anna come home", "come home", ("users=marked", "<user> come home")),
        ("thanks @Bob_99!", "thanks !", ("users=marked", "thanks <user> !")),
        ("(@anna,@bob)", "", ("users=marked", "<user> <user>")),
        ("half@way there", "half way there", ("users=marked", "half way there")),
        ("@ me", "me", ("users=marked", "me")),
        ("RT @anna: @bob says hi", "rt says hi", ("users=marked", "rt <user> <user> says hi")),
    ],
    "links": [
        ("read https://example.org/a?b=c#d now", "read now", ("links=marked", "read <url> now")),
        ("www.example.org", "", ("links=marked", "<url>")),
        ("http://a.org https://b.org", "", ("links=marked", "<url> <url>")),
        ("write to me@example.org", "write to", ("links=marked", "write to <url>")),
        ("HTTPS://EXAMPLE.ORG", "https example org", ("links=marked", "https example org")),
        ("so:http://a.org", "so", ("links=marked", "so <url>")),
        ("example.org is down", "example org is down"),
    ],
    "numbers": [
        ("I ran 10 km", "i ran 10 km", ("numbers=marked", "i ran <number> km"),
         ("numbers=dropped", "i ran km")),
        ("3.5, 1,000 and 10:30", "3.5 1,000 and 10:30",
         ("numbers=marked", "<number> <number> and <number>"), ("numbers=dropped", "and")),
        ("7am 4x4", "7 am 4 x 4", ("numbers=marked", "<number> am <number> x <number>")),
        ("1st 2nd", "1 st 2 nd", ("numbers=dropped", "st nd")),
        ("-5 +3 50%", "5 3 50"),
        ("version 1.2.3", "version 1.2.3", ("numbers=marked", "version <number>")),
        ("½ ² Ⅷ", "1 2 2 viii"),
        ("٣ days", "٣ days", ("numbers=marked", "<number> days")),
        ("agent007", "agent 007", ("numbers=dropped", "agent")),
    ],
    "hashtags": [
        ("#happy days", "happy days", ("hashtags=kept", "#happy days"),
         ("hashtags=dropped", "days")),
        ("#MondayMood", "monday mood", ("hashtags=kept", "#mondaymood")),
        ("#top10 #snake_case", "top 10 snake case", ("hashtags=kept", "#top10 #snake_case"),
         ("hashtags=dropped", "")),
        ("#2020vision", "2020 vision", ("hashtags=kept", "#2020vision")),
        ("# alone #", "alone", ("hashtags=kept", "alone")),
        ("##twice", "twice", ("hashtags=kept", "#twice"), ("hashtags=dropped", "")),
        ("so#tired", "sotired", ("hashtags=kept", "so #tired")),
        ("#NASA #iPhone", "nasa i phone", ("hashtags=kept", "#nasa #iphone")),
        ("#no-way", "no-way", ("hashtags=kept", "#no way")),
    ],
    "elongations": [
        ("sooooo goooood", "sooooo goooood", ("elongations=folded", "soo good")),
        ("yesss cool 1000 ...", "yesss cool 1000 ...", ("elongations=folded",
         "yess cool 1000 ...")),
        ("NOOOO!!!", "noooo ! ! !", ("elongations=folded", "noo ! ! !")),
        ("hahahaha", "haha haha", ("elongations=folded", "haha haha")),
        ("aaa-bbb", "aaa-bbb", ("elongations=folded", "aa-bb")),
        ("#soooo", "soooo", ("hashtags=kept elongations=folded", "#soo")),
        ("ééé", "ééé", ("elongations=folded", "éé")),
    ],
    "emoticons": [
        ("nice :)", "nice smile", ("emoticons=kept", "nice :)"), ("emoticons=dropped", "nice")),
        (":-( no", "sad no", ("emoticons=kept", ":-( no"), ("emoticons=dropped", "no")),
        ("XD :D :P ;)", "laughing laughing tongue wink", ("emoticons=kept", "xd :d :p ;)")),
        ("i <3 you </3", "i love you heartbroken", ("emoticons=kept", "i <3 you </3")),
        (":'( :* :/", "crying kiss confused", ("emoticons=kept", ":'( :* :/")),
        ("at 3:00) sharp", "at 3:00 sharp", ("emoticons=kept", "at 3:00 sharp")),
        ("xdy a:b", "xdy a b", ("emoticons=kept", "xdy a b")),
        ("wow:)", "wow", ("emoticons=kept", "wow")),
        ("(: upside", "smile upside", ("emoticons=dropped", "upside")),
    ],
    "emojis": [
        ("I 💔 this", "i broken heart this", ("emojis=kept", "i 💔 this"),
         ("emojis=dropped", "i this")),
        ("so💔sad", "so broken heart sad", ("emojis=kept", "so 💔 sad"),
         ("emojis=dropped", "so sad")),
        ("⚾⚾⚽", "baseball baseball soccer ball", ("emojis=kept", "⚾ ⚾ ⚽"),
         ("emojis=dropped", "")),
        ("❤ ❤️", "red heart red heart", ("emojis=kept", "❤️ ❤️")),
        ("👍🏽 👍", "thumbs up thumbs up", ("emojis=kept", "👍 👍")),
        ("👩‍👩‍👧 home", "family woman woman girl home", ("emojis=kept", "👩‍👩‍👧 home"),
         ("emojis=dropped", "home")),
        ("🇩🇪 wins", "flag germany wins", ("emojis=kept", "🇩🇪 wins")),
        ("1️⃣ 2", "keycap 1 2", ("emojis=kept", "1️⃣ 2"), ("emojis=dropped", "2"),
         ("emojis=kept numbers=dropped", "1️⃣")),
        ("ok™ ©", "ok trade mark copyright", ("emojis=kept", "ok ™️ ©️"), ("emojis=dropped", "ok")),
        ("https://a.org😂", "face with tears of joy", ("emojis=kept links=marked", "<url> 😂"),
         ("emojis=dropped", "")),
        ("@anna😂 #fun😂", "face with tears of joy fun face with tears of joy",
         ("emojis=kept hashtags=kept", "😂 #fun 😂")),
        ("🏽 \u200d \ufe0f", "", ("emojis=kept", ""), ("emojis=dropped", "")),
    ],
    "contractions": [
        ("I'm can't won't", "i 'm ca n't wo n't", ("contractions=kept", "i'm can't won't")),
        ("I’ve you‘ll", "i 've you 'll", ("contractions=kept", "i've you'll")),
        ("dont im youre", "do n't i 'm you 're", ("contractions=kept", "dont im youre")),
        ("cannot", "can not", ("contractions=kept", "cannot")),
        ("IT'S Anna's", "it 's anna 's", ("contractions=kept", "it's anna's")),
        ("well were shell", "well were shell"),
        ("o'clock 'tis", "o'clock tis"),
        ("the dogs' bones", "the dogs bones"),
    ],
    "abbreviations": [
        ("idk", "i do n't know", ("abbreviations=kept", "idk"),
         ("contractions=kept", "i don't know")),
        ("gr8 2nite b4", "great tonight before", ("abbreviations=kept", "gr8 2nite b4"),
         ("abbreviations=kept numbers=dropped", "gr8 2nite b4")),
        ("wassup innit", "what 's up is n't it", ("contractions=kept", "what's up isn't it")),
        ("y'all", "you all", ("abbreviations=kept", "y'all")),
        ("ily u r", "i love you you are", ("abbreviations=kept", "ily u r")),
        ("U.S. a.m. e.g. end.", "u.s. a.m. e.g. end"),
    ],
    "widths and composed letters": [
        ("ｆｕｌｌ ｗｉｄｔｈ！", "full width !"),
        ("ｈａｌｆ ｶﾞ", "half ガ"),
        ("＠anna ＃fun", "fun", ("users=marked hashtags=kept", "<user> #fun")),
        ("ﬁne ﬂow", "fine flow"),
        ("cafe\u0301 café", "café café"),
        ("１２３", "123", ("numbers=marked", "<number>")),
        ("ＩＤＫ", "i do n't know", ("abbreviations=kept", "idk")),
        ("…", "..."),
    ],
    "control and broken characters": [
        ("nul\x00in\x07side", "nul in side"),
        ("\x1b[31mred\x1b[0m", "31 mred 0 m"),
        ("half \ud83d pair \ude02", "half pair"),
        ("a\u200bb\u00adc", "a b c"),
        ("\ufeffmark", "mark"),
        ("left\u202eright", "left right"),
        ("line\u2028sep\u0085end", "line sep end"),
        ("\ufffd\uffff", ""),
        ("\U000f0005 \U000ffffd \U0010ffff", "", ("emojis=kept links=marked", ""),
         ("numbers=marked", "")),
        ("https://a.org\U000f0005x", "", ("emojis=kept links=marked", "<url> x")),
    ],
    "other languages": [
        ("Ça va très bien", "ça va très bien"),
        ("Straße ÜBER", "straße über"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("Привет, МИР", "привет мир"),
        ("こんにちは世界", "こんにちは世界"),
        ("İzmir", "i zmir"),
        ("مرحبا 123", "مرحبا 123"),
        ("नमस्ते", "नमस त"),
    ],
}  # fmt: skip
ROWS = [
    pytest.param(text, tokens, options, id=f"{topic}: {text!r} {options}")
    for topic, rows in TABLE.items()
    for text, default, *others in rows
    for options, tokens in [("", default), *others]
]


def settings_of(options):
    return TokenizerSettings.from_dict(dict(option.split("=") for option in options.split()))


@pytest.mark.parametrize(("text", "tokens", "options"), ROWS)
def test_table(text, tokens, options):
    assert tokenize(text, settings_of(options)) == tokens.split()
    if not options:
        assert tokenize(text) == tokens.split()


def test_the_table_is_large_enough():
    assert len(ROWS) >= 150 and sum(map(len, TABLE.values())) >= 80
    texts = [text for rows in TABLE.values() for text, *_ in rows]
    assert len(set(texts)) == len(texts)


def test_every_choice_is_in_the_table_and_matters():
    rows = [row for topic in TABLE.values() for row in topic]
    chosen = " ".join(options for _, _, *others in rows for options, _ in others).split()
    defaults = TokenizerSettings()
    for name, hint in typing.get_type_hints(TokenizerSettings).items():
        for choice in typing.get_args(hint):
            if choice != getattr(defaults, name):
                assert f"{name}={choice}" in chosen
                assert any(
                    tokenize(text, settings_of(f"{name}={choice}")) != tokenize(text)
                    for text, *_ in itertools.chain(*TABLE.values())
                ), f"{name}={choice}"


# Any text.

CHOICES = {
    name: typing.get_args(hint) for name, hint in typing.get_type_hints(TokenizerSettings).items()
}
ANY = st.builds(TokenizerSettings, **{n: st.sampled_from(c) for n, c in CHOICES.items()})
TEXTS = st.text(st.characters(codec=None), max_size=60) | st.lists(
    st.sampled_from([text for rows in TABLE.values() for text, *_ in rows] + [" ", "-", "'", "#"]),
    max_size=5,
).map("".join)
KEPT = TokenizerSettings(
    emojis="kept", emoticons="kept", hashtags="kept", contractions="kept", abbreviations="kept"
)
CANONICAL = set(catalogue().sequences)


@given(TEXTS, ANY)
def test_no_text_and_no_settings_break_it(text, settings):
    tokens = tokenize(text, settings)
    for token in tokens:
        assert token and not any(c.isspace() or "\ud800" <= c <= "\udfff" for c in token)
        assert not any("\U000f0000" <= c <= "\U000fffff" for c in token)
        assert token == token.lower() or token in CANONICAL
    located = locate(text, settings)
    assert [token for token, _, _ in located] == tokens
    for before, after in itertools.pairwise(located):
        assert before.start <= after.start and before.end <= after.end
    for _, start, end in located:
        assert 0 <= start < end <= len(text)


@given(TEXTS)
def test_the_defaults_are_what_is_read_without_settings(text):
    assert tokenize(text, TokenizerSettings()) == tokenize(text)
    assert locate(text, TokenizerSettings()) == locate(text)


@given(TEXTS, st.booleans())
def test_tokens_that_are_kept_as_written_are_read_as_themselves(text, folded):
    # Where nothing is rewritten, reading tokens again gives them again.
    settings = dataclasses.replace(KEPT, elongations="folded" if folded else "kept")
    tokens = tokenize(text, settings)
    assert tokenize(" ".join(tokens), settings) == tokens


@given(TEXTS, ANY)
def test_what_is_marked_or_dropped_is_gone(text, settings):
    tokens = tokenize(text, settings)
    assert (LINK in tokens) <= (settings.links == "marked")
    assert (USER in tokens) <= (settings.users == "marked")
    assert (NUMBER in tokens) <= (settings.numbers == "marked")
    if settings.numbers != "kept":
        assert not any(token.isdecimal() for token in tokens)
    if settings.emojis != "kept":
        assert not CANONICAL & set(tokens)
    if settings.hashtags != "kept":
        assert not any(token[0] == "#" and token not in CANONICAL for token in tokens)
    if settings.elongations == "folded" and settings.abbreviations == "kept":
        triples = [token[at : at + 3] for token in tokens for at in range(len(token) - 2)]
        assert not any(one.isalpha() and len(set(one)) == 1 for one in triples)


def test_every_emoji_is_kept_as_the_catalogue_has_it():
    for sequence in catalogue().sequences:
        assert tokenize(f"a{sequence}b", KEPT) == ["a", sequence, "b"]


@pytest.mark.parametrize("unit", ["@a ", "😂", "#a", "1", "a:)", "www.", "\U000f0001", "\ud83d"])
def test_a_megabyte_is_read_to_its_limit_whatever_the_settings(unit):
    text = unit * (1_000_000 // len(unit))
    marked = TokenizerSettings(
        emojis="kept", links="marked", users="marked", numbers="marked", hashtags="kept",
        elongations="folded",
    )  # fmt: skip
    for settings in (KEPT, marked):
        assert len(tokenize(text, settings)) <= MAX_CHARACTERS


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"emoji": "kept"}, "unknown setting 'emoji'"),
        ({"emojis": "split"}, "emojis cannot be 'split'"),
        ({"links": True}, "links cannot be True"),
    ],
)
def test_settings_that_cannot_be(values, said):
    with pytest.raises(InputError, match=said):
        TokenizerSettings.from_dict(values)


def test_choices_are_checked_without_a_mapping_too():
    with pytest.raises(InputError, match="numbers 'gone': choose one of kept, marked, dropped"):
        TokenizerSettings(numbers="gone")  # type: ignore[arg-type]


# A model reads as it was taught.


def test_a_vocabulary_reads_as_it_is_told():
    vocabulary = Vocabulary(
        ["so", "😂", LINK, "#fun"], 0, dataclasses.replace(KEPT, links="marked")
    )
    text = "so😂 #Fun www.a.b"
    assert vocabulary.ids(text) == [0, 1, 3, 2]
    assert [(word.word, text[word.start : word.end]) for word in vocabulary.read(text)] == [
        ("so", "so"), ("😂", "😂"), ("#fun", "#Fun"), (LINK, "www.a.b"),
    ]  # fmt: skip
    assert Vocabulary(["so", "fun"]).ids(text) == [0, 1]


def test_a_model_keeps_how_it_reads(tiny, tmp_path):
    pytest.importorskip("onnx", reason="needs the extra train")
    from sqam.classifier import Classifier
    from sqam.export import export
    from sqam.finetune import finetune

    tokenizer = TokenizerSettings(users="marked")
    vocabulary = Vocabulary([*WORDS[:-1], USER], 0, tokenizer)
    folder = tmp_path / "model"
    export(tiny["model"], vocabulary, folder, {}, tiny["codes"], tiny["sentences"])
    encoder = Encoder.load(folder)
    assert encoder.vocabulary.tokenizer == tokenizer
    assert encoder.ids(["@anna love"]) == [[9, 3]]
    # And so does a classifier made of it.
    texts = ["@anna love", "@bob happy", "not love", "not happy"] * 3
    mood = finetune(encoder, texts, ["up", "up", "down", "down"] * 3, "last")
    mood.save(tmp_path / "mood")
    again = Classifier.load(tmp_path / "mood")
    assert again.encoder.vocabulary.tokenizer == tokenizer and set(again.notes) == set(mood.notes)
    np.testing.assert_array_equal(again.logits(texts), mood.logits(texts))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"tokenizer": {"emojis": "eaten"}}, "emojis cannot be 'eaten'"),
        ({"tokenizer": "plain"}, "tokenizer 'plain'"),
        ({"added": "2"}, "added is '2'"),
        ({"added": 10}, "10 of 10 words"),
        ({"added": -1}, "-1 of 10 words"),
    ],
)
def test_a_model_that_does_not_say_how_it_reads_is_refused(tiny, tmp_path, config, said):
    folder = shutil.copytree(tiny["folder"], tmp_path / "model")
    saved = json.loads((folder / "config.json").read_text("utf-8"))
    (folder / "config.json").write_text(json.dumps({**saved, **config}), "utf-8")
    with pytest.raises(InputError, match=said):
        Encoder.load(folder)
