"""NumPy alone ranks as the scorer does: what is measured beside it is no other model."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from emoji_vae.errors import InputError
from pipelines import benchmark, numpy_ranker
from sqam.cli import main as sqam_main

ROOT = Path(__file__).resolve().parent.parent
SENTENCES = [
    "Congrats on the new job!",
    "pizza",
    "I am so tired of waiting for the bus in the rain",
    "not feeling happy",
    "my cat sleeps on the keyboard again, and I have to write a letter to the bank about the money "
    "that they lost last summer while we were on a boat far away from any town with a telephone",
]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "weights.npz"
    pytest.importorskip("onnx", reason="needs the extra train")
    benchmark.write_weights(path)
    return path


@pytest.fixture(scope="module")
def ranker(weights):
    return numpy_ranker.NumPyRanker.load(weights)


@pytest.mark.parametrize("sentence", SENTENCES)
def test_it_ranks_as_the_scorer_does(sentence, ranker, scorer, codes):
    expected = scorer.score([sentence], codes)[0]
    np.testing.assert_allclose(ranker.score(sentence), expected, atol=1e-4)
    (wanted,), (found,) = (r.rank([sentence], codes, 10) for r in (scorer, ranker))
    assert len(found) == 10 and len({emoji for emoji, _, _ in found}) == 10
    for ours, theirs in zip(found, wanted, strict=True):
        # The same emoji, or one that ties with it.
        assert expected[codes.names.index(ours[0])] == pytest.approx(theirs.score, abs=1e-6)
        assert ours[2] == pytest.approx(theirs.score, abs=1e-4)
        if ours[0] == theirs.emoji:
            assert ours[1] == theirs.name


def test_the_longest_sentence_is_cut(scorer):
    assert len(scorer.vocabulary.ids(SENTENCES[-1])) > scorer.max_tokens


@pytest.mark.parametrize("sentence", ["", "qzxv jkqp"])
def test_a_sentence_without_a_known_word(sentence, ranker, scorer, codes):
    assert not scorer.known([sentence])[0]
    assert not ranker.score(sentence).any()
    assert ranker.rank([sentence], codes) == [[]]


def test_k(ranker, codes):
    ranked = ranker.rank(SENTENCES[:2], codes, 3)
    assert ranked == [ranker.rank([sentence], codes)[0][:3] for sentence in SENTENCES[:2]]


def test_other_candidates_are_refused(ranker, codes):
    with pytest.raises(InputError, match="2 candidates"):
        ranker.rank(["pizza"], codes.select(["❤️", "🍴"]))


def test_states_by_hand():
    # One unit and one dimension a direction. Only the cell's gate reads the word; those of input,
    # output and forgetting stand half open.
    weights = np.array([[[0], [0], [0], [1]]] * 2, dtype=np.float32)
    recurrent = np.zeros((2, 4, 1), dtype=np.float32)
    biases = np.zeros((2, 4), dtype=np.float32)
    found = numpy_ranker.states(np.array([[1], [0]], np.float32), weights, recurrent, biases)
    # Forwards: cell tanh(1) / 2 = 0.38080, state tanh(0.38080) / 2 = 0.18170; then half the cell,
    # 0.19040, and the state tanh(0.19040) / 2 = 0.09406. Backwards: 0, then the 1: 0.18170.
    np.testing.assert_allclose(found, [[0.18170, 0.18170], [0.09406, 0]], atol=1e-5)


def test_gates_by_hand():
    # The biases of the first direction shut the output; those of the second keep all and let all in
    # and out, and its cell reads its last state: tanh(1) = 0.76159, whose tanh is 0.64201; then
    # 0.76159 + tanh(0.64201) = 1.32786, whose tanh is 0.86873. It reads backwards.
    weights = np.array([[[0], [0], [0], [1]]] * 2, dtype=np.float32)
    recurrent = np.array([np.zeros((4, 1)), [[0], [0], [0], [1]]], dtype=np.float32)
    biases = np.array([[0, -1000, 0, 0], [1000, 1000, 1000, 0]], dtype=np.float32)
    with np.errstate(all="raise"):
        found = numpy_ranker.states(np.array([[0], [1]], np.float32), weights, recurrent, biases)
    np.testing.assert_allclose(found, [[0, 0.86873], [0, 0.64201]], atol=1e-5)


# The command.


def test_the_command_prints_the_same_table(weights, capfd):
    # Scores are printed with four digits, and those of the two differ by some millionths.
    assert sqam_main(["rank", SENTENCES[0]]) == 0
    expected = capfd.readouterr().out
    assert numpy_ranker.main([str(weights), SENTENCES[0]]) == 0
    found = capfd.readouterr().out
    for ours, theirs in zip(found.splitlines(), expected.splitlines(), strict=True):
        (rank, score, *what), (their_rank, their_score, *their_what) = ours.split(), theirs.split()
        assert (rank, what) == (their_rank, their_what)
        assert float(score) == pytest.approx(float(their_score), abs=1.01e-4)
    # `sqam rank` is as it was.
    assert sqam_main(["rank", SENTENCES[0]]) == 0
    assert capfd.readouterr().out == expected


def test_the_command_loads_no_runtime(weights):
    code = (
        "import sys; from pipelines.numpy_ranker import main; assert not main(sys.argv[1:]); "
        "print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(weights), "pizza"],
        cwd=ROOT, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    *table, modules = done.stdout.splitlines()
    assert len(table) == 10 and "numpy" in modules.split()
    assert not {"onnxruntime", "onnx", "sqam.scorer", "sqam.encoder"} & set(modules.split())


def test_bad_text_is_one_line(weights, capsys):
    assert numpy_ranker.main([str(weights), "qzxv jkqp"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "knows no word" in error


@pytest.mark.parametrize("content", [None, b"", b"no zip", b"PK\x03\x04"])
def test_damaged_weights(content, tmp_path, capsys):
    path = tmp_path / "weights.npz"
    if content is not None:
        path.write_bytes(content)
    assert numpy_ranker.main([str(path), "pizza"]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "cannot read the weights" in error and str(path) in error


def test_weights_that_lack_a_part(weights, tmp_path, capsys):
    with np.load(weights, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files if name != "attention"}
    path = tmp_path / "less.npz"
    np.savez(path, **arrays)
    assert numpy_ranker.main([str(path), "pizza"]) == 2
    assert "'attention'" in capsys.readouterr().err


def test_a_folder_without_words(weights, tmp_path):
    with pytest.raises(InputError, match="vocabulary"):
        numpy_ranker.NumPyRanker.load(weights, tmp_path)


def test_no_arguments(capsys):
    assert numpy_ranker.main([]) == 2
    assert "--help" in capsys.readouterr().err
