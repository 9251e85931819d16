"""Sentence -> token ids: the one tokenizer, for training and for ranking.

Tokens follow the convention of the GloVe 6B vocabulary (lower case, ``do n't``, ``i 'm``). What is
written around the words is dropped on purpose: links, user names, numbers and punctuation that
GloVe does not know, control characters, broken (lone surrogate) characters.
"""

import itertools
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

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
_STANDS_FOR: dict[str, tuple[str, ...]] = {
    **{emoticon: (word,) for emoticon, word in _EMOTICONS.items()},
    **_CONTRACTIONS,
}

# An address begins where its run of characters does, if anywhere in it, so that none is tried at
# each character: a line of "@" would take an hour.
_LINK = re.compile(r"(?:https?://|www\.)\S+|(?<!\S)\S[^\s@]*+@\S+\.\w+")
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
_EMOJI = (
    "©®\u203c\u2049\u20e3\u2122\u2139\u2190-\u2bff\u3030-\u303d\u3297\u3299\U0001f000-\U0001ffff"
)
_PERHAPS_EMOJI = re.compile(f"[{_EMOJI}]")
# Runs of that and of what else emojis are written with: "1️⃣", the flags of England and Scotland.
_PERHAPS_EMOJIS = re.compile(f"[#*0-9\u200d\ufe0e\ufe0f\U000e0020-\U000e007f{_EMOJI}]+")
# Nothing that normalizing changes reaches beyond such a run: it may compose with the character
# before the run, and never with an ASCII character after it.
_BEYOND_ASCII = re.compile(r"[\x00-\x7f]?[^\x00-\x7f]+")
# The one letter whose lower case is two characters.
_DOTTED_I = re.compile("İ")

_Replacement = str | Callable[[re.Match[str]], str]
_Sub = Callable[[re.Pattern[str], _Replacement, str], str]


class Token(NamedTuple):
    """A token and where it came from: ``text[start:end]`` of the text that it was found in.

    Where no narrower piece is certain, tokens share one: the words of an emoji's name do.
    """

    token: str
    start: int
    end: int


def _spell_out_emojis(match: re.Match[str]) -> str:
    """Read an emoji as the words of its name: "I 💔 this" as "I broken heart this"."""
    import emoji  # Loads a large table, so only for texts that may need it.

    def words(sequence: str, _data: object) -> str:
        found = catalogue().find(sequence)
        return " " if found is None else f" {catalogue()[found].name} "

    return emoji.replace_emoji(match[0], replace=words)


def _prepared(text: str, sub: _Sub = re.Pattern.sub) -> str:
    """Return the text rewritten so that `_TOKEN` finds its tokens.

    ``sub`` does every step that changes where a character stands.
    """
    if not isinstance(text, str):
        raise InputError(f"a text must be a string, not {type(text).__name__}: {text!r:.60}")
    if len(text) > MAX_CHARACTERS:
        # Not the word that the cut goes through: a part of it may be another word.
        text = re.sub(r"\s\S*\Z", "", text[:MAX_CHARACTERS])
    if _PERHAPS_EMOJI.search(text):
        text = sub(_PERHAPS_EMOJIS, _spell_out_emojis, text)
    if not unicodedata.is_normalized("NFKC", text):
        text = sub(_BEYOND_ASCII, lambda match: unicodedata.normalize("NFKC", match[0]), text)
    text = text.replace("’", "'").replace("‘", "'")
    text = sub(_LINK, " ", text)
    if "@" in text:
        text = sub(_USER, " ", text)
    if "#" in text:
        text = sub(_HASHTAG, lambda match: _CAMEL.sub(" ", match[1]), text)
    if "İ" in text:
        text = sub(_DOTTED_I, "i\u0307", text)
    return text.lower()


def _tokens(found: str) -> Sequence[str]:
    """Return what a match of `_TOKEN` stands for: a token, or two."""
    tokens = _STANDS_FOR.get(found)
    if tokens is None:
        clitic = _CLITIC.match(found) if "'" in found else None
        tokens = clitic.groups() if clitic else (found,)
    return tokens


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
    return [token for found in _TOKEN.findall(_prepared(text)) for token in _tokens(found)]


def locate(text: str) -> list[Token]:
    """Split a text as `tokenize` does, and tell where in it each token came from.

    >>> [text[start:end] for text in ["I ❤ #MyDog!"] for _, start, end in locate(text)]
    ['I', '❤', '❤', 'My', 'Dog', '!']

    Raises:
        InputError: ``text`` is not a string.
    """
    origins = _Origins()
    prepared = _prepared(text, origins.sub)
    located = []
    for match in _TOKEN.finditer(prepared):
        start = match.start()
        *before, last = _tokens(match[0])
        # Two tokens share their match out: "don't" is "do" and "n't", "im" is "i" and "m".
        for token in before:
            located.append(Token(token, *origins.piece(start, start + len(token))))
            start += len(token)
        located.append(Token(last, *origins.piece(start, match.end())))
    return located


class _Origins:
    """Where the characters of a text came from that `sub` has rewritten."""

    def __init__(self) -> None:
        # For each character the start and the end of its piece of the first text, in order; none
        # as long as every character is where it was.
        self._pieces: list[tuple[int, int]] | None = None

    def piece(self, start: int, end: int) -> tuple[int, int]:
        """Return the start and the end of what ``start`` to ``end`` came from."""
        if self._pieces is None:
            return start, end
        return self._pieces[start][0], self._pieces[end - 1][1]

    def sub(self, pattern: re.Pattern[str], replacement: _Replacement, text: str) -> str:
        """Return ``pattern.sub(replacement, text)``; the text is what the last call returned."""
        pieces: list[tuple[int, int]] = []
        done = 0

        def follow(match: re.Match[str]) -> str:
            nonlocal done
            old, new = match[0], replacement if isinstance(replacement, str) else replacement(match)
            # What both begin or end with has stayed; the rest, one character of the old at least,
            # became the rest.
            first = _agreeing(old[:-1], new)
            last = _agreeing(old[:first:-1], new[first:][::-1])
            start, end = match.start() + first, match.end() - last
            pieces.extend(self.piece(i, i + 1) for i in range(done, start))
            pieces.extend([self.piece(start, end)] * (len(new) - first - last))
            done = end
            return new

        rewritten = pattern.sub(follow, text)
        if done:
            pieces.extend(self.piece(i, i + 1) for i in range(done, len(text)))
            self._pieces = pieces
        return rewritten


def _agreeing(one: str, other: str) -> int:
    """Return with how many same characters both begin."""
    pairs = zip(one, other, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


class Word(NamedTuple):
    """A token as a vocabulary reads it.

    Attributes:
        word: the vocabulary's word; of a token that it does not know the token itself.
        start, end: where in the text it came from, as in `Token`.
        row: the word's row in the embedding, None where it is unknown and passed over.
    """

    word: str
    start: int
    end: int
    row: int | None


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

    def read(self, text: str, limit: int | None = None) -> list[Word]:
        """Return how a text is read, up to its ``limit``-th known word, by which reading ends.

        The rows of the words that have one are ``ids(text, limit)``.

        Raises:
            InputError: ``text`` is not a string.
        """
        words: list[Word] = []
        known = 0
        for word in (word for token in locate(text) for word in self._words(token, text)):
            if known == limit:
                break
            words.append(word)
            known += word.row is not None
        return words

    def _rows(self, token: str) -> Iterable[int]:
        row = self._row(token)
        if row is not None:
            return (row,)
        if "-" in token:
            return (row for part in token.split("-") for row in self._rows(part))
        return ()

    def _words(self, token: Token, text: str) -> Iterator[Word]:
        """Yield the words of a token of the text in the order of `_rows`, and the unknown ones."""
        whole, start, end = token
        row = self._row(whole)
        if row is not None or "-" not in whole:
            yield Word(whole if row is None else self.words[row], start, end, row)
            return
        written = text[start:end].lower() == whole
        for part in whole.split("-"):
            # Parts of what is written otherwise, as "jack-o-lantern" is, share its piece.
            end = start + len(part) if written else end
            yield from self._words(Token(part, start, end), text)
            start = end + 1 if written else start

    def _row(self, token: str) -> int | None:
        """Return the row of a token, elongated or not, that is known whole."""
        row = self._ids.get(token)
        for fold in (r"\1\1", r"\1"):
            if row is not None:
                break
            row = self._ids.get(_REPEATED.sub(fold, token))
        return row


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
