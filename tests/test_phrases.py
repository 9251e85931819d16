"""Training texts: how they fold, split and lose what gives their label away."""

import gzip

import numpy as np
import pytest

from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError
from pipelines import phrases
from sqam.text import tokenize


def row(sequence):
    return catalogue().index(sequence)


def test_two_sources_that_say_the_same_are_one_phrase(data):
    found = [p for p in phrases.gather(catalogue(), data) if p.text.lower() == "full agreement"]
    # Its "!" makes the second one another phrase; without it both would be one.
    assert [p.emojis for p in found] == [(row("👍"),)]
    tokens = [tuple(tokenize(p.text)) for p in phrases.gather(catalogue(), data)
              if p.kind in phrases.PHRASES]  # fmt: skip
    assert len(tokens) == len(set(tokens))


def test_a_keyword_has_all_its_emojis(data, monkeypatch):
    monkeypatch.setattr(phrases, "phrasebook", lambda *_: iter([]))
    found = {p.text: p for p in phrases.gather(catalogue(), data)}
    expected = {i for i, e in enumerate(catalogue()) if "pizza" in e.keywords or e.name == "pizza"}
    assert set(found["pizza"].emojis) == expected and row("🍕") in expected


def test_descriptions_lose_their_template_and_skin_tone(data):
    texts = {p.text for p in phrases.gather(catalogue(), data) if p.kind == "description"}
    (text,) = texts
    assert " ".join(text.split()) == "a raised thumb , in full agreement"


def test_no_skin_tone_tags_and_no_unknown_emoji(data):
    texts = {p.text for p in phrases.gather(catalogue(), data)}
    assert "medium skin tone" not in texts and "no emoji" not in texts


def test_tweets_split_as_they_came_and_the_farthest_part_wins(data):
    found = {p.text.lower(): p for p in phrases.gather(catalogue(), data) if "tweet" in p.kind}
    # The same text stands in train and in val: it is held out, with the emojis of both.
    lost = found["they lost the match again"]
    assert lost.split == "held-out" and set(lost.emojis) == {row("😭"), row("😂")}
    assert found["what a lovely tuesday this is"].split in ("train", "validation")
    assert set(found["what a lovely tuesday this is"].emojis) == {row("😂"), row("❤️")}
    assert found["sunday walk in the train park"].split == "train"
    assert found["sunday walk in the val park"].split == "validation"


def test_clean_tweet_leaves_no_trace_of_the_emoji():
    # The selector stood between two spaces: a plain deletion would leave both, as telling as it.
    assert phrases.clean_tweet(" I \ufe0f you\u200d  so ") == "I you so"


def test_part_is_a_fixed_share():
    parts = [phrases.part(f"phrase {i}") for i in range(4000)]
    # 10 % and 5 % of 4,000, within four standard deviations (19 and 14).
    assert abs(parts.count("held-out") - 400) < 76 and abs(parts.count("validation") - 200) < 56
    assert phrases.part("good morning") == phrases.part("good morning")


def test_what_the_phrasebook_says_comes_first(data, monkeypatch):
    book = {
        phrases.BOOK: [("Pizza", ["😋", "🍕"]), ("so hungry rn", ["🍕", "😋"])],
        phrases.LESSONS: [],
    }
    monkeypatch.setattr(phrases, "phrasebook", lambda folder=phrases.BOOK: iter(book[folder]))
    found = {p.text: p for p in phrases.gather(catalogue(), data)}
    # A keyword stays one, with all its emojis behind those that are ranked.
    assert found["pizza"].kind == "keyword" and found["pizza"].ranked == 2
    assert found["pizza"].emojis[:2] == (row("😋"), row("🍕"))
    assert len(set(found["pizza"].emojis)) == len(found["pizza"].emojis)
    assert found["so hungry rn"][1:3] == ((row("🍕"), row("😋")), "sentence")
    assert found["so hungry rn"].ranked == 2
    assert found["what a lovely tuesday this is"].ranked == 0


def test_lessons_train_alone(data, monkeypatch):
    hash_of = {part: [f"text {i}" for i in range(99) if phrases.part(f"text {i}") == part]
               for part in phrases.SPLITS}  # fmt: skip
    (held, new, *_), (checked, *_) = hash_of["held-out"], hash_of["validation"]
    book = {
        phrases.BOOK: [(held, ["🍕"]), (checked, ["🍕"])],
        phrases.LESSONS: [(held.upper(), ["😋"]), (checked, ["😋"]), (new, ["😋"])],
    }
    monkeypatch.setattr(phrases, "phrasebook", lambda folder=phrases.BOOK: iter(book[folder]))
    found = {p.text: p for p in phrases.gather(catalogue(), data) if p.text.startswith("text ")}
    # What is measured keeps its emojis; what only a lesson says trains, though its hash says not.
    assert found == {
        held: phrases.Phrase(held, (row("🍕"),), "sentence", "held-out", 1),
        checked: phrases.Phrase(checked, (row("🍕"),), "sentence", "validation", 1),
        new: phrases.Phrase(new, (row("😋"),), "sentence", "train", 1),
    }


def test_plain_texts_hold_no_emoji_and_no_selector(tmp_path):
    for name, texts in (("a.csv", ["so  cold", "so \ufe0f  cold", "ice 🧊"]), ("b.csv", ["warm"])):
        (tmp_path / name).write_text("text,label\n" + "".join(f"{t},0\n" for t in texts), "utf-8")
    sources = phrases.Sources(plain=("a.csv", "b.csv"))
    assert phrases.plain(tmp_path, sources) == ["so cold", "warm"]


def test_popularity_counts_what_training_tweets_came_with():
    found = [
        phrases.Phrase("a", (1,), "tweet", "train"),
        phrases.Phrase("b", (1, 0), "tweet", "train"),
        phrases.Phrase("c", (2,), "tweet", "validation"),
        phrases.Phrase("d", (2,), "labelled tweet", "train"),
    ]
    counts = phrases.popularity(found, 4)
    assert counts.dtype == np.float32 and counts.tolist() == [1, 2, 0, 0]
    assert phrases.popularity([], 2).tolist() == [0, 0]


def test_a_missing_file_is_named(data):
    (data / phrases.Sources().tweets).unlink()
    with pytest.raises(InputError, match="tweets_with_emoji"):
        phrases.gather(catalogue(), data)


def test_real_data_shares_no_text_between_parts():
    if not phrases.DATA.is_dir():
        pytest.skip(f"the sentences are not at {phrases.DATA}")
    found = phrases.gather(catalogue())
    for table in (phrases.PHRASES, ("tweet", "labelled tweet")):
        keys = [" ".join(tokenize(p.text)) for p in found if p.kind in table]
        assert len(keys) == len(set(keys))
    assert {p.split for p in found} == set(phrases.SPLITS)
    assert not [p for p in found if "tweet" in p.kind and "\ufe0f" in p.text]


@pytest.mark.parametrize(
    ("name", "column"),
    [("tweets", "split"), ("labels", "emoji-or-name"), ("short_descriptions", "emoji")],
)
def test_a_missing_column_is_named(data, name, column):
    path = data / getattr(phrases.Sources(), name)
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "wt", encoding="utf-8") as file:
        file.write("text,emojis,label,description\na,b,c,d\n")
    with pytest.raises(InputError, match=f"no column '{column}'"):
        phrases.gather(catalogue(), data)


def test_without_numbers_the_kept_emojis_anew():
    found = [
        phrases.Phrase("a", (0, 2), "name", "train"),
        phrases.Phrase("b", (1,), "name", "train"),
        phrases.Phrase("c", (3, 1), "tweet", "held-out"),
        phrases.Phrase("d", (3, 1, 2), "sentence", "train", 2),
    ]
    # Emoji 1 goes; 2 and 3 become 1 and 2. Of the two ranked ones of "d" one is left.
    assert phrases.without(found, np.array([True, False, True, True])) == [
        phrases.Phrase("a", (0, 1), "name", "train"),
        phrases.Phrase("c", (2,), "tweet", "held-out"),
        phrases.Phrase("d", (2, 1), "sentence", "train", 1),
    ]


def test_known_leaves_out_newer_emojis_and_tells_their_texts(data):
    everything = phrases.known(catalogue(), data)
    assert everything.phrases == phrases.gather(catalogue(), data)
    assert everything.kept.all() and everything.dropped == []
    older = phrases.known(catalogue(), data, 14)
    new = [entry.name for entry in catalogue() if float(entry.version) >= 14]
    assert (~older.kept).sum() == len(new) > 50
    assert "melting face" in new and "melting face" in older.dropped
    assert not {p.text for p in older.phrases} & set(older.dropped)
    assert max(max(p.emojis) for p in older.phrases) < older.kept.sum()
