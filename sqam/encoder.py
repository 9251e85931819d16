"""Sentence features from an exported model, without Keras.

    >>> from sklearn.linear_model import LogisticRegression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import FunctionTransformer
    >>> make_pipeline(FunctionTransformer(Encoder.load().encode), LogisticRegression())

This is the text side that ``Scorer`` scores with. It is no scikit-learn estimator itself, since
ranking does without that package; ``FunctionTransformer`` makes one of ``encode``.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self, overload

import numpy as np
import onnxruntime

from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from emoji_vae.network import open_network
from sqam.text import Vocabulary, Word, pad
from sqam.tokenizer import TokenizerSettings

FORMAT = "emoji-sqam question-answer model, version 1"
_BATCH = 64
"""Texts that the network reads at once; more would be of less like length, and so padded more."""


def quantize(vectors: np.ndarray, steps: int = 127) -> tuple[np.ndarray, np.ndarray]:
    """Quantize word vectors row by row.

    Args:
        vectors: float32 (n, d).
        steps: on either side of 0, from 1 to 127.

    Returns:
        int8 (n, d) and float32 (n, 1), whose product is the vectors to within half a step, which is
        a row's largest magnitude over ``steps``.
    """
    scales = np.abs(vectors).max(axis=1, keepdims=True) / steps
    scales = np.where(scales == 0, 1, scales).astype(np.float32)
    return np.rint(vectors / scales).astype(np.int8), scales


class Attended(NamedTuple):
    """A word and its share of the attention.

    Attributes:
        word: as the model reads it, and where it stands in the text.
        weight: in [0, 1]. Those of a text add up to 1; a word that is passed over has 0.
    """

    word: Word
    weight: float


def open_model_network(
    path: Path, inputs: list[str], threads: int, content: bytes | None = None
) -> onnxruntime.InferenceSession:
    """Open a network of a question-answer model.

    Raises:
        InputError: there is none, or it reads something else.
    """
    session = open_network(path, threads, content)
    if [node.name for node in session.get_inputs()] != inputs:
        raise InputError(
            f"{str(path)!r} is an ONNX model of another kind; name a folder written by train_sqam"
        )
    return session


class Encoder:
    """Reads texts: their words, then what an exported question tower makes of them.

    >>> Encoder.load().encode(["I adore you", "so tired"]).shape
    (2, 512)

    Whatever takes texts raises ``InputError`` where they are not strings.

    Attributes:
        vocabulary: the words that it knows.
        settings: those of the model.
        folder: that it was loaded from.
        max_tokens: of a text that are read.

    Args:
        vocabulary: its words.
        table: int8 (n + 1, d), the words' vectors in steps; row 0 is padding.
        scales: float32 (n + 1, 1), how large a step is.
        graph: ONNX, as ``sqam.export.question_graph`` makes it.
        settings: of the model.
        folder: where these came from, which errors name.
        threads: of the runtime; 0 lets it choose.

    Raises:
        InputError: these do not belong together, or the network cannot be run.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        table: np.ndarray,
        scales: np.ndarray,
        graph: bytes,
        settings: Mapping[str, Any],
        folder: Path,
        threads: int = 0,
    ) -> None:
        if not (table.ndim == 2 and len(table) == len(scales) == len(vocabulary) + 1):
            raise InputError(
                f"{str(folder)!r}: {len(vocabulary)} words but {len(table) - 1} vectors; its "
                "files come from different models"
            )
        self.vocabulary = vocabulary
        self.settings = dict(settings)
        self.folder = folder
        self.max_tokens: int = settings["max_tokens"]
        self.table, self.scales, self.graph = table, scales, graph
        self._mask: bool = settings["mask"]
        self._threads = threads
        self._network = open_model_network(
            folder / "question.onnx", ["vectors", "lengths"], threads, graph
        )
        first, *others = self._network.get_outputs()
        # Keras's own export calls it otherwise, and airline's models are such.
        self._names = {"unit_vectors": first.name, **{node.name: node.name for node in others}}
        self._widths = {"unit_vectors": first.shape[-1]}
        self._widths |= {node.name: node.shape[-1] for node in others}

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None, threads: int = 0) -> Self:
        """Open the text side of a trained model.

        Args:
            folder: what ``pipelines.train_sqam`` wrote; by default the model that ships.
            threads: of the runtime; 0 lets it choose.

        Raises:
            InputError: the folder or a file is missing, corrupt or of another kind.
        """
        return cls.read(asset("models", "sqam") if folder is None else Path(folder), threads)[0]

    @classmethod
    def read(
        cls, folder: Path, threads: int = 0, form: str = FORMAT
    ) -> tuple[Self, dict[str, Any]]:
        """Open the text side in a folder of a form of ours; return it and ``config.json``.

        Raises:
            InputError: as `load`.
        """
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            if config["format"] != form:
                raise KeyError("format")
            settings = {**config["settings"]}
            if lacking := {"max_tokens", "mask", "code_size"} - set(settings):
                raise KeyError(*lacking)
            # Mapped, not read: a sentence touches a few rows.
            table = np.load(folder / "embedding.npy", mmap_mode="r", allow_pickle=False)
            scales = np.load(folder / "scales.npy", allow_pickle=False)
        except OSError as error:
            raise InputError(
                f"no model at {str(folder)!r}: {error.strerror or error}; name a folder that holds "
                "config.json and its networks"
            ) from error
        except (EOFError, KeyError, RecursionError, TypeError, ValueError) as error:
            raise InputError(
                f"{str(folder)!r} holds no model of ours or a damaged one ({error}); name a folder "
                "written by train_sqam"
            ) from error
        vocabulary = _vocabulary(folder, config)
        try:
            graph = (folder / "question.onnx").read_bytes()
        except OSError as error:
            raise InputError(
                f"cannot read the model file {str(folder / 'question.onnx')!r}: {error.strerror}; "
                "name a folder that holds a trained model"
            ) from error
        return cls(vocabulary, table, scales, graph, settings, folder, threads), config

    def __reduce__(self) -> tuple[Any, ...]:
        # For copies and for other processes; an open network can be neither copied nor sent.
        parts = (self.vocabulary, np.asarray(self.table), self.scales, self.graph)
        return type(self), (*parts, self.settings, self.folder, self._threads)

    def known(self, texts: Sequence[str]) -> np.ndarray:
        """Tell for each text, bool (n,), whether the model knows a word of it."""
        return np.array([bool(self.vocabulary.ids(t, 1)) for t in listed(texts)], dtype=bool)

    def ids(self, texts: Sequence[str], tokens: int | None = None) -> list[list[int]]:
        """Return the vocabulary's rows of each text's words, ``tokens`` or ``max_tokens`` of them.

        Raises:
            InputError: ``texts`` is one string, or a text is none.
        """
        tokens = self.max_tokens if tokens is None else tokens
        return [self.vocabulary.ids(text, tokens) for text in listed(texts)]

    @overload
    def encode(
        self, texts: Sequence[str], attention: Literal[False] = False
    ) -> np.ndarray: ...  # fmt: skip

    @overload
    def encode(
        self, texts: Sequence[str], attention: Literal[True]
    ) -> tuple[np.ndarray, list[list[Attended]]]: ...

    def encode(
        self, texts: Sequence[str], attention: bool = False
    ) -> np.ndarray | tuple[np.ndarray, list[list[Attended]]]:
        """Return features of texts: the last LSTM's states, pooled.

        They are the largest value of each state over the text, then, in a model with attention,
        the mean that it weighs; before the layers that lead into the space of the emojis. A model
        of the form of DeepMoji has that mean alone, of the states of all LSTMs and of the words'
        vectors (``SQAMSettings.attend``).

        Args:
            texts: strings. One without a known word has zeros.
            attention: return the words too, with their shares of the attention.

        Returns:
            float32 (n, width); with ``attention`` also each text's words in order.

        Raises:
            InputError: the model was exported before its features were, or has no attention.
        """
        texts = listed(texts)
        if not attention:
            (features,) = self.run(self.ids(texts), ["features"])
            return features
        read = [self.vocabulary.read(text, self.max_tokens) for text in texts]
        ids = [[word.row for word in words if word.row is not None] for words in read]
        features, weights = self.run(ids, ["features", "attention"])
        return features, [
            list(map(Attended, words, _spread_out(words, row)))
            for words, row in zip(read, weights, strict=True)
        ]

    def run(self, ids: Sequence[Sequence[int]], outputs: Sequence[str]) -> list[np.ndarray]:
        """Run the network.

        Args:
            ids: of each text the vocabulary's rows of its words.
            outputs: of "unit_vectors", "features" and "attention".

        Returns:
            For each output float32 (n, width), zeros where a text has no word. How wide the
            attention is, is the longest text's number of words; of a shorter one it ends in zeros.

        Raises:
            InputError: the network has no such output.
        """
        if lacking := [name for name in outputs if name not in self._widths]:
            why = (
                "has no attention; use a model that was trained with it"
                if lacking[0] == "attention" and "features" in self._widths
                else "was exported before its features were; run: "
                "python -m pipelines.export_again, or train it again"
            )
            raise InputError(f"the model at {str(self.folder)!r} {why}")
        longest = max(map(len, ids), default=0) if self._mask else self.max_tokens
        widths = [longest if name == "attention" else self._widths[name] for name in outputs]
        found = [np.zeros((len(ids), width), dtype=np.float32) for width in widths]
        for rows, values in self._batches(ids, [self._names[name] for name in outputs]):
            for array, value in zip(found, values, strict=True):
                array[rows, : value.shape[1]] = value
        return found

    def _batches(
        self, ids: Sequence[Sequence[int]], outputs: list[str]
    ) -> Iterator[tuple[list[int], list[np.ndarray]]]:
        # Sentences of like length share a batch, so that little padding is computed.
        order = sorted((i for i in range(len(ids)) if ids[i]), key=lambda i: len(ids[i]))
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            lengths = np.array([len(ids[i]) for i in batch], dtype=np.int32)
            width = int(lengths.max()) if self._mask else self.max_tokens
            tokens = pad([ids[i] for i in batch], width).T
            if not self._mask:
                lengths[:] = width
            inputs = {"vectors": self.table[tokens] * self.scales[tokens], "lengths": lengths}
            yield batch, self._network.run(outputs, inputs)


def _vocabulary(folder: Path, config: Mapping[str, Any]) -> Vocabulary:
    """Return a model's words, which read texts as ``config`` says."""
    added, tokenizer = config.get("added", 0), config.get("tokenizer", {})
    try:
        if not isinstance(tokenizer, dict) or not isinstance(added, int):
            raise InputError(f"added is {added!r:.40}, tokenizer {tokenizer!r:.40}")
        settings = TokenizerSettings.from_dict(tokenizer) if tokenizer else None
    except InputError as error:
        raise InputError(
            f"the model at {str(folder)!r} does not say how it reads texts: {error}; train it again"
        ) from error
    return Vocabulary.load(folder / "vocabulary.txt", added, settings)


def _spread_out(words: Sequence[Word], weights: np.ndarray) -> Iterator[float]:
    """Yield each word's weight; the known ones have one, in order."""
    following = iter(weights.tolist())
    for word in words:
        yield 0.0 if word.row is None else next(following)


def listed(texts: Sequence[str]) -> Sequence[str]:
    """Return the texts.

    Raises:
        InputError: it is one string.
    """
    if isinstance(texts, str):
        raise InputError(f"give a list of sentences, not one string: [{texts!r:.60}]")
    return texts
