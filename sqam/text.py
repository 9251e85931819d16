"""Sentence -> token ids: the one tokenizer, for training and for ranking.

Tokens follow the convention of the GloVe 6B vocabulary (lower case, ``do n't``, ``i 'm``). What is
written around the words is dropped on purpose: links, user names, numbers and punctuation that
GloVe does not know, control characters, broken (lone surrogate) characters. `TokenizerSettings`
choose otherwise.
"""

import dataclasses
import functools
import itertools
import math
import operator
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError
from sqam import slang
from sqam.tokenizer import LINK, NUMBER, USER, TokenizerSettings

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


def _has_digit(word: str) -> bool:
    return any(map(str.isdigit, word))


# An address begins where its run of characters does, if anywhere in it, so that none is tried at
# each character: a line of "@" would take an hour.
_LINK = re.compile(r"(?:https?://|www\.)\S+|(?<!\S)\S[^\s@]*+@\S+\.\w+")
_USER = re.compile(r"(?<!\w)@\w+")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Za-z])(?=\d)|_")
_HASHTAG = re.compile(r"#(\w+)")
_NUMBER = re.compile(r"\d+(?:[.,:]\d+)*")
_TOKEN = re.compile(
    "|".join(
        [
            # An emoticon stands alone: "3:00" and "http://" hold none.
            r"(?<!\S)(?:" + "|".join(map(re.escape, sorted(_EMOTICONS, reverse=True))) + r")(?!\w)",
            # "gr8", "2nite"
            r"(?<!\w)(?:" + "|".join(sorted(filter(_has_digit, slang.STANDS_FOR))) + r")(?!\w)",
            _NUMBER.pattern,
            # "u.s.", as GloVe writes it
            r"(?<!\w)(?:[^\W\d_]\.)+(?:[^\W\d_]\.|[^\W\d_](?!\w))",
            r"[^\W\d_]+(?:['-][^\W\d_]+)*",
            r"[!?]|\.\.\.",
        ]
    )
)
_CLITIC = re.compile(r"(.+)(n't|'s|'m|'re|'ve|'ll|'d)$")
_REPEATED = re.compile(r"(.)\1{2,}")
_ELONGATED = re.compile(r"([^\W\d_])\1{2,}")
# An emoji or a mark that is kept passes the steps of `_prepared` as a character of a private plane,
# which is taken out of texts first.
_PRIVATE = re.compile("[\U000f0000-\U000fffff]")
_FIRST_EMOJI = 0xF0000  # and on, in the order of the catalogue
_MARKS = {"\U000ffffd": LINK, "\U000ffffe": USER}
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

    Where no narrower piece is certain, tokens share one: the words of an emoji's name do, and those
    of an abbreviation.
    """

    token: str
    start: int
    end: int


def _named(row: int | None) -> str:
    """Return an emoji as the words of its name: "I 💔 this" is "I broken heart this"."""
    return " " if row is None else f" {catalogue()[row].name} "


def _kept(row: int | None) -> str:
    return " " if row is None else f" {chr(_FIRST_EMOJI + row)} "


def _dropped(row: int | None) -> str:
    return " "


def _contracted(words: Iterable[str]) -> tuple[str, ...]:
    """Return words with what is split off of them put back: "do", "n't" is "don't"."""
    whole: list[str] = []
    for word in words:
        if whole and "'" in word[:2]:
            whole[-1] += word
        else:
            whole.append(word)
    return tuple(whole)


class _Way:
    """What settings of the tokenizer come to.

    Attributes:
        private: whether characters of the private plane stand for what is kept.
        emoji: an emoji's row in the catalogue, None for one that it lacks -> what stands for it.
        link, user: what stands for one.
        hashtag: the same; None leaves it as it is.
        pattern: finds tokens in what was rewritten.
    """

    def __init__(self, settings: TokenizerSettings) -> None:
        self.private = settings != TokenizerSettings()
        self.emoji = {"named": _named, "kept": _kept, "dropped": _dropped}[settings.emojis]
        self.link, self.user = (
            f" {mark} " if choice == "marked" else " "
            for mark, choice in zip(_MARKS, (settings.links, settings.users), strict=True)
        )
        hashtags: dict[str, _Replacement | None] = {
            "split": lambda match: _CAMEL.sub(" ", match[1]), "dropped": " ", "kept": None,
        }  # fmt: skip
        self.hashtag = hashtags[settings.hashtags]
        more = [_PRIVATE.pattern] if self.private else []
        more += [r"#\w+"] if self.hashtag is None else []
        self.pattern = re.compile("|".join([*more, _TOKEN.pattern]))
        self._split = settings.contractions == "split"
        self._numbers = settings.numbers
        self._folded = settings.elongations == "folded"
        self._stands_for: dict[str, tuple[str, ...]] = {}
        if settings.emoticons != "kept":
            named = settings.emoticons == "named"
            self._stands_for |= {e: (word,) if named else () for e, word in _EMOTICONS.items()}
        if self._split:
            self._stands_for |= _CONTRACTIONS
        if settings.abbreviations == "spelled":
            self._stands_for |= {
                written: words if self._split else _contracted(words)
                for written, words in slang.STANDS_FOR.items()
            }

    def tokens(self, found: str) -> Sequence[str]:
        """Return what a match of the pattern stands for: tokens, or none."""
        tokens = self._stands_for.get(found)
        if tokens is None:
            clitic = _CLITIC.match(found) if self._split and "'" in found else None
            tokens = clitic.groups() if clitic else (found,)
            if self.private:
                tokens = tuple(self._settled(token) for token in tokens if self._stays(token))
        return tokens

    def _stays(self, token: str) -> bool:
        return self._numbers != "dropped" or not _NUMBER.fullmatch(token)

    def _settled(self, token: str) -> str:
        if _PRIVATE.match(token):
            return _MARKS.get(token) or catalogue().sequences[ord(token) - _FIRST_EMOJI]
        if self._numbers == "marked" and _NUMBER.fullmatch(token):
            return NUMBER
        return _ELONGATED.sub(r"\1\1", token) if self._folded else token


_way = functools.cache(_Way)
_DEFAULT = _Way(TokenizerSettings())


def _way_of(settings: TokenizerSettings | None) -> _Way:
    return _DEFAULT if settings is None else _way(settings)


def _prepared(text: str, way: _Way, sub: _Sub = re.Pattern.sub) -> str:
    """Return the text rewritten so that the way's pattern finds its tokens.

    ``sub`` does every step that changes where a character stands.
    """
    if not isinstance(text, str):
        raise InputError(f"a text must be a string, not {type(text).__name__}: {text!r:.60}")
    if len(text) > MAX_CHARACTERS:
        # Not the word that the cut goes through: a part of it may be another word.
        text = re.sub(r"\s\S*\Z", "", text[:MAX_CHARACTERS])
    if way.private:
        text = _PRIVATE.sub(" ", text)
    if _PERHAPS_EMOJI.search(text):
        import emoji  # Loads a large table, so only for texts that may need it.

        def rewritten(match: re.Match[str]) -> str:
            return emoji.replace_emoji(match[0], lambda one, _: way.emoji(catalogue().find(one)))

        text = sub(_PERHAPS_EMOJIS, rewritten, text)
    if not unicodedata.is_normalized("NFKC", text):
        text = sub(_BEYOND_ASCII, lambda match: unicodedata.normalize("NFKC", match[0]), text)
    text = text.replace("’", "'").replace("‘", "'")
    text = sub(_LINK, way.link, text)
    if "@" in text:
        text = sub(_USER, way.user, text)
    if "#" in text and way.hashtag is not None:
        text = sub(_HASHTAG, way.hashtag, text)
    if "İ" in text:
        text = sub(_DOTTED_I, "i\u0307", text)
    return text.lower()


def tokenize(text: str, settings: TokenizerSettings | None = None) -> list[str]:
    """Split a text into lower-case tokens in GloVe's convention.

    >>> tokenize("I'm NOT happy, don't @me #MondayMood https://x.org :(")
    ['i', "'m", 'not', 'happy', 'do', "n't", 'monday', 'mood', 'sad']
    >>> tokenize("so😂😂good", TokenizerSettings(emojis="kept"))
    ['so', '😂', '😂', 'good']

    Args:
        text: any string; beyond ``MAX_CHARACTERS`` it is not read.
        settings: what becomes of what is no plain word; None for the defaults.

    Returns:
        Tokens in order; ``[]`` where nothing is a word.

    Raises:
        InputError: ``text`` is not a string.
    """
    way = _way_of(settings)
    return [token for found in way.pattern.findall(_prepared(text, way))
            for token in way.tokens(found)]  # fmt: skip


def locate(text: str, settings: TokenizerSettings | None = None) -> list[Token]:
    """Split a text as `tokenize` does, and tell where in it each token came from.

    >>> [text[start:end] for text in ["I ❤ #MyDog!"] for _, start, end in locate(text)]
    ['I', '❤', '❤', 'My', 'Dog', '!']

    Raises:
        InputError: ``text`` is not a string.
    """
    way, origins = _way_of(settings), _Origins()
    prepared = _prepared(text, way, origins.sub)
    located = []
    for match in way.pattern.finditer(prepared):
        start = match.start()
        tokens = way.tokens(match[0])
        # Two tokens share their match out: "don't" is "do" and "n't", "im" is "i" and "m". What
        # stands for an abbreviation shares all of it.
        if len(tokens) == 2 and match[0].startswith(tokens[0]):
            middle = start + len(tokens[0])
            located.append(Token(tokens[0], *origins.piece(start, middle)))
            located.append(Token(tokens[1], *origins.piece(middle, match.end())))
        else:
            piece = origins.piece(start, match.end())
            located += [Token(token, *piece) for token in tokens]
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


MIN_SPLIT, MAX_SPLIT = 6, 40
"""Characters of an unknown token that is tried as words written together."""
MAX_COST = 2.6
"""Most cost (see ``Vocabulary``) a character of such words: more, and they are chance."""
MIN_MENDED = 6
"""Characters from which on a slip is mended; shorter words have too many neighbours."""
_MENDED = 15_000  # Rarer words are hardly what was meant.
_LONGEST = 16
_REMEMBERED = 1 << 15  # Tokens that are no word as they stand, at most 40 characters each: 5 MB.
_SHORT = frozenset(
    ["a", "i", "am", "at", "be", "by", "do", "go", "in", "is", "it", "me", "my", "no", "of", "on",
     "or", "so", "to", "up", "us", "we"]
)  # fmt: skip
_ENDINGS = (
    ("ies", "y"), ("es", ""), ("es", "e"), ("s", ""), ("z", "s"), ("z", ""), ("", "s"),
    ("in", "ing"), ("ing", ""), ("ing", "e"), ("ed", ""), ("ed", "e"), ("er", ""), ("ers", ""),
    ("y", ""), ("", "ed"), ("", "ing"), ("e", "ed"), ("e", "ing"), ("", "d"),
)  # fmt: skip
"""An unknown word's ending and what stands for it in another form of the word."""


def _forms(token: str) -> Iterator[str]:
    """Yield other forms of a word, whether they are words or not, the likelier ones first."""
    if len(token) < 4:
        return
    if token[-1] == token[-2]:
        yield token[:-1]
    for ending, other in _ENDINGS:
        stem = token.removesuffix(ending)
        if (not ending or stem != token) and len(stem) >= 3:
            yield stem + other
            # "scrubbing", "patted"
            if ending in ("ing", "ed") and not other and stem[-1] == stem[-2] and len(stem) > 3:
                yield stem[:-1]


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

    Unknown words are handled on purpose. In this order, until something is known: an elongated word
    is folded ("sooooo" to "so", "cutiee" to "cutie"), a word with hyphens falls into its parts,
    another form of the word is taken ("samosa": "samosas", "scrubbing": "scrub"), words written
    together are split ("suchagoodweek"), and one slip of the pen is mended ("assult"). What is
    still unknown is dropped as if it had not been written. A model therefore never sees a vector
    that stands for "something".

    Attributes:
        words: all of them, in the order of their rows.
        added, tokenizer: as they were given.

    Args:
        words: more frequent ones first, which splitting and mending prefer.
        added: how many of the words, the last ones, came later (see ``sqam.vocabulary.extend``).
            They are known as they are written, and nothing else is read as one of them; so a text
            that has none of them is read as it was.
        tokenizer: how texts become tokens; None for the defaults.

    Raises:
        InputError: no word, one twice, or more that were added than there are.
    """

    def __init__(
        self, words: Sequence[str], added: int = 0, tokenizer: TokenizerSettings | None = None
    ) -> None:
        self.words = list(words)
        self.added = added
        self.tokenizer = tokenizer
        self._ids = {word: row for row, word in enumerate(self.words)}
        if not 0 <= added < max(1, len(self.words)):
            raise InputError(f"{added} of {len(self.words)} words cannot have been added")
        self._first = self.words[: len(self.words) - added] if added else self.words
        # What else a token may be read as, is one of the first words.
        self._near = {word: self._ids[word] for word in self._first} if added else self._ids
        # A file says the same slips and hashtags again and again.
        self._remembered = functools.lru_cache(_REMEMBERED)(lambda token: tuple(self._found(token)))
        if not self.words or len(self._ids) != len(self.words):
            raise InputError("a vocabulary needs at least one word, and no word twice")

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        added: int = 0,
        tokenizer: TokenizerSettings | None = None,
    ) -> "Vocabulary":
        """Read a UTF-8 file with one word a line, in the order of the embedding's rows."""
        try:
            with open(path, encoding="utf-8", newline="\n") as file:
                return cls(file.read().split("\n")[:-1], added, tokenizer)
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the vocabulary {str(path)!r}: {error}") from error

    def reading(self) -> dict[str, Any]:
        """Return what a model's ``config.json`` says of how texts are read; {} for the defaults."""
        tokenizer = {} if self.tokenizer is None else dataclasses.asdict(self.tokenizer)
        return {
            name: value
            for name, value in {"added": self.added, "tokenizer": tokenizer}.items()
            if value
        }

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
        rows: list[int] = []
        for token in tokenize(text, self.tokenizer):
            row = self._ids.get(token)
            if row is not None:
                rows.append(row)
            elif len(token) <= MAX_SPLIT:
                rows += self._remembered(token)
            else:
                rows += self._found(token)
            if limit is not None and len(rows) >= limit:
                return rows[:limit]
        return rows

    def read(self, text: str, limit: int | None = None) -> list[Word]:
        """Return how a text is read, up to its ``limit``-th known word, by which reading ends.

        The rows of the words that have one are ``ids(text, limit)``.

        Raises:
            InputError: ``text`` is not a string.
        """
        words: list[Word] = []
        known = 0
        for word in (
            word for token in locate(text, self.tokenizer) for word in self._words(token, text)
        ):
            if known == limit:
                break
            words.append(word)
            known += word.row is not None
        return words

    def _found(self, token: str) -> Iterable[int]:
        """Return the rows of a token, or of what it is made of."""
        row = self._row(token)
        if row is not None:
            return (row,)
        return (row for part in self._parts(token) for row in self._found(part))

    def _words(self, token: Token, text: str) -> Iterator[Word]:
        """Yield the words of a token of the text in the order of `_found`, and the unknown ones."""
        whole, start, end = token
        row = self._row(whole)
        parts = self._parts(whole) if row is None else ()
        if not parts:
            yield Word(whole if row is None else self.words[row], start, end, row)
            return
        gap = "-" in whole
        # Parts of what is written otherwise, as "jack-o-lantern" or a slip is, share its piece.
        written = text[start:end].lower() == whole == ("-" if gap else "").join(parts)
        for part in parts:
            end = start + len(part) if written else end
            yield from self._words(Token(part, start, end), text)
            start = end + gap if written else start

    def _row(self, token: str) -> int | None:
        """Return the row of a token that is known whole, in this form or another."""
        row = self._ids.get(token)
        if row is not None:
            return row
        if "." in token:
            return self._near.get(f"{token}.", self._near.get(token.replace(".", "")))
        folds = {_REPEATED.sub(fold, token) for fold in (r"\1\1", r"\1")}
        rows = [self._near[fold] for fold in folds if fold in self._near]
        if rows or not token.isalpha():
            return min(rows, default=None)  # "goooo" is "go", not "goo"
        return next((self._near[form] for form in _forms(token) if form in self._near), None)

    def _parts(self, token: str) -> Sequence[str]:
        """Return what a token that is not known whole is made of: () if nothing is known of it."""
        if "-" in token:
            return token.split("-")
        if not token.isalpha():
            return ()
        return self._split(token) or self._mended(token)

    def _split(self, token: str) -> Sequence[str]:
        """Split a token into the likeliest known words, () where none are likely.

        A word is as likely as Zipf's law has it for its row.
        """
        if not MIN_SPLIT <= len(token) <= MAX_SPLIT:
            return ()
        scale = math.log(len(self._first) + 1)
        # The least cost of the characters up to each place, and where its last word begins.
        costs, begins = [0.0], [0]
        for end in range(1, len(token) + 1):
            cost, begin = math.inf, 0
            for start in range(max(0, end - _LONGEST), end):
                if costs[start] >= cost:
                    continue
                word = token[start:end]
                row = self._near.get(word) if end - start > 2 or word in _SHORT else None
                if row is None:
                    continue
                with_word = costs[start] + math.log((row + 10) * scale)
                if with_word < cost:
                    cost, begin = with_word, start
            costs.append(cost)
            begins.append(begin)
        if costs[-1] > MAX_COST * len(token):
            return ()
        parts, end = [], len(token)
        while end:
            parts.append(token[begins[end] : end])
            end = begins[end]
        return parts[::-1]

    def _mended(self, token: str) -> Sequence[str]:
        """Return the most frequent word that one slip makes into the token, () if there is none.

        The first letter is right nearly always (Pollock and Zamora: Collection and
        characterization of spelling errors in scientific and scholarly text, 1983).
        """
        if not MIN_MENDED <= len(token) <= MAX_SPLIT:
            return ()
        shorter = _shortened(token)
        swapped = (token[:i] + token[i + 1] + token[i] + token[i + 2 :]
                   for i in range(1, len(token) - 1))  # fmt: skip
        rows = [row for slip in (*shorter, *swapped) if (row := self._near.get(slip)) is not None]
        rows += self._lacking.get(token, ())
        for less in shorter:
            rows += [
                row
                for row in self._lacking.get(less, ())
                if len(self.words[row]) == len(token)
                and sum(map(operator.ne, self.words[row], token)) == 1
            ]
        row = min(rows, default=_MENDED)
        return (self.words[row],) if row < _MENDED else ()

    @functools.cached_property
    def _lacking(self) -> dict[str, list[int]]:
        """What frequent words are without one of their letters, and their rows.

        Two words of one length that differ in one letter are the same without it. So a slip is
        looked up, not guessed (Garbe's symmetric delete). It takes tens of milliseconds to make,
        which only a text with such a word waits for.
        """
        found: dict[str, list[int]] = {}
        for row, word in enumerate(self._first[:_MENDED]):
            if len(word) >= MIN_MENDED and word.isascii() and word.isalpha():
                for less in _shortened(word):
                    found.setdefault(less, []).append(row)
        return found


def _shortened(word: str) -> set[str]:
    """Return a word without one of its letters, the first of which stays."""
    return {word[:i] + word[i + 1 :] for i in range(1, len(word))}


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
