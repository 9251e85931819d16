"""What is exported answers as Keras does, or is not exported."""

import dataclasses
import json
import shutil

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emoji_vae.errors import InputError
from sqam import export as module
from sqam.encoder import quantize
from sqam.export import TOLERANCE, WORD_STEPS, _rounded, _stored, compact, export, restore
from sqam.model import SQAM, SQAMSettings
from sqam.scorer import Scorer
from sqam.text import pad


def test_scorer_agrees_with_keras(tiny):
    scorer, model = Scorer.load(tiny["folder"]), tiny["model"]
    sentences = tiny["sentences"][:200]
    ids = pad([scorer.vocabulary.ids(text, 7) for text in sentences], 7)
    keras_scores = np.asarray(model(ids))
    assert np.abs(scorer.score(sentences, tiny["codes"]) - keras_scores).max() < TOLERANCE
    assert tiny["difference"] < TOLERANCE


def test_the_lstm_is_one_operator(tiny):
    graph = onnx.load(tiny["folder"] / "question.onnx").graph
    operators = [node.op_type for node in graph.node]
    assert operators.count("LSTM") == 1 and not {"Loop", "Scan", "If"} & set(operators)


def test_config_holds_settings_and_what_it_was_given(tiny):
    config = json.loads((tiny["folder"] / "config.json").read_text())
    assert config["note"] == "tiny"
    saved = SQAMSettings.from_dict(config["settings"])
    assert saved == tiny["model"].settings


def test_the_form_of_2017_exports_too(tiny, tmp_path):
    """No mask, windows of 10 steps, tuned vectors, a padding vector that is not zero."""
    settings = SQAMSettings.preset("2017", vocabulary=10, dimensions=6)
    rng = np.random.default_rng(3)
    model = SQAM(settings, rng.standard_normal((10, 6)).astype("float32"), tiny["codes"].codes)
    model.embedding.set_weights([rng.standard_normal((11, 6)).astype("float32")])
    words = (tiny["folder"] / "vocabulary.txt").read_text().split()
    assert export(model, words, tmp_path, {}, tiny["codes"], tiny["sentences"]) < TOLERANCE


def test_matrices_are_kept_in_half_precision_and_the_rest_in_full(tiny):
    tensors = [
        tensor
        for name in ("question", "answer")
        for tensor in onnx.load(tiny["folder"] / f"{name}.onnx").graph.initializer
    ]
    half = [tensor for tensor in tensors if tensor.data_type == onnx.TensorProto.FLOAT16]
    # The LSTM's weights and recurrent weights, each of both directions in one; that of the
    # attention; then the matrices of dense layers: question, shared and space on the one side, two
    # of the answer, shared and space on the other.
    assert len(half) == 2 + 1 + 3 + 4
    assert all(len(tensor.dims) >= 2 for tensor in half)
    kernels = [layer.get_weights()[0] for layer in tiny["model"].shared_layers]
    for kernel in kernels:
        np.testing.assert_array_equal(kernel, kernel.astype(np.float16).astype(np.float32))


def test_numbers_are_rounded_by_hand():
    # From 1 to 2 the step is 1/8, from 1/8 to 1/4 an eighth of that; halves go to the even one;
    # 1.99 rounds up to the next power of 2. Half precision has no step below 2^-24.
    values = np.array([1.06, 1.07, 1.0625, 1.1875, -0.2, 1.99, 0, 2**-24, 1e-9])
    rounded = [1.0, 1.125, 1.0, 1.25, -0.203125, 2.0, 0, 2**-24, 0]
    assert _rounded(values).tolist() == rounded and _rounded(_rounded(values)).tolist() == rounded


def test_what_only_keras_can_do_is_refused(tiny, tmp_path):
    words = (tiny["folder"] / "vocabulary.txt").read_text().split()
    for settings in (
        dataclasses.replace(tiny["model"].settings, convolutions=(2,)),
        dataclasses.replace(
            tiny["model"].settings, pool="windows", mask=False, max_tokens=10, attention=True
        ),
    ):
        model = SQAM(settings, np.zeros((10, 6), "float32"), tiny["codes"].codes)
        with pytest.raises(InputError, match="bi-LSTMs alone"):
            export(model, words, tmp_path / "new", {}, tiny["codes"], tiny["sentences"])


def test_without_attention_it_exports_and_is_restored_too(tiny, tmp_path):
    settings = dataclasses.replace(tiny["model"].settings, attention=False)
    rng = np.random.default_rng(2)
    table, scales = quantize(rng.standard_normal((10, 6)).astype("float32"))
    model = SQAM(settings, table * scales, tiny["codes"].codes)
    words = (tiny["folder"] / "vocabulary.txt").read_text().split()
    assert export(model, words, tmp_path, {}, tiny["codes"], tiny["sentences"]) < TOLERANCE
    ids = rng.integers(1, 11, (20, 7)).astype("int32")
    again = restore(tmp_path, tiny["codes"].codes)
    assert np.abs(again.question_vectors(ids) - model.question_vectors(ids)).max() < 1e-6


def test_what_is_restored_answers_as_what_was_exported(tiny):
    rng = np.random.default_rng(1)
    codes = rng.standard_normal((4, tiny["codes"].codes.shape[1])).astype("float32")
    model = restore(tiny["folder"], codes)
    assert model.settings == tiny["model"].settings
    ids = rng.integers(0, 11, (20, 7)).astype("int32")
    ids[:, 0] = 1
    expected = tiny["model"].question_vectors(ids)
    assert np.abs(model.question_vectors(ids) - expected).max() < 1e-6
    # Its answers are scaled as those of the training were, not by the codes that it gets.
    answers = tiny["model"].answer_vectors(codes)
    assert np.abs(model.answer_vectors(codes) - answers).max() < 1e-6
    assert np.abs(np.asarray(model(ids)) - expected @ answers.T).max() < 1e-5


def test_a_compact_model_is_smaller_and_nearly_the_same(tiny, tmp_path):
    compact(tiny["folder"], tmp_path)
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(
        f.name for f in tiny["folder"].iterdir()
    )
    operators = [node.op_type for node in onnx.load(tmp_path / "question.onnx").graph.node]
    assert "DynamicQuantizeLSTM" in operators and "LSTM" not in operators
    assert "Gemm" not in operators
    sentences = tiny["sentences"][:200]
    before, after = (
        Scorer.load(folder).score(sentences, tiny["codes"]) for folder in (tiny["folder"], tmp_path)
    )
    # A weight is off by 1/254 of its column's largest at most, and so is what goes in. In so small
    # a network, untrained, little evens out.
    assert 0 < np.abs(after - before).max() < 0.2
    assert np.abs(after - before).mean() < 0.02


def test_a_compact_model_stays_as_it_is(tiny, tmp_path):
    compact(tiny["folder"], tmp_path / "once")
    compact(tmp_path / "once", tmp_path / "twice")
    files = sorted((tmp_path / "once").iterdir())
    for file in files:
        assert (tmp_path / "twice" / file.name).read_bytes() == file.read_bytes()
    compact(tmp_path / "twice", tmp_path / "twice")  # in its own place
    assert [f.name for f in files] == sorted(f.name for f in (tmp_path / "twice").iterdir())


def test_a_compact_model_is_restored(tiny, tmp_path):
    compact(tiny["folder"], tmp_path)
    exact, again = (restore(folder, tiny["codes"].codes) for folder in (tiny["folder"], tmp_path))
    pairs = zip(exact.trainable_variables, again.trainable_variables, strict=True)
    moved = 0
    for one, other in ((np.asarray(one), np.asarray(other)) for one, other in pairs):
        assert one.shape == other.shape
        # Half a step of int8, by columns: (largest of a column) / 127 / 2.
        assert (np.abs(one - other) <= np.abs(one).max(axis=0) / 254 + 1e-6).all()
        moved += not np.array_equal(one, other)
    # Both directions' kernels and the question layer alone: the shared ones come from the answers.
    assert moved == 5


def test_only_a_model_is_made_compact(tmp_path):
    with pytest.raises(InputError, match="no model at"):
        compact(tmp_path, tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_restoring_what_does_not_fit_is_refused(tiny, tmp_path):
    codes = tiny["codes"].codes
    with pytest.raises(InputError, match="no model at"):
        restore(tmp_path, codes)
    with pytest.raises(InputError, match="codes must be finite"):
        restore(tiny["folder"], codes[:, :3])
    shutil.copytree(tiny["folder"], tmp_path / "other")
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    config["settings"]["lstm_units"] += 1
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match="another form than its settings"):
        restore(tmp_path / "other", codes)


def test_a_model_that_differs_is_refused_and_nothing_is_written(tiny, tmp_path, monkeypatch):
    swapped = module._gates
    monkeypatch.setattr(module, "_gates", lambda kernel: swapped(kernel)[..., ::-1])
    words = (tiny["folder"] / "vocabulary.txt").read_text().split()
    with pytest.raises(InputError, match="differs from Keras"):
        export(tiny["model"], words, tmp_path / "new", {}, tiny["codes"], tiny["sentences"])
    assert not list((tmp_path / "new").iterdir())


def test_too_few_sentences_to_compare_by(tiny, tmp_path):
    with pytest.raises(InputError, match="1,000"):
        export(tiny["model"], [], tmp_path, {}, tiny["codes"], ["one"])


def test_what_packs_small_keeps_fewer_digits_and_answers_as_keras_does(tiny, tmp_path):
    words = (tiny["folder"] / "vocabulary.txt").read_text().split()
    model = restore(tiny["folder"], tiny["codes"].codes)

    def pack(model):
        compared = tiny["codes"], tiny["sentences"]
        return export(model, words, tmp_path, {}, *compared, packs_small=True)

    assert pack(model) < TOLERANCE
    steps = [
        np.abs(np.load(folder / "embedding.npy")[1:]).max(axis=1).tolist()
        for folder in (tiny["folder"], tmp_path)
    ]
    assert steps == [[127] * len(words), [WORD_STEPS] * len(words)]
    for layer in model.shared_layers:
        kernel = layer.get_weights()[0]
        # The lowest 7 of the mantissa's 10 bits are 0.
        assert kernel.any() and not (kernel.astype(np.float16).view(np.uint16) & 0b1111111).any()
    # What was so rounded stays as it is.
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    pack(restore(tmp_path, tiny["codes"].codes))
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before


def test_word_vectors_that_were_not_tuned_lose_nothing():
    # The first is 7 and -4 steps of 1/8, the second whole steps of 1/127; the third is all zeros.
    vectors = np.array([[7, -4], [127, 33], [0, 0]], "float32") / [[8], [127], [1]]
    table, scales = _stored(vectors.astype("float32"))
    assert table.dtype == np.int8 and table.tolist() == [[7, -4], [127, 33], [0, 0]]
    assert scales.dtype == np.float32
    np.testing.assert_allclose(table * scales, vectors, rtol=1e-6)


def test_quantize_by_hand():
    # The largest magnitude, 2.54, becomes 127 steps of 0.02; 0.5 is 25 steps, -0.031 is -1.55,
    # rounded to -2. A row of zeros stays zero.
    table, scales = quantize(np.array([[2.54, 0.5, -0.031], [0, 0, 0]], dtype="float32"))
    assert table.dtype == np.int8 and scales.dtype == np.float32
    assert table.tolist() == [[127, 25, -2], [0, 0, 0]]
    assert scales[:, 0] == pytest.approx([0.02, 1.0])


@given(
    arrays.arrays(
        np.float32, (3, 4), elements=st.floats(-100, 100, width=32, allow_subnormal=False)
    )
)
def test_quantize_is_within_half_a_step_and_stable(vectors):
    table, scales = quantize(vectors)
    again = table * scales
    assert (np.abs(again - vectors) <= scales / 2 * 1.001 + 1e-30).all()
    # What went through int8 once goes through it again unchanged: export loses nothing.
    table_again, scales_again = quantize(again)
    assert table_again * scales_again == pytest.approx(again, rel=1e-6)
