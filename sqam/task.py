"""A task for a text classifier: its texts, its labels and how much each counts."""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from emoji_vae.errors import InputError
from sqam.classifier import indicators
from sqam.encoder import listed

ClassWeight = Literal["balanced"] | Mapping[Any, float] | None


class Task(NamedTuple):
    """What is learnt.

    Attributes:
        classes: their names.
        multi_label: whether a text may have none or several.
        texts: to learn from.
        correct: float32 (n, classes), 0 or 1.
        weights: float32 (n, classes), how much each of these counts.
        held: validation texts, maybe none.
        held_correct: of these, float32 (m, classes).
    """

    classes: list[Hashable]
    multi_label: bool
    texts: list[str]
    correct: np.ndarray
    weights: np.ndarray
    held: list[str]
    held_correct: np.ndarray


def task_of(
    texts: Sequence[str],
    labels: Any,
    validation: tuple[Sequence[str], Any] | None,
    classes: Sequence[Hashable] | None,
    class_weight: ClassWeight,
    share: float,
    seed: int,
) -> Task:
    """Return a task; for the arguments and errors see ``sqam.finetune.finetune``.

    Without validation texts a ``share`` of the texts is kept aside for them.
    """
    texts = list(listed(texts))
    if not texts:
        raise InputError("there is no text to learn from; give some")
    multi_label, names = _classes_of(labels, classes)
    correct = indicators(labels, len(texts), names, multi_label)
    if validation is None:
        aside = _aside(correct, share, multi_label, seed)
        held = [text for text, kept in zip(texts, aside, strict=True) if kept]
        held_correct = correct[aside]
        texts = [text for text, kept in zip(texts, aside, strict=True) if not kept]
        correct = correct[~aside]
    else:
        held = list(listed(validation[0]))
        held_correct = indicators(validation[1], len(held), names, multi_label)
    counts = correct.sum(axis=0)
    for name, count in zip(names, counts, strict=True):
        if not count or (multi_label and count == len(correct)):
            raise InputError(
                f"{'all' if count else 'no'} training texts are of class {name!r:.40}; leave the "
                "class out, or give other texts"
            )
    weights = _weights(correct, names, multi_label, class_weight)
    return Task(names, multi_label, texts, correct, weights, held, held_correct)


def _classes_of(
    labels: Any, classes: Sequence[Hashable] | None
) -> tuple[bool, list[Hashable]]:  # fmt: skip
    """Tell whether labels are 0 or 1 for each class, and return the classes' names."""
    array = getattr(labels, "to_numpy", lambda: labels)()
    if not isinstance(array, np.ndarray | list | tuple):
        raise InputError(f"labels must be a list or an array, not {labels!r:.60}")
    multi_label = any(np.ndim(label) == 1 and not isinstance(label, str) for label in array[:1])
    names = None if classes is None else [getattr(n, "item", lambda n=n: n)() for n in classes]
    if names is not None and len(set(names)) != len(names):
        raise InputError(f"a class is named twice in {names!r:.60}; name each once")
    if multi_label:
        return True, list(range(len(array[0]))) if names is None else names
    found: dict[Hashable, None] = {}
    kinds: dict[str, Any] = {}
    for at, label in enumerate(array):
        label = getattr(label, "item", lambda label=label: label)()
        missing = label is None or (isinstance(label, float) and label != label)
        if missing or not isinstance(label, str | bool | int | float):
            raise InputError(
                f"the label of text {at} is {label!r:.40}; give a string or a whole number, or "
                "leave the text out"
            )
        if isinstance(label, float) and not label.is_integer():
            raise InputError(f"the label of text {at} is {label}, which is no class; give classes")
        kinds.setdefault("number" if isinstance(label, int | float) else "string", label)
        found[label] = None
    if len(kinds) > 1:
        one, other = kinds.values()
        raise InputError(f"labels are of mixed types: {one!r:.40} and {other!r:.40}; give one type")
    if len(found) < 2 and names is None:
        raise InputError(f"labels are of one class alone, {list(found)!r:.60}; give two or more")
    if names is not None and len(names) < 2:
        raise InputError(f"there is one class alone, {names!r:.60}; give two or more")
    if names is None:
        names = sorted(found)
    return False, names


def _aside(correct: np.ndarray, share: float, multi_label: bool, seed: int) -> np.ndarray:
    """Draw the validation texts, bool (n,): of each class its share, but never its only text."""
    rng = np.random.default_rng([seed, 0])
    order = rng.permutation(len(correct))
    aside = np.zeros(len(correct), dtype=bool)
    if multi_label:
        aside[order[: round(share * len(order))]] = True
        return aside
    for column in range(correct.shape[1]):
        rows = order[correct[order, column] == 1]
        aside[rows[: min(round(share * len(rows)), len(rows) - 1)]] = True
    return aside


def _weights(
    correct: np.ndarray, names: Sequence[Hashable], multi_label: bool, class_weight: ClassWeight
) -> np.ndarray:
    """Return how much each label counts, float32 (n, classes)."""
    there, absent = correct.mean(axis=0), 1 - correct.mean(axis=0)
    ones, zeros = np.ones(len(names)), np.ones(len(names))
    if isinstance(class_weight, Mapping):
        for name, weight in class_weight.items():
            if name not in names:
                raise InputError(f"class_weight has {name!r:.40}, which is no class; leave it out")
            if not (isinstance(weight, int | float) and 0 < weight < np.inf):
                raise InputError(
                    f"the weight of class {name!r:.40} is {weight!r:.40}; give one > 0"
                )
            ones[names.index(name)] = weight
    elif class_weight == "balanced":
        ones = 1 / (2 if multi_label else len(names)) / there
        zeros = 1 / 2 / absent if multi_label else zeros
    elif class_weight is not None:
        raise InputError(
            f"class_weight is {class_weight!r:.40}; give 'balanced', a number a class, or None"
        )
    if not multi_label:
        # A text counts as its class does, in all columns.
        return np.tile((correct @ ones)[:, None], len(names)).astype(np.float32)
    return np.where(correct == 1, ones, zeros).astype(np.float32)
