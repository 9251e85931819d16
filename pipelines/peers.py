"""Other rankings of all emojis for a text, to measure ours against.

A peer is a function of texts that returns scores, float32 (n, n_emojis), over the emojis of the
catalogue, in its order; higher is better. -inf marks an emoji that the peer does not return: it has
no rank, so it cannot be a hit.
"""

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer

from emoji_vae.catalogue import Catalogue, Emoji, catalogue
from emoji_vae.errors import InputError
from pipelines import minilm, phrases, sources
from sqam.text import tokenize


class Means(NamedTuple):
    """What the peers read.

    Attributes:
        data: folder of the sentences.
        cache: folder of downloaded packages.
        vectors: folder where the encoder's vectors are kept; None for those of the teacher.
        withheld: whether keywords of the validation and the held-out part are kept from the peers,
            as they are kept from our training; for queries that are such keywords.
    """

    data: Path = phrases.DATA
    cache: Path = sources.CACHE
    vectors: Path | None = None
    withheld: bool = False


Peer = Callable[[Sequence[str], Means], np.ndarray]


def popular(texts: Sequence[str], means: Means) -> np.ndarray:
    """Score each emoji by how often it is right in the training tweets, whatever the text."""
    found = phrases.gather(catalogue(), means.data)
    return np.tile(phrases.popularity(found, len(catalogue())), (len(texts), 1))


def tfidf(texts: Sequence[str], means: Means) -> np.ndarray:
    """Score by the TF-IDF cosine with the emojis' names and keywords; no common word, no rank."""
    vectorizer = TfidfVectorizer(dtype=np.float32)
    emojis = vectorizer.fit_transform(
        [" ".join(words) for words in described(catalogue(), means.withheld)]
    )
    # The vectors have length 1, or 0 where no word is known.
    cosines = (vectorizer.transform(texts) @ emojis.T).toarray()
    return np.where(cosines > 0, cosines, -np.inf).astype(np.float32)


def minilm_names(texts: Sequence[str], means: Means) -> np.ndarray:
    """Score by all-MiniLM-L6-v2's cosine with the emojis' names.

    Raises:
        InputError: the encoder cannot be fetched, or its table is damaged.
        MissingExtraError: texts are to be encoded without sentence-transformers.
    """
    return _minilm(texts, [emoji.name for emoji in catalogue()], means)


def minilm_keywords(texts: Sequence[str], means: Means) -> np.ndarray:
    """Score by all-MiniLM-L6-v2's cosine with "name, keyword, keyword, ..."; raises as by names."""
    described_as = [", ".join(words) for words in described(catalogue(), means.withheld)]
    return _minilm(texts, described_as, means)


def _minilm(texts: Sequence[str], emojis: Sequence[str], means: Means) -> np.ndarray:

    folder = minilm.FOLDER if means.vectors is None else means.vectors
    vectors = minilm.encode([*texts, *emojis], means.cache, folder)
    # They are kept in half precision, which leaves the length a little off 1.
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors[: len(texts)] @ vectors[len(texts) :].T


def described(emojis: Iterable[Emoji], withheld: bool) -> list[tuple[str, ...]]:
    """Return each emoji's name, then its keywords.

    Args:
        emojis: of the catalogue.
        withheld: whether keywords outside the training part are left out.
    """
    return [
        (
            emoji.name,
            *(
                keyword
                for keyword in emoji.keywords
                if not withheld or phrases.part(" ".join(tokenize(keyword))) == "train"
            ),
        )
        for emoji in emojis
    ]


# What Node itself says of an error quotes the line, and the package is one line of all keywords.
_SEARCH = """\
try {
  const { searchBestMatchingEmojis } = await import("./emoogle.mjs");
  let input = "";
  for await (const part of process.stdin.setEncoding("utf8")) input += part;
  const { texts, limit } = JSON.parse(input);
  console.log(JSON.stringify(texts.map((text) => searchBestMatchingEmojis(text, limit))));
} catch (error) {
  console.error(`${error}`.split("\\n")[0].slice(0, 200));
  process.exitCode = 1;
}
"""
_LIMIT = 100_000  # More than there are emojis: all that match.


def emoogle(texts: Sequence[str], means: Means) -> np.ndarray:
    """Score by the place among what Emoogle's keyword search finds: 0 for the first, then -1, ...

    It is asked for "best matching" emojis, which is its function for phrases and sentences. Its
    keywords are test data: the package is unpacked where it is removed again. They were made from
    CLDR's, as the catalogue's were, so keywords that our training never saw are known to it.

    Raises:
        InputError: Node.js or the package is missing, or the search fails.
    """
    node = shutil.which("node")
    if node is None:
        raise InputError("Emoogle's search runs in Node.js, which is missing; install Node.js")
    module = sources.read_member(sources.fetch("emoogle", means.cache), "package/dist/index.js")
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "emoogle.mjs").write_bytes(module)
        script = Path(folder, "search.mjs")
        script.write_text(_SEARCH, encoding="utf-8")
        done = subprocess.run(
            [node, str(script)],
            input=json.dumps({"texts": list(texts), "limit": _LIMIT}),
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    if done.returncode:
        said = done.stderr.splitlines() or ["no message"]
        raise InputError(f"Emoogle's search failed: {said[-1]}; check Node.js")
    return placed(json.loads(done.stdout), catalogue())


def placed(found: Sequence[Sequence[str]], among: Catalogue) -> np.ndarray:
    """Return lists of emojis, best first, as scores, float32 (n, n_emojis).

    Variants of one emoji of the catalogue count as the first of them; foreign ones are passed over.
    """
    scores = np.full((len(found), len(among)), -np.inf, dtype=np.float32)
    for row, sequences in zip(scores, found, strict=True):
        places = (among.find(sequence) for sequence in sequences)
        for at, place in enumerate(dict.fromkeys(p for p in places if p is not None)):
            row[place] = -at
    return scores


PEERS: Mapping[str, Peer] = {
    "popular": popular,
    "tfidf": tfidf,
    "minilm-names": minilm_names,
    "minilm-keywords": minilm_keywords,
    "emoogle": emoogle,
}
"""Every peer by the name that ``--peers`` takes."""

PACKAGES: Mapping[str, str] = {
    "minilm-names": "minilm",
    "minilm-keywords": "minilm",
    "emoogle": "emoogle",
}
"""The key in `pipelines.sources.SOURCES` of the package that a peer stands on."""
