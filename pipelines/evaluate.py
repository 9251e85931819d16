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


def popular(seen: Iterable[Iterable[int]], n_answers: int) -> np.ndarray:
    """Return how often each answer was correct in ``seen``, float (n_answers,)."""
    counts = Counter(row for rows in seen for row in rows)
    return np.array([counts[row] for row in range(n_answers)], dtype=np.float32)
