"""The last layer of a text classifier: fitted over features, scaled, and widened by n-grams."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from emoji_vae.errors import MissingExtraError
from sqam.classifier import (
    Classifier,
    Head,
    NGrams,
    best_thresholds,
    gathered,
    measured,
    probabilities,
)
from sqam.encoder import Encoder
from sqam.finetune_settings import FineTuneSettings
from sqam.task import Task

try:
    from scipy import sparse
    from sklearn.linear_model import LogisticRegression
except ImportError as error:
    raise MissingExtraError("scikit-learn", "train") from error


def spreads(
    encoder: Encoder, ids: Sequence[Sequence[int]], known: np.ndarray, places: Sequence[str]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the features' means and what brings each place to a spread of 1 in all, float32."""
    means, scales = [], []
    for place in places:
        found = gathered(encoder, ids, [place])[known]
        deviation = found.std(axis=0)
        # Something that hardly varies here may vary there: it must not become the loudest.
        deviation = np.sqrt(deviation**2 + (0.1 * deviation.mean()) ** 2 + 1e-12)
        means.append(found.mean(axis=0))
        scales.append(1 / deviation / np.sqrt(len(deviation)))
    return np.concatenate(means).astype("f4"), np.concatenate(scales).astype("f4")


def fitted(
    encoder: Encoder,
    ids: Sequence[Sequence[int]],
    held: Sequence[Sequence[int]],
    task: Task,
    settings: FineTuneSettings,
    mean: np.ndarray,
    scale: np.ndarray,
) -> tuple[Head, float]:
    """Fit a last layer over features as they are; return it and its strength."""

    def read(texts: Sequence[Sequence[int]]) -> np.ndarray:
        found = (gathered(encoder, texts, settings.places) - mean) * scale
        found[[not text for text in texts]] = 0
        return found

    known = [bool(text) for text in ids]
    kernel, bias, strength = best_layer(
        read(ids)[known], task.correct[known], task.weights[known], read(held),
        task.held_correct, task.multi_label, settings.strengths,
    )  # fmt: skip
    return Head(mean, scale, kernel, bias), strength


def best_layer(
    features: Any,
    correct: np.ndarray,
    weights: np.ndarray,
    held: Any,
    held_correct: np.ndarray,
    multi_label: bool,
    strengths: Sequence[float],
) -> tuple[np.ndarray, np.ndarray, float]:
    """Fit logistic regressions of several strengths, and take that which validates best.

    Args:
        features: float (n, width), dense or sparse.
        correct: float32 (n, classes), 0 or 1.
        weights: float32 (n, classes), how much each of these counts.
        held: float (m, width), of the validation texts.
        held_correct: float32 (m, classes). Without any (m is 0) the middle strength is taken.
        multi_label: whether a row of ``correct`` may hold no 1 or several.
        strengths: inverses of the L2 penalty, ``LogisticRegression``'s C.

    Returns:
        Kernel, float32 (width, classes), bias, float32 (classes,), and the strength.
    """
    if not len(held_correct):
        strengths = sorted(strengths)[len(strengths) // 2 :][:1]
    best: tuple[float, np.ndarray, np.ndarray, float] | None = None
    for strength in strengths:
        kernel, bias = _layer(features, correct, weights, multi_label, strength)
        loss = 0.0
        if len(held_correct):
            loss = calibrated(held @ kernel + bias, held_correct, multi_label)[1]
        if best is None or loss < best[0]:
            best = (loss, kernel, bias, strength)
    assert best is not None  # there is a strength
    return best[1:]


def _layer(
    features: Any, correct: np.ndarray, weights: np.ndarray, multi_label: bool, strength: float
) -> tuple[np.ndarray, np.ndarray]:
    """Fit one layer: kernel, float32 (width, classes), and bias, float32 (classes,)."""

    def fit(answers: np.ndarray, counts: np.ndarray) -> LogisticRegression:
        made = LogisticRegression(C=strength, max_iter=1000)
        return made.fit(features, answers, sample_weight=counts)

    if multi_label:
        made = [fit(correct[:, c], weights[:, c]) for c in range(correct.shape[1])]
        kernel = np.concatenate([one.coef_ for one in made]).T
        bias = np.concatenate([one.intercept_ for one in made])
    else:
        one = fit(correct.argmax(axis=1), weights[:, 0])
        kernel, bias = one.coef_.T, one.intercept_
        if correct.shape[1] == 2:  # one logit for two classes: half of it for, half against
            kernel, bias = (np.concatenate([-x / 2, x / 2], axis=-1) for x in (kernel, bias))
    return kernel.astype("f4"), bias.astype("f4")


_SCALES = np.geomspace(0.1, 2.0, 27)


def _losses(logits: np.ndarray, correct: np.ndarray, multi_label: bool) -> float:
    """Return the mean cross-entropy a text, in nats, of all its classes."""
    if multi_label:
        losses = np.logaddexp(0, logits) - correct * logits
    else:
        top = logits.max(axis=1, keepdims=True)
        total = np.log(np.exp(logits - top).sum(axis=1, keepdims=True)) + top
        losses = correct * (total - logits)
    return float(losses.sum(axis=1).mean())


def calibrated(logits: np.ndarray, correct: np.ndarray, multi_label: bool) -> tuple[float, float]:
    """Return the factor by which logits fit best, and the loss with it: nats a text.

    A network that is trained on grows too sure of itself long before it orders texts worse (Guo et
    al.: On Calibration of Modern Neural Networks, ICML 2017); without this its loss would say that
    it does.
    """
    losses = [_losses(scale * logits, correct, multi_label) for scale in _SCALES]
    best = int(np.argmin(losses))
    return float(_SCALES[best]), losses[best]


def finished(made: Classifier, task: Task, settings: FineTuneSettings) -> Classifier:
    """Scale the logits, choose the thresholds and measure, by the validation texts if any."""
    if not task.held:
        return made
    logits = made.logits(task.held)
    scale, loss = calibrated(logits, task.held_correct, task.multi_label)
    found = probabilities(scale * logits, task.multi_label)
    made.thresholds = best_thresholds(found, task.held_correct, settings.trust)
    grams = None if made.head.grams is None else scale * made.head.grams
    made.head = dataclasses.replace(
        made.head, kernel=scale * made.head.kernel, bias=scale * made.head.bias, grams=grams
    )
    figures = measured(found, task.held_correct, made.thresholds, task.multi_label)
    made.notes["validation"] = {"texts": len(task.held), "loss": loss, **figures}
    return made


_SHARES = (0.0, 0.15, 0.3, 0.5, 0.7, 1.0)
_GRAM_STRENGTHS = (1.0, 10.0)


def widened(classifier: Classifier, task: Task, settings: FineTuneSettings) -> Classifier:
    """Let a classifier weigh n-grams too; see ``sqam.finetune.widen``."""
    ngrams = NGrams.of(task.texts)

    def read(texts: Sequence[str]) -> Any:
        rows = [ngrams(text) for text in texts]
        starts = np.cumsum([0, *(len(columns) for columns, _ in rows)])
        columns = np.concatenate([np.empty(0, dtype=int), *(columns for columns, _ in rows)])
        values = np.concatenate([np.empty(0), *(values for _, values in rows)])
        return sparse.csr_matrix((values, columns, starts), shape=(len(rows), len(ngrams.names)))

    held = read(task.held)
    grams, bias, _ = best_layer(
        read(task.texts), task.correct, task.weights, held, task.held_correct,
        task.multi_label, _GRAM_STRENGTHS,
    )  # fmt: skip
    head = dataclasses.replace(classifier.head, grams=None)
    share = 0.5
    if task.held:
        deep = Classifier(
            classifier.encoder, classifier.places, head, classifier.classes,
            classifier.multi_label, classifier.thresholds,
        ).logits(task.held)  # fmt: skip
        wide = held @ grams + bias
        # Alike in size, so that a share means the same everywhere.
        size = float(deep.std() / max(wide.std(), 1e-9))
        grams, bias = size * grams, size * bias
        wide = size * wide
        share = min(_SHARES, key=lambda share: calibrated(
            (1 - share) * deep + share * wide, task.held_correct, task.multi_label
        )[1])  # fmt: skip
    made = Classifier(
        classifier.encoder,
        classifier.places,
        Head(
            head.mean,
            head.scale,
            (1 - share) * head.kernel,
            (1 - share) * head.bias + share * bias,
            share * grams,
        ),
        classifier.classes,
        classifier.multi_label,
        classifier.thresholds,
        ngrams,
        {**classifier.notes, "share of n-grams": share},
    )
    return finished(made, task, settings)
