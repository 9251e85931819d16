"""A text classifier that ``sqam.finetune`` made: an encoder, a last layer, thresholds; no Keras.

It is kept as plain files, and read without the extra that trained it. Beside the encoder's features
it may weigh n-grams of words and characters, which tell what the encoder has no word for (Cheng et
al.: Wide & Deep Learning for Recommender Systems, 2016).
"""

import dataclasses
import io
import itertools
import json
import math
import os
from collections import Counter
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from emoji_vae.errors import InputError
from emoji_vae.files import make_folder, replacing
from sqam.encoder import Encoder, listed
from sqam.text import tokenize

FORMAT = "emoji-sqam text classifier, version 1"
PLACES = ("states", "space", "words")
"""Where features come from: the LSTM's pooled states; the space that sentences share with emojis;
the mean and the largest values of the word vectors."""

_LONGEST_GRAM = 5


class NGrams:
    """Weighs the n-grams of texts: words, pairs of words, and 2 to 5 characters within words.

    A weight is (1 + log(count)) * idf, idf = log((1 + texts) / (1 + texts with it)) + 1; those of
    words and those of characters each have length 1 together, as ``TfidfVectorizer`` has it with
    ``sublinear_tf``. The tokens are ``sqam.text``'s, so "sooo" and "#SoGood" are read as there.

    Args:
        names: the n-grams that are known: "w" before words, "c" before characters.
        idf: float32, of each.
    """

    def __init__(self, names: Sequence[str], idf: np.ndarray) -> None:
        self.names = list(names)
        self.idf = idf
        self._columns = {name: column for column, name in enumerate(self.names)}

    @classmethod
    def of(cls, texts: Sequence[str]) -> Self:
        """Learn the n-grams of texts; of characters those that two texts have."""
        found: Counter[str] = Counter()
        for text in texts:
            found.update(name for kind in _grams(text) for name in kind)
        names = sorted(name for name, count in found.items() if name[0] == "w" or count > 1)
        counts = np.array([found[name] for name in names])
        return cls(names, (np.log((1 + len(texts)) / (1 + counts)) + 1).astype(np.float32))

    def __call__(self, text: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the columns, int, of a text's n-grams, and their weights, float32."""
        columns: list[int] = []
        weights: list[np.ndarray] = []
        for counts in _grams(text):
            known = [(self._columns[n], count) for n, count in counts.items() if n in self._columns]
            if known:
                at = [column for column, _ in known]
                row = np.array([1 + math.log(count) for _, count in known]) * self.idf[at]
                columns += at
                weights.append(row / np.linalg.norm(row))
        return np.array(columns, dtype=int), np.concatenate([np.empty(0), *weights]).astype("f4")


def _grams(text: str) -> Iterator[Counter[str]]:
    tokens = tokenize(text)
    yield Counter(f"w{gram}" for gram in [*tokens, *map(" ".join, itertools.pairwise(tokens))])
    padded = [f" {token} " for token in tokens]
    yield Counter(
        f"c{token[at : at + size]}"
        for token in padded
        for size in range(2, _LONGEST_GRAM + 1)
        for at in range(len(token) - size + 1)
    )


def gathered(encoder: Encoder, ids: Sequence[Sequence[int]], places: Sequence[str]) -> np.ndarray:
    """Return the features of texts from several places.

    Args:
        encoder: see `Encoder`.
        ids: of each text the rows of its words.
        places: some of `PLACES`.

    Returns:
        float32 (n, width), zeros where a text has no word.
    """
    asked = {"states": "features", "space": "unit_vectors"}
    found = dict(zip(asked, encoder.run(ids, list(asked.values())), strict=True))
    size = encoder.table.shape[1]
    words = np.zeros((len(ids), 2 * size), dtype=np.float32)
    for row, text in zip(words, ids, strict=True):
        if text:
            at = np.asarray(text) + 1  # row 0 is padding
            vectors = encoder.table[at] * encoder.scales[at]
            row[:size], row[size:] = vectors.mean(axis=0), vectors.max(axis=0)
    found["words"] = words
    return np.concatenate([found[place] for place in places], axis=1)


@dataclasses.dataclass(frozen=True)
class Head:
    """The last layer: features (n, width) -> logits (n, classes).

    Attributes:
        mean, scale: float32 (width,), features are read as ``(features - mean) * scale``.
        kernel: float32 (width, classes).
        bias: float32 (classes,).
        grams: float32 (n-grams, classes), weights of n-grams; None without them.
    """

    mean: np.ndarray
    scale: np.ndarray
    kernel: np.ndarray
    bias: np.ndarray
    grams: np.ndarray | None = None


class Classifier:
    """Tells classes of texts; see ``sqam.finetune.finetune``, which makes one.

    A text without a known word has no features, so it is answered as a text that is average in
    all of them (or by its n-grams alone, where they are weighed).

    Attributes:
        classes: their names, in the order of all that has a column a class.
        multi_label: whether a text may have none of them or several.
        thresholds: float64 (classes,), in (0, 1): above it a class is taken to be there. Chosen on
            validation texts for F1.
        encoder: reads the texts; its features are those of the task, see `Encoder.encode`.
        notes: how it was made: settings, figures of validation.
    """

    def __init__(
        self,
        encoder: Encoder,
        places: Sequence[str],
        head: Head,
        classes: Sequence[Hashable],
        multi_label: bool,
        thresholds: np.ndarray,
        ngrams: NGrams | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        self.encoder = encoder
        self.places = tuple(places)
        self.head = head
        self.classes = list(classes)
        self.multi_label = multi_label
        self.thresholds = np.asarray(thresholds, dtype=float)
        self.ngrams = ngrams
        self.notes = dict(notes or {})

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Return float32 (n, classes) before they become probabilities.

        Raises:
            InputError: ``texts`` is one string, or a text is none.
        """
        texts, head = listed(texts), self.head
        ids = self.encoder.ids(texts)
        read = (gathered(self.encoder, ids, self.places) - head.mean) * head.scale
        read[[not text for text in ids]] = 0
        found = read @ head.kernel + head.bias
        if self.ngrams is not None and head.grams is not None:
            for row, text in zip(found, texts, strict=True):
                columns, weights = self.ngrams(text)
                row += weights @ head.grams[columns]
        return found

    def predict_proba(self, texts: Sequence[str]) -> np.ndarray:
        """Return probabilities, float32 (n, classes); a text's add up to 1 unless multi-label.

        Raises:
            InputError: ``texts`` is one string, or a text is none.
        """
        return probabilities(self.logits(texts), self.multi_label)

    def predict(self, texts: Sequence[str]) -> np.ndarray:
        """Return each text's likeliest class, (n,); multi-label: 0 or 1, int64 (n, classes).

        Raises:
            InputError: ``texts`` is one string, or a text is none.
        """
        found = self.predict_proba(texts)
        if self.multi_label:
            return (found > self.thresholds).astype(int)
        return np.array(self.classes)[found.argmax(axis=1)]

    def measure(self, texts: Sequence[str], labels: Any) -> dict[str, float]:
        """Return "accuracy" and "class-averaged F1", in [0, 1], on labelled texts.

        Accuracy is the share of texts that `predict` has right, in all classes. For the F1 see
        `class_averaged`.

        Raises:
            InputError: no text, not as many labels as texts, or a label that is none of the
                classes.
        """
        texts = listed(texts)
        correct = indicators(labels, len(texts), self.classes, self.multi_label)
        return measured(self.predict_proba(texts), correct, self.thresholds, self.multi_label)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write it into a folder, which is made; files of another one there are replaced.

        Raises:
            InputError: the folder cannot be written.
        """
        folder = Path(folder)
        make_folder(folder)
        for name, content in self._files().items():
            with replacing(folder / name) as file:
                file.write(content)

    def _files(self) -> dict[str, bytes]:
        """Return what `load` reads, the file that says what it is last."""
        encoder = self.encoder
        arrays = {k: v for k, v in dataclasses.asdict(self.head).items() if v is not None}
        config = {
            "format": FORMAT,
            "settings": encoder.settings,
            **encoder.vocabulary.reading(),
            "places": self.places,
            "classes": self.classes,
            "multi_label": self.multi_label,
            "thresholds": self.thresholds.tolist(),
            **self.notes,
        }
        files = {
            "embedding.npy": _saved(lambda file: np.save(file, np.asarray(encoder.table))),
            "scales.npy": _saved(lambda file: np.save(file, encoder.scales)),
            "vocabulary.txt": "".join(f"{w}\n" for w in encoder.vocabulary.words).encode(),
            "question.onnx": encoder.graph,
        }
        if self.ngrams is not None:
            arrays["idf"] = self.ngrams.idf
            files["ngrams.txt"] = "".join(f"{name}\n" for name in self.ngrams.names).encode()
        files["head.npz"] = _saved(lambda file: np.savez(file, **arrays))
        files["config.json"] = (json.dumps(config, indent=1, ensure_ascii=False) + "\n").encode()
        return files

    @classmethod
    def load(cls, folder: str | os.PathLike[str], threads: int = 0) -> Self:
        """Open what `save` wrote.

        Args:
            folder: that it is in.
            threads: of the runtime; 0 lets it choose.

        Raises:
            InputError: the folder or a file is missing, damaged or of another kind.
        """
        folder = Path(folder)
        encoder, config = Encoder.read(folder, threads, FORMAT)
        try:
            with np.load(folder / "head.npz", allow_pickle=False) as kept:
                arrays = dict(kept)
            idf = arrays.pop("idf", None)
            ngrams = None
            if idf is not None:
                text = (folder / "ngrams.txt").read_bytes().decode("utf-8")
                ngrams = NGrams(text.split("\n")[:-1], idf)
            head, classes = Head(**arrays), config["classes"]
            width, grams = len(head.mean), None if idf is None else (len(idf), len(classes))
            if not (
                head.kernel.shape == (width, len(classes))
                and head.bias.shape == (len(classes),) == (len(config["thresholds"]),)
                and (None if head.grams is None else head.grams.shape) == grams
                and (ngrams is None or len(ngrams.names) == len(ngrams.idf))
                and gathered(encoder, [], config["places"]).shape[1] == width
            ):
                raise ValueError("its files come from different classifiers")
            known = {"format", "settings", "places", "classes", "multi_label", "thresholds"}
            known |= {"added", "tokenizer"}
            return cls(
                encoder, config["places"], head, classes, config["multi_label"],
                config["thresholds"], ngrams,
                {name: value for name, value in config.items() if name not in known},
            )  # fmt: skip
        except OSError as error:
            raise InputError(
                f"cannot read the classifier at {str(folder)!r}: {error.strerror or error}; name a "
                "folder that save wrote"
            ) from error
        except (EOFError, KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"{str(folder)!r} holds a damaged classifier ({error}); train it again"
            ) from error


def _saved(write: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    write(file)
    return file.getvalue()


def probabilities(logits: np.ndarray, multi_label: bool) -> np.ndarray:
    """Return the classes' probabilities of logits, both (n, classes)."""
    if multi_label:
        # In the form that overflows nowhere.
        return 0.5 * (1 + np.tanh(0.5 * logits))
    found = np.exp(logits - logits.max(axis=1, keepdims=True))
    return found / found.sum(axis=1, keepdims=True)


def indicators(
    labels: Any, texts: int, classes: Sequence[Hashable], multi_label: bool
) -> np.ndarray:
    """Return labels as float32 (n, classes), 1 where a text has a class, else 0.

    Args:
        labels: a class a text; multi-label: 0 or 1 for each class, (n, classes).
        texts: how many there are.
        classes: that there are.
        multi_label: see `Classifier`.

    Raises:
        InputError: no text, not as many labels as texts, or a label that is none of the classes.
    """
    try:
        count = len(labels)
    except TypeError as error:
        raise InputError(f"give a list of labels, not {labels!r:.60}") from error
    if not texts:
        raise InputError("there is no text; give at least one")
    if count != texts:
        raise InputError(f"{texts} texts, but {count} labels; give each text its label")
    if multi_label:
        try:
            found = np.array([[float(one) for one in row] for row in labels], dtype=float)
        except (TypeError, ValueError) as error:
            raise InputError(
                "a text's labels must be a 0 or 1 for each class, as many for every text; one of "
                f"them is not ({error})"
            ) from error
        if found.shape != (texts, len(classes)):
            raise InputError(
                f"a text has {found.shape[-1]} labels, but there are {len(classes)} classes; give "
                "a 0 or 1 for each of them"
            )
        if not np.isin(found, (0, 1)).all():
            row, column = np.argwhere(~np.isin(found, (0, 1)))[0]
            raise InputError(
                f"the label of text {row} for class {column} is {found[row, column]:g}; it must be "
                "0 or 1"
            )
        return found.astype(np.float32)
    places = {name: column for column, name in enumerate(classes)}
    found = np.zeros((texts, len(classes)), dtype=np.float32)
    for row, label in zip(found, labels, strict=True):
        column = places.get(label) if isinstance(label, Hashable) else None
        if column is None:
            raise InputError(
                f"the label {label!r:.60} is none of the classes {_few(classes)}; "
                "leave such texts out, or train with some"
            )
        row[column] = 1
    return found


def _few(names: Sequence[Hashable]) -> str:
    shown = ", ".join(repr(name) for name in names[:8])
    return f"{shown}, …" if len(names) > 8 else shown


def measured(
    found: np.ndarray, correct: np.ndarray, thresholds: np.ndarray, multi_label: bool
) -> dict[str, float]:
    """Return "accuracy" and "class-averaged F1" of probabilities; see `Classifier.measure`.

    Args:
        found: float (n, classes).
        correct: the same as `indicators` has it.
        thresholds: float (classes,).
        multi_label: see `Classifier`.
    """
    if multi_label:
        right = ((found > thresholds) == correct).all(axis=1)
    else:
        right = found.argmax(axis=1) == correct.argmax(axis=1)
    return {
        "accuracy": float(right.mean()),
        "class-averaged F1": class_averaged(found, correct, thresholds, multi_label),
    }


def class_averaged(
    found: np.ndarray, correct: np.ndarray, thresholds: np.ndarray, multi_label: bool
) -> float:
    """Return the mean of one F1 a class, in [0, 1]: is the class there, by its threshold, or not?

    Of two classes that exclude each other it is the F1 of the second alone, as in DeepMoji's
    benchmark. A class that is neither there nor found has an F1 of 0. The arguments are those of
    `measured`.
    """
    columns = scored_classes(found.shape[1], multi_label)
    f1 = [_f1(found[:, c] > thresholds[c], correct[:, c]) for c in columns]
    return float(np.mean(f1))


def scored_classes(classes: int, multi_label: bool) -> range:
    """Return the columns that `class_averaged` goes over."""
    return range(1, 2) if classes == 2 and not multi_label else range(classes)


def _f1(chosen: np.ndarray, correct: np.ndarray) -> float:
    return float(2 * correct[chosen].sum() / max(chosen.sum() + correct.sum(), 1e-9))


THRESHOLDS = np.arange(0.01, 0.5, 0.01)
"""What a threshold is chosen from. F1's best one is half the best F1 (Lipton et al., Optimal
Thresholding of Classifiers to Maximize F1 Measure, 2014), so none above 0.5 is needed."""


def best_thresholds(found: np.ndarray, correct: np.ndarray, trust: float) -> np.ndarray:
    """Return that threshold of each class that gives it the best F1, float64 (classes,).

    Of few texts the labels alone are a noisy guide. So ``trust`` of each counts, and for the rest
    the probability itself stands in: what one expects of the F1 if the probabilities are right.

    Args:
        found: float (n, classes), probabilities of validation texts.
        correct: float (n, classes), 0 or 1.
        trust: from 0 to 1, of the labels; 1 is DeepMoji's way.
    """
    mixed = trust * correct + (1 - trust) * found
    return np.array(
        [
            max(THRESHOLDS, key=lambda t, c=c: _f1(found[:, c] > t, mixed[:, c]))  # type: ignore[misc]
            for c in range(found.shape[1])
        ]
    )
