"""The distribution that new codes are drawn from."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from emoji_vae.prior import MAX_SAMPLES, Prior


def single(mean=0.0, variance=1.0):
    return Prior(np.ones(1), np.full((1, 16), mean), variance * np.eye(16)[np.newaxis])


@pytest.fixture(scope="module")
def pair():
    """Three quarters around 2, with variance 1, and a quarter around -2, with variance 4."""
    means = np.array([np.full(16, 2.0), np.full(16, -2.0)])
    return Prior(np.array([0.75, 0.25]), means, np.array([np.eye(16), 4 * np.eye(16)]))


def test_the_shipped_prior_is_of_the_shipped_codes():
    from emoji_vae.codes import EmojiCodes

    prior, known = Prior.load(asset("models", "vae", "prior.npz")), EmojiCodes.load().codes
    np.testing.assert_allclose(prior.mean, known.mean(axis=0), atol=0.3 * known.std())
    # Real emojis are likelier than codes as far out as they are in every direction at once.
    assert np.median(prior.log_density(known)) > prior.log_density(np.full((1, 16), 9))[0]


def test_mean_and_covariance_by_hand(pair):
    # 0.75 * 2 + 0.25 * -2 = 1. Within: 0.75 * 1 + 0.25 * 4 = 1.75, on the diagonal alone.
    # Between: 0.75 * (2 - 1)^2 + 0.25 * (-2 - 1)^2 = 3, everywhere.
    np.testing.assert_allclose(pair.mean, np.ones(16))
    np.testing.assert_allclose(pair.covariance, 3 + 1.75 * np.eye(16))


def test_log_density_by_hand(pair):
    # The standard normal: -(16 / 2) ln(2 pi) - |x|^2 / 2.
    at = single().log_density(np.stack([np.zeros(16), np.eye(16)[0] * 3]))
    constant = -8 * math.log(2 * math.pi)
    np.testing.assert_allclose(at, [constant, constant - 4.5])
    assert at.dtype == np.float64
    # At 2: ln(0.75 + 0.25 * 2^-16 * exp(-16 * 4^2 / (2 * 4))) + the constant.
    expected = constant + math.log(0.75 + 0.25 * 2**-16 * math.exp(-32))
    np.testing.assert_allclose(pair.log_density(np.full((1, 16), 2.0)), [expected])
    # So far out that the densities themselves are 0: the wide component's logarithm is left.
    expected = math.log(0.25) - 16 * math.log(2) + constant - 16 * 1002**2 / 8
    np.testing.assert_allclose(pair.log_density(np.full((1, 16), 1000.0)), [expected])


def test_log_density_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats", reason="needs the extra train")
    rng = np.random.default_rng(0)
    factor, mean = rng.standard_normal((16, 16)), rng.standard_normal(16)
    covariance = factor @ factor.T + np.eye(16)
    codes = rng.standard_normal((50, 16)).astype(np.float32)
    ours = Prior(np.ones(1), mean[np.newaxis], covariance[np.newaxis]).log_density(codes)
    np.testing.assert_allclose(ours, stats.multivariate_normal(mean, covariance).logpdf(codes))


def test_draws_follow_the_mixture(pair):
    draws = pair.sample(MAX_SAMPLES, seed=1)
    assert draws.shape == (MAX_SAMPLES, 16) and draws.dtype == np.float64
    np.testing.assert_allclose(draws.mean(axis=0), pair.mean, atol=0.05)
    np.testing.assert_allclose(np.cov(draws, rowvar=False), pair.covariance, atol=0.1)
    # Correlations within a component are drawn as well.
    tilted = np.eye(16)
    tilted[0, 1] = tilted[1, 0] = 0.9
    draws = Prior(np.ones(1), np.zeros((1, 16)), tilted[np.newaxis]).sample(20_000, seed=1)
    np.testing.assert_allclose(np.corrcoef(draws[:, 0], draws[:, 1])[0, 1], 0.9, atol=0.01)


@given(st.integers(1, 60), st.integers(1, 60), st.integers(0, 2**40))
def test_a_larger_draw_only_adds(pair, n, more, seed):
    draws = pair.sample(n + more, seed)
    np.testing.assert_allclose(pair.sample(n, seed), draws[:n], rtol=1e-12)
    np.testing.assert_array_equal(pair.sample(n + more, seed), draws)
    assert np.abs(pair.sample(n, seed + 1) - draws[:n]).max() > 0


def test_temperature(pair):
    cold, half, warm = (pair.sample(200, 3, temperature) for temperature in (0, 0.5, 1))
    assert {tuple(row) for row in cold} == {tuple(mean) for mean in pair.means}
    # The same components and noise, half as far from the means.
    np.testing.assert_allclose(half - cold, (warm - cold) / 2)


@pytest.mark.parametrize(
    ("n", "seed", "temperature", "named"),
    [
        (0, 1, 1.0, "0"),
        (MAX_SAMPLES + 1, 1, 1.0, str(MAX_SAMPLES + 1)),
        (2.5, 1, 1.0, "2.5"),
        (True, 1, 1.0, "True"),
        (1, -1, 1.0, "-1"),
        (1, 1.0, 1.0, "1.0"),
        (1, None, 1.0, "None"),
        (1, 1, -0.5, "-0.5"),
        (1, 1, 11, "11"),
        (1, 1, math.nan, "nan"),
    ],
)
def test_sample_refuses(n, seed, temperature, named):
    with pytest.raises(InputError, match=named) as caught:
        single().sample(n, seed, temperature)
    assert len(str(caught.value).splitlines()) == 1


def test_from_standard():
    # Mean 5, variance 4: 0 is 5, and 1 and -2 are 1 and 2 standard deviations of 2 from it.
    values = np.zeros((2, 16))
    values[1, :2] = 1, -2
    codes = single(5, 4).from_standard(values)
    assert codes.dtype == np.float32
    np.testing.assert_allclose(codes[0], 5)
    np.testing.assert_allclose(codes[1, :3], [7, 1, 5])
    with pytest.raises(InputError):
        single().from_standard(np.zeros((1, 3)))


def test_round_trip(pair, tmp_path):
    pair.save(tmp_path / "prior.npz")
    again = Prior.load(tmp_path / "prior.npz")
    for name in ("weights", "means", "covariances"):
        np.testing.assert_array_equal(getattr(again, name), getattr(pair, name))
    np.testing.assert_array_equal(again.sample(9, 1), pair.sample(9, 1))
    for name in (tmp_path / "prior.npy", tmp_path / "none" / "prior.npz"):
        with pytest.raises(InputError):
            pair.save(name)


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04", b"text", b"\x93NUMPY"])
def test_damaged_files(tmp_path, content):
    path = tmp_path / "prior.npz"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=r"prior\.npz") as caught:
        Prior.load(path)
    assert len(str(caught.value).splitlines()) == 1


def test_foreign_arrays(tmp_path):
    np.savez(tmp_path / "prior.npz", codes=np.zeros(3))
    np.save(tmp_path / "array.npy", np.zeros(3))
    for name in ("prior.npz", "array.npy"):
        with pytest.raises(InputError):
            Prior.load(tmp_path / name)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": [0.5]},
        {"weights": [math.nan]},
        {"weights": []},
        {"weights": [0.5, 0.5]},
        {"weights": 1.0},
        {"weights": ["a"]},
        {"means": np.zeros((1, 15))},
        {"means": np.zeros(16)},
        {"means": np.full((1, 16), math.inf)},
        {"covariances": np.zeros((1, 16, 16))},
        {"covariances": -np.eye(16)[np.newaxis]},
        {"covariances": np.eye(16)[np.newaxis] + np.eye(16, k=1)},
        {"covariances": np.eye(16)},
    ],
    ids=str,
)
def test_what_is_no_mixture(change):
    arrays = {
        "weights": np.ones(1),
        "means": np.zeros((1, 16)),
        "covariances": np.eye(16)[np.newaxis],
    }
    with pytest.raises(InputError) as caught:
        Prior(**{**arrays, **change})
    assert len(str(caught.value).splitlines()) == 1


def test_a_prior_does_not_change(pair):
    weights = np.ones(1)
    prior = Prior(weights, np.zeros((1, 16)), np.eye(16)[np.newaxis])
    weights[0] = 7
    assert prior.weights[0] == 1
    for array in (prior.weights, prior.means, prior.covariances, prior.mean, prior.covariance):
        with pytest.raises(ValueError, match="read-only"):
            array[:] = 0
