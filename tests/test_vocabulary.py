"""Words chosen from texts; a trained model that learns new ones without forgetting any."""

import json
import shutil
from collections import Counter
from typing import Any

import numpy as np
import pytest
from conftest import WORDS
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.errors import InputError
from sqam.encoder import Encoder
from sqam.scorer import Scorer
from sqam.text import Vocabulary
from sqam.tokenizer import TokenizerSettings
from sqam.vocabulary import ExtendSettings, count, extend, frequent, neighbours, new_words

QUICK = ExtendSettings(at_least=2)
NEW = ["i love sushi", "you love sushi not pizza", "good sushi morning", "ramen", "a ramen 2024",
       "2024", "haiku haiku"]  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tiny):
    return Encoder.load(tiny["folder"])


# Choosing words.


def test_the_most_frequent_words_come_first_and_of_equals_the_first_met():
    counts = count(["b a", "a c", "c! a"])
    assert counts == {"b": 1, "a": 3, "c": 2, "!": 1}
    assert frequent(counts) == ["a", "c", "b", "!"]
    assert frequent(counts, at_most=2) == ["a", "c"]
    assert frequent(counts, at_least=2) == ["a", "c"]
    assert frequent(counts, at_most=3, at_least=3) == ["a"]
    assert frequent(Counter()) == [] == frequent(counts, at_most=0)
    with pytest.raises(InputError, match="at_most is -1"):
        frequent(counts, at_most=-1)


def test_words_are_counted_as_the_tokenizer_is_set():
    assert count(["so😂 @me"], TokenizerSettings(emojis="kept", users="marked")) == {
        "so": 1, "😂": 1, "<user>": 1,
    }  # fmt: skip


@given(
    st.lists(st.text("ab c", max_size=8), max_size=6),
    st.none() | st.integers(0, 4),
    st.integers(1, 3),
)
def test_chosen_words_are_counted_words_in_order(texts, at_most, at_least):
    counts = count(texts)
    words = frequent(counts, at_most, at_least)
    assert words == frequent(count(texts), at_most, at_least)  # the same again
    times = [counts[word] for word in words]
    assert times == sorted(times, reverse=True) and all(n >= at_least for n in times)
    enough = sum(n >= at_least for n in counts.values())
    assert len(words) == len(set(words)) == (enough if at_most is None else min(at_most, enough))


def test_new_words_are_those_that_nothing_is_read_for():
    vocabulary = Vocabulary(["so", "good", "morning", "cool"])
    texts = ["sooo goodmorning sushi", "sooo zen-cool sushi zen 42 42"]
    assert new_words(vocabulary, texts, QUICK) == ["sushi", "zen"]
    # Of those that something near is read for, too: "zen-cool" is met once.
    near = ExtendSettings(at_least=2, near=True)
    assert new_words(vocabulary, texts, near) == ["sooo", "sushi"]
    assert new_words(vocabulary, texts, ExtendSettings(at_most=1, at_least=1)) == ["sushi"]
    assert new_words(vocabulary, ["so good"], QUICK) == []


@pytest.mark.parametrize("name", ["at_most", "at_least", "window"])
def test_settings_that_cannot_be(name):
    values: dict[str, Any] = {name: 0}
    with pytest.raises(InputError, match=f"{name} is 0"):
        ExtendSettings(**values)


# Added words are known as they are written, and nothing else changes.


def test_added_words_are_read_as_they_are_written_alone():
    words = ["so", "good", "morning"]
    before, after = Vocabulary(words), Vocabulary([*words, "goods", "rning", "zen"], added=3)
    assert after.ids("zen goods") == [5, 3]
    # "gooods" folds to "goods", "zens" is a form of "zen", "zenzen" falls into two; but they came
    # later.
    for text in ("gooods zens zenzen", "sooo", "goodmorning", "goodmorrning z e n"):
        assert after.ids(text) == before.ids(text)
    assert after.ids("zen-good") == [5, 1]  # a part that is written


@given(st.text("aegdlnoswk.'- ", max_size=60))
def test_a_text_without_an_added_word_is_read_as_before(text):
    words = ["a", "so", "good", "goo", "soon", "week", "wake", "old", "sold", "now", "own"]
    before, after = Vocabulary(words), Vocabulary([*words, "golden", "sew", "sedan"], added=3)
    if not {14, 13, 12, 11} & set(after.ids(text)):
        assert after.ids(text) == before.ids(text)
        assert after.read(text) == before.read(text)


def test_more_added_words_than_words():
    for added in (-1, 2, 3):
        with pytest.raises(InputError, match=f"{added} of 2 words"):
            Vocabulary(["a", "b"], added)


# Vectors.


def test_neighbours_by_hand(encoder):
    # "sushi" stands beside "love" in one text and beside "pizza" in another. Of the 4 words that
    # are met, two of them "sushi", each of the others is a quarter: both count alike, so the vector
    # is half the sum of theirs. "zen" has no known word beside it: the padding's vector.
    vectors = np.array(encoder.table) * encoder.scales
    love, pizza = vectors[WORDS.index("love") + 1], vectors[WORDS.index("pizza") + 1]
    found = neighbours(encoder, ["love sushi", "sushi pizza", "zen"], ["sushi", "zen"])
    assert found.dtype == np.float32 and found.shape == (2, 6)
    np.testing.assert_allclose(found[0], (love + pizza) / 2, atol=1e-6)
    np.testing.assert_allclose(found[1], vectors[0], atol=1e-6)


def test_a_frequent_neighbour_counts_less(encoder):
    # Of 10 words "the" is 7 and "love" 1: they count 0.001 / (0.001 + 0.7) = 0.0014265 and
    # 0.001 / (0.001 + 0.1) = 0.0099010.
    vectors = np.array(encoder.table) * encoder.scales
    the, love = vectors[WORDS.index("the") + 1], vectors[WORDS.index("love") + 1]
    texts = ["the sushi love", "the the the the the the sushi"]
    found = neighbours(encoder, [texts[0], "the the the the the the", "sushi"], ["sushi"])
    expected = (0.0014265 * the + 0.0099010 * love) / (0.0014265 + 0.0099010)
    np.testing.assert_allclose(found[0], expected, atol=1e-4)


def test_only_words_within_the_window_count(encoder):
    vectors = np.array(encoder.table) * encoder.scales
    found = neighbours(encoder, ["love pizza sushi happy not"], ["sushi"], window=1)
    beside = [vectors[WORDS.index(word) + 1] for word in ("pizza", "happy")]
    np.testing.assert_allclose(found[0], np.mean(beside, axis=0), atol=1e-6)


# Extending a trained model.


def test_an_extended_model_knows_the_new_words_and_forgets_nothing(tiny, tmp_path):
    folder = tmp_path / "new" / "extended"
    given = {"sushi": np.arange(6.0)}
    assert extend(tiny["folder"], folder, NEW, settings=QUICK, vectors=given) == [
        "sushi", "ramen", "haiku",
    ]  # fmt: skip
    before, after = Scorer.load(tiny["folder"]), Scorer.load(folder)
    assert after.vocabulary.words == [*WORDS, "sushi", "ramen", "haiku"]
    assert after.vocabulary.added == 3 and after.encoder.settings["vocabulary"] == 13
    for name in ("table", "scales"):
        one, other = getattr(before.encoder, name), getattr(after.encoder, name)
        np.testing.assert_array_equal(one, other[: len(one)])
    # To the last digit, of texts that have none of the words.
    old = [*tiny["sentences"][:100], "suuushi", "unheard of", ""]
    assert np.array_equal(before.score(old, tiny["codes"]), after.score(old, tiny["codes"]))
    assert not before.known(["sushi"])[0] and after.known(["sushi"])[0]
    new = ["i love sushi"]
    assert np.abs(before.score(new, tiny["codes"]) - after.score(new, tiny["codes"])).max() > 1e-3
    # 0 to 5 in steps of 5 / 127.
    sushi = after.encoder.table[11] * after.encoder.scales[11]
    np.testing.assert_allclose(sushi, np.arange(6), atol=5 / 127 / 2 + 1e-6)
    ramen = neighbours(before.encoder, NEW, ["sushi", "ramen", "haiku"])[1]
    found = after.encoder.table[12] * after.encoder.scales[12]
    np.testing.assert_allclose(found, ramen, atol=np.abs(ramen).max() / 254 + 1e-6)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["note"] == "tiny" and config["added"] == 3


def test_it_can_be_extended_again_in_its_place(tiny, tmp_path):
    folder = shutil.copytree(tiny["folder"], tmp_path / "model")
    one = ExtendSettings(at_most=1, at_least=2)
    assert extend(folder, folder, NEW, settings=one) == ["sushi"]
    assert extend(folder, folder, NEW, settings=one) == ["ramen"]
    encoder = Encoder.load(folder)
    assert encoder.vocabulary.words[-2:] == ["sushi", "ramen"] and encoder.vocabulary.added == 2
    assert sorted(file.name for file in folder.iterdir()) == sorted(
        file.name for file in tiny["folder"].iterdir()
    )


def test_an_extended_model_is_restored_and_tuned(tiny, tmp_path):
    pytest.importorskip("keras", reason="needs the extra train")
    from sqam.classifier import Classifier
    from sqam.export import restore
    from sqam.finetune import FineTuneSettings, finetune

    extend(tiny["folder"], tmp_path / "extended", NEW, settings=QUICK)
    model = restore(tmp_path / "extended", tiny["codes"].codes)
    assert model.settings.vocabulary == 13
    texts = ["sushi", "love sushi", "ramen", "love ramen"] * 5
    labels = ["up", "up", "down", "down"] * 5
    settings = FineTuneSettings(
        tokens=7, epochs=6, batch=5, learning_rate=0.02, dropout=0.0, word_dropout=0.0,
        validation=0.2,
    )  # fmt: skip
    mood = finetune(tmp_path / "extended", texts, labels, "full", settings=settings)
    assert mood.predict(["you love sushi", "you love ramen"]).tolist() == ["up", "down"]
    mood.save(tmp_path / "mood")
    again = Classifier.load(tmp_path / "mood")
    assert again.encoder.vocabulary.added == 3 and "added" not in again.notes
    np.testing.assert_array_equal(again.logits(["sushi sushis"]), mood.logits(["sushi sushis"]))


def test_what_cannot_be_extended(tiny, tmp_path):
    output = tmp_path / "extended"
    with pytest.raises(InputError, match="no new word 5 times"):
        extend(tiny["folder"], output, NEW)
    with pytest.raises(InputError, match="list of sentences"):
        extend(tiny["folder"], output, "sushi sushi", settings=QUICK)
    with pytest.raises(InputError, match="must be a string"):
        extend(tiny["folder"], output, ["sushi", 3], settings=QUICK)  # type: ignore[list-item]
    with pytest.raises(InputError, match="no model at"):
        extend(tmp_path / "none", output, NEW, settings=QUICK)
    for vector in (np.zeros(5), np.full(6, np.nan)):
        with pytest.raises(InputError, match=r"'ramen' .* give 6 finite numbers"):
            extend(tiny["folder"], output, NEW, settings=QUICK, vectors={"ramen": vector})
    assert not output.exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        extend(tiny["folder"], tmp_path / "file" / "x", NEW, settings=QUICK)
