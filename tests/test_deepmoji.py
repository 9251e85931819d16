"""The text side of DeepMoji: tanh, two bi-LSTMs, attention over all of it; from Keras to a task."""

import dataclasses
import json
import math
import shutil

import numpy as np
import onnx
import pytest
from conftest import WORDS

pytest.importorskip("keras", reason="needs the extra train")

from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines.teacher import TeacherSettings
from pipelines.train_sqam import TrainSettings, identity, settings_from
from sqam.encoder import Encoder, quantize
from sqam.export import TOLERANCE, compact, export, restore
from sqam.finetune import FineTuneSettings, finetune
from sqam.model import SQAM, SQAMSettings
from sqam.scorer import Scorer
from sqam.text import pad

SMALL = {
    "dimensions": 6, "vocabulary": len(WORDS), "max_tokens": 7, "lstm_units": 4,
    "question_units": (8,), "answer_units": (8, 8), "shared_units": (8,), "space": 5,
}  # fmt: skip


def model_of(codes, **changes):
    settings = SQAMSettings.preset("deepmoji", **{**SMALL, **changes})
    rng = np.random.default_rng(0)
    shape = (settings.vocabulary, settings.dimensions)
    table, scales = quantize(rng.standard_normal(shape).astype("float32"))
    return SQAM(settings, table * scales, codes)


@pytest.fixture(scope="module")
def deep(tiny, tmp_path_factory):
    """The preset, small and untrained, and its exported folder."""
    model = model_of(tiny["codes"].codes)
    # Scores of the attention that differ from word to word.
    model.attention.set_weights([4 * w for w in model.attention.get_weights()])
    folder = tmp_path_factory.mktemp("deepmoji")
    difference = export(model, WORDS, folder, {}, tiny["codes"], tiny["sentences"])
    return {"model": model, "folder": folder, "difference": difference}


# Keras.


def constant_states(lstm, state):
    """Let an LSTM of one unit forget everything and say ``state`` whatever it reads."""
    for layer in (lstm.forward_layer, lstm.backward_layer):
        kernel, recurrent, _ = layer.get_weights()
        # Input and output gates are open, sigmoid(50), the forget gate is shut: a state is
        # tanh(tanh(c)) with c the third bias.
        bias = np.array([50, -50, math.atanh(math.atanh(state)), 50], "float32")
        layer.set_weights([0 * kernel, 0 * recurrent, bias])


def test_attention_by_hand():
    # tanh of the two words is (1/2, 0) and (0, 1/2). The attention's score is 2 log 3 times the
    # word's first number: log 3 and 0, whose softmax is 3/4 and 1/4. The states of the second LSTM
    # are 1/4, those of the first 1/2, in both directions. So the mean is 1/4, 1/4, 1/2, 1/2,
    # 3/4 * 1/2 = 3/8, 1/4 * 1/2 = 1/8.
    model = model_of(np.eye(2, 16, dtype="float32"), dimensions=2, lstm_units=1)
    constant_states(model.lstm, 0.5)
    constant_states(model.further_lstms[0], 0.25)
    kernel = np.zeros((6, 1), "float32")
    kernel[4] = 2 * math.log(3)
    model.attention.set_weights([kernel])
    half = math.atanh(0.5)
    vectors = np.array([[[half, 0], [0, half], [9, 9]]], "float32")
    features, weights = model.pooled(vectors, np.array([[True, True, False]]))
    assert np.asarray(weights)[0] == pytest.approx([0.75, 0.25, 0], abs=1e-6)
    assert np.asarray(features)[0] == pytest.approx([0.25, 0.25, 0.5, 0.5, 0.375, 0.125], abs=1e-6)


def test_the_attention_reads_the_second_lstm_then_the_first_then_the_words():
    model = model_of(np.eye(2, 16, dtype="float32"))
    ids = np.array([[3, 1, 2, 5]])
    words = np.tanh(np.asarray(model.embedding(ids)))
    first = np.asarray(model.lstm(words))
    second = np.asarray(model.further_lstms[0](first))
    read = np.concatenate([second, first, words], axis=-1)[0]
    scores = read @ model.attention.get_weights()[0]
    shares = np.exp(scores) / np.exp(scores).sum()
    features, weights = model.pooled(model.embedding(ids), ids > 0)
    np.testing.assert_allclose(np.asarray(features)[0], (shares * read).sum(axis=0), atol=1e-6)
    np.testing.assert_allclose(np.asarray(weights)[0], shares[:, 0], atol=1e-6)


def test_the_preset_has_the_sizes_of_its_source():
    settings = SQAMSettings.preset("deepmoji")
    assert settings.mask and settings.dimensions == 100
    model = SQAM(
        dataclasses.replace(settings, vocabulary=3), np.zeros((3, 100), "float32"),
        np.eye(2, 16, dtype="float32"),
    )  # fmt: skip
    # Two directions of 4 gates of 512 units, with a bias, over 100 numbers of a word and over the
    # 1,024 states of the first LSTM: 8 * 512 * (100 + 512 + 1) and 8 * 512 * (1024 + 512 + 1).
    # The attention: a score of 1024 + 1024 + 100, without a bias.
    assert [layer.count_params() for layer in model.pooling_layers] == [
        8 * 512 * 613, 8 * 512 * 1537, 2148,
    ]  # fmt: skip
    assert [layer.name for layer in model.pooling_layers] == ["bilstm", "bilstm_2", "attention"]


def test_any_number_of_answers():
    for answers in (1, 64, 300):
        codes = np.random.default_rng(0).standard_normal((answers, 16)).astype("float32")
        scores = np.asarray(model_of(codes)(np.array([[1, 2, 3]])))
        assert scores.shape == (1, answers) and np.abs(scores).max() <= 1 + 1e-6


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"lstm_layers": 3},
        {"pool": "max"},
        {"attend": "last"},
        {"embedding_tanh": False},
        {"convolutions": (2,), "filters": 4},
        {"pool": "max", "attention": False, "attend": "last"},
    ],
    ids=str,
)
def test_padding_does_not_matter(changes):
    model = model_of(np.eye(2, 16, dtype="float32"), **changes)
    # What stands for padding may be anything, once training has moved it.
    rows = model.embedding.get_weights()[0]
    rows[0] = 7.0
    model.embedding.set_weights([rows])
    short = np.asarray(model.questions(np.array([[3, 1, 2]])))
    padded = np.asarray(model.questions(np.array([[3, 1, 2, 0, 0, 0], [1, 2, 3, 4, 5, 6]])))
    assert np.abs(short[0] - padded[0]).max() < 1e-6


def test_windows_take_several_lstms_too():
    model = model_of(np.eye(2, 16, dtype="float32"), pool="windows", mask=False, max_tokens=10)
    # One window of 10 steps of 8 states, then the attention's 8 + 8 + 6.
    features, weights = model.pooled(model.embedding(np.ones((1, 10))), np.ones((1, 10), bool))
    assert features.shape == (1, 8 + 22) and np.asarray(weights).sum() == pytest.approx(1.0)


def test_it_learns(tiny):
    model = model_of(tiny["codes"].codes, learning_rate=0.05, decay=False)
    model.compile_for_training(15)
    ids, correct = np.array([[1, 2], [3, 4], [5, 0]]), np.eye(6, dtype="float32")[:3]
    losses = []
    for _ in range(15):
        model.reset_metrics()
        losses.append(float(model.train_on_batch(ids, correct)))
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"lstm_layers": 0}, "lstm_layers is 0; it must be at least 1"),
        ({"attend": "first"}, "attend cannot be 'first'"),
        ({"pool": "attention", "attention": False}, "need attention=True"),
        ({"attend": "all", "attention": False}, "need attention=True"),
        ({"pool": "attention", "mask": False}, "mask=True with pool='max' or 'attention'"),
        ({"embedding_tanh": 1}, "embedding_tanh cannot be 1"),
    ],
)
def test_settings_that_cannot_be(changes, said):
    with pytest.raises(InputError, match=said):
        SQAMSettings.from_dict(changes)


def test_choices_that_are_none_are_refused_without_a_mapping_too():
    with pytest.raises(InputError, match="choose last or all"):
        SQAMSettings(attend="first")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="choose max, windows or attention"):
        SQAMSettings(pool="mean")  # type: ignore[arg-type]


# What was saved before these settings came.


def test_settings_of_before_are_read_and_mean_what_they_did():
    saved = json.loads(asset("models", "sqam", "config.json").read_text("utf-8"))["settings"]
    for name in ("lstm_layers", "embedding_tanh", "attend"):
        saved.pop(name, None)
    settings = SQAMSettings.from_dict(saved)
    assert (settings.lstm_layers, settings.embedding_tanh, settings.attend) == (1, False, "last")


def test_a_model_of_one_lstm_is_named_and_ordered_as_before(tmp_path):
    settings = SQAMSettings.from_dict({**SMALL, "vocabulary": 3})
    model = SQAM(settings, np.zeros((3, 6), "float32"), np.eye(2, 16, dtype="float32"))
    assert model.further_lstms == []
    # Means and spreads of codes; three words and the padding; two directions of the LSTM, 4 gates
    # of 4 units over 6 numbers; the attention over 8 states.
    direction = [(6, 16), (4, 16), (16,)]
    shapes = [tuple(weight.shape) for weight in model.weights]
    assert shapes[:10] == [(16,), (16,), (4, 6), *direction, *direction, (8, 1)]
    model.save_weights(tmp_path / "some.weights.h5")
    names: list[str] = []
    h5py = pytest.importorskip("h5py", reason="needs the extra train")
    with h5py.File(tmp_path / "some.weights.h5") as file:
        file.visit(names.append)
    one = "layers/bidirectional"
    assert {f"{one}/{way}_layer/cell/vars/2" for way in ("forward", "backward")} <= set(names)
    assert not [name for name in names if "further" in name or f"{one}_1" in name]


def test_the_model_that_ships_is_restored(scorer):
    model = restore(scorer.encoder.folder, np.zeros((1, 16), "float32"))
    ids = scorer.encoder.ids(["Congrats on the new job!", "so tired"])
    expected = scorer.questions(["Congrats on the new job!", "so tired"])
    found = model.question_vectors(pad(ids, 8))
    np.testing.assert_allclose(found, expected, atol=TOLERANCE)


def test_an_older_run_goes_on():
    settings = settings_from("default", [])
    assert not {"lstm_layers", "embedding_tanh", "attend"} & set(identity(settings)["model"])
    deep = identity(settings_from("deepmoji", []))["model"]
    assert (deep["lstm_layers"], deep["embedding_tanh"], deep["attend"]) == (2, True, "all")
    # All the rest is there, but for what came later still and is not asked for.
    whole = dataclasses.asdict(settings_from("deepmoji", []))
    assert whole.pop("teacher_vectors") is False
    assert identity(settings_from("deepmoji", [])) == whole
    assert identity(settings_from("default", ["teacher_vectors=true"]))["teacher_vectors"] is True
    assert whole["teacher"]["defined"] > 0
    alone = dataclasses.replace(settings, teacher=TeacherSettings(defined=0.0))
    found = identity(alone)["teacher"]
    assert not {"senses", "defined"} & set(found) and found["answers"] == 24


def test_the_training_takes_the_preset():
    found = settings_from("deepmoji", ["model.lstm_units=64", "model.lstm_layers=3", "epochs=2"])
    assert isinstance(found, TrainSettings) and found.epochs == 2
    assert found.model == SQAMSettings.preset("deepmoji", lstm_units=64, lstm_layers=3)
    with pytest.raises(InputError, match=r"no preset 'deepemoji'; .*deepmoji"):
        settings_from("deepemoji", [])


# Exported.


def test_exported_it_answers_as_keras_does(tiny, deep):
    assert deep["difference"] < TOLERANCE
    texts = tiny["sentences"][:100]
    scorer, model = Scorer.load(deep["folder"]), deep["model"]
    ids = pad(scorer.encoder.ids(texts), 7)
    keras_scores = np.asarray(model(ids))
    assert np.abs(scorer.score(texts, tiny["codes"]) - keras_scores).max() < TOLERANCE
    operators = [n.op_type for n in onnx.load(deep["folder"] / "question.onnx").graph.node]
    assert operators.count("LSTM") == 2 and not {"Loop", "Scan", "If"} & set(operators)


def test_features_and_attention_are_those_of_keras(tiny, deep):
    texts, encoder, model = tiny["sentences"][:50], Encoder.load(deep["folder"]), deep["model"]
    ids = pad(encoder.ids(texts), 7)
    expected, weights = (np.asarray(x) for x in model.pooled(model.embedding(ids), ids > 0))
    found, attended = encoder.encode(texts, attention=True)
    # 8 states of the second LSTM, 8 of the first, 6 numbers of a word.
    assert found.shape == (50, 22)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found, encoder.encode(texts))
    spread = 0.0
    for row, words, read in zip(weights, attended, ids, strict=True):
        shares = [one.weight for one in words]
        assert shares == pytest.approx(row[: len(words)], abs=1e-5)
        assert sum(shares) == pytest.approx(1.0, abs=1e-5)
        assert [one.word.word for one in words] == [WORDS[i - 1] for i in read if i]
        spread = max(spread, max(shares) - min(shares))
    assert spread > 0.1  # the attention has preferences that could have been lost


def test_a_text_is_read_alike_alone_and_among_longer_ones(deep):
    encoder = Encoder.load(deep["folder"])
    alone = encoder.encode(["happy morning"])[0]
    among = encoder.encode(["love", "the pizza " * 9, "", "happy morning"])
    np.testing.assert_allclose(among[-1], alone, atol=1e-6)
    assert not among[2].any()


@pytest.mark.parametrize(
    "changes",
    [{"lstm_layers": 3}, {"pool": "max"}, {"pool": "max", "attention": False, "attend": "last"}],
    ids=str,
)
def test_other_forms_are_exported_and_restored_too(tiny, tmp_path, changes):
    model = model_of(tiny["codes"].codes, **changes)
    assert export(model, WORDS, tmp_path, {}, tiny["codes"], tiny["sentences"]) < TOLERANCE
    again = restore(tmp_path, tiny["codes"].codes)
    for one, other in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


def test_what_is_restored_answers_as_what_was_exported(tiny, deep):
    again = restore(deep["folder"], tiny["codes"].codes)
    assert again.settings == deep["model"].settings
    ids = np.random.default_rng(1).integers(1, 11, (20, 7)).astype("int32")
    found, expected = again.question_vectors(ids), deep["model"].question_vectors(ids)
    assert np.abs(found - expected).max() < 1e-6


def test_a_compact_model_is_restored_too(tiny, deep, tmp_path):
    compact(deep["folder"], tmp_path)
    operators = [n.op_type for n in onnx.load(tmp_path / "question.onnx").graph.node]
    assert operators.count("DynamicQuantizeLSTM") == 2 and "LSTM" not in operators
    again = restore(tmp_path, tiny["codes"].codes)
    pairs = zip(deep["model"].lstms, again.lstms, strict=True)
    for one, other in (p for a, b in pairs for p in zip(a.weights, b.weights, strict=True)):
        one, other = np.asarray(one), np.asarray(other)
        # Half a step of int8, by columns: (largest of a column) / 127 / 2.
        assert (np.abs(one - other) <= np.abs(one).max(axis=0) / 254 + 1e-6).all()


def test_settings_of_another_number_of_lstms_are_refused(tiny, deep, tmp_path):
    folder = shutil.copytree(deep["folder"], tmp_path / "other")
    config = json.loads((folder / "config.json").read_text("utf-8"))
    config["settings"]["lstm_layers"] = 1
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(InputError, match="another form than its settings"):
        restore(folder, tiny["codes"].codes)


# Tuned to a task.

TEXTS = [f"{n}{v}" for v in ("love pizza", "happy you", "good morning") for n in ("", "not ")] * 4
LABELS = ["down" if "not" in text else "up" for text in TEXTS]


def test_chain_thaw_takes_each_lstm_by_itself(deep, tmp_path):
    quick = FineTuneSettings(
        tokens=7, epochs=6, layer_epochs=1, batch=8, learning_rate=0.02, layer_rate=0.02,
        dropout=0.0, word_dropout=0.0, strengths=(10.0,), validation=0.2,
    )  # fmt: skip
    encoder = Encoder.load(deep["folder"])
    mood = finetune(encoder, TEXTS, LABELS, "chain-thaw", settings=quick)
    assert [step["trained"] for step in mood.notes["steps"]] == [
        "words", "bilstm", "bilstm_2", "attention", "question_0", "shared_0", "space", "all",
    ]  # fmt: skip
    assert mood.measure(TEXTS, LABELS)["accuracy"] >= 0.9
    mood.save(tmp_path)
    _, [words] = mood.encoder.encode(["not happy"], attention=True)
    assert sum(one.weight for one in words) == pytest.approx(1.0, abs=1e-5)
