"""Raw texts become examples: what is taken out, what is left out, what is shown how often."""

import json
from collections import Counter

import emoji
import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import packed
from hypothesis import example, given
from hypothesis import strategies as st

from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError
from pipelines import corpus, phrases
from pipelines.corpus import Prepared, Stream, chosen, extract, prepare, rates
from sqam.text import Vocabulary, tokenize


def row(sequence):
    return catalogue().index(sequence)


@pytest.mark.parametrize(
    ("text", "rest", "emojis"),
    [
        ("so good ❤️❤️ 👍🏽!", "so good !", "❤️ 👍"),
        ("no emoji at all", "no emoji at all", ""),
        # The selector and the joiner go, and the gap where the emoji was; "❤" is "❤️".
        ("I ❤ \ufe0f you\u200d 😂", "I you", "❤️ 😂"),
        ("a1️⃣b 🇺🇸 🤷🏻‍♀️", "a b", "1️⃣ 🇺🇸 🤷"),
        # Signs that hardly anybody means as emojis stay, unless U+FE0F says so.
        ("© 2015 ™", "© 2015 ™", ""),
        ("©️ 2015", "2015", "©️"),
        # What broken emojis leave behind: a lone flag's half, a lone skin tone, a keycap's frame.
        ("x 🇺 y 🏽 z \u20e3", "x y z", ""),
        ("naïve café 🍕 niño", "naïve café niño", "🍕"),
    ],
)
def test_extract_by_hand(text, rest, emojis):
    assert extract(text) == (rest, tuple(map(row, emojis.split())))


PIECES = st.sampled_from(
    ["good", "day", "❤️", "❤", "🍕", "👍🏽", "👩\u200d🚒", "\ufe0f", "\u200d", "🇺🇸", "1️⃣", " "]
)


@example(["❤️", "\u200d"])
@given(st.lists(PIECES | st.text(max_size=3), max_size=12))
def test_nothing_that_tells_the_emoji_is_left(pieces):
    rest, rows = extract("".join(pieces))
    assert not set(rest) & {"\ufe0f", "\u200d", "\ufe0e", "\u20e3"}
    assert not [found for found in emoji.emoji_list(rest) if found["emoji"] not in "©®™"]
    assert len(set(rows)) == len(rows)
    assert rest == " ".join(rest.split())


@given(st.lists(st.sampled_from(["❤️", "🍕", "😂", "🇺🇸"]), max_size=6))
def test_each_distinct_emoji_is_an_answer_once(emojis):
    text, rows = extract(" and ".join(["well", *emojis]))
    assert rows == tuple(dict.fromkeys(map(row, emojis)))
    assert Counter(text.split()) == Counter(["well"] + ["and"] * len(emojis))


TEXTS = [
    "RT @someone: what a pizza 🍕",
    "look (RT @user) 🍕",
    "ART @night 🍕",  # no retweet
    "no emoji here",
    "❤️❤️",
    "What a lovely day 😂 ❤️",
    "what a LOVELY day! 😂",  # other tokens: "!" is one
    "what a  lovely day ❤️😂",  # a duplicate
    "what a lovely day 🍕 ❤️",  # the same with another emoji
]


def lines(folder, texts, name="texts.txt"):
    path = folder / name
    path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
    return str(path)


def everything(prepared):
    return {
        part: [e for b in range(prepared.buckets) for e in prepared.bucket(b, part)]
        for part in phrases.SPLITS
    }


def test_what_is_left_out_and_what_is_kept(tmp_path):
    found = prepare([lines(tmp_path, TEXTS)], None, tmp_path / "corpus", buckets=4)
    kept = [example for part in everything(found).values() for example in part]
    assert sorted(kept) == sorted(
        [
            ("ART @night", (row("🍕"),)),
            ("What a lovely day", (row("😂"), row("❤️"))),
            ("what a LOVELY day!", (row("😂"),)),
            ("what a lovely day", (row("🍕"),)),  # without the heart that it had already
        ]
    )
    counted = {k: v for k, v in found.texts.items() if k not in phrases.SPLITS}
    assert counted == {
        "read": 9, "retweets": 2, "without an emoji": 1, "without a word": 1, "duplicates": 1,
    }  # fmt: skip
    assert sum(found.texts.get(part, 0) for part in phrases.SPLITS) == 4
    assert not list((tmp_path / "corpus").glob("part-*"))


EMOJIS = ["❤️", "😂", "🍕", "🎉"]
SUBJECTS = ["sun", "rain", "dog", "cat", "song", "game", "cake", "train", "lamp", "moon"]


def own(n, seed=0):
    """Different texts of our own; of 10 emojis 6 are the first, 2 the second, 1 each the others."""
    rng = np.random.default_rng(seed)
    for number in range(n):
        a, b = rng.choice(SUBJECTS, 2)
        which = "❤️❤️❤️❤️❤️❤️😂😂🍕🎉".replace("\ufe0f", "")[number % 10]
        yield f"the {a} and the {b} at {'abcdefghij'[number % 10]} {spelt(number)} {which}"


def spelt(number):
    return " ".join("nought one two three four five six seven eight nine".split()[int(d)]
                    for d in str(number))  # fmt: skip


def test_parts_go_by_the_words_as_elsewhere(tmp_path):
    found = prepare([lines(tmp_path, own(600))], None, tmp_path / "corpus", buckets=5)
    parts = everything(found)
    assert {part: len(examples) for part, examples in parts.items()} == {
        part: found.texts[part] for part in phrases.SPLITS
    }
    for part, examples in parts.items():
        assert examples and all(phrases.part(" ".join(tokenize(e.text))) == part for e in examples)
    # Counts and words are those of the training texts alone.
    counts = Counter(row for e in parts["train"] for row in e.emojis)
    assert {int(r): int(found.counts[r]) for r in np.flatnonzero(found.counts)} == counts
    assert found.words() == Counter(t for e in parts["train"] for t in tokenize(e.text))
    assert next(iter(found.words())) == "the"


def test_any_number_of_processes_and_files_gives_the_same(tmp_path, monkeypatch):
    texts = [*own(400), *own(300)]  # the second half repeats the first
    whole = prepare([lines(tmp_path, texts)], None, tmp_path / "one", buckets=3)
    assert whole.texts["duplicates"] >= 300
    for at, part in enumerate((texts[:100], texts[100:550], texts[550:])):
        table = pa.table({"body": part, "id": range(len(part))})
        pq.write_table(table, tmp_path / f"{at}.parquet", row_group_size=64)
    monkeypatch.setattr(corpus, "_BLOCK", 64)
    parted = prepare([str(tmp_path / "*.parquet")], "body", tmp_path / "two", 3, processes=2)
    assert everything(parted) == everything(whole)
    assert parted.texts == whole.texts and parted.words() == whole.words()
    np.testing.assert_array_equal(parted.counts, whole.counts)


@pytest.mark.parametrize("kind", ["csv", "jsonl.gz", "memory"])
def test_formats_and_addresses(kind, tmp_path):
    texts = [*own(30)]
    if kind == "csv":
        path = tmp_path / "texts.csv"
        path.write_text("id,body\n" + "".join(f'1,"{text}"\n' for text in texts), encoding="utf-8")
        found = prepare([str(path)], "body", tmp_path / "corpus", 2)
    else:
        data = "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()
        if kind == "memory":
            fsspec.filesystem("memory").pipe("/corpus-test/texts.jsonl", data)
            found = prepare(["memory://corpus-test/*.jsonl"], None, tmp_path / "corpus", 2)
        else:
            path = tmp_path / "texts.jsonl.gz"
            path.write_bytes(packed(data, ".gz"))
            found = prepare([str(path)], None, tmp_path / "corpus", 2)
    assert found.texts["read"] == 30 and found.counts[row("❤️")] > 5


def test_a_prepared_corpus_is_used_again_and_never_for_another(tmp_path, monkeypatch):
    path, folder = lines(tmp_path, own(50)), tmp_path / "corpus"
    prepare([path], None, folder, 2)
    with monkeypatch.context() as context:
        context.setattr(corpus, "_read", None)
        assert prepare([path], None, folder, 2).texts["read"] == 50
    for other in ((path, 3), (lines(tmp_path, own(51), "other.txt"), 2)):
        with pytest.raises(InputError, match="another corpus"):
            prepare([other[0]], None, folder, other[1])
    lines(tmp_path, own(60))  # the same name, other texts
    with pytest.raises(InputError, match="before they changed"):
        prepare([path], None, folder, 2)


def test_what_an_interrupted_preparation_left_is_no_part_of_the_next(tmp_path):
    folder = tmp_path / "corpus"
    folder.mkdir()
    (folder / "part-0000-0000.jsonl").write_text("rubbish")
    (folder / "bucket-0007-train.jsonl").write_text("rubbish")
    found = prepare([lines(tmp_path, own(50))], None, folder, 2)
    assert sum(map(len, everything(found).values())) == 50
    assert not (folder / "bucket-0007-train.jsonl").exists()


def test_bad_input_is_told(tmp_path):
    def told(*arguments, match):
        with pytest.raises(InputError, match=match):
            prepare(*arguments)
        assert not (tmp_path / "corpus" / corpus.MANIFEST).exists()

    folder = tmp_path / "corpus"
    told([str(tmp_path / "none-*.txt")], None, folder, match="there is no file")
    told([lines(tmp_path, own(5))], "text", folder, match="have no column")
    told([lines(tmp_path, own(5), "texts.doc")], None, folder, match="cannot tell how to read")
    path = tmp_path / "texts.csv"
    path.write_text("a,b\n1,2\n")
    told([str(path)], None, folder, match="no column 'text'")
    told([lines(tmp_path, ["hello"])], None, folder, match="of 1 texts none")
    folder.mkdir(exist_ok=True)
    (folder / corpus.MANIFEST).write_text("{}")
    with pytest.raises(InputError, match="no prepared corpus or a damaged one"):
        Prepared(folder)


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    return prepare([lines(folder, own(400))], None, folder / "corpus", buckets=4)


def test_emojis_are_chosen_by_number_or_by_file(small, tmp_path):
    names = catalogue().sequences
    assert [names[r] for r in chosen(small, "2")] == ["❤️", "😂"]
    assert {names[r] for r in chosen(small, "all")} == set(EMOJIS)
    listing = lines(tmp_path, ["🎉", "", "❤", "❤️"], "emojis.txt")  # one of them twice
    assert [names[r] for r in chosen(small, listing)] == ["🎉", "❤️"]
    table = tmp_path / "emojis.csv"
    table.write_text("class,emoji\n0,😂\n1,🍕\n", encoding="utf-8")
    assert [names[r] for r in chosen(small, str(table))] == ["😂", "🍕"]


def test_emojis_that_cannot_be_chosen(small, tmp_path):
    for wanted, match in (
        ("5", "only 4 different emojis"),
        ("1", "leaves 1"),
        ("0", "leaves 0"),
        (str(tmp_path / "none.txt"), "cannot read"),
        (lines(tmp_path, ["🎉", "hello"], "a.txt"), "no emoji of the catalogue"),
        (lines(tmp_path, ["🎉", "🐶"], "b.txt"), "no training text holds 🐶"),
    ):
        with pytest.raises(InputError, match=match):
            chosen(small, wanted)


def test_rates_by_hand():
    counts = np.array([100, 10, 1])
    assert rates(counts, 1, 1000).tolist() == [1, 10, 100]  # each 100 times a pass
    assert rates(counts, 1, 20).tolist() == [1, 10, 20]
    assert rates(counts, 0, 20).tolist() == [1, 1, 1]
    np.testing.assert_allclose(rates(counts, 0.5, 20), [1, 10**0.5, 10])


@given(st.lists(st.integers(1, 10**9), min_size=1, max_size=20), st.floats(0, 1), st.floats(1, 50))
def test_rates_are_bounded_and_favour_the_rare(counts, balance, most):
    found = rates(np.array(counts), balance, most)
    assert (found >= 1).all() and (found <= most).all()
    order = np.argsort(counts, kind="stable")
    assert (np.diff(found[order]) <= 0).all()


VOCABULARY = Vocabulary([*SUBJECTS, "the", "and", "at"])


def stream(small, shown=(1.0, 1.0, 1.0, 1.0), **changes):
    settings = {"shard": 0, "of": 1, "seed": 0, "buffer": 50, **changes}
    rows = [row(one) for one in EMOJIS]
    return Stream(small, rows, np.array(shown), VOCABULARY, 8, **settings)


def one_pass(source):
    found = []
    while True:
        found += source.take(1)
        if source.place[0]:
            return found[:-1]


def test_a_pass_shows_each_example_as_often_as_its_rate(small):
    counts = small.counts[[row(one) for one in EMOJIS]]
    shown = Counter(s.shown for s in one_pass(stream(small)))
    assert [shown[at] for at in range(4)] == counts.tolist()
    shown = Counter(s.shown for s in one_pass(stream(small, shown=(1, 2.5, 3, 7))))
    assert [shown[at] for at in (0, 2, 3)] == [counts[0], 3 * counts[2], 7 * counts[3]]
    # Two of each, and a third of half of them: four standard deviations.
    assert abs(shown[1] - 2.5 * counts[1]) < 4 * (0.25 * counts[1]) ** 0.5
    assert all(s.answers == (s.shown,) and 5 <= len(s.ids) <= 8 for s in one_pass(stream(small)))


def test_a_text_of_several_emojis_is_shown_for_each(tmp_path):
    texts = [f"{text} 🎉" for text in own(60)]
    found = prepare([lines(tmp_path, texts)], None, tmp_path / "corpus", buckets=1)
    seen = one_pass(stream(found))
    hearts = [s for s in seen if s.answers == (0, 3)]
    assert Counter(s.shown for s in hearts) == {0: len(hearts) / 2, 3: len(hearts) / 2}


@given(taken=st.integers(0, 700))
def test_a_stream_goes_on_where_it_was(small, taken):
    first = stream(small, shown=(1, 1.5, 1, 1))
    first.take(taken)
    again = stream(small, shown=(1, 1.5, 1, 1), place=first.place)
    assert again.take(40) == first.take(40) and again.place == first.place


def test_shards_share_the_corpus_and_each_pass_has_its_order(small):
    def texts(showings):
        return Counter((tuple(s.ids), s.shown) for s in showings)

    whole = one_pass(stream(small))
    parts = [one_pass(stream(small, shard=shard, of=2)) for shard in (0, 1)]
    assert texts(whole) == texts(parts[0]) + texts(parts[1])
    assert min(map(len, parts)) > 100
    longer = stream(small)
    second = longer.take(2 * len(whole))[len(whole) :]
    assert texts(second) == texts(whole) and second != whole
    other = one_pass(stream(small, seed=1))
    assert texts(other) == texts(whole) and other != whole


def test_an_empty_shard_is_told(tmp_path):
    found = prepare([lines(tmp_path, own(3))], None, tmp_path / "corpus", buckets=64)
    with pytest.raises(InputError, match="too small for so many --shards"):
        for shard in range(64):
            stream(found, shard=shard, of=64).take(1)


def test_only_frequent_words_are_remembered(monkeypatch):
    monkeypatch.setattr(corpus, "_WORDS", 4)
    words = Counter({"a": 5, "b": 1, "c": 3})
    corpus._count(words, {"d": 2, "b": 1, "e": 9})
    assert words == {"e": 9, "a": 5}
