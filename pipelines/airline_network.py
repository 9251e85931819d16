"""The networks of ``pipelines.airline``: their words, where they start, training and export."""

import dataclasses
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC
from tqdm import tqdm

from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from pipelines import glove, results
from pipelines.airline_runs import RunSettings
from pipelines.airline_tweets import Tweet
from pipelines.lexicon import carried
from pipelines.train_sqam import TrainSettings, packed, vocabulary_of
from sqam.encoder import FORMAT
from sqam.export import TOLERANCE, restore
from sqam.export import export as export_plain
from sqam.model import SQAM, SQAMSettings
from sqam.scorer import Scorer
from sqam.text import pad, tokenize
from sqam.vocabulary import count

WIDTHS = (20,)
"""Tweets of up to so many tokens share batches; each width is compiled once, so they are few."""


def vocabulary(
    settings: RunSettings, train: Sequence[Tweet], words: glove.Glove
) -> tuple[list[str], np.ndarray]:
    """Return the most frequent words of the training tweets and the vectors they start from.

    What GloVe lacks (the airlines' names, above all) starts at 0.
    """
    seen = count(tweet.text for tweet in train)
    known = set(words.words)
    more = [word for word, n in seen.items() if word not in known and n >= settings.rare]
    zeros = np.zeros((len(more), words.vectors.shape[1]), dtype=np.float32)
    wider = glove.Glove([*words.words, *more], np.concatenate([words.vectors, zeros]))
    size = min(settings.words, sum(word in known for word in seen) + len(more))
    chosen = dataclasses.replace(settings.model, vocabulary=size, dimensions=words.vectors.shape[1])
    names, vectors = vocabulary_of(TrainSettings(model=chosen), wider, seen, None)
    if not settings.evidence:
        return names, vectors
    already = set(names)
    others = [row for row, word in enumerate(words.words) if word not in already]
    others = others[: settings.frequent]
    names += [words.words[row] for row in others]
    vectors = np.concatenate([vectors, words.vectors[others]])
    return names, np.concatenate([vectors, evidence(train, names)], axis=1)


def start_from(model: SQAM, folder: Path, words: Sequence[str]) -> None:
    """Set a model's layers and the vectors of words that both know to those of an exported one.

    The vectors of other words are brought to the exported model's space, see `carried`. Where word
    vectors are longer than its, what is beyond stays and starts with no say.

    Args:
        model: is changed.
        folder: of the exported one.
        words: the model's.

    Raises:
        InputError: the folder holds no model, or one of other widths.
    """
    shipped = restore(folder, np.asarray(model.codes))
    known = {word: row for row, word in enumerate(Scorer.load(folder).vocabulary.words, start=1)}
    mine, theirs = (
        [weights for layer in _copied(m) for weights in layer.get_weights()]
        for m in (model, shipped)
    )
    kernels = (0, 3)  # of the first LSTM's directions: (dimensions, 4 * units)
    if [w.shape[at in kernels :] for at, w in enumerate(mine)] != [
        w.shape[at in kernels :] for at, w in enumerate(theirs)
    ]:
        raise InputError(
            f"the model in {str(folder)!r} has other widths than the run's; give the run its "
            "settings"
        )
    for at in kernels:
        kernel = np.zeros_like(mine[at])
        kernel[: len(theirs[at])] = theirs[at][: len(kernel)]
        theirs[at] = kernel
    rest = iter(theirs)
    for layer in _copied(model):
        layer.set_weights([next(rest) for _ in layer.get_weights()])
    model.code_mean.assign(shipped.code_mean)
    model.code_spread.assign(shipped.code_spread)
    (vectors,), (others,) = model.embedding.get_weights(), shipped.embedding.get_weights()
    rows = np.array([known.get(word, 0) for word in words])
    size = others.shape[1]
    both = rows > 0
    begun, trained = vectors[1:, :size], others[rows, : vectors.shape[1]]
    begun[~both] = carried(begun[~both], begun[both], trained[both])
    begun[both] = trained[both]
    model.embedding.set_weights([vectors])


def _copied(model: SQAM) -> list[Any]:
    pooling = [*model.lstms, *([] if model.attention is None else [model.attention])]
    return [*pooling, *model.question_layers, *model.answer_layers, *model.shared_layers]


def evidence(train: Sequence[Tweet], words: Sequence[str]) -> np.ndarray:
    """Tell what speaks for each sentiment in each word: float32 (n, 3), with a spread of 0.5.

    A linear classifier of the training tweets weighs words and the pieces of words (2 to 5
    characters); a word's evidence is the sum of the weights of all that is in it. So a word that
    no tweet has ("delaying") starts with something of its like.
    """
    features = make_union(
        TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=3),
        TfidfVectorizer(token_pattern=r"\S+", sublinear_tf=True, min_df=2),
    )
    texts = [" ".join(tokenize(tweet.text)) for tweet in train]
    classifier = LinearSVC(C=0.2).fit(
        features.fit_transform(texts), [tweet.sentiment for tweet in train]
    )
    for _, part in features.transformer_list:
        part.norm = None  # words of a tweet are to add up, as they do in it
    found = features.transform(words) @ classifier.coef_.T
    return (0.5 * found / found.std()).astype(np.float32)


class Example(NamedTuple):
    """Token rows and the grades of the correct answers: column -> above 0."""

    ids: list[int]
    grades: Mapping[int, float]


def batches(
    examples: Sequence[Example], model: SQAMSettings, n_answers: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield an epoch's batches: token ids, int32 (batch, tokens), grades, float32 (batch, n)."""
    chosen = [(example.ids, example.grades) for example in examples]
    yield from packed(chosen, model, WIDTHS, n_answers, rng)


def fit(
    model: SQAM,
    examples: Sequence[Example],
    settings: RunSettings,
    seed: int,
    watch: Callable[[], dict[str, float]],
    more: Sequence[Example] = (),
) -> list[dict[str, float]]:
    """Train, then set the weights to their average over the last epochs.

    Args:
        model: is trained.
        examples: what on.
        settings: of the run.
        seed: of the order.
        watch: gives further figures after each epoch.
        more: examples of which an epoch shows ``settings.unlabelled``.

    Returns:
        One row of figures an epoch.
    """
    n = len(model.codes)
    size = min(settings.unlabelled, len(more))

    def shown(rng: np.random.Generator) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        drawn = [more[at] for at in rng.choice(len(more), size, replace=False)] if size else []
        yield from batches([*examples, *drawn], model.settings, n, rng)

    steps = sum(1 for _ in shown(np.random.default_rng(seed)))
    model.compile_for_training(steps * settings.epochs)
    history: list[dict[str, float]] = []
    kept: list[list[np.ndarray]] = []
    for epoch in range(settings.epochs):
        rng = np.random.default_rng([seed, epoch])
        losses = []
        progress = tqdm(
            shown(rng), f"epoch {epoch + 1}", total=steps, leave=False, unit="batch", disable=None
        )
        for ids, grades in progress:
            model.reset_metrics()
            losses.append(float(model.train_on_batch(ids, grades)))
        history.append({"loss": float(np.mean(losses)), **watch()})
        if epoch >= settings.epochs - settings.average:
            kept.append([np.asarray(weight) for weight in model.trainable_weights])
    for weight, *values in zip(model.trainable_weights, *kept, strict=True):
        weight.assign(np.mean(values, axis=0))
    return history


def export(
    members: Sequence[SQAM],
    words: Sequence[str],
    folder: Path,
    config: dict[str, Any],
    codes: EmojiCodes,
    sentences: Sequence[str],
) -> float:
    """Write what ``Scorer`` loads: models of one vocabulary, as one whose space is theirs together.

    Their unit vectors side by side, over the root of their number, have the mean of their cosines
    as cosine. A single bi-LSTM goes through ``sqam.export``, other text sides through Keras's own
    export.

    Args:
        members: trained, alike in settings, with word vectors of their own.
        words: the vocabulary.
        folder: is made; existing files are replaced once the new ones have passed.
        config: goes into ``config.json`` beside the settings.
        codes: answers to compare by.
        sentences: at least 1,000 to compare by.

    Returns:
        The largest difference from Keras in any component of a vector.

    Raises:
        InputError: a difference above ``sqam.export.TOLERANCE``.
    """
    settings = members[0].settings
    if len(members) == 1 and not settings.convolutions and not settings.attention:
        return export_plain(members[0], words, folder, config, codes, sentences)
    tables = [np.asarray(model.embedding.get_weights()[0]) for model in members]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as temporary:
        new = Path(temporary)
        np.save(new / "embedding.npy", np.concatenate(tables, axis=1))
        np.save(new / "scales.npy", np.ones((len(tables[0]), 1), dtype=np.float32))
        (new / "vocabulary.txt").write_text("".join(f"{word}\n" for word in words), "utf-8")
        for name, network in _networks(members).items():
            network.export(new / f"{name}.onnx", format="onnx", verbose=False)
        saved = {**dataclasses.asdict(settings), "space": settings.space * len(members)}
        results.write(new / "config.json", {"format": FORMAT, "settings": saved, **config})
        scorer = Scorer.load(new)
        known = [text for text in sentences if scorer.known([text])[0]]
        ids = [scorer.vocabulary.ids(text, settings.max_tokens) for text in known]
        padded = pad(ids, settings.max_tokens)
        pieces = [padded[at : at + 256] for at in range(0, len(padded), 256)]
        questions = _side_by_side(
            [np.concatenate([model.question_vectors(p) for p in pieces]) for model in members]
        )
        answers = _side_by_side([model.answer_vectors(codes.codes) for model in members])
        difference = float(
            max(
                np.abs(questions - scorer.questions(known)).max(),
                np.abs(answers - scorer.answers(codes)).max(),
            )
        )
        if not difference <= TOLERANCE:
            raise InputError(
                f"the exported model differs from Keras by {difference:.2g}, more than "
                f"{TOLERANCE}; nothing was written to {str(folder)!r}"
            )
        for file in sorted(new.iterdir()):
            os.replace(file, folder / file.name)
    return difference


def _side_by_side(vectors: Sequence[Any]) -> Any:
    return ops.convert_to_numpy(ops.concatenate(vectors, axis=-1) / math.sqrt(len(vectors)))


def _networks(members: Sequence[SQAM]) -> dict[str, keras.Model]:
    """Return the two towers in the form that ``Scorer`` calls them in."""
    n, size = len(members), members[0].settings.dimensions

    def inputs() -> list[Any]:
        # (tokens, sentences, n * size): time comes first.
        vectors = keras.Input((None, n * size), name="vectors")
        return [vectors, keras.Input((), dtype="int32", name="lengths")]

    def question(at: int) -> keras.Model:
        vectors, lengths = own = inputs()
        x = ops.transpose(vectors[..., at * size : (at + 1) * size], (1, 0, 2))
        steps = ops.cumsum(ops.ones_like(x[..., 0]), axis=1)
        written = steps <= ops.cast(lengths, "float32")[:, None]
        return keras.Model(own, members[at].questions_of(x, written), name=f"question_{at}")

    def answer(at: int) -> keras.Model:
        codes = keras.Input((members[at].settings.code_size,), name="codes")
        return keras.Model(codes, members[at].answers(codes), name=f"answer_{at}")

    def joint(asked: Any, towers: list[keras.Model]) -> keras.Model:
        # Each is a model within, since all give their layers the same names.
        vectors = [tower(asked) for tower in towers]
        return keras.Model(asked, ops.concatenate(vectors, axis=-1) / math.sqrt(n))

    codes = keras.Input((members[0].settings.code_size,), name="codes")
    towers = {
        "question": joint(inputs(), [question(at) for at in range(n)]),
        "answer": joint(codes, [answer(at) for at in range(n)]),
    }
    # One that was never called cannot be exported.
    towers["question"]([np.zeros((2, 1, n * size), np.float32), np.ones(1, np.int32)])
    towers["answer"](np.zeros((1, members[0].settings.code_size), np.float32))
    return towers
