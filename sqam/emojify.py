"""Text in, the same text with a fitting emoji after each sentence out.

Sentences are found by sentencex. Around it stand a few rules for what it does not read as people
write it:

- A line break ends a sentence, unless the next line goes on in lower case.
- A sentence ends at white space, so not within "Node.JS" or "**bold.**"; only the full stops of
  East Asian scripts need none.
- Closing marks ("**", quotes, brackets), emojis and emoticons that follow a sentence's punctuation
  on its line belong to it: "Great! :D" is one sentence. Brackets of emoticons enclose nothing.
- The number of a list item ("1.") is no sentence.
"""

import itertools
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypedDict, overload

from emoji_vae.errors import InputError
from sqam.bulk import MatchObject, json_line, match_object

# This module is read for --help, so what it needs for its work is imported there.
if TYPE_CHECKING:
    from emoji_vae.codes import EmojiCodes
    from sqam.scorer import Scorer

MIN_SCORE = 0.58
"""The default least cosine; chosen by ``python -m pipelines.calibrate_emojify``."""

# Sentences that are ranked together: their scores with every emoji take some 15 MB.
_BATCH = 2048

# Characters of the same length stand for emojis and emoticons while sentences are found, so that
# places in the text stay as they are.
_EMOJI, _EMOTICON = "\ufffc", "\ue000"
_STANDS_FOR = re.compile(f"[{_EMOJI}{_EMOTICON}]")
_EMOTICONS = re.compile(
    r"(?:[:;]|(?<!\w)=)['-]?[()\[\]]+|(?<!\S)(?:[:;=]['-]?[DdPpOo3*/\\|]|[Xx]D|</?3|\^_*\^)(?!\w)"
)
_SURROGATE = re.compile("[\ud800-\udfff]")
# ©, ™, ‼ and their like are punctuation unless U+FE0F asks for a picture.
_FIRST_PICTURE = "\u2200"

_CLOSING = r"""*_~`)\]}"'”’»」』""" + "\u203a\uff09"
_BELONGS = re.compile(
    rf"(?:(?<!\s)[{_CLOSING}]+)?(?:(?:[^\S\r\n]*[{_EMOJI}{_EMOTICON}]+)+[{_CLOSING}.!?…]*)?"
)
# The full stops, marks and closing brackets of East Asian scripts.
_NEEDS_NO_SPACE = frozenset("。\uff01\uff1f\uff61」』\uff09" + _EMOJI)
_NUMBER = re.compile(r"\s*[(\[]?(?:\d{1,3}|[a-z])[.)\]]+\s*")


class Insertion(NamedTuple):
    """An emoji that is inserted, after a space, with its cosine in [-1, 1].

    ``position`` counts the characters of the original text before it.
    """

    position: int
    emoji: str
    name: str
    score: float


@dataclass(frozen=True)
class Emojified:
    """A text and what is inserted into it, in order; as a string, the text with its emojis."""

    text: str
    insertions: tuple[Insertion, ...]

    @property
    def emojified(self) -> str:
        """The text with a space and the emoji at each insertion's position."""
        parts, end = [], 0
        for insertion in self.insertions:
            parts += [self.text[end : insertion.position], " ", insertion.emoji]
            end = insertion.position
        return "".join([*parts, self.text[end:]])

    def __str__(self) -> str:
        return self.emojified


class InsertionObject(MatchObject):
    """One insertion as JSON has it."""

    position: int


class Result(TypedDict):
    """What is said of one text: as it was, as it is with emojis, and what was inserted where."""

    text: str
    emojified: str
    insertions: list[InsertionObject]


@dataclass(frozen=True)
class Emojifying:
    """The task of emojifying texts, for `sqam.bulk`; the attributes are those of `emojify`."""

    scorer: "Scorer"
    candidates: "EmojiCodes"
    max_per_sentence: int = 1
    min_score: float = MIN_SCORE

    made: ClassVar[type] = Result
    finds: ClassVar[str] = "insertions"
    becomes: ClassVar[str] = "emojified"
    nothing: ClassVar[str] = (
        "got no emoji (no known word, none reaches --min-score, or one is there already)"
    )
    header: ClassVar[Sequence[str]] = ("text", "emojified")
    rechecked: ClassVar[int] = 64

    def results(self, texts: Sequence[str]) -> list[Result]:
        """Return each text with its emojis."""
        found = emojify(texts, self.scorer, self.candidates, self.max_per_sentence, self.min_score)
        return [
            {
                "text": one.text,
                "emojified": one.emojified,
                "insertions": [
                    {"position": position, **match_object(emoji, name, score)}
                    for position, emoji, name, score in one.insertions
                ],
            }
            for one in found
        ]

    def lines(self, texts: Sequence[str]) -> Iterator[tuple[str, bool]]:
        """Yield each text with its emojis as a line of JSON, and whether it got one."""
        return ((json_line(one), bool(one["insertions"])) for one in self.results(texts))

    def tells(self, result: Mapping[str, Any]) -> bool:
        """Tell that every text counts: one without an emoji may get one with other options."""
        return True

    def rows(self, result: Mapping[str, Any]) -> Iterator[Sequence[object]]:
        """Yield one row a text."""
        yield result["text"], result["emojified"]


def check(max_per_sentence: int, min_score: float) -> None:
    """Refuse options that mean nothing.

    Raises:
        InputError: ``max_per_sentence`` is no whole number of at least 1, or ``min_score`` is no
            cosine, a number in [-1, 1].
    """
    if (
        not isinstance(max_per_sentence, int)
        or isinstance(max_per_sentence, bool)
        or max_per_sentence < 1
    ):
        raise InputError(
            f"{max_per_sentence!r:.60} emojis a sentence cannot be; give a whole number of at "
            "least 1"
        )
    # NaN is in no order with anything.
    if not isinstance(min_score, int | float) or not -1 <= min_score <= 1:
        raise InputError(
            f"the least score {min_score!r:.60} is no cosine; give a number from -1 to 1"
        )


@overload
def emojify(  # type: ignore[overload-overlap]  # a string is no list of texts
    texts: str,
    scorer: "Scorer",
    candidates: "EmojiCodes",
    max_per_sentence: int = ...,
    min_score: float = ...,
) -> Emojified: ...


@overload
def emojify(
    texts: Iterable[str],
    scorer: "Scorer",
    candidates: "EmojiCodes",
    max_per_sentence: int = ...,
    min_score: float = ...,
) -> list[Emojified]: ...


def emojify(
    texts: str | Iterable[str],
    scorer: "Scorer",
    candidates: "EmojiCodes",
    max_per_sentence: int = 1,
    min_score: float = MIN_SCORE,
) -> Emojified | list[Emojified]:
    """Find fitting emojis for the sentences of texts, and where they go.

    >>> scorer, codes = Scorer.load(), EmojiCodes.load()
    >>> print(emojify("Lets get coffee and talk. Love you!", scorer, codes))
    Lets get coffee and talk. ☕ Love you! ❤️

    An emoji goes after the sentence's punctuation, closing quotes, brackets and marks, and before
    the white space that follows. Nothing else of the text changes. A sentence is left alone if no
    emoji reaches ``min_score``, if the model knows no word of it, if no word stands after its last
    emoji (it ends with an emoji, or holds nothing else), or if it has no letter.

    Args:
        texts: one text, or several; any strings.
        scorer: ranks the candidates for each sentence.
        candidates: emojis to choose from.
        max_per_sentence: how many emojis a sentence gets at most, best first; at least 1.
        min_score: the least cosine of an emoji, in [-1, 1].

    Returns:
        One object for a string, else a list of them in the order of the texts.

    Raises:
        InputError: a text that is no string, ``max_per_sentence`` or ``min_score`` out of range.
    """
    check(max_per_sentence, min_score)
    given = [texts] if isinstance(texts, str) else list(texts)
    # The places are kept, sentence by sentence: (text, end), and the sentences pass in batches.
    places: list[tuple[int, int]] = []
    wanting: list[str] = []
    for number, text in enumerate(given):
        for start, end in _without_emoji(text):
            places.append((number, end))
            wanting.append(text[start:end])
    insertions: list[list[Insertion]] = [[] for _ in given]
    for first in range(0, len(wanting), _BATCH):
        batch = slice(first, first + _BATCH)
        ranked = scorer.rank(wanting[batch], candidates, max_per_sentence)
        for (number, end), matches in zip(places[batch], ranked, strict=True):
            insertions[number] += [
                Insertion(end, *match) for match in matches if match.score >= min_score
            ]
    found = [
        Emojified(text, tuple(inserted)) for text, inserted in zip(given, insertions, strict=True)
    ]
    return found[0] if isinstance(texts, str) else found


def sentences(text: str) -> list[tuple[int, int]]:
    """Find the sentences of a text: where each starts and ends, without white space around it.

    Raises:
        InputError: ``text`` is not a string.
    """
    return list(_spans(_masked(text)))


def _without_emoji(text: str) -> Iterator[tuple[int, int]]:
    """Yield the spans of the sentences that have a letter and do not end with an emoji."""
    masked = _masked(text)
    for start, end in _spans(masked):
        for character in reversed(masked[start:end]):
            if character == _EMOJI:
                break
            if character.isalnum():
                if any(map(str.isalpha, _STANDS_FOR.sub("", masked[start:end]))):
                    yield start, end
                break


def _masked(text: str) -> str:
    """Return the text, as long as it was, with stand-ins for emojis and emoticons."""
    if not isinstance(text, str):
        raise InputError(f"a text must be a string, not {type(text).__name__}: {text!r:.60}")
    text = _SURROGATE.sub("\ufffd", text)
    if not text.isascii():
        import emoji  # Loads a large table, so only for texts that may need it.

        characters = list(text)
        for found in emoji.emoji_list(text):
            start, end = found["match_start"], found["match_end"]
            if text[start] >= _FIRST_PICTURE or "\ufe0f" in found["emoji"]:
                characters[start:end] = _EMOJI * (end - start)
        text = "".join(characters)
    return _EMOTICONS.sub(lambda match: _EMOTICON * len(match[0]), text)


def _spans(masked: str) -> Iterator[tuple[int, int]]:
    start = 0
    for block in _blocks(masked):
        ends = list(_ends(block))
        for first, end in itertools.pairwise([0, *ends]):
            sentence = block[first:end]
            stripped = sentence.strip()
            if stripped:
                before = len(sentence) - len(sentence.lstrip())
                yield start + first + before, start + first + before + len(stripped)
        start += len(block)


def _blocks(text: str) -> Iterator[str]:
    """Yield the text's lines, those together that go on in lower case."""
    block: list[str] = []
    for line in text.splitlines(keepends=True):
        if block and not (block[-1].strip() and line.lstrip()[:1].islower()):
            yield "".join(block)
            block = []
        block.append(line)
    yield "".join(block)


def _ends(block: str) -> Iterator[int]:
    """Yield where the block's sentences end, the last at its end."""
    import sentencex

    # English knows the punctuation of many scripts; the model reads English alone.
    end = last = 0
    for segment in sentencex.segment("en", block)[:-1]:
        end += len(segment)
        if end <= last:  # swallowed by the sentence before
            continue
        after = _BELONGS.match(block, end)
        assert after is not None  # it matches nothing as well
        if after.end() == len(block):
            break
        for place in (after.end(), end):
            if _may_end(block, place):
                if not _NUMBER.fullmatch(block, last, place):
                    yield place
                    last = place
                break
    yield len(block)


def _may_end(block: str, place: int) -> bool:
    if block[place].isspace() or block[place - 1].isspace():
        return True
    # What would join an emoji before it (marks, joiners) stays where it is.
    joins = unicodedata.category(block[place])[0] in "MC"
    return block[place - 1] in _NEEDS_NO_SPACE and not joins
