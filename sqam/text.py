"""Sentence -> token ids: the one tokenizer, for training and for ranking.

Tokens follow the convention of the GloVe 6B vocabulary (lower case, ``do n't``, ``i 'm``). What is
written around the words is dropped on purpose: links, user names, numbers and punctuation that
GloVe does not know, control characters, broken (lone surrogate) characters.
"""

import itertools
import os
import re
import unicodedata
from collections.abc import Iterable, Sequence

import numpy as np

from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError

MAX_CHARACTERS = 20_000
"""A text is read up to here, so that a line of a megabyte costs no more than a page."""

# What GloVe 6B knows of emoticons lies beyond its first 40,000 words or is missing; plain words
# say the same and are known.
_EMOTICONS = {
    ":)": "smile", ":-)": "smile", "=)": "smile", "(:": "smile", ":]": "smile", ":d": "laughing",
    ":-d": "laughing", "=d": "laughing", "xd": "laughing", ";)": "wink", ";-)": "wink",
    ":(": "sad", ":-(": "sad", "=(": "sad", "):": "sad", ":[": "sad", ":'(": "crying",
    ":/": "confused", ":-/": "confused", ":p": "tongue", ":-p": "tongue", ";p": "tongue",
    ":o": "surprised", ":-o": "surprised", ":*": "kiss", ":-*": "kiss", "<3": "love",
    "</3": "heartbroken",
}  # fmt: skip

# Contractions written without their apostrophe. Words that mean something else without it
# ("wont", "well", "were", "shell") stay as they are, but for "wont" and "cant", which hardly
# anyone means.
_CONTRACTIONS = {
    **{f"{verb}nt": (verb, "n't") for verb in (
        "do", "does", "did", "is", "are", "was", "has", "have", "had", "would", "could",
        "should", "ca", "wo", "ai", "were", "must",
    )},
    "cannot": ("can", "not"), "im": ("i", "'m"), "ive": ("i", "'ve"), "youre": ("you", "'re"),
    "theyre": ("they", "'re"), "thats": ("that", "'s"), "whats": ("what", "'s"),
    "youve": ("you", "'ve"), "weve": ("we", "'ve"),
}  # fmt: skip

_LINK = re.compile(r"(?:https?://|www\.)\S+|\S+@\S+\.\w+")
_USER = re.compile(r"(?<!\w)@\w+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d)|_")
_HASHTAG = re.compile(r"#(\w+)")
_TOKEN = re.compile(
    "|".join(
        [
            # An emoticon stands alone: "3:00" and "http://" hold none.
            r"(?<!\S)(?:" + "|".join(map(re.escape, sorted(_EMOTICONS, reverse=True))) + r")(?!\w)",
            r"\d+(?:[.,:]\d+)*",
            r"[^\W\d_]+(?:['-][^\W\d_]+)*",
            r"[!?]|\.\.\.",
        ]
    )
)
_CLITIC = re.compile(r"(.+)(n't|'s|'m|'re|'ve|'ll|'d)$")
_REPEATED = re.compile(r"(.)\1{2,}")
# Where emojis can be; curly quotes and dashes are elsewhere.
_PERHAPS_EMOJI = re.compile(
    "[©®\u203c\u2049\u20e3\u2122\u2139\u2190-\u2bff\u3030-\u303d\u3297\u3299\U0001f000-\U0001ffff]"
)


def _spell_out_emojis(text: str) -> str:
    """Read an emoji as the words of its name: "I 💔 this" as "I broken heart this"."""
    import emoji  # Loads a large table, so only for texts that may need it.

    def words(sequence: str, _data: object) -> str:
        found = catalogue().find(sequence)
        return " " if found is None else f" {catalogue()[found].name} "

    return emoji.replace_emoji(text, replace=words)


def tokenize(text: str) -> list[str]:
    """Split a text into lower-case tokens in GloVe's convention.

    >>> tokenize("I'm NOT happy, don't @me #MondayMood https://x.org :(")
    ['i', "'m", 'not', 'happy', 'do', "n't", 'monday', 'mood', 'sad']

    Args:
        text: any string; beyond ``MAX_CHARACTERS`` it is not read.

    Returns:
        Tokens in order; ``[]`` where nothing is a word.

    Raises:
        InputError: ``text`` is not a string.
    """
    if not isinstance(text, str):
        raise InputError(f"a text must be a string, not {type(text).__name__}: {text!r:.60}")
    if len(text) > MAX_CHARACTERS:
        # Not the word that the cut goes through: a part of it may be another word.
        text = re.sub(r"\s\S*\Z", "", text[:MAX_CHARACTERS])
    if _PERHAPS_EMOJI.search(text):
        text = _spell_out_emojis(text)
    text = unicodedata.normalize("NFKC", text).replace("’", "'").replace("‘", "'")
    text = _USER.sub(" ", _LINK.sub(" ", text))
    text = _HASHTAG.sub(lambda match: _CAMEL.sub(" ", match[1]), text).lower()
    tokens: list[str] = []
    for token in _TOKEN.findall(text):
        if token in _EMOTICONS:
            tokens.append(_EMOTICONS[token])
        elif token in _CONTRACTIONS:
            tokens += _CONTRACTIONS[token]
        elif clitic := _CLITIC.match(token):
            tokens += clitic.groups()
        else:
            tokens.append(token)
    return tokens


class Vocabulary:
    """The words that a model knows, each with its row in the embedding.

    Unknown words are handled on purpose: an elongated word is folded ("sooooo" to "so"), a word
    with hyphens falls into its parts, and what is still unknown is dropped as if it had not been
    written. A model therefore never sees a vector that stands for "something".
    """

    def __init__(self, words: Sequence[str]) -> None:
        self.words = list(words)
        self._ids = {word: row for row, word in enumerate(self.words)}
        if not self.words or len(self._ids) != len(self.words):
            raise InputError("a vocabulary needs at least one word, and no word twice")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> "Vocabulary":
        """Read a UTF-8 file with one word a line, in the order of the embedding's rows."""
        try:
            with open(path, encoding="utf-8", newline="\n") as file:
                return cls(file.read().split("\n")[:-1])
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the vocabulary {str(path)!r}: {error}") from error

    def __len__(self) -> int:
        """Return the number of words."""
        return len(self.words)

    def __contains__(self, word: object) -> bool:
        """Tell whether the word itself, unfolded, has a row."""
        return word in self._ids

    def ids(self, text: str, limit: int | None = None) -> list[int]:
        """Return the rows of a text's known tokens, the first ``limit`` of them.

        Raises:
            InputError: ``text`` is not a string.
        """
        rows = (row for token in tokenize(text) for row in self._rows(token))
        return list(itertools.islice(rows, limit))

    def _rows(self, token: str) -> Iterable[int]:
        row = self._ids.get(token)
        if row is not None:
            return (row,)
        for fold in (r"\1\1", r"\1"):
            row = self._ids.get(_REPEATED.sub(fold, token))
            if row is not None:
                return (row,)
        parts = token.split("-")
        if len(parts) > 1:
            return (row for part in parts for row in self._rows(part))
        return ()


def pad(ids: Sequence[Sequence[int]], width: int) -> np.ndarray:
    """Turn texts' rows into a model's token ids: int32 (n, width).

    Row 0 of a model's embedding is padding, so a word's token id is its row plus one. What is
    longer than ``width`` is cut.
    """
    tokens = np.zeros((len(ids), width), dtype=np.int32)
    for filled, rows in zip(tokens, ids, strict=True):
        kept = rows[:width]
        filled[: len(kept)] = kept
        filled[: len(kept)] += 1
    return tokens
