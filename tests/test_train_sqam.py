"""Training: settings, batches, and a whole small run that is interrupted and goes on."""

import dataclasses
import json
from typing import Any

import numpy as np
import pytest

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from pipelines import phrases, train_sqam, views
from pipelines.phrases import Phrase
from pipelines.train_sqam import (
    Examples,
    TrainSettings,
    batches,
    main,
    place_of,
    settings_from,
    views_of,
    with_kin,
    without,
)
from sqam.model import SQAMSettings
from sqam.scorer import Scorer
from sqam.text import Vocabulary, tokenize

MODEL = SQAMSettings(batch=4, max_tokens=10)
ALONE: list[dict[int, float]] = [{}] * 3


def examples():
    vocabulary = Vocabulary(["a", "b", "c", "d"])
    found = [
        Phrase("a b", (0,), "name", "train"),
        Phrase("c", (0, 2), "keyword", "train"),
        Phrase("d d d d d d", (1,), "tweet", "train"),
        Phrase("b", (2,), "labelled tweet", "train"),
        Phrase("unheard of", (1,), "tag", "train"),
        Phrase("a d", (2, 0), "sentence", "train"),
    ]
    return Examples(found, vocabulary, MODEL.max_tokens)


def test_phrases_without_a_known_word_train_nothing():
    assert [p.text for p in examples().phrases] == ["a b", "c", "d d d d d d", "b", "a d"]


def test_batches_are_full_and_hold_what_the_settings_say():
    settings = TrainSettings(
        model=MODEL, sentences=2, tweets=4, labelled_tweets=6, made=0, thin=0.0
    )
    found = list(batches(examples(), settings, 0, 3, ALONE))
    # 2 phrases, 6 labelled tweets and the sentence twice have up to 4 tokens: 10, three batches of
    # 4 of which two rows fill up. The tweet's 4 showings have 6 tokens: one batch, 8 wide.
    assert sorted(ids.shape for ids, _ in found) == [(4, 4), (4, 4), (4, 4), (4, 8)]
    rows = [
        (tuple(i), tuple(c)) for ids, correct in found for i, c in zip(ids, correct, strict=True)
    ]
    assert rows.count(((1, 2, 0, 0), (1, 0, 0))) >= 1  # "a b" is rows 0, 1, so ids 1, 2
    assert rows.count(((3, 0, 0, 0), (1, 0, 1))) >= 1  # both correct emojis
    assert rows.count(((2, 0, 0, 0), (0, 0, 1))) >= 6
    assert rows.count(((1, 4, 0, 0), (0.5, 0, 1))) >= 2  # its best emoji is row 2
    assert rows.count(((4,) * 6 + (0, 0), (0, 1, 0))) == 4


def test_made_sentences_hold_a_phrase_of_their_emoji():
    settings = TrainSettings(
        model=MODEL, sentences=0, tweets=0, labelled_tweets=0, made=100, filler=2
    )
    seen = 0
    for ids, correct in batches(examples(), settings, 0, 3, ALONE):
        for row, good in zip(ids, correct, strict=True):
            assert good.sum() >= 1
            if good.tolist() == [0, 0, 1]:  # made for emoji 2 alone, which has only "c", id 3
                assert 3 in row
                seen += 1
    assert seen > 5


def test_kin_count_as_correct_too():
    # Emoji 2 has the grade 1 and emoji 0, the sentence's second, 1/2. Emoji 1 is their kin:
    # 0.5 * 0.8 * 1 by emoji 2, 0.5 * 0.9 * 1/2 by emoji 0; the better one counts. What the sentence
    # names keeps its own grade, though 0.5 * 0.9 * 1 would be more than none.
    relations = [{1: 0.9}, {}, {1: 0.8, 0: 0.9}]
    grades = {2: 1.0, 0: 0.5}
    assert with_kin(grades, relations, 0.5) == pytest.approx({2: 1.0, 0: 0.5, 1: 0.4})
    assert with_kin(grades, relations, 0.0) == grades
    settings = TrainSettings(model=MODEL, sentences=4, made=0, labelled_tweets=0, kin=0.5)
    rows = [
        (tuple(i), tuple(map(float, c)))
        for ids, correct in batches(examples(), settings, 0, 3, relations)
        for i, c in zip(ids, correct, strict=True)
    ]
    half = float(np.float32(0.4))
    assert rows.count(((1, 4, 0, 0), (0.5, half, 1.0))) >= 4
    # Names and keywords have no kin: they tell which of near synonyms is meant.
    assert rows.count(((1, 2, 0, 0), (1.0, 0.0, 0.0))) >= 1


def test_one_seed_and_epoch_one_order():
    settings = TrainSettings(model=MODEL, made=20)

    def epoch(number, **changes):
        now = dataclasses.replace(settings, **changes)
        return [ids.tolist() for ids, _ in batches(examples(), now, number, 3, ALONE)]

    assert epoch(3) == epoch(3)
    assert epoch(3) != epoch(4) and epoch(3) != epoch(3, seed=1)


def test_settings_from_the_command_line():
    found = settings_from("default", ["epochs=3", "model.margin=0.4", "glove=50d"])
    assert (found.epochs, found.model.margin, found.glove) == (3, 0.4, "50d")
    assert settings_from("2017", []).model == SQAMSettings.preset("2017")


@pytest.mark.parametrize(
    "change",
    [
        "epoch=3",
        "model.margins=1",
        "epochs",
        "epochs=0",
        "epochs=many",
        "epochs=2.5",
        "model=3",
        "model.lstm_units=many",
        "model.lstm_units=0",
        "model.mask=1",
        "model.shared_units=[8,0]",
    ],
)
def test_settings_that_do_not_exist_or_cannot_be(change):
    with pytest.raises(InputError):
        settings_from("default", [change])


def test_a_mistake_is_one_line_and_exit_code_2(capsys, tmp_path):
    assert main(["--set", "epoch=3"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "epoch=3" in error and "Traceback" not in error
    assert main(["--data", str(tmp_path), "--output", str(tmp_path / "out")]) == 2
    assert str(tmp_path) in capsys.readouterr().err


def glove_file(folder, dimensions=8, words=1500):
    """Write word vectors of our own for the catalogue's most frequent words."""
    seen = dict.fromkeys(t for e in catalogue() for k in (e.name, *e.keywords) for t in tokenize(k))
    rng = np.random.default_rng(0)
    path = folder / "vectors.txt"
    with open(path, "w", encoding="utf-8") as file:
        for word in list(seen)[:words]:
            file.write(
                " ".join([word, *(f"{x:.3f}" for x in rng.standard_normal(dimensions))]) + "\n"
            )
    return path


def test_without_numbers_the_kept_emojis_anew():
    found = [
        Phrase("a", (0, 2), "name", "train"),
        Phrase("b", (1,), "name", "train"),
        Phrase("c", (3, 1), "tweet", "held-out"),
    ]
    # Emoji 1 goes; 2 and 3 become 1 and 2.
    assert without(found, np.array([True, False, True, True])) == [
        Phrase("a", (0, 1), "name", "train"),
        Phrase("c", (2,), "tweet", "held-out"),
    ]


class FixedScorer:
    """Scores by a table, whatever the texts; knows all but one word."""

    def __init__(self, table):
        self.table = np.array(table, dtype=np.float32)

    def score(self, texts, candidates):
        return np.tile(self.table, (len(texts), 1))

    def known(self, texts):
        return np.array([text != "pizza" for text in texts])


def test_place_of_by_hand():
    candidates = EmojiCodes.load().select(["😀", "🍕", "🐶"])
    scorer: Any = FixedScorer([0.5, 0.9, 0.5])
    # 😀 has one better and one level: 1.5 of 2 places down, 100 x (1 - 0.75) = 25.
    found = place_of(scorer, candidates, np.array([0]))
    assert found["names"] == {"texts": 1, "median percentile": 25.0, "hit@10": 1.0}
    assert found["keywords"]["texts"] == len(catalogue()[catalogue().index("😀")].keywords)
    # 🍕 would be the first, but its name is unknown: last.
    found = place_of(scorer, candidates, np.array([1]))
    assert found["names"]["median percentile"] == 0.0


def test_views_are_encoded_once_and_kept(tmp_path, monkeypatch):
    codes = EmojiCodes.load()
    pictures = np.zeros((len(codes), 36, 36, 4), np.float32)
    there = np.zeros(len(codes), bool)
    there[[3, 5]] = True

    class Codec:
        calls = 0

        def encode(self, shown):
            self.calls += 1
            return np.full((len(shown), 16), 7, np.float32)

    view = views.Views("one", pictures, there)
    monkeypatch.setattr(views, "load", lambda vendor, cache: view)
    codec: Any = Codec()
    found = views_of(codec, codes, ["one"], tmp_path, tmp_path)
    assert found is not None and found.shape == (len(codes), 1, 16)
    assert (found[[3, 5]] == 7).all()
    np.testing.assert_array_equal(found[4, 0], codes.codes[4])  # its own, where the vendor has none
    again = views_of(codec, codes, ["one"], tmp_path, tmp_path)
    assert again is not None
    np.testing.assert_array_equal(again, found)
    assert codec.calls == 1
    assert views_of(codec, codes, [], tmp_path, tmp_path) is None


@pytest.mark.slow
def test_a_run_that_is_interrupted_goes_on_to_the_same_model(data, tmp_path, monkeypatch, capsys):
    options = ["--data", str(data), "--set", f"glove={glove_file(tmp_path)}"]
    for change in ("epochs=3", "made=500", "labelled_tweets=20", "model.dimensions=8",
                   "model.vocabulary=1500", "frequent=1500", "model.lstm_units=8",
                   "vendors=[]"):  # fmt: skip
        options += ["--set", change]

    def command(name):
        return [
            *options,
            "--output",
            str(tmp_path / name),
            "--work",
            str(tmp_path / f"work-{name}"),
        ]

    assert main(command("whole")) == 0
    whole = json.loads((tmp_path / "whole" / "sqam.json").read_text("utf-8"))

    validate, calls = train_sqam.validate, []

    def interrupted(*arguments):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return validate(*arguments)

    monkeypatch.setattr(train_sqam, "validate", interrupted)
    assert main(command("again")) == 130
    assert not (tmp_path / "again").exists()
    monkeypatch.setattr(train_sqam, "validate", validate)
    assert main(command("again")) == 0
    assert "going on after epoch 1" in capsys.readouterr().err
    again = json.loads((tmp_path / "again" / "sqam.json").read_text("utf-8"))

    def log(name):
        return json.loads((tmp_path / f"work-{name}" / "default-0" / "log.json").read_text())

    first, second = log("whole")["history"], log("again")["history"]
    assert len(first) == len(second) == 3
    for a, b in zip(first, second, strict=True):
        assert a == pytest.approx(b, rel=1e-3)
    assert first[-1]["loss"] < first[0]["loss"]
    assert whole["held-out"]["phrases"]["texts"] > 100 and whole["versions"] == again["versions"]
    assert set(whole["data"]) >= {"emojis.csv", "codes.npz", phrases.Sources().tweets}

    codes = EmojiCodes.load()
    texts = ["pizza", "grinning face", "red heart"]
    scores = [Scorer.load(tmp_path / name).score(texts, codes) for name in ("whole", "again")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)

    # The same folder with other settings is refused, not mixed up.
    assert main([*command("again"), "--set", "epochs=4"]) == 2
    assert "other settings" in capsys.readouterr().err
