"""Tells English texts from others, to choose what goes into a corpus.

Short texts of chat deceive a detector of languages, and words of other languages are in GloVe, so
that a share of known words alone deceives as well. Together they do better: a text is English if
the detector says so, or if the words are nearly all known.
"""

import dataclasses
import functools
from collections.abc import Container
from typing import Any

from emoji_vae.errors import InputError, MissingExtraError
from sqam.text import tokenize
from sqam.tokenizer import TokenizerSettings


@dataclasses.dataclass(frozen=True)
class EnglishSettings:
    """What passes as English."""

    known: float = 0.9
    """Share of the words that suffices if they are known, whatever the detector says."""
    shortest: int = 2
    """Letters from which on a word counts: single letters are in every language."""

    def __post_init__(self) -> None:
        if not 0 < self.known <= 1:
            raise InputError(f"known is {self.known}; it must be above 0, and at most 1")
        if self.shortest < 1:
            raise InputError(f"shortest is {self.shortest}; it must be at least 1")


def is_english(
    text: str, words: Container[str] = frozenset(), settings: EnglishSettings | None = None
) -> bool:
    """Tell whether a text is English, as far as can be told.

    Links, names of users, numbers and emojis do not count. A text without a word is English, since
    nothing speaks against it. A few words in dialect, or written together in a hashtag, are often
    taken for another language.

    Args:
        text: any string.
        words: that are English, such as a ``Vocabulary``; without any the detector decides alone.
        settings: see `EnglishSettings`.

    Raises:
        InputError: ``text`` is not a string.
        MissingExtraError: the detector is not installed.
    """
    detector = _detector()
    settings = EnglishSettings() if settings is None else settings
    tokens = tokenize(text, _PLAIN)
    counted = [one for one in tokens if len(one) >= settings.shortest and one[0].isalpha()]
    if not counted:
        return True
    known = sum(one in words for one in counted)
    if known >= settings.known * len(counted):
        return True
    language, _ = detector.classify(" ".join(tokens))
    return bool(language == "en")


_PLAIN = TokenizerSettings(emojis="dropped", emoticons="dropped", numbers="dropped")


@functools.cache
def _detector() -> Any:
    try:
        from py3langid import langid
    except ImportError as error:
        raise MissingExtraError("py3langid", "train") from error
    # Not the module's own one, whose languages others may choose.
    return langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE)
