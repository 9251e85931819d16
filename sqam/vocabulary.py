"""The words of a model: chosen from texts, and more of them for new data.

>>> Vocabulary(frequent(count(texts), at_most=10_000, at_least=3))
>>> extend("assets/models/sqam", "build/extended", texts)  # then finetune("build/extended", …)
"""

import dataclasses
import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from emoji_vae.errors import InputError
from emoji_vae.files import make_folder, replacing
from sqam.encoder import Encoder, listed, quantize
from sqam.text import Vocabulary, tokenize
from sqam.tokenizer import TokenizerSettings


@dataclasses.dataclass(frozen=True)
class ExtendSettings:
    """Which new words a model is to know."""

    at_most: int = 1_000
    """Words, the most frequent ones of the new texts."""
    at_least: int = 5
    """Times that a word is met in them."""
    near: bool = False
    """Take words, too, that the model does not know but reads as what is near: "sooo", a slip,
    words written together."""
    window: int = 5
    """Words on either side of a new one that say what it is about."""

    def __post_init__(self) -> None:
        for name in ("at_most", "at_least", "window"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}; it must be at least 1")


def count(texts: Iterable[str], tokenizer: TokenizerSettings | None = None) -> Counter[str]:
    """Count the tokens of texts, in the order in which they are met.

    Raises:
        InputError: a text is no string.
    """
    return Counter(token for text in texts for token in tokenize(text, tokenizer))


def frequent(counts: Counter[str], at_most: int | None = None, at_least: int = 1) -> list[str]:
    """Return words, the most frequent first; of words that are met as often, the first met first.

    Args:
        counts: of each word.
        at_most: how many words; None for all.
        at_least: how often a word must have been met.

    Raises:
        InputError: ``at_most`` is below 0.
    """
    if at_most is not None and at_most < 0:
        raise InputError(f"at_most is {at_most}; ask for 0 words or more")
    return [word for word, times in counts.most_common(at_most) if times >= at_least]


def new_words(
    vocabulary: Vocabulary, texts: Sequence[str], settings: ExtendSettings | None = None
) -> list[str]:
    """Return words of new texts that a vocabulary lacks, the most frequent first.

    Words with a digit are none: there is no end of them.

    Raises:
        InputError: ``texts`` is one string, or a text is none.
    """
    settings = ExtendSettings() if settings is None else settings
    texts = listed(texts)
    if settings.near:
        counts = count(texts, vocabulary.tokenizer)
    else:
        read = (word for text in texts for word in vocabulary.read(text))
        counts = Counter(word.word for word in read if word.row is None)
    for word in list(counts):
        if word in vocabulary or any(map(str.isdigit, word)):
            del counts[word]
    return frequent(counts, settings.at_most, settings.at_least)


_COMMON = 1e-3


def neighbours(
    encoder: Encoder, texts: Sequence[str], words: Sequence[str], window: int = 5
) -> np.ndarray:
    """Return a vector for each new word: the mean of those of the known words beside it.

    So it says at once what the word is about, where a vector of zeros would say nothing until it is
    tuned. A neighbour counts ``a / (a + share of the texts' words that it is)``, a = 0.001, since
    "the" stands beside everything (Arora et al.: A Simple but Tough-to-Beat Baseline for Sentence
    Embeddings, ICLR 2017). A word that never has a known one beside it gets the vector of the
    padding, which stands for hidden words in training.

    Args:
        encoder: whose vectors they are.
        texts: in which the words are met.
        words: that the encoder lacks.
        window: how many words on either side are beside it.

    Returns:
        float32 (len(words), dimensions).

    Raises:
        InputError: ``texts`` is one string, or a text is none.
    """
    vocabulary = Vocabulary([*encoder.vocabulary.words, *words], encoder.vocabulary.added + len(
        words), encoder.vocabulary.tokenizer)  # fmt: skip
    known = len(encoder.vocabulary)
    rows = [np.array(vocabulary.ids(text), dtype=int) for text in listed(texts)]
    met = np.zeros(len(vocabulary))
    for text in rows:
        np.add.at(met, text, 1)
    weights = _COMMON / (_COMMON + met / max(met.sum(), 1))
    sums = np.zeros((len(words), encoder.table.shape[1]))
    totals = np.zeros((len(words), 1))
    for text in rows:
        for at in np.flatnonzero(text >= known):
            beside = np.concatenate(
                [text[max(0, at - window) : at], text[at + 1 : at + 1 + window]]
            )
            beside = beside[beside < known]
            # Row 0 of the table is padding.
            vectors = encoder.table[beside + 1] * encoder.scales[beside + 1]
            sums[text[at] - known] += weights[beside] @ vectors
            totals[text[at] - known] += weights[beside].sum()
    padding = encoder.table[0] * encoder.scales[0]
    found = np.where(totals > 0, sums / np.where(totals > 0, totals, 1), padding)
    return found.astype(np.float32)


def extend(
    folder: str | os.PathLike[str],
    output: str | os.PathLike[str],
    texts: Sequence[str],
    *,
    settings: ExtendSettings | None = None,
    vectors: Mapping[str, np.ndarray] | None = None,
) -> list[str]:
    """Write a trained model anew with the most frequent new words of new texts.

    The networks and the rows of the words that it knew stay as they are. The new words are known as
    they are written, and nothing else is read as one of them, so texts without any of them keep
    their scores to the last digit. The new vectors are not tuned: ``sqam.finetune`` does that.

    Args:
        folder: of a model that ``train_sqam`` or `extend` wrote.
        output: a folder; is made. It may be ``folder`` itself.
        texts: new data.
        settings: see `ExtendSettings`.
        vectors: of new words, floats (dimensions,), such as ``pipelines.extend_vocabulary`` makes
            of GloVe's; the others get those of their `neighbours`.

    Returns:
        The new words, the most frequent first.

    Raises:
        InputError: the folder holds no model; ``texts`` is one string, or a text is none; there is
            no new word; or a vector is of another length or not finite.
    """
    settings = ExtendSettings() if settings is None else settings
    folder, output = Path(folder), Path(output)
    encoder, config = Encoder.read(folder)
    texts = listed(texts)
    words = new_words(encoder.vocabulary, texts, settings)
    if not words:
        raise InputError(
            f"the texts have no new word {settings.at_least} times; give more texts, or ask for "
            "fewer times"
        )
    found = neighbours(encoder, texts, words, settings.window)
    for row, word in zip(found, words, strict=True):
        if vectors is not None and word in vectors:
            given = np.asarray(vectors[word], dtype=np.float32)
            if given.shape != row.shape or not np.isfinite(given).all():
                raise InputError(
                    f"the vector of {word!r:.40} has shape {given.shape}; give {len(row)} finite "
                    "numbers"
                )
            row[:] = given
    table, scales = quantize(found)
    every = Vocabulary(
        [*encoder.vocabulary.words, *words], encoder.vocabulary.added + len(words),
        encoder.vocabulary.tokenizer,
    )  # fmt: skip
    config = {
        **config,
        "settings": {**config["settings"], "vocabulary": len(every)},
        **every.reading(),
    }
    lines = "".join(f"{word}\n" for word in every.words)
    # Read before anything is written, since the output may be the folder itself.
    table = np.concatenate([np.array(encoder.table), table])
    scales = np.concatenate([encoder.scales, scales])
    others = {
        file.name: file.read_bytes() for file in sorted(folder.iterdir()) if file.suffix == ".onnx"
    }
    make_folder(output)
    for name, content in others.items():
        with replacing(output / name) as file:
            file.write(content)
    for name, array in {"embedding.npy": table, "scales.npy": scales}.items():
        with replacing(output / name) as file:
            np.save(file, array)
    with replacing(output / "vocabulary.txt", "w") as file:
        file.write(lines)
    # The configuration last: it tells what the other files are.
    with replacing(output / "config.json", "w") as file:
        file.write(json.dumps(config, indent=1, ensure_ascii=False) + "\n")
    return words
