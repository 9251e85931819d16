"""Train the question-answer model, measure it, export it.

    python -m pipelines.train_sqam                         # the model that ships, into assets
    python -m pipelines.train_sqam --seeds 0 1 2 3 4       # mean and spread; ships the best
    python -m pipelines.train_sqam --preset 2017 --output build/sqam-2017
    python -m pipelines.train_sqam --work build/again --start 'build/sqam/default-{seed}'

The results file also has the figures of all seeds in their compact form (``sqam.export.compact``),
which does not ship. An interrupted run goes on where it stopped when the same command is given
again.
"""

import dataclasses
import hashlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from emoji_vae.catalogue import catalogue
from emoji_vae.codec import Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from emoji_vae.locations import asset
from emoji_vae.settings import from_mapping
from pipelines import glove, phrases, results, sources, teacher, views, wordnet
from pipelines.checkpoints import BEST, LOG, Checkpoints
from pipelines.evaluate import ahead, hits, places
from pipelines.lexicon import NAMES, combined, worthwhile
from pipelines.teacher import Labels, TeacherSettings, target
from sqam.encoder import quantize
from sqam.export import compact, export
from sqam.model import PRESETS, SQAM, SQAMSettings
from sqam.scorer import Scorer
from sqam.text import Vocabulary, pad
from sqam.vocabulary import count, frequent


@dataclasses.dataclass(frozen=True)
class TrainSettings:
    """One training run; saved with what it trains."""

    model: SQAMSettings = dataclasses.field(default_factory=SQAMSettings)
    glove: str = "100d"
    """See ``pipelines.glove.load``."""
    unseen: bool = True
    """Know words that no training text has, too. Not in 2017: where vectors are tuned, they stay as
    they were while the rest moves away, unless a teacher's texts hold nearly all of them."""
    names: int = NAMES
    """Of GloVe's words, most frequent first, those up to here are known even if they are names; the
    further ones only if training texts or WordNet have them."""
    epochs: int = 10
    patience: int = 8
    """Epochs without a better validation figure after which training stops."""
    sentences: int = 1
    """How often an epoch shows each text of the phrasebook."""
    tweets: int = 3
    """The same for each tweet that came with its emojis; each phrase is shown once."""
    labelled_tweets: int = 4_000
    """Tweets of the 20-class task an epoch, drawn anew each time."""
    balance: float = 0.0
    """Of the classes of those: 0 draws them as frequent as they are, 1 alike."""
    tweet_popularity: float = 0.0
    """How much of ``model.popularity`` the loss explains away where it is shown a tweet, from 0 to
    1: whoever tweets picks popular emojis, and the cosines may say so. Elsewhere all of it."""
    thin: float = 0.4
    """Share of a tweet's words that a showing leaves out, lest tweets be learnt by heart."""
    made: int = 10_000
    """Pseudo-sentences an epoch: a few words in a row of a description, or one to three phrases of
    one emoji among filler words, half of each."""
    vendors: tuple[str, ...] = ()
    """Whose pictures of the emojis are answers too, beside our own; see ``model.view_share``. They
    cost the emojis that are known more than they give to others."""
    before: float | None = None
    """Leave out the emojis of this Unicode version and later, to measure how unseen ones rank."""
    taught: float = 0.5
    """Share of a text's answers that the teacher says; the rest are its own. 0: no teacher."""
    unlabelled: int = 150_000
    """Texts without emojis an epoch, drawn anew each time, with the teacher's answers."""
    teacher: TeacherSettings = dataclasses.field(default_factory=TeacherSettings)
    teacher_vectors: bool = False
    """Begin with word vectors that say what GloVe's and the teacher's say, not GloVe's alone."""
    filler: int = 150
    """The vocabulary's first words, of which the filler is drawn."""
    seed: int = 0

    def __post_init__(self) -> None:
        if (
            self.epochs < 1
            or self.patience < 1
            or min(self.sentences, self.tweets, self.labelled_tweets, self.made, self.seed) < 0
            or self.unlabelled < 0
            or not 0 <= self.taught <= 1
            or not 0 <= self.tweet_popularity <= 1
        ):
            raise InputError(
                "epochs and patience must be at least 1, taught and tweet_popularity at most 1, "
                "the other numbers at least 0"
            )


class Examples:
    """Tokenized phrases of one split."""

    def __init__(self, found: Sequence[phrases.Phrase], vocabulary: Vocabulary, limit: int) -> None:
        rows = [(phrase, vocabulary.ids(phrase.text, limit)) for phrase in found]
        self.phrases = [phrase for phrase, ids in rows if ids]
        self.ids = [ids for _, ids in rows if ids]

    def of_kind(self, *kinds: str) -> np.ndarray:
        """Return the rows of these kinds."""
        return np.flatnonzero([phrase.kind in kinds for phrase in self.phrases])


WIDTHS = (4, 8, 16, 32, 64)
"""Sentences of like length share a batch; widths are few, since each is compiled once."""


class Answers:
    """The correct answers of the training examples, then of further texts, with the teacher's.

    Args:
        examples: of the training split.
        labels: the teacher's, of the examples and then of the texts without emojis; None for none.
        more: token ids of those texts.
        taught: the teacher's share of an example's answers.
        tweets: bool (len(more),), which of those texts are tweets; None for none.
    """

    def __init__(
        self,
        examples: Examples,
        labels: Labels | None = None,
        more: Sequence[Sequence[int]] = (),
        taught: float = 0.0,
        tweets: np.ndarray | None = None,
    ) -> None:
        self.examples = examples
        self.more = list(more)
        self.tweets = np.zeros(len(self.more), dtype=bool) if tweets is None else tweets
        self._labels = labels
        self._taught = taught if labels is not None else 0.0

    def of(self, i: int) -> dict[int, float]:
        """Return the answers of the i-th example, row -> grade; the grades add up to 1."""
        grades = target(self.examples.phrases[i])
        if not self._taught:
            return grades
        found = self._said(i, self._taught)
        for row, grade in grades.items():
            found[row] = found.get(row, 0.0) + (1 - self._taught) * grade
        return found

    def of_more(self, i: int) -> dict[int, float]:
        """Return the answers of the i-th text without emojis."""
        return self._said(len(self.examples.phrases) + i, 1.0)

    def _said(self, at: int, share: float) -> dict[int, float]:
        assert self._labels is not None
        rows, shares = self._labels.rows[at], share * self._labels.shares[at]
        return dict(zip(rows.tolist(), shares.tolist(), strict=True))


def made(
    answers: Answers, settings: TrainSettings, rng: np.random.Generator
) -> Iterator[tuple[list[int], dict[int, float]]]:
    """Yield an epoch's pseudo-sentences with their emojis.

    Names, keywords and tags are hardly ever sentences. These teach that an emoji's word counts
    wherever it stands, and the words around it do not.
    """
    examples = answers.examples
    descriptions = examples.of_kind("description")
    of_emoji: dict[int, list[int]] = {}
    for i in examples.of_kind("name", "keyword", "tag"):
        for row in examples.phrases[i].emojis:
            of_emoji.setdefault(row, []).append(i)
    for row in rng.choice(list(of_emoji), size=settings.made // 2 if of_emoji else 0):
        parts = [examples.ids[i] for i in rng.choice(of_emoji[row], size=rng.integers(1, 4))]
        parts += [[word] for word in rng.integers(settings.filler, size=rng.integers(0, 7))]
        yield [word for at in rng.permutation(len(parts)) for word in parts[at]], {int(row): 1.0}
    for i in rng.choice(descriptions, size=settings.made // 2 if len(descriptions) else 0):
        ids = examples.ids[i]
        length = int(rng.integers(3, 11))
        start = rng.integers(0, max(1, len(ids) - length + 1))
        yield ids[start : start + length], target(examples.phrases[i])


def batches(
    answers: Answers,
    settings: TrainSettings,
    epoch: int,
    n_answers: int,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield the batches of one epoch, shuffled by the seed and the epoch.

    Args:
        answers: of the training split.
        settings: of the run.
        epoch: from 0.
        n_answers: how many emojis there are to rank.

    Yields:
        Token ids, int32 (batch, tokens), and grades of the answers, float32 (batch, n_answers + 1):
        above 0 where correct; in the last column how much of the answers' popularity the loss is
        to explain away.
    """
    rng = np.random.default_rng([settings.seed, epoch])
    examples = answers.examples
    elsewhere = {n_answers: 1.0}
    in_tweets = {n_answers: settings.tweet_popularity}
    chosen = []
    for i in examples.of_kind(*phrases.PHRASES, "sentence"):
        shown = settings.sentences if examples.phrases[i].ranked else 1
        chosen += [(examples.ids[i], answers.of(i) | elsewhere)] * shown
    tweets = [*examples.of_kind("tweet")] * settings.tweets
    labelled = examples.of_kind("labelled tweet")
    if len(labelled):
        labels = np.array([examples.phrases[i].emojis[0] for i in labelled])
        _, place, counts = np.unique(labels, return_inverse=True, return_counts=True)
        chance = counts[place] ** -settings.balance
        tweets += [*rng.choice(labelled, size=settings.labelled_tweets, p=chance / chance.sum())]
    for i in tweets:
        words = [word for word in examples.ids[i] if rng.random() >= settings.thin]
        chosen.append((words or examples.ids[i], answers.of(i) | in_tweets))
    size = min(settings.unlabelled, len(answers.more))
    for i in rng.choice(len(answers.more), size=size, replace=False):
        explained = in_tweets if answers.tweets[i] else elsewhere
        chosen.append((answers.more[i], answers.of_more(i) | explained))
    chosen += [(ids, grades | elsewhere) for ids, grades in made(answers, settings, rng)]

    yield from packed(chosen, settings.model, WIDTHS, n_answers + 1, rng)


def packed(
    chosen: Sequence[tuple[Sequence[int], Mapping[int, float]]],
    model: SQAMSettings,
    widths: Sequence[int],
    n_answers: int,
    rng: np.random.Generator,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield shuffled batches of sentences of like length.

    Args:
        chosen: token ids and grades, row of an answer -> grade, of each sentence.
        model: its settings.
        widths: lengths to fill sentences up to, rising, beside the model's own; without a mask that
            one alone.
        n_answers: how many answers there are.
        rng: of the order.

    Yields:
        Token ids, int32 (batch, tokens), and grades, float32 (batch, n_answers).
    """
    widths = [width for width in widths if width < model.max_tokens] if model.mask else []
    widths.append(model.max_tokens)
    place = np.searchsorted(widths, [min(len(ids), model.max_tokens) for ids, _ in chosen])
    plan = []
    for at, width in enumerate(widths):
        rows = rng.permutation(np.flatnonzero(place == at))
        if not len(rows):
            continue
        # Full batches only, again since each shape is compiled: the last one is filled up.
        rows = np.concatenate([rows, rng.choice(rows, size=-len(rows) % model.batch)])
        plan += [(width, part) for part in rows.reshape(-1, model.batch)]
    for i in rng.permutation(len(plan)):
        width, rows = plan[i]
        correct = np.zeros((len(rows), n_answers), dtype=np.float32)
        for row, at in zip(correct, rows, strict=True):
            row[list(chosen[at][1])] = list(chosen[at][1].values())
        yield pad([chosen[at][0] for at in rows], width), correct


def scores(model: SQAM, examples: Examples, rows: np.ndarray) -> np.ndarray:
    """Return Keras's own cosines (len(rows), n_answers), for validation during training."""
    order = rows[np.argsort([len(examples.ids[i]) for i in rows], kind="stable")]
    place = {i: at for at, i in enumerate(rows)}
    found = np.empty((len(rows), len(model.codes)), dtype=np.float32)
    answers = model.answer_vectors(model.codes)
    limit = model.settings.max_tokens
    for start in range(0, len(order), 512):
        batch = order[start : start + 512]
        ids = [examples.ids[i] for i in batch]
        longest = max(map(len, ids)) if model.settings.mask else limit
        width = next((w for w in WIDTHS if longest <= w < limit), limit)
        found[[place[i] for i in batch]] = model.question_vectors(pad(ids, width)) @ answers.T
    return found


VALIDATION = {
    "phrases": phrases.PHRASES,
    "sentences": ("sentence",),
    "tweets": ("tweet",),
    "labelled tweets": ("labelled tweet",),
}


def validate(model: SQAM, examples: Examples) -> dict[str, float]:
    """Return hit@10 on each part of the validation split, and their mean.

    For the mean all tweets are one part: those that came with their emojis are too few for one.
    """
    figures: dict[str, float] = {}
    sizes: dict[str, int] = {}
    for name, kinds in VALIDATION.items():
        rows = examples.of_kind(*kinds)
        if not len(rows):
            continue
        correct = [examples.phrases[i].emojis for i in rows]
        figures[name], sizes[name] = hits(scores(model, examples, rows), correct, 10), len(rows)
    tweets = [name for name in figures if "tweets" in name]
    parts = [figure for name, figure in figures.items() if name not in tweets]
    if tweets:
        weights = [sizes[name] for name in tweets]
        parts.append(float(np.average([figures[name] for name in tweets], weights=weights)))
    return {**figures, "mean": float(np.mean(parts))}


_LATER = ("lstm_layers", "embedding_tanh", "attend")


def identity(settings: TrainSettings) -> dict[str, Any]:
    """Return the settings as a mapping that tells one run from others.

    Settings that came later are in it only where they are not as by default: what was begun before
    is the same run, and goes on.
    """
    found = dataclasses.asdict(settings)
    if not settings.teacher_vectors:
        del found["teacher_vectors"]
    if not settings.teacher.defined:
        del found["teacher"]["senses"], found["teacher"]["defined"]
    for name in _LATER:
        if found["model"][name] == getattr(SQAMSettings, name):
            del found["model"][name]
    return found


DRAWS = 1_000_000
"""Random draws set aside for an epoch, more than it makes."""


def fit(
    model: SQAM,
    settings: TrainSettings,
    train: Answers,
    validation: Examples,
    folder: Path,
    data: Mapping[str, str],
) -> list[dict[str, float]]:
    """Train until the validation figure stops rising; leave the best weights in the model.

    After each epoch the weights, the optimizer's state and the figures are kept in ``folder``. A
    later call with the same settings goes on from there.

    Returns:
        One row of figures an epoch.
    """
    kept = Checkpoints(folder, {"settings": identity(settings), "data": data})
    history = kept.history
    # How popular the answers are where the loss explains that away.
    first = [
        (grades[:, :-1] * grades[:, -1:]).sum(axis=0)
        for _, grades in batches(train, settings, 0, len(model.codes))
    ]
    steps = len(first)
    model.compile_for_training(steps * settings.epochs, np.sum(first, axis=0))
    model.optimizer.build(model.trainable_variables)
    if kept.restore(model):
        print(f"going on after epoch {len(history)}", file=sys.stderr)

    def best() -> int:
        return max(range(len(history)), key=lambda e: history[e]["mean"]) if history else 0

    while len(history) < settings.epochs and len(history) - best() <= settings.patience:
        epoch, began = len(history), time.monotonic()
        model.draw_from(epoch * DRAWS)
        losses: list[float] = []
        shown = tqdm(
            batches(train, settings, epoch, len(model.codes)),
            f"epoch {epoch + 1}",
            total=steps,
            leave=False,
            unit="batch",
            disable=None,
        )
        for ids, correct in shown:
            losses.append(float(model.train_on_batch(ids, correct)))
            shown.set_postfix(loss=f"{np.mean(losses):.4f}")
        loss = float(np.mean(losses))
        figures = validate(model, validation)
        history.append({"loss": loss, **figures})
        print(
            f"epoch {epoch + 1}/{settings.epochs}  loss {loss:.4f}  validation "
            f"hit@10 {'  '.join(f'{name} {value:.3f}' for name, value in figures.items())}  "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
        kept.keep(model, best=best() == epoch)
    kept.restore_best(model)
    return history


def measure(
    scorer: Scorer, codes: EmojiCodes, found: Sequence[phrases.Phrase], seen: np.ndarray
) -> dict[str, Any]:
    """Measure the exported model, through the one scoring path, on phrases of one split.

    Args:
        scorer: the exported model.
        codes: every emoji of the catalogue.
        found: what to measure on; sentences without a known word count as misses.
        seen: how often each emoji came with a training tweet, for the popularity baseline.

    Returns:
        For each group of kinds the number of texts and the share with a correct emoji among the
        first 1 and 10, and for tweets the same of always answering the most popular.
    """
    figures: dict[str, Any] = {}
    for name, kinds in {**VALIDATION, **{kind: (kind,) for kind in phrases.PHRASES}}.items():
        chosen = [phrase for phrase in found if phrase.kind in kinds]
        if not chosen:
            continue
        correct = [phrase.emojis for phrase in chosen]
        texts = [phrase.text for phrase in chosen]
        known = scorer.known(texts)
        cosines = scorer.score(texts, codes)[known]
        correct_known = [c for c, k in zip(correct, known, strict=True) if k]
        figures[name] = {"texts": len(chosen)}
        for k in (1, 10):
            figures[name][f"hit@{k}"] = hits(cosines, correct_known, k) * float(known.mean())
        if "tweet" in kinds:
            always = np.tile(seen, (len(chosen), 1))
            for k in (1, 10):
                figures[name][f"most popular hit@{k}"] = hits(always, correct, k)
    return figures


def train(
    settings: TrainSettings,
    output: Path,
    work: Path,
    data: Path,
    cache: Path,
    vae: Path,
    taught_in: Path,
    start: Path | None = None,
) -> dict[str, Any]:
    """Train one model, export it to ``output`` and return its figures.

    The compact form of it is put beside it, into a folder ``compact``. With ``start``, the folder
    of an earlier run's checkpoints, its answers' side begins as it was best there.
    """
    names = catalogue()
    codec = Codec.load(vae)
    codes = EmojiCodes.load(vae / "codes.npz")
    if list(codes.names) != names.sequences:
        raise InputError(
            f"{str(vae / 'codes.npz')!r} does not fit the catalogue; train the VAE again"
        )
    found, kept, dropped = phrases.known(names, data, settings.before)
    english = wordnet.words(cache) if settings.unseen else None
    seen = count(phrase.text for phrase in found if phrase.split == "train")
    table = glove.load(settings.glove, cache)

    def taught_vectors(chosen: Sequence[str]) -> list[np.ndarray]:
        known = worthwhile(table.words, seen, english or (), settings.names)
        place = {word: row for row, word in enumerate(known)}
        rows = [place[word] for word in chosen]
        told = teacher.word_vectors(
            settings.teacher, found, known, int(kept.sum()), cache, taught_in
        )
        return [each[rows] for each in told]

    words, vectors = vocabulary_of(
        settings, table, seen, english, taught_vectors if settings.teacher_vectors else None
    )
    vocabulary = Vocabulary(words)
    parts = {
        split: Examples(
            [p for p in found if p.split == split], vocabulary, settings.model.max_tokens
        )
        for split in phrases.SPLITS
    }
    others = views_of(codec, codes, settings.vendors, cache, work.parent)
    model = SQAM(
        settings.model, vectors, codes.codes[kept], settings.seed,
        None if others is None else others[kept],
    )  # fmt: skip
    hashes = data_hashes(data, vae, settings.glove)
    if settings.teacher_vectors:
        hashes["word vectors"] = hashlib.sha256(vectors.tobytes()).hexdigest()
    if start is not None:
        hashes["start"] = begin(model, start)
    trained = codes.take(np.flatnonzero(kept))
    answers, taught = taught_answers(
        settings, parts["train"], found, dropped, vocabulary, len(trained), data, cache, taught_in
    )
    history = fit(model, settings, answers, parts["validation"], work, hashes)

    popular = phrases.popularity(found, len(trained))
    held_out = [phrase for phrase in found if phrase.split == "held-out"]
    # Sentences that the model never saw, of every kind, and enough of them.
    sample = [p.text for split in ("held-out", "validation") for p in found if p.split == split]
    config = {
        "training": {k: v for k, v in dataclasses.asdict(settings).items() if k != "model"},
        "data": hashes,
        "versions": results.versions(),
    }
    difference = export(model, words, output, config, trained, sample[:2000], packs_small=True)
    scorer = Scorer.load(output)
    small = output.with_name("compact")
    compact(output, small)
    figures = {}
    if not kept.all():
        figures["unseen"] = {
            "of their own words": place_of(scorer, codes, np.flatnonzero(~kept)),
            "by a vendor that no training saw": by_vendor(scorer, codec, UNSEEN_VENDOR, cache),
        }
    return {
        "seed": settings.seed,
        "epochs": len(history),
        "validation": max(history, key=lambda row: row["mean"]),
        "difference from Keras": difference,
        **({"start": hashes["start"]} if start is not None else {}),
        **({"teacher": {"data": teacher.hashes(), "validation hit@10": taught}} if taught else {}),
        "held-out": measure(scorer, trained, held_out, popular),
        "held-out, compact": measure(Scorer.load(small), trained, held_out, popular),
        **figures,
    }


def begin(model: SQAM, start: Path) -> str:
    """Let the answers' side begin with an earlier run's best weights; return their SHA-256.

    It takes long to tell the emojis' codes apart, which has little to do with how sentences are
    read, so a run that need not learn it gets further in as many steps.

    Args:
        model: whose answers' and shared layers have the same shapes as the earlier run's.
        start: folder of that run's checkpoints.

    Raises:
        InputError: there is no such run, or its layers have other shapes.
    """
    weights, log = start / BEST, start / LOG
    if not (weights.is_file() and log.is_file()):
        raise InputError(f"{str(start)!r} holds no run; train it first")
    saved = json.loads(log.read_text(encoding="utf-8"))["run"]["settings"]["model"]
    settings = SQAMSettings.from_dict(saved)
    earlier = SQAM(
        settings, np.zeros((settings.vocabulary, settings.dimensions), dtype=np.float32),
        np.asarray(model.codes),
    )  # fmt: skip
    earlier.load_weights(weights)
    try:
        for layers in ("answer_layers", "shared_layers"):
            pairs = zip(getattr(model, layers), getattr(earlier, layers), strict=True)
            for layer, other in pairs:
                layer.set_weights(other.get_weights())
    except ValueError as error:
        raise InputError(
            f"the run in {str(start)!r} has answers' or shared layers of other shapes; begin with "
            "one that has the same"
        ) from error
    return results.sha256(weights)


def taught_answers(
    settings: TrainSettings,
    examples: Examples,
    found: Sequence[phrases.Phrase],
    dropped: Sequence[str],
    vocabulary: Vocabulary,
    n_answers: int,
    data: Path,
    cache: Path,
    work: Path,
) -> tuple[Answers, dict[str, float]]:
    """Return the training examples' answers, with the teacher's if there is one, and its figures.

    Args:
        settings: of the run.
        examples: of the training split.
        found: the phrases of all splits.
        dropped: further texts that the teacher must not label.
        vocabulary: of the model.
        n_answers: how many emojis there are.
        data: folder of the sentences.
        cache: folder of downloaded packages.
        work: folder of the teacher.
    """
    if not settings.taught and not settings.unlabelled:
        return Answers(examples), {}
    words = glove.load(settings.glove, cache)
    more, tweets = teacher.texts(settings.teacher, words, found, dropped, data, cache)
    said, figures = teacher.labels(settings.teacher, found, more, n_answers, cache, work, tweets)
    place = {id(phrase): row for row, phrase in enumerate(found)}
    rows = [place[id(phrase)] for phrase in examples.phrases]
    ids = [vocabulary.ids(text, settings.model.max_tokens) for text in more]
    known = [i for i, of_text in enumerate(ids) if of_text]
    rows += [len(found) + i for i in known]
    labels = Labels(said.rows[rows], said.shares[rows])
    tweeted = np.array([more[i] in tweets for i in known], dtype=bool)
    return Answers(examples, labels, [ids[i] for i in known], settings.taught, tweeted), figures


UNSEEN_VENDOR = "emojione"
"""Its pictures train nothing."""


def views_of(
    codec: Codec, codes: EmojiCodes, vendors: Sequence[str], cache: Path, work: Path
) -> np.ndarray | None:
    """Return the codes of other vendors' pictures: float32 (n, len(vendors), 16), None for none.

    Where a vendor lacks an emoji its own code stands. They are kept in the folder ``work``, since
    encoding takes a minute.
    """
    if not vendors:
        return None
    key = hashlib.sha256(codes.codes.tobytes() + " ".join(vendors).encode()).hexdigest()[:16]
    file = work / f"views-{key}.npy"
    if file.is_file():
        return np.load(file, allow_pickle=False)
    found = np.repeat(codes.codes[:, np.newaxis], len(vendors), axis=1)
    for at, vendor in enumerate(vendors):
        view = views.load(vendor, cache)
        found[view.there, at] = codec.encode(view.pictures[view.there])
    work.mkdir(parents=True, exist_ok=True)
    with replacing(file) as opened:
        np.save(opened, found)
    return found


def place_of(scorer: Scorer, candidates: EmojiCodes, rows: np.ndarray) -> dict[str, Any]:
    """Measure where emojis rank among candidates for their own names and for their keywords.

    Args:
        scorer: the exported model.
        candidates: codes with emojis as names.
        rows: int (m,), of the candidates to ask for.

    Returns:
        For names and for keywords the number of texts, the median percentile of the right one (100:
        first, 0: last, 50 by chance) and the share of it among the first 10. Texts without a known
        word count as last.
    """
    emojis = catalogue()
    figures = {}
    for kind in ("names", "keywords"):
        asked = [
            (text, int(row))
            for row in rows
            for emoji in [emojis[emojis.index(candidates.names[row])]]
            for text in ([emoji.name] if kind == "names" else emoji.keywords)
        ]
        texts, right = [text for text, _ in asked], np.array([row for _, row in asked])
        scores = scorer.score(texts, candidates)
        before = np.where(scorer.known(texts), ahead(scores, right), len(candidates) - 1)
        figures[kind] = {"texts": len(texts), **places(before, len(candidates))}
    return figures


def by_vendor(scorer: Scorer, codec: Codec, vendor: str, cache: Path) -> dict[str, Any]:
    """Measure how all emojis rank by a vendor's pictures of them, for their own words."""
    view = views.load(vendor, cache)
    rows = np.flatnonzero(view.there)
    names = [catalogue().sequences[row] for row in rows]
    candidates = EmojiCodes(names, codec.encode(view.pictures[rows]))
    return place_of(scorer, candidates, np.arange(len(rows)))


def vocabulary_of(
    settings: TrainSettings,
    words: glove.Glove,
    seen: Counter[str],
    english: Container[str] | None,
    taught: Callable[[Sequence[str]], Sequence[np.ndarray]] | None = None,
) -> tuple[list[str], np.ndarray]:
    """Choose the words that the model knows, most frequent first, and their vectors.

    They are GloVe's most frequent words, whether training saw them or not, but for what the
    tokenizer never writes (punctuation, "u.s."), numbers that no training text has, and, beyond
    ``settings.names``, what neither the training texts nor ``english`` have: names, mostly. Vectors
    that are not tuned pass through int8 first, so that training sees what ships.

    Args:
        settings: of the training.
        words: to choose among.
        seen: how often the training texts have each token.
        english: words that are worth knowing. None chooses the training texts' own words alone,
            those that are met most first.
        taught: tells what a teacher has of words, arrays of floats (n, any), which the vectors then
            say too, see `combined`; None for GloVe's alone.

    Returns:
        As many words as the settings say, and float32 (n, dimensions).

    Raises:
        InputError: the settings ask for more words, or for vectors of another length.
    """
    model = settings.model
    if words.vectors.shape[1] != model.dimensions:
        raise InputError(
            f"GloVe {settings.glove!r} has {words.vectors.shape[1]} dimensions, the settings say "
            f"{model.dimensions}; change one of them"
        )
    place = {word: row for row, word in enumerate(words.words)}
    if english is None:
        chosen = [word for word in frequent(seen) if word in place]
    else:
        chosen = worthwhile(words.words, seen, english, settings.names)
    chosen = chosen[: model.vocabulary]
    if len(chosen) < model.vocabulary:
        raise InputError(
            f"GloVe and the texts give {len(chosen)} words for a vocabulary of {model.vocabulary}; "
            "ask for fewer"
        )
    vectors = words.vectors[[place[word] for word in chosen]]
    if taught is not None:
        vectors = combined(vectors, taught(chosen))
    if not model.tune_embedding:
        table, scales = quantize(vectors)
        vectors = table * scales
    return chosen, vectors


def data_hashes(data: Path, vae: Path | None, word_vectors: str) -> dict[str, str]:
    """Return the SHA-256 of everything that a model is trained on, the codes if ``vae`` is told."""
    read = phrases.Sources()
    files = [
        read.descriptions, read.short_descriptions, read.tweets, read.labels,
        *(read.labelled_tweets.format(part) for part in ("train", "val")), *read.plain,
    ]  # fmt: skip
    return {
        **{name: results.sha256(data / name) for name in files},
        "emojis.csv": results.sha256(asset("emojis.csv")),
        **({} if vae is None else {"codes.npz": results.sha256(vae / "codes.npz")}),
        **results.hashes(phrases.book_files()),
        **glove.hashes(word_vectors),
    }


def summary(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return mean, spread and values over the seeds of each figure: name -> figure -> value."""
    return {
        name: {
            "texts": figures["texts"],
            **{
                figure: results.spread([run[name][figure] for run in runs])
                for figure in figures
                if figure != "texts"
            },
        }
        for name, figures in runs[0].items()
    }


def install(model: Path, output: Path) -> None:
    """Copy an exported model's files to the folder ``output``, each whole or not at all."""
    output.mkdir(parents=True, exist_ok=True)
    # The configuration last: it tells what the other files are.
    for file in sorted(model.iterdir(), key=lambda file: file.suffix == ".json"):
        with replacing(output / file.name) as copy:
            copy.write(file.read_bytes())


def changes_from(changes: Sequence[str], kind: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read ``NAME=VALUE`` changes (VALUE as in JSON, else a string) to settings of a training.

    Args:
        changes: as they were typed.
        kind: the settings' dataclass, which has the model's in ``model``.

    Returns:
        Those of the training and those of the model, which were written as ``model.NAME=VALUE``.

    Raises:
        InputError: a change of another form, or a setting that the training lacks.
    """
    training: dict[str, Any] = {}
    model: dict[str, Any] = {}
    # The teacher's labels are made beforehand, by a command that has settings of its own.
    known = {field.name for field in dataclasses.fields(kind)} - {"model", "seed", "teacher"}
    for change in changes:
        name, equals, text = change.partition("=")
        try:
            value = json.loads(text)
        except json.JSONDecodeError:
            value = text
        if equals and name.startswith("model."):
            model[name.removeprefix("model.")] = value
        elif equals and name in known:
            training[name] = value
        else:
            raise InputError(
                f"no setting {change!r}; write NAME=VALUE or model.NAME=VALUE, with NAME one of "
                f"{', '.join(sorted(known))} or of the model's"
            )
    return training, model


def settings_from(preset: str, changes: Sequence[str]) -> TrainSettings:
    """Return a preset's settings with changes that were typed, see ``changes_from``.

    Raises:
        InputError: a change of another form, a setting that does not exist or a value it refuses.
    """
    training, model = changes_from(changes, TrainSettings)
    if preset == "2017":
        # It had no teacher.
        training = {"taught": 0, "unlabelled": 0, "unseen": False, **training}
    return from_mapping(TrainSettings, {**training, "model": SQAMSettings.preset(preset, **model)})


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.train_sqam", description=__doc__)
    add = parser.add_argument
    add("--preset", default="default", help=f"one of {', '.join(PRESETS)}")
    add(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="changes",
        help="change a setting of TrainSettings or, as model.NAME=VALUE, of SQAMSettings",
    )  # fmt: skip
    add(
        "--seeds",
        type=int,
        nargs="+",
        default=[0],
        help="the model that validates best is kept",
    )
    add("--data", type=Path, default=phrases.DATA, help="folder of the sentences")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    add("--vae", type=Path, default=asset("models", "vae"), help="folder of the trained VAE; "
        "{seed} in it stands for the seed")  # fmt: skip
    add("--output", type=Path, default=asset("models", "sqam"), help="folder of the exported model")
    add("--work", type=Path, default=Path("build/sqam"), help="folder of checkpoints")
    add("--teacher", type=Path, default=teacher.FOLDER, help="folder of the labels: the teacher's, "
        "or those of pipelines.students")  # fmt: skip
    add("--start", help="folder of an earlier run, as whose best weights the answers' side is to "
        "begin; {seed} in it stands for the seed")  # fmt: skip
    add("--results", type=Path, help="results file; default: sqam.json in assets/results, or, with "
        "another --output, in that folder")  # fmt: skip

    def work() -> None:
        arguments = parser.parse_args(argv)
        settings = settings_from(arguments.preset, arguments.changes)
        start = arguments.start
        runs = []
        folders = {}
        for seed in arguments.seeds:
            folder = arguments.work / f"{arguments.preset}-{seed}"
            folders[seed] = folder / "model"
            runs.append(
                train(
                    dataclasses.replace(settings, seed=seed),
                    output=folders[seed],
                    work=folder,
                    data=arguments.data,
                    cache=arguments.cache,
                    vae=Path(str(arguments.vae).format(seed=seed)),
                    taught_in=arguments.teacher,
                    start=start and Path(start.format(seed=seed)),
                )
            )
            best = max(runs, key=lambda run: run["validation"]["mean"])
            # Written after each seed: what is done is not lost.
            results.write(
                arguments.results or results.place(arguments.output, "sqam"),
                {
                    "command": results.command("pipelines.train_sqam", argv),
                    "settings": dataclasses.asdict(settings),
                    "data": data_hashes(
                        arguments.data,
                        # Where each seed has codes of its own, they are in its model's config.json.
                        None if "{seed}" in str(arguments.vae) else arguments.vae,
                        settings.glove,
                    ),
                    "versions": results.versions(),
                    **{
                        part: summary([run[part] for run in runs])
                        for part in ("held-out", "held-out, compact")
                    },
                    **(
                        {
                            "unseen": {
                                name: summary([run["unseen"][name] for run in runs])
                                for name in runs[0]["unseen"]
                            }
                        }
                        if "unseen" in runs[0]
                        else {}
                    ),
                    "kept": best["seed"],
                    "runs": runs,
                },
            )
        install(folders[best["seed"]], arguments.output)
        for name, figures in summary([each["held-out"] for each in runs]).items():
            cells = [
                f"{figure} {value['mean']:.3f}" + (f" ± {value['sd']:.3f}" if value["sd"] else "")
                for figure, value in figures.items()
                if figure != "texts"
            ]
            print(f"{name:16} {figures['texts']:5} texts   {'   '.join(cells)}")

    return run(parser.prog, work)


if __name__ == "__main__":
    sys.exit(main())
