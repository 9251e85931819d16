"""Corrections of codes: steps by hand, never a worse code, one code for one picture."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emoji_vae.posterior import corrected

SHAPE = (36, 36, 4)


def of(values):
    """Pictures of which the first pixels are these values, (n, k), and all others 0."""
    found = np.zeros((len(values), 36 * 36 * 4), np.float32)
    found[:, : values.shape[1]] = values
    return found.reshape(-1, *SHAPE)


def linear(codes):
    """Each number of a code is the value of four pixels."""
    return of(np.repeat(codes, 4, axis=1))


class Smooth:
    """A small decoder of random weights, bounded and not linear."""

    def __init__(self, size=16, seed=0):
        rng = np.random.default_rng(seed)
        self.inner = rng.standard_normal((size, 8)).astype(np.float32) / 4
        self.outer = rng.standard_normal((8, 36 * 36 * 4)).astype(np.float32)

    def __call__(self, codes):
        assert codes.dtype == np.float32
        logits = np.tanh(codes @ self.inner) @ self.outer
        return (1 / (1 + np.exp(-logits))).reshape(-1, *SHAPE)


def errors(decode, pictures, codes):
    return np.square(decode(codes) - pictures).sum(axis=(1, 2, 3))


def pictures_and_codes(n, seed=0):
    rng = np.random.default_rng(seed)
    pictures = rng.random((n, *SHAPE), dtype=np.float32)
    return pictures, 2 * rng.standard_normal((n, 16)).astype(np.float32)


@pytest.mark.parametrize(("steps", "share"), [(0, 0), (1, 0.8), (2, 0.96), (3, 0.992)])
def test_a_linear_decoder_by_hand(steps, share):
    # A number moved by 1 changes four pixels by 1 each: the matrix is 4 and the damping 1, so each
    # step goes 4 / (4 + 1) of the way that is left: 0.8, 0.96, 0.992.
    aims = np.array([[1, -2], [0, 0.5]], np.float32)
    found = corrected(linear(aims), np.zeros((2, 2), np.float32), linear, steps)
    assert found.shape == (2, 2) and found.dtype == np.float32
    np.testing.assert_allclose(found, share * aims, atol=1e-4)


@pytest.mark.parametrize(("steps", "reached"), [(1, 2.5), (2, 5), (3, 7.5), (4, 9.5)])
def test_no_step_is_longer_than_2_and_a_half(steps, reached):
    # 8, 6 and 4 of the ways 10, 7.5 and 5 would be gone; the fourth goes 0.8 x 2.5 = 2.
    found = corrected(linear(np.array([[10, 0]])), np.zeros((1, 2), np.float32), linear, steps)
    np.testing.assert_allclose(found, [[reached, 0]], atol=1e-3)


def test_half_a_step_is_taken_where_it_is_better():
    # 100 pixels of arctan c. From 1.5 (0.983, slope 0.308) to 0, the step is 100 x 0.308 x 0.983
    # over 100 x 0.308 ** 2 + 1 = 2.9 long, cut to 2.5. That ends at -1 (-0.785), half of it at
    # 0.25 (0.245), a quarter at 0.875 (0.719): the half is the best.
    def decode(codes):
        return of(np.repeat(np.arctan(codes), 100, axis=1))

    found = corrected(of(np.zeros((1, 1))), np.array([[1.5]], np.float32), decode, 1)
    np.testing.assert_allclose(found, [[0.25]], atol=1e-6)


def test_no_step_is_taken_where_all_are_worse():
    # 1 + |c| is least at 0, yet on the right of it the slope is 1: every step goes wrong.
    def decode(codes):
        return of(1 + np.abs(codes))

    start = np.zeros((1, 1), np.float32)
    np.testing.assert_array_equal(corrected(of(np.zeros((1, 1))), start, decode, 3), start)


def test_no_steps_give_the_codes_back():
    pictures, codes = pictures_and_codes(3)

    def decode(codes):
        raise AssertionError("nothing is to be decoded")

    np.testing.assert_array_equal(corrected(pictures, codes, decode, 0), codes)


@settings(max_examples=25)
@given(
    arrays.arrays(
        np.float32, st.tuples(st.integers(1, 3), st.just(16)), elements=st.floats(-8, 8, width=32)
    ),
    st.integers(0, 4),
    st.integers(0, 1000),
)
def test_never_farther(codes, steps, seed):
    decode, (pictures, _) = Smooth(seed=seed), pictures_and_codes(len(codes), seed)
    given_codes = codes.copy()
    found = corrected(pictures, codes, decode, steps)
    np.testing.assert_array_equal(codes, given_codes)
    assert found.shape == codes.shape and found.dtype == np.float32 and np.isfinite(found).all()
    # The sums are of 5,184 numbers in 32 bits.
    assert (errors(decode, pictures, found) <= errors(decode, pictures, codes) * (1 + 1e-5)).all()


def test_what_an_encoder_missed_is_taken_back():
    decode, (_, codes) = Smooth(), pictures_and_codes(8)
    missed = codes + 0.3 * np.random.default_rng(1).standard_normal(codes.shape).astype(np.float32)
    pictures = decode(codes)
    left = errors(decode, pictures, corrected(pictures, missed, decode, 3))
    assert (left < 0.02 * errors(decode, pictures, missed)).all()


def test_each_code_depends_on_its_own_picture_alone():
    decode, (pictures, codes) = Smooth(), pictures_and_codes(20)  # more than one batch
    found = corrected(pictures, codes, decode, 3)
    assert np.abs(found - codes).max() > 0.1
    for some in ([0], [19, 3], list(range(20))[::-1]):
        alone = corrected(pictures[some], codes[some], decode, 3)
        # Some processors sum batches of other sizes in another order; three steps add that up.
        np.testing.assert_allclose(alone, found[some], atol=2e-3)


def test_equal_pictures_have_equal_codes_each_time():
    decode, (pictures, codes) = Smooth(), pictures_and_codes(5)
    first = corrected(pictures, codes, decode, 3)
    np.testing.assert_array_equal(first, corrected(pictures, codes, decode, 3))
