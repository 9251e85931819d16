"""Texts with their fitting emojis, for training and measuring: gathered, folded and split.

A phrase is known by its tokens: two sources that say the same thing are one phrase, whose correct
emojis are those of both. The split goes by a hash of the tokens, so that no phrase of the held-out
parts is seen in training, from whichever source it comes.
"""

import csv
import dataclasses
import gzip
import hashlib
import json
import re
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import emoji
import numpy as np

from emoji_vae.catalogue import Catalogue
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from sqam.text import tokenize

DATA = Path("../shared/data")
"""Where the sentences lie; they are not part of the repository."""

BOOK, LESSONS = "phrasebook", "phrasebook-lessons"
"""Folders of `phrasebook` among the assets: the texts that train and measure, and those that were
written later and train alone, so that figures can be compared with earlier ones."""

KINDS = ("name", "keyword", "tag", "description", "sentence", "tweet", "labelled tweet")
PHRASES = KINDS[:4]
SPLITS = ("train", "validation", "held-out")

# A folded emoji keeps its colour in its description; the colour is no part of the meaning.
_SKIN_TONE = re.compile(
    r"\b(?:with )?(?:an? )?(?:medium[- ](?:light|dark)|medium|light|dark)[- ]skin(?:[- ]tone)?\b"
)
_TEMPLATE = re.compile(
    r"^(?:this|the) emoji (?:(?:of|is|represents?|shows?|depicts?|displays?|features?|"
    r"symbolizes?|illustrates?|portrays?|conveys?|expresses?|signifies|indicates?|denotes)\b ?)?",
    re.IGNORECASE,
)
_TWEET_LEAK = re.compile("[\ufe0f\u200d]")


class Phrase(NamedTuple):
    """A text with its fitting emojis.

    Attributes:
        text: as the first source writes it.
        emojis: rows in the catalogue of those that fit.
        kind: one of `KINDS`. A text of the phrasebook that is also an emoji's word is of the
            word's kind.
        split: one of `SPLITS`.
        ranked: how many of the emojis, the first ones, stand best first: those that the phrasebook
            names. The order of the others says nothing.
    """

    text: str
    emojis: tuple[int, ...]
    kind: str
    split: str
    ranked: int = 0


@dataclasses.dataclass(frozen=True)
class Sources:
    """Files that ``gather`` reads, below one folder."""

    descriptions: str = "emoji_descriptions/emojeez.jsonl.gz"
    short_descriptions: str = "emoji2vec/train.csv.gz"
    tweets: str = "tweets_with_emoji.csv.gz"
    labelled_tweets: str = "tweeteval/emoji/{}.csv.gz"
    labels: str = "tweeteval/emoji/mapping.csv"
    plain: tuple[str, ...] = tuple(
        f"tweeteval/{name}/train.csv.gz" for name in ("emotion", "hate", "irony", "offensive")
    )


def clean_tweet(text: str) -> str:
    """Remove what gives the label away (U+FE0F, U+200D), then fold white space.

    TweetEval took the emojis out of its texts but left the variation selectors that followed them.
    """
    return " ".join(_TWEET_LEAK.sub("", text).split())


def rows(path: Path, *columns: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV file, gzipped or not, as column -> cell.

    Raises:
        InputError: the file cannot be read or lacks one of the columns.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
                raise InputError(
                    f"{str(path)!r} has no column {missing[0]!r}; it needs {', '.join(columns)}"
                )
            yield from reader
    except OSError as error:
        raise InputError(f"cannot read {str(path)!r}: {error}; name the data's folder") from error


def part(key: str) -> str:
    """Put 10 % of the keys aside for the figures and 5 % for early stopping and choices."""
    place = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "big") / 2**32
    return "held-out" if place < 0.10 else "validation" if place < 0.15 else "train"


def book_files(*folders: str) -> list[Path]:
    """Return the files of folders of the phrasebook, all if none is named, as they are read."""
    return [
        file
        for folder in folders or (BOOK, LESSONS)
        for file in sorted(asset(folder).glob("*.jsonl"))
    ]


def phrasebook(folder: str = BOOK) -> Iterator[tuple[str, list[str]]]:
    """Yield the texts of a folder, `BOOK` or `LESSONS`, with their emojis, best first."""
    for file in book_files(folder):
        for line in file.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            yield entry["text"], entry["emojis"]


def plain(data: Path = DATA, sources: Sources | None = None) -> list[str]:
    """Return the training texts of other tasks that hold no emoji, without their labels.

    Raises:
        InputError: a file is missing, cannot be read or lacks a column.
    """
    names = (sources or Sources()).plain
    texts = dict.fromkeys(
        clean_tweet(record["text"]) for name in names for record in rows(data / name, "text")
    )
    return [text for text in texts if not emoji.emoji_count(text)]


def popularity(found: Sequence[Phrase], n_answers: int) -> np.ndarray:
    """Return how many training tweets came with each emoji: float32 (n_answers,)."""
    rows = [row for p in found if (p.kind, p.split) == ("tweet", "train") for row in p.emojis]
    return np.bincount(rows, minlength=n_answers).astype(np.float32)


def gather(catalogue: Catalogue, data: Path = DATA, sources: Sources | None = None) -> list[Phrase]:
    """Gather every phrase and tweet.

    The parts of the phrases go by hash (85 / 5 / 10 %). `LESSONS` train whatever their hash; where
    one says what a held-out or validation phrase does, it is left out. Tweets: the ``val`` part of
    ``tweets_with_emoji`` is held out, a tenth of its ``train`` part and the ``val`` split of
    TweetEval's emoji task validate, the rest trains. A text that stands in several parts stays in
    the one that is farthest from training.

    Raises:
        InputError: a file is missing, cannot be read or lacks a column.
    """
    sources = sources or Sources()
    found: dict[tuple[str, str], tuple[str, str, dict[int, None], set[str]]] = {}
    best: dict[str, dict[int, None]] = {}

    def add(
        text: str,
        emojis: list[int],
        kind: str,
        split: str | None = None,
        left_out: Container[str] = (),
    ) -> None:
        key = " ".join(tokenize(text))
        if not key or not emojis or key in left_out:
            return
        table = "tweet" if "tweet" in kind else "phrase"
        _, _, correct, parts = found.setdefault((table, key), (text, kind, {}, set()))
        correct.update(dict.fromkeys(emojis))
        parts.add(split or part(key))
        if kind == "sentence":
            best.setdefault(key, {}).update(dict.fromkeys(emojis))

    for row, entry in enumerate(catalogue):
        add(entry.name, [row], "name")
        for keyword in entry.keywords:
            add(keyword, [row], "keyword")
    try:
        with gzip.open(data / sources.descriptions, "rt", encoding="utf-8") as file:
            for line in file:
                read = json.loads(line)
                place = catalogue.find(read["emoji"])
                if place is None:
                    continue
                for tag in read["tags"]:
                    if "skin" not in tag:
                        add(str(tag), [place], "tag")
                text = _SKIN_TONE.sub("", read["description"].lower())
                add(_TEMPLATE.sub("", text), [place], "description")
    except (OSError, KeyError, json.JSONDecodeError) as error:
        raise InputError(
            f"cannot read {str(data / sources.descriptions)!r}: {error}; name the data's folder"
        ) from error
    for record in rows(data / sources.short_descriptions, "description", "emoji"):
        place = catalogue.find(record["emoji"])
        if place is not None and "skin" not in record["description"]:
            add(record["description"], [place], "tag")

    for text, emojis in phrasebook():
        add(text, [catalogue.index(e) for e in emojis], "sentence")
    measured = {key for (_, key), (*_, parts) in found.items() if parts != {"train"}}
    for text, emojis in phrasebook(LESSONS):
        add(text, [catalogue.index(e) for e in emojis], "sentence", "train", measured)

    for record in rows(data / sources.tweets, "text", "emojis", "split"):
        places = {catalogue.find(sequence) for sequence in record["emojis"].split()} - {None}
        key = " ".join(tokenize(record["text"]))
        # Its own held-out part is given, so the hash's tenth serves for choices.
        split = {"held-out": "validation"}.get(part(key), "train")
        split = "held-out" if record["split"] == "val" else split
        add(clean_tweet(record["text"]), sorted(p for p in places if p is not None), "tweet", split)
    mapping = rows(data / sources.labels, "label", "emoji-or-name")
    labels = {record["label"]: catalogue.index(record["emoji-or-name"]) for record in mapping}
    for name, split in (("train", "train"), ("val", "validation")):
        for record in rows(data / sources.labelled_tweets.format(name), "text", "label"):
            add(clean_tweet(record["text"]), [labels[record["label"]]], "labelled tweet", split)

    gathered = []
    for (table, key), (text, kind, correct, parts) in found.items():
        ranked = best.get(key, {}) if table == "phrase" else {}
        split = max(parts, key=SPLITS.index)
        gathered.append(Phrase(text, tuple(ranked | correct), kind, split, len(ranked)))
    return gathered


class Known(NamedTuple):
    """What a model that knows some of the emojis is trained and measured on.

    Attributes:
        phrases: of these emojis, with rows among these alone.
        kept: bool (n,), which emojis of the catalogue they are.
        dropped: texts of the others alone; a teacher must not answer them with other emojis.
    """

    phrases: list[Phrase]
    kept: np.ndarray
    dropped: list[str]


def known(catalogue: Catalogue, data: Path = DATA, before: float | None = None) -> Known:
    """Gather the phrases of the emojis that were there before a Unicode version.

    Args:
        catalogue: of all emojis.
        data: folder of the sentences.
        before: the version; None for all.
    """
    everything = gather(catalogue, data)
    kept = np.array([before is None or float(entry.version) < before for entry in catalogue])
    dropped = [phrase.text for phrase in everything if not kept[list(phrase.emojis)].any()]
    return Known(without(everything, kept), kept, dropped)


def without(found: Sequence[Phrase], kept: np.ndarray) -> list[Phrase]:
    """Return the phrases of the emojis that are kept, with these emojis numbered anew.

    Args:
        found: phrases.
        kept: bool (n,), of the catalogue.
    """
    place = np.cumsum(kept) - 1
    left = []
    for phrase in found:
        emojis = tuple(int(place[row]) for row in phrase.emojis if kept[row])
        ranked = sum(bool(kept[row]) for row in phrase.emojis[: phrase.ranked])
        if emojis:
            left.append(phrase._replace(emojis=emojis, ranked=ranked))
    return left
