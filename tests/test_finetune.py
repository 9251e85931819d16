"""Fine-tuning: strategies, labels, stopping, thresholds, files, and as scikit-learn sees it."""

import copy
import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("keras", reason="needs the extra train")

from sklearn.base import clone
from sklearn.exceptions import NotFittedError, SkipTestWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

from emoji_vae.errors import InputError
from sqam import last_layer, thawing
from sqam.classifier import (
    THRESHOLDS,
    Classifier,
    Head,
    NGrams,
    best_thresholds,
    class_averaged,
    indicators,
    probabilities,
)
from sqam.encoder import Encoder
from sqam.finetune import STRATEGIES, FineTuneSettings, TextClassifier, finetune, widen
from sqam.model import SQAM
from sqam.task import _aside, _weights, task_of
from sqam.text import pad, tokenize

# Of these ten words "not" alone decides.
SUBJECTS = ["i", "you", "the morning", "a pizza", "you i"]
VERBS = ["love pizza", "happy", "good morning", "love the good pizza"]
TEXTS = [f"{s} {n}{v}" for s in SUBJECTS for v in VERBS for n in ("", "not ")]
LABELS = ["down" if "not" in text else "up" for text in TEXTS]
BOTH = np.array([["not" in text, "pizza" in text] for text in TEXTS]).astype(int)
QUICK = FineTuneSettings(
    tokens=7, epochs=8, layer_epochs=2, new_epochs=30, batch=8, learning_rate=0.02,
    layer_rate=0.02, new_rate=0.03, dropout=0.1, word_dropout=0.0, strengths=(10.0, 100.0),
    validation=0.2,
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder(tiny):
    return Encoder.load(tiny["folder"])


@pytest.fixture(scope="module")
def made(encoder):
    """Return the classifiers of all strategies, each trained once."""
    return {
        strategy: finetune(encoder, TEXTS, LABELS, strategy, settings=QUICK)
        for strategy in STRATEGIES
    }


# What is learnt.


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_learns(made, strategy):
    one = made[strategy]
    assert one.classes == ["down", "up"] and not one.multi_label
    assert one.measure(TEXTS, LABELS)["accuracy"] >= (0.85 if strategy == "last" else 0.95)
    found = one.predict_proba(TEXTS)
    assert found.shape == (40, 2) and found.dtype == np.float32
    assert found.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert one.predict(TEXTS).tolist() == [one.classes[i] for i in found.argmax(axis=1)]


def test_what_each_strategy_trains(made, encoder):
    last, full, chain = (made[name] for name in ("last", "full", "chain-thaw"))
    assert last.encoder.graph == encoder.graph and last.notes["steps"] == []
    np.testing.assert_array_equal(last.encoder.table, encoder.table)
    assert full.encoder.graph != encoder.graph
    assert [step["trained"] for step in full.notes["steps"]] == ["all"]
    assert [step["trained"] for step in made["new"].notes["steps"]] == ["all"]
    # The last layer was fitted before; the others follow from the first to the last.
    assert [step["trained"] for step in chain.notes["steps"]] == [
        "words", "bilstm", "attention", "question_0", "shared_0", "space", "all",
    ]  # fmt: skip
    losses = [step["loss"] for step in chain.notes["steps"]]
    assert losses == sorted(losses, reverse=True)  # no step makes the validation worse


def test_a_step_trains_its_layer_alone(encoder):
    task = task_of(TEXTS, LABELS, None, None, None, QUICK.validation, 0)
    trainer, network = trainer_of(encoder, task)
    for step in thawing._steps(network, "chain-thaw", QUICK)[:-1]:
        before = {layer.name: layer.get_weights() for layer in network.in_order()}
        # Without a validation loss it keeps what it comes to.
        trainer.loss = lambda: None
        trainer.make(step, [0, 0], lambda n: None)
        for layer in network.in_order():
            same = all(map(np.array_equal, before[layer.name], layer.get_weights()))
            assert same == (layer.name != step.name), (step.name, layer.name)


def trainer_of(encoder, task, settings=QUICK):
    """Return a trainer and its network, which begins as the chain-thaw does."""
    ids, held = encoder.ids(task.texts), encoder.ids(task.held)
    model, encoder = thawing._begun(encoder, "full", settings, 0)
    known = np.ones(len(ids), dtype=bool)
    mean, scale = last_layer.spreads(encoder, ids, known, settings.places)
    head, strength = last_layer.fitted(encoder, ids, held, task, settings, mean, scale)
    network = thawing._Network(model, encoder.table * encoder.scales, head, settings, 0)
    rows = np.arange(len(ids))
    tokens, others = pad(ids, 7), pad(held, 7)
    return thawing._Trainer(network, task, settings, tokens, others, rows, strength), network


@pytest.mark.parametrize("kind", ["two", "three", "both"])
def test_the_fitted_layer_is_the_optimum_of_what_is_trained(encoder, kind):
    labels = {"two": LABELS, "three": [i % 3 for i in range(40)], "both": BOTH}[kind]
    settings = dataclasses.replace(QUICK, dropout=0.0, strengths=(3.0,))
    task = task_of(TEXTS, labels, None, None, "balanced", settings.validation, 0)
    trainer, network = trainer_of(encoder, task, settings)
    tokens, targets = trainer._tokens, trainer._targets

    def loss():
        return float(network.loss(targets, network(tokens)).numpy().mean())

    best, kernel_and_bias = loss(), network.last.get_weights()
    rng = np.random.default_rng(0)
    for _ in range(5):
        away = [0.1 * rng.standard_normal(x.shape).astype("f4") for x in kernel_and_bias]
        for sign in (1, -1):
            network.last.set_weights(
                [x + sign * y for x, y in zip(kernel_and_bias, away, strict=True)]
            )
            assert loss() > best - 1e-5


def test_keras_and_the_classifier_agree(encoder):
    task = task_of(TEXTS, LABELS, None, None, None, QUICK.validation, 0)
    _, network = trainer_of(encoder, task)
    head = Head(
        np.asarray(network.mean), np.asarray(network.scale), *network.last.get_weights()
    )  # fmt: skip
    one = Classifier(encoder, QUICK.places, head, ["down", "up"], False, np.full(2, 0.5))
    texts = ["i love pizza", "not", "a good morning you love"]
    expected = np.asarray(network(pad(encoder.ids(texts), 7)))
    np.testing.assert_allclose(one.logits(texts), expected, atol=1e-4)


def test_the_same_seed_gives_the_same(encoder, made, capfd):
    again = finetune(encoder, TEXTS, LABELS, "full", settings=QUICK)
    assert "epoch" not in capfd.readouterr().err  # no bar, since that is no terminal
    np.testing.assert_array_equal(again.logits(TEXTS), made["full"].logits(TEXTS))
    last = [finetune(encoder, TEXTS, LABELS, "last", settings=QUICK, seed=s) for s in (0, 1)]
    np.testing.assert_array_equal(last[0].logits(TEXTS), made["last"].logits(TEXTS))
    assert np.abs(last[1].logits(TEXTS) - last[0].logits(TEXTS)).max() > 1e-3


def test_a_text_without_a_known_word_is_an_average_one(made, encoder):
    for one in made.values():
        found = one.logits(["", "xqzzt wvvk"])
        np.testing.assert_allclose(found, [one.head.bias] * 2, rtol=1e-6)
    # Such texts may be there in training too, and change nothing but the shares of the classes.
    more = finetune(encoder, [*TEXTS, ""], [*LABELS, "up"], "last", settings=QUICK)
    assert more.measure([*TEXTS, ""], [*LABELS, "up"])["accuracy"] >= 0.8


def test_several_labels_a_text(encoder):
    one = finetune(encoder, TEXTS, BOTH, "last", classes=["not", "pizza"], settings=QUICK)
    assert one.multi_label and one.classes == ["not", "pizza"]
    found = one.predict(TEXTS)
    assert found.shape == (40, 2) and set(found.ravel().tolist()) <= {0, 1}
    np.testing.assert_array_equal(found, one.predict_proba(TEXTS) > one.thresholds)
    figures = one.measure(TEXTS, BOTH)
    assert figures["class-averaged F1"] > 0.8
    assert figures["accuracy"] == (found == BOTH).all(axis=1).mean()
    # Lists of lists, truths and a table of another library do as well.
    rows = finetune(encoder, TEXTS, BOTH.astype(bool).tolist(), "last", settings=QUICK)
    assert rows.classes == [0, 1]
    np.testing.assert_array_equal(rows.logits(TEXTS), one.logits(TEXTS))


def test_whole_numbers_as_labels(encoder):
    labels = np.array([3 if label == "up" else 1 for label in LABELS])
    one = finetune(encoder, TEXTS, labels, "last", settings=QUICK)
    assert one.classes == [1, 3] and one.predict(["you love pizza"]).dtype == labels.dtype
    assert one.measure(TEXTS, labels) == finetune(
        encoder, TEXTS, LABELS, "last", settings=QUICK
    ).measure(TEXTS, LABELS)


def test_validation_texts_can_be_given(encoder):
    held = (["you not happy", "you happy"], ["down", "up"])
    one = finetune(encoder, TEXTS, LABELS, "last", validation=held, settings=QUICK)
    assert one.notes["validation"]["texts"] == 2
    figures = one.measure(*held)
    assert one.notes["validation"]["accuracy"] == figures["accuracy"]
    assert one.notes["validation"]["class-averaged F1"] == figures["class-averaged F1"]


def test_without_validation_texts_nothing_is_chosen(encoder):
    settings = dataclasses.replace(QUICK, validation=0.0, strengths=(1.0, 3.0, 10.0))
    one = finetune(encoder, TEXTS, LABELS, "last", settings=settings)
    assert one.thresholds.tolist() == [0.5, 0.5] and "validation" not in one.notes
    middle = dataclasses.replace(settings, strengths=(3.0,))
    same = finetune(encoder, TEXTS, LABELS, "last", settings=middle)
    np.testing.assert_array_equal(one.logits(TEXTS), same.logits(TEXTS))


def test_a_longer_text_is_read_up_to_the_tokens_of_the_task(encoder):
    settings = dataclasses.replace(QUICK, tokens=12)
    one = finetune(encoder, TEXTS, LABELS, "last", settings=settings)
    # The model itself reads 7 tokens.
    far = "the " * 10
    assert np.abs(one.logits([f"{far}not"]) - one.logits([f"{far}love"])).max() > 1e-3
    assert not np.abs(one.logits([f"{far}the the not"]) - one.logits([f"{far}the the i"])).any()


# Stopping, checkpoints.


def test_it_stops_and_keeps_the_best(encoder):
    task = task_of(TEXTS, LABELS, None, None, None, QUICK.validation, 0)
    settings = dataclasses.replace(QUICK, patience=2)
    trainer, network = trainer_of(encoder, task, settings)
    # Before, and after each epoch: the second is the best, and two that are none end it.
    losses = iter([1.0, 0.9, 0.8, 0.85, 0.8])
    seen = []

    def loss():
        seen.append(network.words.get_weights()[0])
        return next(losses)

    trainer.loss = loss
    bar: list[int] = []
    step = thawing._steps(network, "full", settings)[0]
    assert trainer._run(step, [0], bar.append) == 2
    np.testing.assert_array_equal(network.words.get_weights()[0], seen[2])
    assert len(seen) == 5 and sum(bar) == step.epochs


def test_weights_of_several_runs_are_averaged(encoder):
    task = task_of(TEXTS, LABELS, None, None, None, QUICK.validation, 0)
    trainer, network = trainer_of(encoder, task)
    trainer.loss = lambda: None
    ran = []

    def run(step, seed, progress):
        trainer._set([np.full(w.shape, 10.0 * seed[-1], "f4") for w in trainer._weights()])
        ran.append(seed)
        return 1

    trainer._run = run
    step = thawing._Step("all", network.in_order(), 1, 0.1, runs=3)
    assert trainer.make(step, [5, 0], print)["epochs"] == [1, 1, 1]
    assert ran == [[5, 0, 0], [5, 0, 1], [5, 0, 2]]
    assert all((w == 10.0).all() for w in trainer._weights())  # of 0, 10 and 20


def test_an_interrupted_training_goes_on(encoder, made, tmp_path, monkeypatch):
    folder = tmp_path / "new" / "kept"

    def tuned():
        return finetune(encoder, TEXTS, LABELS, "chain-thaw", settings=QUICK, folder=folder)

    calls = []
    true = thawing._Trainer.make

    def make(self, step, seed, progress):
        calls.append(step.name)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return true(self, step, seed, progress)

    monkeypatch.setattr(thawing._Trainer, "make", make)
    with pytest.raises(KeyboardInterrupt):
        tuned()
    assert sorted(path.name for path in folder.iterdir()) == ["log.json", "weights-2.npz"]
    resumed = tuned()
    assert calls == [
        "words", "bilstm", "attention", "attention", "question_0", "shared_0", "space", "all",
    ]  # fmt: skip
    np.testing.assert_array_equal(resumed.logits(TEXTS), made["chain-thaw"].logits(TEXTS))
    assert resumed.notes == made["chain-thaw"].notes
    with pytest.raises(InputError, match="holds another training; remove it"):
        finetune(encoder, TEXTS, LABELS, "full", settings=QUICK, folder=folder)
    (folder / "log.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        tuned()


# Files.


@pytest.mark.parametrize("wide", [False, True])
def test_what_is_saved_answers_alike(made, encoder, tmp_path, wide):
    one = made["full"]
    if wide:
        one = widen(one, TEXTS, LABELS, settings=QUICK)
    one.save(tmp_path / "new" / "model")
    again = Classifier.load(tmp_path / "new" / "model")
    texts = [*TEXTS, "", "xqzzt", "Love LOVE 😀"]
    np.testing.assert_array_equal(again.logits(texts), one.logits(texts))
    assert again.predict(texts).tolist() == one.predict(texts).tolist()
    assert again.classes == one.classes and again.notes == json.loads(json.dumps(one.notes))
    assert {path.suffix for path in (tmp_path / "new" / "model").iterdir()} <= {
        ".json", ".npy", ".npz", ".onnx", ".txt",
    }  # fmt: skip
    copied = copy.deepcopy(one)
    np.testing.assert_array_equal(copied.logits(texts), one.logits(texts))


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("config.json", lambda path: path.write_text("{}")),
        ("config.json", lambda path: path.unlink()),
        ("head.npz", lambda path: path.write_bytes(b"no arrays")),
        ("head.npz", lambda path: path.unlink()),
        ("head.npz", lambda path: np.savez(path, kernel=np.zeros((3, 2)))),
        ("ngrams.txt", lambda path: path.write_text("wlove\n")),
        ("ngrams.txt", lambda path: path.write_bytes(b"\xff\n")),
        ("question.onnx", lambda path: path.write_bytes(b"no network")),
        ("vocabulary.txt", lambda path: path.write_text("love\n")),
    ],
)
def test_damaged_files(encoder, tmp_path, name, damage):
    settings = dataclasses.replace(QUICK, wide=True)
    finetune(encoder, TEXTS, LABELS, "last", settings=settings).save(tmp_path)
    damage(tmp_path / name)
    with pytest.raises(InputError) as error:
        Classifier.load(tmp_path)
    assert "\n" not in str(error.value)


def test_no_array_of_objects_is_read(encoder, tmp_path):
    finetune(encoder, TEXTS, LABELS, "last", settings=QUICK).save(tmp_path)
    np.savez(tmp_path / "head.npz", kernel=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match="damaged"):
        Classifier.load(tmp_path)


def test_a_model_is_no_classifier_and_a_classifier_no_model(encoder, tiny, tmp_path):
    finetune(encoder, TEXTS, LABELS, "last", settings=QUICK).save(tmp_path)
    with pytest.raises(InputError, match="no model of ours"):
        Encoder.load(tmp_path)
    with pytest.raises(InputError, match="no model of ours"):
        Classifier.load(tiny["folder"])


def test_tuning_begins_with_a_trained_model(made, tiny, tmp_path):
    tuned = made["full"].encoder
    with pytest.raises(InputError, match="not the one at"):
        finetune(tuned, TEXTS, LABELS, "full", settings=QUICK)
    assert finetune(tuned, TEXTS, LABELS, "last", settings=QUICK).measure(TEXTS, LABELS)
    with pytest.raises(InputError, match="no model at"):
        finetune(tmp_path, TEXTS, LABELS, settings=QUICK)
    assert finetune(str(tiny["folder"]), TEXTS, LABELS, "last", settings=QUICK).classes


def test_the_form_of_2017_is_tuned_too(tiny, tmp_path):
    """No mask, no attention, windows: as many tokens as the model was trained on."""
    from sqam.export import export
    from sqam.model import SQAMSettings

    settings = SQAMSettings.preset("2017", vocabulary=10, dimensions=6)
    vectors = np.random.default_rng(3).standard_normal((10, 6)).astype("float32")
    words = (tiny["folder"] / "vocabulary.txt").read_text().split()
    export(SQAM(settings, vectors, tiny["codes"].codes), words, tmp_path, {}, tiny["codes"],
           tiny["sentences"])  # fmt: skip
    one = finetune(tmp_path, TEXTS, LABELS, "chain-thaw", settings=dataclasses.replace(
        QUICK, epochs=1, layer_epochs=1
    ))  # fmt: skip
    assert one.encoder.max_tokens == 20 and np.isfinite(one.logits([*TEXTS, ""])).all()
    assert [step["trained"] for step in one.notes["steps"]][:3] == ["words", "bilstm", "question_0"]


# N-grams.


def test_n_grams_tell_what_the_model_has_no_word_for(encoder):
    # Each text is there twice, but for its unknown word: the network cannot tell them apart.
    texts = [f"{text} {word}" for text in TEXTS for word in ("wvvk", "xqzzt")]
    labels = [0, 1] * len(TEXTS)
    narrow = finetune(encoder, texts, labels, "last", settings=QUICK)
    assert narrow.measure(texts, labels)["accuracy"] < 0.7
    wide = finetune(encoder, texts, labels, "last", settings=dataclasses.replace(QUICK, wide=True))
    assert wide.measure(texts, labels)["accuracy"] == 1.0
    # Alone they are enough, of a text without a known word.
    assert wide.predict(["wvvk", "xqzzt"]).tolist() == [0, 1]
    later = widen(narrow, texts, labels, settings=QUICK)
    assert later.notes["share of n-grams"] == wide.notes["share of n-grams"] > 0
    np.testing.assert_array_equal(later.predict(texts), wide.predict(texts))
    # What was widened before is widened anew, not once more.
    again = widen(wide, texts, labels, settings=QUICK)
    np.testing.assert_array_equal(again.predict(texts), wide.predict(texts))


def test_labels_of_another_form_widen_nothing(made):
    with pytest.raises(InputError, match=r"another form|classes"):
        widen(made["last"], TEXTS, BOTH, settings=QUICK)


WRITTEN = st.lists(
    st.sampled_from(["so", "good", "Sooo", "b", "#MyDay", "it's", "😀"]), min_size=1, max_size=5
)


@given(st.lists(WRITTEN.map(" ".join), min_size=2, max_size=6))
def test_n_grams_are_weighed_as_scikit_learn_does(texts):
    ours = NGrams.of(texts)
    found = np.zeros((len(texts), len(ours.names)))
    for row, text in zip(found, texts, strict=True):
        columns, weights = ours(text)
        row[columns] = weights
    words = TfidfVectorizer(tokenizer=tokenize, token_pattern=None, lowercase=False,
                            ngram_range=(1, 2), sublinear_tf=True)  # fmt: skip
    expected = words.fit_transform(texts).toarray()
    at = [ours.names.index(f"w{name}") for name in words.get_feature_names_out()]
    np.testing.assert_allclose(found[:, at], expected, atol=1e-6)
    assert sum(name[0] == "w" for name in ours.names) == len(at)
    chars = TfidfVectorizer(analyzer=lambda text: [
        f" {token} "[i : i + n] for token in tokenize(text) for n in range(2, 6)
        for i in range(len(token) + 3 - n)
    ], sublinear_tf=True, min_df=2)  # fmt: skip
    try:
        expected = chars.fit_transform(texts).toarray()
    except ValueError:  # none is in two texts
        assert len(ours.names) == len(at)
        return
    at = [ours.names.index(f"c{name}") for name in chars.get_feature_names_out()]
    np.testing.assert_allclose(found[:, at], expected, atol=1e-6)


# Figures and thresholds, by hand.


def test_class_averaged_by_hand():
    found = np.array([[0.9, 0.2, 0.4], [0.6, 0.7, 0.1], [0.1, 0.8, 0.3]])
    correct = np.array([[1, 0, 0], [0, 1, 0], [1, 1, 0]])
    # Class 0, above 0.5: texts 0, 1; there: 0, 2: 2 * 1 / (2 + 2). Class 1: both right. Class 2,
    # above 0.35: text 0, which is none; nothing is there: 0.
    thresholds = np.array([0.5, 0.5, 0.35])
    assert class_averaged(found, correct, thresholds, True) == pytest.approx((0.5 + 1 + 0) / 3)
    # Of two classes that exclude each other the second counts alone.
    two = np.array([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8]])
    right = np.array([[1, 0], [0, 1], [0, 1]])
    at = np.array([0.99, 0.25])
    assert class_averaged(two, right, at, False) == 1.0
    assert class_averaged(two, right, np.array([0.0, 0.5]), False) == pytest.approx(2 / 3)


def test_thresholds_by_hand():
    found = np.array([[0.105], [0.205], [0.305], [0.455]])
    correct = np.array([[0], [0], [1], [1]])
    # By the labels alone the last two are right; the first threshold between is 0.21.
    assert best_thresholds(found, correct, 1.0) == pytest.approx([0.21])
    # By the probabilities alone, which add up to 1.07, the F1 of what is above a threshold is
    # 2 * 1.07 / (4 + 1.07) = 0.42 of all, 2 * 0.965 / (3 + 1.07) = 0.47 of three, 0.50 of two and
    # 0.44 of one.
    assert best_thresholds(found, correct, 0.0) == pytest.approx([0.21])
    # These labels want the second, so three: 2 * 1 / (3 + 1); the probabilities still want two.
    wrong = np.array([[0], [1], [0], [0]])
    assert best_thresholds(found, wrong, 1.0) == pytest.approx([0.11])
    assert best_thresholds(found, wrong, 0.02) == pytest.approx([0.21])
    assert THRESHOLDS[0] == 0.01 and THRESHOLDS[-1] == pytest.approx(0.49)


def test_probabilities_by_hand():
    logits = np.array([[0.0, np.log(3.0)], [1000.0, 0.0]])
    np.testing.assert_allclose(probabilities(logits, False), [[0.25, 0.75], [1.0, 0.0]])
    np.testing.assert_allclose(probabilities(logits, True), [[0.5, 0.75], [1.0, 0.5]])


def test_the_scale_that_fits():
    # Three of four are right with logits of ±2: the loss is least where 1 / (1 + exp(-2 s)) is
    # 3/4, so that s = log(3) / 2 = 0.55, and it is -(3 log(3/4) + log(1/4)) / 4 = 0.562.
    logits = np.array([[0.0, 2.0], [0.0, 2.0], [2.0, 0.0], [2.0, 0.0]]) / 2 * 2
    correct = np.array([[0, 1], [0, 1], [1, 0], [0, 1]])
    scale, loss = last_layer.calibrated(logits, correct, False)
    assert scale == pytest.approx(0.55, abs=0.04) and loss == pytest.approx(0.562, abs=0.002)
    # Of several labels: both classes of one text at even odds cost log(2) each.
    zeros = np.zeros((1, 2))
    assert last_layer._losses(zeros, np.array([[1, 0]]), True) == pytest.approx(2 * np.log(2))


def test_weights_by_hand():
    correct = np.array([[1, 0], [1, 0], [1, 0], [0, 1]], dtype=np.float32)
    names = ["a", "b"]
    balanced = _weights(correct, names, False, "balanced")
    # Three of four are a: 1 / (2 * 3/4) = 2/3 each; the one b: 2. That is 4 in all.
    np.testing.assert_allclose(balanced, [[2 / 3] * 2] * 3 + [[2.0] * 2], rtol=1e-6)
    given_ones = _weights(correct, names, False, {"b": 5})
    np.testing.assert_allclose(given_ones, [[1, 1]] * 3 + [[5, 5]])
    both = _weights(correct, names, True, "balanced")
    # Class a: ones 1 / (2 * 3/4), zeros 1 / (2 * 1/4); class b the other way round.
    np.testing.assert_allclose(both, [[2 / 3, 2 / 3]] * 3 + [[2.0, 2.0]], rtol=1e-6)
    ones = _weights(correct, names, True, {"a": 3})
    np.testing.assert_allclose(ones, [[3, 1]] * 3 + [[1, 1]])
    assert (_weights(correct, names, False, None) == 1).all()


def test_a_class_that_counts_more_is_found_more_often(encoder):
    labels = ["down" if i % 5 == 0 else "up" for i in range(40)]
    settings = dataclasses.replace(QUICK, validation=0.0, strengths=(1.0,))
    plain, heavy = (
        finetune(encoder, TEXTS, labels, "last", class_weight=weight, settings=settings)
        for weight in (None, {"down": 20.0})
    )
    share = [(one.predict(TEXTS) == "down").mean() for one in (plain, heavy)]
    assert share[1] > share[0]


def test_validation_texts_are_drawn_of_each_class():
    correct = np.eye(3, dtype=np.float32)[[0] * 10 + [1] * 5 + [2]]
    aside = _aside(correct, 0.4, False, seed=0)
    # Four of ten, two of five, and never the only one.
    assert correct[aside].sum(axis=0).tolist() == [4, 2, 0]
    assert not np.array_equal(aside, _aside(correct, 0.4, False, seed=1))
    assert _aside(correct, 0.25, True, seed=0).sum() == 4


# Bad input.


@pytest.mark.parametrize(
    "change",
    [{"tokens": 0}, {"epochs": 0}, {"patience": 0}, {"runs": 0}, {"learning_rate": 0.0},
     {"new_rate": -1.0}, {"dropout": 1.0}, {"validation": 1.0}, {"trust": 1.1},
     {"strengths": ()}, {"strengths": (0.0,)}, {"places": ()}, {"places": ("nowhere",)}],
)  # fmt: skip
def test_settings_out_of_range(change):
    with pytest.raises(InputError, match=next(iter(change))):
        FineTuneSettings(**change)


def test_settings_from_a_file():
    saved = json.loads(json.dumps(dataclasses.asdict(QUICK)))
    assert FineTuneSettings.from_dict(saved) == QUICK
    with pytest.raises(InputError, match="unknown setting 'speed'"):
        FineTuneSettings.from_dict({"speed": 1})


@pytest.mark.parametrize(
    ("texts", "labels", "said"),
    [
        (["a", "b", "c"], ["x", "y"], "3 texts, but 2 labels"),
        ([], [], "no text"),
        (["a", "b"], ["x", "x"], r"one class alone, \['x'\]"),
        (["a", "b"], ["x", None], "the label of text 1 is None"),
        (["a", "b"], ["x", float("nan")], "the label of text 1 is nan"),
        (["a", "b"], np.array([1.0, np.nan]), "the label of text 1 is nan"),
        (["a", "b"], ["x", 1], "mixed types: 'x' and 1"),
        (["a", "b"], [0.2, 1.0], "text 0 is 0.2, which is no class"),
        (["a", "b"], [{"x"}, {"y"}], "give a string or a whole number"),
        (["a", "b"], "xy", "labels must be a list"),
        (["a", "b"], 3, "labels must be a list"),
        ("ab", ["x", "y"], "not one string"),
        (["a", 3], ["x", "y"], "a text must be a string, not int"),
        (["a", None], ["x", "y"], "a text must be a string, not NoneType"),
        (["xqzzt", "wvvk"], ["x", "y"], "no training text has a word"),
        (["a", "the"], [[0, 1], [1]], "0 or 1 for each class"),
        (["a", "the"], [[0, 1], [1, 2]], "text 1 for class 1 is 2"),
        (["a", "the"], [[0, 1], [1, float("nan")]], "text 1 for class 1 is nan"),
        (["a", "the"], [[0, 1], ["x", "y"]], "0 or 1 for each class"),
        (["a", "the"], [[0, 1], [0, 0]], "no training texts are of class 0"),
        (["a", "the"], [[0, 1], [1, 1]], "all training texts are of class 1"),
    ],
)
def test_bad_texts_and_labels(encoder, texts, labels, said):
    settings = dataclasses.replace(QUICK, validation=0.0)
    with pytest.raises(InputError, match=said) as error:
        finetune(encoder, texts, labels, "last", settings=settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strategy": "thaw"}, "no strategy 'thaw'; choose from new, last, full, chain-thaw"),
        ({"classes": ["up", "down", "up"]}, "named twice"),
        ({"classes": ["up", "left"]}, "'down' is none of the classes"),
        ({"classes": ["up"]}, "one class alone"),
        ({"classes": ["up", "down", "left"]}, "no training texts are of class 'left'"),
        ({"class_weight": "even"}, "class_weight is 'even'"),
        ({"class_weight": {"left": 2}}, "'left', which is no class"),
        ({"class_weight": {"up": 0}}, "weight of class 'up' is 0"),
        ({"class_weight": {"up": float("nan")}}, "weight of class 'up' is nan"),
        ({"validation": (["you"], ["left"])}, "'left' is none of the classes"),
        ({"validation": (["you"], [])}, "1 texts, but 0 labels"),
    ],
)
def test_bad_options(encoder, changes, said):
    with pytest.raises(InputError, match=said) as error:
        finetune(encoder, TEXTS, LABELS, **{"strategy": "last", "settings": QUICK} | changes)
    assert "\n" not in str(error.value)


def test_classes_that_training_has_not_met(made, encoder):
    one = made["last"]
    with pytest.raises(InputError, match=r"'left' is none of the classes 'down', 'up'"):
        one.measure(["you"], ["left"])
    with pytest.raises(InputError, match="nan is none of the classes"):
        one.measure(["you"], [float("nan")])
    with pytest.raises(InputError, match="2 texts, but 1 labels"):
        one.measure(["you", "i"], ["up"])
    with pytest.raises(InputError, match="no text"):
        one.measure([], [])
    both = finetune(encoder, TEXTS, BOTH, "last", settings=QUICK)
    with pytest.raises(InputError, match="3 labels, but there are 2 classes"):
        both.measure(["you"], [[0, 1, 1]])
    assert indicators([[0, 1]], 1, ["a", "b"], True).tolist() == [[0.0, 1.0]]


def test_nothing_to_tell_the_classes_of(made):
    assert made["last"].predict([]).shape == (0,)
    assert made["last"].predict_proba([]).shape == (0, 2)
    with pytest.raises(InputError, match="not one string"):
        made["last"].predict("you")


# As scikit-learn sees it.


@pytest.fixture
def estimator(encoder):
    return TextClassifier(encoder, strategy="last", settings=QUICK)


def test_check_estimator(encoder):
    """All checks that send numbers do not apply: this takes strings, as its tags say.

    `check_estimator` itself stops at that, with a warning. What is checked without data is called
    here, and what is checked with numbers there is repeated with texts in the tests below: that
    fit returns the estimator and changes no parameter, that it is the same when repeated, that
    order and choice of texts change no answer, and that unfitted ones refuse. Checks about the
    number of features have no counterpart: a text has none.
    """
    one = TextClassifier()
    with pytest.warns(SkipTestWarning, match="Can't test estimator"):
        estimator_checks.check_estimator(one)
    for check in (
        estimator_checks.check_estimator_cloneable,
        estimator_checks.check_estimator_tags_renamed,
        estimator_checks.check_valid_tag_types,
        estimator_checks.check_estimator_repr,
        estimator_checks.check_no_attributes_set_in_init,
        estimator_checks.check_do_not_raise_errors_in_init_or_set_params,
        estimator_checks.check_mixin_order,
        estimator_checks.check_parameters_default_constructible,
        estimator_checks.check_get_params_invariance,
        estimator_checks.check_set_params,
    ):
        check("TextClassifier", clone(one))


def test_fit_returns_the_estimator_and_changes_no_parameter(estimator):
    before = estimator.get_params()
    assert estimator.fit(np.array(TEXTS, dtype=object), np.array(LABELS)) is estimator
    assert estimator.get_params() == before
    assert estimator.classes_.tolist() == ["down", "up"]
    kept = dict(vars(estimator))
    first = estimator.predict_proba(TEXTS)
    assert vars(estimator) == kept
    # Fitted again it is the same; fitted to something else it has forgotten.
    np.testing.assert_array_equal(estimator.fit(TEXTS, LABELS).predict_proba(TEXTS), first)
    assert estimator.fit(TEXTS, [i % 3 for i in range(40)]).predict_proba(TEXTS).shape == (40, 3)


def test_order_and_choice_of_texts_change_no_answer(estimator):
    estimator.fit(TEXTS, LABELS)
    all_at_once = estimator.predict_proba(TEXTS)
    backwards = estimator.predict_proba(TEXTS[::-1])[::-1]
    alone = np.concatenate([estimator.predict_proba([text]) for text in TEXTS])
    np.testing.assert_allclose(backwards, all_at_once, atol=1e-6)
    np.testing.assert_allclose(alone, all_at_once, atol=1e-6)


def test_what_is_not_fitted_refuses(estimator):
    for ask in (estimator.predict, estimator.predict_proba):
        with pytest.raises(NotFittedError):
            ask(["you"])
    with pytest.raises(NotFittedError):
        estimator.score(["you"], ["up"])


def test_cross_validation_pipelines_and_searches(estimator):
    scores = cross_val_score(estimator, TEXTS, LABELS, cv=3)
    assert scores.shape == (3,) and scores.mean() > 0.7
    steps = [("lower", FunctionTransformer(lambda texts: [t.lower() for t in texts]))]
    chain = Pipeline([*steps, ("told", estimator)]).set_params(told__class_weight="balanced")
    chain.fit([text.upper() for text in TEXTS], LABELS)
    assert chain.score(TEXTS, LABELS) == np.mean(chain.predict(TEXTS) == np.array(LABELS))
    assert chain.predict_proba(TEXTS[:3]).shape == (3, 2)
    strengths = [dataclasses.replace(QUICK, strengths=(value,)) for value in (1e-6, 10.0)]
    search = GridSearchCV(estimator, {"settings": strengths}, cv=2).fit(TEXTS, LABELS)
    assert search.best_params_["settings"].strengths == (10.0,)
    both = clone(estimator).fit(TEXTS, BOTH)
    assert both.predict(TEXTS).shape == (40, 2)
    with pytest.raises(InputError, match="none of the classes"):
        estimator.fit(TEXTS, LABELS).score(["you"], ["left"])
    with pytest.raises(InputError, match="no strategy"):
        estimator.set_params(strategy="thaw").fit(TEXTS, LABELS)


def test_a_fitted_one_is_copied(estimator):
    estimator.fit(TEXTS, LABELS)
    copied = copy.deepcopy(estimator)
    np.testing.assert_array_equal(copied.predict_proba(TEXTS), estimator.predict_proba(TEXTS))


@pytest.mark.slow
def test_the_shipped_model_learns_a_task(tmp_path):
    """On sentences of the phrasebook: chain-thaw beats the last layer alone, and both chance."""
    from pipelines import phrases

    book = [(text, emojis[0]) for text, emojis in phrases.phrasebook() if emojis[0] in "😂😢"]
    texts, labels = map(list, zip(*book[:300], strict=True))
    train, held = slice(0, None, 2), slice(1, None, 2)
    scores = {
        strategy: finetune(None, texts[train], labels[train], strategy).measure(
            texts[held], labels[held]
        )["accuracy"]
        for strategy in ("last", "chain-thaw")
    }
    assert scores["chain-thaw"] >= scores["last"] - 0.05 and scores["last"] > 0.7
