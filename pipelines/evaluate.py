"""Measures of a ranking."""

from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of each row's best ``k`` scores, int (n, k), ties to the earlier one."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def hits(scores: np.ndarray, correct: Sequence[Iterable[int]], k: int) -> float:
    """Return the share of rows, in [0, 1], with a correct column among their best ``k``.

    Args:
        scores: float (n, n_answers).
        correct: for each row its correct columns.
        k: how many count.
    """
    return hits_in(best(scores, k), correct)


def hits_in(ranked: np.ndarray, correct: Sequence[Iterable[int]]) -> float:
    """Return the share of rows, in [0, 1], of ``ranked`` (n, k) that hold a correct column."""
    found = [bool(set(row) & set(c)) for row, c in zip(ranked.tolist(), correct, strict=True)]
    return float(np.mean(found))


def ahead(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return how many columns come before each row's right one, float (n,).

    Ties count half: a column that cannot be told from all others is in the middle.

    Args:
        scores: float (n, n_answers).
        right: int (n,), the right column of each row.
    """
    own = scores[np.arange(len(scores)), right][:, np.newaxis]
    return (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2


def places(ahead: np.ndarray, n_answers: int) -> dict[str, float]:
    """Return the median percentile (100: first, 0: last, 50 by chance) and the hits in 10.

    Args:
        ahead: float (n,), see the function of that name.
        n_answers: number of columns.
    """
    return {
        "median percentile": float(np.median(100 * (1 - ahead / (n_answers - 1)))),
        "hit@10": float((ahead < 10).mean()),
    }


def popular(seen: Iterable[Iterable[int]], n_answers: int) -> np.ndarray:
    """Return how often each answer was correct in ``seen``, float (n_answers,)."""
    counts = Counter(row for rows in seen for row in rows)
    return np.array([counts[row] for row in range(n_answers)], dtype=np.float32)
