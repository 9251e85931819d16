"""Named codes: what is refused, what comes back from a file, which emoji is found."""

import io
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import emoji_vae
from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.codes import SIZE, EmojiCodes, check
from emoji_vae.errors import InputError

NAMES = ("❤️", "⚾", "👍")


def some(n=3, pictures=False) -> EmojiCodes:
    codes = np.arange(n * SIZE, dtype=np.float32).reshape(n, SIZE)
    shown = np.full((n, 36, 36, 4), 0.5, np.float32) * np.arange(n).reshape(n, 1, 1, 1) / n
    return EmojiCodes(NAMES[:n], codes, shown.astype(np.float32) if pictures else None)


def test_they_are_what_was_given_and_do_not_change():
    source = np.zeros((2, SIZE))
    codes = EmojiCodes(["a", "b"], source)
    source[:] = 1
    assert codes.names == ("a", "b") and len(codes) == 2 and codes.pictures is None
    assert codes.codes.dtype == np.float32 and not codes.codes.any()
    with pytest.raises(ValueError, match="read-only"):
        codes.codes[0, 0] = 1
    with pytest.raises(AttributeError):
        codes.names = ()  # type: ignore[misc]


BAD: dict[str, tuple[Any, Any]] = {
    "empty": ((), np.zeros((0, SIZE))),
    "narrow": (("a",), np.zeros((1, SIZE - 1))),
    "flat": (("a",), np.zeros(SIZE)),
    "deep": (("a",), np.zeros((1, SIZE, 1))),
    "nan": (("a",), np.full((1, SIZE), np.nan)),
    "infinite": (("a",), np.full((1, SIZE), np.inf)),
    "infinite in 32 bits": (("a",), np.full((1, SIZE), 1e300)),
    "complex": (("a",), np.zeros((1, SIZE), complex)),
    "text": (("a",), [["x"] * SIZE]),
    "objects": (("a",), np.full((1, SIZE), None)),
    "ragged": (("a", "b"), [[0.0] * SIZE, [0.0]]),
    "few names": (("a",), np.zeros((2, SIZE))),
    "many names": (("a", "b", "c"), np.zeros((2, SIZE))),
    "one string": ("ab", np.zeros((2, SIZE))),
    "number for a name": ((1,), np.zeros((1, SIZE))),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_codes_are_refused(case):
    with pytest.raises(InputError) as caught:
        EmojiCodes(*BAD[case])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "pictures",
    [np.zeros((1, 36, 36, 4)), np.zeros((2, 36, 36, 3)), np.full((2, 36, 36, 4), np.nan)],
    ids=["too few", "wrong shape", "nan"],
)
def test_bad_pictures_are_refused(pictures):
    with pytest.raises(InputError):
        EmojiCodes(("a", "b"), np.zeros((2, SIZE)), pictures)


def test_take_and_slices():
    codes = some(pictures=True)
    taken = codes.take([2, 0])
    assert taken.names == ("👍", "❤️")
    # Row 2 begins at 2 x 16 = 32.
    assert taken.codes[:, 0].tolist() == [32, 0]
    assert taken.pictures is not None and codes.pictures is not None
    np.testing.assert_array_equal(taken.pictures[0], codes.pictures[2])
    assert codes[1:].names == ("⚾", "👍")
    assert codes[::-1].names == ("👍", "⚾", "❤️")
    bad: list[Any] = [[], [3], [-4], [0.5], [[0]]]
    for rows in bad:
        with pytest.raises(InputError):
            codes.take(rows)
    with pytest.raises(InputError):
        codes[3:]
    with pytest.raises(TypeError):
        codes[0]  # type: ignore[index]


def test_select():
    codes = some(pictures=True)
    found = codes.select(["👍🏽", "⚾", "❤", "⚾"])
    # A skin tone finds its base's code and keeps its name; a missing U+FE0F is put right.
    assert found.names == ("👍🏽", "⚾", "❤️", "⚾")
    assert found.codes[:, 0].tolist() == [32, 16, 0, 16]
    assert found.pictures is not None and len(found.pictures) == 4


def test_nearest():
    codes = EmojiCodes(["far", "near", "twin", "here"], np.ones((4, SIZE)) * [[9], [1], [-1], [0]])
    # The distance of (1, …, 1) from the origin is the root of 16.
    assert codes.nearest(np.zeros(SIZE), 3) == [("here", 0.0), ("near", 4.0), ("twin", 4.0)]
    assert codes.nearest(np.full(SIZE, 9), 9)[0] == ("far", 0.0)
    assert len(codes.nearest(np.zeros(SIZE), 9)) == 4
    for code, k in [(np.zeros(3), 1), (np.full(SIZE, np.nan), 1), (np.zeros(SIZE), 0)]:
        with pytest.raises(InputError):
            codes.nearest(code, k)


def test_select_takes_names_as_they_stand_first():
    codes = EmojiCodes(["logo.png", "❤"], np.arange(2 * SIZE).reshape(2, SIZE))
    assert codes.select(["❤", "logo.png"]).names == ("❤", "logo.png")
    twice = EmojiCodes(["a", "a"], np.arange(2 * SIZE).reshape(2, SIZE))
    assert twice.select(["a"]).codes[0, 0] == 0


@pytest.mark.parametrize("names", [[], ["no emoji"], ["😄⚾"], [""], [None], "⚾", ["😄"]])
def test_select_refuses(names):
    with pytest.raises(InputError) as caught:
        some().select(names)
    assert "\n" not in str(caught.value)


@given(
    names=st.lists(st.text(st.characters(exclude_characters="\0")), min_size=1, max_size=5),
    data=st.data(),
)
def test_files_give_back_what_was_saved(tmp_path_factory, names, data):
    numbers = st.floats(width=32, allow_nan=False, allow_infinity=False)
    codes = data.draw(arrays.arrays(np.float32, (len(names), SIZE), elements=numbers))
    path = tmp_path_factory.mktemp("codes") / "codes.npz"
    saved = EmojiCodes(names, codes)
    saved.save(path)
    loaded = EmojiCodes.load(path)
    assert loaded.names == saved.names and loaded.pictures is None
    np.testing.assert_array_equal(loaded.codes, saved.codes)


def test_pictures_are_saved_too(tmp_path):
    codes = some(pictures=True)
    codes.save(tmp_path / "codes.npz")
    loaded = EmojiCodes.load(tmp_path / "codes.npz")
    np.testing.assert_array_equal(loaded.pictures, codes.pictures)


def test_save_refuses(tmp_path):
    for path in (tmp_path / "codes.txt", tmp_path / "no" / "codes.npz", tmp_path):
        with pytest.raises(InputError):
            some().save(path)
    assert list(tmp_path.iterdir()) == []


def written(path, **found):
    with open(path, "wb") as file:
        np.savez(file, **found)
    return path


def foreign_files(folder):
    whole = io.BytesIO()
    np.savez(whole, names=np.array(NAMES), codes=np.zeros((3, SIZE)))
    for name, content in {
        "empty": b"",
        "text": b"names,codes\n",
        "pickle": b"\x80\x04N.",
        "cut": whole.getvalue()[:300],
        "flipped": whole.getvalue().replace(b"NUMPY", b"NYMPU"),
    }.items():
        (folder / name).write_bytes(content)
        yield folder / name
    with zipfile.ZipFile(folder / "zip", "w") as file:
        file.writestr("names.npy", b"no array")
        file.writestr("codes.npy", b"no array")
    yield folder / "zip"
    np.save(folder / "array.npy", np.zeros((3, SIZE)))
    yield folder / "array.npy"
    codes = np.zeros((3, SIZE))
    yield written(folder / "no names.npz", codes=codes)
    yield written(folder / "no codes.npz", names=np.array(NAMES))
    yield written(folder / "numbers.npz", names=np.arange(3), codes=codes)
    yield written(folder / "grid.npz", names=np.array([NAMES]), codes=codes)
    yield written(folder / "nan.npz", names=np.array(NAMES), codes=codes + np.nan)
    yield written(folder / "short.npz", names=np.array(NAMES[:2]), codes=codes)
    # What needs pickle to read is never read.
    yield written(folder / "objects.npz", names=np.array(NAMES, dtype=object), codes=codes)
    yield folder / "missing.npz"
    yield folder


def test_load_refuses_foreign_files(tmp_path):
    for path in foreign_files(tmp_path):
        with pytest.raises(InputError) as caught:
            EmojiCodes.load(path)
        assert "\n" not in str(caught.value), path


def test_the_shipped_codes():
    codes = EmojiCodes.load()
    assert codes.names == tuple(catalogue().sequences)
    assert np.isfinite(codes.codes).all()
    spread = codes.codes.std(axis=0)
    assert spread.min() > 0.5 and spread.max() < 4
    distances = np.linalg.norm(codes.codes[:, None] - codes.codes[None], axis=2)
    np.fill_diagonal(distances, np.inf)
    # Only one picture has one code; a few flags (Norway's, Svalbard's) and families share theirs.
    pictures = images.sheet()
    pairs = np.argwhere(distances < 0.01)
    assert len(pairs) < 50
    for one, other in pairs:
        np.testing.assert_array_equal(pictures[one], pictures[other])


def test_the_package_offers_codes_and_codec():
    from emoji_vae.codec import Codec

    assert emoji_vae.EmojiCodes is EmojiCodes and emoji_vae.Codec is Codec
    with pytest.raises(AttributeError, match="Codes"):
        emoji_vae.Codes  # noqa: B018


def test_check_takes_whole_numbers():
    assert check([[1] * SIZE]).dtype == np.float32
