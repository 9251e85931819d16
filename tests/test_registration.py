"""Main colours, fits and renderings, on shapes whose answers are known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.registration import Exemplar, Fit, both_sides, palette, register, render, shares

RED, BLUE = [0.8, 0.2, 0.2], [0.2, 0.2, 0.8]
FIELDS = 16  # of a warp; the first is a shift


def blob(row=17.5, column=17.5, colour=RED, size=36, width=4.0):
    """A soft spot of one colour, premultiplied: float32 (size, size, 4)."""
    rows, columns = (np.mgrid[:size, :size] + 0.5) * 36 / size - 0.5
    alpha = np.exp(-((rows - row) ** 2 + (columns - column) ** 2) / (2 * width**2))
    return (alpha[:, :, np.newaxis] * [*colour, 1]).astype(np.float32)


def exemplar_of(picture, large=None):
    large = picture if large is None else large
    return Exemplar.of(large, picture, picture, palette(picture))


def test_the_palette_of_two_colours():
    picture = np.zeros((36, 36, 4), np.float32)
    picture[:, :20] = [1, 0, 0, 1]
    picture[:, 20:] = [0, 0, 0.5, 0.5]  # half transparent: its colour is blue all the same
    picture[:3] = 0
    colours = palette(picture)
    np.testing.assert_allclose(colours[np.argsort(-colours[:, 0])], [[1, 0, 0], [0, 0, 1]])
    # The share of a pixel in its own colour is its alpha; none is in the other.
    split = shares(picture, np.array([[1, 0, 0], [0, 0, 1]], np.float32))
    np.testing.assert_allclose(split[9, 9], [1, 0], atol=1e-6)
    np.testing.assert_allclose(split[9, 30], [0, 0.5], atol=1e-6)
    np.testing.assert_array_equal(split[0], 0)


def test_palettes_are_small():
    # A grey ramp from 0 to 1 in 36 levels: no two of five means come within a tenth.
    ramp = np.ones((36, 36, 4), np.float32)
    ramp[..., :3] = (np.arange(36) / 35)[:, np.newaxis]
    greys = np.sort(palette(ramp)[:, 0])
    assert len(greys) == 5 and np.diff(greys).min() > 0.1
    assert len(palette(ramp, colours=2)) == 2
    assert len(palette(blob())) == 1
    np.testing.assert_array_equal(palette(np.zeros((36, 36, 4), np.float32)), [[0, 0, 0]])


@given(arrays.arrays(np.float32, (4, 4, 4), elements=st.floats(0, 1, width=32)))
def test_shares_add_up_to_alpha(picture):
    picture[..., :3] *= picture[..., 3:]
    colours = palette(picture)
    assert 1 <= len(colours) <= 5
    split = shares(picture, colours)
    assert (split >= 0).all()
    np.testing.assert_allclose(split.sum(axis=2), picture[..., 3], atol=1e-5)


@pytest.mark.parametrize(("down", "right"), [(2, -1), (-3, 2), (0, 0)])
def test_a_shift_is_recovered(down, right):
    moved = blob(17.5 + down, 17.5 + right)
    fit = register(exemplar_of(blob()), moved)
    # A pixel is taken from where it was: as far up as the blob has moved down.
    places = np.array([-down, -right])
    np.testing.assert_allclose(fit.warp[:, 0], places, atol=0.3)
    assert fit.misfit.shape == (36, 36)
    assert fit.misfit.mean() < 1e-4
    assert np.abs(fit.shifts).max() < 0.02
    # What is rendered has moved as well, less a little that a warp costs.
    alpha = render(exemplar_of(blob(), blob(size=64)), fit)[..., 3]
    centre = [(alpha * grid).sum() / alpha.sum() for grid in np.mgrid[:36, :36]]
    np.testing.assert_allclose(centre, [17.5 + down, 17.5 + right], atol=0.2)


def test_a_colour_is_recovered():
    exemplar = exemplar_of(blob(), blob(size=64))
    fit = register(exemplar, blob(colour=BLUE))
    # Red to blue: -0.6 red, 0.6 blue, less what new colours cost.
    np.testing.assert_allclose(fit.shifts, [[-0.6, 0, 0.6]], atol=0.03)
    assert np.abs(fit.warp).max() < 0.1
    rendered = render(exemplar, fit)
    np.testing.assert_allclose(rendered[18, 18, :3] / rendered[18, 18, 3], BLUE, atol=0.03)


def test_each_colour_changes_by_itself():
    two = blob(11, 11, width=3) + blob(25, 25, BLUE, width=3)
    green = [0.2, 0.8, 0.2]
    exemplar = exemplar_of(two)
    fit = register(exemplar, blob(11, 11, width=3) + blob(25, 25, green, width=3))
    changed = (exemplar.colours + fit.shifts)[np.argsort(-exemplar.colours[:, 0])]
    np.testing.assert_allclose(changed, [RED, green], atol=0.1)


def test_colours_stay_in_their_cube():
    exemplar = exemplar_of(blob(), blob(size=64))
    fit = Fit(np.zeros((2, FIELDS), np.float32), np.full((1, 3), 9, np.float32), np.zeros((36, 36)))
    rendered = render(exemplar, fit)
    np.testing.assert_allclose(rendered[..., :3], rendered[..., 3:].repeat(3, axis=2), atol=1e-5)


def test_what_fits_is_rendered_as_it_is():
    sheet, large = images.sheet(), images.large_sheet()
    for row in (catalogue().index(emoji) for emoji in ("😀", "🍕", "🐙")):
        exemplar = Exemplar.of(large[row], sheet[row], sheet[row], palette(sheet[row]))
        fit = register(exemplar, sheet[row])
        assert fit.misfit.max() < 1e-6
        # Reduced from 64 pixels in another way than the sheet was, so edges differ a little.
        assert np.abs(render(exemplar, fit) - sheet[row]).mean() < 0.01


def test_a_matrix_for_both_sides():
    # Rows are doubled and columns are: four times the sum of all.
    picture = np.arange(8, dtype=np.float32).reshape(2, 2, 2)
    out = both_sides(np.array([[2, 2]], np.float32), picture)
    np.testing.assert_array_equal(out, [[[4 * (0 + 2 + 4 + 6), 4 * (1 + 3 + 5 + 7)]]])


SPOTS = st.builds(
    blob,
    st.floats(-5, 40),
    st.floats(-5, 40),
    st.lists(st.floats(0, 1), min_size=3, max_size=3),
    width=st.floats(0.1, 50),
)


@given(SPOTS, SPOTS | st.sampled_from([np.zeros((36, 36, 4), np.float32)]), SPOTS)
def test_any_fit_is_finite(picture, own, draft):
    exemplar = Exemplar.of(picture, picture, own, palette(picture))
    fit = register(exemplar, draft)
    for found in (fit.warp, fit.shifts, fit.misfit, render(exemplar, fit)):
        assert np.isfinite(found).all()
