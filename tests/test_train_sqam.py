"""Training: settings, batches, and a whole small run that is interrupted and goes on."""

import dataclasses
import json
from collections import Counter
from typing import Any

import numpy as np
import pytest

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import checkpoints, glove, phrases, results, teacher, train_sqam, views, wordnet
from pipelines.phrases import Phrase
from pipelines.teacher import Labels, TeacherSettings
from pipelines.train_sqam import (
    Answers,
    Examples,
    TrainSettings,
    batches,
    begin,
    main,
    place_of,
    settings_from,
    taught_answers,
    views_of,
    vocabulary_of,
)
from sqam.model import SQAM, SQAMSettings
from sqam.scorer import Scorer
from sqam.text import Vocabulary, tokenize

MODEL = SQAMSettings(batch=4, max_tokens=10)


def examples():
    vocabulary = Vocabulary(["a", "b", "c", "d"])
    found = [
        Phrase("a b", (0,), "name", "train"),
        Phrase("c", (0, 2), "keyword", "train"),
        Phrase("d d d d d d", (1,), "tweet", "train"),
        Phrase("b", (2,), "labelled tweet", "train"),
        Phrase("unheard of", (1,), "tag", "train"),
        Phrase("a d", (2, 0), "sentence", "train", 2),
    ]
    return Examples(found, vocabulary, MODEL.max_tokens)


def test_phrases_without_a_known_word_train_nothing():
    assert [p.text for p in examples().phrases] == ["a b", "c", "d d d d d d", "b", "a d"]


def rows_of(answers, settings, epoch=0):
    """Every row of an epoch: its token ids and its grades, to four digits."""
    return [
        (tuple(i.tolist()), tuple(round(float(grade), 4) for grade in c[:3]))
        for ids, correct in batches(answers, settings, epoch, 3)
        for i, c in zip(ids, correct, strict=True)
    ]


def test_how_much_of_popularity_each_kind_of_text_explains_away():
    settings = TrainSettings(
        model=MODEL, labelled_tweets=1, made=4, unlabelled=2, tweet_popularity=0.25
    )
    found: dict[tuple[int, ...], float] = {}
    answers = Answers(examples(), SAID, MORE, 0.25, np.array([False, True]))
    for ids, grades in batches(answers, settings, 0, 3):
        assert grades.shape == (4, 4)
        found |= {tuple(i[i > 0].tolist()): float(g[3]) for i, g in zip(ids, grades, strict=True)}
    # "d …" (a tweet, shorter where words are left out), "b" (a labelled one) and the second text
    # are tweets; names, sentences, the first text and what is made of phrases are not.
    tweets = {words for words, factor in found.items() if factor == 0.25}
    assert {(2,), (2,) * 6} <= tweets and tweets - {(2,), (2,) * 6} <= {(4,) * n for n in range(7)}
    assert {found[words] for words in [(1, 2), (3,), (1, 4), (3,) * 5]} == {1.0}
    assert set(found.values()) == {0.25, 1.0}


def test_batches_are_full_and_hold_what_the_settings_say():
    settings = TrainSettings(
        model=MODEL, sentences=2, tweets=4, labelled_tweets=6, made=0, thin=0.0
    )
    answers = Answers(examples())
    # 2 phrases, 6 labelled tweets and the sentence twice have up to 4 tokens: 10, three batches of
    # 4 of which two rows fill up. The tweet's 4 showings have 6 tokens: one batch, 8 wide.
    shapes = sorted(ids.shape for ids, _ in batches(answers, settings, 0, 3))
    assert shapes == [(4, 4), (4, 4), (4, 4), (4, 8)]
    rows = rows_of(answers, settings)
    assert rows.count(((1, 2, 0, 0), (1, 0, 0))) >= 1  # "a b" is rows 0, 1, so ids 1, 2
    assert rows.count(((3, 0, 0, 0), (0.5, 0, 0.5))) >= 1  # both correct emojis
    assert rows.count(((2, 0, 0, 0), (0, 0, 1))) >= 6
    # Its best emoji is row 2: 1 and 1/2 of 3/2.
    assert rows.count(((1, 4, 0, 0), (0.3333, 0, 0.6667))) >= 2
    assert rows.count(((4,) * 6 + (0, 0), (0, 1, 0))) == 4


def test_made_sentences_hold_a_phrase_of_their_emoji():
    settings = TrainSettings(
        model=MODEL, sentences=0, tweets=0, labelled_tweets=0, made=100, filler=2
    )
    seen = 0
    for row, good in rows_of(Answers(examples()), settings):
        assert sum(good) == pytest.approx(1)
        if good == (0, 0, 1):  # made for emoji 2 alone, which has only "c", id 3
            assert 3 in row
            seen += 1
    assert seen > 5


# Of the five examples that have a known word, then of two texts without emojis.
SAID = Labels(
    np.array([[1, 0], [1, 2], [0, 2], [2, 1], [1, 0], [2, 0], [1, 2]], np.int32),
    np.array([[0.9, 0.1], [0.6, 0.4], [0.5, 0.5], [0.8, 0.2], [0.7, 0.3], [0.75, 0.25],
              [0.625, 0.375]], np.float32),
)  # fmt: skip
MORE = [[2] * 5, [1] * 6]  # rows in the vocabulary; token ids are one more


def test_the_teacher_has_its_share_of_the_answers():
    answers = Answers(examples(), SAID, MORE, taught=0.25)
    # "c" has 0 and 2, half each: 3/4 of that are 0.375. Of 1 and 2 the teacher's quarter is 0.15
    # and 0.1.
    assert answers.of(1) == pytest.approx({0: 0.375, 1: 0.15, 2: 0.475}, abs=1e-6)
    # The sentence has 2 and 0 with 2/3 and 1/3: 0.5 and 0.25, and 0.175 and 0.075 of 1 and 0.
    assert answers.of(4) == pytest.approx({0: 0.325, 1: 0.175, 2: 0.5}, abs=1e-6)
    for i in range(5):
        assert sum(answers.of(i).values()) == pytest.approx(1)


def test_what_the_teacher_says_alone_and_what_it_does_not():
    own = {0: 0.5, 2: 0.5}
    assert Answers(examples(), SAID, MORE, taught=0.0).of(1) == own
    assert Answers(examples(), taught=0.25).of(1) == own  # there is no teacher
    # The texts come after the five examples, and have nothing but the teacher's answers.
    for taught in (0.0, 0.25):
        answers = Answers(examples(), SAID, MORE, taught)
        assert answers.of_more(0) == {2: 0.75, 0: 0.25}
        assert answers.of_more(1) == {1: 0.625, 2: 0.375}


def test_an_epoch_shows_texts_without_emojis():
    settings = TrainSettings(
        model=MODEL, sentences=1, tweets=0, labelled_tweets=0, made=0, unlabelled=2
    )
    answers = Answers(examples(), SAID, MORE, taught=0.25)

    def long(epoch=0, **changes):
        rows = rows_of(answers, dataclasses.replace(settings, **changes), epoch)
        return [row for row in rows if len(row[0]) == 8]  # the others have four tokens at most

    first = ((3,) * 5 + (0,) * 3, (0.25, 0, 0.75))
    second = ((2,) * 6 + (0,) * 2, (0, 0.625, 0.375))
    # One batch of four: both, and two rows that fill it up. More than there are cannot be drawn.
    assert set(long()) == set(long(unlabelled=10)) == {first, second} and len(long()) == 4
    # One of the two, drawn anew in each epoch: that 20 epochs draw the same has a chance of 2^-19.
    drawn = [set(long(epoch, unlabelled=1)) for epoch in range(20)]
    assert all(len(rows) == 1 for rows in drawn)
    assert set.union(*drawn) == {first, second}
    assert long(unlabelled=0) == []


def test_an_epoch_shows_what_has_emojis_with_the_teachers_share():
    settings = TrainSettings(model=MODEL, labelled_tweets=1, made=0, thin=0.0)
    rows = rows_of(Answers(examples(), SAID, MORE, taught=0.25), settings)
    # "c" and the sentence are as worked out above. The tweet's 1 has 3/4, and 0 and 2 half a
    # quarter each; the labelled tweet's 2 has 0.75 + 0.2, and 1 has 0.05.
    assert ((3, 0, 0, 0), (0.375, 0.15, 0.475)) in rows
    assert ((1, 4, 0, 0), (0.325, 0.175, 0.5)) in rows
    assert ((4,) * 6 + (0, 0), (0.125, 0.75, 0.125)) in rows
    assert ((2, 0, 0, 0), (0, 0.05, 0.95)) in rows


def test_labels_find_their_texts(monkeypatch, tmp_path):
    # Phrases of other parts stand between those of training; one of these and one text are unknown.
    vocabulary = Vocabulary(["a", "b", "c", "d"])
    found = [
        Phrase("a", (0,), "name", "held-out"),
        Phrase("unheard of", (0,), "name", "train"),
        Phrase("b", (1,), "name", "train"),
        Phrase("a b", (1,), "name", "validation"),
        Phrase("c d", (2,), "name", "train"),
    ]
    kept = Examples([p for p in found if p.split == "train"], vocabulary, MODEL.max_tokens)
    asked = []

    def labels(*arguments):
        # The n-th text, of phrases and texts together, has the answer n.
        asked.append(arguments)
        return Labels(np.arange(8)[:, np.newaxis], np.ones((8, 1), np.float32)), {"name": 0.5}

    monkeypatch.setattr(glove, "load", lambda source, cache: f"words of {source}")
    texts = ["a a", "what", "d"], {"what", "d"}
    monkeypatch.setattr(teacher, "texts", lambda *arguments: texts)
    monkeypatch.setattr(teacher, "labels", labels)

    def taught(**changes):
        settings = TrainSettings(model=MODEL, **changes)
        return taught_answers(
            settings, kept, found, [], vocabulary, 3, tmp_path, tmp_path, tmp_path / "work"
        )

    answers, figures = taught(taught=1.0)
    assert figures == {"name": 0.5}
    assert [p.text for p in kept.phrases] == ["b", "c d"]
    assert answers.of(0) == {2: 1.0, 1: 0.0} and answers.of(1) == {4: 1.0, 2: 0.0}
    assert answers.more == [[0, 0], [3]]
    assert answers.of_more(0) == {5: 1.0} and answers.of_more(1) == {7: 1.0}
    assert answers.tweets.tolist() == [False, True]  # "a a" and "d"
    settings, work = TrainSettings().teacher, tmp_path / "work"
    assert asked == [(settings, found, ["a a", "what", "d"], 3, tmp_path, work, {"what", "d"})]
    # Texts alone want a teacher too; without either none is asked.
    assert taught(taught=0.0)[0].of(0) == {1: 1.0} and len(asked) == 2
    answers, figures = taught(taught=0.0, unlabelled=0)
    assert answers.more == [] and answers.of(0) == {1: 1.0} and figures == {} and len(asked) == 2


def test_one_seed_and_epoch_one_order():
    settings = TrainSettings(model=MODEL, made=20)

    def epoch(number, **changes):
        now = dataclasses.replace(settings, **changes)
        return [ids.tolist() for ids, _ in batches(Answers(examples()), now, number, 3)]

    assert epoch(3) == epoch(3)
    assert epoch(3) != epoch(4) and epoch(3) != epoch(3, seed=1)


def known_words(words, size, english, **changes):
    table = glove.Glove(words, np.arange(2.0 * len(words), dtype=np.float32).reshape(-1, 2))
    model = dataclasses.replace(MODEL, dimensions=2, vocabulary=size, **changes)
    seen = Counter(["it", "is", "24", "zebra", "zebra"])
    return vocabulary_of(TrainSettings(model=model, names=10), table, seen, english)


def test_the_vocabulary_is_what_is_worth_a_row():
    words = ["the", "it.s", "--", "n't", "cannot", "1998", "24", "co-op", "...", "'s"]
    words += ["anna", "lamp", "24th", "zebra", "moss"]
    # The tokenizer splits "it.s", writes no dashes and folds "cannotttt" to "cannot"; no
    # training text has 1998 or 24th; beyond the tenth a word is known to English or to training.
    known = ["the", "n't", "cannot", "24", "co-op", "...", "'s", "lamp", "zebra", "moss"]
    found, vectors = known_words(words, 10, {"lamp", "moss", "24th"})
    assert found == known
    # Each vector within half a step of int8 (29 / 254) of its own: "the" is the first, "moss" the
    # fifteenth.
    np.testing.assert_allclose(vectors[[0, -1]], [[0, 1], [28, 29]], atol=0.115)
    assert known_words(words, 3, set())[0] == known[:3]
    with pytest.raises(InputError, match="give 8 words for a vocabulary of 9"):
        known_words(words, 9, set())


def test_vectors_that_are_tuned_are_those_of_training_alone():
    words = ["the", "24", "is", "lamp", "zebra", "it"]
    found, vectors = known_words(words, 4, None, tune_embedding=True)
    assert found == ["zebra", "it", "is", "24"]  # the most frequent first
    assert vectors.tolist() == [[8, 9], [10, 11], [4, 5], [2, 3]]  # as they were


def test_settings_from_the_command_line():
    found = settings_from("default", ["epochs=3", "model.margin=0.4", "glove=50d"])
    assert (found.epochs, found.model.margin, found.glove) == (3, 0.4, "50d")
    study = settings_from("2017", [])
    assert study.model == SQAMSettings.preset("2017")
    assert study.taught == 0 and study.unlabelled == 0  # it had no teacher
    assert settings_from("2017", ["taught=0.25"]).taught == 0.25


@pytest.mark.parametrize(
    "change",
    [
        "epoch=3",
        "model.margins=1",
        "epochs",
        "epochs=0",
        "epochs=many",
        "epochs=2.5",
        "taught=1.5",
        "taught=-0.1",
        "unlabelled=-1",
        "teacher=3",
        "teacher.units=3",
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
                   "model.vocabulary=1500", "names=1500", "model.lstm_units=8",
                   "vendors=[]", "taught=0", "unlabelled=0"):  # fmt: skip
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
    assert "teacher, validation hit@10" not in whole["runs"][0]
    assert set(whole["data"]) >= {"emojis.csv", "codes.npz", phrases.Sources().tweets}

    codes = EmojiCodes.load()
    texts = ["pizza", "grinning face", "red heart"]
    scores = [Scorer.load(tmp_path / name).score(texts, codes) for name in ("whole", "again")]
    assert scores[0] == pytest.approx(scores[1], abs=1e-3)

    # The same folder with other settings is refused, not mixed up.
    assert main([*command("again"), "--set", "epochs=4"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_the_answers_side_begins_where_another_ended(tmp_path):
    codes = np.eye(4, 16, dtype=np.float32)

    def model(seed=0, **changes):
        settings = SQAMSettings(dimensions=8, vocabulary=3, lstm_units=8, **changes)
        return SQAM(settings, np.ones((3, 8), np.float32), codes, seed)

    first = model()
    with pytest.raises(InputError, match="holds no run"):
        begin(model(), tmp_path)
    kept = checkpoints.Checkpoints(
        tmp_path, {"settings": {"model": dataclasses.asdict(first.settings)}}
    )
    kept.history.append({"mean": 1.0})
    kept.keep(first, best=True)
    # Another way of reading sentences does not matter, and stays as it began.
    second, as_it_was = (model(seed=1, attention=False) for _ in range(2))
    assert not np.allclose(first.answer_vectors(codes), second.answer_vectors(codes), atol=0.01)
    told = begin(second, tmp_path)
    np.testing.assert_allclose(first.answer_vectors(codes), second.answer_vectors(codes), atol=1e-6)
    for mine, other in zip(second.lstm.get_weights(), as_it_was.lstm.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    assert told == results.sha256(tmp_path / checkpoints.BEST)
    for changes in ({"space": 64}, {"shared_units": ()}):
        with pytest.raises(InputError, match="layers of other shapes"):
            begin(model(**changes), tmp_path)


def saved_words(model):
    return (model / "vocabulary.txt").read_text("utf-8").splitlines()


@pytest.mark.slow
def test_a_run_with_a_teacher(data, tmp_path, monkeypatch):
    words = glove_file(tmp_path)
    labelled = []

    def label(settings, found, texts, kinds, n_answers, cache, work):
        # A text's own emojis, or the first one for those without.
        labelled.append(list(texts))
        work.mkdir(exist_ok=True)
        parts = []
        # In parts, as the teacher does: all answers of all texts are 23 GB.
        for at in range(0, len(texts), 4096):
            shares = np.full((len(texts[at : at + 4096]), n_answers), 1e-6, np.float32)
            shares[:, 0] = 1e-3
            for row, phrase in zip(shares, found[at : at + 4096], strict=False):
                row[list(phrase.emojis)] = 1
            parts.append(teacher.likeliest(shares, settings.answers))
        return teacher.Labels(*map(np.concatenate, zip(*parts, strict=True)))

    texts = {"words": ["pizza", "sun"], "examples": ["the red sun", "zxcv"]}

    def read(settings, found, words, *arguments):
        told = np.random.default_rng(0)
        read_words.append(list(words))
        return [told.standard_normal((len(words), width), dtype=np.float32) for width in (16, 32)]

    read_words: list[list[str]] = []
    monkeypatch.setattr(teacher, "_labelled", label)
    monkeypatch.setattr(teacher, "word_vectors", read)
    monkeypatch.setattr(wordnet, "texts", lambda *arguments: texts)
    monkeypatch.setattr(wordnet, "words", lambda cache: frozenset(texts["words"]))
    model = SQAMSettings(dimensions=8, vocabulary=1500, lstm_units=8)
    settings = TrainSettings(
        model=model, glove=str(words), names=1500, epochs=1, made=100, labelled_tweets=20,
        teacher=TeacherSettings(units=32, defined=0.0), teacher_vectors=True,
    )  # fmt: skip
    for seed in (0, 1):
        figures = train_sqam.train(
            dataclasses.replace(settings, seed=seed),
            output=tmp_path / f"model-{seed}",
            work=tmp_path / "work" / str(seed),
            data=data,
            cache=tmp_path,
            vae=asset("models", "vae"),
            taught_in=tmp_path / "teacher",
        )
        said = figures["teacher"]["validation hit@10"]
        assert set(said) >= {"name", "keyword", "sentence"} and said["sentence"] == 1
        assert figures["held-out"]["phrases"]["texts"] > 100
    # It begins with what the teacher has of the words, in GloVe's order.
    assert len(read_words) == 2 and read_words[0] == read_words[1]
    assert saved_words(tmp_path / "model-0") == read_words[0][: settings.model.vocabulary]
    hashed = json.loads((tmp_path / "model-0" / "config.json").read_text("utf-8"))["data"]
    assert len(hashed["word vectors"]) == 64
    # Both seeds share one teacher, and the texts are labelled once.
    assert len(labelled) == 1 and {"the red sun", "zxcv"} <= set(labelled[0])
    (kept,) = (tmp_path / "teacher").iterdir()
    assert kept.name.startswith("labels-")
    saved = json.loads((tmp_path / "model-1" / "config.json").read_text("utf-8"))
    assert saved["training"]["taught"] == settings.taught
    assert saved["training"]["teacher"] == dataclasses.asdict(settings.teacher)
