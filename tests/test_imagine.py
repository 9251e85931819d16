"""Drawings for a sentence: scored as shown, likely, new, unlike each other; and bad input."""

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from emoji_vae import images
from emoji_vae.codec import Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.prior import Prior
from emoji_vae.settings import from_mapping
from sqam.imagine import (
    MAX_N,
    ImagineSettings,
    _best_apart,
    _Known,
    _nearest,
    imagine,
)
from sqam.scorer import Scorer

QUICK = ImagineSettings(
    starts=100, generations=4, population=16, parents=8, finalists=30, apart=0.1, reserve=1.0
)


# A toy world without networks: a code's numbers are the first 16 of its picture, squashed.


class ToyCodec:
    """Codes and pictures without loss; drawing moves a code by ``shift``."""

    def __init__(self, shift=0.0):
        self.prior = Prior(np.ones(1), np.zeros((1, 16)), np.eye(16)[np.newaxis])
        self.shift = shift
        self.drawn = 0

    def decode(self, codes):
        values = 1 / (1 + np.exp(-np.asarray(codes, dtype=np.float64)))
        pictures = np.zeros((len(codes), 36 * 36 * 4), np.float32)
        pictures[:, :16] = values
        return pictures.reshape(-1, 36, 36, 4)

    def encode(self, pictures):
        values = pictures.reshape(len(pictures), -1)[:, :16].astype(np.float64)
        return np.log(values / (1 - values)).astype(np.float32)

    def draw(self, codes, seed=0, progress=None):
        self.drawn += len(codes)
        if progress is not None:
            progress(len(codes))
        return self.decode(np.asarray(codes) + self.shift)


class ToyScorer:
    """The cosine with the first dimension; it knows the word "one"."""

    def known(self, sentences):
        return np.array(["one" in sentence for sentence in sentences])

    def score(self, sentences, candidates):
        codes = candidates.codes
        cosines = codes[:, 0] / np.linalg.norm(codes, axis=1)
        return np.tile(cosines, (len(sentences), 1)).astype(np.float32)


def toy_known(n=60):
    codes = np.random.default_rng(3).standard_normal((n, 16)).astype(np.float32)
    return EmojiCodes([f"known-{i}" for i in range(n)], codes, ToyCodec().decode(codes))


def toy(n=4, seed=0, codec=None, known=None, settings=QUICK, **options):
    codec, known = codec or ToyCodec(), known or toy_known()
    scorer: Any = ToyScorer()
    return imagine(scorer, codec, "one", known, n, seed, settings, **options)


def test_it_finds_what_fits():
    found = toy(settings=ImagineSettings(starts=200, generations=12, population=32))
    best_known = ToyScorer().score(["one"], toy_known()).max()
    assert found.scores[0] > best_known
    assert found.scores[0] > 0.75
    assert (
        len(found.codes) == len(found.scores) == len(found.log_density) == len(found.nearest) == 4
    )
    assert found.codes.names == ("imagined-01", "imagined-02", "imagined-03", "imagined-04")


def test_what_is_scored_is_what_is_shown():
    codec = ToyCodec(shift=0.2)
    found = toy(codec=codec)
    again = codec.encode(found.codes.pictures)
    np.testing.assert_array_equal(again, found.codes.codes)
    np.testing.assert_array_equal(ToyScorer().score(["one"], found.codes)[0], found.scores)
    np.testing.assert_allclose(codec.prior.log_density(again), found.log_density)
    assert codec.drawn == QUICK.finalists


def test_equal_seeds_draw_equal_emojis_and_a_larger_n_only_adds():
    first, again, more, other = toy(), toy(), toy(n=7), toy(seed=1)
    np.testing.assert_array_equal(first.codes.codes, again.codes.codes)
    np.testing.assert_array_equal(first.codes.pictures, again.codes.pictures)
    assert len(more.codes) > len(first.codes)
    np.testing.assert_array_equal(more.codes.codes[:4], first.codes.codes)
    assert not np.array_equal(other.codes.codes, first.codes.codes)


def test_limits_by_hand():
    # On a line at 0, 3, 7 and 12: the nearest others are 3, 3, 4 and 5 away.
    codes = np.zeros((4, 16))
    codes[:, 0] = [0, 3, 7, 12]
    # One grey pixel of 36 * 36 * 4 numbers: 0, 0.1, 0.3, 0.7. The nearest differ by 0.1, 0.1, 0.2
    # and 0.4 in that one.
    pictures = np.zeros((4, 36, 36, 4))
    pictures[:, 0, 0, 3] = [0, 0.1, 0.3, 0.7]
    prior = ToyCodec().prior
    settings = ImagineSettings(near=0, far=1, apart=2 / 3, pixels=1 / 3, density=0)
    known = _Known(EmojiCodes(list("abcd"), codes, pictures), prior, settings)
    # Quantiles of four: 0 is the first, 1/3 the second, 2/3 the third, 1 the last.
    assert (known.limits.near, known.limits.far, known.limits.apart) == pytest.approx((3, 5, 4))
    assert known.limits.pixels == pytest.approx(0.1**2 / 5184, rel=1e-5)
    # The standard normal's density, at 12 from its mean.
    assert known.limits.log_density == pytest.approx(-8 * math.log(2 * math.pi) - 72)

    def at(x, y=0.0):
        return np.array([[x, y] + [0.0] * 14])

    assert known.excess(at(3.5, 4)) == 0  # 4.03 from the nearest
    # 1 from the nearest, 2 less than allowed, in units of the median distance, 3.5.
    assert known.excess(at(4)) == pytest.approx(2 / 3.5)
    # With a reserve 4.5 are asked for, or 97 % of the greatest distance, 4.85, if that is less.
    assert known.excess(at(4), reserve=1.5) == pytest.approx(3.5 / 3.5)
    assert known.excess(at(4), reserve=10) == pytest.approx(3.85 / 3.5)
    # 5.5 beyond the last: 0.5 too far. Its log density is -17.5²/2, the limit -12²/2, and the
    # median that of 3 and 7: -(4.5 + 24.5) / 2 = -14.5, 57.5 above the limit.
    assert known.excess(at(17.5)) == pytest.approx(0.5 / 3.5 + (17.5**2 / 2 - 72) / 57.5)
    picture = np.zeros((2, 36, 36, 4))
    picture[:, 0, 0, 3] = [0.78, 0.82]  # 0.08 and 0.12 from the nearest, against 0.1
    assert known.copied(picture).tolist() == [True, False]


def test_copies_are_not_returned():
    known = toy_known()

    class Copying(ToyCodec):
        def draw(self, codes, seed=0, progress=None):
            pictures = super().draw(codes, seed, progress)
            pictures[::2] = known.pictures[0]
            return pictures

    found = toy(codec=Copying(), known=known)
    assert all(distance > 0.1 for _, distance in found.nearest)

    class OnlyCopying(ToyCodec):
        def draw(self, codes, seed=0, progress=None):
            return np.repeat(known.pictures[:1], len(codes), axis=0)

    with pytest.raises(InputError, match="try another seed or other words"):
        toy(codec=OnlyCopying(), known=known)


def test_a_copy_in_pixels_alone_is_one():
    class Blind(ToyCodec):
        """Draws all alike, as the first known emoji; tells codes apart all the same."""

        def draw(self, codes, seed=0, progress=None):
            pictures = self.decode(codes)
            flat = pictures.reshape(len(pictures), -1)
            flat[:, :16] = flat[:, :16] * 1e-4 + toy_known().pictures[0].reshape(-1)[:16] * 0.9999
            self._codes = codes
            return pictures

        def encode(self, pictures):
            if len(pictures) == QUICK.finalists:
                return np.asarray(self._codes, dtype=np.float32)
            return super().encode(pictures)

    with pytest.raises(InputError, match="likely and new"):
        toy(codec=Blind())


def test_fewer_where_fewer_are_found():
    # As far apart as the two emojis that are the farthest from all others.
    found = toy(n=MAX_N, settings=ImagineSettings(starts=64, generations=2, apart=1.0))
    assert 1 <= len(found.codes) < MAX_N


def test_progress_counts_every_picture():
    seen: list[int] = []
    toy(progress=seen.append)
    assert 0 < sum(seen) <= QUICK.finalists == 30


# The models


def test_an_untrained_model(tiny):
    known = EmojiCodes.load()[::20]
    scorer = Scorer.load(tiny["folder"])
    found = imagine(scorer, Codec.load(), "i love pizza", known, 3, 5, QUICK)
    np.testing.assert_allclose(
        found.scores, scorer.score(["i love pizza"], found.codes)[0], atol=1e-6
    )
    assert (np.diff(found.scores) <= 0).all()


@pytest.mark.slow
def test_the_models_that_ship():
    scorer, codec, known = Scorer.load(), Codec.load(), EmojiCodes.load()
    sentence = "happy birthday, old friend"
    found = imagine(scorer, codec, sentence, known)
    codes, n = found.codes.codes, len(found.codes)
    assert n == 8
    # What is scored is what is shown.
    np.testing.assert_allclose(codec.encode(found.codes.pictures), codes, atol=1e-4)
    np.testing.assert_allclose(scorer.score([sentence], found.codes)[0], found.scores, atol=1e-5)
    assert (np.diff(found.scores) <= 0).all()
    # The better half fits as well as the best real emojis.
    assert found.scores[: n // 2].mean() > np.sort(scorer.score([sentence], known)[0])[-20]

    def distances(some, others):
        return np.linalg.norm(some[:, np.newaxis] - others[np.newaxis], axis=2)

    # They are likely.
    densities = codec.prior.log_density(known.codes)
    np.testing.assert_allclose(codec.prior.log_density(codes), found.log_density, rtol=1e-5)
    assert (found.log_density >= np.quantile(densities, 0.05)).all()
    # They are no copies, and no farther from all emojis than these are from each other.
    real = distances(known.codes, known.codes)
    np.fill_diagonal(real, np.inf)
    own = distances(codes, known.codes)
    low, high, apart = np.quantile(real.min(axis=1), [0.5, 0.95, 0.75])
    assert (own.min(axis=1) >= low - 1e-5).all()
    assert (own.min(axis=1) <= high + 1e-5).all()
    for (emoji, distance), row in zip(found.nearest, own, strict=True):
        assert emoji == known.names[row.argmin()]
        assert distance == pytest.approx(row.min(), abs=1e-4)
    sheet = images.sheet()
    assert found.codes.pictures is not None
    differences = [np.square(sheet - one).mean(axis=(1, 2, 3)) for one in found.codes.pictures]
    assert np.min(differences) > 0.004
    # They differ.
    between = distances(codes, codes)[np.triu_indices(n, 1)]
    assert between.min() >= apart - 1e-5


# Parts


def brute_force(points, others):
    return np.linalg.norm(points[:, np.newaxis] - others[np.newaxis], axis=2)


POINTS = st_numpy.arrays(np.float64, st.tuples(st.integers(2, 30), st.just(3)),
                         elements=st.floats(-5, 5))  # fmt: skip


@given(POINTS, POINTS)
def test_nearest_is_the_nearest(points, others):
    rows, distances = _nearest(points, others)
    expected = brute_force(points, others)
    np.testing.assert_allclose(distances, expected[np.arange(len(points)), rows])
    np.testing.assert_allclose(distances, expected.min(axis=1), atol=1e-6)


@given(POINTS)
def test_nearest_other_is_never_the_point_itself(points):
    rows, distances = _nearest(points)
    expected = brute_force(points, points)
    np.fill_diagonal(expected, np.inf)
    assert (rows != np.arange(len(points))).all()
    np.testing.assert_allclose(distances, expected.min(axis=1), atol=1e-6)


def test_nearest_in_blocks():
    points = np.random.default_rng(0).standard_normal((2500, 3))  # three blocks
    rows, distances = _nearest(points)
    expected = brute_force(points, points)
    np.fill_diagonal(expected, np.inf)
    np.testing.assert_array_equal(rows, expected.argmin(axis=1))
    np.testing.assert_allclose(distances, expected.min(axis=1))


@given(POINTS, st.integers(1, 12), st.floats(0, 8), st.randoms(use_true_random=False))
def test_best_apart_is_greedy(codes, n, apart, random):
    fitness = np.array([random.choice([0.0, 1.0, 2.0, -np.inf]) for _ in codes])
    rows = _best_apart(fitness, codes, n, apart).tolist()
    picked: list[int] = []
    for row in sorted(range(len(codes)), key=lambda row: -fitness[row]):  # a stable sort
        if len(picked) < n and all(
            np.linalg.norm(codes[row] - codes[one]) >= apart for one in picked
        ):
            picked.append(row)
    assert rows == picked


# Bad input


@pytest.mark.parametrize("n", [0, -1, MAX_N + 1, 2.5, True, "3", None, math.nan])
def test_bad_n(n):
    with pytest.raises(InputError, match=f"ask for 1 to {MAX_N}"):
        toy(n=n)


@pytest.mark.parametrize("seed", [-1, 1.5, True, "x", None])
def test_bad_seed(seed):
    with pytest.raises(InputError, match="is no seed"):
        toy(seed=seed)


@pytest.mark.parametrize("sentence", ["", "  ", "two", "\udcff", "\x00"])
def test_no_known_word(sentence):
    with pytest.raises(InputError, match="knows no word"):
        imagine(ToyScorer(), ToyCodec(), sentence, toy_known())  # type: ignore[arg-type]


def test_a_list_of_sentences():
    with pytest.raises(InputError, match="a text must be a string"):
        imagine(Scorer.load(), Codec.load(), ["love"], EmojiCodes.load())  # type: ignore[arg-type]


def test_known_emojis_without_neighbours_or_pictures():
    with pytest.raises(InputError, match="at least 2"):
        toy(known=toy_known(1))
    known = toy_known()
    with pytest.raises(InputError, match="'known-0' is no emoji"):
        toy(known=EmojiCodes(known.names, known.codes))


def test_equal_known_emojis():
    def known(rows):
        codes = toy_known().codes[rows]
        return EmojiCodes([str(row) for row in rows], codes, ToyCodec().decode(codes))

    # Some: flags that several places share.
    assert np.isfinite(toy(known=known([*range(60), *range(10)])).scores).all()
    # All: nothing is as near to them as they are to each other, and no copy.
    with pytest.raises(InputError, match="likely and new"):
        toy(known=known([*range(10), *range(10)]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"populaton": 3}, "unknown setting 'populaton'"),
        ({"population": "many"}, "population cannot be 'many'"),
        ({"population": 0}, "population is 0"),
        ({"generations": 1.5}, "generations cannot be 1.5"),
        ({"finalists": -1}, "finalists is -1"),
        ({"density": 1.5}, "density is 1.5; it must be 0 to 1"),
        ({"near": math.nan}, "near is nan"),
        ({"near": 0.9, "far": 0.5}, "above far"),
        ({"reserve": 0.9}, "it must be 1 to 10"),
        ({"first_step": 0.1, "last_step": 0.2}, "must be above 0, at most 10, and not grow"),
        ({"last_step": 0}, "must be above 0"),
        ({"apart": math.inf}, "apart is inf"),
    ],
)
def test_bad_settings(values, message):
    with pytest.raises(InputError, match=message):
        from_mapping(ImagineSettings, values)
