"""Build the catalogue and its pictures: ``python -m pipelines.build_catalogue``.

Writes ``emojis.csv``, ``emojis.png``, ``emojis-64.webp`` and ``catalogue.json`` (where everything
came from, what was folded into what, and what was left out and why). Names, keywords and order are
CLDR's, with more keywords of emojilib; pictures are Noto's. The same sources and the same Pillow
give the same bytes.
"""

import argparse
import csv
import importlib.metadata
import io
import json
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import emoji
import numpy as np
import PIL
from PIL import features

from emoji_vae import images
from emoji_vae.catalogue import COLUMNS, KEYWORD_SEPARATOR, Emoji, bare, fold
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from pipelines.drawings import IconSet, hexcode
from pipelines.sources import CACHE, SOURCES, fetch, read_member, read_members, sha256

_PICTURE_FOLDER = "package/img/google/64/"
_COMPONENT_GROUP = "component"
_WRONG_PICTURES = {"🇨🇶": "the source shows the flag of Saudi Arabia for it"}
_SOURCES_USED = ("emojibase", "emojilib", "pictures", "drawings")


def _qualified() -> dict[str, str]:
    """Return ``{bare sequence: fully qualified sequence}`` for every emoji of Unicode."""
    fully = emoji.STATUS["fully_qualified"]
    return {bare(text): text for text, row in emoji.EMOJI_DATA.items() if row["status"] == fully}


def _keywords(name: str, words: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return the keywords once each, without the name, and those that no row can hold."""
    seen = {name.casefold()}
    kept, unfit = [], []
    for word in words:
        word = " ".join(word.replace("_", " ").split())
        if KEYWORD_SEPARATOR in word:
            unfit.append(word)
        elif word and word.casefold() not in seen:
            seen.add(word.casefold())
            kept.append(word)
    return tuple(kept), unfit


def collect(cache: Path) -> tuple[list[Emoji], np.ndarray, np.ndarray, dict[str, Any]]:
    """Return the emojis, their pictures, and the record of how they came to be.

    The pictures come twice: (n, 36, 36, 4) and (n, 64, 64, 4).

    Raises:
        InputError: a source cannot be had.
        MissingExtraError: the package that draws SVG is missing.
    """
    archives = {name: fetch(name, cache) for name in _SOURCES_USED}
    rows = json.loads(read_member(archives["emojibase"], "package/en/data.json"))
    messages = json.loads(read_member(archives["emojibase"], "package/en/messages.json"))
    more = json.loads(read_member(archives["emojilib"], "package/dist/emoji-en-US.json"))
    more = {bare(text): words for text, words in more.items()}
    groups = {group["order"]: group for group in messages["groups"]}
    qualified = _qualified()

    left_out: list[dict[str, str]] = []
    candidates = []
    for row in sorted(rows, key=lambda row: (row.get("order", 0), row["hexcode"])):
        component = "group" not in row or groups[row["group"]]["key"] == _COMPONENT_GROUP
        if component:
            left_out.append(_omission(row["emoji"], row["label"], "a component, not an emoji"))
        else:
            candidates.append(row)
    # emojibase writes U+FE0F after more characters than Unicode asks for.
    known = {bare(row["emoji"]): qualified[bare(row["emoji"])] for row in candidates}

    pictured = _files(archives, list(known.values()))
    emojis: list[Emoji] = []
    files: list[bytes] = []
    folded: dict[str, str] = {}
    unfit: dict[str, list[str]] = {}
    for row in candidates:
        sequence, name = known[bare(row["emoji"])], row["label"]
        base = fold(sequence, known)
        if base != sequence:
            folded[sequence] = base
        elif sequence in _WRONG_PICTURES:
            left_out.append(_omission(sequence, name, _WRONG_PICTURES[sequence]))
        elif sequence not in pictured:
            left_out.append(_omission(sequence, name, "no open picture yet"))
        else:
            words = [*row.get("tags", []), *more.get(bare(sequence), [])]
            keywords, unfit_words = _keywords(name, words)
            if unfit_words:
                unfit[sequence] = unfit_words
            group, version = groups[row["group"]]["message"], f"{float(row['version']):.1f}"
            emojis.append(Emoji(sequence, name, keywords, group, version))
            files.append(pictured[sequence])
    for sequence in qualified.values():  # newer than the names that we have
        if fold(sequence, known) not in known.values() and fold(sequence, qualified) == sequence:
            name = emoji.EMOJI_DATA[sequence]["en"].strip(":").replace("_", " ")
            left_out.append(_omission(sequence, name, "no name and no open picture yet"))
    pictures, large = (
        np.stack([images.read(io.BytesIO(png), size) for png in files])
        for size in (images.SIZE, images.LARGE_SIZE)
    )
    record = {
        "sources": {name: SOURCES[name]._asdict() for name in _SOURCES_USED},
        "versions": {
            "emoji": emoji.__version__,
            "pillow": PIL.__version__,
            "resvg-py": importlib.metadata.version("resvg-py"),
            "zlib": features.version("zlib"),
            "zlib-ng": features.version_feature("zlib_ng"),
            "libwebp": features.version("webp"),
        },
        "emojis": len(emojis),
        "groups": dict(Counter(row.group for row in emojis)),
        "unicode_versions": dict(
            sorted(Counter(row.version for row in emojis).items(), key=lambda item: float(item[0]))
        ),
        "keywords": sum(len(row.keywords) for row in emojis),
        "keywords_left_out": unfit,
        "same_pictures": _same_pictures(emojis, pictures),
        "left_out": left_out,
        "folded": folded,
    }
    return emojis, pictures, large, record


def _same_pictures(emojis: list[Emoji], pictures: np.ndarray) -> list[list[str]]:
    """Return the groups of emojis that nobody can tell apart by their pictures."""
    groups: dict[bytes, list[str]] = {}
    for row, picture in zip(emojis, pictures, strict=True):
        groups.setdefault(picture.tobytes(), []).append(row.sequence)
    return [group for group in groups.values() if len(group) > 1]


def _omission(sequence: str, name: str, reason: str) -> dict[str, str]:
    return {"sequence": sequence, "name": name, "reason": reason}


def _files(archives: dict[str, Path], sequences: list[str]) -> dict[str, bytes]:
    """Return ``{sequence: PNG file}`` for all that have one, drawing those that lack it."""
    members = {text: f"{_PICTURE_FOLDER}{hexcode(text)}.png" for text in sequences}
    there = read_members(archives["pictures"], list(members.values()))
    drawings = IconSet.read(archives["drawings"])
    files = {}
    for sequence in sequences:
        png = there.get(members[sequence])
        if png is None and (name := drawings.find(sequence)) is not None:
            png = drawings.draw(name, images.LARGE_SIZE)
        if png is not None:
            files[sequence] = png
    return files


def build(output: Path, cache: Path) -> dict[str, Any]:
    """Write the catalogue, both sheets and ``catalogue.json``; return what the last holds.

    Raises:
        InputError: as `collect`, or ``output`` cannot be written.
    """
    emojis, pictures, large, record = collect(cache)
    with replacing(output / "emojis.csv", "w") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS)
        for sequence, name, keywords, group, version in emojis:
            writer.writerow((sequence, name, KEYWORD_SEPARATOR.join(keywords), group, version))
    images.write_sheet(output / "emojis.png", pictures)
    images.write_large_sheet(output / "emojis-64.webp", large)
    record["outputs"] = {
        name: {"sha256": sha256(output / name)}
        for name in ("emojis.csv", "emojis.png", "emojis-64.webp")
    }
    with replacing(output / "catalogue.json", "w") as file:
        json.dump(record, file, ensure_ascii=False, indent=1)
        file.write("\n")
    return record


def _table(record: dict[str, Any]) -> str:
    reasons = Counter(row["reason"] for row in record["left_out"])
    rows = [("emojis", record["emojis"]), *((f"  {k}", v) for k, v in record["groups"].items())]
    rows += [("keywords", record["keywords"]), ("folded into a base", len(record["folded"]))]
    rows += [(f"left out: {reason}", count) for reason, count in reasons.items()]
    width = max(len(label) for label, _ in rows)
    return "\n".join(f"{label:<{width}}  {count:>6}" for label, count in rows)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code (0 fine, 2 bad input)."""
    parser = argparse.ArgumentParser(
        prog="python -m pipelines.build_catalogue", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--output", type=Path, default=Path("assets"), help="folder to write to")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder that keeps the archives")
    options = parser.parse_args(argv)
    try:
        print(_table(build(options.output, options.cache)))
    except InputError as error:
        print(f"build_catalogue: error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
