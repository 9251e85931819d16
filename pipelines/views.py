"""The catalogue's emojis as other vendors draw them: more views of the same meaning."""

import dataclasses
import hashlib
import io
import zipfile
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from pipelines.drawings import IconSet
from pipelines.sources import CACHE, SOURCES, fetch

VENDORS = ("twemoji", "fluent-flat", "fluent", "noto-v1", "emojione", "openmoji")
"""Keys of `pipelines.sources.SOURCES`, whose table has their licences."""

# These say which emojis they show; the others are matched by the names that these give.
_NAMING = ("drawings", "twemoji", "fluent-flat", "openmoji")
_SIZE = 72  # twice a picture, so that thin lines are averaged rather than missed
_FORMAT = 1  # raised when the same archives give other pictures


@dataclasses.dataclass(frozen=True)
class Views:
    """One vendor's pictures, in catalogue order."""

    vendor: str
    pictures: np.ndarray
    """float32 (n, 36, 36, 4) as of `emoji_vae.images`, 0 where missing."""
    there: np.ndarray
    """bool (n,): the emojis that the vendor has a picture of."""


def load(vendor: str, cache: Path = CACHE) -> Views:
    """Load one vendor's pictures; they are drawn once and kept in the cache.

    Args:
        vendor: one of `VENDORS`.
        cache: the folder that keeps archives and pictures; made where missing.

    Raises:
        InputError: no such vendor, or an archive cannot be had.
        MissingExtraError: the package that draws SVG is missing.
    """
    if vendor not in VENDORS:
        raise InputError(f"there is no vendor {vendor!r}; choose from {', '.join(VENDORS)}")
    sequences = catalogue().sequences
    key = _key(vendor, sequences)
    kept = Path(cache) / f"views-{vendor}.npz"
    found = _kept(kept, key, len(sequences))
    if found is None:
        pictures, there = _render(vendor, sequences, cache)
        found = np.rint(pictures * 255).astype(np.uint8), there
        with replacing(kept) as file:
            np.savez_compressed(file, key=np.array(key), pictures=found[0], there=found[1])
    return Views(vendor, found[0].astype(np.float32) / np.float32(255), found[1])


def names(sets: Iterable[IconSet], sequences: Sequence[str]) -> dict[str, int]:
    """Return ``{name of an icon: row}`` from sets that say which emojis they show.

    The first set that has a name decides; the sets' own names come before their other (older)
    names.
    """
    rows: dict[str, int] = {}
    sets = list(sets)
    for icons in sets:
        for row, sequence in enumerate(sequences):
            if (name := icons.find(sequence)) is not None:
                rows.setdefault(name, row)
    own = dict(rows)
    for icons in sets:
        for other, alias in icons.aliases.items():
            # A turned parent is another emoji (an arrow to the left, one to the right).
            if set(alias) == {"parent"} and alias["parent"] in own:
                rows.setdefault(other, own[alias["parent"]])
    return rows


def match(icons: IconSet, rows: dict[str, int], sequences: Sequence[str]) -> dict[int, str]:
    """Return ``{row: name of its icon}`` of one set.

    What the set itself says comes first, then its names and other names as `names` gives them.
    """
    found = {row: icons.find(sequence) for row, sequence in enumerate(sequences)}
    matched = {row: name for row, name in found.items() if name is not None}
    for name in [*icons.icons, *icons.aliases]:
        for form in _forms(name):
            if form in rows:
                matched.setdefault(rows[form], name)
                break
    return matched


def _forms(name: str) -> tuple[str, ...]:
    """Return a name, and newer forms of it: "flag-japan" was "flag-for-japan" until 2017."""
    plain = name.removeprefix("flag-for-").removeprefix("flag-")
    if not name.startswith("flag-for-"):
        return (name,)
    if plain.endswith(("-flag", "-flags")):  # "flag-for-white-flag"
        return name, plain
    return name, f"flag-{plain}"  # never "turkey" alone, which is a bird


def _key(vendor: str, sequences: Sequence[str]) -> str:
    """Return the hash of all that the pictures depend on."""
    archives = [SOURCES[name].sha256 for name in (vendor, *_NAMING)]
    return hashlib.sha256("\n".join([str(_FORMAT), *archives, *sequences]).encode()).hexdigest()


def _kept(path: Path, key: str, n: int) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the pictures (uint8) and which are there, or None where the file is of no use."""
    try:
        with np.load(path, allow_pickle=False) as file:
            pictures, there = file["pictures"], file["there"]
            fits = str(file["key"]) == key
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error):
        return None
    fits = fits and (pictures.dtype, there.dtype) == (np.uint8, np.bool_)
    fits = fits and (pictures.shape, there.shape) == ((n, images.SIZE, images.SIZE, 4), (n,))
    return (pictures, there) if fits else None


def _render(vendor: str, sequences: Sequence[str], cache: Path) -> tuple[np.ndarray, np.ndarray]:
    """Draw a vendor's pictures: float32 (n, 36, 36, 4), and bool (n,)."""
    naming = {name: IconSet.read(fetch(name, cache)) for name in _NAMING}
    icons = naming[vendor] if vendor in naming else IconSet.read(fetch(vendor, cache))
    pictures = np.zeros((len(sequences), images.SIZE, images.SIZE, 4), np.float32)
    matched = match(icons, names(naming.values(), sequences), sequences)
    for row, name in tqdm(matched.items(), vendor, leave=False, unit="picture", disable=None):
        pictures[row] = images.read(io.BytesIO(icons.draw(name, _SIZE)))
    # What is wholly transparent shows nothing: it counts as missing.
    return pictures, np.any(pictures[..., 3], axis=(1, 2))
