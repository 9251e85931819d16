"""The second stage of drawing: a sharp picture for a code and its blurred draft.

A code leaves the detail open, so it is taken from real emojis. A few that look and lie nearest are
each fitted to the draft (`emoji_vae.registration`), and two of them are joined where the cut is
seen least (`emoji_vae.quilting`), as textures are made from examples (Efros and Freeman 2001), so
that the drawing is none of the two. What is left to chance, a seed decides.

Frames of a morph must not leap from emoji to emoji. A steady drawing is therefore not cut: the
emojis that were fitted dissolve into each other as their distances change (as in Beier and Neely
1992, "Feature-based image metamorphosis"), and the code of a real emoji gives that emoji.
"""

import functools
import zlib
from dataclasses import dataclass

import numpy as np

from emoji_vae import quilting, registration
from emoji_vae.errors import InputError
from emoji_vae.registration import LOW_PASS, Exemplar, both_sides

_STRIDE = 3  # of the blurred pictures that are compared; they vary no faster
_FARTHEST = 1e6  # standard deviations; the squares of more would overflow
_KEPT = 256  # exemplars that are kept prepared: 60 MB


@dataclass(frozen=True)
class DrawingSettings:
    """How to draw.

    Attributes:
        exemplars: real emojis that are fitted to a draft, two of which are used.
        look: the squared difference of two blurred drafts, summed over the channels, that counts as
            much as two codes that are a standard deviation apart.
        mirrored: what a mirrored emoji is farther away than an upright one, in that unit.
        chance: what chance moves the order of the emojis, in that unit: the scale of a Gumbel
            distribution.
        colours: most main colours of an emoji, which may change each by itself.
        stiffness, ridge, rounds: see ``registration.register``.
        data: how much a picture's misfit counts in where it is cut, against the difference.
        limits: largest mean difference along a cut, in each of ``quilting.WAYS``.
        least_new: least that each of both pictures must change the other by: the root of the mean
            square over all pixels and channels.
        most_new: a larger change is worth no more.
        novelty, misfit, cut_chance: what the change, the misfit and chance count in the choice
            among cuts, against the mean difference along a cut.
        softness: blur of a cut in pixels, so that it has no steps.
        dissolve: of a steady drawing: how much farther away, in the unit of ``look``, an emoji is
            whose weight is smaller by a factor of e.
        exact: of a steady drawing: the nearest emoji's distance below which chance and the other
            emojis have the less to say the nearer it is.

    Raises:
        InputError: a number out of its range.
    """

    exemplars: int = 4
    look: float = 0.02
    mirrored: float = 0.15
    chance: float = 0.15
    colours: int = 5
    stiffness: float = 2.0
    ridge: float = 1.5
    rounds: int = 6
    data: float = 0.3
    limits: tuple[float, ...] = (0.2, 0.2, 0.12)
    least_new: float = 0.04
    most_new: float = 0.12
    novelty: float = 0.8
    misfit: float = 4.0
    cut_chance: float = 0.01
    softness: float = 0.45
    dissolve: float = 0.08
    exact: float = 0.1

    def __post_init__(self) -> None:
        """Check the ranges."""
        for name, least in (("exemplars", 2), ("colours", 1), ("rounds", 1)):
            if not least <= getattr(self, name) <= 100:
                raise InputError(f"{name} is {getattr(self, name)}; it must be {least} to 100")
        for name in ("look", "stiffness", "ridge", "softness", "dissolve", "exact"):
            if not 0 < getattr(self, name) <= 1000:
                raise InputError(f"{name} is {getattr(self, name)}; it must be above 0, to 1000")
        names = ("mirrored", "chance", "data", "least_new", "most_new", "novelty", "misfit")
        for name in (*names, "cut_chance"):
            if not 0 <= getattr(self, name) <= 1000:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 0 to 1000")
        if len(self.limits) != len(quilting.WAYS) or not all(0 <= one for one in self.limits):
            raise InputError(
                f"limits are {self.limits}; give {len(quilting.WAYS)} numbers of at least 0"
            )


class Painter:
    """Paints codes and their drafts with the detail of real emojis."""

    def __init__(
        self,
        pictures: np.ndarray,
        drafts: np.ndarray,
        codes: np.ndarray,
        large: np.ndarray,
        settings: DrawingSettings | None = None,
    ) -> None:
        """Look the real emojis over; each is prepared when it is first used.

        Args:
            pictures: float32 (n, 36, 36, 4).
            drafts: float32 (n, 36, 36, 4), what their codes give back.
            codes: float32 (n, d).
            large: the same pictures at the size of their source, float32 (n, s, s, 4), or uint8
                levels of that.
            settings: of the drawing.
        """
        self._pictures, self._drafts, self._codes, self._large = pictures, drafts, codes, large
        self._settings = settings or DrawingSettings()
        spread = codes.std(axis=0)
        # A dimension in which all emojis are alike tells none from another.
        self._spread = np.where(spread > 1e-6, spread, 1)
        blurred = np.einsum("yi,nijc,xj->nyxc", LOW_PASS, drafts, LOW_PASS, optimize=True)
        blurred = blurred[:, 1::_STRIDE, 1::_STRIDE]
        self._looks = np.stack([blurred, blurred[:, :, ::-1]]).reshape(2, len(drafts), -1)
        self._squares = np.square(self._looks).sum(axis=-1)
        softening = registration.smoothing(self._settings.softness)
        softening /= softening.sum(axis=1, keepdims=True)
        self._softening = softening.astype(np.float32)
        self._palette = functools.cache(self._found_palette)
        self._exemplar = functools.lru_cache(_KEPT)(self._prepared_exemplar)

    def paint(
        self, codes: np.ndarray, drafts: np.ndarray, seed: int, steady: bool = False
    ) -> np.ndarray:
        """Return a drawing of each code: of its code, its draft and the seed alone.

        Args:
            codes: float32 (n, d), finite.
            drafts: float32 (n, 36, 36, 4) in [0, 1].
            seed: of what is left to chance, at least 0.
            steady: draw codes that are close alike, for morphs.

        Returns:
            float32 (n, 36, 36, 4) in [0, 1], no colour above its alpha, with the 8 bits a channel
            that real pictures have.
        """
        one = self._steady if steady else self._quilted
        painted = [one(code, draft, seed) for code, draft in zip(codes, drafts, strict=True)]
        return _eight_bits(np.stack(painted))

    def _found_palette(self, row: int) -> np.ndarray:
        return registration.palette(self._pictures[row], self._settings.colours)

    def _prepared_exemplar(self, row: int, mirrored: int) -> Exemplar:
        turned = slice(None, None, -1 if mirrored else 1)
        large, picture, draft = (
            pictures[row][:, turned] for pictures in (self._large, self._pictures, self._drafts)
        )
        return Exemplar.of(large, picture, draft, self._palette(row))

    def _distances(self, code: np.ndarray, draft: np.ndarray) -> np.ndarray:
        """Return how far from a draft and its code the emojis look and lie: (2, n), mirrored too.

        One is the distance of codes that are a standard deviation apart in each dimension.
        """
        settings = self._settings
        look = both_sides(LOW_PASS, draft)[1::_STRIDE, 1::_STRIDE].ravel()
        # |a - b|² = |a|² - 2ab + |b|²: summed over the channels, and a mean over the places.
        looks = self._squares - 2 * self._looks @ look + np.square(look).sum()
        looks = looks / look.size * draft.shape[-1]
        with np.errstate(over="ignore"):  # infinity is cut off as well
            apart = ((self._codes - code) / self._spread).clip(-_FARTHEST, _FARTHEST)
        codes = np.square(apart).mean(axis=-1)
        distances = looks / settings.look + codes
        distances[1] += settings.mirrored
        return distances

    def _quilted(self, code: np.ndarray, draft: np.ndarray, seed: int) -> np.ndarray:
        """Return the best of all ways to join two of the nearest emojis, (36, 36, 4)."""
        settings, chance = self._settings, _chance(code, seed)
        distances = self._distances(code, draft)
        distances = distances + settings.chance * chance.gumbel(size=distances.shape)
        nearest: dict[int, int] = {}  # each emoji but once, upright or mirrored
        for place in np.argsort(distances, axis=None)[: 2 * settings.exemplars].tolist():
            mirrored, row = divmod(place, distances.shape[1])
            nearest.setdefault(row, mirrored)
        pictures, misfits = self._fitted(list(nearest.items())[: settings.exemplars], draft)
        pairs = np.argwhere(~np.eye(len(pictures), dtype=bool))
        costs, shown = quilting.quilts(pictures, misfits * settings.data, pairs)
        first, second = np.tile(pairs, (len(quilting.WAYS), 1)).T
        difference = np.square(pictures[first] - pictures[second]).mean(axis=3)
        changes = ((difference * mask).mean(axis=(1, 2)) for mask in (shown, ~shown))
        new = np.sqrt(np.minimum(*changes))
        misfit = np.where(shown, misfits[second], misfits[first]).mean(axis=(1, 2))
        value = (
            settings.misfit * misfit
            + costs
            - settings.novelty * np.minimum(new, settings.most_new)
            + settings.cut_chance * chance.gumbel(size=len(costs))
        )
        allowed = (new > settings.least_new) & (costs < np.repeat(settings.limits, len(pairs)))
        if not allowed.any():
            return pictures[misfits.mean(axis=(1, 2)).argmin()]
        best = np.where(allowed, value, np.inf).argmin()
        mask = self._softening @ shown[best].astype(np.float32) @ self._softening.T
        one, other = pictures[first[best]], pictures[second[best]]
        return one + (other - one) * mask[..., np.newaxis]

    def _steady(self, code: np.ndarray, draft: np.ndarray, seed: int) -> np.ndarray:
        """Return the nearest emojis over each other, (36, 36, 4): continuous in code and draft."""
        settings = self._settings
        distances = self._distances(code, draft)
        noise = np.random.default_rng(seed).gumbel(size=distances.shape)
        # At the code of an emoji neither chance nor its neighbours have a say.
        share = float((distances.min() / settings.exact).clip(1e-3, 1))
        distances = distances + share * settings.chance * noise
        order = np.argsort(distances, axis=None)[: settings.exemplars + 1]
        farther = distances.ravel()[order] - distances.min()
        weights = np.exp(-farther / (share * settings.dissolve))
        if len(order) > settings.exemplars:
            # One that becomes the last of those that are shown, or ceases to be, weighs nothing.
            weights = weights[:-1] - weights[-1]
            order = order[:-1]
        if not weights.any():  # all are equally far
            weights = np.ones_like(weights)
        mirrored, rows = np.divmod(order[weights > 0], distances.shape[1])
        pictures, _ = self._fitted(list(zip(rows.tolist(), mirrored.tolist(), strict=True)), draft)
        weights = weights[weights > 0] / weights.sum()
        return np.einsum("n,nyxc->yxc", weights, pictures)

    def _fitted(
        self, nearest: list[tuple[int, int]], draft: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return some emojis fitted to the draft, (n, 36, 36, 4), and their misfits (n, 36, 36)."""
        settings = self._settings
        pictures, misfits = [], []
        for row, mirrored in nearest:
            exemplar = self._exemplar(row, mirrored)
            fit = registration.register(
                exemplar, draft, settings.stiffness, settings.ridge, settings.rounds
            )
            pictures.append(registration.render(exemplar, fit))
            misfits.append(fit.misfit)
        return np.stack(pictures), np.stack(misfits)


def _chance(code: np.ndarray, seed: int) -> np.random.Generator:
    """Return the random numbers of one drawing: of its code, to 1/1000, and the seed alone."""
    rounded = np.rint(code.astype(np.float64) * 1000).clip(-(2**31), 2**31 - 1)
    return np.random.default_rng([seed, zlib.crc32(rounded.astype("<i4").tobytes())])


def _eight_bits(pictures: np.ndarray) -> np.ndarray:
    pictures = np.rint(pictures.clip(0, 1) * 255) / np.float32(255)
    np.minimum(pictures[..., :3], pictures[..., 3:], out=pictures[..., :3])
    return pictures.astype(np.float32)
