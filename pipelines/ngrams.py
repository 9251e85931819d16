"""N-grams beside the question tower: what a linear classifier finds, put into the shared space.

A classifier over n-grams of words and characters scores the candidates of a text. Its scores become
a vector of the shared space, the shortest whose products with the candidates' vectors they are (or
come nearest to, where candidates are more than dimensions), and are added to what the question
tower says. So a text is one question again, and the one cosine ranks it. (A wide part beside the
deep one: Cheng et al., Wide & Deep Learning, 2016.)
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC

from emoji_vae.codes import EmojiCodes
from sqam.scorer import Scorer


def features() -> Any:
    """Return TF-IDF of words, pairs of words, and 2 to 5 characters, still to be fitted."""
    return make_union(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=3),
    )


class NGrams:
    """What n-grams of a text say of the candidates.

    Args:
        texts: to learn from.
        labels: int (n,), the right candidate's place for each; at least three differ.
        candidates: how many there are.
        strength: the inverse of the penalty, above 0. All candidates count alike.
    """

    def __init__(
        self, texts: Sequence[str], labels: np.ndarray, candidates: int, strength: float
    ) -> None:
        self._candidates = candidates
        self._features = features()
        self._classifier = LinearSVC(C=strength, class_weight="balanced", random_state=0)
        self._classifier.fit(self._features.fit_transform(texts), labels)

    def scores(self, texts: Sequence[str]) -> np.ndarray:
        """Return float64 (n, candidates): the margin, above 0 for yes; -1 where none was seen."""
        found = np.full((len(texts), self._candidates), -1.0)
        told = self._classifier.decision_function(self._features.transform(texts))
        found[:, self._classifier.classes_] = told
        return found

    def beside(
        self, questions: np.ndarray, scores: np.ndarray, answers: np.ndarray, share: float
    ) -> np.ndarray:
        """Return questions with the n-grams' part added.

        Args:
            questions: float (n, space), of unit length or zero.
            scores: of the same texts.
            answers: float (candidates, space), of unit length.
            share: what a score of 1 adds to a cosine, before the length is 1 again.

        Returns:
            float32 (n, space), of unit length, or zero where there is nothing to go by.
        """
        found = questions + share * scores @ np.linalg.pinv(answers).T
        length = np.linalg.norm(found, axis=1, keepdims=True)
        return (found / np.maximum(length, 1e-9)).astype(np.float32)


def classify(
    scorer: Scorer,
    ngrams: NGrams,
    texts: Sequence[str],
    read: Sequence[str],
    codes: EmojiCodes,
    share: float,
) -> np.ndarray:
    """Return the place of each text's nearest code, int (n,); -1 if there is nothing to go by.

    Args:
        scorer: of the model.
        ngrams: of its candidates.
        texts: as the n-grams read them.
        read: the same as the model reads them.
        codes: the candidates, no name twice.
        share: see `NGrams.beside`.
    """
    questions = ngrams.beside(
        scorer.questions(read), ngrams.scores(texts), scorer.answers(codes), share
    )
    place = {name: at for at, name in enumerate(codes.names)}
    ranked = scorer.rank_questions(questions, codes, 1)
    return np.array([place[best[0].emoji] if best else -1 for best in ranked])
