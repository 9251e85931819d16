"""A teacher of the airline tweets: the sentence encoder, tuned on the training tweets.

    python -m pipelines.airline_teacher                 # minutes; needs [teacher]
    python -m pipelines.airline_teacher --validation    # for the tweets that choose settings

It says how likely each of the three sentiments is, of the training tweets and of variations of
them (``pipelines.variations``); the runs of ``pipelines.airline`` that have a teacher learn from
both. What it is made of stands in ``pipelines.sentence_encoder``. Labels stay in the folder of the
work.
"""

import dataclasses
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from pipelines import glove, minilm, phrases, sources, variations
from pipelines.airline_tweets import SENTIMENTS, WORK, Tweet, parts, read
from pipelines.teacher import TeacherSettings
from sqam.text import tokenize


@dataclasses.dataclass(frozen=True)
class AirlineTeacherSettings:
    """How the encoder is tuned here, and what it labels; saved with the runs that learn from it.

    Attributes:
        encoder: how it is tuned; what that labels does not count.
        doubt: how much of the doubt of those who labelled a tweet is told.
        variations: of each training tweet.
        seed: of the variations.
    """

    encoder: TeacherSettings = dataclasses.field(
        default_factory=lambda: TeacherSettings(
            units=256, dropout=0.3, together=3, together_batch=32, tokens=64, defined=0.0
        )
    )
    doubt: float = 0.5
    variations: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.doubt <= 1 or self.variations < 0:
            raise InputError("doubt must be from 0 to 1, variations at least 0")


class Taught(NamedTuple):
    """What the teacher says.

    Attributes:
        tweets: float32 (n, 3), how likely each of ``SENTIMENTS`` is of each training tweet.
        texts: the variations.
        shares: float32 (len(texts), 3), the same of these.
    """

    tweets: np.ndarray
    texts: list[str]
    shares: np.ndarray


def target(tweet: Tweet, doubt: float) -> dict[int, float]:
    """Return the shares of the sentiments: the label's as sure as those who gave it, with doubt.

    >>> target(Tweet("late again", 2, 0, 0.5, 0.6), doubt=0.5)
    {0: 0.1, 1: 0.1, 2: 0.8}
    """
    sure = 1 - doubt * (1 - tweet.confidence)
    others = round((1 - sure) / (len(SENTIMENTS) - 1), 9)
    return {at: sure if at == tweet.sentiment else others for at in range(len(SENTIMENTS))}


def varied(
    settings: AirlineTeacherSettings,
    train: Sequence[Tweet],
    measured: Sequence[Tweet],
    words: glove.Glove,
) -> list[str]:
    """Return variations of the training tweets, without any that a measured tweet says."""
    apart = {" ".join(tokenize(tweet.text)) for tweet in measured}
    texts = [tweet.text for tweet in train]
    found = variations.varied(texts, words, settings.variations, settings.seed)
    return [text for text in found if text not in apart]


def taught(
    settings: AirlineTeacherSettings,
    train: Sequence[Tweet],
    measured: Sequence[Tweet],
    words: glove.Glove,
    cache: Path,
    work: Path,
) -> Taught:
    """Tune the encoder and let it label, unless the folder ``work`` has what it says.

    Args:
        settings: of the teacher.
        train: tweets to train on.
        measured: those that must not be met.
        words: with vectors, for the variations.
        cache: folder of downloaded packages.
        work: folder of what is kept.

    Raises:
        InputError: there is nothing kept, and TensorFlow is loaded, which PyTorch shuns.
    """
    texts = varied(settings, train, measured, words)
    told = repr([settings, [tuple(tweet) for tweet in train], texts])
    file = work / f"teacher-{hashlib.sha256(told.encode()).hexdigest()[:16]}.npy"
    if not file.is_file():
        if "tensorflow" in sys.modules:
            raise InputError(
                f"the teacher has not labelled these {len(train)} tweets yet; run first: "
                "python -m pipelines.airline_teacher (with --validation, if this has it)"
            )
        shares = _labelled(settings, train, texts, cache, work)
        with replacing(file) as opened:
            np.save(opened, shares)
    shares = np.load(file, allow_pickle=False)
    return Taught(shares[: len(train)], texts, shares[len(train) :])


def _labelled(
    settings: AirlineTeacherSettings,
    train: Sequence[Tweet],
    texts: Sequence[str],
    cache: Path,
    work: Path,
) -> np.ndarray:
    """Return shares of the tweets, then of the texts: float32 (n, 3)."""
    from pipelines import sentence_encoder  # Not above: PyTorch and TensorFlow shun each other.

    pretrained = sentence_encoder.Pretrained.fetch(cache)
    asked = [*(tweet.text for tweet in train), *texts]
    marks = np.zeros((len(asked), 0), dtype=np.float32)
    every = sentence_encoder.Texts(pretrained.ids(asked, settings.encoder.tokens), marks)
    model = sentence_encoder.tune(
        pretrained, every.take(range(len(train))),
        minilm.encode(asked[: len(train)], cache, work / "minilm"),
        [target(tweet, settings.doubt) for tweet in train],
        np.ones(len(train), np.float32), len(SENTIMENTS), settings.encoder,
    )  # fmt: skip
    found = np.empty((len(asked), len(SENTIMENTS)), dtype=np.float32)
    for rows, shares in sentence_encoder.predict(model, every):
        found[rows] = shares
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.airline_teacher", description=__doc__)
    add = parser.add_argument
    add("--validation", action="store_true", help="leave out what chooses settings, too")
    add("--data", type=Path, default=phrases.DATA, help="folder of the data")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    add("--work", type=Path, default=WORK, help="folder of the runs")

    def work() -> None:
        options = parser.parse_args(argv)
        train, measured = parts(read(options.data), options.validation)
        words = glove.load("100d", options.cache)
        said = taught(AirlineTeacherSettings(), train, measured, words, options.cache, options.work)
        right = said.tweets.argmax(axis=1) == [tweet.sentiment for tweet in train]
        print(
            f"{len(train)} tweets and {len(said.texts)} variations labelled; of the tweets "
            f"{right.mean():.1%} as they are"
        )

    return run(parser.prog, work)


if __name__ == "__main__":
    sys.exit(main())
