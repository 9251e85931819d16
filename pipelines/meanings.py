"""What emojis mean, in numbers: for training the encoder of the pictures, and for measuring it.

The vectors are averages of word vectors in which frequent words weigh less, without what all have
in common, after Sanjeev Arora, Yingyu Liang and Tengyu Ma: A Simple but Tough-to-Beat Baseline for
Sentence Embeddings (ICLR 2017), "SIF".
"""

import dataclasses
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from sklearn.linear_model import Ridge

from emoji_vae.catalogue import bare, catalogue
from emoji_vae.errors import InputError
from pipelines import glove, phrases, results
from pipelines.sources import CACHE
from sqam.text import Vocabulary

DIMENSIONS = 64
"""Of the vectors."""

EMOTIONS = ("anger", "anticipation", "disgust", "fear", "joy", "sadness", "surprise", "trust")
"""Columns of `Meanings.emotions`: Plutchik's eight."""

_EMOTIONS_FILE = "emoji_sentiment/emotag1200.csv"
_SENTIMENT_FILE = "emoji_sentiment/emoji_sentiment_ranking.csv"
_MIN_OCCURRENCES = 5  # as the Emoji Sentiment Ranking itself cuts off
_SIF = 1e-4  # the share of a text's words at which a word weighs half; the paper has 1e-4 to 1e-3
_DESCRIPTIONS = 0.7  # written by an LLM, so they weigh less than the name and the keywords (1 each)
_TAGS = 2  # how often a tag counts among the words of a description


@dataclasses.dataclass(frozen=True)
class Meanings:
    """What the n emojis of the catalogue mean, in its order."""

    vectors: np.ndarray
    """float32 (n, 64), unit rows: name, keywords and, where the data are there, the descriptions
    and tags of emojeez (MIT)."""
    names: np.ndarray
    """float32 (n, 64), unit rows in the same space, of the name alone; 0 where GloVe has none of
    its words."""
    groups: np.ndarray
    """int64 (n,): rows of ``group_names``."""
    group_names: tuple[str, ...]
    """Unicode's groups, in its order."""
    emotions: np.ndarray
    """float32 (n, 8) in [0, 1], columns as `EMOTIONS`, NaN where unknown: EmoTag1200 (MIT), which
    people scored."""
    felt: np.ndarray
    """float32 (n, 8): `emotions`, where unknown as a ridge regression from ``vectors`` estimates
    them that was fitted to the known ones of the training emojis; NaN without the data."""
    sentiment: np.ndarray
    """float32 (n,) in (-1, 1), NaN where unknown: of the tweets that held the emoji, the positive
    share less the negative one. Petra Kralj Novak, Jasmina Smailović, Borut Sluban and Igor
    Mozetič: Sentiment of Emojis (PLoS ONE 10(12), 2015). The data are CC BY-SA 4.0: models are
    measured against them and NEVER trained on them."""


def load(cache: Path = CACHE, data: Path | None = phrases.DATA, *, fit: np.ndarray) -> Meanings:
    """Load what the catalogue's emojis mean.

    Args:
        cache: where the word vectors are kept.
        data: the folder of the data; None does without: vectors of names and keywords alone, and
            all emotions and sentiments NaN.
        fit: bool (n,): the training emojis. The mean that is taken off the vectors and their
            principal directions are of these alone, so that no held-out emoji has a part in them.

    Raises:
        InputError: no such folder, a file of it is missing or is not as it should be, the word
            vectors cannot be had, or ``fit`` is no mask of more than 64 emojis.
    """
    emojis = catalogue()
    fit = np.asarray(fit)
    if fit.dtype != np.bool_ or fit.shape != (len(emojis),) or fit.sum() <= DIMENSIONS:
        raise InputError(
            f"fit is {fit.dtype} {fit.shape} with {np.count_nonzero(fit)} emojis; give bool "
            f"({len(emojis)},) with more than {DIMENSIONS}"
        )
    if data is not None and not data.is_dir():
        raise InputError(
            f"there is no folder {str(data)!r}; put the data there or name their folder"
        )
    rows = {bare(sequence): row for row, sequence in enumerate(emojis.sequences)}
    words = glove.load("100d", cache)
    vocabulary = Vocabulary(words.words)
    texts = [vocabulary.ids(emoji.name) for emoji in emojis]
    known = np.array([bool(text) for text in texts])
    names = sif(texts, words.vectors)
    vectors = names + sif(
        [[i for word in emoji.keywords for i in vocabulary.ids(word)] for emoji in emojis],
        words.vectors,
    )
    if data is not None:
        texts = [[] for _ in emojis]
        for row, description, tags in _descriptions(data, rows):
            texts[row] += vocabulary.ids(description)
            texts[row] += [i for tag in tags for i in vocabulary.ids(tag)] * _TAGS
        vectors += _DESCRIPTIONS * sif(texts, words.vectors)
    mean, directions = principal(vectors[fit], DIMENSIONS)
    # Names alone lie elsewhere than all texts together, so they have a mean of their own.
    queries = (names - names[fit & known].mean(axis=0)) @ directions.T
    groups = tuple(dict.fromkeys(emoji.group for emoji in emojis))
    meant = _unit((vectors - mean) @ directions.T).astype(np.float32)
    emotions = _emotions(data, rows)
    return Meanings(
        vectors=meant,
        names=(_unit(queries) * known[:, np.newaxis]).astype(np.float32),
        groups=np.array([groups.index(emoji.group) for emoji in emojis]),
        group_names=groups,
        emotions=emotions,
        felt=_felt(meant, emotions, fit),
        sentiment=_sentiment(data, rows),
    )


def hashes(data: Path) -> dict[str, str]:
    """Return the SHA-256 of what `load` reads, of those files that the folder ``data`` has."""
    files = (phrases.Sources().descriptions, _EMOTIONS_FILE, _SENTIMENT_FILE)
    return {
        **{name: results.sha256(data / name) for name in files if (data / name).is_file()},
        **glove.hashes("100d"),
    }


def sif(texts: Sequence[Sequence[int]], vectors: np.ndarray) -> np.ndarray:
    """Return a unit vector for each text: float64 (n, d), 0 where a text has no words.

    A word weighs a / (a + p), p being its share of all words: by Zipf's law, since GloVe tells the
    order of its words but not how frequent they are.

    Args:
        texts: the rows of each text's words.
        vectors: (words, d), the most frequent word first.
    """
    shares = 1 / np.arange(1, len(vectors) + 1)
    shares /= shares.sum()
    weights = _SIF / (_SIF + shares)
    rows = [np.asarray(text, dtype=np.intp) for text in texts]
    return _unit(np.stack([weights[row] @ vectors[row] for row in rows]))


def principal(vectors: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean (d,) of vectors (n, d) and their first principal directions, unit rows."""
    mean = vectors.mean(axis=0)
    _, _, directions = np.linalg.svd(vectors - mean, full_matrices=False)
    return mean, directions[:dimensions]


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.where(lengths == 0, 1, lengths)


def _descriptions(data: Path, rows: dict[str, int]) -> Iterator[tuple[int, str, list[str]]]:
    """Yield the row, the description and the tags of every emoji that emojeez describes.

    Skin tones and gendered doubles are left out: what they say of colour and sex is not the base's.
    """
    path = data / phrases.Sources().descriptions
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                entry = json.loads(line)
                row = rows.get(bare(entry["emoji"]))
                if row is not None:
                    yield row, entry["description"], [str(tag) for tag in entry["tags"]]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"cannot read {str(path)!r}: {error}; name the data's folder") from error


def _emotions(data: Path | None, rows: dict[str, int]) -> np.ndarray:
    """Return float32 (n, 8), NaN where EmoTag1200 does not have the emoji."""
    emotions = np.full((len(rows), len(EMOTIONS)), np.nan, np.float32)
    for row, numbers in _numbers(data, _EMOTIONS_FILE, "emoji", EMOTIONS, rows):
        emotions[row] = numbers
    return emotions


def _felt(vectors: np.ndarray, emotions: np.ndarray, fit: np.ndarray) -> np.ndarray:
    """Fill in what people did not score; float32 (n, 8)."""
    known = np.isfinite(emotions).all(axis=1)
    if not (known & fit).any():
        return emotions
    model = Ridge(1.0).fit(vectors[known & fit], emotions[known & fit])
    return np.where(known[:, np.newaxis], emotions, model.predict(vectors)).astype(np.float32)


def _sentiment(data: Path | None, rows: dict[str, int]) -> np.ndarray:
    """Return float32 (n,), NaN where the Emoji Sentiment Ranking says too little.

    Laplace's estimate of a share is (count + 1) / (total + 3), so the difference of two is
    (positive - negative) / (total + 3).
    """
    sentiment = np.full(len(rows), np.nan, np.float32)
    counts = ("Negative", "Neutral", "Positive")
    for row, numbers in _numbers(data, _SENTIMENT_FILE, "Emoji", counts, rows):
        negative, _, positive = numbers
        if sum(numbers) >= _MIN_OCCURRENCES:
            sentiment[row] = (positive - negative) / (sum(numbers) + len(counts))
    return sentiment


def _numbers(
    data: Path | None, name: str, key: str, columns: Sequence[str], rows: dict[str, int]
) -> Iterator[tuple[int, list[float]]]:
    """Yield the row and the numbers of every emoji of a table that the catalogue knows."""
    if data is None:
        return
    for record in phrases.rows(data / name, key, *columns):
        row = rows.get(bare(record[key]))
        if row is None:
            continue
        try:
            yield row, [float(record[column]) for column in columns]
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{str(data / name)!r} has no numbers for {record[key]}; name the data's folder"
            ) from error
