"""The teacher: a sentence encoder, tuned on all our texts to say which emojis fit.

    python -m pipelines.teacher                # tune, label, keep in build/teacher; needs [teacher]
    python -m pipelines.teacher --before 14    # as if newer emojis had not been released

It knows many more words and phrasings than the question-answer model and is a hundred times
slower, so it labels texts that have no emojis, and adds to the labels of those that have some; the
question-answer model learns from both (Hinton et al.: Distilling the Knowledge in a Neural Network,
2015). What it is made of stands in ``pipelines.sentence_encoder``. Beside a text it is told whether
that is a tweet: tweets favour popular emojis whatever they say, and what is no tweet shall not be
labelled so.
"""

import dataclasses
import hashlib
import sys
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from emoji_vae.catalogue import catalogue
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from pipelines import glove, minilm, phrases, sources, variations, wordnet
from pipelines.evaluate import hits_in
from pipelines.lexicon import NAMES, worthwhile
from sqam.text import tokenize
from sqam.vocabulary import count

FOLDER = Path("build/teacher")
"""Where the encoder's weights and the labels are kept, relative to the working directory."""

WORDS = "words-*.npz"
"""What it has of words, among the files kept there; see `word_vectors`."""


@dataclasses.dataclass(frozen=True)
class TeacherSettings:
    """How the encoder and the network over it are trained, and what they label.

    Attributes:
        units: of the network's one hidden layer.
        dropout: on that layer; a quarter of it on the encoder's vector.
        epochs: of the network alone, over the encoder's vectors as they are.
        batch: texts a step there.
        learning_rate: there, at first; it falls to 0 along a cosine, as the other rates do.
        together: epochs of both.
        together_batch: texts a step there.
        encoder_rate: of the encoder, after a rise over the first steps.
        network_rate: of the network, there.
        weight_decay: of AdamW.
        tokens: of a text that are read.
        sentences: how much a text of the phrasebook counts, where another phrase counts 1.
        labelled_tweets: the same for a tweet of the 20-class task.
        words: how many of GloVe's most frequent words are labelled, where WordNet has them.
        collocations: of how many of those WordNet's collocations must be made up to be labelled.
        variations: of each sentence of the phrasebook's training part that are labelled.
        pieces: of each of these sentences that are labelled.
        answers: how many emojis of a label are kept, the likeliest.
        senses: of a word or collocation that WordNet has, the most frequent ones, whose definitions
            are read too.
        defined: the definitions' share of what is said of such a text, from 0 to 1.
        seed: of the network and the order.
    """

    units: int = 768
    dropout: float = 0.4
    epochs: int = 15
    batch: int = 256
    learning_rate: float = 0.0015
    together: int = 3
    together_batch: int = 128
    encoder_rate: float = 0.0001
    network_rate: float = 0.0003
    weight_decay: float = 0.02
    tokens: int = 48
    sentences: float = 2.0
    labelled_tweets: float = 0.1
    words: int = 100_000
    collocations: int = 15_000
    variations: int = 6
    pieces: int = 3
    answers: int = 24
    senses: int = 3
    defined: float = 0.35
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the ranges."""
        if min(self.units, self.batch, self.together_batch, self.answers) < 1 or self.tokens < 3:
            raise InputError("units, the batches and answers must be at least 1, tokens at least 3")
        if min(self.epochs, self.together) < 0 or not 0 <= self.dropout < 1:
            raise InputError("epochs must be at least 0, and the dropout from 0 to below 1")
        if not all(rate > 0 for rate in (self.learning_rate, self.encoder_rate, self.network_rate)):
            raise InputError("the rates must be above 0")
        if self.senses < 1 or not 0 <= self.defined <= 1:
            raise InputError("senses must be at least 1, and defined from 0 to 1")


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
    """Return texts to label: WordNet's, ``plain``, variations of sentences and pieces of them.

    Each stands once. Those that a held-out or validation phrase says, or one of ``dropped``, are
    left out.
    """
    frequent = words.words
    read = wordnet.texts(
        cache, set(frequent[: settings.words]), set(frequent[: settings.collocations])
    )
    sentences = [p.text for p in found if p.split == "train" and p.kind == "sentence"]
    longer = [text for text in sentences if len(tokenize(text)) >= _MIN_WORDS]
    more = variations.varied(longer, words, settings.variations, settings.seed)
    more += variations.pieces(sentences, settings.pieces, settings.seed)
    # What measures must not be met in training, not even with the teacher's label.
    measured = [p.text for p in found if p.split != "train"]
    apart = {" ".join(tokenize(text)) for text in (*measured, *dropped)}
    every = dict.fromkeys(text for texts in (*read.values(), plain, more) for text in texts)
    return [text for text in every if " ".join(tokenize(text)) not in apart]


TWEETS = ("tweet", "labelled tweet")
"""Kinds of text that the network is told of; one of 20 classes is not like one of all emojis."""


def marks(kinds: Sequence[str]) -> np.ndarray:
    """Return which of `TWEETS` each text is: float32 (n, 2)."""
    found = np.array([[kind == tweet for tweet in TWEETS] for kind in kinds], dtype=np.float32)
    return found.reshape(len(kinds), len(TWEETS))


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


def weights(settings: TeacherSettings, found: Sequence[phrases.Phrase]) -> np.ndarray:
    """Return how much each phrase counts in training, float32 (n,)."""

    def counts(phrase: phrases.Phrase) -> float:
        if phrase.kind == "labelled tweet":
            return settings.labelled_tweets
        return settings.sentences if phrase.ranked else 1.0

    return np.array([counts(phrase) for phrase in found], dtype=np.float32)


def likeliest(shares: np.ndarray, k: int) -> Labels:
    """Return the ``k`` likeliest answers of each text, or all where there are fewer.

    Args:
        shares: float (n, n_answers).
        k: how many.
    """
    best = np.argsort(-shares, axis=1, kind="stable")[:, :k]
    kept = np.take_along_axis(shares, best, axis=1).astype(np.float32)
    return Labels(best.astype(np.int32), kept / kept.sum(axis=1, keepdims=True))


def mix(said: Labels, likely: np.ndarray, known: np.ndarray, share: float) -> Labels:
    """Mix labels with what others say; as many answers of each text are kept.

    Args:
        said: of n texts.
        likely: float (n, n_answers), what the others say.
        known: bool (n,), the texts of which they say something; the rest stay as they are.
        share: the others', from 0 to 1.
    """
    share_of = np.where(known, share, 0.0)[:, np.newaxis]
    every = np.zeros_like(likely)
    np.put_along_axis(every, said.rows, said.shares, axis=1)
    return likeliest((1 - share_of) * every + share_of * likely, said.rows.shape[1])


def texts(
    settings: TeacherSettings,
    words: glove.Glove,
    found: Sequence[phrases.Phrase],
    dropped: Sequence[str],
    data: Path,
    cache: Path,
) -> tuple[list[str], set[str]]:
    """Return the texts without emojis that are labelled, and those of them that are tweets.

    Args:
        settings: of the teacher.
        words: most frequent first.
        found: phrases.
        dropped: texts that must not be labelled.
        data: folder of the sentences.
        cache: folder of downloaded packages.
    """
    plain = phrases.plain(data)
    return unlabelled(settings, words, found, cache, plain, dropped), set(plain)


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

    What it says is kept in the folder ``work``, since a training takes minutes. Of a word it says
    partly what it says of the word's definitions, see `TeacherSettings`: it knows many words that
    it was never taught an emoji for by what they mean alone.

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
    file = work / labels_file(settings, found, more, n_answers, tweets)
    if not file.is_file():
        asked, kinds = [*(p.text for p in found), *more], _kinds(found, more, tweets)
        if settings.defined:
            plain = dataclasses.replace(settings, senses=1, defined=0.0)
            alone, _ = labels(plain, found, more, n_answers, cache, work, tweets)
            said = _defined(settings, found, alone, asked, kinds, n_answers, cache, work)
        else:
            said = _labelled(settings, found, asked, kinds, n_answers, cache, work)
        keep(said, file)
    with np.load(file, allow_pickle=False) as read:
        said = Labels(read["rows"], read["shares"])
    return said, validate(said, found)


def labels_file(
    settings: TeacherSettings,
    found: Sequence[phrases.Phrase],
    more: Sequence[str],
    n_answers: int,
    tweets: Collection[str] = (),
) -> str:
    """Return the name of the file of these labels, see `labels`."""
    kinds = _kinds(found, more, tweets)
    return f"labels-{_key(settings, list(found), list(more), kinds, n_answers)}.npz"


def keep(said: Labels, file: Path) -> None:
    """Write labels, whole or not at all."""
    with replacing(file) as opened:
        np.savez(opened, rows=said.rows, shares=said.shares)


def _kinds(
    found: Sequence[phrases.Phrase], more: Sequence[str], tweets: Collection[str]
) -> list[str]:
    kinds = [*(phrase.kind for phrase in found)]
    return kinds + [TWEETS[0] if text in tweets else "" for text in more]


def _key(*what: object) -> str:
    return hashlib.sha256(repr(what).encode()).hexdigest()[:16]


def _labelled(
    settings: TeacherSettings,
    found: Sequence[phrases.Phrase],
    asked: Sequence[str],
    kinds: Sequence[str],
    n_answers: int,
    cache: Path,
    work: Path,
) -> Labels:
    """Tune the encoder, unless its weights are kept, and let it label texts."""
    _apart(f"the teacher has not labelled these {len(asked)} texts yet")
    from pipelines import sentence_encoder  # Not above: PyTorch and TensorFlow shun each other.

    pretrained, model = _tuned(settings, found, n_answers, cache, work)
    every = sentence_encoder.Texts(pretrained.ids(asked, settings.tokens), marks(kinds))
    k = min(settings.answers, n_answers)
    said = Labels(np.empty((len(asked), k), np.int32), np.empty((len(asked), k), np.float32))
    for part, shares in sentence_encoder.predict(model, every):
        said.rows[part], said.shares[part] = likeliest(shares, k)
    return said


class Read(NamedTuple):
    """The definitions of those texts that WordNet has.

    Attributes:
        texts: of the definitions, see `wordnet.Sense`.
        rows: int (n,), which text each belongs to.
        shares: float32 (n,), of a text's definitions; they add up to 1.
    """

    texts: list[str]
    rows: np.ndarray
    shares: np.ndarray


def definitions(asked: Sequence[str], cache: Path, senses: int) -> Read:
    """Return the definitions of texts.

    Args:
        asked: the texts.
        cache: folder of downloaded packages.
        senses: of a text, at most.
    """
    known = wordnet.senses(cache, senses)
    texts, rows, shares = [], [], []
    for row, text in enumerate(asked):
        for sense in known.get(text.lower(), ()):
            texts.append(sense.text)
            rows.append(row)
            shares.append(sense.share)
    return Read(texts, np.array(rows, np.int64), np.array(shares, np.float32))


def _defined(
    settings: TeacherSettings,
    found: Sequence[phrases.Phrase],
    alone: Labels,
    asked: Sequence[str],
    kinds: Sequence[str],
    n_answers: int,
    cache: Path,
    work: Path,
) -> Labels:
    """Mix what is said of texts with what is said of their definitions."""
    read = definitions(asked, cache, settings.senses)
    if not read.texts:
        return alone
    of_kinds = [kinds[row] for row in read.rows]
    told = _labelled(settings, found, read.texts, of_kinds, n_answers, cache, work)
    said = Labels(alone.rows.copy(), alone.shares.copy())
    have = np.unique(read.rows)
    for rows in np.array_split(have, -(-len(have) // _TOGETHER)):
        those = np.flatnonzero(np.isin(read.rows, rows))
        meant = np.zeros((len(rows), n_answers), np.float32)
        place = np.searchsorted(rows, read.rows[those])[:, np.newaxis]
        shares = read.shares[those, np.newaxis] * told.shares[those]
        np.add.at(meant, (place, told.rows[those]), shares)
        part = Labels(alone.rows[rows], alone.shares[rows])
        mixed = mix(part, meant, np.ones(len(rows), dtype=bool), settings.defined)
        said.rows[rows], said.shares[rows] = mixed
    return said


_TOGETHER = 4_096
"""Texts whose labels are mixed at a time: all answers of each are in memory."""


def _apart(lacking: str) -> None:
    """Raise InputError where PyTorch cannot be loaded any more."""
    if "tensorflow" in sys.modules:
        raise InputError(
            f"{lacking}; run first: python -m pipelines.teacher (with --before, if this has before)"
        )


def word_vectors(
    settings: TeacherSettings,
    found: Sequence[phrases.Phrase],
    words: Sequence[str],
    n_answers: int,
    cache: Path,
    work: Path,
) -> list[np.ndarray]:
    """Return what the teacher has of single words: its encoder's vectors and its hidden layer.

    They are partly those of the words' definitions, as `labels` are, and kept in the folder
    ``work``. For the arguments see `labels`.

    Returns:
        float32 (len(words), width) and (len(words), units).
    """
    shown = dataclasses.replace(
        _network(settings), senses=settings.senses, defined=settings.defined
    )
    key = _key(shown, list(found), list(words), n_answers)
    file = work / WORDS.replace("*", key)
    if not file.is_file():
        _apart(f"the teacher has not read these {len(words)} words yet")
        from pipelines import sentence_encoder

        pretrained, model = _tuned(settings, found, n_answers, cache, work)

        def read(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
            ids = pretrained.ids(texts, settings.tokens)
            return sentence_encoder.read(model, sentence_encoder.Texts(ids, marks([""] * len(ids))))

        both = read(words)
        if settings.defined:
            meant = definitions(words, cache, settings.senses)
            for of_words, of_texts in zip(both, read(meant.texts), strict=True):
                of_words[np.unique(meant.rows)] *= 1 - settings.defined
                shares = settings.defined * meant.shares[:, np.newaxis]
                np.add.at(of_words, meant.rows, shares * of_texts)
        vectors, hidden = both
        with replacing(file) as opened:
            np.savez(opened, vectors=vectors.astype(np.float16), hidden=hidden.astype(np.float16))
    with np.load(file, allow_pickle=False) as kept:
        return [kept[name].astype(np.float32) for name in ("vectors", "hidden")]


def _network(settings: TeacherSettings) -> TeacherSettings:
    """Return the settings without what is labelled and read, and how much of it is kept."""
    return dataclasses.replace(
        settings, words=0, collocations=0, variations=0, pieces=0, answers=1, senses=1, defined=0.0
    )


def _tuned(
    settings: TeacherSettings,
    found: Sequence[phrases.Phrase],
    n_answers: int,
    cache: Path,
    work: Path,
) -> tuple[Any, Any]:
    """Return what reads texts and the tuned classifier, whose weights are kept."""
    from pipelines import sentence_encoder

    pretrained = sentence_encoder.Pretrained.fetch(cache)
    file = work / f"encoder-{_key(_network(settings), list(found), n_answers)}.safetensors"
    work.mkdir(parents=True, exist_ok=True)
    if file.is_file():
        model = sentence_encoder.load(file, pretrained, len(TWEETS), n_answers, settings)
        return pretrained, model
    train = [phrase for phrase in found if phrase.split == "train"]
    texts = [phrase.text for phrase in train]
    model = sentence_encoder.tune(
        pretrained,
        sentence_encoder.Texts(
            pretrained.ids(texts, settings.tokens), marks([phrase.kind for phrase in train])
        ),
        minilm.encode(texts, cache, minilm.FOLDER),
        [target(phrase) for phrase in train],
        weights(settings, train), n_answers, settings,
    )  # fmt: skip
    sentence_encoder.save(model, file)
    return pretrained, model


def validate(said: Labels, found: Sequence[phrases.Phrase]) -> dict[str, float]:
    """Return hit@10 (of all that a label keeps, if that is fewer) on validation, by kind."""
    figures = {}
    for kind in phrases.KINDS:
        rows = [i for i, p in enumerate(found) if p.split == "validation" and p.kind == kind]
        if rows:
            figures[kind] = hits_in(said.rows[rows, :10], [found[row].emojis for row in rows])
    return figures


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.teacher", description=__doc__)
    add = parser.add_argument
    add("--data", type=Path, default=phrases.DATA, help="folder of the sentences")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    add("--glove", default="100d", help="word vectors, whose words are labelled")
    add("--before", type=float, help="leave out the emojis of this Unicode version and later")
    add("--names", type=int, default=NAMES, help="as train_sqam's setting (default: %(default)s)")
    add("--output", type=Path, default=FOLDER, help="folder of the labels and of words' vectors")

    def work() -> None:
        arguments = parser.parse_args(argv)
        settings = TeacherSettings()
        known = phrases.known(catalogue(), arguments.data, arguments.before)
        words = glove.load(arguments.glove, arguments.cache)
        n_answers = int(known.kept.sum())
        more, tweets = texts(
            settings, words, known.phrases, known.dropped, arguments.data, arguments.cache
        )
        _, figures = labels(
            settings,
            known.phrases,
            more,
            n_answers,
            arguments.cache,
            arguments.output,
            tweets,
        )
        seen = count(p.text for p in known.phrases if p.split == "train")
        english = wordnet.words(arguments.cache)
        read = worthwhile(words.words, seen, english, arguments.names)
        word_vectors(settings, known.phrases, read, n_answers, arguments.cache, arguments.output)
        print(f"{len(known.phrases)} phrases and {len(more)} texts without emojis labelled")
        print(f"{len(read)} words read")
        for kind, figure in figures.items():
            print(f"{kind:15} validation hit@10 {figure:.1%}")

    return run(parser.prog, work)


if __name__ == "__main__":
    sys.exit(main())
