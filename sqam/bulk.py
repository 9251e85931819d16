"""Texts in, result objects out: one text, several, or an endless stream, by one path."""

import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import add
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self, TypedDict, TypeVar, cast

from emoji_vae.command import printable, shortened

if TYPE_CHECKING:
    from emoji_vae.codes import EmojiCodes
    from sqam.scorer import Scorer

# Texts that are handled together; long ones make a smaller chunk, so that memory stays bounded.
CHUNK_TEXTS = 1024
CHUNK_CHARACTERS = 4_000_000

_T = TypeVar("_T")
_DIGITS = 4
_JSON = json.JSONEncoder(ensure_ascii=False)
_SURROGATE = re.compile("[\ud800-\udfff]")


class MatchObject(TypedDict):
    """One ranked emoji; the score is the cosine, rounded to four digits."""

    emoji: str
    name: str
    score: float


class Result(TypedDict):
    """What is said of one text; no matches where the model knows no word of it."""

    text: str
    matches: list[MatchObject]


class Task(Protocol):
    """What is done with texts: each becomes an object that JSON can hold, with its ``"text"``."""

    made: ClassVar[type]
    """The TypedDict of an object."""

    finds: ClassVar[str]
    """Where an object holds the list of what was found, items with a ``"score"``."""

    becomes: ClassVar[str]
    """Where an object holds what a line of text becomes."""

    nothing: ClassVar[str]
    """What is said of texts that nothing was found for, after their number."""

    header: ClassVar[Sequence[str]]
    """The columns of a .csv output."""

    rechecked: ClassVar[int]
    """How many finished texts show, done again, that a resumed run has the same options."""

    def results(self, texts: Sequence[str]) -> Sequence[Mapping[str, Any]]:
        """Return an object a text, in order."""

    def lines(self, texts: Sequence[str]) -> Iterable[tuple[str, bool]]:
        """Return each text's object as `json_line` writes it, and whether anything was found."""

    def tells(self, result: Mapping[str, Any]) -> bool:
        """Tell whether doing this object's text again can show that the options differ."""

    def rows(self, result: Mapping[str, Any]) -> Iterator[Sequence[object]]:
        """Yield an object's rows of a .csv output."""


def late_scorer(folder: Path | None = None, threads: int = 0) -> "Scorer":
    """Return a scorer that a process opens when it first asks it for something.

    So a process that sends its work to others need not open one itself. The scorer raises what
    `Scorer.load` does when it is first asked.

    Args:
        folder: of the model; None: the one that ships.
        threads: of the runtime, as `Scorer.load` has them.
    """
    return cast("Scorer", _LateScorer(folder, threads))


class _LateScorer:
    def __init__(self, folder: Path | None, threads: int) -> None:
        self._settings = folder, threads

    def __reduce__(self) -> tuple[type[Self], tuple[Path | None, int]]:
        return type(self), self._settings

    @functools.cached_property
    def _scorer(self) -> "Scorer":
        from sqam.scorer import Scorer

        return Scorer.load(*self._settings)

    def __getattr__(self, name: str) -> Any:
        # What this class has not; private names are asked for by those who copy objects.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._scorer, name)


@dataclass(frozen=True)
class Ranking:
    """The task of ranking the candidates for each text; ``k`` matches at most, at least 1."""

    scorer: "Scorer"
    candidates: "EmojiCodes"
    k: int

    made: ClassVar[type] = Result
    finds: ClassVar[str] = "matches"
    becomes: ClassVar[str] = "text"
    nothing: ClassVar[str] = "have no word that the model knows and got no matches"
    header: ClassVar[Sequence[str]] = ("text", "rank", "emoji", "name", "score")
    rechecked: ClassVar[int] = 1

    def results(self, texts: Sequence[str]) -> list[Result]:
        """Return each text with its matches, best first.

        Raises:
            InputError: from the scorer, e.g. ``k`` below 1.
        """
        ranked = self.scorer.rank(texts, self.candidates, self.k)
        return [result_object(*pair) for pair in zip(texts, ranked, strict=True)]

    def lines(self, texts: Sequence[str]) -> Iterator[tuple[str, bool]]:
        """Yield what `json_line` makes of `results`, several times as fast: no object is made.

        Raises:
            InputError: as `results`.
        """
        import numpy as np  # --help does without

        begun, said = self._begun.__getitem__, _SAID.__getitem__
        places, scores, known = self.scorer.best_arrays(texts, self.candidates, self.k)
        # Scores are of 24 bits, so the product in 53 is exact, and its rounding that of `rounded`.
        numbers = np.rint(1e4 * scores.astype(np.float64)).astype(int)
        rows = zip(texts, places.tolist(), numbers.tolist(), known.tolist(), strict=True)
        for text, row, ten_thousandths, knows in rows:
            matches = map(add, map(begun, row), map(said, ten_thousandths))
            found = ", ".join(matches) if knows else ""
            yield f'{{"text": {_JSON.encode(text)}, "matches": [{found}]}}\n', knows

    @functools.cached_property
    def _begun(self) -> "_Begun":
        return _Begun(self.candidates)

    def tells(self, result: Mapping[str, Any]) -> bool:
        """Tell whether there are matches, whose scores are those of the candidates."""
        return bool(result["matches"])

    def rows(self, result: Mapping[str, Any]) -> Iterator[Sequence[object]]:
        """Yield a row a match, and one without for a text that has none."""
        if not result["matches"]:
            yield result["text"], "", "", "", ""
        for rank, match in enumerate(result["matches"], start=1):
            yield result["text"], rank, match["emoji"], match["name"], match["score"]


class _Begun(dict[int, str]):
    """By a candidate's place, its match in JSON up to the score."""

    def __init__(self, candidates: "EmojiCodes") -> None:
        self._candidates = candidates

    def __missing__(self, place: int) -> str:
        from sqam.scorer import Match  # loads the runtime, which --help does without

        match = json_line(match_object(*Match.of(self._candidates.names[place], 0.0)))
        self[place] = begun = match.removesuffix("0.0}\n")
        return begun


class _Said(dict[int, str]):
    """By ten thousand times a score, rounded, a match in JSON from the score on."""

    def __missing__(self, number: int) -> str:
        self[number] = said = f"{number / 1e4!r}}}"
        return said


_SAID = _Said()


def mended(text: str) -> str:
    """Return the text with U+FFFD for lone surrogates, so that it is valid Unicode."""
    return _SURROGATE.sub("\ufffd", text)


def match_object(emoji: str, name: str, score: float) -> MatchObject:
    """Return a match as JSON has it."""
    return {
        # A candidate may be named after a file, and files have any name.
        "emoji": mended(emoji),
        "name": mended(name),
        "score": rounded(score),
    }


def result_object(text: str, matches: Iterable[tuple[str, str, float]]) -> Result:
    """Return a text and its matches as JSON has them."""
    return {"text": text, "matches": [match_object(*match) for match in matches]}


def match_line(rank: int, match: MatchObject) -> str:
    """Return a match as a row of a table for people."""
    # The tab keeps names in line, however wide a terminal draws an emoji. A picture has no name
    # but its file's.
    name = f"\t{match['name']}" if match["name"] != match["emoji"] else ""
    return f"{rank:3}  {match['score']:7.4f}  {printable(match['emoji'])}{name}"


def no_matches(text: str) -> str:
    """Return what to say of a text without a word that the model knows."""
    if not text.strip():
        return f"the text {shortened(text)} is empty; give some words"
    return f"the model knows no word of {shortened(text)}; try other, English words"


def rounded(score: float) -> float:
    """Return a score as JSON has it."""
    # Adding 0.0 turns -0.0 into 0.0.
    return round(float(score), _DIGITS) + 0.0


@dataclass
class Tally:
    """Counts of the texts that were handled, that nothing was found for, and that were mended."""

    texts: int = 0
    unmatched: int = 0
    replaced: int = 0
    nothing: str = Ranking.nothing

    def add(self, text: str, handled: str, found: bool) -> None:
        """Count one text as it was read, as it was handled, and whether anything was found."""
        self.texts += 1
        self.unmatched += not found
        self.replaced += text != handled

    def include(self, other: "Tally") -> None:
        """Count what another has counted."""
        self.texts += other.texts
        self.unmatched += other.unmatched
        self.replaced += other.replaced

    def note(self) -> str:
        """Return one line on what a user should know, or an empty string."""
        notes = []
        if self.unmatched:
            notes.append(f"{self.unmatched} {self.nothing}")
        if self.replaced:
            notes.append(f"{self.replaced} are not valid Unicode; U+FFFD stands for the bad parts")
        return f"of {self.texts} texts " + ", ".join(notes) if notes else ""


def results(
    scorer: "Scorer", texts: Iterable[str], candidates: "EmojiCodes", k: int, tally: Tally
) -> Iterator[Result]:
    """Yield one ranking a text, in order, ranking in chunks.

    Args:
        scorer: ranks the texts.
        texts: any strings; lone surrogates become U+FFFD.
        candidates: what is ranked.
        k: how many matches a text gets at most, at least 1.
        tally: counts what is yielded.

    Raises:
        InputError: from the scorer, e.g. ``k`` below 1.
    """
    found = objects(Ranking(scorer, candidates, k), texts, tally)
    return cast(Iterator[Result], found)


def objects(
    task: Task, texts: Iterable[str], tally: Tally, mend: bool = True
) -> Iterator[Mapping[str, Any]]:
    """Yield one object a text, in order, handling them in chunks.

    Args:
        task: what is done with the texts.
        texts: any strings.
        tally: counts what is yielded.
        mend: lone surrogates become U+FFFD; else the task gets texts as they are.

    Raises:
        InputError: from the task.
    """
    for chunk in chunks(texts):
        yield from of_chunk(task, chunk, tally, mend)


def of_chunk(
    task: Task, chunk: Sequence[str], tally: Tally, mend: bool = True
) -> Iterator[Mapping[str, Any]]:
    """Yield one object a text, as `objects` does, handling all texts together."""
    clean = [mended(text) for text in chunk] if mend else chunk
    for raw, result in zip(chunk, task.results(clean), strict=True):
        tally.add(raw, result["text"], bool(result[task.finds]))
        yield result


def lines_of_chunk(task: Task, chunk: Sequence[str], tally: Tally) -> Iterator[str]:
    """Yield what `json_line` makes of each object of `of_chunk`; lone surrogates become U+FFFD."""
    clean = [mended(text) for text in chunk]
    for raw, text, (line, found) in zip(chunk, clean, task.lines(clean), strict=True):
        tally.add(raw, text, found)
        yield line


def chunks(texts: Iterable[_T], text: Callable[[_T], str] = str) -> Iterator[list[_T]]:
    """Yield what is handled together.

    The last digits of a score depend on the texts that share its chunk. So a chunk ends after every
    ``CHUNK_TEXTS``-th of all texts, whatever came before: who begins at such a place gets the
    chunks, and the scores, of who began at the first text.

    Args:
        texts: texts, or what holds one each.
        text: returns the text.
    """
    chunk: list[_T] = []
    characters = 0
    for number, one in enumerate(texts, start=1):
        chunk.append(one)
        characters += len(text(one))
        if number % CHUNK_TEXTS == 0 or characters >= CHUNK_CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def json_line(result: Mapping[str, Any]) -> str:
    """Return the result as one line of JSON, with its line end."""
    return json.dumps(result, ensure_ascii=False) + "\n"
