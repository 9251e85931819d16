"""The one scoring path: sentences and emoji codes in, cosines out, on exported networks.

Five classes, every emoji, unseen pictures and generated emojis differ in their codes alone.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Self
from weakref import WeakKeyDictionary

import numpy as np

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from sqam.encoder import Encoder, listed, open_model_network
from sqam.text import Word

_CODES = 4096
"""Codes that the answer tower takes at once."""
_CELLS = 1 << 20
"""Cosines that a ranking holds at once, 4 MB of them, or those of ``_ROWS`` sentences."""
_ROWS = 16
"""Sentences that are ranked together however many the candidates are: to read these from memory
takes as long for one as for several."""


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


class Answers(NamedTuple):
    """Candidates in the shared space.

    Attributes:
        vectors: float32 (n, space), of unit length.
        twins: int (m,), candidates whose code an earlier one has as well.
        firsts: int (m,), the earliest with the code of each of them.
        called: what those that were matched are called, by their place.
    """

    vectors: np.ndarray
    twins: np.ndarray
    firsts: np.ndarray
    called: dict[int, str]


class Scorer:
    """Scores sentences against emoji codes.

    Its ``encoder`` reads the sentences and gives features of them for other tasks.

    >>> scorer, codes = Scorer.load(), EmojiCodes.load()
    >>> scorer.classify(["I adore you"], codes.select(["❤️", "⚾", "😞", "🍴"]))
    ['❤️']

    ``score``, ``rank`` and ``classify`` raise ``InputError`` where the sentences are not strings
    or the candidates' codes do not have the length that the model was trained on.

    Threads may share a scorer. It keeps the answers of candidates as long as these exist, so keep
    the object of candidates that are ranked again.
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        self._opened = folder, threads
        self.encoder = Encoder.load(folder, threads)
        self._code_size: int = self.encoder.settings["code_size"]
        self.vocabulary = self.encoder.vocabulary
        self.max_tokens = self.encoder.max_tokens
        self._answer = open_model_network(folder / "answer.onnx", ["codes"], threads)
        self._kept: WeakKeyDictionary[EmojiCodes, Answers] = WeakKeyDictionary()

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

    def __reduce__(self) -> tuple[type[Self], tuple[Path, int]]:
        # For other processes, which open the folder again: an open network cannot be sent.
        return type(self), self._opened

    def known(self, sentences: Sequence[str]) -> np.ndarray:
        """Tell for each sentence, bool (n,), whether the model knows a word of it."""
        return self.encoder.known(sentences)

    def questions(self, sentences: Sequence[str]) -> np.ndarray:
        """Put sentences into the shared space: float32 (n, space), of unit length.

        A sentence without a known word is the zero vector.
        """
        return self._encoded(
            [self.vocabulary.ids(text, self.max_tokens) for text in listed(sentences)]
        )

    def _encoded(self, ids: Sequence[Sequence[int]]) -> np.ndarray:
        (vectors,) = self.encoder.run(ids, ["unit_vectors"])
        return vectors

    def answers(self, candidates: EmojiCodes) -> np.ndarray:
        """Put codes into the shared space: float32 (n, space), of unit length."""
        return self._answered(candidates).vectors.copy()

    def _answered(self, candidates: EmojiCodes) -> Answers:
        kept = self._kept.get(candidates)
        if kept is None:
            length = candidates.codes.shape[1]
            if length != self._code_size:
                raise InputError(
                    f"the codes are {length}-D, the model reads {self._code_size}-D ones; encode "
                    "the pictures with the VAE that the model was trained on"
                )
            parts = [
                self._answer.run(None, {"codes": candidates.codes[start : start + _CODES]})[0]
                for start in range(0, len(candidates), _CODES)
            ]
            _, first, place = np.unique(
                candidates.codes, axis=0, return_index=True, return_inverse=True
            )
            firsts = first[place.reshape(-1)]
            twins = np.flatnonzero(firsts != np.arange(len(firsts)))
            # Of two threads that come here at once, one does in vain what the other does as well.
            kept = Answers(np.concatenate(parts), twins, firsts[twins], {})
            self._kept[candidates] = kept
        return kept

    def score(self, sentences: Sequence[str], candidates: EmojiCodes) -> np.ndarray:
        """Return cosines, float32 (n_sentences, n_candidates), in [-1, 1].

        A sentence without a known word scores 0 with every candidate.
        """
        return self._cosines(self.questions(sentences), self._answered(candidates))

    def read(self, sentence: str) -> list[Word]:
        """Return how a sentence is read: the words that count, and those that are passed over."""
        return self.vocabulary.read(sentence, self.max_tokens)

    def score_rows(self, sentences: Sequence[Sequence[int]], candidates: EmojiCodes) -> np.ndarray:
        """Return cosines as `score` does, of sentences that were read before.

        Args:
            sentences: of each the vocabulary's rows of its words, ``max_tokens`` at most.
            candidates: what they are scored with.
        """
        return self._cosines(self._encoded(sentences), self._answered(candidates))

    @staticmethod
    def _cosines(questions: np.ndarray, answers: Answers) -> np.ndarray:
        found = questions @ answers.vectors.T
        # Rounding may carry the product of unit vectors a little beyond 1.
        np.clip(found, -1.0, 1.0, out=found)
        # Equal codes tie to the last bit: a matrix product may round alike columns differently.
        found[:, answers.twins] = found[:, answers.firsts]
        return found

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
        called, names = self._answered(candidates).called, candidates.names
        found = []
        for best in self._best_of(questions, candidates, k):
            matches = []
            for place, score in best:
                name = called.get(place)
                if name is None:
                    name = called[place] = Match.of(names[place], score).name
                matches.append(Match(names[place], name, score))
            found.append(matches)
        return found

    def best(
        self, sentences: Sequence[str], candidates: EmojiCodes, k: int = 10
    ) -> list[list[tuple[int, float]]]:
        """Return what `rank` does, as the candidates' places among them and their scores."""
        return self._best_of(self.questions(sentences), candidates, k)

    def best_arrays(
        self, sentences: Sequence[str], candidates: EmojiCodes, k: int = 10
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return what `best` does as arrays, which takes less time for many sentences.

        Returns:
            With m = min(k, number of candidates): places, int (n, m); scores, float32 (n, m); and
            bool (n,), whether the sentence has a known word: what stands in the others' rows means
            nothing.
        """
        return self._arrays_of(self.questions(sentences), candidates, k)

    def _best_of(
        self, questions: np.ndarray, candidates: EmojiCodes, k: int
    ) -> list[list[tuple[int, float]]]:
        places, scores, known = self._arrays_of(questions, candidates, k)
        return [
            list(zip(*row, strict=True)) if knows else []
            for knows, *row in zip(known.tolist(), places.tolist(), scores.tolist(), strict=True)
        ]

    def _arrays_of(
        self, questions: np.ndarray, candidates: EmojiCodes, k: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        if k < 1:
            raise InputError(f"k is {k}; ask for at least 1 match")
        answers = self._answered(candidates)
        shape = len(questions), min(k, len(candidates))
        places, scores = np.empty(shape, dtype=np.intp), np.empty(shape, dtype=np.float32)
        rows = max(_ROWS, _CELLS // len(candidates))
        for start in range(0, len(questions), rows):
            part = slice(start, start + rows)
            places[part], scores[part] = top(self._cosines(questions[part], answers), k)
        return places, scores, np.asarray(questions.any(axis=1))

    def classify(self, sentences: Sequence[str], candidates: EmojiCodes) -> list[str | None]:
        """Return the best candidate's name for each sentence: the argmax of ``score``.

        None stands for a sentence without a known word.
        """
        return [
            candidates.names[best[0][0]] if best else None
            for best in self.best(sentences, candidates, 1)
        ]


def top(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return what a stable descending sort of each row puts first, without sorting all.

    A row falls into pieces, more than ``k``, of every ``pieces``-th score, so that all their
    largest are found side by side. Of the largest of each piece, the k-th largest is reached by at
    least ``k`` scores, and so by all that come first and all that tie with them: few are left to
    sort.

    Args:
        scores: floats (n, m), m at least 1, none NaN.
        k: at least 1.

    Returns:
        Places, int (n, min(k, m)), and the scores there, in the same form.
    """
    n, m = scores.shape
    k = min(k, m)
    size = max(1, min(m // (4 * k), round(m**0.5)))
    pieces = m // size
    if pieces < 2 * k:
        kept = np.ones(scores.shape, dtype=bool)
    else:
        largest = scores[:, : pieces * size].reshape(n, size, pieces).max(axis=1)
        kept = scores >= np.partition(largest, -k, axis=1)[:, -k, np.newaxis]
    rows, places = np.nonzero(kept)
    order = np.lexsort((-scores[rows, places], rows))  # stable
    begins = np.searchsorted(rows, np.arange(n))
    first = places[order[begins[:, np.newaxis] + np.arange(k)]]
    return first, np.take_along_axis(scores, first, axis=1)
