"""The five classes by cosine: reading the sentences, tuning, measuring."""

import csv
import json

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the extra train")

from conftest import WORDS
from keras import ops

from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from pipelines import five_classes, glove, phrases
from pipelines.emojifier import EMOJIS, Labelled
from pipelines.five_classes import (
    READINGS,
    Tuner,
    TuneSettings,
    main,
    measure,
    replayed,
    vectors_of,
)
from sqam.export import restore
from sqam.scorer import Scorer
from sqam.text import Vocabulary, tokenize


def write(path, rows, header=("sentence", "label")):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([header, *rows])


@pytest.mark.parametrize(
    "change",
    [
        {"epochs": 0},
        {"learning_rate": 0.0},
        {"dropout": 1.0},
        {"tokens": 0},
        {"replay": -1},
        {"kept": 1.0},
        {"kept": -0.1},
    ],
)
def test_settings_out_of_range(change):
    with pytest.raises(InputError, match="must be"):
        TuneSettings(**change)


CLASSES = ["love you", "the", "happy", "not happy", "pizza"]


def tuner(tiny, again=None, **changes):
    settings = TuneSettings(
        **{"epochs": 60, "batch": 5, "learning_rate": 0.02, "dropout": 0.0, "tokens": 7,
           "word_dropout": 0.0} | changes
    )  # fmt: skip
    codes = tiny["codes"].select(EMOJIS)
    model = restore(tiny["folder"], codes.codes, **settings.of_model())
    return Tuner(model, Vocabulary(WORDS), settings, 5, again)


def test_tuning_learns_and_begins_anew(tiny):
    sentences = Labelled(CLASSES, np.arange(5))
    one = tuner(tiny, word_dropout=0.05)
    before = one.model.question_vectors(one.ids(CLASSES))
    one.fit(sentences, seed=0)
    assert one.accuracy(sentences) == 1.0
    first = one.model.question_vectors(one.ids(CLASSES))
    assert np.abs(first - before).max() > 0.1
    # The same training again, whatever was trained before it; another seed's is another.
    one.fit(sentences, seed=0)
    np.testing.assert_array_equal(one.model.question_vectors(one.ids(CLASSES)), first)
    one.fit(sentences, seed=1)
    assert np.abs(one.model.question_vectors(one.ids(CLASSES)) - first).max() > 1e-3


def test_kept_is_the_mean_of_before_and_after(tiny):
    sentences = Labelled(CLASSES, np.arange(5))
    one = tuner(tiny, epochs=3)
    before = [ops.convert_to_numpy(weight) for weight in one.model.trainable_variables]
    one.fit(sentences, seed=0)
    after = [ops.convert_to_numpy(weight) for weight in one.model.trainable_variables]
    other = tuner(tiny, epochs=3, kept=0.25)
    other.fit(sentences, seed=0)
    moved = 0.0
    for weight, old, new in zip(other.model.trainable_variables, before, after, strict=True):
        # A quarter of what was, three of what tuning alone makes of it.
        np.testing.assert_allclose(ops.convert_to_numpy(weight), 0.25 * old + 0.75 * new, atol=1e-6)
        moved = max(moved, float(np.abs(new - old).max()))
    assert moved > 0.01


def test_what_choices_are_made_by_is_not_trained_on(monkeypatch):
    book = [
        ("so good", ["😄", "🎉"]),
        ("dinner then", ["🍕", "🍴", "🌙"]),  # second is as good as first
        ("love or joy", ["❤️", "😄"]),  # between two of the five
        ("a home run", ["🎉", "🏆", "⚾"]),  # not among the best two
        (" ".join(["long"] * 13), ["😞", "😢"]),
        ("in training", ["😞", "😢"]),
    ]
    monkeypatch.setattr(phrases, "phrasebook", lambda: iter(book))
    parts = {"so good": "validation", "dinner then": "validation", "in training": "train"}
    monkeypatch.setattr(phrases, "part", lambda key: parts.get(key, "validation"))
    found = five_classes.kept_for_choices()
    assert found.sentences == ["so good", "dinner then"]
    assert found.labels.tolist() == [EMOJIS.index("😄"), EMOJIS.index("🍴")]


def test_a_sentence_without_a_known_word_teaches_nothing(tiny):
    one = tuner(tiny, epochs=2)
    one.fit(Labelled(["qwxz", *CLASSES[1:]], np.arange(5)), seed=0)
    weights = [np.asarray(weight) for weight in one.model.trainable_variables]
    assert all(np.isfinite(weight).all() for weight in weights)


def test_what_is_replayed_is_learnt_too_and_nothing_of_it_without(tiny):
    # "morning" is in none of the sentences; only what is replayed says that it is ⚾.
    again = Labelled(["morning", "qwxz"], np.array([1, 0]))
    asked = Labelled(["good morning"], np.array([1]))
    sentences = Labelled(CLASSES, np.arange(5))
    one = tuner(tiny, again, replay=2)
    one.fit(sentences, seed=0)
    assert one.accuracy(Labelled(["morning"], np.array([1]))) == 1.0
    with_it = one.model.question_vectors(one.ids(asked.sentences))
    other, plain = tuner(tiny, again, replay=0), tuner(tiny)
    for each in (other, plain):
        each.fit(sentences, seed=0)
    without = plain.model.question_vectors(plain.ids(asked.sentences))
    np.testing.assert_array_equal(other.model.question_vectors(other.ids(asked.sentences)), without)
    assert np.abs(with_it - without).max() > 1e-3


def test_replayed_are_training_sentences_with_the_class_they_name_first(monkeypatch):
    book = [
        ("any morning", ["🍕", "🍴", "❤️"]),  # 🍴 comes first of the five
        ("what a day", ["🍕", "🌙"]),  # none of the five
        ("never seen", ["😞", "😢"]),
    ]
    monkeypatch.setattr(phrases, "phrasebook", lambda: iter(book))
    parts = {"any morning": "train", "what a day": "train", "never seen": "held-out"}
    monkeypatch.setattr(phrases, "part", parts.__getitem__)
    found = replayed()
    assert found.sentences == ["any morning"]
    assert found.labels.tolist() == [EMOJIS.index("🍴")]
    monkeypatch.undo()
    texts = {" ".join(tokenize(text)) for text, _ in phrases.phrasebook()}
    found = replayed()
    assert len(found.sentences) > 1_000 and set(found.labels) == set(range(5))
    assert {" ".join(tokenize(text)) for text in found.sentences} < texts


def test_measure_by_hand(tiny):
    class Fixed(Scorer):
        """Reads a text by its first word."""

        def __init__(self):
            pass

        def classify(self, sentences, candidates):
            first = {"love": "❤️", "pizza": "🍴", "not": "😞", "i": "❤️"}
            return [first.get(text.split()[0].lower()) for text in sentences]

    train = Labelled(["Love me", "the"], np.array([0, 1]))
    # "love me" stands in train, whatever its case. Right: 0, 4; wrong: 3 read as 0; unknown: 2.
    test = Labelled(["love me", "pizza", "love none", "what"], np.array([0, 4, 3, 2]))
    found = measure(Fixed(), tiny["codes"].select(EMOJIS), train, test)
    assert found["test"] == 2 / 4
    assert found["test, not in train"] == 1 / 3
    assert found["train"] == 1 / 2
    confusion = np.zeros((5, 5), int)
    confusion[0, 0] = confusion[4, 4] = confusion[3, 0] = 1
    assert found["confusion"] == confusion.tolist()
    # "this movie ..." is unknown, "I do not want to joke" is read as a heart: 3 of 5.
    assert found["readings right"] == 3 / 5 and list(found["readings"]) == list(READINGS)


def test_vectors_before_any_training():
    # 127 steps of 0.02 make 2.54: the others are rounded to whole ones.
    table = glove.Glove(["a", "b"], np.array([[2.54, 0.5], [1.27, -0.031]], np.float32))
    np.testing.assert_allclose(vectors_of(["b", "a"], table), [[1.27, -0.03], [2.54, 0.5]])
    with pytest.raises(InputError, match="lacks 'c'"):
        vectors_of(["a", "c"], table)


def test_the_command(tiny, tmp_path, monkeypatch, capsys):
    rows = [(text, label) for label, text in enumerate(CLASSES)]
    write(tmp_path / "emojiset/train.csv", rows * 5)
    write(tmp_path / "emojiset/test.csv", [*rows[1:], ("i love pizza", 4)])
    tiny["codes"].save(tmp_path / "codes.npz")
    quick = TuneSettings(epochs=2, batch=25, tokens=7)
    monkeypatch.setattr(five_classes, "TUNED", quick)
    monkeypatch.setattr(five_classes, "ALONE", quick)
    monkeypatch.setattr(five_classes, "GRID", {"epochs": (1, 2)})
    # `export` compares on a thousand texts; ten words make some, again and again.
    monkeypatch.setattr(five_classes, "sample", lambda words: tiny["sentences"])
    table = glove.Glove([*WORDS, "further"], np.ones((11, 6), np.float32))
    monkeypatch.setattr(glove, "load", lambda source, cache: table)
    common = ["--model", str(tiny["folder"]), "--codes", str(tmp_path / "codes.npz")]
    common += ["--data", str(tmp_path)]
    output = tmp_path / "x.json"
    assert main([*common, "--seeds", "0", "1", "--output", str(output)]) == 0
    found = json.loads(output.read_text("utf-8"))
    codes = EmojiCodes.load(tmp_path / "codes.npz").select(EMOJIS)
    texts = [*CLASSES[1:], "i love pizza"]
    zero_shot = Scorer.load(tiny["folder"]).classify(texts, codes)
    meant = [*EMOJIS[1:], "🍴"]
    right = np.mean([name == emoji for name, emoji in zip(zero_shot, meant, strict=True)])
    assert found["figures"]["zero-shot"]["test"] == pytest.approx(right)
    for name in ("tuned", "alone"):
        tests = [row["test"] for row in found["runs"][name]]
        assert [row["seed"] for row in found["runs"][name]] == [0, 1]
        assert found["figures"][name]["test"]["mean"] == pytest.approx(np.mean(tests), abs=1e-5)
    assert found["settings"]["tuned"]["epochs"] == 2
    capsys.readouterr()
    assert main([*common, "--search"]) == 0
    printed = capsys.readouterr().out
    assert printed.count("epochs") == 2 and printed.count("phrasebook") == 2
    assert main([*common[:-1], str(tmp_path / "none")]) == 2
    assert "none/emojiset" in capsys.readouterr().err
