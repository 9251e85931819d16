"""Quilts two pictures along the cut where it is seen least.

Efros and Freeman (2001), "Image quilting for texture synthesis and transfer": the boundary between
two overlapping pictures follows the path of least difference, which dynamic programming finds
(Viterbi 1967). As in their transfer, each side also pays for how badly its picture fits there.
"""

from collections.abc import Iterable

import numpy as np

from emoji_vae.images import SIZE

WAYS = ("across", "down", "around")
"""How a pair is cut: the second picture lies below, to the right, or around the first."""

ROWS = (10, 26)
"""First and last row (or column) of a cut across (or down)."""
RADII = (5, 15)
"""Least and greatest radius of a cut around, in pixels."""

_CENTRE = (SIZE - 1) / 2
_ANGLES = 40
_RADII = np.arange(SIZE // 2)


def _polar() -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns (18, 40) of the pixels at each radius and angle."""
    angles = (np.arange(_ANGLES) + 0.5) * 2 * np.pi / _ANGLES
    rays = (np.sin(angles), np.cos(angles))
    rows, columns = (
        np.rint(_CENTRE + _RADII[:, np.newaxis] * ray).clip(0, SIZE - 1).astype(np.intp)
        for ray in rays
    )
    return rows, columns


_POLAR = _polar()
_DOWN, _RIGHT = (places.astype(np.float32) - _CENTRE for places in np.mgrid[:SIZE, :SIZE])
_RADIUS = np.hypot(_DOWN, _RIGHT)
_ANGLE = (np.arctan2(_DOWN, _RIGHT) / (2 * np.pi) * _ANGLES).astype(np.intp) % _ANGLES
# How much of the picture a place in polar coordinates stands for.
_AREA = (_RADII / (SIZE / 4)).astype(np.float32)[:, np.newaxis]


def cuts(
    difference: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    low: int,
    high: int,
    closed: bool = False,
    stiffness: float = 0.004,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the cheapest cuts through b pairs of pictures: rows above from the first, below not.

    A cut costs the difference along it, vertical stretches too, what each picture costs on its
    side, and ``stiffness`` for each row that it moves from a column to the next.

    Args:
        difference: floats (b, n, m), of the pictures of each pair.
        first, second: floats (b, n, m), what it costs to show the first or the second.
        low, high: the first and the last row that it may lie above, from 1 to n - 1.
        closed: the last column touches the first, so the cut must meet itself.
        stiffness: as above.

    Returns:
        The mean difference along each cut, (b,), and the rows (b, m) that it lies above: row h and
        those below it show the second.
    """
    b, _, m = difference.shape
    heights = np.arange(low, high + 1)
    zero = np.zeros((b, 1, m), difference.dtype)
    above, below, across = (
        np.concatenate([zero, np.cumsum(costs, axis=1)], axis=1)
        for costs in (first, second, difference)
    )
    seam = (difference[:, heights - 1] + difference[:, heights]) / 2
    unary = seam + above[:, heights] + below[:, -1:] - below[:, heights]
    across = across[:, heights]
    moves = stiffness * np.abs(heights[:, np.newaxis] - heights)
    moves = moves.astype(difference.dtype)

    def walk(columns: Iterable[int], start: np.ndarray | None = None) -> np.ndarray:
        """Return the cheapest path (b, columns) by Viterbi; from and to ``start`` (b,) if given."""
        first_column, *others = columns
        cost = unary[:, :, first_column]
        if start is not None:
            cost = np.where(np.arange(len(heights)) == start[:, np.newaxis], cost, np.inf)
        came_from = []
        for column in others:
            total = np.abs(across[:, :, np.newaxis, column] - across[:, np.newaxis, :, column])
            total += moves
            total += cost[:, np.newaxis, :]
            came_from.append(total.argmin(axis=2))
            best = np.take_along_axis(total, came_from[-1][:, :, np.newaxis], axis=2)[:, :, 0]
            cost = best + unary[:, :, column]
        path = [cost.argmin(axis=1) if start is None else start]
        for before in reversed(came_from):
            path.append(before[np.arange(b), path[-1]])
        return np.stack(path[::-1], axis=1)

    if closed:
        # Where it passes best in the middle of two rounds, then once round from there and back.
        passing = walk([*range(m // 2, m), *range(m), 0])[:, m - m // 2]
        path = walk([*range(m), 0], passing)[:, :m]
    else:
        path = walk(range(m))
    along = np.take_along_axis(seam, path[:, np.newaxis], axis=1)[:, 0]
    here = np.take_along_axis(across, path[:, np.newaxis], axis=1)[:, 0]
    after = np.take_along_axis(across, np.roll(path, -1, axis=1)[:, np.newaxis], axis=1)[:, 0]
    jumps = np.abs(here - after)
    if not closed:
        jumps[:, -1] = 0
    return (along + jumps).mean(axis=1), heights[path]


def quilts(
    pictures: np.ndarray, misfits: np.ndarray, pairs: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Cut each pair of pictures in all `WAYS`.

    Args:
        pictures: float32 (n, 36, 36, 4).
        misfits: float32 (n, 36, 36), what it costs to show each at each pixel.
        pairs: int (p, 2), the rows of the first and of the second.

    Returns:
        Of all pairs across, then down, then around: the costs of the cuts (3p,), and where the
        second is to be shown, bool (3p, 36, 36).
    """
    first, second = pairs.T
    difference = np.square(pictures[first] - pictures[second]).sum(axis=3)
    grids = (difference, misfits[first], misfits[second])
    turned = (grid.transpose(0, 2, 1) for grid in grids)
    both = [np.concatenate(two) for two in zip(grids, turned, strict=True)]
    straight, heights = cuts(both[0], both[1], both[2], *ROWS)
    across, down = heights[: len(pairs)], heights[len(pairs) :]
    polar = [grid[:, _POLAR[0], _POLAR[1]] for grid in grids]
    round_, radii = cuts(polar[0], polar[1] * _AREA, polar[2] * _AREA, *RADII, closed=True)
    places = np.arange(SIZE)
    shown = [
        places[:, np.newaxis] >= across[:, np.newaxis],
        places >= down[:, :, np.newaxis],
        _RADIUS >= radii[:, _ANGLE],
    ]
    return np.concatenate([straight, round_]), np.concatenate(shown)
