"""How texts become tokens: what `sqam.text.tokenize` can be asked to do otherwise.

A model reads texts as those were read that it learnt from, so it keeps these settings with it. The
defaults are those of the model that ships; the others are what DeepMoji's tokenizer does, or could
be told to (Felbo et al.: Using millions of emoji occurrences to learn any-domain representations
for detecting sentiment, emotion and sarcasm, EMNLP 2017).
"""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any, Literal, Self

from emoji_vae.errors import InputError
from emoji_vae.settings import from_mapping

LINK, USER, NUMBER = "<url>", "<user>", "<number>"
"""Stand for what is marked, as in GloVe's vectors of tweets. No text has such a token otherwise."""


@dataclasses.dataclass(frozen=True)
class TokenizerSettings:
    """What becomes of what is no plain word."""

    emojis: Literal["named", "kept", "dropped"] = "named"
    """``named``: the words of its name; ``kept``: a token of its own, whatever stands beside it, as
    the catalogue writes it (without its skin tone); ``dropped``."""
    emoticons: Literal["named", "kept", "dropped"] = "named"
    """``named``: a word that says the same; ``kept``: as it is written, in lower case."""
    links: Literal["dropped", "marked"] = "dropped"
    """``marked``: each link, and each e-mail address, becomes `LINK`."""
    users: Literal["dropped", "marked"] = "dropped"
    """``marked``: each user's name (@somebody) becomes `USER`."""
    numbers: Literal["kept", "marked", "dropped"] = "kept"
    """``marked``: each number becomes `NUMBER`."""
    hashtags: Literal["split", "kept", "dropped"] = "split"
    """``split``: its words, as capitals tell them apart; ``kept``: one token, "#" before it."""
    contractions: Literal["split", "kept"] = "split"
    """``split``: "do n't", where the apostrophe is left out, too; ``kept``: "don't", "dont"."""
    abbreviations: Literal["spelled", "kept"] = "spelled"
    """``spelled``: those of chat are the words that they stand for, see `sqam.slang`."""
    elongations: Literal["kept", "folded"] = "kept"
    """``folded``: a letter is written twice in a row at most ("soo", "cool"). A `Vocabulary` folds
    what it does not know in either case."""

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Build settings from a saved mapping.

        Raises:
            InputError: a setting that does not exist, or one that cannot be.
        """
        return from_mapping(cls, values)

    def __post_init__(self) -> None:
        for name, hint in typing.get_type_hints(type(self)).items():
            choices = typing.get_args(hint)
            if (value := getattr(self, name)) not in choices:
                raise InputError(f"{name} {value!r:.40}: choose one of {', '.join(choices)}")
