"""Texts without emojis out of WordNet: its words, its collocations and its example sentences.

Fellbaum (ed.): WordNet: An Electronic Lexical Database (MIT Press, 1998), version 3.1.
"""

import re
from collections.abc import Container
from pathlib import Path

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


def _read(cache: Path) -> tuple[set[str], set[str]]:
    """Return the lemmas and the example sentences."""
    archive = sources.fetch("wordnet", cache)
    names = [f"package/dict/data.{part}" for part in _PARTS]
    read = sources.read_members(archive, names)
    lemmas: set[str] = set()
    examples: set[str] = set()
    for name in names:
        for line in read[name].decode("latin-1").splitlines():
            if line.startswith("  "):  # the licence
                continue
            # Offset, file, part of speech, number of words in hexadecimal, then word and sense.
            head, _, gloss = line.partition(" | ")
            fields = head.split()
            for word in fields[4 : 4 + 2 * int(fields[3], 16) : 2]:
                lemmas.add(word.partition("(")[0].replace("_", " ").lower())
            quoted = (text.strip(" ;,") for text in _QUOTED.findall(gloss))
            examples.update(t for t in quoted if MIN_WORDS <= len(t.split()) <= MAX_WORDS)
    return lemmas, examples
