"""The one scoring path: sentences and emoji codes in, cosines out, on exported networks.

Five classes, every emoji, unseen pictures and generated emojis differ in their codes alone.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self
from weakref import WeakKeyDictionary

import numpy as np
import onnxruntime

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from emoji_vae.network import open_network
from sqam.text import Vocabulary, Word, pad

FORMAT = "emoji-sqam question-answer model, version 1"
_BATCH = 256


class Match(NamedTuple):
    """An emoji (or a picture's own name), what it is called, and its cosine in [-1, 1]."""

    emoji: str
    name: str
    score: float

    @classmethod
    def of(cls, candidate: str, score: float) -> Self:
        """Return a candidate's match, with the name that the catalogue has for it, or its own."""
        row = catalogue().find(candidate)
        return cls(candidate, candidate if row is None else catalogue()[row].name, score)


def _open_network(path: Path, inputs: list[str], threads: int) -> onnxruntime.InferenceSession:
    session = open_network(path, threads)
    if [node.name for node in session.get_inputs()] != inputs:
        raise InputError(
            f"{str(path)!r} is an ONNX model of another kind; name a folder written by train_sqam"
        )
    return session


class Scorer:
    """Scores sentences against emoji codes.

    >>> scorer, codes = Scorer.load(), EmojiCodes.load()
    >>> scorer.classify(["I adore you"], codes.select(["❤️", "⚾", "😞", "🍴"]))
    ['❤️']

    ``score``, ``rank`` and ``classify`` raise ``InputError`` where the sentences are not strings
    or the candidates' codes do not have the length that the model was trained on.

    Threads may share a scorer. It keeps the answers of candidates as long as these exist, so keep
    the object of candidates that are ranked again.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            if config["format"] != FORMAT:
                raise KeyError("format")
            settings = config["settings"]
            self.max_tokens: int = settings["max_tokens"]
            self._mask: bool = settings["mask"]
            self._code_size: int = settings["code_size"]
            self._space: int = settings["space"]
            # Mapped, not read: a sentence touches a few rows.
            self._vectors = np.load(folder / "embedding.npy", mmap_mode="r", allow_pickle=False)
            self._scales = np.load(folder / "scales.npy", allow_pickle=False)
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
        self.vocabulary = Vocabulary.load(folder / "vocabulary.txt")
        if not (
            self._vectors.ndim == 2
            and len(self._vectors) == len(self._scales) == len(self.vocabulary) + 1
        ):
            raise InputError(
                f"{str(folder)!r}: {len(self.vocabulary)} words but "
                f"{len(self._vectors) - 1} vectors; its files come from different models"
            )
        self._question = _open_network(folder / "question.onnx", ["vectors", "lengths"], threads)
        self._answer = _open_network(folder / "answer.onnx", ["codes"], threads)
        self._kept: WeakKeyDictionary[EmojiCodes, tuple[np.ndarray, np.ndarray]]
        self._kept = WeakKeyDictionary()

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None, threads: int = 0) -> Self:
        """Open a trained model.

        Args:
            folder: what ``pipelines.train_sqam`` wrote; by default the model that ships.
            threads: of the runtime; 0 lets it choose.

        Raises:
            InputError: the folder or a file is missing, corrupt or of another kind.
        """
        return cls(asset("models", "sqam") if folder is None else Path(folder), threads)

    def known(self, sentences: Sequence[str]) -> np.ndarray:
        """Tell for each sentence, bool (n,), whether the model knows a word of it."""
        return np.array([bool(self.vocabulary.ids(s, 1)) for s in _texts(sentences)], dtype=bool)

    def questions(self, sentences: Sequence[str]) -> np.ndarray:
        """Put sentences into the shared space: float32 (n, space), of unit length.

        A sentence without a known word is the zero vector.
        """
        return self._encoded(
            [self.vocabulary.ids(text, self.max_tokens) for text in _texts(sentences)]
        )

    def _encoded(self, ids: Sequence[Sequence[int]]) -> np.ndarray:
        vectors = np.zeros((len(ids), self._space), dtype=np.float32)
        # Sentences of like length share a batch, so that little padding is computed.
        order = sorted((i for i in range(len(ids)) if ids[i]), key=lambda i: len(ids[i]))
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            lengths = np.array([len(ids[i]) for i in batch], dtype=np.int32)
            width = int(lengths.max()) if self._mask else self.max_tokens
            tokens = pad([ids[i] for i in batch], width).T
            if not self._mask:
                lengths[:] = width
            inputs = self._vectors[tokens] * self._scales[tokens]
            vectors[batch] = self._question.run(None, {"vectors": inputs, "lengths": lengths})[0]
        return vectors

    def answers(self, candidates: EmojiCodes) -> np.ndarray:
        """Put codes into the shared space: float32 (n, space), of unit length."""
        different, place = self._different(candidates)
        return different[place]

    def _different(self, candidates: EmojiCodes) -> tuple[np.ndarray, np.ndarray]:
        """Return the answers of the codes that differ, and where each candidate's is among them.

        Equal codes get one answer and one cosine, so that they tie to the last bit: a matrix
        product may round alike columns differently.
        """
        kept = self._kept.get(candidates)
        if kept is None:
            length = candidates.codes.shape[1]
            if length != self._code_size:
                raise InputError(
                    f"the codes are {length}-D, the model reads {self._code_size}-D ones; encode "
                    "the pictures with the VAE that the model was trained on"
                )
            codes, place = np.unique(candidates.codes, axis=0, return_inverse=True)
            parts = [
                self._answer.run(None, {"codes": codes[start : start + 4096]})[0]
                for start in range(0, len(codes), 4096)
            ]
            # Of two threads that come here at once, one does in vain what the other does as well.
            kept = self._kept[candidates] = np.concatenate(parts), place.reshape(-1)
        return kept

    def score(self, sentences: Sequence[str], candidates: EmojiCodes) -> np.ndarray:
        """Return cosines, float32 (n_sentences, n_candidates), in [-1, 1].

        A sentence without a known word scores 0 with every candidate.
        """
        return self._cosines(self.questions(sentences), candidates)

    def read(self, sentence: str) -> list[Word]:
        """Return how a sentence is read: the words that count, and those that are passed over."""
        return self.vocabulary.read(sentence, self.max_tokens)

    def score_rows(self, sentences: Sequence[Sequence[int]], candidates: EmojiCodes) -> np.ndarray:
        """Return cosines as `score` does, of sentences that were read before.

        Args:
            sentences: of each the vocabulary's rows of its words, ``max_tokens`` at most.
            candidates: what they are scored with.
        """
        return self._cosines(self._encoded(sentences), candidates)

    def _cosines(self, questions: np.ndarray, candidates: EmojiCodes) -> np.ndarray:
        different, place = self._different(candidates)
        # Rounding may carry the product of unit vectors a little beyond 1.
        return np.clip(questions @ different.T, -1.0, 1.0)[:, place]

    def rank(
        self, sentences: Sequence[str], candidates: EmojiCodes, k: int = 10
    ) -> list[list[Match]]:
        """Return each sentence's best ``k`` candidates, best first.

        The order is that of a stable sort of ``score``: ties go to the earlier candidate. A
        sentence without a known word has no ranking: its list is empty.

        Raises:
            InputError: ``k`` is below 1.
        """
        return self.rank_questions(self.questions(sentences), candidates, k)

    def rank_questions(
        self, questions: np.ndarray, candidates: EmojiCodes, k: int = 10
    ) -> list[list[Match]]:
        """Return what `rank` does, of sentences that `questions` has put into the shared space."""
        return [
            [Match.of(candidates.names[place], score) for place, score in best]
            for best in self._best_of(questions, candidates, k)
        ]

    def best(
        self, sentences: Sequence[str], candidates: EmojiCodes, k: int = 10
    ) -> list[list[tuple[int, float]]]:
        """Return what `rank` does, as the candidates' places among them and their scores."""
        return self._best_of(self.questions(sentences), candidates, k)

    def _best_of(
        self, questions: np.ndarray, candidates: EmojiCodes, k: int
    ) -> list[list[tuple[int, float]]]:
        if k < 1:
            raise InputError(f"k is {k}; ask for at least 1 match")
        found = []
        for question, row in zip(questions, self._cosines(questions, candidates), strict=True):
            best = _best(row, k) if question.any() else ()
            found.append([(int(place), float(row[place])) for place in best])
        return found

    def classify(self, sentences: Sequence[str], candidates: EmojiCodes) -> list[str | None]:
        """Return the best candidate's name for each sentence: the argmax of ``score``.

        None stands for a sentence without a known word.
        """
        questions = self.questions(sentences)
        best = self._cosines(questions, candidates).argmax(axis=1)
        return [
            candidates.names[i] if question.any() else None
            for i, question in zip(best, questions, strict=True)
        ]


def _best(row: np.ndarray, k: int) -> np.ndarray:
    """Return what a stable descending sort puts first, without sorting all."""
    if k < len(row):
        # Everything that ties with the k-th stays in, so that the earlier one of them wins.
        kept = np.flatnonzero(row >= np.partition(row, -k)[-k])
    else:
        kept = np.arange(len(row))
    return kept[np.argsort(-row[kept], kind="stable")][:k]


def _texts(sentences: Sequence[str]) -> Sequence[str]:
    if isinstance(sentences, str):
        raise InputError(f"give a list of sentences, not one string: [{sentences!r:.60}]")
    return sentences
