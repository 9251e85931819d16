"""The exported autoencoder on the light runtime, as it ships."""

import itertools
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
from emoji_vae.codec import PATTERNS, Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from emoji_vae.prior import MAX_SAMPLES, Prior


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


@pytest.mark.parametrize("step", [8, pytest.param(1, marks=pytest.mark.slow)])
def test_the_shipped_codes_are_what_encode_gives(codec, sheet, step):
    # Batches of other sizes and other processors sum in another order, which the corrections of a
    # few pictures add up to 0.013; each number has a spread of 2 to 3.
    codes = EmojiCodes.load().codes[::step]
    np.testing.assert_allclose(codec.encode(sheet[::step]), codes, atol=0.05)


def test_encode_is_the_same_each_time_and_in_each_batch(codec, sheet):
    first = codec.encode(sheet[:260])
    assert first.shape == (260, 16) and first.dtype == np.float32
    np.testing.assert_array_equal(codec.encode(sheet[:40]), codec.encode(sheet[:40]))
    np.testing.assert_allclose(codec.encode(sheet[255:258]), first[255:258], atol=2e-3)


def test_reconstructions_are_like_the_pictures(codec, sheet):
    pictures = sheet[::8]
    left = np.square(codec.reconstruct(pictures) - pictures).sum()
    # The 16 principal components of a fifth of the pictures explain two thirds.
    assert 1 - left / np.square(pictures - sheet.mean(axis=0)).sum() > 0.66


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
    first = codec.sample(30, seed=7)
    np.testing.assert_array_equal(first.codes, codec.sample(30, seed=7).codes)
    np.testing.assert_allclose(first.codes[:9], codec.sample(9, seed=7).codes, atol=1e-4)
    assert np.abs(first.codes - codec.sample(30, seed=8).codes).max() > 1


def test_temperature(codec):
    # What is drawn at 0 is a mean of the prior.
    drawn = codec.sample(9, 1, temperature=0).pictures
    means = codec.draw(codec.prior.means.astype(np.float32), seed=1)
    assert np.abs(drawn[:, np.newaxis] - means).max(axis=(2, 3, 4)).min(axis=1).max() < 1e-4
    cool, hot = (codec.sample(30, 1, t).codes.std() for t in (0.3, 1.0))
    assert cool < hot


def test_samples_are_spread_like_the_emojis(codec):
    known, drawn = EmojiCodes.load().codes, codec.sample(150, seed=1).codes
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


def set_corrections(folder, corrections):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["settings"]["corrections"] = corrections
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def test_codes_are_corrected_as_the_folder_says(folder, sheet):
    some = sheet[::100]
    plain = Codec.load(set_corrections(folder, 0))
    first = plain.encode(some)
    np.testing.assert_array_equal(first, plain.first_codes(some))
    left = [np.square(plain.decode(first) - some).sum(axis=(1, 2, 3))]
    for steps in (1, 3):
        codec = Codec.load(set_corrections(folder, steps))
        np.testing.assert_allclose(codec.first_codes(some), first, atol=1e-6)
        left.append(np.square(codec.reconstruct(some) - some).sum(axis=(1, 2, 3)))
    # No picture is given back worse than before, and most are given back better.
    assert all((after <= before * (1 + 1e-5)).all() for before, after in itertools.pairwise(left))
    assert left[2].sum() < left[1].sum() < left[0].sum()


def test_a_model_that_names_no_corrections_takes_none(folder, sheet):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["settings"].pop("corrections", None)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    codec = Codec.load(folder)
    np.testing.assert_array_equal(codec.encode(sheet[:3]), codec.first_codes(sheet[:3]))


@pytest.mark.parametrize(
    "saved", ["these", None, [], *({"corrections": c} for c in (-1, 1.5, "3", True, None, 1e999))]
)
def test_settings_that_cannot_be(folder, saved):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps({**config, "settings": saved}))
    with pytest.raises(InputError, match="no autoencoder of ours") as caught:
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


def test_only_sample_needs_the_prior(folder, sheet):
    (folder / "prior.npz").unlink()
    codec = Codec.load(folder)
    assert codec.draw(codec.encode(sheet[:2])).shape == (2, 36, 36, 4)
    with pytest.raises(InputError, match=r"prior\.npz") as caught:
        codec.sample(3, seed=1)
    assert len(str(caught.value).splitlines()) == 1


def test_sample_draws_from_the_prior_of_its_folder(folder, codec):
    narrow = Prior(np.ones(1), np.full((1, 16), 0.5), 1e-12 * np.eye(16)[np.newaxis])
    narrow.save(folder / "prior.npz")
    drawn = Codec.load(folder).sample(2, seed=1).pictures
    assert drawn is not None
    expected = codec.draw(np.full((2, 16), 0.5), seed=1)
    # Their codes differ by a millionth, and a drawing has 8 bits.
    np.testing.assert_allclose(drawn, expected, atol=1.001 / 255)


def test_drawings(codec):
    codes = EmojiCodes.load().codes[:900:30]
    counts: list[int] = []
    drawn = codec.draw(codes, seed=3, progress=counts.append)
    assert drawn.shape == (30, 36, 36, 4) and drawn.dtype == np.float32
    images.check(drawn)
    assert (drawn[..., :3] <= drawn[..., 3:]).all()
    assert sum(counts) == 30 and len(counts) > 1
    np.testing.assert_array_equal(drawn, codec.draw(codes, seed=3))
    # A drawing does not depend on those beside it.
    np.testing.assert_array_equal(codec.draw(codes[[29, 7]], seed=3), drawn[[29, 7]])
    assert np.abs(drawn - codec.draw(codes, seed=4)).max() > 0.5
    # It is sharper than the draft, as real pictures are.
    edges = [np.abs(np.diff(some, axis=1)).mean() for some in (drawn, codec.decode(codes))]
    assert edges[0] > 1.3 * edges[1]


def test_frames_of_a_morph_are_alike(codec, sheet):
    rows = [catalogue().index(emoji) for emoji in ("🐶", "🚗")]
    path = codec.morph(*EmojiCodes.load().codes[rows], 31)
    drawn = codec.draw(path, steady=True)
    # It begins and ends with the emojis.
    np.testing.assert_allclose(
        np.abs(drawn[[0, -1]] - sheet[rows]).mean(axis=(1, 2, 3)), 0, atol=0.01
    )

    # Most frames are like the ones before; drawings that are to be new are not.
    def steps(pictures):
        return np.sqrt(np.square(np.diff(pictures, axis=0)).mean(axis=(1, 2, 3)))

    assert np.median(steps(drawn)) < 0.06 < np.median(steps(codec.draw(path)))
    np.testing.assert_array_equal(codec.draw(path[7:8], steady=True), drawn[7:8])


@pytest.mark.parametrize("damage", ["missing", "cut", "other emojis", "some emojis"])
def test_drawing_needs_the_codes_of_all_emojis(folder, sheet, damage):
    codes, path = EmojiCodes.load(), folder / "codes.npz"
    content = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "other emojis":
        EmojiCodes([f"emoji-{i}" for i in range(len(codes))], codes.codes).save(path)
    elif damage == "some emojis":
        codes[:100].save(path)
    codec = Codec.load(folder)
    assert codec.reconstruct(sheet[:1]).shape == (1, 36, 36, 4)
    with pytest.raises(InputError, match=r"codes\.npz") as caught:
        codec.draw(np.zeros((1, 16)))
    assert len(str(caught.value).splitlines()) == 1


@settings(deadline=None, max_examples=10)
@given(
    arrays.arrays(np.float32, (1, 16), elements=st.floats(-8, 8, width=32)),
    st.integers(0, 2**40),
    st.booleans(),
)
def test_any_code_can_be_drawn(codec, codes, seed, steady):
    drawn = codec.draw(codes, seed, steady=steady)
    images.check(drawn)
    assert (drawn[..., :3] <= drawn[..., 3:]).all()


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_draw_refuses_seeds(codec, seed):
    with pytest.raises(InputError, match=str(seed)):
        codec.draw(np.zeros((1, 16)), seed)


def test_blend_by_hand():
    # (3 * 1 + 1 * 5) / 4 = 2.
    blended = Codec.blend(np.stack([np.full(16, 1.0), np.full(16, 5.0)]), [3, 1])
    assert blended.dtype == np.float32
    np.testing.assert_array_equal(blended, np.full(16, 2))
    np.testing.assert_array_equal(Codec.blend(np.ones((1, 16)), [1e300]), np.ones(16))


@given(
    st.lists(
        st.tuples(st.floats(-100, 100, width=32), st.floats(0, max_value=1.7e308)), min_size=1
    ).filter(lambda parts: any(weight for _, weight in parts))
)
def test_a_blend_lies_between_its_parts(parts):
    values = np.array([value for value, _ in parts], np.float32)
    weights = [weight for _, weight in parts]
    blended = Codec.blend(np.repeat(values[:, np.newaxis], 16, axis=1), weights)
    assert np.all(blended >= values.min() - 1e-4) and np.all(blended <= values.max() + 1e-4)


@pytest.mark.parametrize(
    "weights",
    [[0, 0], [1, -1], [1, np.nan], [1, np.inf], [1], [1, 1, 1], 1, ["a", "b"], [[1, 1]], []],
    ids=str,
)
def test_blend_refuses_weights(weights):
    with pytest.raises(InputError, match="weights") as caught:
        Codec.blend(np.zeros((2, 16)), weights)
    assert len(str(caught.value).splitlines()) == 1


def test_grids_by_hand():
    # Two steps from -1 to 1: (a, b) = (-1, -1), (-1, 1), (1, -1), (1, 1), row by row.
    expected = {
        "A": [-1] * 8 + [1] * 8,
        "B": [-1, 1] * 8,
        "C": [-1, -1, 1, 1] * 4,
    }
    assert expected.keys() == PATTERNS.keys()
    for pattern, second in expected.items():
        values = Codec.grid(pattern, 2, -1, 1)
        assert values.shape == (4, 16) and values.dtype == np.float32
        np.testing.assert_array_equal(values[0], [-1] * 16)
        np.testing.assert_array_equal(values[1], second)
        np.testing.assert_array_equal(values[2], np.negative(second))
        np.testing.assert_array_equal(values[3], [1] * 16)


def test_the_grids_of_2017():
    values = Codec.grid("A")
    assert values.shape == (400, 16)
    # 20 steps over [-2, 2] are 4/19 apart.
    np.testing.assert_allclose(values[:20, 8], -2 + np.arange(20) * 4 / 19, rtol=1e-6)
    np.testing.assert_allclose(values[::20, 0], -2 + np.arange(20) * 4 / 19, rtol=1e-6)


def test_percentiles():
    # The quartiles of the standard normal are at 0.67449 on either side; its 2.5 % at 1.95996.
    a = Codec.grid_percentiles("B", 3, 25, 75)[::3, 0]
    np.testing.assert_allclose(a, [-0.67449, 0, 0.67449], atol=1e-5)
    np.testing.assert_allclose(Codec.grid_percentiles("C", 2, 2.5, 97.5)[1, 2], 1.95996, rtol=1e-5)


def test_percentiles_are_those_of_scipy():
    stats = pytest.importorskip("scipy.stats", reason="needs the extra train")
    expected = stats.norm.ppf(np.linspace(0.01, 0.99, 20))
    np.testing.assert_allclose(Codec.grid_percentiles("A")[:20, 15], expected, rtol=1e-6)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Codec.grid("D"),
        lambda: Codec.grid("a"),
        lambda: Codec.grid("A", 1),
        lambda: Codec.grid("A", 101),
        lambda: Codec.grid("A", True),
        lambda: Codec.grid("A", 3, 1, -1),
        lambda: Codec.grid("A", 3, -np.inf, 1),
        lambda: Codec.grid("A", 3, np.nan, 1),
        lambda: Codec.grid("A", 3, -1e300, 1e300),
        lambda: Codec.grid_percentiles("A", 3, 0, 99),
        lambda: Codec.grid_percentiles("A", 3, 1, 100),
        lambda: Codec.grid_percentiles("A", 3, 60, 40),
        lambda: Codec.grid_percentiles("A", 0),
        lambda: Codec.grid_percentiles("Z"),
    ],
)
def test_grids_refuse(make):
    with pytest.raises(InputError) as caught:
        make()
    assert len(str(caught.value).splitlines()) == 1


def test_encode_many_files(codec, tmp_path):
    paths = [tmp_path / f"{number}.png" for number in range(260)]  # more than one batch
    for number, path in enumerate(paths):
        Image.new("RGB", (4, 4), (number % 256, 0, 0)).save(path)
    codes = codec.encode_files(iter(paths))
    assert codes.names == tuple(map(str, paths))
    np.testing.assert_allclose(codes.codes[256:], codec.encode_files(paths[256:]).codes, atol=1e-4)


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
