"""Which words pulled a text's first emojis up: what their scores lose without each of them."""

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict

from emoji_vae.command import printable
from emoji_vae.errors import InputError
from sqam.bulk import MatchObject, match_line, match_object, no_matches, rounded

# This module is read for --help, so what it needs for its work is imported there.
if TYPE_CHECKING:
    from emoji_vae.codes import EmojiCodes
    from sqam.scorer import Scorer
    from sqam.text import Word

# Backgrounds of a terminal's 256 colours, from pale to full; black is read on all of them.
_UP = (194, 157, 120, 83, 46)
_DOWN = (224, 217, 210, 203, 196)

# Of a piece of the text, of a word that was passed over, and how many of these a line holds.
_PIECE_WIDTH = 60
_WORD_WIDTH = 40
_WORDS = 20


@dataclass(frozen=True)
class Pull:
    """How far a word pulled an emoji up, or down where that is negative.

    Attributes:
        token: the vocabulary's word.
        start, end: the piece of the text that it came from; words may share one.
        pull: the score of the text minus the score without this one token, in [-2, 2].
    """

    token: str
    start: int
    end: int
    pull: float


@dataclass(frozen=True)
class Explanation:
    """A match and the pull of each token that was read, in the order of the text."""

    emoji: str
    name: str
    score: float
    tokens: tuple[Pull, ...]


@dataclass(frozen=True)
class Explained:
    """A text, its best matches explained, and its words that the model does not know."""

    text: str
    explanations: tuple[Explanation, ...]
    passed_over: tuple["Word", ...]


class PullObject(TypedDict):
    """One token's pull as JSON has it; ``start`` and ``end`` count the text's code points."""

    token: str
    pull: float
    start: int
    end: int


class ExplanationObject(MatchObject):
    """One explained match as JSON has it."""

    tokens: list[PullObject]


Result = TypedDict(
    "Result",
    {"text": str, "explanations": list[ExplanationObject], "passed over": list[str]},
)


def explain(text: str, scorer: "Scorer", candidates: "EmojiCodes", k: int = 3) -> Explained:
    """Tell for the best matches of a text how far each of its tokens pulled them up.

    >>> scorer, codes = Scorer.load(), EmojiCodes.load()
    >>> [best] = explain("We ate pizza", scorer, codes, k=1).explanations
    >>> print(best.emoji, max(best.tokens, key=lambda token: token.pull).token)
    🍕 pizza

    Tokens are left out one at a time, of what the model reads of the text: where a token of a
    longer text is left out, none moves up into its place. The pulls of a text need not add up to
    its score: of two words that say the same, each is hardly missed.

    The only known token of a text has the whole score as its pull, since the scorer gives 0 to a
    text without a known word.

    Args:
        text: with a word that the scorer knows.
        scorer: ranks the candidates, and scores what is left of the text.
        candidates: what is ranked.
        k: how many matches to explain, at least 1.

    Raises:
        InputError: a text that is no string or has no known word, or ``k`` is below 1.
    """
    from sqam.scorer import Match

    (best,) = scorer.best([text], candidates, k)
    if not best:
        raise InputError(no_matches(text))
    words = scorer.read(text)
    known = [(word, word.row) for word in words if word.row is not None]
    rows = [row for _, row in known]
    without = [rows[:place] + rows[place + 1 :] for place in range(len(rows))]
    scores = scorer.score_rows([rows, *without], candidates)
    pulls = scores[0] - scores[1:]
    return Explained(
        text,
        tuple(
            Explanation(
                *Match.of(candidates.names[place], score),
                tuple(
                    Pull(word.word, word.start, word.end, float(pull))
                    for (word, _), pull in zip(known, pulls[:, place], strict=True)
                ),
            )
            for place, score in best
        ),
        tuple(word for word in words if word.row is None),
    )


def as_object(explained: Explained) -> Result:
    """Return what JSON says of an explained text; each word that was passed over comes once."""
    return {
        "text": explained.text,
        "explanations": [
            {
                **match_object(one.emoji, one.name, one.score),
                "tokens": [
                    {
                        "token": token.token,
                        "pull": rounded(token.pull),
                        "start": token.start,
                        "end": token.end,
                    }
                    for token in one.tokens
                ],
            }
            for one in explained.explanations
        ],
        "passed over": _unknown(explained),
    }


def lines(explained: Explained, colored: bool) -> Iterator[str]:
    """Yield what a terminal shows of an explained text.

    For each match there is a line as in a ranking, with ``colored`` the text in colours, and a
    table of the tokens, the strongest pull first. Where a token is written otherwise in the text,
    that follows in brackets. Control characters of the text are left out.
    """
    spots = [_spots(explained, one) for one in explained.explanations]
    # One measure for the colours of all matches, so that they can be compared.
    strongest = max((abs(spot.pull or 0.0) for spot in itertools.chain(*spots)), default=0.0)
    for rank, one in enumerate(explained.explanations, start=1):
        if rank > 1:
            yield ""
        yield match_line(rank, match_object(one.emoji, one.name, one.score))
        if colored:
            yield f"     {_painted(explained.text, spots[rank - 1], strongest)}"
        for token in sorted(one.tokens, key=lambda token: -token.pull):
            yield f"     {rounded(token.pull):+.4f}  {token.token}{_origin(explained, token)}"
    if unknown := _unknown(explained):
        shown = ", ".join(_shown(word, _WORD_WIDTH) for word in unknown[:_WORDS])
        more = f" and {len(unknown) - _WORDS} more" if len(unknown) > _WORDS else ""
        yield ""
        yield f"passed over: {shown}{more}"


def _unknown(explained: Explained) -> list[str]:
    return list(dict.fromkeys(word.word for word in explained.passed_over))


def _origin(explained: Explained, token: Pull) -> str:
    piece = explained.text[token.start : token.end]
    same = piece.lower().replace("’", "'") == token.token
    return "" if same else f"  ({_shown(piece, _WORD_WIDTH)})"


def _painted(text: str, spots: list["_Spot"], strongest: float) -> str:
    """Return the text as a terminal shows it: what pulled up on green, what pulled down on red."""
    parts, end = [], 0
    for spot in spots:
        parts.append(_shown(text[end : spot.start], _PIECE_WIDTH))
        piece = _shown(text[spot.start : spot.end], _PIECE_WIDTH)
        if spot.pull is None:
            piece = f"\x1b[2m{piece}\x1b[0m"
        elif strength := strongest and round(abs(spot.pull) / strongest * len(_UP)):
            color = (_UP if spot.pull > 0 else _DOWN)[strength - 1]
            piece = f"\x1b[38;5;16;48;5;{color}m{piece}\x1b[0m"
        parts.append(piece)
        end = spot.end
    return "".join([*parts, _shown(text[end:], _PIECE_WIDTH)])


@dataclass(frozen=True)
class _Spot:
    """A piece of the text and the pull of all its tokens; None where all were passed over."""

    start: int
    end: int
    pull: float | None


def _spots(explained: Explained, one: Explanation) -> list[_Spot]:
    """Return the pieces that tokens came from, in order; those that overlap as one.

    Of many words in a row that were passed over the first are there, so that a line stays short.
    """
    found = [_Spot(token.start, token.end, token.pull) for token in one.tokens]
    found += [_Spot(word.start, word.end, None) for word in explained.passed_over]
    spots: list[_Spot] = []
    end = 0
    for spot in sorted(found, key=lambda spot: spot.start):
        if spot.pull is not None:
            end = spot.end
        elif spot.start > end + _PIECE_WIDTH:
            continue
        if spots and spot.start < spots[-1].end:
            last = spots.pop()
            pulls = [pull for pull in (last.pull, spot.pull) if pull is not None]
            spot = _Spot(last.start, max(last.end, spot.end), sum(pulls) if pulls else None)
        spots.append(spot)
    return spots


def _shown(text: str, width: int) -> str:
    """Return the text on one line of a terminal, cut to ``width`` characters."""
    text = text if len(text) <= width else text[: width - 1] + "…"
    return printable(re.sub(r"\s", " ", text))
