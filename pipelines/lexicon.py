"""Which words a model may know, and the vectors that they begin with."""

from collections.abc import Container, Sequence

import numpy as np
from sklearn.decomposition import PCA

from sqam.text import tokenize

CLITICS = frozenset(["n't", "'s", "'m", "'re", "'ve", "'ll", "'d"])

NAMES = 10_000
"""Of GloVe's words, most frequent first, how many are known even if they are names."""


def worthwhile(
    words: Sequence[str], seen: Container[str], english: Container[str], names: int
) -> list[str]:
    """Return those of GloVe's words that are worth a row of a model, in their order.

    What the tokenizer never writes (punctuation) is not, nor are numbers that no training
    text has.

    Args:
        words: GloVe's, most frequent first.
        seen: tokens of the training texts, which are all worth one.
        english: words that are, too.
        names: of how many of the most frequent words all others are: names, mostly.
    """

    def worth(rank: int, word: str) -> bool:
        if word in seen or word in CLITICS:
            return True
        # A word that is always split ("cannot") may still be what a longer one is folded to.
        named = rank < names and (word.isalpha() or tokenize(word) == [word])
        return not any(map(str.isdigit, word)) and (named or word in english)

    return [word for rank, word in enumerate(words) if worth(rank, word)]


def combined(first: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    """Return vectors that say of each word what several kinds say: float32, shaped like ``first``.

    They are the principal components of all side by side, each kind centred and of the same total
    variance, as many as ``first`` has and scaled to its spread.

    Args:
        first: float (n, d), of n words; n is at least d.
        others: of the same words, each float (n, any).
    """
    sides = [side - side.mean(axis=0) for side in (first, *others)]
    every = np.hstack([side / np.sqrt((side**2).sum(axis=1).mean()) for side in sides])
    found = PCA(first.shape[1], svd_solver="covariance_eigh").fit_transform(every)
    return (found / found.std() * first.std()).astype(np.float32)


def carried(vectors: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return vectors of one space in another, by the linear map that fits known ones best.

    Best in least squares; of several such maps the smallest.

    Args:
        vectors: float (m, d), in the first space.
        first: float (n, d), known vectors there.
        second: float (n, k), the same in the second space.

    Returns:
        float32 (m, k).
    """
    linear_map, *_ = np.linalg.lstsq(first, second, rcond=None)
    return (vectors @ linear_map).astype(np.float32)
