"""The exported autoencoder on the light runtime, as it ships."""

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.codec import MAX_SAMPLES, Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset


@pytest.fixture(scope="module")
def codec():
    return Codec.load()


@pytest.fixture(scope="module")
def sheet():
    return images.sheet()


@pytest.fixture
def folder(tmp_path):
    """A copy of the shipped folder, to be damaged."""
    return shutil.copytree(asset("models", "vae"), tmp_path / "vae")


def test_the_shipped_codes_are_what_encode_gives(codec, sheet):
    # Batches of other sizes and other processors sum in another order.
    np.testing.assert_allclose(codec.encode(sheet), EmojiCodes.load().codes, atol=1e-3)


def test_encode_is_the_same_each_time_and_in_each_batch(codec, sheet):
    first = codec.encode(sheet[:300])
    assert first.shape == (300, 16) and first.dtype == np.float32
    np.testing.assert_array_equal(first, codec.encode(sheet[:300]))
    np.testing.assert_allclose(codec.encode(sheet[255:258]), first[255:258], atol=1e-4)


def test_reconstructions_are_like_the_pictures(codec, sheet):
    rebuilt = codec.reconstruct(sheet)
    left = np.square(rebuilt - sheet).sum()
    # The 16 principal components of a fifth of the pictures explain two thirds.
    assert 1 - left / np.square(sheet - sheet.mean(axis=0)).sum() > 0.66


@settings(deadline=None, max_examples=25)
@given(arrays.arrays(np.float32, (2, 16), elements=st.floats(-100, 100, width=32)))
def test_decoded_pictures_are_premultiplied(codes):
    pictures = Codec.load(threads=1).decode(codes)
    assert pictures.shape == (2, 36, 36, 4) and pictures.dtype == np.float32
    images.check(pictures)
    assert (pictures[..., :3] <= pictures[..., 3:]).all()


@settings(deadline=None, max_examples=25)
@given(
    arrays.arrays(np.float32, (2, 36, 36, 4), elements=st.floats(0, 1, width=32), fill=st.just(0))
)
def test_any_picture_has_a_finite_code(pictures):
    assert np.isfinite(Codec.load(threads=1).encode(pictures)).all()


def test_codes_that_no_picture_has(codec):
    try:
        pictures = codec.decode(np.full((1, 16), 3e38))
    except InputError as error:
        assert "3e+38" in str(error)
    else:
        images.check(pictures)


@pytest.mark.parametrize(
    "codes",
    [np.zeros((0, 16)), np.zeros((1, 15)), np.zeros(16), np.full((1, 16), np.nan), "codes"],
    ids=["none", "narrow", "flat", "nan", "text"],
)
def test_decode_refuses(codec, codes):
    with pytest.raises(InputError):
        codec.decode(codes)


@pytest.mark.parametrize(
    "pictures",
    [
        np.zeros((0, 36, 36, 4), np.float32),
        np.zeros((1, 36, 36, 3), np.float32),
        np.zeros((36, 36, 4), np.float32),
        np.full((1, 36, 36, 4), np.nan, np.float32),
        np.full((1, 36, 36, 4), 255, np.float32),
        np.zeros((1, 36, 36, 4), np.uint8),
    ],
    ids=["none", "no alpha", "one", "nan", "0 to 255", "bytes"],
)
def test_encode_refuses(codec, pictures):
    with pytest.raises(InputError):
        codec.encode(pictures)


def test_encode_files(codec, tmp_path, sheet):
    row = catalogue().index("🍕")
    images.write(tmp_path / "pizza.png", sheet[row])
    Image.new("RGB", (9, 5), "red").save(tmp_path / "red.jpg")
    codes = codec.encode_files([tmp_path / "pizza.png", str(tmp_path / "red.jpg")])
    assert codes.names == (str(tmp_path / "pizza.png"), str(tmp_path / "red.jpg"))
    # The file has 8 bits and straight alpha, so its edges are a little rounded.
    distances = np.linalg.norm(EmojiCodes.load().codes - codes.codes[0], axis=1)
    assert distances.argmin() == row and distances[row] < 0.2


def test_encode_files_refuses(codec, tmp_path):
    (tmp_path / "text.png").write_text("no picture")
    for paths in ([], [tmp_path / "text.png"], [tmp_path / "none.png"], [tmp_path], "a.png"):
        with pytest.raises(InputError):
            codec.encode_files(paths)


def test_samples_are_scored_as_they_are_shown(codec):
    sampled = codec.sample(5, seed=7)
    assert sampled.names == tuple(f"generated-000{i}" for i in range(1, 6))
    assert sampled.pictures is not None
    np.testing.assert_array_equal(sampled.codes, codec.encode(sampled.pictures))


def test_samples_follow_their_seed(codec):
    first = codec.sample(300, seed=7)
    np.testing.assert_array_equal(first.codes, codec.sample(300, seed=7).codes)
    np.testing.assert_allclose(first.codes[:40], codec.sample(40, seed=7).codes, atol=1e-4)
    assert np.abs(first.codes - codec.sample(300, seed=8).codes).max() > 1


def test_temperature(codec):
    assert codec.sample(9, 1, temperature=0).codes.std(axis=0).max() < 1e-4
    cool, hot = (codec.sample(99, 1, t).codes.std() for t in (0.3, 1.0))
    assert cool < hot


def test_samples_are_spread_like_the_emojis(codec):
    known, drawn = EmojiCodes.load().codes, codec.sample(1000, seed=1).codes
    # Encoding again pulls codes that no emoji has a little together.
    assert np.all(drawn.std(axis=0) > 0.5 * known.std(axis=0))
    assert np.all(np.abs(drawn.mean(axis=0) - known.mean(axis=0)) < 0.5 * known.std(axis=0))


@pytest.mark.parametrize(
    ("n", "seed", "temperature", "named"),
    [
        (0, 1, 1.0, "0"),
        (-1, 1, 1.0, "-1"),
        (MAX_SAMPLES + 1, 1, 1.0, str(MAX_SAMPLES + 1)),
        (2.5, 1, 1.0, "2.5"),
        (True, 1, 1.0, "True"),
        (1, -1, 1.0, "-1"),
        (1, None, 1.0, "None"),
        (1, 1, -0.5, "-0.5"),
        (1, 1, float("nan"), "nan"),
        (1, 1, float("inf"), "inf"),
    ],
)
def test_sample_refuses(codec, n, seed, temperature, named):
    with pytest.raises(InputError, match=named):
        codec.sample(n, seed, temperature)


def test_morph_by_hand():
    # From 0 to 1 in 5 steps: 0, 1/4, 1/2, 3/4, 1.
    path = Codec.morph(np.zeros(16), np.ones(16), 5)
    assert path.dtype == np.float32
    np.testing.assert_array_equal(path, np.repeat([[0], [0.25], [0.5], [0.75], [1]], 16, axis=1))


@pytest.mark.parametrize("steps", [1, 0, -3, 2.0, MAX_SAMPLES + 1])
def test_morph_refuses_steps(steps):
    with pytest.raises(InputError, match=str(steps)):
        Codec.morph(np.zeros(16), np.ones(16), steps)


@pytest.mark.parametrize("code", [np.zeros(15), np.zeros((1, 16)), np.full(16, np.nan)])
def test_morph_refuses_codes(code):
    with pytest.raises(InputError):
        Codec.morph(np.zeros(16), code, 5)


@pytest.mark.parametrize("name", ["config.json", "encoder.onnx", "decoder.onnx"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "foreign"])
def test_damaged_folders(folder, name, damage):
    file = folder / name
    content = file.read_bytes()
    file.unlink()
    if damage != "missing":
        file.write_bytes({"empty": b"", "cut": content[: len(content) // 2]}.get(damage, b"[1, 2]"))
    with pytest.raises(InputError) as caught:
        Codec.load(folder)
    assert "\n" not in str(caught.value)


def test_other_models_are_refused(folder):
    shutil.copy(folder / "decoder.onnx", folder / "encoder.onnx")
    with pytest.raises(InputError, match=r"encoder\.onnx"):
        Codec.load(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "format": "another"}))
    with pytest.raises(InputError, match="no autoencoder of ours"):
        Codec.load(folder)


def test_missing_folder(tmp_path):
    with pytest.raises(InputError, match="none"):
        Codec.load(tmp_path / "none")


def test_sample_needs_the_codes(folder):
    (folder / "codes.npz").unlink()
    with pytest.raises(InputError, match=r"codes\.npz"):
        Codec.load(folder).sample(3, seed=1)


def test_the_shipped_files_are_small():
    sizes = [
        asset("models", "vae", f"{name}.onnx").stat().st_size for name in ("encoder", "decoder")
    ]
    assert sum(sizes) < 3_500_000


def test_no_keras():
    check = (
        "import sys; from emoji_vae.codec import Codec; Codec.load().sample(2, seed=1);"
        "assert not {'keras', 'tensorflow', 'onnx'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)
