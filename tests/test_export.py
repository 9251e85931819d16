"""What is exported answers as Keras does, or is not exported."""

import json

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emoji_vae.errors import InputError
from sqam import export as module
from sqam.export import TOLERANCE, export, quantize
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
