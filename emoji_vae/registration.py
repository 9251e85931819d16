"""Fits an emoji to a draft by a smooth warp and a new colour for each of its main ones.

Lucas and Kanade (1981), "An iterative image registration technique with an application to stereo
vision": Gauss-Newton steps on the squared difference, here between the emoji's own draft and the
other one, so that what drafts lack, they lack on both sides. The warp is a sum of a few smooth
fields, which cost the more the faster they vary (Tikhonov 1963), so the steps always have a
solution. What was found is then done to the emoji's sharp picture, at the size of its source.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from emoji_vae.images import SIZE

FARTHEST = 5.0
"""Pixels that one field of a warp moves at most."""

_DAMPING = 0.01
_ORDER = 4  # cosines of a warp along each side, of them those with few waves in all
_FINE = 2 * SIZE  # side of the grid that a warped picture is sampled on, before it is reduced
_COLOUR_GAP = 0.12  # least distance of two main colours, as red, green and blue
_COLOUR_SPREAD = 0.08  # how far from a main colour pixels begin to be of another
_CLUSTERING_ROUNDS = 5
_OPAQUE = 0.3  # least alpha of pixels that decide the main colours
_LEAST_ALPHA = 0.03  # below it a premultiplied colour is too rounded to tell


def smoothing(sigma: float) -> np.ndarray:
    """Return the Gaussian blur of one side as a matrix: float64 (36, 36)."""
    places = np.arange(SIZE)
    distances = (places[:, np.newaxis] - places) / sigma
    return np.exp(-0.5 * distances**2) / (sigma * np.sqrt(2 * np.pi))


def both_sides(matrix: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Apply a matrix (n, k) to the rows and to the columns of (k, k, c): (n, n, c)."""
    n, k = matrix.shape
    return np.matmul(matrix, (matrix @ picture.reshape(k, -1)).reshape(n, k, -1))


LOW_PASS = smoothing(2.0).astype(np.float32)
"""Leaves what drafts have: a blur of two pixels, (36, 36)."""


def _reduction(large: int, small: int) -> np.ndarray:
    """Return Pillow's Lanczos reduction of one side: float32 (small, large)."""
    scale = large / small
    centres = (np.arange(small)[:, np.newaxis] + 0.5) * scale
    t = (np.arange(large) + 0.5 - centres) / scale
    matrix = np.where(np.abs(t) < 3, np.sinc(t) * np.sinc(t / 3), 0)
    return (matrix / matrix.sum(axis=1, keepdims=True)).astype(np.float32)


def _places(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows and columns (side²,) of an even grid over a picture, in its pixels."""
    rows, columns = (
        ((places.ravel() + 0.5) * SIZE / side - 0.5).astype(np.float32)
        for places in np.mgrid[:side, :side]
    )
    return rows, columns


def _fields(rows: np.ndarray, columns: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the fields of warps at some places, (n, m), and what each of them costs, (m,).

    A shift and a linear map (1, x, y), then products of cosines of the two sides.
    """
    x, y = (columns - 17.5) / 18, (rows - 17.5) / 18
    fields, costs = [np.ones_like(x), x, y], [0.02, 0.25, 0.25]
    for i in range(_ORDER):
        for j in range(_ORDER):
            if i + j >= 2:
                right = np.cos(np.pi * i * (columns + 0.5) / SIZE)
                down = np.cos(np.pi * j * (rows + 0.5) / SIZE)
                fields.append(right * down)
                costs.append(0.5 * (i * i + j * j))
    return np.stack(fields, axis=1).astype(np.float32), np.array(costs, np.float32)


_ROWS, _COLUMNS = _places(SIZE)
_FIELDS, _COSTS = _fields(_ROWS, _COLUMNS)
_FINE_ROWS, _FINE_COLUMNS = _places(_FINE)
_FINE_FIELDS, _ = _fields(_FINE_ROWS, _FINE_COLUMNS)
_REDUCTION = _reduction(_FINE, SIZE)
# Every other row and column are enough to fit by: drafts have no finer detail.
_SOME = np.arange(SIZE * SIZE).reshape(SIZE, SIZE)[::2, ::2].ravel()


def palette(picture: np.ndarray, colours: int = 5) -> np.ndarray:
    """Return the main colours of a picture, with straight alpha: float32 (k, 3), 1 <= k.

    The farthest point first (Gonzalez 1985, "Clustering to minimize the maximum intercluster
    distance"), then a few rounds of k-means. Black where nothing is opaque.

    Args:
        picture: float32 (s, s, 4), premultiplied.
        colours: most of them.
    """
    pixels = _straight(picture)[picture[..., 3] > _OPAQUE]
    if not len(pixels):
        return np.zeros((1, 3), np.float32)
    usual = np.square(pixels - pixels.mean(axis=0)).sum(axis=1).argmin()
    found = [pixels[usual]]
    distances = np.square(pixels - found[0]).sum(axis=1)
    while len(found) < colours and distances.max() >= _COLOUR_GAP**2:
        found.append(pixels[distances.argmax()])
        distances = np.minimum(distances, np.square(pixels - found[-1]).sum(axis=1))
    means = np.stack(found)
    squares = np.square(pixels).sum(axis=1)[:, np.newaxis]
    for _ in range(_CLUSTERING_ROUNDS):
        nearest = (squares - 2 * pixels @ means.T + np.square(means).sum(axis=1)).argmin(axis=1)
        members = nearest[:, np.newaxis] == np.arange(len(means))
        counts = members.sum(axis=0)[:, np.newaxis]
        sums = members.T.astype(np.float32) @ pixels
        means = np.where(counts > 0, sums / np.maximum(counts, 1), means)
    return means.astype(np.float32)


def shares(picture: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """Return how much of each pixel is of each colour: float32 (s, s, k), their sum its alpha.

    Args:
        picture: float32 (s, s, 4), premultiplied.
        colours: float32 (k, 3), straight.
    """
    straight = _straight(picture)
    distances = (
        np.square(straight).sum(axis=-1, keepdims=True)
        - 2 * straight @ colours.T
        + np.square(colours).sum(axis=1)
    )
    nearness = np.exp((distances.min(axis=-1, keepdims=True) - distances) / (2 * _COLOUR_SPREAD**2))
    alpha = picture[..., 3:]
    return (nearness * (alpha / nearness.sum(axis=-1, keepdims=True))).astype(np.float32)


def _straight(picture: np.ndarray) -> np.ndarray:
    alpha = picture[..., 3:]
    return np.where(alpha > _LEAST_ALPHA, picture[..., :3] / np.maximum(alpha, _LEAST_ALPHA), 0)


@dataclass(frozen=True, eq=False)
class Exemplar:
    """A real emoji with what fits it to a draft.

    Attributes:
        large: float32 (s, s, 4), the sharp picture at the size of its source.
        large_shares: float32 (s, s, k), what `shares` gives of it.
        colours: float32 (k, 3), its `palette`.
        layers: float32 (36, 36, 4 + k + 8): its draft, its shares without detail, and the draft's
            slopes down and right.
    """

    large: np.ndarray
    large_shares: np.ndarray
    colours: np.ndarray
    layers: np.ndarray

    @classmethod
    def of(
        cls, large: np.ndarray, picture: np.ndarray, draft: np.ndarray, colours: np.ndarray
    ) -> Self:
        """Prepare an emoji.

        Args:
            large: float32 (s, s, 4), or uint8 levels of that.
            picture, draft: float32 (36, 36, 4), the same picture and what its code gives back.
            colours: float32 (k, 3), its `palette`.
        """
        if large.dtype == np.uint8:
            large = large.astype(np.float32) / 255
        smooth = both_sides(LOW_PASS, shares(picture, colours))
        slopes = np.gradient(draft, axis=(0, 1))
        layers = np.concatenate([draft, smooth, *slopes], axis=-1).astype(np.float32)
        return cls(large, shares(large, colours), colours, layers)


@dataclass(frozen=True, eq=False)
class Fit:
    """What makes an emoji's draft like another draft.

    Attributes:
        warp: float32 (2, m): how much of each field the place where a pixel is taken from is moved
            down, and right.
        shifts: float32 (k, 3), added to each of its main colours.
        misfit: float32 (36, 36), the squared difference that is left, summed over the channels.
    """

    warp: np.ndarray
    shifts: np.ndarray
    misfit: np.ndarray


def register(
    exemplar: Exemplar,
    draft: np.ndarray,
    stiffness: float = 2.0,
    ridge: float = 1.5,
    rounds: int = 6,
) -> Fit:
    """Fit an emoji to a draft (36, 36, 4).

    Args:
        exemplar: the emoji.
        draft: float32 (36, 36, 4) in [0, 1].
        stiffness: what a warp costs, above 0.
        ridge: what new colours cost, above 0.
        rounds: Gauss-Newton steps.
    """
    m, k = _FIELDS.shape[1], len(exemplar.colours)
    layers, aims = exemplar.layers, draft.reshape(-1, 4)
    found = np.zeros(2 * m + 3 * k, np.float32)
    warp_costs = _COSTS * np.float32(stiffness)
    costs = np.concatenate([warp_costs, warp_costs, np.full(3 * k, ridge, np.float32)])
    for _ in range(rounds):
        values, missed = _moved(layers, found, aims, _SOME)
        fields = _FIELDS[_SOME][:, np.newaxis]
        slopes = np.zeros((len(_SOME), 4, len(found)), np.float32)
        slopes[:, :, :m] = values[:, 4 + k : 8 + k, np.newaxis] * fields
        slopes[:, :, m : 2 * m] = values[:, 8 + k :, np.newaxis] * fields
        for channel in range(3):
            slopes[:, channel, 2 * m + channel :: 3] = values[:, 4 : 4 + k]
        flat = slopes.reshape(-1, len(found))
        matrix = flat.T @ flat
        matrix[np.diag_indices_from(matrix)] += costs + np.float32(_DAMPING)
        found = found + np.linalg.solve(matrix, flat.T @ missed.ravel() - costs * found)
        found[: 2 * m] = found[: 2 * m].clip(-FARTHEST, FARTHEST)
    _, missed = _moved(layers, found, aims, np.arange(len(aims)))
    misfit = np.square(missed).sum(axis=1).reshape(SIZE, SIZE)
    return Fit(found[: 2 * m].reshape(2, m), found[2 * m :].reshape(k, 3), misfit)


def _moved(
    layers: np.ndarray, found: np.ndarray, aims: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return at some pixels the moved layers (n, 4 + k + 8), and what their draft misses (n, 4)."""
    m, k = _FIELDS.shape[1], layers.shape[2] - 12
    move = _FIELDS[at] @ found[: 2 * m].reshape(2, m).T
    values = _linear(layers, _ROWS[at] + move[:, 0], _COLUMNS[at] + move[:, 1])
    missed = aims[at] - values[:, :4]
    missed[:, :3] -= values[:, 4 : 4 + k] @ found[2 * m :].reshape(k, 3)
    return values, missed


def render(exemplar: Exemplar, fit: Fit) -> np.ndarray:
    """Return the emoji in its new colours, warped, and reduced as the real pictures are.

    Returns:
        float32 (36, 36, 4); Lanczos overshoots [0, 1] a little.
    """
    # A colour is shifted no farther than to the next face of the colour cube.
    shifts = (exemplar.colours + fit.shifts).clip(0, 1) - exemplar.colours
    picture = exemplar.large.copy()
    picture[..., :3] = (picture[..., :3] + exemplar.large_shares @ shifts).clip(0, picture[..., 3:])
    move = _FINE_FIELDS @ fit.warp.T
    scale = len(picture) / SIZE
    rows, columns = (
        (places + move[:, side] + 0.5) * scale - 0.5
        for side, places in enumerate((_FINE_ROWS, _FINE_COLUMNS))
    )
    fine = _cubic(picture, rows, columns).clip(0, 1)
    return both_sides(_REDUCTION, fine.reshape(_FINE, _FINE, 4))


def _linear(layers: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sample (s, s, c) bilinearly at n places, in its pixels: (n, c); 0 lies around it."""
    size, _, depth = layers.shape
    padded = np.zeros((size + 2, size + 2, depth), np.float32)
    padded[1:-1, 1:-1] = layers
    rows, columns = ((places + 1).clip(0, size + 0.999) for places in (rows, columns))
    top, left = rows.astype(np.intp), columns.astype(np.intp)
    parts = (rows - top, columns - left)
    down, right = (part.astype(np.float32)[:, np.newaxis] for part in parts)
    flat = padded.reshape(-1, depth)
    corner = top * (size + 2) + left
    upper = flat[corner] * (1 - right) + flat[corner + 1] * right
    lower = flat[corner + size + 2] * (1 - right) + flat[corner + size + 3] * right
    return upper * (1 - down) + lower * down


def _cubic(picture: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Sample (s, s, c) at n places by Catmull and Rom's cubic: (n, c); 0 lies around it."""
    size, _, depth = picture.shape
    padded = np.zeros((size + 6, size + 6, depth), np.float32)
    padded[3:-3, 3:-3] = picture
    rows, columns = ((places + 3).clip(1, size + 3.999) for places in (rows, columns))
    top, left = (np.floor(places).astype(np.intp) for places in (rows, columns))
    parts = (rows - top, columns - left)
    down, right = (_catmull_rom(part.astype(np.float32)) for part in parts)
    flat = padded.reshape(-1, depth)
    sampled = np.zeros((len(rows), depth), np.float32)
    for i in range(4):
        corner = (top + i - 1) * (size + 6) + left - 1
        line = flat[corner] * right[0]
        for j in range(1, 4):
            line += flat[corner + j] * right[j]
        sampled += line * down[i]
    return sampled


def _catmull_rom(t: np.ndarray) -> np.ndarray:
    """Return the weights (4, n, 1) of the four pixels around places ``t`` past the second."""
    weights = [
        ((-0.5 * t + 1) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1,
        ((-1.5 * t + 2) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]
    return np.stack(weights)[..., np.newaxis]
