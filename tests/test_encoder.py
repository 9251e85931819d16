"""Sentence features: what Keras pools, of the exported model; where the attention looks."""

import copy
import shutil

import numpy as np
import onnx
import pytest
from conftest import WORDS
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.errors import InputError
from sqam import Encoder
from sqam.scorer import Scorer
from sqam.text import pad


@pytest.fixture(scope="module")
def encoder(tiny):
    return Encoder.load(tiny["folder"])


def without(folder, *outputs):
    """Take outputs off a question tower, as older exports were."""
    path = folder / "question.onnx"
    graph = onnx.load(path)
    kept = [node for node in graph.graph.output if node.name not in outputs]
    del graph.graph.output[:]
    graph.graph.output.extend(kept)
    path.write_bytes(graph.SerializeToString())


def test_features_and_attention_are_those_of_keras(tiny, encoder):
    texts = tiny["sentences"][:50]
    ids = pad(encoder.ids(texts), 7)
    expected, weights = (np.asarray(x) for x in tiny["model"].pooled(
        tiny["model"].embedding(ids), ids > 0
    ))  # fmt: skip
    found, attended = encoder.encode(texts, attention=True)
    # Four states in each of two directions: their largest values, then their weighed means.
    assert found.shape == (50, 16) and found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_array_equal(found, encoder.encode(texts))
    for row, words, read in zip(weights, attended, ids, strict=True):
        assert [one.weight for one in words] == pytest.approx(row[: len(words)], abs=1e-5)
        assert [one.word.word for one in words] == [WORDS[i - 1] for i in read if i]


def test_what_is_passed_over_has_no_attention(encoder):
    _, [words] = encoder.encode(["Love xqzzt pizza"], attention=True)
    assert [(one.word.word, one.word.start, one.word.end) for one in words] == [
        ("love", 0, 4),
        ("xqzzt", 5, 10),
        ("pizza", 11, 16),
    ]
    assert words[1].weight == 0.0
    assert sum(one.weight for one in words) == pytest.approx(1.0, abs=1e-6)


@given(st.lists(st.lists(st.sampled_from([*WORDS, "xqzzt"]), max_size=12), max_size=6))
def test_any_texts(encoder, texts):
    texts = [" ".join(words) for words in texts]
    features, attended = encoder.encode(texts, attention=True)
    assert features.shape == (len(texts), 16) and np.isfinite(features).all()
    for row, words, known in zip(features, attended, encoder.known(texts), strict=True):
        # States of an LSTM and their means lie within -1 and 1.
        assert (np.abs(row) <= 1).all() and (known or not row.any())
        total = sum(one.weight for one in words)
        assert total == pytest.approx(1.0 if known else 0.0, abs=1e-5)


def test_a_text_is_read_alike_alone_and_among_others(encoder):
    others = ["love", "the pizza " * 9, "", "not good"]
    alone = encoder.encode(["happy morning"])[0]
    np.testing.assert_allclose(encoder.encode([*others, "happy morning"])[-1], alone, atol=1e-6)


def test_the_scorer_scores_with_it(tiny, encoder):
    scorer = Scorer.load(tiny["folder"])
    texts = ["i love pizza", "xqzzt", "good morning"]
    (vectors,) = encoder.run(encoder.ids(texts), ["unit_vectors"])
    np.testing.assert_array_equal(scorer.questions(texts), vectors)
    np.testing.assert_array_equal(scorer.encoder.encode(texts), encoder.encode(texts))


def test_older_exports_still_score_but_have_no_features(tiny, tmp_path):
    folder = shutil.copytree(tiny["folder"], tmp_path / "older")
    without(folder, "features", "attention")
    texts = ["i love pizza"]
    before = Scorer.load(tiny["folder"]).score(texts, tiny["codes"])
    np.testing.assert_array_equal(Scorer.load(folder).score(texts, tiny["codes"]), before)
    for attention in (False, True):
        with pytest.raises(InputError, match=r"older'.* before its features .*export_again"):
            Encoder.load(folder).encode(texts, attention)


def test_a_model_without_attention(tiny, tmp_path):
    folder = shutil.copytree(tiny["folder"], tmp_path / "plain")
    without(folder, "attention")
    assert Encoder.load(folder).encode(["love"]).shape == (1, 16)
    with pytest.raises(InputError, match="has no attention"):
        Encoder.load(folder).encode(["love"], attention=True)


@pytest.mark.parametrize("texts", ["one string", [3], [None]])
def test_what_is_no_list_of_strings(encoder, texts):
    for attention in (False, True):
        with pytest.raises(InputError):
            encoder.encode(texts, attention)


def test_nothing_to_encode(encoder):
    assert encoder.encode([]).shape == (0, 16)
    assert encoder.encode([], attention=True)[1] == []


def test_copies_encode_alike(encoder):
    texts = ["i love pizza", "not good"]
    np.testing.assert_array_equal(copy.deepcopy(encoder).encode(texts), encoder.encode(texts))


def test_in_a_pipeline_of_scikit_learn(encoder):
    pytest.importorskip("sklearn", reason="needs the extra train")
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer

    texts = ["love pizza", "love the morning", "not good", "not happy"] * 5
    labels = ["up", "up", "down", "down"] * 5
    made = make_pipeline(FunctionTransformer(encoder.encode), LogisticRegression(C=100))
    fitted = clone(made).fit(texts, labels)
    assert fitted.predict(["love", "not"]).tolist() == ["up", "down"]
