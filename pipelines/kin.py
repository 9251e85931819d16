"""Which emojis mean nearly the same, by their names and keywords: 😄 and 😃, ❤️ and 🧡.

A sentence that names one of them says nothing against the other.
"""

from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from emoji_vae.catalogue import Emoji

MIN_SIMILARITY = 0.3
"""Below it two emojis share a word or two, no meaning: 😄 and 😹 have 0.32, 🍕 and 🇮🇹 0.26."""


def kin(emojis: Sequence[Emoji]) -> list[dict[int, float]]:
    """Find the near synonyms of each emoji.

    Args:
        emojis: rows of the catalogue.

    Returns:
        For each emoji its kin: row in ``emojis`` -> cosine of the TF-IDF vectors of the words of
        both's names and keywords, from `MIN_SIMILARITY` to 1; without the emoji itself.
    """
    texts = [" ".join([emoji.name, *emoji.keywords]) for emoji in emojis]
    # Every word counts, single letters (of the sign 🅰️) as well.
    vectors = TfidfVectorizer(sublinear_tf=True, token_pattern=r"[^\s-]+").fit_transform(texts)
    similarities = (vectors @ vectors.T).toarray()
    np.fill_diagonal(similarities, 0)
    return [
        {int(other): float(min(row[other], 1)) for other in np.flatnonzero(row >= MIN_SIMILARITY)}
        for row in similarities
    ]
