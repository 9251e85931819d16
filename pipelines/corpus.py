"""Raw texts that hold emojis -> examples on disk, of a corpus of any size.

A text's distinct emojis are its answers; what is left of it without them is the question. The texts
are read once, dealt out to buckets by a hash of their words, and settled bucket by bucket, so that
equal texts meet without the corpus ever being in memory. Training reads the buckets.

Bjarke Felbo et al.: Using millions of emoji occurrences to learn any-domain representations for
detecting sentiment, emotion and sarcasm (EMNLP 2017).
"""

import concurrent.futures
import contextlib
import functools
import hashlib
import itertools
import json
import multiprocessing
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple

import emoji
import numpy as np
from tqdm import tqdm

from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from pipelines import phrases
from sqam import shards
from sqam.reading import Place, Source
from sqam.text import MAX_CHARACTERS, Vocabulary, tokenize

_FORMAT = "emoji-sqam corpus, version 1"
MANIFEST = "manifest.json"
"""What makes a folder a prepared corpus; it comes last."""

# Texts of a file that a process reads on its own.
_BLOCK = 250_000
# Different words that are counted at a time; beyond, the rarest are forgotten.
_WORDS = 2_000_000

# "RT @user", wherever in the text it stands: what follows is somebody else's.
_RETWEET = re.compile(r"(?<!\w)RT\s*:?\s*@\w")
# Where an emoji can be; only keycaps begin with an ASCII character.
_PERHAPS_EMOJI = re.compile(r"[#*0-9]?[^\x00-\x7f]+")
# Signs that are emojis to Unicode and hardly to whoever writes them, unless U+FE0F follows.
_BARE_SIGNS = frozenset("©®™")
# What broken emojis leave behind, beside U+FE0F and U+200D: U+FE0E, keycaps' frames, lone regional
# indicators, lone skin tones, tags.
_REMAINS = re.compile(
    "[\ufe0e\u20e3\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
)

_find = functools.lru_cache(8192)(lambda sequence: catalogue().find(sequence))


def extract(text: str) -> tuple[str, tuple[int, ...]]:
    """Return what is left of a text without its emojis, and their rows in the catalogue.

    Each emoji counts once, in the order of the first times; skin tones and genders are folded as in
    ``catalogue.find``. What gives an emoji away goes with it: U+FE0F, U+200D, further leavings of
    emojis, and the space that was around. Beyond ``MAX_CHARACTERS`` a text is not read.

    >>> extract("so good ❤️❤️ 👍🏽!")[0]
    'so good !'
    """
    text = text[:MAX_CHARACTERS]
    if text.isascii():
        return phrases.clean_tweet(text), ()
    rows: dict[int, None] = {}

    def taken(sequence: str, _data: object) -> str:
        if sequence in _BARE_SIGNS:
            return sequence
        row = _find(sequence)
        if row is not None:
            rows[row] = None
        return " "

    while True:
        rest = _PERHAPS_EMOJI.sub(lambda found: emoji.replace_emoji(found[0], replace=taken), text)
        rest = phrases.clean_tweet(_REMAINS.sub("", rest))
        if rest == text:
            return rest, tuple(rows)
        # A broken sequence ("❤", U+FE0F, U+200D, nothing) hides its emoji until it is cleaned.
        text = rest


class Example(NamedTuple):
    """A text without its emojis, and their rows in the catalogue."""

    text: str
    emojis: tuple[int, ...]


class _Piece(NamedTuple):
    file: shards.File
    offset: int
    line: int
    texts: int | None


@dataclass(frozen=True)
class _Reading:
    """What a process reads, and to where."""

    number: int
    pieces: tuple[_Piece, ...]
    column: str | None
    buckets: int
    folder: Path


class Prepared:
    """A corpus that was prepared.

    Attributes:
        folder: where it lies.
        buckets: how many there are.
        counts: int64 (n of the catalogue,), distinct training texts that came with each emoji.
        texts: counts of the texts that were read, left out and kept, by reason and part.
        source: the files that it was made of, and how.

    Raises:
        InputError: the folder holds no prepared corpus, or a damaged one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        try:
            found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
            if found["format"] != _FORMAT:
                raise KeyError("format")
            self.source: dict[str, Any] = found["source"]
            self.buckets: int = found["source"]["buckets"]
            self.texts: dict[str, int] = found["texts"]
            self.counts = np.zeros(len(catalogue()), dtype=np.int64)
            for sequence, count in found["emojis"].items():
                self.counts[catalogue().index(sequence)] = count
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{str(folder)!r} holds no prepared corpus or a damaged one ({error}); name "
                "another --work"
            ) from error

    def words(self) -> Counter[str]:
        """Return how often the training texts have each token; ties in alphabetical order."""
        with open(self.folder / "words.json", encoding="utf-8") as file:
            return Counter(json.load(file))

    def bucket(self, number: int, part: str) -> Iterator[Example]:
        """Yield a bucket's examples of a part of ``phrases.SPLITS``, in the corpus's order."""
        with open(_bucket(self.folder, number, part), encoding="utf-8") as file:
            for line in file:
                text, rows = json.loads(line)
                yield Example(text, tuple(rows))


def prepare(
    inputs: Sequence[str],
    column: str | None,
    folder: Path,
    buckets: int = 64,
    processes: int = 1,
) -> Prepared:
    """Read a corpus once and lay out its examples in a folder; one that is there is used again.

    Left out are retweets, texts without an emoji of the catalogue or without a word, and of equal
    texts (the same tokens) with the same emoji all but the first. The parts are those of
    ``phrases.part``, by a hash of the tokens, so that a text which validates or is held out
    elsewhere in the project does not train here.

    Memory is bounded by a bucket's texts, some 100 bytes for each: raise ``buckets`` with the
    corpus.

    Args:
        inputs: paths, globs, folders or addresses that fsspec opens.
        column: of the texts, in files that have columns; "text" if None.
        folder: for the examples; about as large as the texts with emojis, twice that meanwhile.
        buckets: at least 1.
        processes: that read; the result does not depend on it.

    Raises:
        InputError: there is no such file, it cannot be read or lacks the column; no text has an
            emoji; or the folder holds another corpus.
    """
    files = {file.name: file for one in inputs for file in shards.listed(one, str(folder))}
    for name in files:
        Source(name, column)  # refuses what cannot be read before anything is
    source = {
        "files": [[*file] for file in files.values()],
        "column": column or "text",
        "buckets": buckets,
    }
    if (folder / MANIFEST).is_file():
        found = Prepared(folder)
        if found.source != source:
            raise InputError(
                f"{str(folder)!r} holds another corpus, or these files before they changed; "
                "remove it or name another --work"
            )
        return found
    folder.mkdir(parents=True, exist_ok=True)
    for old in (*folder.glob("part-*.jsonl"), *folder.glob("bucket-*.jsonl")):
        old.unlink()  # of a preparation that was interrupted
    readings = [
        _Reading(number, tuple(pieces), column, buckets, folder)
        for number, pieces in enumerate(_dealt([*files.values()], column, processes))
    ]
    tally: Counter[str] = Counter()
    words: Counter[str] = Counter()
    counts = np.zeros(len(catalogue()), dtype=np.int64)
    with _mapping(processes) as each:
        for read, said in each(_read, readings):
            tally.update(read)
            _count(words, said)
        settled = each(_settle, [(folder, number, len(readings)) for number in range(buckets)])
        for found_in, kept in tqdm(
            settled, "settling", total=buckets, unit="bucket", leave=False, disable=None
        ):
            tally.update(kept)
            counts += found_in
    if not counts.any():
        raise InputError(
            f"of {tally['read']} texts none that trains holds an emoji of the catalogue; give raw "
            "texts, with their emojis in them"
        )
    with replacing(folder / "words.json", "w") as file:
        json.dump(dict(sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))), file)
    names = catalogue().sequences
    with replacing(folder / MANIFEST, "w") as file:
        json.dump(
            {
                "format": _FORMAT,
                "source": source,
                "texts": dict(sorted(tally.items())),
                "emojis": {names[row]: int(counts[row]) for row in np.flatnonzero(counts)},
            },
            file,
            ensure_ascii=False,
            indent=1,
        )
    return Prepared(folder)


def _dealt(
    files: Sequence[shards.File], column: str | None, processes: int
) -> Iterator[list[_Piece]]:
    """Yield each process's share of the corpus: what follows each other, so order is kept."""
    pieces = []
    for file in files:
        if processes == 1:
            # Of lines, parts could be found only by reading them.
            pieces.append(_Piece(file, 0, 0, None))
            continue
        found, wrong = shards.blocks(file, column, (), _BLOCK)
        if wrong:
            raise InputError(wrong)
        pieces += [_Piece(file, *block) for block in found]
    bounds = np.linspace(0, len(pieces), min(processes, max(1, len(pieces))) + 1).astype(int)
    for start, end in itertools.pairwise(bounds):
        yield pieces[start:end]


@contextlib.contextmanager
def _mapping(processes: int) -> Iterator[Any]:
    if processes == 1:
        yield map
        return
    # Spawned: a fork would copy the threads of whatever was imported here.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(processes, context) as pool:
        yield pool.map


def _read(reading: _Reading) -> tuple[Counter[str], Counter[str]]:
    """Deal the texts of some pieces out to the buckets; return the tally and the words."""
    tally: Counter[str] = Counter()
    words: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        parts = [
            stack.enter_context(
                open(_part(reading.folder, reading.number, bucket), "w", encoding="utf-8")
            )
            for bucket in range(reading.buckets)
        ]
        shown = tqdm(
            _texts(reading), "reading", unit=" texts", leave=False,
            disable=None if reading.number == 0 else True,
        )  # fmt: skip
        for text in shown:
            tally["read"] += 1
            _deal(text, parts, tally, words)
            if len(words) > _WORDS:
                _forget(words)
    return tally, words


def _texts(reading: _Reading) -> Iterator[str]:
    for piece in reading.pieces:
        with shards.reading(piece.file, reading.column, ()) as reader:
            for record in reader.records(Place(piece.offset, piece.line), piece.texts):
                yield record.text


def _deal(text: str, parts: Sequence[IO[str]], tally: Counter[str], words: Counter[str]) -> None:
    if _RETWEET.search(text):
        tally["retweets"] += 1
        return
    rest, rows = extract(text)
    if not rows:
        tally["without an emoji"] += 1
        return
    tokens = tokenize(rest)
    if not tokens:
        tally["without a word"] += 1
        return
    key = " ".join(tokens)
    digest = hashlib.sha256(key.encode()).digest()
    split = phrases.part(key)
    if split == "train":
        words.update(tokens)
    # The split reads the first four bytes of the same hash.
    bucket = int.from_bytes(digest[4:8], "big") % len(parts)
    row = [int.from_bytes(digest[8:16], "big"), split, rest, rows]
    parts[bucket].write(json.dumps(row) + "\n")


def _settle(task: tuple[Path, int, int]) -> tuple[np.ndarray, Counter[str]]:
    """Write a bucket's examples without duplicates; return emojis' counts in training, a tally."""
    folder, bucket, readings = task
    tally: Counter[str] = Counter()
    counts = np.zeros(len(catalogue()), dtype=np.int64)
    seen: set[tuple[int, int]] = set()
    with contextlib.ExitStack() as stack:
        out = {
            split: stack.enter_context(open(_bucket(folder, bucket, split), "w", encoding="utf-8"))
            for split in phrases.SPLITS
        }
        for number in range(readings):
            with open(_part(folder, number, bucket), encoding="utf-8") as file:
                for line in file:
                    text_id, split, text, rows = json.loads(line)
                    new = [row for row in rows if (text_id, row) not in seen]
                    seen.update((text_id, row) for row in new)
                    if not new:
                        tally["duplicates"] += 1
                        continue
                    tally[split] += 1
                    if split == "train":
                        counts[new] += 1
                    out[split].write(json.dumps([text, new]) + "\n")
    for number in range(readings):
        _part(folder, number, bucket).unlink()
    return counts, tally


def _count(words: Counter[str], more: Mapping[str, int]) -> None:
    words.update(more)
    if len(words) > _WORDS:
        _forget(words)


def _forget(words: Counter[str]) -> None:
    """Keep the more frequent half of the words."""
    kept = sorted(words.items(), key=lambda pair: (-pair[1], pair[0]))[: _WORDS // 2]
    words.clear()
    words.update(dict(kept))


def _part(folder: Path, reading: int, bucket: int) -> Path:
    return folder / f"part-{reading:04d}-{bucket:04d}.jsonl"


def _bucket(folder: Path, number: int, part: str) -> Path:
    return folder / f"bucket-{number:04d}-{part}.jsonl"


def chosen(prepared: Prepared, wanted: str) -> list[int]:
    """Return the rows of the emojis that are kept, most frequent first, or in a file's order.

    Args:
        prepared: the corpus.
        wanted: how many of the most frequent ones, ``"all"`` for those that any training text has,
            or a file as `sqam.reading` reads them, an emoji a line or in a column ``emoji``.

    Raises:
        InputError: fewer of them than asked for train, a file that cannot be read or names no
            emoji, or one that no training text has; fewer than two.
    """
    # Ties in the catalogue's order.
    order = np.argsort(-prepared.counts, kind="stable")
    there = [int(row) for row in order if prepared.counts[row]]
    if wanted == "all":
        rows = there
    elif wanted.isdecimal():
        if int(wanted) > len(there):
            raise InputError(
                f"--emojis {wanted}: the training texts hold only {len(there)} different emojis; "
                "ask for fewer, or for all"
            )
        rows = there[: int(wanted)]
    else:
        source = Source(wanted)
        if not source.from_lines:
            source = Source(wanted, "emoji")
        with source.opened() as reader:
            texts = [text.strip() for record in reader.records() if (text := record.text).strip()]
        rows = list(dict.fromkeys(catalogue().index(text) for text in texts))
        if lacking := [row for row in rows if not prepared.counts[row]]:
            raise InputError(
                f"--emojis {wanted!r}: no training text holds {catalogue().sequences[lacking[0]]} "
                f"({len(lacking)} of {len(rows)} are missing); take them out"
            )
    if len(rows) < 2:
        raise InputError(f"--emojis {wanted!r} leaves {len(rows)} to tell apart; name two or more")
    return rows


def rates(counts: np.ndarray, balance: float, most: float) -> np.ndarray:
    """Return how often a pass shows an example of each emoji, on average: float64 (n,), at least 1.

    ``(largest count / count) ** balance``, at most ``most``. With 1 each emoji is shown as often as
    the most frequent one, as DeepMoji's training set was balanced by upsampling; with 0 as often as
    it comes.

    Args:
        counts: (n,), examples of each, at least 1.
        balance: from 0 to 1.
        most: at least 1, lest a few texts of a rare emoji be learnt by heart.
    """
    return np.minimum((counts.max() / counts) ** balance, most)


class Showing(NamedTuple):
    """A text that is shown for one of its emojis."""

    ids: list[int]
    """Rows of the vocabulary."""

    answers: tuple[int, ...]
    """All its emojis that are kept, by their places in that list."""

    shown: int
    """The one of them that it is shown for."""


class Stream:
    """The showings of one shard, pass after pass, without an end.

    A shard has every n-th bucket. A pass shows each of its examples once for each of its kept
    emojis times that emoji's rate: of a rate of 2.3 two showings, and a third with a chance of 0.3.
    Buckets come in a drawn order, and their showings through a buffer from which they are drawn.
    All draws hang on the seed, the shard and the pass alone.

    Attributes:
        place: the pass that the next showing is of, and how many of it came before.

    Args:
        prepared: the corpus.
        rows: the kept emojis' rows in the catalogue.
        shown: (len(rows),), their rates.
        vocabulary: of the model.
        limit: tokens that the model reads.
        shard: which, from 0.
        of: how many shards there are.
        seed: of the draws.
        buffer: showings in memory.
        place: where to go on.
    """

    def __init__(
        self, prepared: Prepared, rows: Sequence[int], shown: np.ndarray, vocabulary: Vocabulary,
        limit: int, shard: int, of: int, seed: int, buffer: int, place: tuple[int, int] = (0, 0),
    ) -> None:  # fmt: skip
        self.place = place
        self._prepared, self._vocabulary, self._limit = prepared, vocabulary, limit
        self._column = {row: at for at, row in enumerate(rows)}
        self._rates = [float(rate) for rate in shown]
        self._shard, self._of, self._seed, self._buffer = shard, of, seed, buffer
        self._showings = self._endless()

    def take(self, n: int) -> list[Showing]:
        """Return the next showings.

        Raises:
            InputError: no text of this shard has a kept emoji and a known word.
        """
        return [next(self._showings) for _ in range(n)]

    def _endless(self) -> Iterator[Showing]:
        while True:
            number, done = self.place
            at = 0
            for at, showing in enumerate(self._shuffled(number), start=1):
                if at > done:
                    self.place = (number, at)
                    yield showing
            if not at:
                raise InputError(
                    f"shard {self._shard} of {self._of} has no text with a chosen emoji and a "
                    "known word; the corpus is too small for so many --shards"
                )
            self.place = (number + 1, 0)

    def _shuffled(self, number: int) -> Iterator[Showing]:
        rng = np.random.default_rng([self._seed, self._shard, number, 1])
        held: list[Showing] = []
        for showing in self._pass(number):
            if len(held) < self._buffer:
                held.append(showing)
                continue
            at = int(rng.integers(len(held)))
            held[at], showing = showing, held[at]
            yield showing
        for at in rng.permutation(len(held)):
            yield held[at]

    def _pass(self, number: int) -> Iterator[Showing]:
        rng = np.random.default_rng([self._seed, self._shard, number, 0])
        for bucket in rng.permutation(range(self._shard, self._prepared.buckets, self._of)):
            for text, emojis in self._prepared.bucket(int(bucket), "train"):
                answers = tuple(self._column[row] for row in emojis if row in self._column)
                ids = self._vocabulary.ids(text, self._limit) if answers else []
                if not ids:
                    continue
                for shown in answers:
                    times, chance = divmod(self._rates[shown], 1)
                    for _ in range(int(times) + int(rng.random() < chance)):
                        yield Showing(ids, answers, shown)
