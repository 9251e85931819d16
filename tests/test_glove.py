"""GloVe from a user's own file; the packages are read by the training test."""

import zipfile

import numpy as np
import pytest

from emoji_vae.errors import InputError
from pipelines import glove

TEXT = "the 0.1 -0.2 0.3\nof 1 2 3\n\u00a0x 4 5 6\n"


def check(found):
    assert found.words == ["the", "of", "\u00a0x"]
    assert found.vectors.dtype == np.float32
    assert found.vectors == pytest.approx(np.array([[0.1, -0.2, 0.3], [1, 2, 3], [4, 5, 6]]))


def test_text(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text(TEXT, "utf-8")
    check(glove.load(str(path)))


def test_zip_with_one_file_or_with_the_one_of_100_dimensions(tmp_path):
    path = tmp_path / "mine.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("any.txt", TEXT)
    check(glove.load(str(path)))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("glove.6B.100d.txt", TEXT)
    check(glove.load(str(path)))


def test_npy_with_words_beside_it(tmp_path):
    np.save(tmp_path / "mine.npy", np.array([[0.1, -0.2, 0.3], [1, 2, 3], [4, 5, 6]]))
    (tmp_path / "mine.txt").write_text("the\nof\n\u00a0x\n", "utf-8")
    check(glove.load(str(tmp_path / "mine.npy")))


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", "the 1 2\nof 1 2 3\n", "line 2"),
        ("a.txt", "the one two\n", "a.txt"),
        ("a.txt", "the 1 nan\n", "NaN"),
        ("a.txt", "", "empty"),
        ("a.zip", "no zip", "a.zip"),
        ("a.npy", "no array", "a.npy"),
        ("a.bin", "?", "txt, .zip or .npy"),
    ],
)
def test_what_is_no_glove(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=said):
        glove.load(str(tmp_path / name))


def test_missing(tmp_path):
    with pytest.raises(InputError, match=r"nowhere\.txt"):
        glove.load(str(tmp_path / "nowhere.txt"))


def test_zip_with_several_files(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.txt", TEXT)
        archive.writestr("b.txt", TEXT)
    with pytest.raises(InputError, match=r"2 \.txt files"):
        glove.load(str(tmp_path / "a.zip"))
