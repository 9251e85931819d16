"""The embedding-layer study: texts on one side, the book's network, runs that go on."""

import json

import keras
import numpy as np
import pytest
from conftest import write_csv
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import embedding_study as module
from pipelines import phrases
from pipelines.embedding_study import (
    TREATMENTS,
    Kept,
    Network,
    StudySettings,
    Text,
    TextSet,
    airline,
    arrays,
    imdb,
    main,
    majority,
    measure,
    offensive,
    parted,
    study,
)
from pipelines.glove import Glove

SMALL = StudySettings(tokens=4, words=5, hidden=3, epochs=2, batch=4, sizes=(6, 12, 900))

needs_data = pytest.mark.skipif(
    not (phrases.DATA / "airline").is_dir(), reason=f"no data at {phrases.DATA}"
)


# Texts.


def test_parted_by_hand():
    train = [
        ("Good morning", 1),
        ("good MORNING @you", 1),  # the same tokens again
        ("bad day", 0),
        ("bad day", 1),  # both labels: left out
        ("late again", 0),  # stands in the test
        ("@you #", 0),  # no token
    ]
    test = [("Late again", 0), ("so so", 1), ("so so", 1)]
    found, held_out = parted(train, test)
    assert found == [Text(("good", "morning"), 1)]
    assert held_out == [Text(("late", "again"), 0), Text(("so", "so"), 1)]


rows = st.lists(
    st.tuples(st.sampled_from(["a", "A", "b", "a b", "", "#", "b."]), st.integers(0, 1))
)


@given(rows, rows)
def test_no_text_is_on_both_sides_or_twice(train, test):
    found = [text.tokens for part in parted(train, test) for text in part]
    assert len(found) == len(set(found)) and () not in found


@needs_data
@pytest.mark.parametrize("read", [airline, offensive])
def test_the_data_sets(read):
    texts = read(phrases.DATA)
    assert len(texts.train) > 5000 and len(texts.test) > 1000
    assert {text.label for text in texts.train} == {0, 1} == {text.label for text in texts.test}
    assert not {text.tokens for text in texts.train} & {text.tokens for text in texts.test}
    share = len(texts.test) / (len(texts.train) + len(texts.test))
    assert 0.09 < share < 0.22


def aclimdb(folder):
    """A folder in the layout of aclImdb, two texts a class and part."""
    for part in ("train", "test"):
        for kind, word in (("pos", "lovely"), ("neg", "awful")):
            path = folder / part / kind
            path.mkdir(parents=True)
            for number in range(6):
                text = f"a {word} film<br /><br />number {part} " + "really " * number
                (path / f"{number}_7.txt").write_text(text, "utf-8")
    return folder


def test_imdb_by_hand(tmp_path):
    texts = imdb(aclimdb(tmp_path))
    assert len(texts.train) == len(texts.test) == 12
    assert Text(("a", "lovely", "film", "number", "train", "really"), 1) in texts.train
    assert Text(("a", "awful", "film", "number", "test"), 0) in texts.test
    assert list(texts.data) == ["aclImdb"]
    (tmp_path / "test" / "pos" / "0_7.txt").write_text("another", "utf-8")
    assert imdb(tmp_path).data != texts.data


def test_imdb_names_what_is_missing(tmp_path):
    aclimdb(tmp_path)
    for path in (tmp_path / "test" / "pos").iterdir():
        path.unlink()
    with pytest.raises(InputError, match=r"no texts at test/pos/\*\.txt; name a folder laid out"):
        imdb(tmp_path)
    with pytest.raises(InputError, match=r"train/neg.*train/pos.*test/neg.*test/pos"):
        imdb(tmp_path / "none")
    (tmp_path / "test" / "pos" / "0_7.txt").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"0_7\.txt"):
        imdb(tmp_path)


# Numbers.

GLOVE = Glove(["b", "a", "x"], np.array([[1, 2], [3, 4], [5, 6]], np.float32))


def test_arrays_by_hand():
    train = [Text(("a", "b", "a"), 1), Text(("a", "c", "b", "c", "c", "d"), 0)]
    texts = TextSet("toy", train, [Text(("d", "b", "new"), 1)], {})
    # c and a three times (a is met first), b twice, d once: beyond the vocabulary of 3.
    found = arrays(texts, GLOVE, StudySettings(tokens=4, words=3))
    # Padded in front; of the longer text (1, 2, 3, 2, 2 without d) the last four are read.
    assert found.train.tolist() == [[0, 1, 3, 1], [2, 3, 2, 2]]
    assert found.test.tolist() == [[0, 0, 0, 3]]
    assert found.train_labels.tolist() == [1, 0] and found.test_labels.tolist() == [1]
    # Padding, a, c (not in GloVe), b.
    assert found.vectors.tolist() == [[0, 0], [3, 4], [0, 0], [1, 2]]
    assert found.known == 2


def test_measure_by_hand():
    # 3 of 4 are right. Class 1: precision 1/2, recall 1, F1 2/3; class 0: 1, 2/3, 4/5.
    found = measure(np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1]))
    assert found["accuracy"] == 0.75
    assert found["macro-F1"] == pytest.approx((2 / 3 + 4 / 5) / 2)


def toy(n=40, seed=0):
    """Texts of four tokens; the class is whether word 1 is in it."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(2, 6, (n, 4))
    labels = rng.integers(0, 2, n)
    ids[labels == 1, rng.integers(0, 4, n)[labels == 1]] = 1
    ids[:, 0] *= rng.integers(0, 2, n)  # some padding
    labels = (ids == 1).any(axis=1).astype(int)
    vectors = rng.standard_normal((6, 2)).astype(np.float32)
    vectors[0] = 0
    return module.Arrays(ids[:30], labels[:30], ids[30:], labels[30:], vectors, 5)


def test_majority_by_hand():
    numbers = module.Arrays(
        np.zeros((3, 1)), np.array([1, 0, 1]), np.zeros((4, 1)), np.array([1, 0, 0, 0]),
        np.zeros((2, 1)), 0,
    )  # fmt: skip
    # Always 1: one of four is right; class 1 has precision 1/4 and recall 1: F1 2/5; class 0: 0.
    assert majority(numbers) == {"accuracy": 0.25, "macro-F1": pytest.approx(0.2)}


# The network.


def test_the_network_is_the_books():
    network = Network(StudySettings(), (10_001, 100), trainable=True)
    # 10,000 words and padding; 100 tokens of 100 numbers to 32 units, and those to 1.
    assert network._model.count_params() == 10_001 * 100 + (100 * 100 * 32 + 32) + (32 + 1)
    optimizer = network._model.optimizer
    assert isinstance(optimizer, keras.optimizers.RMSprop)
    assert float(optimizer.learning_rate) == pytest.approx(0.001)


@pytest.fixture(scope="module")
def networks():
    numbers = toy()
    kind = {
        trainable: Network(SMALL, numbers.vectors.shape, trainable) for trainable in (False, True)
    }
    return numbers, kind


def embedding(network):
    return network._embedding.get_weights()[0]


def test_training_begins_anew_each_time(networks):
    numbers, kind = networks
    network = kind[True]
    found = []
    for seed, vectors in ((0, None), (1, numbers.vectors), (0, None), (1, None)):
        network.fit(numbers.train, numbers.train_labels, seed, vectors)
        found.append(network._model.get_weights())
    for first, third, fourth in zip(found[0], found[2], found[3], strict=True):
        np.testing.assert_array_equal(first, third)
        assert (first != fourth).any()


def test_what_becomes_of_the_embedding(networks):
    numbers, kind = networks
    kind[False].fit(numbers.train, numbers.train_labels, 0, numbers.vectors)
    np.testing.assert_array_equal(embedding(kind[False]), numbers.vectors)
    kind[True].fit(numbers.train, numbers.train_labels, 0, numbers.vectors)
    tuned = embedding(kind[True])
    # Padding is zero and trains nothing; all words occur.
    np.testing.assert_array_equal(tuned[0], numbers.vectors[0])
    assert (tuned[1:] != numbers.vectors[1:]).any(axis=1).all()
    assert np.abs(tuned - numbers.vectors).max() < 0.2


def test_treatments_differ_in_the_embedding_alone(networks):
    numbers, kind = networks
    starts = []
    for trainable, vectors in ((False, numbers.vectors), (True, numbers.vectors), (True, None)):
        network = kind[trainable]
        seen: list[np.ndarray] = []
        model = network._model
        fit = model.fit
        model.fit = lambda *a, seen=seen, model=model, **k: seen.extend(model.get_weights())
        try:
            network.fit(numbers.train, numbers.train_labels, 3, vectors)
        finally:
            model.fit = fit
        starts.append(seen)
    for start in starts[1:]:
        for one, other in zip(starts[0][1:], start[1:], strict=True):
            np.testing.assert_array_equal(one, other)
    assert (starts[0][0] != starts[2][0]).any()
    # Keras's defaults: a uniform embedding within 0.05, Glorot's limit sqrt(6 / (8 + 3)) = 0.739.
    assert 0.03 < np.abs(starts[2][0]).max() <= 0.05
    assert 0.4 < np.abs(starts[2][1]).max() <= 0.739


def test_padding_counts_for_nothing(networks):
    numbers, kind = networks
    kind[True].fit(numbers.train, numbers.train_labels, 0)
    ids = keras.utils.pad_sequences([[], [3]], maxlen=4)
    before = kind[True]._model.predict(ids, verbose=0)
    changed = embedding(kind[True])
    changed[0] = 100
    kind[True]._embedding.set_weights([changed])
    np.testing.assert_array_equal(kind[True]._model.predict(ids, verbose=0), before)


def test_it_learns_what_can_be_learned():
    settings = StudySettings(tokens=4, words=5, hidden=16, epochs=12, batch=16, learning_rate=0.02)
    rng = np.random.default_rng(0)
    ids = rng.integers(2, 6, (400, 4))
    labels = rng.integers(0, 2, 400)
    ids[labels == 1, rng.integers(0, 4, 400)[labels == 1]] = 1
    network = Network(settings, (6, 4), trainable=True)
    network.fit(ids[:300], labels[:300], 0)
    assert measure(labels[300:], network.classify(ids[300:]))["accuracy"] > 0.9


# The study, with a network that only guesses.


@pytest.fixture
def trained(monkeypatch):
    """What networks were trained on: ids, seed, whether the embedding is drawn and trained."""
    rows = []

    class Guess:
        def __init__(self, settings, shape, trainable):
            self.trainable = trainable

        def fit(self, ids, labels, seed, vectors=None):
            rows.append((ids.tolist(), seed, vectors is None, self.trainable))
            self.rng = np.random.default_rng([len(ids), seed])

        def classify(self, ids):
            return self.rng.integers(0, 2, len(ids))

    monkeypatch.setattr(module, "Network", Guess)
    return rows


def test_a_study_goes_on_where_it_stopped(tmp_path, trained):
    numbers = toy()
    kept = Kept(tmp_path / "work" / "toy.json", {"x": 1})
    found = study(numbers, SMALL, [0, 1], kept)
    # 900 examples are more than there are.
    assert list(found) == ["6", "12"] and list(found["6"]) == list(TREATMENTS)
    assert len(found["6"]["learned"]["accuracy"]["values"]) == 2
    assert len(trained) == 2 * 3 * 2
    # The examples of 6 are among the 12 of the same seed, and alike for the other treatments.
    assert trained[0][0] == trained[2][0][:6] and trained[0][0] != trained[1][0]
    assert trained[0][0] == trained[4][0] == trained[8][0]
    kinds = [row[2:] for row in trained[::4]]
    assert kinds == [(True, True), (False, False), (False, True)]

    again = Kept(tmp_path / "work" / "toy.json", {"x": 1})
    counts: list[int] = []
    assert study(numbers, SMALL, [0, 1], again, counts.append) == found
    assert len(trained) == 12 and counts == [1] * 12
    # Another seed alone is trained.
    more = study(numbers, SMALL, [1, 2], again)
    assert len(trained) == 18 and {row[1] for row in trained[12:]} == {2}
    values = found["12"]["tuned"]["accuracy"]["values"]
    assert more["12"]["tuned"]["accuracy"]["values"][0] == values[1]


def test_runs_of_another_study(tmp_path):
    Kept(tmp_path / "x.json", {"batch": 1}).add("a", {"accuracy": 1.0})
    assert Kept(tmp_path / "x.json", {"batch": 1}).runs == {"a": {"accuracy": 1.0}}
    with pytest.raises(InputError, match="--work"):
        Kept(tmp_path / "x.json", {"batch": 2})
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(InputError, match="damaged"):
        Kept(tmp_path / "x.json", {"batch": 1})


def test_settings_are_above_0():
    with pytest.raises(InputError, match="above 0"):
        StudySettings(sizes=())
    with pytest.raises(InputError, match="above 0"):
        StudySettings(batch=0)


# The command.


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with data laid out like the real, GloVe and reviews; one set but for the reviews."""
    rng = np.random.default_rng(0)
    words = ["good", "bad", "late", "crew", "seat", "food", "flight", "thanks"]
    tweets = [
        [" ".join(rng.choice(words, 5)), ("negative", "neutral", "positive")[i % 3]]
        for i in range(60)
    ]
    write_csv(tmp_path / "airline" / "tweets.csv.gz", ["text", "airline_sentiment"], tweets)
    lines = [f"{word} {' '.join(f'{n:.2f}' for n in rng.random(3))}" for word in words]
    (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n", "utf-8")
    aclimdb(tmp_path / "aclImdb")
    monkeypatch.setattr(module, "SETS", {"airline": airline})
    monkeypatch.chdir(tmp_path)
    return tmp_path


OPTIONS = ["--data", ".", "--glove", "glove.txt", "--work", "work", "--output", "x.json"]


def test_the_command(place, trained, capsys):
    run = [*OPTIONS, "--imdb", "aclImdb", "--sizes", "12", "6", "--seeds", "0", "3"]
    assert main(run) == 0
    found = json.loads((place / "x.json").read_text("utf-8"))
    assert found["command"] == "python -m pipelines.embedding_study " + " ".join(run)
    assert found["seeds"] == [0, 3] and found["settings"]["sizes"] == [6, 12]
    assert list(found["sets"]) == ["airline", "imdb"]
    assert set(found["data"]) == {"airline/tweets.csv.gz", "aclImdb", "glove.txt"}
    reviews = found["sets"]["imdb"]
    assert reviews["training texts"] == reviews["test texts"] == 12
    # a, lovely, awful, film, number, train, really; GloVe has none of them.
    assert reviews["words"] == 7 and reviews["words that GloVe has"] == 0
    assert reviews["majority"]["accuracy"] == 0.5
    assert list(reviews["figures"]) == ["6", "12"]
    assert set(reviews["figures"]["6"]["tuned"]["macro-F1"]) == {"mean", "sd", "values"}
    with Image.open(place / "x.png") as image:
        assert image.format == "PNG" and image.width > image.height
    assert "imdb" in capsys.readouterr().out
    before = (place / "x.json").read_bytes(), (place / "x.png").read_bytes()
    assert main(run) == 0
    assert ((place / "x.json").read_bytes(), (place / "x.png").read_bytes()) == before
    assert len(trained) == 2 * 2 * 3 * 2  # sets, sizes, treatments, seeds; none again


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--seeds", "-1"], "-1"),
        (["--sizes", "0"], "'0'"),
        (["--sizes", "900"], "'airline'"),
        (["--data", "none"], "tweets.csv.gz"),
        (["--imdb", "none"], "train/neg"),
        (["--glove", "none"], "'none'"),
        (["--output", "none/x.json"], "'none'"),
        (["--output", "x.png"], "x.png"),
        (["--rate", "1"], "--rate"),
    ],
    ids=" ".join,
)
def test_bad_input_is_one_line(arguments, named, place, capsys):
    assert main([*OPTIONS, "--sizes", "6", *arguments]) == 2
    error = capsys.readouterr().err
    assert named in error and error.count("\n") == 1
    assert not (place / "x.json").exists()


@pytest.mark.parametrize(
    ("name", "header", "rows", "named"),
    [
        ("airline/tweets.csv.gz", ["text", "mood"], [], "'airline_sentiment'"),
        ("airline/tweets.csv.gz", ["text", "airline_sentiment"], [["a", "glad"]], "'glad'"),
        ("tweeteval/offensive/train.csv.gz", ["text", "label"], [["a", "2"]], "'2'"),
    ],
    ids=["column", "sentiment", "label"],
)
def test_other_data(name, header, rows, named, tmp_path):
    write_csv(tmp_path / name, header, rows)
    with pytest.raises(InputError, match=named):
        (airline if "airline" in name else offensive)(tmp_path)


# What is committed.


def test_the_committed_picture_is_small():
    found = json.loads(asset("results", "embedding-study.json").read_text("utf-8"))
    assert found["seeds"] == [0, 1, 2, 3, 4] and list(found["sets"]) == ["airline", "offensive"]
    assert asset("results", "embedding-study.png").stat().st_size < 100_000
