"""TweetEval's emoji task: reading, the leak, choosing, tuning, and the command."""

import json

import numpy as np
import pytest
from conftest import WORDS, write_csv

from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from pipelines import phrases
from pipelines import tweeteval as module
from pipelines.emojifier import Labelled
from pipelines.tweeteval import (
    CLASSES,
    SYSTEMS,
    VARIANTS,
    Material,
    Models,
    TuneSettings,
    answered,
    choose,
    classes,
    examples,
    linear_svm,
    main,
    measure,
    not_in_train,
    parted,
    published,
    read,
    settings_from,
    spelled_out,
    stand_in,
    tune,
    tuned,
)
from sqam.export import restore
from sqam.model import SQAM
from sqam.scorer import Scorer
from sqam.text import Vocabulary, tokenize

# As the mapping has them: the first and the sun without U+FE0F.
WRITTEN = "❤ 😍 😂 💕 🔥 😊 😎 ✨ 💙 😘 📷 🇺🇸 ☀ 💜 😉 💯 😁 🎄 📸 😜".split()
EMOJIS = ["❤️", *WRITTEN[1:12], "☀️", *WRITTEN[13:]]
LEAK = "\ufe0f"


@pytest.fixture(scope="module")
def codes():
    rng = np.random.default_rng(3)
    return EmojiCodes(EMOJIS, rng.standard_normal((CLASSES, 16)).astype("float32"))


def write_mapping(data, rows=None):
    path = data / phrases.Sources().labels
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = list(enumerate(WRITTEN)) if rows is None else rows
    lines = ["label,emoji-or-name,name", *(f"{label},{emoji},x" for label, emoji in rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_part(data, part, rows):
    write_csv(data / phrases.Sources().labelled_tweets.format(part), ["text", "label"], rows)


def write_published(folder, texts, labels):
    folder.mkdir(exist_ok=True)
    (folder / "test_text.txt").write_bytes(texts.encode())
    (folder / "test_labels.txt").write_bytes(labels.encode())
    return folder


def material(train, measured, by=None, fresh=None):
    fresh = np.ones(len(measured.labels), dtype=bool) if fresh is None else np.array(fresh)
    return Material(train, by, measured, fresh)


def labelled(*rows):
    return Labelled([text for text, _ in rows], np.array([label for _, label in rows]))


# Settings.


@pytest.mark.parametrize(
    "change",
    [{"epochs": 0}, {"batch": 0}, {"tokens": 0}, {"learning_rate": 0.0}, {"margin": -0.1},
     {"dropout": 1.0}, {"word_dropout": -0.1}, {"balance": 1.1}, {"balance": float("nan")},
     {"ngrams": -0.1}, {"strength": 0.0}],
)  # fmt: skip
def test_settings_out_of_range(change):
    with pytest.raises(InputError, match="must be"):
        TuneSettings(**change)


def test_settings_that_are_typed():
    assert settings_from([]) == TuneSettings()
    found = settings_from(["balance=0.25", "epochs=2", "balance=1"])
    assert found == TuneSettings(balance=1, epochs=2)
    assert found.of_model()["popularity"] == 1
    for change, said in (
        ("epoch=2", "unknown setting 'epoch'"),
        ("epochs", "no setting 'epochs'; write NAME=VALUE"),
        ("epochs=two", "no setting 'epochs=two'"),
        ("epochs=2.5", "epochs cannot be 2.5; give int"),
        ("=1", "unknown setting ''"),
    ):
        with pytest.raises(InputError, match=said):
            settings_from([change])


# Reading.


def test_the_mapping_lacks_the_selector_and_the_classes_have_it(tmp_path):
    write_mapping(tmp_path)
    assert classes(tmp_path) == EMOJIS
    write_mapping(tmp_path, reversed(list(enumerate(WRITTEN))))
    assert classes(tmp_path) == EMOJIS


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([(20, "❤")], "row 1: the label '20' is no whole number from 0 to 19"),
        (list(enumerate(WRITTEN))[:-1], "for each label"),
        ([*enumerate(WRITTEN), (3, "🔥")], "for each label"),
        ([*enumerate(WRITTEN[:-1]), (19, "❤️")], "for each label"),
        ([(0, "heart")], "'heart' is no emoji"),
    ],
)
def test_a_mapping_that_cannot_be(tmp_path, rows, said):
    write_mapping(tmp_path, rows)
    with pytest.raises(InputError, match=said):
        classes(tmp_path)


def test_a_part_keeps_its_texts(tmp_path):
    write_part(tmp_path, "val", [[f"{LEAK}  so\nhappy ", "0"], ["pizza", "19"]])
    path = tmp_path / "tweeteval/emoji/val.csv.gz"
    found = read(path)
    assert found.sentences == [f"{LEAK}  so\nhappy ", "pizza"]
    assert found.labels.tolist() == [0, 19]
    write_part(tmp_path, "val", [["a", "0"], ["b", "-1"]])
    with pytest.raises(InputError, match=r"val\.csv\.gz', tweet 2: the label '-1'"):
        read(path)
    write_part(tmp_path, "val", [["a"]])
    with pytest.raises(InputError, match="tweet 1: the label None"):
        read(path)
    write_part(tmp_path, "val", [])
    with pytest.raises(InputError, match="holds no tweet"):
        read(path)


def test_published_lines_end_at_line_feeds_alone(tmp_path):
    tweets = ["so\u2028happy\x85 \r", "", f"sun {LEAK} "]
    for end in ("\n", ""):
        folder = write_published(tmp_path, "\n".join(tweets) + end, f"0\r\n 7\n12{end}")
        found = published(folder)
        assert found.sentences == tweets
        assert found.labels.tolist() == [0, 7, 12] and found.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        ("a\nb\n", "1\n20\n", r"test_labels\.txt', line 2: the label '20' is no whole number"),
        ("a\nb\n", "1\n\n", "line 2: the label ''"),
        ("a\nb\n", "1.0\n1\n", r"line 1: the label '1\.0'"),
        ("a\nb\nc\n", "1\n2\n", "has 3 lines, .*labels.txt' 2: line 3 has no partner"),
        ("a\n", "1\n2\n", "has 1 lines, .*labels.txt' 2: line 2 has no partner"),
        ("", "", "holds no tweet"),
    ],
)
def test_a_published_part_that_cannot_be(tmp_path, texts, labels, said):
    with pytest.raises(InputError, match=said):
        published(write_published(tmp_path, texts, labels))


def test_a_published_file_that_is_missing_or_of_other_bytes(tmp_path):
    folder = write_published(tmp_path, "a\n", "1\n")
    (folder / "test_text.txt").write_bytes(b"a\nb\n\xff\n")
    with pytest.raises(InputError, match=r"test_text\.txt', line 3: not UTF-8"):
        published(folder)
    (folder / "test_labels.txt").unlink()
    (folder / "test_text.txt").write_text("a\n")
    with pytest.raises(InputError, match=r"cannot read '.*test_labels\.txt': No such file"):
        published(folder)


# The leak.


def test_one_variant_keeps_the_leak_and_the_other_has_none():
    with_it, without = f"{LEAK} sunday  in the\u200d park {LEAK} ", "sunday in the park"
    assert list(VARIANTS) == ["leak-free", "as published"]
    clean, as_it_is = (
        material(labelled((with_it, 0)), labelled((with_it, 0), (without, 1))).of(variant)
        for variant in VARIANTS
    )
    # Nothing tells the two texts apart, white space included.
    assert clean.train.sentences == [without] and clean.measured.sentences == [without] * 2
    assert as_it_is.train.sentences == [with_it] == as_it_is.measured.sentences[:1]
    assert clean.by is None and clean.measured.labels.tolist() == [0, 1]
    by = material(labelled((with_it, 0)), labelled((with_it, 0)), labelled((with_it, 2)))
    found = by.of("leak-free").by
    assert found.sentences == [without] and found.labels.tolist() == [2]


def test_a_word_that_no_tweet_has_stands_for_the_leak():
    # Rarest first: "a" and "i" are there, "mornings" is another form of "morning", "n't" is no
    # letters alone, and "good" is the next.
    vocabulary = Vocabulary(["the", "i", "pizza", "good", "n't", "morning", "a"])
    texts = ["Mornings!", "i love a pizza"]
    word = stand_in(vocabulary, texts)
    assert word == "good"
    (spelled, plain) = spelled_out([f"{LEAK}the{LEAK}pizza", "the pizza"], word)
    assert tokenize(spelled) == ["good", "the", "good", "pizza"]
    assert tokenize(plain) == ["the", "pizza"] == tokenize(f"the {LEAK} pizza")
    with pytest.raises(InputError, match="every word"):
        stand_in(vocabulary, [*texts, "the good"])


def test_texts_that_stand_in_train():
    train = [f"Sunny day {LEAK}", "pizza "]
    asked = ["sunny  DAY", "pizza!", f"{LEAK} Pizza", "day"]
    assert not_in_train(train, asked).tolist() == [False, True, False, True]


# Measuring.


def test_measure_by_hand():
    # Right: the first and the third of four. F1: of 0 precision 1, recall 1/2: 2/3; of 1 precision
    # 1/2, recall 1: 2/3; of 2, which got no answer, and of the 17 others 0. Together 4/3 of 20.
    answers, labels = np.array([0, 1, 1, -1]), np.array([0, 0, 1, 2])
    texts = Labelled(["w", "x", "y", "z"], labels)
    # The last two alone: 1 is right with an F1 of 1, 2 is missed.
    found = measure(answers, material(texts, texts, fresh=[False, False, True, True]))
    assert found == {
        "accuracy": 0.5,
        "macro-F1": pytest.approx(4 / 3 / 20),
        "accuracy, not in train": 0.5,
        "macro-F1, not in train": pytest.approx(1 / 20),
    }
    assert set(measure(answers, material(texts, texts, fresh=[False] * 4))) == {
        "accuracy",
        "macro-F1",
    }


def test_answers_come_from_the_one_scoring_path(tiny, codes):
    scorer, texts = Scorer.load(tiny["folder"]), ["i love pizza", "qwxz", "good morning"]
    found = answered(scorer, texts, codes)
    assert found[1] == -1
    named = scorer.classify(texts, codes)
    assert [EMOJIS[found[0]], None, EMOJIS[found[2]]] == named


# The linear SVM.

# A third of what says "apple" is of class 1, but all of class 1 says "apple": weighed by how
# frequent the classes are (12.5 to 25) it is 1, else (20 to 10) it is 0.
FRUIT = labelled(*[("apple", 0), ("pear", 0)] * 20, *[("apple", 1)] * 10)


def test_the_best_on_other_tweets_is_chosen(monkeypatch):
    grid = [{"C": 1.0, "class_weight": weight} for weight in (None, "balanced")]
    monkeypatch.setattr(module, "GRID", grid)
    assert choose(FRUIT, labelled(("apple", 1), ("pear", 0)))["class_weight"] == "balanced"
    assert choose(FRUIT, labelled(("apple", 0), ("pear", 0)))["class_weight"] is None
    # Of equal ones the first.
    assert choose(FRUIT, labelled(("pear", 0)))["class_weight"] is None


def test_what_is_measured_does_not_choose(monkeypatch):
    grid = [{"C": 1.0, "class_weight": weight} for weight in (None, "balanced")]
    monkeypatch.setattr(module, "GRID", grid)
    sides = (labelled(("apple", 1), ("pear", 0)), labelled(("apple", 0), ("pear", 0)))
    for by, apple in zip(sides, (1, 0), strict=True):
        for measured in sides:
            answers, chosen = linear_svm(material(FRUIT, measured, by))
            assert answers.tolist() == [apple, 0]
            assert chosen["class_weight"] == ("balanced" if apple else None)
    # Without others, a part of the training tweets chooses, whatever is measured.
    monkeypatch.setattr(module, "parted", lambda train: (train, sides[0]))
    for measured in sides:
        assert linear_svm(material(FRUIT, measured))[1]["class_weight"] == "balanced"


def test_like_texts_are_on_one_side():
    texts = [f"tweet {word} {at}" for word in WORDS for at in range(40)]
    rows = [(text, 0) for text in texts] + [(f"{text.upper()} {LEAK}", 1) for text in texts]
    fit_on, by = parted(labelled(*rows))
    kept = [{" ".join(tokenize(text)) for text in side.sentences} for side in (fit_on, by)]
    assert not kept[0] & kept[1] and len(kept[0] | kept[1]) == 400
    assert by.labels.sum() * 2 == len(by.labels)
    assert 0.08 < len(by.labels) / 800 < 0.25  # 15 %
    with pytest.raises(InputError, match="too few"):
        parted(labelled(("a", 0)))


# Tuning.

TWEETS = labelled(
    *[("good love", 0), ("happy", 1), ("happy good", 1), ("not the pizza", 12)] * 12, ("qwxz", 3)
)


def test_tweets_to_tune_on():
    vocabulary = Vocabulary(WORDS)
    train = examples(TWEETS, vocabulary, 2)
    assert len(train) == 48  # the one without a known word is left out
    assert train[0] == ([WORDS.index("good"), WORDS.index("love")], {0: 1.0})
    assert train[3] == ([WORDS.index("not"), WORDS.index("the")], {12: 1.0})
    with pytest.raises(InputError, match="no training tweet"):
        examples(labelled(("qwxz", 3)), vocabulary, 2)


def test_tuning_learns_what_the_leak_tells(tiny, codes, monkeypatch):
    models = []

    def kept(*given):
        models.append(tune(*given))
        return models[-1]

    monkeypatch.setattr(module, "tune", kept)
    rows = [(f"good {LEAK} love", 0), ("good love", 4), ("happy", 1), ("not the pizza", 12)]
    asked = labelled(*rows, ("qwxz", 0))
    # Four tokens make one width; each is compiled for seconds.
    settings = TuneSettings(
        epochs=6, learning_rate=0.03, batch=64, dropout=0.0, tokens=4, balance=0.0
    )
    files = {path: path.read_bytes() for path in tiny["folder"].iterdir()}
    scorer = Scorer.load(tiny["folder"])
    given = Models(tiny["folder"], scorer, codes, "morning", settings, [0])
    ((found, beside),) = tuned(material(labelled(*rows * 256), asked), given)
    assert found.tolist() == [0, 4, 1, 12, -1]
    # The last has no n-gram either, but one of the four classes is what n-grams take nothing for.
    assert beside[:4].tolist() == [0, 4, 1, 12]
    # The vectors of words are tuned with the rest; the model that they came from is as it was.
    before, after = (m.embedding.get_weights()[0] for m in (tiny["model"], *models))
    moved = np.abs(after - before).max(axis=1)[1:]
    assert moved[WORDS.index("morning")] > 0.01
    assert {path: path.read_bytes() for path in tiny["folder"].iterdir()} == files


def test_what_a_training_is_given(tiny, codes, monkeypatch):
    told, drawn, shown = [], [], []

    def compiled(model, steps, seen):
        told.append((model.settings, steps, seen.tolist()))

    def trained(model, ids, correct):
        shown.append((ids, correct))
        return 0.0

    monkeypatch.setattr(SQAM, "compile_for_training", compiled)
    monkeypatch.setattr(SQAM, "draw_from", lambda model, step: drawn.append(step))
    monkeypatch.setattr(SQAM, "reset_metrics", lambda model: None)
    monkeypatch.setattr(SQAM, "train_on_batch", trained)
    settings = TuneSettings(epochs=3, batch=20, tokens=4, balance=0.3, margin=0.2, dropout=0.4)
    train = examples(TWEETS, Vocabulary(WORDS), 4)
    tune(tiny["folder"], codes, train, settings, 5)
    ((used, steps, seen),) = told
    # 48 tweets of one width make 3 batches of 20, the last one filled up; 3 epochs.
    assert steps == 9 == len(shown)
    # How frequent the classes are.
    assert seen == [12.0, 24.0, *[0.0] * 10, 12.0, *[0.0] * 7]
    assert (used.popularity, used.margin, used.dropout) == (0.3, 0.2, 0.4)
    assert (used.max_tokens, used.batch, used.tune_embedding) == (4, 20, True)
    assert used.sharpness == tiny["model"].settings.sharpness
    ids, correct = shown[0]
    assert ids.shape == (20, 4) and correct.shape == (20, CLASSES)
    assert (correct.sum(axis=1) == 1).all()
    # Each epoch of a seed has an order and random draws of its own, which it has again.
    for seed in (6, 5):
        tune(tiny["folder"], codes, train, settings, seed)
    orders = [b"".join(ids.tobytes() for ids, _ in shown[at : at + 3]) for at in range(0, 27, 3)]
    for each in (drawn, orders):
        assert len(set(each)) == 6 and each[6:] == each[:3]


# The command.


@pytest.fixture
def folder(tmp_path, codes, monkeypatch):
    """Return the arguments that name small data, in which U+FE0F stands for class 0 alone."""
    # Ten words, of which no training tweet has "a", the rarest. One half is of class 0, the other
    # of 4, but for the first twenty.
    rng = np.random.default_rng(0)
    rows = []
    for at in range(1100):
        text = " ".join(rng.choice(WORDS[:9], size=3))
        label = at if at < CLASSES else at % 2 * 4
        rows.append([f"{text} {LEAK if label == 0 else ''}", str(label)])
    write_part(tmp_path, "train", rows)
    # One text with and without the leak, and one that stands in train.
    seen = rows[1][0]
    asked = [[f"{LEAK} you you you you", "0"], ["you you you you", "4"], [f" {seen.upper()}", "0"]]
    write_part(tmp_path, "val", asked)
    write_published(tmp_path / "test", "you you love you you\nqwxz\n", "0\n3\n")
    write_mapping(tmp_path)
    codes.save(tmp_path / "codes.npz")
    monkeypatch.setattr(module, "GRID", [{"C": 1.0, "class_weight": None}])
    return tmp_path


def arguments(tiny, folder, *more):
    named = ["--model", tiny["folder"], "--codes", folder / "codes.npz", "--data", folder]
    return [str(argument) for argument in (*named, *more)]


def test_the_command(tiny, folder, codes, monkeypatch, capsys):
    trained = []

    def untrained(model, codes, train, settings, seed):
        trained.append((settings, seed, len(train), sum(9 in ids for ids, _ in train)))
        return restore(model, codes.codes, **settings.of_model())

    monkeypatch.setattr(module, "tune", untrained)
    output = folder / "x.json"
    more = ["--seeds", 0, 3, "--set", "epochs=5", "--set", "tokens=4", "--output", output]
    assert main(arguments(tiny, folder, *more)) == 0
    # Leak-free no tweet has the word that stands for the leak, the 10th; as published class 0 has.
    given = TuneSettings(epochs=5, tokens=4)
    assert trained == [(given, seed, 1100, n) for n in (0, 541) for seed in (0, 3)]
    found = json.loads(output.read_text("utf-8"))
    assert found["part"] == "validation" and found["classes"] == EMOJIS
    assert found["settings"]["word for U+FE0F"] == "a"
    assert found["settings"]["tuned"]["epochs"] == 5 and found["seeds"] == [0, 3]
    assert found["tweets"] == {
        "train": 1100,
        "measured": 3,
        "measured, not in train": 2,
        "train, with U+FE0F": 541,
        "measured, with U+FE0F": 1,
    }
    assert {"train.csv.gz", "mapping.csv", "codes.npz", "question.onnx", "embedding.npy"} < set(
        found["data"]
    )
    texts = read(folder / phrases.Sources().labelled_tweets.format("val")).sentences
    ships = Scorer.load(tiny["folder"]).classify(texts, codes)
    right = np.mean([a == EMOJIS[b] for a, b in zip(ships, (0, 4, 0), strict=True)])
    assert list(found["figures"]) == list(VARIANTS)
    for figures in found["figures"].values():
        assert tuple(figures) == SYSTEMS
        # Always 0: two of three are right, one of the two that are not in train. Of all three its
        # precision is 2/3, its recall 1, its F1 4/5; that of the 19 other classes is 0.
        always = figures["most frequent class"]
        assert always["accuracy"] == pytest.approx(2 / 3)
        assert always["accuracy, not in train"] == pytest.approx(1 / 2)
        assert always["macro-F1"] == pytest.approx(4 / 5 / 20)
        assert figures["as it ships"]["accuracy"] == pytest.approx(right)
        assert figures["linear SVM"]["C"] == 1.0
        tuned = figures["tuned"]
        assert set(tuned) == set(always) and len(tuned["macro-F1"]["values"]) == 2
    # The first two texts are one, with and without the leak: only as published both are right.
    told = [row["linear SVM"]["accuracy, not in train"] for row in found["figures"].values()]
    assert told[0] <= 0.5 and told[1] == 1
    assert "you you" not in output.read_text("utf-8")  # no tweet
    printed = capsys.readouterr().out
    said = "validation part: 3 tweets, 2 of them not in train; U+FE0F is in 33.3 %"
    assert printed.startswith(said)
    assert printed.index("\nleak-free ") < printed.index("\nas published ")
    lines = [line.split() for line in printed.splitlines()]
    always = ["most", "frequent", "class", "66.7", "%", "4.0", "%", "50.0", "%", "3.3", "%"]
    assert lines.count(always) == 2


def test_a_test_part_is_read_last_and_chooses_nothing(tiny, folder, monkeypatch, capsys):
    asked = []

    def spied(fit_on, by):
        asked.append((len(fit_on.sentences), list(by.sentences)))
        return {"C": 1.0, "class_weight": None}

    monkeypatch.setattr(module, "choose", spied)
    kept = sorted(folder.rglob("*"))
    systems = ["--systems", "linear SVM", "as it ships"]
    assert main(arguments(tiny, folder, "--test", folder / "test", *systems)) == 0
    # The validation part chooses, in each variant; nothing is written where no file was named.
    validation = read(folder / phrases.Sources().labelled_tweets.format("val")).sentences
    assert asked == [
        (1100, [phrases.clean_tweet(text) for text in validation]),
        (1100, validation),
    ]
    assert sorted(folder.rglob("*")) == kept
    printed = capsys.readouterr().out
    assert printed.startswith("test part: 2 tweets, 2 of them not in train; U+FE0F is in 0.0 %")
    assert "tuned" not in printed
    asked.clear()
    assert main(arguments(tiny, folder, *systems, "--output", folder / "x.json")) == 0
    assert len(asked) == 2
    train = set(read(folder / phrases.Sources().labelled_tweets.format("train")).sentences)
    assert set(asked[1][1]) < train and asked[1][0] + len(asked[1][1]) == 1100


def test_bad_input_is_one_line(tiny, folder, capsys):
    for more, said in (
        (["--test", folder / "none"], "none/test_text.txt"),
        (["--set", "epoch=3"], "unknown setting 'epoch'"),
        (["--set", "balance=2"], "balance from 0 to 1"),
        (["--systems", "svm"], "no system 'svm'"),
        (["--seeds", "-1"], "seed -1"),
        (["--output", folder], "it is a folder"),
        (["--data", folder / "none"], "none/tweeteval/emoji/train.csv.gz"),
        (["--seed", "0"], "--help"),
    ):
        assert main(arguments(tiny, folder, *more)) == 2
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1
    write_part(folder, "train", [[f"tweet {at}", str(at)] for at in range(1, CLASSES)])
    assert main(arguments(tiny, folder, "--output", folder / "x.json")) == 2
    assert "no tweet of label 0" in capsys.readouterr().err
