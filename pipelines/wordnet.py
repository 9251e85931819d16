"""Texts without emojis out of WordNet: its words, collocations, example sentences and definitions.

Fellbaum (ed.): WordNet: An Electronic Lexical Database (MIT Press, 1998), version 3.1.
"""

import re
from collections import defaultdict
from collections.abc import Container, Iterator
from pathlib import Path
from typing import NamedTuple

from pipelines import sources

_PARTS = ("noun", "verb", "adj", "adv")
_QUOTED = re.compile(r'"([^"]+)"')
_WORD = re.compile(r"[a-z]{3,}")
MIN_WORDS, MAX_WORDS = 3, 18
"""Of an example sentence."""


def words(cache: Path) -> frozenset[str]:
    """Return its single words, of at least three letters; errors as of `texts`."""
    lemmas, _ = _read(cache)
    return frozenset(filter(_WORD.fullmatch, lemmas))


def texts(cache: Path, words: Container[str], frequent: Container[str]) -> dict[str, list[str]]:
    """Return kind -> texts: ``words``, ``collocations`` and ``examples``, sorted, none twice.

    Args:
        cache: folder of downloaded packages.
        words: of which single words are taken.
        frequent: of which collocations are made up.

    Raises:
        InputError: the package cannot be fetched or read.
    """
    lemmas, examples = _read(cache)
    several = (lemma for lemma in lemmas if " " in lemma)
    return {
        "words": sorted(lemma for lemma in lemmas if _WORD.fullmatch(lemma) and lemma in words),
        "collocations": sorted(
            lemma
            for lemma in several
            if len(lemma.split()) <= 3 and all(word in frequent for word in lemma.split())
        ),
        "examples": sorted(examples),
    }


class Sense(NamedTuple):
    """One of the senses of a word.

    Attributes:
        text: the word, at most three others of the same sense, and the definition.
        share: how often the word is meant so, of its senses that are told; these add up to 1.
    """

    text: str
    share: float


_SYNONYMS = 3


def senses(cache: Path, most: int) -> dict[str, list[Sense]]:
    """Return word or collocation, in small letters -> at most so many senses, most frequent first.

    How frequent they are was counted in texts that were tagged by hand; 1 is added to each count.
    Errors as of `texts`.
    """
    said = {
        (synset.part, synset.offset): (synset.lemmas, synset.gloss.partition('; "')[0].strip(" ;"))
        for synset in _synsets(cache)
    }
    counted: dict[str, list[tuple[int, int, str, str]]] = defaultdict(list)
    for line in _members(cache, [_INDEX])[_INDEX].splitlines():
        # "bank%1:14:00::", offset, number among the senses of this part of speech, count.
        key, offset, number, count = line.split()
        lemma, _, sense = key.partition("%")
        part = _NUMBERED[sense[0]]
        counted[lemma.replace("_", " ")].append((-int(count), int(number), part, offset))
    found: dict[str, list[Sense]] = {}
    for lemma, every in counted.items():
        frequent = sorted(every)[:most]
        total = sum(1 - less for less, *_ in frequent)
        found[lemma] = []
        for less, _, part, offset in frequent:
            lemmas, definition = said[part, offset]
            names = [lemma, *[other for other in lemmas if other != lemma][:_SYNONYMS]]
            found[lemma].append(Sense(f"{', '.join(names)}: {definition}", (1 - less) / total))
    return found


_INDEX = "package/dict/index.sense"
_NUMBERED = {"1": "noun", "2": "verb", "3": "adj", "4": "adv", "5": "adj"}
"""Parts of speech as the index has them; 5 is an adjective that is told by another."""


class _Synset(NamedTuple):
    """Words of one sense, in small letters, with what is said of them."""

    part: str
    offset: str
    lemmas: list[str]
    gloss: str


def _members(cache: Path, names: list[str]) -> dict[str, str]:
    read = sources.read_members(sources.fetch("wordnet", cache), names)
    return {name: content.decode("latin-1") for name, content in read.items()}


def _synsets(cache: Path) -> Iterator[_Synset]:
    names = {part: f"package/dict/data.{part}" for part in _PARTS}
    read = _members(cache, list(names.values()))
    for part, name in names.items():
        for line in read[name].splitlines():
            if line.startswith("  "):  # the licence
                continue
            # Offset, file, part of speech, number of words in hexadecimal, then word and sense.
            head, _, gloss = line.partition(" | ")
            fields = head.split()
            words = fields[4 : 4 + 2 * int(fields[3], 16) : 2]
            lemmas = [word.partition("(")[0].replace("_", " ").lower() for word in words]
            yield _Synset(part, fields[0], lemmas, gloss)


def _read(cache: Path) -> tuple[set[str], set[str]]:
    """Return the lemmas and the example sentences."""
    lemmas: set[str] = set()
    examples: set[str] = set()
    for synset in _synsets(cache):
        lemmas.update(synset.lemmas)
        quoted = (text.strip(" ;,") for text in _QUOTED.findall(synset.gloss))
        examples.update(t for t in quoted if MIN_WORDS <= len(t.split()) <= MAX_WORDS)
    return lemmas, examples
