"""Measures of codes, each by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emoji_vae.catalogue import catalogue
from pipelines.measure_codes import (
    Components,
    alike,
    between,
    closest,
    explained,
    found_again,
    named,
    new,
    readable,
    readable_within,
)


def column(*values):
    return np.array(values, np.float32)[:, np.newaxis]


def test_the_newest_emojis():
    # The melting face came with 14, the smile with a tear with 13.
    found = dict(zip(catalogue().sequences, new().tolist(), strict=True))
    assert found["🫠"] and not found["🥲"] and not found["🍕"]


def test_explained_by_hand():
    # Around the mean 1 the values 0 and 2 have the squares 1 and 1; rebuilt as 0 and 1, one of the
    # two is left: a half.
    assert explained(np.array([0.0, 2.0]), np.array([0.0, 1.0]), np.array(1.0)) == 0.5
    assert explained(np.array([0.0, 2.0]), np.array([1.0, 1.0]), np.array(1.0)) == 0


def test_between_by_hand():
    # 3-4-5, and 5-12-13.
    found = between(np.array([[0, 0], [3, 4]], np.float32), np.array([[3, 4], [5, 12], [0, 0]]))
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, [[5, 13, 0], [0, 68**0.5, 5]], atol=1e-6)


@settings(max_examples=50)
@given(
    arrays.arrays(np.float32, (3, 16), elements=st.floats(-10, 10, width=32)),
    arrays.arrays(np.float32, (2, 16), elements=st.floats(-10, 10, width=32)),
)
def test_between_is_the_length_of_differences(some, others):
    expected = np.linalg.norm(some.astype(float)[:, np.newaxis] - others, axis=2)
    np.testing.assert_allclose(between(some, others), expected, atol=1e-5)


def test_closest_by_hand():
    # 0, 3-4-5 away from it, and 1 farther.
    np.testing.assert_allclose(closest(np.array([[0.0, 0], [3, 4], [3, 5]])), [5, 1, 1])


def test_components_by_hand():
    # All training points lie on the line y = 2x, which is the one component; (2, -1) is at right
    # angles to it and falls on the mean, (0, 0).
    def pictures(points):
        found = np.zeros((len(points), 36, 36, 4), np.float32)
        found[:, 0, 0, :2] = points
        return found

    components = Components(pictures([[-1, -2], [1, 2]]), 1)
    codes = components.encode(pictures([[0.5, 1], [2, -1]]))
    np.testing.assert_allclose(np.abs(codes), [[1.25**0.5], [0]], atol=1e-6)
    np.testing.assert_allclose(components.decode(codes), pictures([[0.5, 1], [0, 0]]), atol=1e-6)


def test_components_are_those_of_a_singular_value_decomposition():
    rng = np.random.default_rng(0)
    train, some = rng.random((2, 12, 36, 36, 4), dtype=np.float32)
    mean = train.mean(axis=0).reshape(-1)
    directions = np.linalg.svd(train.reshape(12, -1) - mean, full_matrices=False)[2][:5]
    expected = mean + (some.reshape(12, -1) - mean) @ directions.T @ directions
    components = Components(train, 5)
    codes = components.encode(some)
    assert codes.shape == (12, 5)
    np.testing.assert_allclose(components.decode(codes), expected.reshape(some.shape), atol=1e-4)


def test_found_again_by_hand():
    # Nearest to 0.4 is 0, then 1; to 1.6 is 2, then 1; to 9 is 2, then 1, and 0 last.
    queries, rows, codes = column(0.4, 1.6, 9), np.array([0, 1, 0]), column(0, 1, 2)
    for k, share in ((1, 1 / 3), (2, 2 / 3), (3, 1)):
        assert found_again(queries, rows, codes, k) == pytest.approx(share)


def test_alike_by_hand():
    # Nearest to 0 is 1, then 3; to 3 is 1, then 0; to 7 is 3, then 1.
    codes = column(0, 1, 3, 7)
    vectors = np.array([[1, 0], [0.6, 0.8], [0, 1], [-1, 0]])
    some = np.array([True, False, True, True])
    assert alike(codes, vectors, some, 1) == pytest.approx((0.6 + 0.8 + 0) / 3)
    assert alike(codes, vectors, some, 2) == pytest.approx((0.6 + 0 + 0.8 + 0 + 0 - 0.6) / 6)
    # None is its own neighbour, not even where another has the same code.
    same = column(5, 5, 9)
    assert alike(same, vectors[:3], np.array([True, True, False]), 1) == pytest.approx(0.6)


def test_readable_by_hand():
    # The codes of the fit, 3 and 7, are standardized to -1 and 1, the values 0 and 2 lie -1 and 1
    # around 1. A ridge of weight 1 has the slope 2 / (2 + 1): it reads 1/3 at 3 and 5/3 at 7. Of
    # the same values it misses 1/3 each: 2/9 of the 2 around their mean.
    codes = column(3, 7, 3, 7)
    fit, test = np.array([True, True, False, False]), np.array([False, False, True, True])
    found = readable(codes, np.array([0, 2, 0, 2]), fit, test)
    assert found == pytest.approx(1 - 1 / 9)
    # Of swapped ones it misses 5/3 each: 50/9 of the 2.
    assert readable(codes, np.array([0, 2, 2, 0]), fit, test) == pytest.approx(1 - 25 / 9)


def test_what_is_unknown_is_not_read():
    codes = column(3, 7, 3, 7, 1000, -1000)
    values = np.array([0, 2, 0, 2, np.nan, np.nan])
    fit = np.array([True, True, False, False, True, False])
    assert readable(codes, values, fit, ~fit) == pytest.approx(1 - 1 / 9)


def test_readable_within_by_hand():
    # Each of six is read by the other five, of which three are as it is not, say 0, 0, 1, 1, 1:
    # around their mean of 0.6 the ridge keeps 5 / (5 + 1) of the slope, so it reads 0.6 - 0.5 at 0.
    # All miss 0.1 then: 0.06 of the 1.5 around their mean. What is unknown has no part.
    codes = column(0, 0, 0, 1, 1, 1, 50)
    values = np.array([0, 0, 0, 1, 1, 1, np.nan])
    assert readable_within(codes, values, folds=6) == pytest.approx(1 - 0.06 / 1.5)


def test_named():
    # Codes 0 mean the one thing, codes 9 the other, and so do those that no regression saw: each is
    # ranked with its like for its name. Where names say the opposite, all others precede.
    codes = np.repeat([0.0, 9.0], 30)[:, np.newaxis]
    vectors = np.repeat([[1.0, 0.0], [0.0, 1.0]], 30, axis=0)
    some = np.arange(60) % 10 == 0
    found = named(codes, vectors, vectors, ~some, some)
    # 29 others tie with each: 14.5 of 59 are ahead.
    assert found == {"median percentile": pytest.approx(100 * (1 - 14.5 / 59)), "hit@10": 0}
    worst = named(codes, vectors, vectors[::-1], ~some, some)
    assert worst["median percentile"] == pytest.approx(100 * (1 - (30 + 14.5) / 59))
    # One of a kind is found.
    alone = np.append(codes, [[-20.0]], axis=0)
    unlike = np.append(vectors, [[-1.0, 0.0]], axis=0)
    last = np.arange(61) == 60
    assert named(alone, unlike, unlike, np.full(61, True), last)["hit@10"] == 1
