"""Searches the code space for drawings that fit a sentence and are no emoji that exists.

The score is `Scorer.score` of a drawing that has been encoded again: what is scored is what is
shown. The networks are run, never differentiated, so the search is an evolution strategy, (μ + λ)
with intermediate recombination (Beyer and Schwefel 2002, "Evolution strategies: A comprehensive
introduction"), whose parents must differ from each other, and in which what keeps to the limits
comes before what does not (Deb 2000, "An efficient constraint handling method for genetic
algorithms").
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.codec import Codec
from emoji_vae.codes import SIZE, EmojiCodes, is_whole
from emoji_vae.errors import InputError
from emoji_vae.prior import Prior, check_seed
from sqam.scorer import Scorer

MAX_N = 32
"""Most drawings of one search: so many that differ from each other are seldom found."""

_BLOCK = 1024
_ROOM = 0.97
"""Share of the greatest distance that the least one, with its reserve, may be."""


@dataclass(frozen=True)
class ImagineSettings:
    """How to search, and what a drawing must be.

    Attributes:
        starts: codes of each kind that the search may begin with: draws from the prior, neighbours
            and mixtures of the best emojis there are.
        ranked: how many these best emojis are.
        generations: rounds of the search.
        population: codes a generation that are scored.
        screened: codes that are made for each of these; the most promising are taken.
        parents: codes that a generation is made from.
        first_step, last_step: spread of a code around its parents in the first and in the last
            generation, in units of the prior's.
        recombination: share of codes with two parents.
        finalists: codes that are drawn in the end, to choose among.
        density, near, far, pixels, apart: the quantiles of the known emojis that `Limits` are.
        reserve: the search keeps this many times farther from the known emojis than a drawing must
            be in the end, since drawing brings a code nearer to them.

    Raises:
        InputError: a number out of its range.
    """

    starts: int = 512
    ranked: int = 16
    generations: int = 20
    population: int = 64
    screened: int = 8
    parents: int = 16
    first_step: float = 0.5
    last_step: float = 0.1
    recombination: float = 0.5
    finalists: int = 128
    density: float = 0.05
    near: float = 0.5
    far: float = 0.95
    pixels: float = 0.05
    apart: float = 0.75
    reserve: float = 1.15

    def __post_init__(self) -> None:
        """Check the ranges."""
        counts = ("starts", "ranked", "generations", "population", "screened", "parents")
        for name in (*counts, "finalists"):
            if not 1 <= getattr(self, name) <= 100_000:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 1 to 100000")
        for name in ("recombination", "density", "near", "far", "pixels", "apart"):
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be 0 to 1")
        if self.near > self.far:
            raise InputError(f"near is {self.near}, above far ({self.far}); exchange them")
        if not 1 <= self.reserve <= 10:
            raise InputError(f"reserve is {self.reserve}; it must be 1 to 10")
        if not 0 < self.last_step <= self.first_step <= 10:
            raise InputError(
                f"the steps are {self.first_step} and {self.last_step}; they must be above 0, "
                "at most 10, and not grow"
            )


@dataclass(frozen=True)
class Limits:
    """What a drawing must keep to, taken from the known emojis.

    Attributes:
        log_density: least logarithm of the prior's density at the code.
        near, far: least and greatest distance of the code to the nearest known one: no copy, and
            no farther from all emojis than they are from each other.
        pixels: least mean squared difference to the nearest known picture, premultiplied.
        apart: least distance of the codes of two drawings to each other.
    """

    log_density: float
    near: float
    far: float
    pixels: float
    apart: float


@dataclass(frozen=True, eq=False)
class Imagined:
    """Drawings for a sentence, best first.

    Attributes:
        codes: of the drawings, named ``imagined-01`` and so on, with their ``pictures``.
        scores: float32 (n,), their cosines with the sentence.
        log_density: float64 (n,), of the codes under the prior.
        nearest: for each the name of the known emoji with the nearest code, and the distance.
        limits: what they kept to.
    """

    codes: EmojiCodes
    scores: np.ndarray
    log_density: np.ndarray
    nearest: list[tuple[str, float]]
    limits: Limits


def imagine(
    scorer: Scorer,
    codec: Codec,
    sentence: str,
    known: EmojiCodes,
    n: int = 8,
    seed: int = 0,
    settings: ImagineSettings | None = None,
    progress: Callable[[int], object] | None = None,
) -> Imagined:
    """Draw emojis for a sentence that are likely, differ, and copy none that is known.

    Args:
        scorer: what scores them.
        codec: what draws and encodes them, and whose prior says what is likely.
        sentence: any text with a word that the scorer knows.
        known: at least two emojis that may not be copied. Without ``pictures`` they are the
            catalogue's, by name.
        n: how many drawings, 1 to `MAX_N`; fewer come back where fewer are found. A larger one
            only adds to them.
        seed: equal seeds draw equal emojis.
        settings: of the search.
        progress: called with the number of drawings that have been finished since the last call,
            in all ``settings.finalists`` at most.

    Raises:
        InputError: an argument out of its range, a sentence without a known word, or no drawing
            that keeps to the limits.
    """
    settings = settings or ImagineSettings()
    check_count(n)
    check_seed(seed)
    if not scorer.known([sentence])[0]:
        raise InputError(f"the model knows no word of {sentence!r:.60}; try other, English words")
    search = _Search(scorer, codec, sentence, _Known(known, codec.prior, settings), settings)
    return search.run(n, seed, progress or (lambda pictures: None))


def check_count(n: int) -> None:
    """Raise `InputError` for a number of drawings out of range."""
    if not is_whole(n) or not 1 <= n <= MAX_N:
        raise InputError(f"cannot imagine {n!r:.60} emojis; ask for 1 to {MAX_N}")


class _Known:
    """The emojis that exist: where they are, and how far from them a drawing may be."""

    def __init__(self, known: EmojiCodes, prior: Prior, settings: ImagineSettings) -> None:
        if len(known) < 2:
            raise InputError("one known emoji has no neighbours; give at least 2")
        self.emojis = known
        self._prior = prior
        self._codes = known.codes.astype(np.float64)
        pictures = known.pictures
        if pictures is None:
            pictures = images.sheet()[[catalogue().index(name) for name in known.names]]
        self._pixels = pictures.reshape(len(pictures), -1)
        distances = _nearest(self._codes)[1]
        differences = _nearest(self._pixels)[1] ** 2 / self._pixels.shape[1]
        densities = prior.log_density(self._codes)
        near, far, apart = np.quantile(distances, [settings.near, settings.far, settings.apart])
        self.limits = Limits(
            log_density=float(np.quantile(densities, settings.density)),
            near=float(near),
            far=float(far),
            pixels=float(np.quantile(differences, settings.pixels)),
            apart=float(apart),
        )
        # Excesses are counted in what is usual, so that no limit outweighs another.
        self._density_unit = max(float(np.median(densities)) - self.limits.log_density, 1.0)
        self._distance_unit = max(float(np.median(distances)), 1e-6)

    def excess(self, codes: np.ndarray, reserve: float = 1.0) -> np.ndarray:
        """Return by how much codes (n, 16) exceed their limits: (n,), 0 where they do not.

        The least distance is taken ``reserve`` times, as far as the greatest one leaves room.
        """
        distances = _nearest(codes, self._codes)[1]
        limits = self.limits
        near = max(limits.near, min(limits.near * reserve, _ROOM * limits.far))
        return (
            np.maximum(near - distances, 0) / self._distance_unit
            + np.maximum(distances - limits.far, 0) / self._distance_unit
            + np.maximum(limits.log_density - self._prior.log_density(codes), 0)
            / self._density_unit
        )

    def copied(self, pictures: np.ndarray) -> np.ndarray:
        """Tell for pictures (n, 36, 36, 4), bool (n,), whether they are too like a known one."""
        pixels = pictures.reshape(len(pictures), -1)
        differences = _nearest(pixels, self._pixels)[1] ** 2 / pixels.shape[1]
        return differences < self.limits.pixels


class _Search:
    def __init__(
        self,
        scorer: Scorer,
        codec: Codec,
        sentence: str,
        known: _Known,
        settings: ImagineSettings,
    ) -> None:
        self._scorer = scorer
        self._codec = codec
        self._sentence = sentence
        self._known = known
        self._settings = settings

    def run(self, n: int, seed: int, progress: Callable[[int], object]) -> Imagined:
        finalists = self._finalists(seed)
        pictures = self._codec.draw(finalists, seed, progress)
        codes = self._codec.encode(pictures)
        allowed = (self._known.excess(codes) == 0) & ~self._known.copied(pictures)
        scores = self._scores(codes)
        rows = _best_apart(np.where(allowed, scores, -np.inf), codes, n, self._known.limits.apart)
        rows = rows[allowed[rows]]
        if not len(rows):
            raise InputError(
                "no drawing for this sentence is likely and new; try another seed or other words"
            )
        names = [f"imagined-{number:02d}" for number in range(1, len(rows) + 1)]
        nearest, distances = _nearest(codes[rows], self._known.emojis.codes)
        return Imagined(
            EmojiCodes(names, codes[rows], pictures[rows]),
            scores[rows],
            self._codec.prior.log_density(codes[rows]),
            [
                (self._known.emojis.names[row], float(distance))
                for row, distance in zip(nearest, distances, strict=True)
            ],
            self._known.limits,
        )

    def _finalists(self, seed: int) -> np.ndarray:
        """Return the codes (n, 16) to draw: the best that differ of all that the search saw."""
        settings, apart = self._settings, self._known.limits.apart
        rng = np.random.default_rng(seed)
        factor = np.linalg.cholesky(self._codec.prior.covariance)
        starts = self._starts(seed, rng, factor)
        codes = self._screened(starts)
        # Codes are judged as they are: encoding ends at the code whose draft comes nearest, so what
        # a code decodes to has that very code. The second stage moves it, which the end allows for.
        seen = np.empty((settings.generations * settings.population, SIZE))
        fitness = np.empty(len(seen))
        end = 0
        steps = np.geomspace(settings.first_step, settings.last_step, settings.generations)
        for generation, step in enumerate(steps):
            if generation:
                parents = _best_apart(fitness[:end], seen[:end], settings.parents, apart)
                codes = self._screened(self._children(seen[parents], step, rng, factor))
            start, end = end, end + len(codes)
            seen[start:end] = codes
            fitness[start:end] = self._fitness(codes)
        seen, fitness = seen[:end], fitness[:end]
        # As far apart as the results must be, and between them others: the drawing of the best may
        # break a limit that its draft keeps to.
        leaders = _best_apart(fitness, seen, math.ceil(settings.finalists / 2), apart)
        others = _best_apart(fitness, seen, settings.finalists, apart / 2)
        rows = [*leaders, *np.setdiff1d(others, leaders, assume_unique=True)]
        return seen[rows[: settings.finalists]]

    def _starts(self, seed: int, rng: np.random.Generator, factor: np.ndarray) -> np.ndarray:
        """Return codes (n, 16) from the prior, and around and between the best emojis."""
        settings, emojis = self._settings, self._known.emojis
        scores = self._scorer.score([self._sentence], emojis)[0]
        best = emojis.codes[np.argsort(-scores, kind="stable")[: settings.ranked]]
        around = best[rng.integers(len(best), size=settings.starts)]
        noise = rng.standard_normal(around.shape) @ factor.T
        # A Dirichlet distribution of 1/4 mostly mixes two to four of them.
        mixtures = rng.dirichlet(np.full(len(best), 0.25), size=settings.starts) @ best
        draws = self._codec.prior.sample(settings.starts, seed)
        return np.concatenate([draws, around + settings.first_step * noise, mixtures])

    def _children(
        self, parents: np.ndarray, step: float, rng: np.random.Generator, factor: np.ndarray
    ) -> np.ndarray:
        """Return mutated means of one or two parents, (n, 16), in turn from each parent."""
        settings = self._settings
        n = settings.population * settings.screened
        first = parents[np.arange(n) % len(parents)]
        second = parents[rng.integers(len(parents), size=n)]
        share = rng.uniform(0, 0.5, n) * (rng.random(n) < settings.recombination)
        noise = rng.standard_normal((n, SIZE)) @ factor.T
        return first + share[:, np.newaxis] * (second - first) + step * noise

    def _screened(self, codes: np.ndarray) -> np.ndarray:
        """Return the codes to keep: the most promising that are not next to each other."""
        apart = self._known.limits.apart / 4
        return codes[_best_apart(self._fitness(codes), codes, self._settings.population, apart)]

    def _fitness(self, codes: np.ndarray) -> np.ndarray:
        """Return the cosine of what keeps to the limits; of all else, which is less, the excess."""
        excess = self._known.excess(codes, self._settings.reserve)
        return np.where(excess > 0, -1 - excess, self._scores(codes))

    def _scores(self, codes: np.ndarray) -> np.ndarray:
        candidates = EmojiCodes([""] * len(codes), codes)
        return self._scorer.score([self._sentence], candidates)[0]


def _best_apart(fitness: np.ndarray, codes: np.ndarray, n: int, apart: float) -> np.ndarray:
    """Return the rows of the best codes, best first, each ``apart`` from those before it.

    At most ``n`` of them, at least one; ties go to the earlier row.
    """
    order = np.argsort(-fitness, kind="stable")
    free = np.ones(len(codes), dtype=bool)
    picked: list[int] = []
    for row in order:
        if len(picked) == n:
            break
        if free[row]:
            picked.append(int(row))
            free &= np.linalg.norm(codes - codes[row], axis=1) >= apart
            free[row] = False
    return np.array(picked)


def _nearest(points: np.ndarray, others: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return for each point the row of the nearest of the others, and its Euclidean distance.

    Args:
        points: floats (n, d).
        others: floats (m, d); None are the other points.
    """
    against = points if others is None else others
    squares = np.square(against).sum(axis=1)
    rows, distances = [], []
    for start in range(0, len(points), _BLOCK):
        block = points[start : start + _BLOCK]
        # |p - q|² = |p|² + |q|² - 2pq, of which |p|² does not matter to which is the nearest.
        rest = squares - 2 * block @ against.T
        if others is None:
            rest[np.arange(len(block)), np.arange(start, start + len(block))] = np.inf
        nearest = rest.argmin(axis=1)
        rows.append(nearest)
        # Not from the squares, whose difference is inexact for points that are close.
        distances.append(np.linalg.norm(block - against[nearest], axis=1))
    return np.concatenate(rows), np.concatenate(distances)
