"""Repeat "Neurally Embedded Emojis" (2017) on the airline tweets, then go on from there.

    python -m pipelines.airline_teacher                          # first, for "ours"
    python -m pipelines.airline                                  # everything, 5 seeds
    python -m pipelines.airline --runs 2017 "2017, both others"  # the study alone
    python -m pipelines.airline --seeds 0 --validation           # how settings were chosen
    python -m pipelines.airline --data my-data                   # holds airline/tweets.csv.gz

A positive tweet is answered by 🎉, a neutral one by 😈, a negative one by 😡, known by the codes of
their pictures alone. All that is measured goes through the exported networks and their one cosine
(``sqam.scorer``). Tweets, models and pictures that show a tweet stay in the folder of the work;
nothing that was trained on these tweets ships. A fifth of the tweets is held out by a hash of the
text. An interrupted command goes on after the last seed of the last run that it finished.
"""

import argparse
import dataclasses
import functools
import hashlib
import json
import math
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from emoji_vae import images
from emoji_vae.catalogue import bare, catalogue
from emoji_vae.codec import Codec
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import glove, meanings, phrases, results, sources
from pipelines.airline_network import Example, export, fit, start_from, vocabulary
from pipelines.airline_runs import RUNS, RunSettings
from pipelines.airline_teacher import taught
from pipelines.airline_tweets import (
    EMOJIS,
    SENTIMENTS,
    TWEETS,
    VALIDATION,
    WORK,
    Tweet,
    parts,
    read,
)
from pipelines.evaluate import best, quality
from pipelines.train_sqam import Examples, scores
from sqam.model import SQAM
from sqam.scorer import Scorer
from sqam.text import Vocabulary, tokenize

PUBLISHED = (0.0929, 0.0822, 0.0828)
"""The study's validation loss after each of its three epochs."""

GENERATED = 200
"""Emojis that do not exist, ranked beside those that do."""

STUDIED = "all emojis"
"""The run whose rankings of all and of generated emojis are drawn."""


_SHIPPED = ("question.onnx", "answer.onnx", "embedding.npy")


def drawn(
    train: Sequence[Tweet], settings: RunSettings, seed: int
) -> tuple[list[Tweet], list[Tweet]]:
    """Return what a run trains on and what it keeps aside for the loss of each epoch.

    Like texts stay together here too: the part kept aside is that of the lowest hashes.
    """
    rows = np.random.default_rng(seed).permutation(len(train))[: settings.tweets]
    chosen = sorted((train[row] for row in rows), key=lambda tweet: tweet.place)
    aside = round(len(chosen) * settings.validation)
    while 0 < aside < len(chosen) and chosen[aside - 1].place == chosen[aside].place:
        aside += 1
    return chosen[aside:], chosen[:aside]


def triplet_loss(cosines: np.ndarray, sentiments: np.ndarray, margin: float) -> float:
    """Return the mean of ``max(0, margin - cos(correct) + cos(incorrect))`` over all triplets.

    It is what the loss with one drawn incorrect answer is on average.

    Args:
        cosines: float (n, 3), in the order of ``SENTIMENTS``.
        sentiments: int (n,).
        margin: of the loss.
    """
    correct = cosines[np.arange(len(cosines)), sentiments][:, np.newaxis]
    hinge = np.maximum(0, margin - correct + cosines)
    incorrect = np.arange(cosines.shape[1]) != sentiments[:, np.newaxis]
    return float(hinge[incorrect].mean())


def baselines(train: Sequence[Tweet], measured: Sequence[Tweet]) -> dict[str, dict[str, Any]]:
    """Measure always answering the most frequent sentiment, and linear classifiers on TF-IDF.

    The regularization of the second of these is the best on the validation part of ``train`` (or,
    where there is none, on the last fifth).
    """
    texts, labels = [t.text for t in train], [t.sentiment for t in train]
    asked, right = [t.text for t in measured], [t.sentiment for t in measured]
    most, n = Counter(labels).most_common(1)[0][0], len(SENTIMENTS)
    words = make_pipeline(TfidfVectorizer(), LogisticRegression(max_iter=1000))

    def with_characters(c: float) -> Any:
        features = make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=2),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True, min_df=3),
        )
        return make_pipeline(features, LinearSVC(C=c))

    known = sorted(t.place for t in train)
    border = VALIDATION if known[0] < VALIDATION else known[len(known) // 5]
    fit_on = [t for t in train if t.place >= border]
    choose = [t for t in train if t.place < border]

    def validated(c: float) -> float:
        model = with_characters(c).fit([t.text for t in fit_on], [t.sentiment for t in fit_on])
        return float(model.score([t.text for t in choose], [t.sentiment for t in choose]))

    c = max((0.1, 0.2, 0.3), key=validated)
    return {
        "always the most frequent": quality([most] * len(right), right, n),
        "TF-IDF of words, logistic regression": quality(
            words.fit(texts, labels).predict(asked), right, n
        ),
        "TF-IDF of words and characters, linear SVM": {
            **quality(with_characters(c).fit(texts, labels).predict(asked), right, n),
            "C": c,
        },
    }


def rated(data: Path) -> dict[str, np.ndarray]:
    """Tell which emojis fit a sentiment by the Emoji Sentiment Ranking, which trains nothing here.

    Of the emojis with at least 5 occurrences, with the score (positive - negative) / occurrences:
    one is positive with a score above 0 that is in the highest third; negative with a score below 0
    that is in the lowest third; neutral where the neutral tweets outnumber both the positive and
    the negative ones. An emoji without a rating fits nothing.

    Returns:
        sentiment -> bool (n,), in the catalogue's order, and ``rated``, bool (n,).

    Raises:
        InputError: the file is missing or not as it should be.
    """
    rows = {bare(sequence): row for row, sequence in enumerate(catalogue().sequences)}
    counts = np.zeros((len(rows), 3))
    columns = ("Negative", "Neutral", "Positive")
    for row, numbers in meanings._numbers(data, meanings._SENTIMENT_FILE, "Emoji", columns, rows):
        counts[row] = numbers
    there = counts.sum(axis=1) >= meanings._MIN_OCCURRENCES
    if not there.any():
        raise InputError(f"{str(data / meanings._SENTIMENT_FILE)!r} rates no emoji; get it again")
    score = np.where(
        there, (counts[:, 2] - counts[:, 0]) / np.maximum(counts.sum(axis=1), 1), np.nan
    )
    low, high = np.quantile(score[there], [1 / 3, 2 / 3])
    return {
        "positive": there & (score > 0) & (score >= high),
        "neutral": there & (counts[:, 1] > counts[:, 0]) & (counts[:, 1] > counts[:, 2]),
        "negative": there & (score < 0) & (score <= low),
        "rated": there,
    }


def felt(data: Path) -> dict[str, np.ndarray]:
    """Return the emojis of each sentiment by EmoTag1200, where people scored eight emotions.

    The fifth of its emojis with the least emotion (the largest of the eight) is neutral; of the
    others those with more of joy and trust than of anger, disgust, fear and sadness, on average,
    are positive, the rest is negative. Only that half of each counts which is most so.

    Returns:
        sentiment -> int (m,), rows of the catalogue.
    """
    rows = {bare(sequence): row for row, sequence in enumerate(catalogue().sequences)}
    emotions = meanings._emotions(data, rows)
    known = np.flatnonzero(np.isfinite(emotions).all(axis=1))
    if len(known) < 9:
        raise InputError(f"{str(data / meanings._EMOTIONS_FILE)!r} scores too few emojis")
    of = {name: emotions[known, at] for at, name in enumerate(meanings.EMOTIONS)}
    valence = (of["joy"] + of["trust"]) / 2 - (
        of["anger"] + of["disgust"] + of["fear"] + of["sadness"]
    ) / 4
    strongest = emotions[known].max(axis=1)
    order = np.argsort(strongest, kind="stable")
    calm, moved = order[: len(known) // 5], order[len(known) // 5 :]

    def most(rows: np.ndarray, by: np.ndarray) -> np.ndarray:
        first = rows[np.argsort(by[rows], kind="stable")]
        return known[first[: math.ceil(len(rows) / 2)]]

    return {
        "positive": most(moved[valence[moved] > 0], -valence),
        "neutral": most(calm, strongest),
        "negative": most(moved[valence[moved] <= 0], valence),
    }


@functools.cache
def _glove(cache: Path) -> glove.Glove:
    return glove.load("100d", cache)


class Material(NamedTuple):
    """What all runs share."""

    train: list[Tweet]
    measured: list[Tweet]
    every: EmojiCodes
    """The codes of all emojis, in the catalogue's order."""
    three: EmojiCodes
    """Those of the study's three answers."""
    felt: dict[str, np.ndarray]
    rated: dict[str, np.ndarray]
    data: Path
    cache: Path
    work: Path
    hashes: dict[str, str]


def study_tweets(measured: Sequence[Tweet]) -> list[Tweet]:
    """Return one tweet of each sentiment, whose rankings are shown: the first by hash.

    It has at least 8 words, and all who labelled it agreed.
    """
    found = []
    for at, name in enumerate(SENTIMENTS):
        fitting = [
            t for t in measured if t.sentiment == at and t.agreed and len(tokenize(t.text)) >= 8
        ]
        if not fitting:
            raise InputError(f"no {name} tweet of 8 words, on which all agreed, is held out")
        found.append(min(fitting, key=lambda tweet: (tweet.place, tweet.row)))
    return found


def train(name: str, settings: RunSettings, seed: int, material: Material, folder: Path) -> Any:
    """Train one run, export it to ``folder`` and return its figures, all but the loss by export."""
    began = time.monotonic()
    chosen, aside = drawn(material.train, settings, seed)
    words, vectors = vocabulary(settings, chosen, _glove(material.cache))
    known = Vocabulary(words)
    teacher, varied = _taught(settings, material)
    columns = {sentiment: at for at, sentiment in enumerate(SENTIMENTS)}
    candidates = material.three
    if settings.answers == "all":
        candidates = material.every
        columns = {s: material.every.names.index(emoji) for s, emoji in EMOJIS.items()}
    of_column = [columns[sentiment] for sentiment in SENTIMENTS]
    members, histories = [], []
    for member in range(settings.members):
        own = seed * settings.members + member
        plan = dataclasses.replace(settings.model, vocabulary=len(words))
        model = SQAM(plan, vectors, candidates.codes, own)
        # Three codes say nothing of how codes spread; all do.
        model.code_mean.assign(material.every.codes.mean(axis=0))
        model.code_spread.assign(material.every.codes.std(axis=0) + 1e-6)
        if settings.pretrained:
            start_from(model, asset("models", "sqam"), words)
        limit = model.settings.max_tokens
        examples = [
            Example(ids, grades(tweet, columns, settings, material.felt, teacher.get(tweet.row)))
            for tweet in chosen
            if (ids := known.ids(tweet.text, limit))
        ]
        more = [
            Example(ids, dict(zip(of_column, shares.tolist(), strict=True)))
            for text, shares in varied
            if (ids := known.ids(text, limit))
        ]
        if settings.answers == "all":
            examples += _sentences(material, known, limit) * settings.sentences
        watched = {"validation" if aside else "measured": aside or material.measured}

        def watch(model: SQAM = model, watched: Any = watched) -> dict[str, float]:
            figures = {}
            for part, tweets in watched.items():
                rows = [tweet for tweet in tweets if known.ids(tweet.text, 1)]
                asked = Examples(
                    [phrases.Phrase(t.text, (t.sentiment,), "tweet", part) for t in rows],
                    known, model.settings.max_tokens,
                )  # fmt: skip
                cosines = scores(model, asked, np.arange(len(rows)))[:, of_column]
                right = np.array([tweet.sentiment for tweet in rows])
                figures[f"{part} loss"] = triplet_loss(cosines, right, model.settings.margin)
                figures[f"{part} accuracy"] = float((cosines.argmax(axis=1) == right).mean())
            return figures

        histories.append(fit(model, examples, settings, own, watch, more))
        members.append(model)
    config = {"training": {"run": name, "seed": seed}, "data": material.hashes}
    sample = [tweet.text for tweet in [*material.measured, *material.train]][:2000]
    difference = export(members, words, folder, config, material.every, sample)
    return {
        "seed": seed,
        "words": len(words),
        "trained on": len(chosen),
        "validated on": len(aside),
        "history": [
            {key: float(np.mean([history[epoch][key] for history in histories])) for key in row}
            for epoch, row in enumerate(histories[0])
        ],
        "difference from Keras": difference,
        "minutes": round((time.monotonic() - began) / 60, 2),
    }


def _taught(
    settings: RunSettings, material: Material
) -> tuple[dict[int, np.ndarray], list[tuple[str, np.ndarray]]]:
    """Return what a run's teacher says of the tweets, by row, and of variations of them."""
    if not settings.taught and not settings.unlabelled:
        return {}, []
    said = taught(
        settings.teacher, material.train, material.measured, _glove(material.cache),
        material.cache, material.work,
    )  # fmt: skip
    rows = [tweet.row for tweet in material.train]
    return (
        dict(zip(rows, said.tweets, strict=True)),
        list(zip(said.texts, said.shares, strict=True)),
    )


def grades(
    tweet: Tweet,
    columns: Mapping[str, int],
    settings: RunSettings,
    of_sentiment: Mapping[str, np.ndarray],
    said: np.ndarray | None = None,
) -> dict[int, float]:
    """Return a tweet's correct answers, column -> grade.

    They are the study's, with all answers those that feel alike too, and with doubt the others;
    what a teacher says is mixed in.

    Args:
        tweet: to answer.
        columns: of the study's answers, by sentiment.
        settings: of the run.
        of_sentiment: columns of the other answers of a sentiment.
        said: float (3,), how likely the teacher finds each sentiment; None for none.
    """
    right = SENTIMENTS[tweet.sentiment]
    alike = of_sentiment[right] if settings.answers == "all" else ()
    found = {**{int(row): settings.others for row in alike}, columns[right]: 1.0}
    if settings.doubt and tweet.confidence < 1:
        found = {row: grade * tweet.confidence for row, grade in found.items()}
        for sentiment, column in columns.items():
            if sentiment != right:
                found[column] = (1 - tweet.confidence) / (len(columns) - 1)
    if said is not None:
        found = {row: grade * (1 - settings.taught) for row, grade in found.items()}
        for column, share in zip(columns.values(), said.tolist(), strict=True):
            found[column] = found.get(column, 0.0) + settings.taught * share
    return found


def _sentences(material: Material, known: Vocabulary, limit: int) -> list[Example]:
    """Return the phrasebook's training sentences, so that the other emojis keep their meaning."""
    found = phrases.gather(catalogue(), material.data)
    return [
        Example(ids, {row: 1 / (1 + at) for at, row in enumerate(phrase.emojis)})
        for phrase in found
        if phrase.kind == "sentence" and phrase.split == "train"
        if (ids := known.ids(phrase.text, limit))
    ]


def measure(scorer: Scorer, material: Material, everything: bool) -> dict[str, Any]:
    """Measure an exported model through the one scoring path.

    Args:
        scorer: of the model.
        material: what to measure on.
        everything: rank all emojis as well.

    Returns:
        Accuracy and macro-F1 among the three answers; the cosines of the study's three tweets; and
        if asked for how many of the first 10 of all emojis fit the sentiment, for these tweets and
        on average over all measured ones of each sentiment.
    """
    texts = [tweet.text for tweet in material.measured]
    right = np.array([tweet.sentiment for tweet in material.measured])
    place = {emoji: at for at, emoji in enumerate(EMOJIS.values())}
    answers = [-1 if a is None else place[a] for a in scorer.classify(texts, material.three)]
    shown = study_tweets(material.measured)
    cosines = scorer.score([tweet.text for tweet in shown], material.three)
    figures: dict[str, Any] = {
        **quality(answers, right, len(SENTIMENTS)),
        "three tweets": {
            SENTIMENTS[tweet.sentiment]: dict(zip(EMOJIS.values(), map(float, row), strict=True))
            for tweet, row in zip(shown, cosines, strict=True)
        },
    }
    if everything:
        first = best(scorer.score(texts, material.every), 10)
        fits = {name: material.rated[name][first].sum(axis=1) for name in SENTIMENTS}
        has = material.rated["rated"][first].sum(axis=1)
        rows = [material.measured.index(tweet) for tweet in shown]
        figures["first 10 of all"] = {
            name: {
                "emojis": [material.every.names[i] for i in first[row]],
                "fitting": int(fits[name][row]),
                "rated": int(has[row]),
                "fitting, mean over all tweets": float(fits[name][right == at].mean()),
            }
            for at, (name, row) in enumerate(zip(SENTIMENTS, rows, strict=True))
        }
    return figures


def summary(name: str, runs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return mean, spread and values over the seeds of a run's figures."""
    spread = results.spread
    found: dict[str, Any] = {
        "settings": dataclasses.asdict(RUNS[name]),
        **{figure: spread([run[figure] for run in runs]) for figure in ("accuracy", "macro-F1")},
        "by epoch": {
            figure: [
                spread([run["history"][epoch][figure] for run in runs])
                for epoch in range(len(runs[0]["history"]))
            ]
            for figure in runs[0]["history"][0]
        },
        "three tweets": {
            sentiment: {
                emoji: spread([run["three tweets"][sentiment][emoji] for run in runs])
                for emoji in cosines
            }
            for sentiment, cosines in runs[0]["three tweets"].items()
        },
    }
    if "first 10 of all" in runs[0]:
        found["first 10 of all"] = {
            sentiment: {
                "emojis of the first seed": figures["emojis"],
                **{
                    key: spread([run["first 10 of all"][sentiment][key] for run in runs])
                    for key in figures
                    if key != "emojis"
                },
            }
            for sentiment, figures in runs[0]["first 10 of all"].items()
        }
    for figure in ("words", "trained on", "validated on"):
        found[figure] = [run[figure] for run in runs]
    found["largest difference from Keras"] = max(run["difference from Keras"] for run in runs)
    found["minutes"] = spread([run["minutes"] for run in runs])
    return found


def targets(found: Mapping[str, Any], compared: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the study gives to compare with, of those runs that are there.

    The lowest validation loss of an epoch (its mean over the seeds, and the spread), and by how
    much "ours" is ahead in accuracy, in points of a hundred.
    """
    told: dict[str, Any] = {}
    for name in ("2017", "2017, both others"):
        if name in found:
            epochs = found[name]["by epoch"]["validation loss"]
            lowest = min(epochs, key=lambda epoch: epoch["mean"])
            told[f"lowest validation loss, {name}"] = {**lowest, "published": min(PUBLISHED)}
    if "ours" in found:
        ours = found["ours"]["accuracy"]["mean"]
        others = {
            **{name: figures["accuracy"] for name, figures in compared.items()},
            **{
                name: found[name]["accuracy"]["mean"]
                for name in ("2017", "2017, all tweets")
                if name in found
            },
        }
        told["ours ahead by points"] = {
            name: round(100 * (ours - accuracy), 2) for name, accuracy in others.items()
        }
    return told


def losses(found: Mapping[str, Mapping[str, Any]]) -> Image.Image:
    """Chart the losses of the runs by epoch: a line for the mean, a band for the spread."""
    columns = 3
    rows = math.ceil(len(found) / columns)
    figure = Figure((4 * columns, 2.8 * rows), dpi=70, layout="constrained")
    for number, (name, curves) in enumerate(found.items(), start=1):
        axes = figure.add_subplot(rows, columns, number)
        for key, values in curves["by epoch"].items():
            if "loss" not in key:
                continue
            epochs = np.arange(1, len(values) + 1)
            mean = np.array([value["mean"] for value in values])
            spread = np.array([value["sd"] or 0.0 for value in values])
            label = {"loss": "training", "validation loss": "validation"}.get(key, "held out")
            axes.plot(epochs, mean, marker=".", label=label)
            axes.fill_between(epochs, mean - spread, mean + spread, alpha=0.2)
        if "validation loss" in curves["by epoch"]:
            axes.plot(range(1, 4), PUBLISHED, "k.--", lw=1, label="validation, published")
        axes.set_title(name, loc="left", size="medium")
        axes.set_xlabel("epoch")
        axes.set_xticks(epochs)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(fontsize="small", frameon=False)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB")


def titled(picture: Image.Image, title: str) -> Image.Image:
    """Return the picture on white, below a line of text."""
    page = Image.new("RGB", (picture.width, picture.height + 24), "white")
    page.paste(picture, (0, 24))
    ImageDraw.Draw(page).text((4, 5), title, "black", font_size=13)
    return page


SHOWN = 14
"""Emojis of each row of the picture that goes with the results."""


def rankings(
    scorer: Scorer, material: Material, generated: EmojiCodes, folder: Path
) -> Image.Image:
    """Draw the whole rankings of all and of generated emojis for the three tweets.

    Args:
        scorer: of the model.
        material: with the tweets.
        generated: with their pictures.
        folder: gets a picture for each tweet and each set of emojis, best first, with the text of
            the tweet above.

    Returns:
        The first emojis of each, without the texts.
    """
    folder.mkdir(parents=True, exist_ok=True)
    assert generated.pictures is not None  # generated emojis come with them
    sheets = {
        "all": (material.every, images.sheet()),
        "generated": (generated, generated.pictures),
    }
    rows = []
    for tweet in study_tweets(material.measured):
        sentiment = SENTIMENTS[tweet.sentiment]
        for name, (codes, pictures) in sheets.items():
            order = best(scorer.score([tweet.text], codes), len(codes))[0]
            whole = images.grid(pictures[order], 50 if name == "all" else 20, 36, "white")
            images.save(folder / f"{sentiment}-{name}.png", titled(whole, tweet.text.strip()))
            first = images.grid(pictures[order[:SHOWN]], SHOWN, 36, "white")
            what = f"{sentiment} tweet, {name} emojis: the first {SHOWN} of {len(codes):,}"
            rows.append(titled(first, what))
    page = Image.new("RGB", (rows[0].width, sum(row.height for row in rows)), "white")
    for number, row in enumerate(rows):
        page.paste(row, (0, number * row.height))
    return page


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(
        prog="python -m pipelines.airline",
        description=__doc__,
        epilog=f"runs: {'; '.join(RUNS)}\nA seed of all runs takes minutes of one core.",
    )
    add = parser.add_argument
    add("--runs", nargs="+", default=list(RUNS), metavar="NAME", help="default: all")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4], metavar="S")
    add(
        "--validation", action="store_true",
        help="measure on a validation part of the training tweets, to choose settings by; the "
        "results go into the folder of the work",
    )  # fmt: skip
    add("--data", type=Path, default=phrases.DATA, help="folder of the data")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    add("--work", type=Path, default=WORK, help="folder of models and pictures")
    add(
        "--output", type=Path, default=asset("results", "airline.json"),
        help="results file; small pictures go into the folder beside it that has its name",
    )  # fmt: skip
    return run(parser.prog, lambda: _study(parser.parse_args(argv), argv))


def _material(options: argparse.Namespace) -> Material:
    tweets = read(options.data)
    train_on, measured = parts(tweets, options.validation)
    every = EmojiCodes.load()
    if list(every.names) != catalogue().sequences:
        raise InputError("the codes that ship do not fit the catalogue; train the VAE again")
    files = [TWEETS, meanings._SENTIMENT_FILE, meanings._EMOTIONS_FILE]
    hashes = {
        **{name: results.sha256(options.data / name) for name in files},
        # A run of another split is not gone on with.
        "rows measured on": hashlib.sha256(repr([t.row for t in measured]).encode()).hexdigest(),
        **glove.hashes("100d"),
        "codes.npz": results.sha256(asset("models", "vae", "codes.npz")),
        **results.hashes(phrases.book_files()),
        **results.hashes([asset("models", "sqam", name) for name in _SHIPPED]),
    }
    return Material(
        train_on, measured, every, every.select(list(EMOJIS.values())),
        felt(options.data), rated(options.data), options.data, options.cache,
        options.work, hashes,
    )  # fmt: skip


def _study(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    if unknown := [name for name in options.runs if name not in RUNS]:
        raise InputError(f"there is no run {unknown[0]!r}; choose from {', '.join(RUNS)}")
    material = _material(options)
    part = "validation" if options.validation else "held-out"
    work = options.work / part
    output = options.work / "validation.json" if options.validation else options.output
    compared = baselines(material.train, material.measured)
    for name, figures in compared.items():
        _show(name, figures)
    shown = study_tweets(material.measured)
    found: dict[str, Any] = {}
    for name in options.runs:
        done = []
        for seed in options.seeds:
            done.append(_run(name, seed, material, work))
            _show(f"{name}, seed {seed}", done[-1])
        found[name] = summary(name, done)
        written: dict[str, Any] = {
            "command": results.command("pipelines.airline", argv),
            "seeds": options.seeds,
            "measured on": f"the {part} part: {len(material.measured)} tweets; "
            f"{len(material.train)} to train on",
            "published validation loss": PUBLISHED,
            "baselines": compared,
            "targets": targets(found, compared),
            "runs": found,
            "tweets shown": [
                {"sentiment": SENTIMENTS[t.sentiment], "row": t.row, "place": t.place}
                for t in shown
            ],
            "emojis that fit by the Emoji Sentiment Ranking": {
                sentiment: int(fits.sum()) for sentiment, fits in material.rated.items()
            },
            "data": material.hashes,
            "versions": results.versions(),
        }
        results.write(output, written)  # after each run: what is done is not lost
    pictures = output.parent / output.stem
    pictures.mkdir(parents=True, exist_ok=True)
    images.save(pictures / "losses.png", losses(found))
    if STUDIED in found:
        scorer = Scorer.load(_folder(work, STUDIED, options.seeds[0]) / "model")
        print("\nsimilarities of the three tweets:")
        for tweet, row in zip(
            shown, scorer.score([t.text for t in shown], material.three), strict=True
        ):
            cells = "  ".join(
                f"{emoji} {value:+.3f}" for emoji, value in zip(EMOJIS.values(), row, strict=True)
            )
            print(f"  {SENTIMENTS[tweet.sentiment]:8}  {cells}  {' '.join(tweet.text.split())}")
        generated = Codec.load().sample(GENERATED, options.seeds[0])
        page = rankings(scorer, material, generated, work / "rankings")
        images.save(pictures / "rankings.png", page)


def _folder(work: Path, name: str, seed: int) -> Path:
    return work / f"{re.sub(r'[^a-z0-9]+', '-', name.lower())}-{seed}"


def _run(name: str, seed: int, material: Material, work: Path) -> dict[str, Any]:
    """Return a seed's figures of a run, from an earlier command if it was the same there."""
    folder = _folder(work, name, seed)
    log = folder / "run.json"
    settings = dataclasses.asdict(RUNS[name])
    # The phrasebook and the model that ships are read by some runs alone.
    whole, begun = RUNS[name].answers == "all", RUNS[name].pretrained
    read = {
        k: v
        for k, v in material.hashes.items()
        if (whole or not k.endswith(".jsonl")) and (begun or k not in _SHIPPED)
    }
    made_of = json.loads(json.dumps({"settings": settings, "data": read}))
    trained: dict[str, Any] | None = None
    if log.is_file():
        kept = json.loads(log.read_text(encoding="utf-8"))
        trained = kept["figures"] if kept["run"] == made_of else None
    if trained is None:
        trained = train(name, RUNS[name], seed, material, folder / "model")
        results.write(log, {"run": made_of, "figures": trained})
    scorer = Scorer.load(folder / "model")
    return {**trained, **measure(scorer, material, RUNS[name].answers == "all")}


def _show(name: str, figures: Mapping[str, Any]) -> None:
    line = f"{name:44} accuracy {figures['accuracy']:.4f}  macro-F1 {figures['macro-F1']:.4f}"
    last = figures.get("history", [{}])[-1]
    line += "".join(f"  {key} {value:.4f}" for key, value in last.items() if "loss" in key)
    if "first 10 of all" in figures:
        fitting = [figures["first 10 of all"][name]["fitting"] for name in SENTIMENTS]
        line += f"  of the first 10 fit {fitting}"
    print(line + (f"  {figures['minutes']} min" if "minutes" in figures else ""), flush=True)


if __name__ == "__main__":
    sys.exit(main())
