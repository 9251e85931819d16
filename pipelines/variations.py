"""Further texts made of texts: some words replaced by others that GloVe has near them, and pieces.

A teacher labels them, and a student that learns from them sees more of what the teacher knows than
the texts alone show (Jiao et al.: TinyBERT: Distilling BERT for Natural Language Understanding,
2020, with this augmentation).
"""

import zlib
from collections.abc import Sequence

import numpy as np

from pipelines.glove import Glove
from sqam.text import tokenize

NEAREST = 12
"""Of how many words nearest to it one is drawn in a word's place."""
SHARE = 0.4
"""Of a text's words that are replaced, of those that can be."""
_SMALL = 150  # The most frequent words are mostly grammar ("not"), and stay.
_FREQUENT = 30_000  # Rarer words are neither replaced nor drawn.


def varied(texts: Sequence[str], words: Glove, times: int, seed: int) -> list[str]:
    """Return variations of texts, as tokens with spaces, each once and none of the texts' own.

    Args:
        texts: to vary; one without a word that can be replaced has no variation.
        words: with vectors.
        times: how many variations of each text are tried.
        seed: of what is drawn. A text's variations do not depend on the other texts.
    """
    tokens = [tokenize(text) for text in texts]
    near = _nearest(sorted({token for text in tokens for token in text}), words)
    own = {" ".join(text) for text in tokens}
    found: dict[str, None] = {}
    for text in tokens:
        rng = np.random.default_rng([seed, zlib.crc32(" ".join(text).encode())])
        places = [at for at, token in enumerate(text) if token in near]
        for _ in range(times if places else 0):
            drawn = [at for at in places if rng.random() < SHARE] or [rng.choice(places)]
            new = list(text)
            for at in drawn:
                new[at] = str(rng.choice(near[text[at]]))
            found[" ".join(new)] = None
    return [text for text in found if text not in own]


PIECE = (2, 5)
"""The least and the most words of a piece."""


def pieces(texts: Sequence[str], times: int, seed: int) -> list[str]:
    """Return pieces of texts, a few words in a row as tokens with spaces, each once.

    Queries are short, and what a sentence means depends on what its pieces do.

    Args:
        texts: to take pieces of; one with too few words for a shorter piece has none.
        times: how many are drawn of each text.
        seed: of what is drawn. A text's pieces do not depend on the other texts.
    """
    found: dict[str, None] = {}
    for text in texts:
        tokens = tokenize(text)
        least, most = PIECE[0], min(PIECE[1], len(tokens) - 1)
        rng = np.random.default_rng([seed, zlib.crc32(" ".join(tokens).encode())])
        for _ in range(times if most >= least else 0):
            length = rng.integers(least, most, endpoint=True)
            start = rng.integers(len(tokens) - length, endpoint=True)
            found[" ".join(tokens[start : start + length])] = None
    return list(found)


def _nearest(asked: Sequence[str], words: Glove) -> dict[str, list[str]]:
    """Return for each word that can be replaced the words nearest to it by cosine."""
    names = words.words[:_FREQUENT]
    vectors = words.vectors[: len(names)]
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    usable = np.array([name.isalpha() for name in names])
    place = {name: row for row, name in enumerate(names)}
    rows = [place[word] for word in asked if place.get(word, 0) >= _SMALL and word.isalpha()]
    found = {}
    for start in range(0, len(rows), 1024):
        part = rows[start : start + 1024]
        cosines = np.where(usable, unit[part] @ unit.T, -1)
        cosines[np.arange(len(part)), part] = -1
        k = min(NEAREST, len(names) - 1)
        nearest = np.argpartition(-cosines, k, axis=1)[:, :k]
        for row, others in zip(part, nearest, strict=True):
            found[names[row]] = [names[other] for other in sorted(others)]
    return found
