"""Check the phrasebook: valid lines, known emojis, nothing said twice; count what it covers.

python -m pipelines.check_phrasebook                   # assets/phrasebook, phrasebook-lessons
python -m pipelines.check_phrasebook new.jsonl         # another file, against all of it
python -m pipelines.check_phrasebook --seldom 5        # emojis that are seldom the best answer
"""

import argparse
import functools
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from emoji_vae.catalogue import catalogue
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from pipelines import phrases
from sqam.text import tokenize

MAX_CHARACTERS = 140
MIN_EMOJIS, MAX_EMOJIS = 2, 6
NEAR = 0.75
"""Share of common words from which on two texts count as the same."""
_MIN_WORDS = 4
"""Shorter texts are the same only if all words are: "good morning" and "good night" are not."""
NEGATIONS = frozenset(["not", "n't", "no", "never", "nothing", "nobody", "none", "without"])
"""Tokens that make a text one with a negation."""


class Line(NamedTuple):
    """A line of a phrasebook: where it stands, its text, its tokens and its emojis, best first."""

    place: str
    text: str
    tokens: tuple[str, ...]
    emojis: tuple[str, ...]


def read(path: Path) -> tuple[list[Line], list[str]]:
    """Read a file of lines ``{"text": ..., "emojis": [...]}``.

    Returns:
        The good lines, and what is wrong with the others.

    Raises:
        InputError: the file cannot be read.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read {str(path)!r}: {error}; name a phrasebook file") from error
    good, wrong = [], []
    for number, line in enumerate(lines, start=1):
        place = f"{path.parent.name}/{path.name}:{number}"
        found = _line(place, line)
        if isinstance(found, Line):
            good.append(found)
        else:
            wrong.append(f"{place}: {found}")
    return good, wrong


def _line(place: str, line: str) -> Line | str:
    """Return the line, or what is wrong with it."""
    try:
        entry = json.loads(line)
    except json.JSONDecodeError as error:
        return f"no JSON ({error})"
    if not isinstance(entry, dict) or list(entry) != ["text", "emojis"]:
        return "must have the keys text and emojis, in this order"
    text, emojis = entry["text"], entry["emojis"]
    if not isinstance(text, str) or not isinstance(emojis, list):
        return "text must be a string and emojis a list"
    if not tokenize(text):
        return f"{text!r:.60} has no word"
    if len(text) > MAX_CHARACTERS:
        return f"the text has {len(text)} characters, more than {MAX_CHARACTERS}"
    if unknown := [emoji for emoji in emojis if emoji not in _known()]:
        return f"{unknown[0]!r:.60} is no emoji of the catalogue; use its full spelling"
    if not MIN_EMOJIS <= len(emojis) <= MAX_EMOJIS:
        return f"{len(emojis)} emojis; give {MIN_EMOJIS} to {MAX_EMOJIS}"
    if len(set(emojis)) < len(emojis):
        return "an emoji stands twice"
    return Line(place, text, tuple(tokenize(text)), tuple(emojis))


@functools.cache
def _known() -> frozenset[str]:
    return frozenset(catalogue().sequences)


def repeated(lines: Iterable[Line]) -> Iterator[tuple[Line, Line]]:
    """Yield each line that says the same as an earlier one, with that.

    Two texts are the same if their tokens are, or, from 4 different words on, if the words they
    share are at least `NEAR` of all of both's (Jaccard's index).
    """
    exact: dict[tuple[str, ...], Line] = {}
    with_word: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        words = set(line.tokens)
        other = exact.get(line.tokens) or _near(words, with_word)
        if other is not None:
            yield line, other
        else:
            exact[line.tokens] = line
            for word in words:
                with_word[word].append(line)


def _near(words: set[str], with_word: dict[str, list[Line]]) -> Line | None:
    if len(words) < _MIN_WORDS:
        return None
    # Of two texts so alike one holds more than a quarter of the other's words, rare ones too; the
    # rarest of each text that make this up suffice to find it.
    rarest = sorted(words, key=lambda word: (len(with_word.get(word, ())), word))
    looked = rarest[: len(words) - int(NEAR * len(words)) + 1]
    for other in {id(line): line for word in looked for line in with_word.get(word, ())}.values():
        others = set(other.tokens)
        if len(words & others) >= NEAR * len(words | others):
            return other
    return None


def coverage(lines: Sequence[Line]) -> Counter[str]:
    """Return how often each emoji is the best answer."""
    return Counter(line.emojis[0] for line in lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.check_phrasebook", description=__doc__)
    parser.add_argument("files", nargs="*", type=Path, help="default: all of the phrasebook")
    parser.add_argument(
        "--seldom", type=int, metavar="N", help="list emojis that are the best answer below N times"
    )
    return run(parser.prog, lambda: _work(parser.parse_args(argv)))


def _work(options: argparse.Namespace) -> None:
    own = phrases.book_files()
    files = [*own, *(file for file in options.files if file.resolve() not in own)]
    lines, wrong = [], []
    for file in files:
        good, bad = read(file)
        lines += good
        wrong += bad
    wrong += [f"{line.place}: says the same as {other.place}" for line, other in repeated(lines)]
    best = coverage(lines)
    emojis = list(catalogue())
    parts = Counter(
        "train" if line.place.startswith(f"{phrases.LESSONS}/") else phrases.part(key)
        for line in lines
        for key in [" ".join(line.tokens)]
    )
    negated = sum(bool(NEGATIONS & set(line.tokens)) for line in lines)
    print(f"{len(lines)} lines, {', '.join(f'{n} {part}' for part, n in sorted(parts.items()))}")
    print(f"{negated} with a negation; {sum(map(len, (x.tokens for x in lines)))} tokens")
    for least in (1, 5, 25):
        n = sum(best[emoji.sequence] >= least for emoji in emojis)
        print(f"{n} of {len(emojis)} emojis are the best answer at least {least} times")
    if options.seldom:
        for group in dict.fromkeys(emoji.group for emoji in emojis):
            found = [
                f"{emoji.sequence} {best[emoji.sequence]}"
                for emoji in emojis
                if emoji.group == group and best[emoji.sequence] < options.seldom
            ]
            print(f"{group}: {len(found)} below {options.seldom}: {', '.join(found)}")
    if wrong:
        print("\n".join(wrong))
        raise InputError(f"{len(wrong)} lines are wrong; correct or remove them")


if __name__ == "__main__":
    sys.exit(main())
