"""Cuts by hand, against trying all of them, and the masks that they make."""

import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emoji_vae.quilting import RADII, ROWS, WAYS, cuts, quilts

NOTHING = np.zeros((1, 4, 4), np.float32)


def test_a_cut_through_four_by_four_pixels():
    # A cut above row h costs the mean of the rows h - 1 and h; it may lie above row 1, 2 or 3.
    difference = np.array([[[0, 0, 0, 0], [9, 9, 9, 9], [9, 9, 0, 0], [0, 0, 0, 0]]], np.float32)
    # Above row 1: 4.5 in each column. Above row 2: 9, 9, 4.5, 4.5. Above row 3: 4.5, 4.5, 0, 0.
    costs, heights = cuts(difference, NOTHING, NOTHING, 1, 3)
    np.testing.assert_array_equal(heights, [[3, 3, 3, 3]])
    np.testing.assert_allclose(costs, 9 / 4)


def test_a_cut_moves_where_it_is_cheaper():
    # Free above row 1 on the left and above row 3 on the right. Between them it goes down the
    # second column, where rows 1 and 2 are alike in both pictures.
    difference = np.array([[[0, 0, 5, 5], [0, 0, 5, 5], [5, 0, 0, 0], [5, 0, 0, 0]]], np.float32)
    costs, heights = cuts(difference, NOTHING, NOTHING, 1, 3)
    assert heights[0, 0] == 1 and heights[0, 2:].tolist() == [3, 3]
    np.testing.assert_allclose(costs, 0)


def test_each_side_pays_for_its_misfit():
    # The pictures are alike; the first fits rows 0 and 1 alone, the second the others.
    first = np.array([[[0] * 4, [0] * 4, [1] * 4, [1] * 4]], np.float32)
    costs, heights = cuts(NOTHING, first, 1 - first, 1, 3)
    np.testing.assert_array_equal(heights, [[2, 2, 2, 2]])
    np.testing.assert_array_equal(costs, [0])


def test_a_closed_cut_meets_itself():
    # Free from row 1 in the first column to row 3 in the last, a row or none a column, but then
    # the way back costs: the closed one stays.
    difference = np.full((1, 4, 4), 0.01, np.float32)
    difference[0, 2, 3] = 9  # no closed cut may jump across it
    _, heights = cuts(difference, NOTHING, NOTHING, 1, 3, closed=True)
    assert len(set(heights[0].tolist())) == 1


def price(path, difference, first, second, stiffness, closed):
    """What a cut (m,) above rows of one pair (n, m) costs, by the definition."""
    total = 0.0
    for column, height in enumerate(path):
        total += (difference[height - 1, column] + difference[height, column]) / 2
        total += first[:height, column].sum() + second[height:, column].sum()
    steps = list(itertools.pairwise(range(len(path)))) + [(len(path) - 1, 0)] * closed
    for left, right in steps:
        low, high = sorted((path[left], path[right]))
        # What lies between both heights is cut in the column that is come to.
        total += difference[low:high, right].sum() + stiffness * (high - low)
    return total


GRIDS = arrays.arrays(np.float64, (3, 5, 4), elements=st.floats(0, 1))


@given(GRIDS)
def test_no_open_cut_is_cheaper(grids):
    difference, first, second = grids
    _, heights = cuts(difference[None], first[None], second[None], 1, 4, stiffness=0.1)
    every = itertools.product(range(1, 5), repeat=4)
    least = min(price(path, difference, first, second, 0.1, False) for path in every)
    found = price(heights[0], difference, first, second, 0.1, False)
    np.testing.assert_allclose(found, least, atol=1e-9)


@given(GRIDS)
def test_closed_cuts_cost_little_more_than_the_cheapest(grids):
    difference, first, second = grids
    _, heights = cuts(difference[None], first[None], second[None], 1, 4, True, 0.1)
    found = price(heights[0], difference, first, second, 0.1, True)
    # It goes through one height in the first column: the best of the closed ones that do.
    every = itertools.product([heights[0, 0]], *[range(1, 5)] * 3)
    least = min(price(path, difference, first, second, 0.1, True) for path in every)
    np.testing.assert_allclose(found, least, atol=1e-9)


def test_pairs_do_not_change_each_other():
    first, second, third = np.random.default_rng(0).random((3, 6, 9, 7))
    for closed in (False, True):
        costs, heights = cuts(first, second, third, 2, 7, closed)
        for pair in range(6):
            row = slice(pair, pair + 1)
            one, path = cuts(first[row], second[row], third[row], 2, 7, closed)
            np.testing.assert_array_equal(path[0], heights[pair])
            np.testing.assert_allclose(one[0], costs[pair])


def test_quilts_follow_what_fits():
    rng = np.random.default_rng(1)
    pictures = np.repeat(rng.random((1, 36, 36, 4), np.float32), 2, axis=0)
    # They are alike, so only the misfits count: the second fits below row 20, right of column 15,
    # or in the last ring.
    pairs = np.array([[0, 1]])
    down, right = np.mgrid[:36, :36]
    for way, fits in enumerate((down >= 20, right >= 15, np.hypot(down - 17.5, right - 17.5) > 10)):
        misfits = np.stack([fits, ~fits]).astype(np.float32)
        costs, shown = quilts(pictures, misfits, pairs)
        assert costs.shape == (len(WAYS),) and shown.shape == (len(WAYS), 36, 36)
        wrong = (shown != fits).mean(axis=(1, 2))
        assert wrong[way] < 0.04 and wrong.argmin() == way
        if WAYS[way] != "around":
            assert wrong[way] == 0


def test_cuts_keep_to_their_range():
    pictures = np.random.default_rng(2).random((3, 36, 36, 4), np.float32)
    pairs = np.array([[0, 1], [2, 0]])
    _, shown = quilts(pictures, np.zeros((3, 36, 36), np.float32), pairs)
    across, down, around = shown.reshape(len(WAYS), len(pairs), 36, 36)
    for first, last in ((across, ROWS), (down.transpose(0, 2, 1), ROWS)):
        assert not first[:, : last[0]].any() and first[:, last[1] :].all()
    radius = np.hypot(*(np.mgrid[:36, :36] - 17.5))
    assert not around[:, radius < RADII[0]].any() and around[:, radius >= RADII[1]].all()
