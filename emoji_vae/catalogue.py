"""The emojis, in the one order that every label, code and picture of the project follows."""

import csv
import functools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from emoji_vae.errors import InputError
from emoji_vae.locations import asset

COLUMNS = ("sequence", "name", "keywords", "group", "version")
"""The header of the catalogue file."""

KEYWORD_SEPARATOR = "|"
"""Stands between the keywords of one row; no keyword contains it."""

_JOINER = "\u200d"
_SELECTORS = str.maketrans("", "", "\ufe0e\ufe0f")
_SKIN_TONES = str.maketrans("", "", "\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff")
_SIGNS = (_JOINER + "\u2640", _JOINER + "\u2642")  # female, male
_GENDERED = ("\U0001f468" + _JOINER, "\U0001f469" + _JOINER)  # man, woman
_PERSON = "\U0001f9d1" + _JOINER

# Two people (or hands) of different skin tones are spelt out with joiners; without the tones that
# spelling is no emoji, the base is one character.
_PAIRS = {
    "👩‍🤝‍👩": "👭",
    "👩‍🤝‍👨": "👫",
    "👨‍🤝‍👨": "👬",
    "🧑‍❤‍🧑": "💑",
    "🧑‍❤‍💋‍🧑": "💏",
    "🫱‍🫲": "🤝",
    "🧑‍🐰‍🧑": "👯",
    "👩‍🐰‍👩": "👯",
    "👨‍🐰‍👨": "👯",
    "🧑‍🫯‍🧑": "🤼",
    "👩‍🫯‍👩": "🤼",
    "👨‍🫯‍👨": "🤼",
}


class Emoji(NamedTuple):
    """One row of the catalogue.

    ``sequence`` is fully qualified (with every U+FE0F that Unicode asks for), ``name`` is CLDR's
    English short name, ``group`` Unicode's, and ``version`` that of Emoji that added it ("0.6").
    """

    sequence: str
    name: str
    keywords: tuple[str, ...]
    group: str
    version: str


def bare(sequence: str) -> str:
    """Return the sequence without variation selectors (U+FE0E, U+FE0F)."""
    return sequence.translate(_SELECTORS)


def fold(sequence: str, known: Mapping[str, str] | None = None) -> str:
    """Return the base of an emoji: no skin tone, and the neutral form of a gendered double.

    "👍🏽" is "👍", "🤷‍♀️" is "🤷", "👨‍🚒" is "🧑‍🚒"; families, couples and single people such as
    "👩" have no neutral form of the same meaning and stay. A form that is not known is never made
    up, and a sequence without a known base comes back as it is.

    Args:
        sequence: one emoji, with or without its variation selectors.
        known: the emojis to fold into, ``bare(sequence) -> sequence``; the shipped ones if None.
    """
    if known is None:
        known = catalogue().by_bare
    plain = bare(sequence).translate(_SKIN_TONES)
    forms = [_PAIRS.get(plain, "")]
    if plain.startswith(_GENDERED):
        forms.append(_PERSON + plain[2:])
    forms += [plain.replace(_SIGNS[0], "").replace(_SIGNS[1], ""), plain]
    for form in forms:
        if form in known:
            return known[form]
    return sequence


class Catalogue:
    """All emojis of the project: `Emoji` rows in label order.

    Raises:
        InputError: there are none, or one occurs twice.
    """

    def __init__(self, emojis: Sequence[Emoji]) -> None:
        self._emojis = tuple(emojis)
        self.sequences = [emoji.sequence for emoji in self._emojis]
        self.by_bare = {bare(sequence): sequence for sequence in self.sequences}
        self._rows = {sequence: row for row, sequence in enumerate(self.sequences)}
        if not self._emojis or len(self.by_bare) < len(self._emojis):
            raise InputError("the catalogue is empty or names an emoji twice; build it again")

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> "Catalogue":
        """Read a catalogue file, the shipped ``emojis.csv`` if None.

        Raises:
            InputError: the file is missing, or is no catalogue.
        """
        path = asset("emojis.csv") if path is None else Path(path)
        shown = repr(str(path))
        try:
            with path.open(encoding="utf-8", newline="") as file:
                header, *rows = csv.reader(file, strict=True)
            if tuple(header) != COLUMNS or any(len(row) != len(COLUMNS) for row in rows):
                raise ValueError
        except OSError as error:
            raise InputError(
                f"cannot read the catalogue {shown}: {error.strerror}; name another"
            ) from error
        except (ValueError, csv.Error) as error:
            raise InputError(
                f"{shown} is no catalogue; it needs the columns {','.join(COLUMNS)}"
            ) from error
        return cls(
            [
                Emoji(
                    sequence,
                    name,
                    tuple(keywords.split(KEYWORD_SEPARATOR)) if keywords else (),
                    group,
                    version,
                )
                for sequence, name, keywords, group, version in rows
            ]
        )

    def __len__(self) -> int:
        return len(self._emojis)

    def __getitem__(self, row: int) -> Emoji:
        return self._emojis[row]

    def __iter__(self) -> Iterator[Emoji]:
        return iter(self._emojis)

    def find(self, sequence: str) -> int | None:
        """Return the row of an emoji, or None where it is none that the catalogue knows.

        Exactly as written first; else up to variation selectors ("❤" for "❤️"); else its base
        ("👍" for "👍🏽", see `fold`).
        """
        row = self._rows.get(sequence)
        if row is not None:
            return row
        for form in (self.by_bare.get(bare(sequence)), fold(sequence, self.by_bare)):
            if form in self._rows:
                return self._rows[form]
        return None

    def index(self, sequence: str) -> int:
        """Return the row of an emoji, found as in `find`.

        Raises:
            InputError: the text is not one emoji that the catalogue knows.
        """
        row = self.find(sequence) if isinstance(sequence, str) else None
        if row is None:
            shown = repr(sequence)
            shown = shown if len(shown) <= 60 else shown[:57] + "..."
            raise InputError(
                f"{shown} is no emoji of the catalogue; give one emoji, such as {self.sequences[0]}"
            )
        return row


@functools.cache
def catalogue() -> Catalogue:
    """Return the shipped catalogue, read once."""
    return Catalogue.load()
