"""Students and their teacher mixed: by hand, and the whole command on a few texts."""

import json

import numpy as np
import pytest

from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import glove, phrases, students, teacher
from pipelines.phrases import Phrase
from pipelines.students import StudentSettings, figures, shares_of
from pipelines.teacher import Labels, TeacherSettings, likeliest, mix


class Student:
    """Gives every text the same cosines; cannot read one text."""

    def __init__(self, cosines, unread=""):
        self.cosines, self.unread = np.array(cosines, np.float32), unread

    def score(self, texts, candidates):
        return np.tile(self.cosines, (len(texts), 1))

    def known(self, texts):
        return np.array([text != self.unread for text in texts])


def test_shares_are_the_mean_of_the_students():
    codes = EmojiCodes.load().select(["😀", "🍕"])
    # Softmax of cosines times ln 3: one has 3 / (3 + 1) = 0.75, the other 1/2.
    one, other = Student([1, 0], unread="x"), Student([1, 1], unread="y")
    likely, known = shares_of([one, other], ["a", "x", "y"], codes, np.log(3))  # type: ignore[list-item]
    np.testing.assert_allclose(likely, [[0.625, 0.375]] * 3, rtol=1e-6)
    assert known.tolist() == [True, False, False]


def test_mixed_by_hand():
    said = Labels(np.array([[0, 1], [2, 0]], np.int32), np.array([[0.9, 0.1], [0.6, 0.4]], "f4"))
    likely = np.array([[0.0, 0.2, 0.8], [1.0, 0.0, 0.0]], np.float32)
    mixed = mix(said, likely, np.array([True, False]), 0.5)
    # (0.45, 0.05 + 0.1, 0.4): two are kept, which add up to 1 again. The second cannot be read.
    assert mixed.rows.tolist() == [[0, 2], [2, 0]]
    np.testing.assert_allclose(mixed.shares, [[0.45 / 0.85, 0.4 / 0.85], [0.6, 0.4]], rtol=1e-6)


def test_figures_by_hand():
    found = [
        Phrase("a", (0,), "name", "validation"),
        Phrase("b", (1, 2), "name", "validation"),
        Phrase("c", (2,), "name", "train"),
        Phrase("d", (2,), "sentence", "held-out", 1),
    ]
    rows = np.array([[0, 1], [0, 2], [0, 1], [0, 1]], np.int32)
    # The first is right at once, the second at the second place; the others do not count.
    told = {"one": Labels(rows, np.full((4, 2), 0.5, np.float32))}
    assert figures(found, told) == {"name": {"texts": 2, "one": {"hit@1": 0.5, "hit@10": 1.0}}}


@pytest.mark.parametrize("changes", [{"share": 1.5}, {"share": -1}, {"sharpness": 0}, {"chunk": 0}])
def test_settings_that_cannot_be(changes):
    with pytest.raises(InputError, match="share must be"):
        StudentSettings(**changes)


def test_the_command_mixes_what_the_teacher_says_with_the_model_that_ships(
    tmp_path, monkeypatch, capsys
):
    codes = EmojiCodes.load()
    pizza, dog = codes.names.index("🍕"), codes.names.index("🐶")
    found = [
        Phrase("a pizza", (pizza,), "sentence", "validation", 1),
        Phrase("zxcvq", (dog,), "name", "validation"),
    ]
    kept = phrases.Known(found, np.ones(len(codes), bool), [])
    monkeypatch.setattr(phrases, "known", lambda *arguments: kept)
    monkeypatch.setattr(glove, "load", lambda *arguments: None)
    monkeypatch.setattr(teacher, "texts", lambda *arguments: (["my puppy"], set()))
    shares = np.full((3, len(codes)), 1e-6)
    shares[:, dog] = 1.0
    said = likeliest(shares, 3)
    name = teacher.labels_file(TeacherSettings(), found, ["my puppy"], len(codes))

    def labels(*arguments):
        teacher.keep(said, tmp_path / "teacher" / name)
        return said, {}

    monkeypatch.setattr(teacher, "labels", labels)
    output = tmp_path / "mixed"
    model = str(asset("models", "sqam"))
    (tmp_path / "teacher").mkdir()
    (tmp_path / "teacher" / "words-1.npz").write_bytes(b"as they are")
    options = ["--share", "0.9", "--teacher", str(tmp_path / "teacher"), "--output", str(output)]
    assert students.main([model, model, *options]) == 0
    assert (output / "words-1.npz").read_bytes() == b"as they are"
    (file,) = output.glob("labels-*.npz")
    with np.load(file, allow_pickle=False) as read:
        mixed = Labels(read["rows"], read["shares"])
    # The teacher says a dog of everything; the students know a pizza, and nothing of the name.
    assert mixed.rows[:, 0].tolist() == [pizza, dog, dog]
    np.testing.assert_allclose(mixed.shares.sum(axis=1), 1, rtol=1e-5)
    written = json.loads((output / "students.json").read_text("utf-8"))
    assert written["settings"]["share"] == 0.9 and len(written["data"]["students"]) == 2
    assert {"question.onnx", "embedding.npy", "config.json"} <= set(written["data"]["students"][0])
    assert written["data"]["teacher's labels"] != written["data"]["mixed labels"]
    of_sentence = written["validation"]["sentence"]
    assert [of_sentence[who]["hit@1"] for who in ("teacher", "students", "mixed")] == [
        0,
        1,
        1,
    ]
    assert "sentence" in capsys.readouterr().out


def test_a_model_that_is_not_there_is_one_line_and_exit_code_2(tmp_path, capsys):
    assert students.main([str(tmp_path / "nothing"), "--output", str(tmp_path / "mixed")]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and "nothing" in said.err
    assert not (tmp_path / "mixed").exists()
