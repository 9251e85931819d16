"""The airline study: splits and measures by hand, one path for several text sides, the command."""

import csv
import dataclasses
import gzip
import json

import numpy as np
import pytest
from conftest import WORDS
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from pipelines import airline as module
from pipelines import airline_network, glove
from pipelines.airline import (
    baselines,
    drawn,
    felt,
    grades,
    main,
    rated,
    study_tweets,
    targets,
    triplet_loss,
)
from pipelines.airline_network import (
    Example,
    batches,
    evidence,
    export,
    fit,
    start_from,
    vocabulary,
)
from pipelines.airline_runs import RUNS, RunSettings
from pipelines.airline_tweets import SENTIMENTS, TWEETS, Tweet, parts, place_of, prepare, read
from sqam.model import SQAM, SQAMSettings
from sqam.scorer import Scorer
from sqam.text import pad

SMALL = SQAMSettings(
    dimensions=6, vocabulary=10, max_tokens=12, tune_embedding=True, lstm_units=4,
    question_units=(8,), answer_units=(8,), shared_units=(), space=5, dropout=0.0,
    word_dropout=0.0, view_share=0.0, learning_rate=0.01, decay=False, batch=4, margin=0.5,
    sharpness=None, attention=False,
)  # fmt: skip


def test_a_run_starts_from_an_exported_model(tiny):
    # Two numbers more a word than the exported model has: they have no say at first.
    shipped = tiny["model"]
    settings = dataclasses.replace(shipped.settings, dimensions=8, tune_embedding=True)
    rng = np.random.default_rng(0)
    vectors = shipped.embedding.get_weights()[0][1:]
    wider = np.concatenate([2 * vectors, rng.standard_normal((10, 2))], axis=1).astype("float32")
    wider[4] = 7  # a word that the exported model does not know is halved, as all others are
    model = SQAM(settings, wider, tiny["codes"].codes[:3], seed=5)
    ids = rng.choice([1, 2, 3, 4, 6, 7, 8, 9, 10], (20, 7)).astype("int32")
    before = model.question_vectors(ids)
    start_from(model, tiny["folder"], [*WORDS[:4], "unheard", *WORDS[5:]])
    start = model.embedding.get_weights()[0]
    np.testing.assert_allclose(start[5], [3.5] * 6 + [7] * 2, rtol=1e-5)
    np.testing.assert_array_equal(start[1:, 6:], wider[:, 6:])
    expected = shipped.question_vectors(ids)
    assert np.abs(model.question_vectors(ids) - expected).max() < 1e-6
    assert np.abs(before - expected).max() > 0.1
    codes = tiny["codes"].codes
    assert np.abs(model.answer_vectors(codes) - shipped.answer_vectors(codes)).max() < 1e-6


def test_a_run_of_other_widths_cannot_start_from_it(tiny):
    settings = dataclasses.replace(tiny["model"].settings, lstm_units=5)
    model = SQAM(settings, np.zeros((10, 6), "float32"), tiny["codes"].codes[:3])
    with pytest.raises(InputError, match="other widths than the run's"):
        start_from(model, tiny["folder"], WORDS)


def tweet(text="the flight was good", sentiment=0, row=0, place=None, agreed=True):
    at = place_of(text) if place is None else place
    return Tweet(text, sentiment, row, at, 1.0 if agreed else 0.6)


def test_grades_by_hand():
    columns = {"positive": 5, "neutral": 0, "negative": 2}
    felt = {"positive": np.array([5, 7]), "neutral": np.array([]), "negative": np.array([8])}
    run, doubtful = RUNS["ours"], tweet(sentiment=2, agreed=False)
    assert grades(doubtful, columns, dataclasses.replace(run, doubt=False), felt) == {2: 1.0}
    # 0.6 are sure that it is negative; the other two share 0.4.
    unsure = dataclasses.replace(run, doubt=True)
    assert grades(doubtful, columns, unsure, felt) == pytest.approx({2: 0.6, 5: 0.2, 0: 0.2})
    assert grades(tweet(sentiment=2), columns, unsure, felt) == {2: 1.0}
    wide = dataclasses.replace(unsure, answers="all", others=0.5)
    expected = {8: 0.3, 2: 0.6, 5: 0.2, 0: 0.2}
    assert grades(doubtful, columns, wide, felt) == pytest.approx(expected)
    assert grades(tweet(), columns, wide, felt) == {5: 1.0, 7: 0.5}


def test_grades_with_a_teacher_by_hand():
    columns = {"positive": 5, "neutral": 0, "negative": 2}
    said = np.array([0.1, 0.2, 0.7])  # in the order of the sentiments
    run = dataclasses.replace(RUNS["ours"], doubt=False, taught=0.5)
    # Half of the label, half of what is said: 0.5 + 0.35 for a negative tweet.
    found = grades(tweet(sentiment=2), columns, run, {}, said)
    assert found == pytest.approx({2: 0.85, 5: 0.05, 0: 0.1})
    assert grades(tweet(sentiment=2), columns, run, {}) == {2: 1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"taught": 1.5},
        {"unlabelled": -1},
        {"taught": 0.5, "tweets": 300},
        {"unlabelled": 5, "validation": 0.2},
    ],
    ids=str,
)
def test_a_teacher_that_cannot_be(changes):
    with pytest.raises(InputError, match=r"teacher|taught"):
        dataclasses.replace(RUNS["ours"], **changes)


def write_tweets(
    folder, rows, header=("text", "airline_sentiment", "airline_sentiment_confidence")
):
    path = folder / TWEETS
    path.parent.mkdir(parents=True, exist_ok=True)
    with gzip.open(path, "wt", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return folder


def write_emotions(folder):
    """Ten emojis: two calm ones, four glad, four cross; ratings for some of them."""
    path = folder / "emoji_sentiment"
    path.mkdir(parents=True, exist_ok=True)
    names = ("anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")
    calm = [dict.fromkeys(names, 0.1), dict.fromkeys(names, 0.15)]
    glad = [{"joy": joy, "trust": 0.2} for joy in (0.9, 0.8, 0.5, 0.4)]
    # Joy and trust on average less the others on average: -0.225, -0.15, -0.175, -0.15.
    cross = [{"anger": 0.9}, {"sadness": 0.8, "joy": 0.1}, {"fear": 0.7}, {"disgust": 0.6}]
    rows = zip("➡⬅😍😊🙂🎈😡😢😨😷", [*calm, *glad, *cross], strict=True)
    with open(path / "emotag1200.csv", "w", encoding="utf-8") as file:
        file.write(",".join(["emoji", *names]) + "\n")
        for emoji, scores in rows:
            file.write(",".join([emoji, *(str(scores.get(name, 0.0)) for name in names)]) + "\n")
    with open(path / "emoji_sentiment_ranking.csv", "w", encoding="utf-8") as file:
        file.write("Emoji,Negative,Neutral,Positive\n")
        # Scores (0 + 9) / 10 = 0.9, 0.8, 0.2, 0.1, -0.3, -0.5; 🚀 has too few occurrences. Thirds
        # of six scores: the two lowest, the two highest.
        file.write("😍,0,1,9\n😊,0,2,8\n🎈,1,6,3\n➡,2,5,3\n😡,5,3,2\n😢,6,3,1\n🚀,0,0,4\n♤,9,0,0\n")
    return folder


def row(emoji):
    return catalogue().index(emoji)


@given(st.text("aBcß Ä", min_size=1), st.sampled_from([" ", "\n ", "\t"]))
def test_a_text_repeated_in_another_case_has_the_same_place(text, space):
    assert 0 <= place_of(text) < 1
    assert place_of(f"{space}{text}  X") == place_of(f"{text} x ".swapcase())


def test_texts_with_two_sentiments_are_on_one_side():
    tweets = [
        tweet(f"{t} {n}", s) for n in range(200) for t, s in (("So LATE", 2), ("so  late", 1))
    ]
    for validation in (False, True):
        train, measured = parts(tweets, validation)
        assert not {t.place for t in train} & {t.place for t in measured}
        assert 20 < len(measured) < 120  # a fifth, or 16 %, of 400, in pairs
    # The validation part is never the held-out one.
    assert not {t.place for t in parts(tweets, True)[1]} & {
        t.place for t in parts(tweets, False)[1]
    }
    with pytest.raises(InputError, match="too few"):
        parts(tweets[:1], False)


def test_what_is_drawn_depends_on_the_seed_and_keeps_like_texts_together():
    train = [tweet(f"tweet {n // 2}", row=n) for n in range(100)]
    settings = RunSettings(SMALL, tweets=50, validation=0.2)
    kept, aside = drawn(train, settings, 0)
    assert len(kept) + len(aside) == 50 and 10 <= len(aside) <= 11
    assert not {t.place for t in kept} & {t.place for t in aside}
    assert drawn(train, settings, 0) == (kept, aside) != drawn(train, settings, 1)
    assert len(drawn(train, RunSettings(SMALL), 0)[0]) == 100


def test_entities_and_users():
    assert prepare("@united thanks &amp; bye").split() == ["united", "thanks", "&", "bye"]


def test_triplet_loss_by_hand():
    # Tweet 0, correct 0: 0.2 - 0.5 + 0.4 = 0.1 and 0.2 - 0.5 - 0.5 < 0. Tweet 1, correct 2:
    # 0.2 - 0.1 + 0.3 = 0.4 and 0.2 - 0.1 + 0 = 0.1. The mean of 0.1, 0, 0.4, 0.1 is 0.15.
    cosines = np.array([[0.5, 0.4, -0.5], [0.3, 0.0, 0.1]])
    assert triplet_loss(cosines, np.array([0, 2]), 0.2) == pytest.approx(0.15)


def test_baselines_on_words_that_tell_all():
    words = ("great", "okay", "awful")
    texts = [tweet(f"{words[n % 3]} flight number {n}", n % 3) for n in range(300)]
    found = baselines([*texts[:240], tweet("awful", 2)], texts[240:])
    # 20 of 60 are negative, the most frequent by one: F1 of it is 2 * (1/3) / (4/3) = 1/2.
    most = found["always the most frequent"]
    assert most["accuracy"] == pytest.approx(1 / 3) and most["macro-F1"] == pytest.approx(1 / 6)
    assert found["TF-IDF of words, logistic regression"]["accuracy"] == 1
    assert found["TF-IDF of words and characters, linear SVM"]["accuracy"] == 1


def test_read(tmp_path):
    data = write_tweets(tmp_path, [["@united &lt;3", "positive", "1.0"], ["hm", "neutral", "0.6"]])
    first, second = read(data)
    assert first.text.split() == ["united", "<3"] and first.sentiment == 0 and first.agreed
    assert second.sentiment == 1 and second.row == 1 and not second.agreed
    assert second.confidence == 0.6


@pytest.mark.parametrize("confidence", ["1.5", "-0.1", "nan", "sure", ""])
def test_a_confidence_that_cannot_be_is_named(tmp_path, confidence):
    data = write_tweets(tmp_path, [["fine", "neutral", "1"], ["hm", "neutral", confidence]])
    with pytest.raises(InputError, match=rf"tweet 2: 'neutral' with confidence {confidence!r}"):
        read(data)


@pytest.mark.parametrize(
    ("rows", "header", "said"),
    [
        ([["hm", "mixed", "1"]], None, "mixed"),
        ([["hm", "neutral", "high"]], None, "high"),
        ([["hm", "neutral", "1"]], ("text", "sentiment", "c"), "airline_sentiment"),
        ([], None, "no tweet"),
    ],
)
def test_tweets_that_cannot_be(tmp_path, rows, header, said):
    data = write_tweets(tmp_path, rows, *([header] if header else []))
    with pytest.raises(InputError, match=said):
        read(data)


def test_which_emojis_fit(tmp_path):
    found = rated(write_emotions(tmp_path))
    fitting = {name: set(np.flatnonzero(there)) for name, there in found.items()}
    assert fitting["positive"] == {row("😍"), row("😊")}
    assert fitting["negative"] == {row("😡"), row("😢")}
    assert fitting["neutral"] == {row("🎈"), row("➡")}
    # 🚀 was seen 4 times only; ♤ is no emoji.
    assert len(fitting["rated"]) == 6


def test_which_emojis_feel_alike(tmp_path):
    found = {name: set(rows) for name, rows in felt(write_emotions(tmp_path)).items()}
    # A fifth of ten are neutral, four positive, four negative; of each the half that is most so.
    assert found["neutral"] == {row("➡")}
    assert found["positive"] == {row("😍"), row("😊")}
    assert found["negative"] == {row("😡"), row("😨")}


def test_words_that_glove_lacks_start_at_0():
    words = glove.Glove(["the", "flight", "good"], np.ones((3, 6), np.float32))
    train = [tweet("united the flight xyz"), tweet("united flight")]
    settings = RunSettings(SMALL, rare=2)
    chosen, vectors = vocabulary(settings, train, words)
    # "xyz" is there once only; the order is that of frequency.
    assert set(chosen) == {"united", "flight", "the"} and chosen[-1] == "the"
    assert not vectors[chosen.index("united")].any() and vectors[chosen.index("the")].all()
    assert len(vocabulary(RunSettings(SMALL, rare=2, words=2), train, words)[0]) == 2


def test_evidence_of_words_that_no_tweet_has():
    stems = {"thank": 0, "when": 1, "delay": 2}
    train = [
        tweet(f"{stem}s the flight {n}", kind) for n in range(30) for stem, kind in stems.items()
    ]
    found = evidence(train, ["thanked", "delayed", "flight"])
    assert found.shape == (3, 3) and found.dtype == np.float32
    assert found[:2].argmax(axis=1).tolist() == [0, 2]
    assert np.abs(found[2]).max() < np.abs(found[:2]).max()
    # They stand behind GloVe's own numbers, and the vocabulary goes on with GloVe's other words.
    words = glove.Glove(["the", "flight", "delayed", "rare"], np.ones((4, 6), np.float32))
    settings = RunSettings(dataclasses.replace(SMALL, dimensions=9), evidence=True, frequent=1)
    chosen, vectors = vocabulary(settings, train, words)
    assert chosen[-1] == "delayed" and "rare" not in chosen
    assert vectors.shape == (len(chosen), 9) and vectors[-1, 6:].argmax() == 2


def test_batches_are_full_and_show_everything():
    examples = [Example([n % 10] * (1 + n % 30), {n % 3: 1.0}) for n in range(50)]
    model = SQAMSettings.preset("default", max_tokens=25, batch=8)
    seen = 0
    for ids, correct in batches(examples, model, 3, np.random.default_rng(0)):
        assert ids.shape in {(8, 20), (8, 25)} and correct.shape == (8, 3)
        assert (correct.sum(axis=1) == 1).all() and (ids[:, 0] > 0).all()
        seen += len(ids)
    assert 50 <= seen <= 50 + 2 * 7
    # Without a mask all are padded to one width.
    study = SQAMSettings.preset("2017", batch=8)
    assert {ids.shape for ids, _ in batches(examples, study, 3, np.random.default_rng(0))} == {
        (8, 20)
    }


def small_model(seed=0, **changes):
    settings = SQAMSettings.from_dict({**vars(SMALL), **changes})
    rng = np.random.default_rng(5)
    vectors = rng.standard_normal((settings.vocabulary, 6)).astype("float32")
    return SQAM(settings, vectors, rng.standard_normal((3, 16)).astype("float32"), seed)


def test_weights_are_averaged_over_the_last_epochs():
    examples = [Example([n % 10, (n * 3) % 10], {n % 3: 1.0}) for n in range(12)]
    model, kept = small_model(), []

    def watch():
        kept.append([np.asarray(weight).copy() for weight in model.trainable_weights])
        return {"x": 1.0}

    history = fit(model, examples, RunSettings(SMALL, epochs=3, average=2), 0, watch)
    assert len(history) == 3 and history[0]["x"] == 1 and history[0]["loss"] > 0
    for weight, _, two, three in zip(model.trainable_weights, *kept, strict=True):
        assert np.asarray(weight) == pytest.approx((two + three) / 2, abs=1e-6)
    assert any((two != three).any() for _, two, three in zip(*kept, strict=True))


def test_each_epoch_draws_anew_of_what_has_no_label(monkeypatch):
    examples = [Example([n % 10], {n % 3: 1.0}) for n in range(12)]
    more = [Example([n + 1], {0: 0.5, 1: 0.3, 2: 0.2}) for n in range(9)]
    shown = []

    def seen(examples, *rest):
        shown.append([example for example in examples if len(example.grades) == 3])
        return batches(examples, *rest)

    monkeypatch.setattr(airline_network, "batches", seen)
    smooth = dataclasses.replace(SMALL, sharpness=20.0)
    settings = RunSettings(smooth, epochs=3, unlabelled=4, taught=0.5)
    fit(small_model(sharpness=20.0), examples, settings, 0, dict, more)
    counted, *epochs = shown  # the first counts the steps
    assert [len(epoch) for epoch in epochs] == [4, 4, 4] and len(counted) == 4
    assert len({str(epoch) for epoch in epochs}) > 1
    shown.clear()
    fit(small_model(sharpness=20.0), examples, settings, 0, dict)
    assert shown == [[]] * 4


def test_several_models_are_one_whose_cosine_is_the_mean_of_theirs(tmp_path):
    side = {"convolutions": (2,), "filters": 3, "attention": True}
    members = [small_model(seed, **side) for seed in (0, 1)]
    words = list("abcdefghij")
    rng = np.random.default_rng(0)
    codes = EmojiCodes(list("😀😡🎉"), rng.standard_normal((3, 16)).astype("float32"))
    sentences = [" ".join(rng.choice(words, size=rng.integers(1, 15))) for _ in range(40)]
    difference = export(members, words, tmp_path / "model", {}, codes, [*sentences, "?"])
    assert difference < 1e-5
    scorer = Scorer.load(tmp_path / "model")
    ids = pad([scorer.vocabulary.ids(s, 12) for s in sentences], 12)
    cosines = [m.question_vectors(ids) @ m.answer_vectors(codes.codes).T for m in members]
    assert scorer.score(sentences, codes) == pytest.approx(np.mean(cosines, axis=0), abs=1e-5)


def test_tweets_that_are_shown():
    long = "one two three four five six seven eight"
    tweets = [
        tweet(f"{long} {n}", sentiment, n, place=place, agreed=agreed)
        for n, (sentiment, place, agreed) in enumerate(
            [(0, 0.3, True), (0, 0.1, False), (0, 0.2, True), (1, 0.1, True), (2, 0.1, True)]
        )
    ]
    assert [t.row for t in study_tweets([*tweets, tweet("short", 1, 9, 0.01)])] == [2, 3, 4]
    with pytest.raises(InputError, match="neutral"):
        study_tweets([t for t in tweets if t.sentiment != 1])


@pytest.mark.parametrize(
    "changes",
    [
        {"epochs": 0},
        {"average": 9},
        {"members": 0},
        {"tweets": 1},
        {"validation": 1},
        {"answers": "two"},
    ],
)
def test_settings_that_cannot_be(changes):
    with pytest.raises(InputError):
        RunSettings(SMALL, **changes)


def test_targets_by_hand():
    found = {
        "2017": {
            "accuracy": {"mean": 0.7},
            "by epoch": {"validation loss": [{"mean": v, "sd": 0.0} for v in (0.09, 0.07, 0.08)]},
        },
        "ours": {"accuracy": {"mean": 0.83}},
    }
    told = targets(found, {"TF-IDF": {"accuracy": 0.81}})
    assert told["lowest validation loss, 2017"] == {"mean": 0.07, "sd": 0.0, "published": 0.0822}
    assert told["ours ahead by points"] == {"TF-IDF": 2.0, "2017": 13.0}
    assert targets({}, {}) == {}


@pytest.mark.slow
def test_the_command_measures_and_goes_on(tmp_path, monkeypatch, capsys):
    words = ["great", "okay", "awful", "flight", "crew", "seat", "gate", "bag", "the", "was", "my"]
    vectors = np.random.default_rng(0).standard_normal((len(words), 6)).astype("float32")
    monkeypatch.setattr(module, "_glove", lambda cache: glove.Glove(words, vectors))
    monkeypatch.setattr(module, "GENERATED", 3)
    monkeypatch.setattr(
        module,
        "RUNS",
        {"small": RunSettings(SMALL, tweets=300, validation=0.2, epochs=3),
         "all": RunSettings(SMALL, answers="all", epochs=1)},
    )  # fmt: skip
    monkeypatch.setattr(module, "STUDIED", "all")
    monkeypatch.setattr(module, "_sentences", lambda material, known, limit: [])
    rng = np.random.default_rng(1)
    rows = []
    for n in range(1100):
        kind = n % 3
        filler = " ".join(rng.choice(words[3:], size=8))
        rows.append([f"@united {filler} {words[kind]} {n}", SENTIMENTS[kind], "1.0"])
    data = write_emotions(write_tweets(tmp_path / "data", rows))
    output = tmp_path / "airline.json"
    command = ["--seeds", "0", "--data", str(data), "--work", str(tmp_path / "work")]
    assert main([*command, "--output", str(output)]) == 0
    found = json.loads(output.read_text("utf-8"))
    small = found["runs"]["small"]
    assert len(small["by epoch"]["validation loss"]) == 3
    assert small["trained on"] == [240] and small["validated on"] == [60]
    assert small["accuracy"]["mean"] > 0.5  # the three words tell all; a third by chance
    assert set(found["runs"]["all"]["first 10 of all"]) == set(SENTIMENTS)
    assert "great" not in output.read_text("utf-8")  # no tweet
    for name in ("losses.png", "rankings.png"):
        assert (tmp_path / "airline" / name).stat().st_size > 1000
    assert len(list((tmp_path / "work" / "held-out" / "rankings").iterdir())) == 6
    # A second call trains nothing and finds the same.
    monkeypatch.setattr(module, "train", None)
    assert main([*command, "--output", str(tmp_path / "again.json")]) == 0
    again = json.loads((tmp_path / "again.json").read_text("utf-8"))
    assert again["runs"] == found["runs"]
    # Of another split nothing is gone on with.
    monkeypatch.setattr(module, "parts", lambda tweets, _: (tweets[:900], tweets[900:]))
    with pytest.raises(TypeError, match="not callable"):
        main([*command, "--output", str(tmp_path / "other.json")])
    capsys.readouterr()


def test_bad_input_is_one_line(tmp_path, capsys):
    for arguments, said in (
        (["--runs", "2018"], "2018"),
        (["--data", str(tmp_path)], "tweets.csv.gz"),
        (["--seed"], "--help"),
    ):
        assert main(arguments) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


def test_the_runs_are_those_of_the_study_and_the_comparison():
    study = RUNS["2017"]
    assert study.tweets == 5000 and study.epochs == 3 and study.words == study.model.vocabulary
    assert study.model == SQAMSettings.preset("2017")
    sides = [RUNS[n].model for n in ("bi-LSTM", "with convolutions", "with attention", "with both")]
    assert [(bool(s.convolutions), s.attention) for s in sides] == [
        (False, False), (True, False), (False, True), (True, True)
    ]  # fmt: skip
    assert all(model.mask for model in sides)
