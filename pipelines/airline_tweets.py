"""The airline tweets: what is read of them, and which are held out.

Twitter US Airline Sentiment (CrowdFlower, February 2015).
"""

import hashlib
import html
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from emoji_vae.errors import InputError
from pipelines import phrases

TWEETS = "airline/tweets.csv.gz"
"""Below the data's folder."""

EMOJIS = {"positive": "🎉", "neutral": "😈", "negative": "😡"}
"""The study's answer to each sentiment."""

SENTIMENTS = tuple(EMOJIS)

WORK = Path("build/airline")
"""Where models, labels and pictures that show a tweet are kept, relative to the working directory.
Nothing of it ships."""

HELD_OUT, VALIDATION = 0.2, 0.36
"""Hashes of texts lie in [0, 1): those below the first are held out, those below the second choose
settings with --validation, and train with the rest otherwise."""


class Tweet(NamedTuple):
    """A tweet as it is trained on, its class in ``SENTIMENTS``, and where it is."""

    text: str
    sentiment: int
    row: int
    """In the file, from 0."""
    place: float
    """In [0, 1), by a hash of the text without case and spaces, so that repeated texts, of
    whatever sentiment, are on one side of each split."""
    confidence: float = 1.0
    """How sure those who labelled it were together, in [0, 1]."""

    @property
    def agreed(self) -> bool:
        """Whether all who labelled it agreed."""
        return self.confidence == 1


def place_of(text: str) -> float:
    """Return a text's place in [0, 1), which neither its case nor its white space changes."""
    digest = hashlib.sha256(" ".join(text.casefold().split()).encode()).digest()
    # From the end: for the fifth at the start, a figure was seen before all settings were chosen.
    return 1 - (int.from_bytes(digest[:4], "big") + 1) / 2**32


def prepare(text: str) -> str:
    """Spell out HTML entities, and read user names as words: the airlines' say something.

    >>> prepare("@united thanks &amp; bye")
    ' united  thanks & bye'
    """
    return re.sub(r"@(\w+)", r" \1 ", html.unescape(text))


def read(data: Path) -> list[Tweet]:
    """Read the tweets.

    Raises:
        InputError: the file is missing, lacks a column or has another sentiment than the three.
    """
    columns = ("text", "airline_sentiment", "airline_sentiment_confidence")
    found = []
    for row, record in enumerate(phrases.rows(data / TWEETS, *columns)):
        text, sentiment, confidence = (record[column] for column in columns)
        try:
            sure = float(confidence)
            if not 0 <= sure <= 1:
                raise ValueError
            found.append(
                Tweet(prepare(text), SENTIMENTS.index(sentiment), row, place_of(text), sure)
            )
        except ValueError as error:
            raise InputError(
                f"{str(data / TWEETS)!r}, tweet {row + 1}: {sentiment!r} with confidence "
                f"{confidence!r}; it must be one of {', '.join(SENTIMENTS)}, with one from 0 to 1"
            ) from error
    if not found:
        raise InputError(f"{str(data / TWEETS)!r} holds no tweet; name the folder of the data")
    return found


def parts(tweets: Sequence[Tweet], validation: bool) -> tuple[list[Tweet], list[Tweet]]:
    """Return the tweets to train on and those to measure on.

    Args:
        tweets: all.
        validation: measure on the validation part and leave the held-out fifth alone.

    Raises:
        InputError: one of the two has no tweet.
    """
    low, high = (HELD_OUT, VALIDATION) if validation else (0.0, HELD_OUT)
    measured = [tweet for tweet in tweets if low <= tweet.place < high]
    train = [tweet for tweet in tweets if tweet.place >= high]
    if not measured or not train:
        raise InputError(f"{len(tweets)} tweets are too few to hold some out; give more")
    return train, measured
