"""The painter on a toy world of shapes: what a drawing depends on, and that it is a picture."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from emoji_vae import images
from emoji_vae.drawing import DrawingSettings, Painter
from emoji_vae.errors import InputError
from emoji_vae.registration import LOW_PASS, both_sides
from emoji_vae.settings import from_mapping

COLOURS = np.array(
    [[0.9, 0.1, 0.1], [0.1, 0.2, 0.9], [0.1, 0.7, 0.2], [0.9, 0.8, 0.1], [0.6, 0.2, 0.7]]
)


def shape(number, size):
    """A disc, a square or a diamond of one colour with a stripe of another: (size, size, 4)."""
    down, right = (np.mgrid[:size, :size] + 0.5) / size - 0.5
    outlines = (np.hypot(down, right), np.maximum(abs(down), abs(right)), (abs(down) + abs(right)))
    inside = outlines[number % 3] < 0.35 + 0.01 * number
    colour = np.broadcast_to(COLOURS[number % 5], (size, size, 3)).copy()
    colour[abs(down + 0.1) < 0.06] = COLOURS[(number + 2) % 5]
    return (np.dstack([colour, np.ones((size, size))]) * inside[:, :, np.newaxis]).astype("float32")


def blurred(picture):
    return both_sides(LOW_PASS, picture).clip(0, 1)


N = 12
PICTURES = np.stack([shape(number, 36) for number in range(N)])
LARGE = np.stack([shape(number, 64) for number in range(N)])
DRAFTS = np.stack([blurred(picture) for picture in PICTURES])
CODES = np.random.default_rng(0).standard_normal((N, 16)).astype(np.float32)


@pytest.fixture(scope="module")
def painter():
    return Painter(PICTURES, DRAFTS, CODES, LARGE)


def between(first, second, steps):
    """Codes and drafts on the way from one emoji to another."""
    share = np.linspace(0, 1, steps, dtype=np.float32)
    codes, drafts = (
        some[first] + np.multiply.outer(share, some[second] - some[first])
        for some in (CODES, DRAFTS)
    )
    return codes, drafts


def valid(drawn):
    images.check(drawn)
    assert drawn.dtype == np.float32
    assert (drawn[..., :3] <= drawn[..., 3:]).all()
    np.testing.assert_allclose(drawn * 255, np.rint(drawn * 255), atol=1e-4)


@pytest.mark.parametrize("steady", [False, True])
def test_a_drawing_depends_on_its_code_draft_and_seed_alone(painter, steady):
    codes, drafts = between(0, 4, 7)
    drawn = painter.paint(codes, drafts, 3, steady)
    assert drawn.shape == (7, 36, 36, 4)
    valid(drawn)
    np.testing.assert_array_equal(drawn, painter.paint(codes, drafts, 3, steady))
    rows = [5, 0, 5]
    fresh = Painter(PICTURES, DRAFTS, CODES, LARGE)
    np.testing.assert_array_equal(fresh.paint(codes[rows], drafts[rows], 3, steady), drawn[rows])
    assert np.abs(drawn - painter.paint(codes, drafts, 4, steady)).max() > 0.05


def test_drawings_are_new(painter):
    drawn = painter.paint(CODES, DRAFTS, 0)
    differences = np.square(drawn[:, np.newaxis] - PICTURES).mean(axis=(2, 3, 4))
    # Nearly all are no copies: more is changed than a cut may leave unchanged.
    new = np.sqrt(differences.min(axis=1)) > DrawingSettings().least_new / 2
    assert new.mean() > 0.7


def test_drawings_are_sharp_and_look_like_their_drafts(painter):
    drawn = painter.paint(CODES, DRAFTS, 0)

    def edges(pictures):
        return np.abs(np.diff(pictures, axis=1)).mean()

    assert edges(drawn) > 1.3 * edges(DRAFTS)
    again = np.stack([blurred(picture) for picture in drawn])
    assert np.abs(again - DRAFTS).mean() < 0.05


def test_a_steady_drawing_of_an_emoji_is_that_emoji(painter):
    drawn = painter.paint(CODES, DRAFTS, 0, steady=True)
    # The sharp edges of these shapes are reduced from 64 pixels, not drawn at 36.
    assert np.abs(drawn - PICTURES).mean(axis=(1, 2, 3)).max() < 0.05


def test_steady_drawings_change_gradually(painter):
    drawn = painter.paint(*between(0, 4, 50), 0, steady=True)
    changes = np.abs(np.diff(drawn, axis=0)).mean(axis=(1, 2, 3))
    # Ten times as many steps are each about a tenth as long; a leap would be as long as before.
    at = int(changes.argmax())
    codes, drafts = (some[at : at + 2] for some in between(0, 4, 50))
    share = np.linspace(0, 1, 11, dtype=np.float32)
    finer = painter.paint(
        *(some[0] + np.multiply.outer(share, some[1] - some[0]) for some in (codes, drafts)),
        0,
        steady=True,
    )
    assert np.abs(np.diff(finer, axis=0)).mean(axis=(1, 2, 3)).max() < 0.5 * changes.max() + 0.002


def test_levels_are_as_good_as_floats(painter):
    levels = Painter(PICTURES, DRAFTS, CODES, np.rint(LARGE * 255).astype(np.uint8))
    codes, drafts = between(1, 2, 3)
    np.testing.assert_allclose(
        levels.paint(codes, drafts, 0), painter.paint(codes, drafts, 0), atol=3 / 255
    )


def test_mirrored_emojis_are_used():
    # A triangle that points to the left; the draft's points to the right.
    down, right = np.mgrid[:64, :64]
    inside = abs(down - 31.5) < right / 2
    large = np.repeat(inside[:, :, np.newaxis], 4, axis=2).astype(np.float32)
    picture = np.stack([large[::2, ::2][:, :, c] for c in range(4)], axis=2)
    picture = np.pad(picture, ((2, 2), (2, 2), (0, 0)))
    one = Painter(picture[None], blurred(picture)[None], CODES[:1], large[None])
    draft = blurred(picture[:, ::-1])
    drawn = one.paint(CODES[:1], draft[None], 0, steady=True)[0]
    assert np.abs(drawn - picture[:, ::-1]).mean() < 0.5 * np.abs(drawn - picture).mean()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_emojis(n):
    few = Painter(PICTURES[:n], DRAFTS[:n], CODES[:n], LARGE[:n])
    for steady in (False, True):
        codes, drafts = between(0, 4, 3)
        valid(few.paint(codes, drafts, 1, steady))


def test_equal_emojis():
    same = [0] * 7
    painter = Painter(PICTURES[same], DRAFTS[same], CODES[same], LARGE[same])
    for steady in (False, True):
        drawn = painter.paint(CODES[:1], DRAFTS[:1], 1, steady)
        valid(drawn)
        assert np.abs(drawn[0] - PICTURES[0]).mean() < 0.03


@settings(max_examples=20)
@given(
    arrays.arrays(
        np.float32, (2, 16), elements=st.floats(-8, 8, width=32) | st.sampled_from([1e30, -3e38])
    ),
    arrays.arrays(
        np.float32, (2, 36, 36, 4), elements=st.floats(0, 1, width=32), fill=st.sampled_from([0, 1])
    ),
    st.integers(0, 2**70),
    st.booleans(),
)
def test_any_code_and_draft_give_a_picture(painter, codes, drafts, seed, steady):
    valid(painter.paint(codes, drafts, seed, steady))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"examplars": 3}, "unknown setting 'examplars'"),
        ({"exemplars": 1}, "exemplars is 1; it must be 2 to 100"),
        ({"rounds": 0}, "rounds is 0; it must be 1 to 100"),
        ({"look": 0}, "look is 0; it must be above 0"),
        ({"stiffness": math.nan}, "stiffness is nan"),
        ({"chance": -1}, "chance is -1; it must be 0 to 1000"),
        ({"limits": [0.2]}, r"limits are \(0.2,\); give 3 numbers"),
        ({"limits": [0.2, -1, 0.1]}, "give 3 numbers of at least 0"),
    ],
)
def test_bad_settings(values, message):
    with pytest.raises(InputError, match=message):
        from_mapping(DrawingSettings, values)


def test_without_chance_seeds_draw_alike():
    certain = dataclasses.replace(DrawingSettings(), chance=0, cut_chance=0)
    painter = Painter(PICTURES, DRAFTS, CODES, LARGE, certain)
    codes, drafts = between(2, 3, 3)
    np.testing.assert_array_equal(painter.paint(codes, drafts, 0), painter.paint(codes, drafts, 1))
