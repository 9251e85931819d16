"""The teacher: what it is trained towards, what it labels, and what is kept between runs."""

import dataclasses
import json
import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError, MissingExtraError
from pipelines import glove, phrases, teacher, wordnet
from pipelines.phrases import Phrase
from pipelines.teacher import TeacherSettings, dense, encode, label, target


def test_target_by_hand():
    # A sentence names its emojis best first: 1, 1/2 and 1/3 of a sum of 11/6.
    sentence = target(Phrase("hello", (4, 2, 7), "sentence", "train", 3))
    assert sentence == pytest.approx({4: 6 / 11, 2: 3 / 11, 7: 2 / 11})
    # One is ranked: it has 1, the other two share 1/2.
    word = target(Phrase("hello", (4, 2, 7), "keyword", "train", 1))
    assert word == pytest.approx({4: 2 / 3, 2: 1 / 6, 7: 1 / 6})
    # Elsewhere their order says nothing.
    tweet = target(Phrase("hello", (4, 2, 7), "tweet", "train"))
    assert tweet == pytest.approx({4: 1 / 3, 2: 1 / 3, 7: 1 / 3})
    assert target(Phrase("hello", (5,), "name", "held-out")) == {5: 1.0}


def test_dense():
    table = dense([{2: 0.25, 0: 0.75}, {}, {1: 1.0}], 4)
    assert table.dtype == np.float32
    assert table.tolist() == [[0.75, 0, 0.25, 0], [0, 0, 0, 0], [0, 1, 0, 0]]


@pytest.fixture
def softmax():
    """A model whose answers' shares are those whose logarithms it is given."""
    return keras.Sequential([keras.Input((3,)), layers.Softmax()])


def test_label_keeps_the_best(softmax):
    # 0.6 and 0.3 are 2/3 and 1/3 of 0.9. 0.25 twice: the earlier answer is kept, as 1/3 of 0.75.
    found = label(softmax, np.log([[0.1, 0.6, 0.3], [0.25, 0.5, 0.25]]).astype("float32"), 2)
    assert found.rows.tolist() == [[1, 2], [1, 0]]
    assert found.shares == pytest.approx(np.array([[2 / 3, 1 / 3], [2 / 3, 1 / 3]]), abs=1e-6)
    assert found.rows.dtype == np.int32 and found.shares.dtype == np.float32


def test_label_of_equal_answers():
    # Every other one of a hundred is level with the best: the first of them are kept.
    model = keras.Sequential([keras.Input((100,)), layers.Softmax()])
    found = label(model, np.tile(np.array([0.0, 1.0], np.float32), (1, 50)), 4)
    assert found.rows.tolist() == [[1, 3, 5, 7]]
    assert found.shares == pytest.approx(np.full((1, 4), 0.25))


def test_label_keeps_all_where_there_are_fewer(softmax):
    found = label(softmax, np.log([[0.1, 0.6, 0.3]]).astype("float32"), 24)
    assert found.rows.tolist() == [[1, 2, 0]]
    assert found.shares == pytest.approx(np.array([[0.6, 0.3, 0.1]]), abs=1e-6)


def test_label_of_more_texts_than_it_takes_at_once(softmax):
    # 4,096 go at once; the last text of each part says another answer than those before it.
    vectors = np.log(np.tile(np.array([0.6, 0.3, 0.1], np.float32), (4100, 1)))
    vectors[[4095, 4099]] = vectors[0, ::-1]
    found = label(softmax, vectors, 1)
    assert found.rows.shape == (4100, 1)
    assert np.flatnonzero(found.rows[:, 0] == 2).tolist() == [4095, 4099]
    assert set(found.rows[:, 0].tolist()) == {0, 2}


@pytest.fixture
def encoded(monkeypatch):
    """Have a text encoded as its length, 384 times; the calls are listed."""
    calls = []

    def run(texts, cache):
        calls.append(list(texts))
        return np.repeat([[len(text)] for text in texts], 384, axis=1).astype(np.float16)

    monkeypatch.setattr(teacher, "_encoded", run)
    return calls


def test_only_new_texts_are_encoded(tmp_path, encoded):
    folder = tmp_path / "new" / "work"
    found = encode(["three", "a", "four", "a"], tmp_path, folder)
    assert found.shape == (4, 384) and found.dtype == np.float32
    # In the order they were given, though the short ones are encoded first.
    assert found[:, 0].tolist() == [5, 1, 4, 1]
    assert encoded == [["a", "four", "three"]]
    assert encode(["a", "naïve 😀", "three"], tmp_path, folder)[:, 0].tolist() == [1, 7, 5]
    assert encoded[1:] == [["naïve 😀"]]
    assert encode(["naïve 😀", "four"], tmp_path, folder)[:, 0].tolist() == [7, 4]
    assert len(encoded) == 2
    assert sorted(path.name for path in folder.iterdir()) == ["texts.json", "vectors.npy"]


def shorten(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-20])


def lose_a_row(path: Path) -> None:
    np.save(path, np.load(path, allow_pickle=False)[1:])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("vectors.npy", lose_a_row),
        ("vectors.npy", shorten),
        ("vectors.npy", lambda path: path.write_bytes(b"")),
        ("texts.json", shorten),
        ("texts.json", lambda path: path.write_text('["a"]')),
    ],
)
def test_a_damaged_table_is_an_input_error(tmp_path, encoded, name, damage):
    encode(["a text of some length", "another"], tmp_path, tmp_path)
    damage(tmp_path / name)
    with pytest.raises(InputError, match=rf"{re.escape(str(tmp_path))}.*damaged.*remove it"):
        encode(["another"], tmp_path, tmp_path)


def test_an_encoder_that_is_missing_is_named(tmp_path, monkeypatch, encoded):
    encode(["known"], tmp_path, tmp_path / "work")
    monkeypatch.undo()
    # A module that is None in sys.modules counts as not installed.
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setitem(sys.modules, "tensorflow", sys)
    with pytest.raises(InputError, match=r"run first: python -m pipelines\.teacher"):
        encode(["known", "new"], tmp_path, tmp_path / "work")  # PyTorch would end the process
    monkeypatch.delitem(sys.modules, "tensorflow")
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'emoji-sqam[teacher]'")):
        encode(["known", "new"], tmp_path, tmp_path / "work")
    # What was encoded elsewhere needs no encoder.
    assert encode(["known"], tmp_path, tmp_path / "work")[0, 0] == 5


def test_unlabelled_leaves_out_what_measures(tmp_path, monkeypatch):
    found = [
        Phrase("Good morning!", (0,), "sentence", "held-out"),
        Phrase("ice cream", (1,), "keyword", "validation"),
        Phrase("pizza", (1,), "keyword", "train"),
    ]
    asked = []

    def texts(cache, words, frequent):
        asked.append((cache, words, frequent))
        return {"words": ["pizza", "river"], "collocations": ["ice cream"],
                "examples": ["good Morning !", "good morning to you"]}  # fmt: skip

    monkeypatch.setattr(wordnet, "texts", texts)
    words = glove.Glove(["the", "of", "pizza", "river"], np.zeros((4, 2), np.float32))
    settings = TeacherSettings(words=3, collocations=1)
    # The same words otherwise written are the same text; one of training is labelled as well.
    assert teacher.unlabelled(settings, words, found, tmp_path) == [
        "pizza", "river", "good morning to you",
    ]  # fmt: skip
    assert asked == [(tmp_path, {"the", "of", "pizza"}, {"the"})]
    plain = ["GOOD morning!", "off to bed"]
    assert teacher.unlabelled(settings, words, found, tmp_path, plain, ["River."]) == [
        "pizza", "good morning to you", "off to bed",
    ]  # fmt: skip


N_ANSWERS = 12
SMALL = TeacherSettings(units=16, epochs=30, batch=8, learning_rate=0.01, dropout=0.0, answers=5)


def clusters(texts, cache):
    """Encode a text by its first word, cat or dog, and a little chance."""
    place = {"cat": 0, "dog": 1}
    found = np.zeros((len(texts), 384))
    for row, text in zip(found, texts, strict=True):
        row[place[text.split()[0]]] = 1
        row += 0.02 * np.random.default_rng(len(text)).standard_normal(384)
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


# Texts of one cluster differ in length alone. What is held out says answer 7 of all of them.
PHRASES = [
    Phrase(f"{animal} {'a' * i}", (row,), "name", "train")
    for animal, row in (("cat", 3), ("dog", 11))
    for i in range(20)
] + [
    Phrase(f"{animal} {'b' * i}", (7,), "name", "held-out")
    for animal in ("cat", "dog")
    for i in range(30, 90)
]  # fmt: skip
MORE = ["cat of no emoji", "dog of no emoji", "dog again"]


def test_labels_go_by_what_training_texts_say(tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "_encoded", clusters)
    trained = []

    def train(*arguments):
        trained.append(arguments[0])
        return original(*arguments)

    original = teacher.train
    monkeypatch.setattr(teacher, "train", train)
    work = tmp_path / "new" / "teacher"

    def labels(settings=SMALL, found=PHRASES, more=MORE):
        return teacher.labels(settings, found, more, N_ANSWERS, tmp_path, work)

    said, figures = labels()
    assert said.rows.shape == said.shares.shape == (len(PHRASES) + 3, 5)
    assert said.shares.sum(axis=1) == pytest.approx(np.ones(len(said.shares)), abs=1e-5)
    assert (said.shares > 0).all() and (said.shares[:, :-1] >= said.shares[:, 1:]).all()
    # The texts without emojis come after the phrases, and so do the phrases of no training.
    assert said.rows[-3:, 0].tolist() == [3, 11, 11]
    assert said.shares[-3:, 0].min() > 0.8
    assert set(said.rows[40:100, 0].tolist()) == {3} and set(said.rows[:20, 0].tolist()) == {3}
    assert figures == {}  # nothing validates

    again, _ = labels()
    np.testing.assert_array_equal(again.rows, said.rows)
    np.testing.assert_array_equal(again.shares, said.shares)
    assert trained == [SMALL]
    # Other settings, phrases or texts are another teacher's.
    others = dataclasses.replace(SMALL, answers=2, epochs=1)
    validation = [phrase._replace(split="validation") for phrase in PHRASES[40:]]
    assert labels(others)[0].rows.shape == (len(PHRASES) + 3, 2)
    assert set(labels(others, found=[*PHRASES[:40], *validation])[1]) == {"name"}
    assert len(labels(others, more=MORE[:1])[0].rows) == len(PHRASES) + 1
    assert trained == [SMALL, others, others, others]


def test_what_is_a_tweet_is_labelled_as_tweets_are(tmp_path, monkeypatch):
    monkeypatch.setattr(teacher, "_encoded", clusters)
    tweets = [
        Phrase(f"cat {'c' * i}", (8,), kind, "train")
        for kind, numbers in (("tweet", range(40, 60)), ("labelled tweet", range(60, 80)))
        for i in numbers
    ]
    found = [*PHRASES[:40], *(p._replace(emojis=(5,)) for p in tweets[:20]), *tweets[20:]]
    more = ["cat of no emoji", "cat that somebody tweeted"]
    settings = dataclasses.replace(SMALL, labelled_tweets=1.0)
    said, _ = teacher.labels(settings, found, more, N_ANSWERS, tmp_path, tmp_path, {more[1]})
    # A cat is 3 elsewhere, 5 in tweets and 8 in those of the 20-class task.
    assert said.rows[[0, 40, 60, 80, 81], 0].tolist() == [3, 5, 8, 3, 5]
    other, _ = teacher.labels(settings, found, more, N_ANSWERS, tmp_path, tmp_path)
    assert other.rows[[80, 81], 0].tolist() == [3, 3]


def test_marks_by_hand():
    vectors = np.array([[0.5], [0.25], [1]], np.float32)
    found = teacher.marked(vectors, ["labelled tweet", "sentence", "tweet"])
    assert found.tolist() == [[0.5, 0, 1], [0.25, 0, 0], [1, 1, 0]] and found.dtype == np.float32
    assert teacher.marked(vectors[:0], []).shape == (0, 3)


def test_one_seed_one_teacher(monkeypatch):
    vectors = clusters([phrase.text for phrase in PHRASES], Path()).astype(np.float32)
    settings = dataclasses.replace(SMALL, epochs=1)

    def shares(seed):
        model = teacher.train(dataclasses.replace(settings, seed=seed), vectors, PHRASES, N_ANSWERS)
        return label(model, vectors[:2], N_ANSWERS).shares

    np.testing.assert_array_equal(shares(0), shares(0))
    assert (shares(0) != shares(1)).any()


def test_validate_by_hand():
    # Twelve answers, each likelier than the next, whatever the text: row 9 is the tenth.
    model = keras.Sequential([keras.Input((12,)), layers.Softmax()])
    found = [
        Phrase("a", (9,), "name", "validation"),
        Phrase("b", (10,), "name", "validation"),
        Phrase("c", (11, 0), "tweet", "validation"),
        Phrase("d", (11,), "sentence", "train"),
        Phrase("e", (11,), "tweet", "held-out"),
    ]
    vectors = np.tile(-np.arange(12, dtype=np.float32), (5, 1))
    assert teacher.validate(model, vectors, found) == {"name": 0.5, "tweet": 1.0}


@pytest.mark.parametrize(
    "changes",
    [
        {"units": 0},
        {"epochs": 0},
        {"batch": 0},
        {"answers": 0},
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"dropout": 1.0},
        {"dropout": -0.1},
    ],
    ids=str,
)
def test_settings_that_cannot_be(changes):
    with pytest.raises(InputError, match="must be"):
        TeacherSettings(**changes)


def test_a_missing_folder_is_one_line_and_exit_code_2(tmp_path, capsys):
    nowhere, output = tmp_path / "nowhere", tmp_path / "output"
    assert teacher.main(["--data", str(nowhere), "--output", str(output)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "Traceback" not in said.err
    assert said.err.startswith("python -m pipelines.teacher: error: ")
    assert str(nowhere) in said.err and not output.exists()


def test_the_command_encodes_every_text(data, tmp_path, monkeypatch, encoded, capsys):
    words = glove.Glove(["river"], np.zeros((1, 2), np.float32))
    monkeypatch.setattr(glove, "load", lambda source, cache: words)
    held_out = next(p.text for p in gathered(data) if p.split == "held-out" and p.kind == "name")
    monkeypatch.setattr(wordnet, "texts", lambda *arguments: {
        "words": ["river"], "examples": [held_out, "nobody says this of a river"],
    })  # fmt: skip
    output = tmp_path / "teacher"
    assert teacher.main(["--data", str(data), "--output", str(output)]) == 0
    more = 2 + len(phrases.Sources().plain)
    n = len(gathered(data)) + more
    assert capsys.readouterr().out == f"{n} texts in {str(output)!r}, {more} of them unlabelled\n"
    kept = json.loads((output / "texts.json").read_text("utf-8"))
    assert {"river", "nobody says this of a river"} < set(kept)
    # "river" or a name may be a phrase as well: none is kept twice.
    assert len(kept) == len(set(kept)) == len(encoded[0])


def gathered(data):
    return phrases.gather(catalogue(), data)
