"""The command that extends a model: vectors by hand, files in, a folder out, errors."""

import numpy as np
import pytest
from conftest import WORDS

from emoji_vae.errors import InputError
from pipelines import extend_vocabulary, glove
from sqam.encoder import Encoder


@pytest.fixture
def encoder(tiny):
    return Encoder.load(tiny["folder"])


def test_a_new_word_is_placed_by_hand(encoder):
    # GloVe has "love" and "pizza" at right angles, and "sushi" is once the one and 3/2 the other.
    known = {"love": [1, 0, 0, 0, 0, 0], "pizza": [0, 2, 0, 0, 0, 0], "sushi": [1, 3, 0, 0, 0, 0]}
    pretrained = glove.Glove(list(known), np.array(list(known.values()), dtype="float32"))
    vectors = np.array(encoder.table) * encoder.scales
    love, pizza = (vectors[WORDS.index(word) + 1] for word in ("love", "pizza"))
    found = extend_vocabulary.placed(encoder, ["sushi", "zen"], pretrained)
    assert list(found) == ["sushi"] and found["sushi"].dtype == np.float32
    np.testing.assert_allclose(found["sushi"], love + 1.5 * pizza, atol=1e-5)


def test_a_new_word_moves_as_its_neighbours_did(encoder, monkeypatch):
    # One number a word that tells them apart: the best map from GloVe's 1 and -1 to the model's
    # vectors is half their difference, which leaves both of them half their sum away.
    known = {"love": [1, 0, 0, 0, 0, 0], "pizza": [-1, 0, 0, 0, 0, 0], "sushi": [-3, 0, 0, 0, 0, 0]}
    pretrained = glove.Glove(list(known), np.array(list(known.values()), dtype="float32"))
    vectors = np.array(encoder.table) * encoder.scales
    love, pizza = (vectors[WORDS.index(word) + 1] for word in ("love", "pizza"))
    monkeypatch.setattr(extend_vocabulary, "NEAREST", 1)
    found = extend_vocabulary.placed(encoder, ["sushi"], pretrained)["sushi"]
    np.testing.assert_allclose(found, -3 * (love - pizza) / 2 + (love + pizza) / 2, atol=1e-5)


def test_vectors_in_another_basis(encoder):
    # GloVe's are the model's, turned: a new word's are turned back.
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.standard_normal((6, 6)))
    vectors = (np.array(encoder.table) * encoder.scales)[1:]
    new = rng.standard_normal(6)
    turned = np.concatenate([vectors @ turn, [new @ turn]]).astype("float32")
    pretrained = glove.Glove([*WORDS, "sushi"], turned)
    found = extend_vocabulary.placed(encoder, ["sushi"], pretrained)["sushi"]
    np.testing.assert_allclose(found, new, atol=1e-4)


def test_glove_of_another_kind(encoder):
    with pytest.raises(InputError, match="5 dimensions, the model 6"):
        extend_vocabulary.placed(encoder, ["a"], glove.Glove(["a"], np.zeros((1, 5), "f4")))
    with pytest.raises(InputError, match="no word of the model"):
        extend_vocabulary.placed(encoder, ["x"], glove.Glove(["x"], np.zeros((1, 6), "f4")))


def test_the_command(tiny, tmp_path, capsys):
    (tmp_path / "glove.txt").write_text("love 1 0 0 0 0 0\nsushi 1 1 0 0 0 0\n", "utf-8")
    (tmp_path / "new.txt").write_text("love sushi\nsushi\nramen love\nramen\n", "utf-8")
    (tmp_path / "new.csv").write_text("id,body\n1,zen\n2,sushi\n", "utf-8")
    arguments = [
        str(tmp_path / "new.txt"), "--model", str(tiny["folder"]), "--output",
        str(tmp_path / "out"), "--glove", str(tmp_path / "glove.txt"), "--at-least", "2",
    ]  # fmt: skip
    assert extend_vocabulary.main(arguments) == 0
    assert "2 more words, 1 of them GloVe's: sushi ramen\n" in capsys.readouterr().out
    encoder = Encoder.load(tmp_path / "out")
    assert encoder.vocabulary.words == [*WORDS, "sushi", "ramen"]
    # One known word says nothing of the second number: all of "sushi" is as "love" is.
    expected = encoder.table[WORDS.index("love") + 1] * encoder.scales[WORDS.index("love") + 1]
    found = encoder.table[11] * encoder.scales[11]
    np.testing.assert_allclose(found, expected, atol=np.abs(expected).max() / 254 + 1e-6)
    columns = [str(tmp_path / "new.csv"), "--column", "body", *arguments[1:-1], "1"]
    assert extend_vocabulary.main([*columns, "--at-most", "1"]) == 0
    assert "1 more words, 0 of them GloVe's: zen\n" in capsys.readouterr().out


def test_what_is_refused(tiny, tmp_path, capsys):
    (tmp_path / "old.txt").write_text("love pizza\n", "utf-8")
    base = [str(tmp_path / "old.txt"), "--model", str(tiny["folder"]), "--output"]
    for more, said in (
        ([str(tmp_path / "out")], "no new word 5 times"),
        ([str(tmp_path / "out"), "--column", "body"], "no column 'body'"),
        ([str(tmp_path / "out"), "--at-least", "0"], "at least 1"),
    ):
        assert extend_vocabulary.main([*base, *more]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
