"""Measures of codes: what pictures they give back, what they tell apart, what can be read off."""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.metrics import r2_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from emoji_vae.catalogue import catalogue
from pipelines.evaluate import ahead, hits, places

NEW = 14.0
"""The Unicode version from which on emojis count as "released months from now"."""


def new() -> np.ndarray:
    """Tell which emojis of the catalogue came with Unicode `NEW` or later: bool (n,)."""
    return np.array([float(emoji.version) >= NEW for emoji in catalogue()])


def explained(pictures: np.ndarray, rebuilt: np.ndarray, mean: np.ndarray) -> float:
    """Return the share of variance around ``mean`` (36, 36, 4) that ``rebuilt`` explains."""
    left = np.square(pictures.astype(np.float64) - rebuilt).sum()
    return float(1 - left / np.square(pictures.astype(np.float64) - mean).sum())


def closest(codes: np.ndarray) -> np.ndarray:
    """Return each code's Euclidean distance to the nearest other one, float64 (n,)."""
    distances = between(codes, codes)
    np.fill_diagonal(distances, np.inf)
    return distances.min(axis=1)


def between(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the Euclidean distances of rows (n, d) and (m, d): float64 (n, m)."""
    some, others = some.astype(np.float64), others.astype(np.float64)
    squares = np.square(some).sum(axis=1)[:, None] + np.square(others).sum(axis=1)
    return np.sqrt(np.maximum(squares - 2 * some @ others.T, 0))


class Components:
    """Principal components of pictures, the baseline of every codec.

    Args:
        pictures: float32 (n, 36, 36, 4), to fit them on.
        count: how many, at most n.
    """

    def __init__(self, pictures: np.ndarray, count: int) -> None:
        self._shape = pictures.shape[1:]
        self._pca = PCA(count, svd_solver="full").fit(pictures.reshape(len(pictures), -1))

    def encode(self, pictures: np.ndarray) -> np.ndarray:
        """Pictures (n, 36, 36, 4) to codes (n, count)."""
        return self._pca.transform(pictures.reshape(len(pictures), -1))

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Codes (n, count) to pictures (n, 36, 36, 4)."""
        return self._pca.inverse_transform(codes).reshape(-1, *self._shape)


def found_again(queries: np.ndarray, rows: np.ndarray, codes: np.ndarray, k: int = 10) -> float:
    """Return the share of pictures whose own emoji is among the ``k`` nearest codes.

    Args:
        queries: codes (m, d) of other pictures of some of the emojis.
        rows: int (m,), which emoji each shows.
        codes: codes (n, d) of all emojis.
        k: how many count.
    """
    return hits(-between(queries, codes), [[row] for row in rows], k)


def alike(codes: np.ndarray, vectors: np.ndarray, some: np.ndarray, k: int = 5) -> float:
    """Return how near in meaning an emoji's neighbours are: the mean cosine, in [-1, 1].

    Args:
        codes: (n, d).
        vectors: (n, e), unit rows: what the emojis mean.
        some: bool (n,), the emojis whose ``k`` nearest others count.
        k: how many neighbours.
    """
    rows = np.flatnonzero(some)
    distances = between(codes[rows], codes)
    distances[np.arange(len(rows)), rows] = np.inf
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return float(np.einsum("nd,nkd->nk", vectors[rows], vectors[nearest]).mean())


def readable(codes: np.ndarray, values: np.ndarray, fit: np.ndarray, test: np.ndarray) -> float:
    """Return how well a ridge regression (weight 1, standardized codes) reads values: R squared.

    Args:
        codes: (n, d).
        values: (n,), NaN where unknown; those are left out.
        fit: bool (n,), to fit it on.
        test: bool (n,), to measure it on; may be negative there, where the mean would do better.
    """
    known = np.isfinite(values)
    fit, test = fit & known, test & known
    model = _reader().fit(codes[fit], values[fit])
    return float(r2_score(values[test], model.predict(codes[test])))


def readable_within(codes: np.ndarray, values: np.ndarray, folds: int = 5) -> float:
    """Return `readable` by cross-validation: values are held out from the regression alone.

    Args:
        codes: (n, d), of emojis that the encoder may have been trained on.
        values: (n,), NaN where unknown.
        folds: each is read by a regression that was fitted to the others; no more than values.
    """
    known = np.isfinite(values)
    parts = KFold(min(folds, int(known.sum())), shuffle=True, random_state=0)
    read = cross_val_predict(_reader(), codes[known], values[known], cv=parts)
    return float(r2_score(values[known], read))


def named(
    codes: np.ndarray, vectors: np.ndarray, names: np.ndarray, fit: np.ndarray, some: np.ndarray
) -> dict[str, float]:
    """Return where emojis stand among all for their own names, by the meaning read from the code.

    A kernel ridge regression (Gaussian kernel of 1 / d on standardized codes, weight 1) reads it,
    the simplest thing that could; it ranks by the cosine with the name's vector.

    Args:
        codes: (n, d).
        vectors: (n, e), unit rows: what the emojis mean.
        names: (n, e): the same of their names alone.
        fit: bool (n,), to fit the regression on.
        some: bool (n,), the emojis that are asked for.

    Returns:
        As `pipelines.evaluate.places`.
    """
    scaled = StandardScaler().fit(codes[fit]).transform(codes)
    read = KernelRidge(alpha=1.0, kernel="rbf").fit(scaled[fit], vectors[fit]).predict(scaled)
    read /= np.maximum(np.linalg.norm(read, axis=1, keepdims=True), 1e-9)
    return places(ahead(names[some] @ read.T, np.flatnonzero(some)), len(codes))


def _reader() -> Pipeline:
    return make_pipeline(StandardScaler(), Ridge(1.0))
