"""Write assets/results/README.md: every experiment's table, ours beside the source's figures.

    python -m pipelines.results_page
    python -m pipelines.results_page --partial                 # leave out what is not there yet
    python -m pipelines.results_page --results build/results --output build/results.md

All of our figures come from the results files, each with the command that wrote it. A file that is
missing is an error, or with --partial a note in the page; a figure that its file does not hold is
an error, but for the few that not every machine can measure, which are left out.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from emoji_vae.locations import asset

EMBEDDED = "Neurally Embedded Emojis (2017)"
DEEPMOJI = "DeepMoji with chain-thaw (2017), as remembered"
EMOJIFIER = "Emojifier"
BEFORE = "measured before the first line of code"

CITED = {
    DEEPMOJI: {
        "SE0714": "37 %",
        "Olympic": "61 %",
        "PsychExp": "57 %",
        "SS-Twitter": "88 %",
        "SS-Youtube": "93 %",
        "SCv1": "69 %",
    },
    EMBEDDED: {
        "finite codes": "95.85 %",
        "validation loss": "0.0822",
        "ranking of all emojis": "“not particularly useful”",
    },
    EMOJIFIER: {
        "V1, cost, epoch 0": "1.95204988",
        "V1, cost, epoch 100": "0.07971819",
        "V1, cost, epoch 200": "0.04456369",
        "V1, cost, epoch 300": "0.03432267",
        "V1, train": "97.727 %",
        "V1, test": "85.714 %",
        "V2, parameters": "20,223,927",
        "V2, trainable parameters": "223,877",
        "V2, test": "80.4 to 83.9 %",
        "best, test": "85.7 % (V1)",
    },
    BEFORE: {
        "8 components": "57 %",
        "16 components": "66 %",
        "32 components": "75 %",
        "64 components": "82 %",
        "tweets, popularity": "40.6 %",
        "tweets, MiniLM": "MiniLM 10.0 %, TF-IDF 7.6 %",
        "keywords": "MiniLM 53.2 %, TF-IDF 14.6 %",
        "cold start, seconds": "0.17 to 0.19",
        "cold start, megabytes": "62 to 79",
        "NumPy, seconds": "0.12",
        "NumPy, megabytes": "31",
    },
}
"""Source -> figure -> how it stands there."""

WRITTEN_BY = {
    "ablation.json": "ablation",
    "agreement.json": "agreement",
    "airline.json": "airline",
    "benchmark.json": "benchmark",
    "bulk.json": "benchmark_bulk",
    "cluster.json": "benchmark_cluster",
    "drawings.json": "measure_drawings",
    "embedding-study.json": "embedding_study",
    "emojifier.json": "emojifier",
    "emojify.json": "calibrate_emojify",
    "five-classes.json": "five_classes",
    "peers.json": "evaluate --own test",
    "second-reading.json": "evaluate --queries assets/second-reading.jsonl",
    "server.json": "benchmark_server",
    "sqam-first.json": "train_sqam --output build/sqam-first",
    "sqam.json": "train_sqam --start 'build/sqam/default-{seed}'",
    "students.json": "students",
    "transfer.json": "transfer",
    "tweeteval.json": "tweeteval",
    "unseen.json": "train_sqam --set before=14",
    "vae-designs.json": "compare_vae",
    "vae.json": "train_vae",
}
"""Results file -> module of ``pipelines`` that writes it; README.md has further options."""


class Figure(NamedTuple):
    """A figure of a results file and how it is shown.

    Attributes:
        file: its name.
        path: keys and places in lists, joined by ``/``; keys may hold a ``/`` themselves.
        form: see `shown`.
        everywhere: whether the file always holds it; else the cell stays empty where it does not.
    """

    file: str
    path: str
    form: str
    everywhere: bool = True


class Row(NamedTuple):
    """A row: what it is, the source's figure, ours (None: an empty cell).

    Attributes:
        label: what is measured.
        cited: key of the table's source in `CITED`, or None where the source has no such figure.
        figures: ours, as many as the table has columns.
    """

    label: str
    cited: str | None
    figures: tuple[Figure | None, ...]


class Each(NamedTuple):
    """A row for each key of an object, without a figure of the source.

    Attributes:
        label: with ``{}`` for the key.
        file: the results file.
        path: of the object in it.
        below: ours: path below the object's values, and form.
    """

    label: str
    file: str
    path: str
    below: tuple[tuple[str, str], ...]


class Table(NamedTuple):
    """A table of the page.

    Attributes:
        title: its heading.
        text: what the source is and what was measured.
        source: key of `CITED`, or None if there is nothing to put beside our figures.
        columns: headings of our figures.
        rows: see `Row` and `Each`.
        picture: name of a picture among the results, or None.
    """

    title: str
    text: str
    source: str | None
    columns: tuple[str, ...]
    rows: tuple[Row | Each, ...]
    picture: str | None = None


def _both(label: str, name: str, form: str, cited: str | None = None) -> Row:
    """A figure of the autoencoder, and the same of the study's and of principal components."""
    paths = ("figures", "preset 2017/figures", "principal components/16")
    figures = tuple(Figure("vae.json", f"{path}/{name}", form) for path in paths)
    return Row(label, cited, figures)


def _components(k: int) -> Row:
    path = f"principal components/{k}"
    return Row(
        f"{k} components",
        f"{k} components",
        (
            Figure("vae.json", f"{path}/variance explained, held out", "1%"),
            Figure("vae.json", f"{path}/found again by twemoji's picture, hit@10", "1%"),
        ),
    )


def _drawn(label: str, name: str, form: str) -> Row:
    parts = ("drafts", "drawings")
    return Row(
        label, None, tuple(Figure("drawings.json", f"figures/{p}/{name}", form) for p in parts)
    )


def _hits(label: str, name: str, cited: str | None = None) -> Row:
    figures = (
        Figure(file, f"{part}/{name}hit@{k}", "1%")
        for file, part in (
            ("sqam.json", "held-out"),
            ("sqam.json", "held-out, compact"),
            ("sqam-first.json", "held-out"),
        )
        for k in (1, 10)
    )
    return Row(label, cited, tuple(figures))


def _right(label: str, kind: str) -> Row:
    figures = (
        Figure("students.json", f"validation/{kind}/{who}/hit@{k}", "1%")
        for who in ("teacher", "students", "mixed")
        for k in (1, 10)
    )
    return Row(label, None, tuple(figures))


def _place(label: str, part: str, kind: str) -> Row:
    path = f"unseen/{part}/{kind}"
    return Row(
        label,
        None,
        (
            Figure("unseen.json", f"{path}/median percentile", "1"),
            Figure("unseen.json", f"{path}/hit@10", "1%"),
        ),
    )


def _classes(label: str, name: str, cited: str | None = None) -> Row:
    parts = ("zero-shot", "tuned", "alone")
    figures = tuple(Figure("five-classes.json", f"figures/{p}/{name}", "1%") for p in parts)
    return Row(label, cited, figures)


def _emojifier(label: str, path: str, form: str, cited: str | None = None) -> Row:
    return Row(label, cited, (Figure("emojifier.json", path, form),))


def _study(measured: str) -> tuple[Row | Each, ...]:
    file = "embedding-study.json"
    rows: list[Row | Each] = []
    for name, title in (("airline", "airline tweets"), ("offensive", "offensive tweets")):
        path = f"sets/{name}/majority/{measured}"
        always = Figure(file, path, "1%")
        rows += [
            Row(f"{title}, always the most frequent class", None, (always, None, None)),
            Each(
                f"{title}, {{}} examples",
                file,
                f"sets/{name}/figures",
                tuple((f"{t}/{measured}", "1%") for t in ("learned", "frozen", "tuned")),
            ),
        ]
    return tuple(rows)


def _tweets(name: str) -> tuple[Row, ...]:
    """The study's three tables, of one tweet of each sentiment, as one."""
    path = f"runs/{name}/three tweets"
    return tuple(
        Row(
            f"{sentiment} tweet",
            None,
            tuple(
                Figure("airline.json", f"{path}/{sentiment}/{e}", "2") for e in ("🎉", "😈", "😡")
            ),
        )
        for sentiment in ("positive", "neutral", "negative")
    )


def _first_ten(sentiment: str) -> Row:
    path = f"runs/all emojis/first 10 of all/{sentiment}"
    names = ("fitting", "rated", "fitting, mean over all tweets")
    figures = (Figure("airline.json", f"{path}/{name}", "1") for name in names)
    return Row(f"{sentiment} tweet", "ranking of all emojis", tuple(figures))


TRANSFERRED = ("TF-IDF", "MiniLM", "new", "last", "full", "chain-thaw", "chain-thaw, n-grams")


def _transferred(name: str, measured: str) -> Row:
    path = f"sets/{name}/figures"
    figures = (Figure("transfer.json", f"{path}/{system}/test", "1%") for system in TRANSFERRED)
    return Row(f"{name}, {measured}", name, tuple(figures))


_OPEN = "milliseconds a text, model open, one core"


def _cold(label: str, name: str, form: str) -> Row:
    figures = (Figure("benchmark.json", f"cold start/{name}/{k}", form)
               for k in ("median", "least", "most"))  # fmt: skip
    return Row(label, f"cold start, {name}", tuple(figures))


def _started(label: str, path: str, form: str, cited: str | None = None) -> Row:
    """What not every machine can measure: a cold disk, or the prototype on NumPy."""
    figures = (Figure("benchmark.json", f"{path}/{k}", form, everywhere=False)
               for k in ("median", "least", "most"))  # fmt: skip
    return Row(label, cited, tuple(figures))


_COLD_DISK = "cold start, cold disk"
_NUMPY = "NumPy alone"


_TIMES = (("times MiniLM torch", "1"), ("times its int8", "1"))


def _bulk(label: str, path: str, form: str) -> Row:
    return Row(label, None, (Figure("bulk.json", path, form),))


def _cluster(label: str, path: str, form: str) -> Row:
    figures = (Figure("cluster.json", f"{way}/{path}", form)
               for way in ("one machine", "1 worker", "2 workers"))  # fmt: skip
    return Row(label, None, tuple(figures))


def _billion(label: str, path: str, form: str) -> Row:
    return Row(label, None, (Figure("cluster.json", f"a billion texts/{path}", form),))


def _load(label: str, path: str, form: str) -> Row:
    figures = (Figure("server.json", f"{phase}/{path}", form)
               for phase in ("first", "overload", "afterwards"))  # fmt: skip
    return Row(label, None, tuple(figures))


SYSTEMS = ("sqam", "popular", "tfidf", "minilm-names", "minilm-keywords", "emoogle")


def _beside(label: str, kind: str, measure: str, file: str = "peers.json") -> Row:
    path = f"figures/by kind/{kind}/systems"
    figures = (Figure(file, f"{path}/{name}/{measure}/value", "1%") for name in SYSTEMS)
    return Row(label, None, tuple(figures))


def _read_again(label: str, kind: str, measure: str) -> Row:
    """What systems, then two readers by each other, reach on the texts of the second reading."""
    systems = _beside(label, kind, measure, "second-reading.json").figures
    readers = (
        Figure("agreement.json", f"figures/{kind}/{name}/{measure}/value", "1%")
        for name in ("book by reader", "reader by book")
    )
    return Row(label, None, (*systems, *readers))


TABLES = (
    Table(
        "Emojis as 16 numbers",
        "The convolutional variational autoencoder, on pictures that no training saw, beside the "
        "study's, trained anew for fewer epochs, and beside 16 principal components of the same "
        "pictures. R² is of a line from the codes to the Emoji Sentiment Ranking; below 0 the mean "
        "of all would do better. The names of new emojis are told by a kernel ridge regression "
        "from the codes to vectors of meaning.",
        EMBEDDED,
        ("ours", "its form of 2017", "16 principal components"),
        (
            _both("emojis whose code is finite", "finite codes", "1%", "finite codes"),
            _both("variance explained", "variance explained, held out", "1%"),
            _both("– of emojis of Unicode 14 and later", "variance explained, new", "1%"),
            _both("found again by Twemoji's picture, hit@10",
                  "found again by twemoji's picture, hit@10", "1%"),
            _both("– by EmojiOne's, which no training saw",
                  "found again by emojione's picture, hit@10", "1%"),
            _both("– by OpenMoji's, which no training saw",
                  "found again by openmoji's picture, hit@10", "1%"),
            _both("meaning of the 5 nearest, cosine", "meaning of the 5 nearest, cosine", "3"),
            _both("sentiment that codes of unseen emojis tell, R²",
                  "sentiment readable, R2", "3"),
            _both("– codes that training saw", "sentiment readable within training, R2", "3"),
            _both("new emojis among all for their names, median percentile",
                  "new emojis by name, median percentile", "1"),
            _both("– hit@10", "new emojis by name, hit@10", "1%"),
        ),
    ),
    Table(
        "Principal components",
        "What a linear code of the pictures keeps; no training, so no seeds.",
        BEFORE,
        ("variance explained, held out", "found again by Twemoji's picture, hit@10"),
        tuple(_components(k) for k in (8, 16, 32, 64)),
    ),
    Table(
        "Other designs of the autoencoder",
        "Each differs from the one that ships in what its name says; all are trained for fewer "
        "epochs than that one.",
        None,
        (
            "variance explained, held out",
            "found again by EmojiOne's picture, hit@10",
            "meaning of the 5 nearest, cosine",
            "sentiment within training, R²",
        ),
        (
            Each(
                "{}",
                "vae-designs.json",
                "designs",
                (
                    ("figures/variance explained, held out", "1%"),
                    ("figures/found again by emojione's picture, hit@10", "1%"),
                    ("figures/meaning of the 5 nearest, cosine", "3"),
                    ("figures/sentiment readable within training, R2", "3"),
                ),
            ),
        ),
        "vae-designs.png",
    ),
    Table(
        "Emojis that did not exist",
        "Drawn from the prior: the decoder's drafts, and the drawings that are finished with the "
        "detail of real emojis. The 2017 study shows its grids and gives no figures.",
        None,
        ("drafts", "drawings"),
        (
            _drawn("no farther from the nearest real code than 95 % of those from each other",
                   "within the real codes' distances", "1%"),
            _drawn("no copy, by pixels and by codes", "no copy", "1%"),
            _drawn("sharpness: edge energy over the real emojis'",
                   "edge energy over the real emojis'", "2"),
            _drawn("a classifier tells them from real ones (50 %: by chance)",
                   "told from real ones", "1%"),
        ),
    ),
    Table(
        "Ranking all emojis for a text",
        "The share of held-out texts for which a right emoji is first, or among the first 10. The "
        "figures beside are hit@10 of all-MiniLM-L6-v2 and TF-IDF on names and keywords, and of "
        "popularity, on other texts of the same kinds and over 1,914 emojis. In int8, which "
        "does not ship: with ONNX Runtime's dynamic quantization. First round: before the training "
        "that begins there and also learns from what the students of that round say.",
        BEFORE,
        ("hit@1", "hit@10", "hit@1 in int8", "hit@10 in int8", "hit@1, first round",
         "hit@10, first round"),
        (
            _hits("names, keywords, tags and descriptions", "phrases/"),
            _hits("– keywords alone", "keyword/", "keywords"),
            _hits("sentences of the phrasebook", "sentences/"),
            _hits("tweets", "tweets/", "tweets, MiniLM"),
            _hits("– always the most popular emojis", "tweets/most popular ", "tweets, popularity"),
        ),
    ),
    Table(
        "Who teaches",
        "How often a right emoji is first, or among the first 10, for texts of the validation "
        "part: by the teacher alone, by the mean of the five students of the first round, and by "
        "both mixed, which is what the second round learns from.",
        None,
        ("teacher, hit@1", "hit@10", "students, hit@1", "hit@10", "mixed, hit@1", "hit@10"),
        (
            _right("sentences of the phrasebook", "sentence"),
            _right("names", "name"),
            _right("keywords", "keyword"),
            _right("tweets", "tweet"),
            _right("tweets of the 20-class task", "labelled tweet"),
        ),
    ),
    Table(
        "Ranking all emojis, beside others",
        "The model that ships and what can be had without training, on the same held-out texts and "
        "the same candidates. What is right for a text: the emojis that the phrasebook names for a "
        "sentence, those that have a keyword, those that were taken out of a tweet; for single "
        "words the phrasebook's first one alone. TF-IDF and MiniLM read names and those keywords "
        "that our training had; Emoogle's keywords are its own. The intervals are in the file.",
        None,
        ("ours", "most popular", "TF-IDF", "MiniLM, names", "MiniLM, names and keywords",
         "Emoogle"),
        (
            _beside("sentences, precision@1", "sentence", "precision@1"),
            _beside("– precision@5", "sentence", "precision@5"),
            _beside("– hit@10", "sentence", "hit@10"),
            _beside("– with a negation, precision@1", "negation", "precision@1"),
            _beside("– irony, precision@1", "irony", "precision@1"),
            _beside("– of feelings, precision@1", "feeling", "precision@1"),
            _beside("single words, the best emoji, hit@1", "word", "hit@1"),
            _beside("– hit@10", "word", "hit@10"),
            _beside("keywords, hit@10", "keyword", "hit@10"),
            _beside("tweets, hit@1", "tweet", "hit@1"),
            _beside("– hit@10", "tweet", "hit@10"),
            _beside("– hit@10, each emoji counted once", "tweet", "macro hit@10"),
        ),
    ),
    Table(
        "What each part of the training gives",
        "Variants of a short training of the question-answer model, alike but for what their name "
        "says; hit@10 on held-out texts.",
        None,
        ("phrases", "keywords", "sentences", "tweets"),
        (
            Each(
                "{}",
                "ablation.json",
                "variants",
                tuple(
                    (f"figures/{group}/hit@10", "1%")
                    for group in ("phrases", "keyword", "sentences", "tweets")
                ),
            ),
        ),
    ),
    Table(
        "What another reader finds fitting",
        "A thousand held-out texts of the phrasebook with up to five emojis each by a reader who "
        "did not write them and saw the texts alone. Beside the systems: the phrasebook's lists by "
        "that reader's, and that reader's by the phrasebook's, which is as good as one can expect "
        "a ranking to be there.",
        None,
        ("ours", "most popular", "TF-IDF", "MiniLM, names", "MiniLM, names and keywords",
         "Emoogle", "phrasebook", "reader, by the phrasebook"),
        tuple(
            _read_again(label, kind, measure)
            for label, kind, measure in (
                ("sentences, precision@1", "sentence", "precision@1"),
                ("– precision@5", "sentence", "precision@5"),
                ("– hit@5", "sentence", "hit@5"),
                ("single words, precision@1", "word", "precision@1"),
                ("– precision@5", "word", "precision@5"),
                ("– hit@5", "word", "hit@5"),
            )
        ),
    ),
    *(
        Table(
            f"TweetEval's 20 emojis, {variant}",
            f"{text} By cosine among the 20, on the validation part; the tuned model's settings "
            "were chosen on it.",
            None,
            ("accuracy", "macro-F1", "macro-F1 of those that do not stand in train too"),
            (
                Each("{}", "tweeteval.json", f"figures/{variant}",
                     (("accuracy", "1%"), ("macro-F1", "1%"), ("macro-F1, not in train", "1%"))),
            ),
        )
        for variant, text in (
            ("leak-free", "Without U+FE0F, which tells the red heart and the sun."),
            ("as published", "With it."),
        )
    ),
    Table(
        "Ranking emojis that no training saw",
        "Trained as if the emojis of Unicode 14 and later had not been released: where they rank "
        "among all for their own names and keywords; and where all rank by a vendor's pictures "
        "that no training saw. Percentile: 100 is first, 50 by chance. By the recipe before the "
        "teacher.",
        None,
        ("median percentile", "hit@10"),
        (
            _place("new emojis, names", "of their own words", "names"),
            _place("new emojis, keywords", "of their own words", "keywords"),
            _place("EmojiOne's pictures, names", "by a vendor that no training saw", "names"),
            _place("EmojiOne's pictures, keywords", "by a vendor that no training saw", "keywords"),
        ),
    ),
    Table(
        "Emojifier",
        "The baselines: V1, a softmax over the mean of a sentence's GloVe-50 vectors, repeated to "
        "the last digit; V2, two LSTMs of 128 over the same vectors, by the course's recipe and by "
        "one that cross-validation within the 132 training sentences chose.",
        EMOJIFIER,
        ("ours",),
        (
            *(
                _emojifier(f"V1, cost, epoch {100 * at}", f"V1/log/{at}/cost", "8",
                           f"V1, cost, epoch {100 * at}")
                for at in range(4)
            ),
            _emojifier("V1, train accuracy", "V1/train accuracy", "3%", "V1, train"),
            _emojifier("V1, test accuracy", "V1/test accuracy", "3%", "V1, test"),
            _emojifier("– without sentences that stand in train",
                       "V1/test accuracy, without sentences of train", "1%"),
            _emojifier("V2, parameters", "V2/course/parameters", ",0", "V2, parameters"),
            _emojifier("– trainable ones", "V2/course/trainable parameters", ",0",
                       "V2, trainable parameters"),
            _emojifier("V2 by the course's recipe, test accuracy", "V2/course/test accuracy", "1%",
                       "V2, test"),
            _emojifier("V2 by our recipe, test accuracy", "V2/ours/test accuracy", "1%"),
            _emojifier("– without sentences that stand in train",
                       "V2/ours/test accuracy, without sentences of train", "1%"),
        ),
    ),
    Table(
        "Five classes by cosine",
        "The Emojifier's 132 training and 56 test sentences, among ❤️ ⚾ 😄 😞 🍴 through the one "
        "scoring path, without softmax or head: the model that ships as it is, tuned on the "
        "training sentences, and trained on nothing else. Five test sentences stand in train too.",
        EMOJIFIER,
        ("zero-shot", "tuned", "trained on nothing else"),
        (
            _classes("test accuracy", "test", "best, test"),
            _classes("– without those that stand in train", "test, not in train"),
            _classes("train accuracy", "train"),
            _classes("sentences with a negation and the like that are read rightly",
                     "readings right"),
        ),
    ),
    Table(
        "The least cosine of `sqam emojify`",
        "Below it a sentence gets no emoji. Chosen on validation texts by F0.5; ± is the spread "
        "over resampled texts.",
        None,
        ("cosine",),
        (
            Row("chosen", None, (Figure("emojify.json", "minimum score", "2"),)),
            Row("of resampled texts", None, (Figure("emojify.json", "resampled", "2"),)),
        ),
    ),
    Table(
        "What it does to validation texts",
        "The share of the emojis that are right, of all and of those that reach the least cosine; "
        "the share of texts with an emoji; and how well the cosine tells right from wrong (0.5: by "
        "chance).",
        None,
        ("texts", "right, of all", "right, of those kept", "with an emoji", "area under the curve"),
        (
            Each(
                "{}",
                "emojify.json",
                "figures",
                (
                    ("texts", ",0"),
                    ("without a threshold/precision", "1%"),
                    ("at the chosen one/precision", "1%"),
                    ("at the chosen one/coverage", "1%"),
                    ("area under the curve", "2"),
                ),
            ),
        ),
    ),
    Table(
        "Transfer to sentiment, emotion and sarcasm",
        "DeepMoji's benchmark on its splits, of 200 to 900 training texts each. \"new\" is our "
        "network without any training before, \"last\" a new last layer over its features as they "
        "are, \"full\" all of it tuned at once, \"chain-thaw\" layer by layer and then at once. "
        "TF-IDF and MiniLM are logistic regressions. F1: of one class at a time, their mean. "
        "Thresholds and settings were chosen on the validation parts. DeepMoji was trained on "
        "1,246 million tweets; its figures were not checked against the paper.",
        DEEPMOJI,
        TRANSFERRED,
        tuple(
            _transferred(name, measured)
            for name, measured in (
                ("SE0714", "F1"),
                ("Olympic", "F1"),
                ("PsychExp", "F1"),
                ("SS-Twitter", "accuracy"),
                ("SS-Youtube", "accuracy"),
                ("SCv1", "F1"),
            )
        ),
    ),
    Table(
        "Airline tweets: the loss of the study",
        "Lowest validation loss of an epoch: triplets of a tweet, its emoji of 🎉 😈 😡 and one of "
        "the others, 5,000 tweets drawn anew by each seed, a fifth of them kept aside.",
        EMBEDDED,
        ("ours",),
        (
            Row("the study's model, one other emoji a triplet", "validation loss",
                (Figure("airline.json", "targets/lowest validation loss, 2017", "4"),)),
            Row("– both others", None,
                (Figure("airline.json", "targets/lowest validation loss, 2017, both others",
                        "4"),)),
        ),
        "airline/losses.png",
    ),
    Table(
        "Airline tweets: accuracy",
        "🎉 positive, 😈 neutral, 😡 negative, by cosine, on a held-out fifth (repeated texts on "
        "one side). From \"bi-LSTM\" to \"with both\" the text side alone differs. \"ours\" starts "
        "from the networks that ship, and a sentence encoder tuned on the training tweets teaches "
        "it; how much of that it heeds was chosen on a validation part.",
        None,
        ("accuracy", "macro-F1"),
        (
            Each("{}", "airline.json", "baselines",
                 (("accuracy", "1%"), ("macro-F1", "1%"))),
            Each("{}", "airline.json", "runs", (("accuracy", "1%"), ("macro-F1", "1%"))),
        ),
    ),
    Table(
        "Airline tweets: three tweets, the study's model",
        "Cosines of one held-out tweet of each sentiment with the three emojis. The study's tables "
        "are of other tweets.",
        None,
        ("🎉", "😈", "😡"),
        _tweets("2017"),
    ),
    Table(
        "Airline tweets: three tweets, ours",
        "The same tweets.",
        None,
        ("🎉", "😈", "😡"),
        _tweets("ours"),
    ),
    Table(
        "Airline tweets: all emojis",
        "How many of the first 10 of all emojis have the tweet's sentiment by the Emoji Sentiment "
        "Ranking, how many are in it at all, and the first on average over all held-out tweets of "
        "the sentiment. Which emojis are trained as of a sentiment, EmoTag1200 says; "
        "how many of them was chosen after a look at how far the two agree. The picture has the "
        "first of all and of generated emojis.",
        EMBEDDED,
        ("of the tweet's sentiment", "in the ranking", "of their sentiment, all tweets"),
        tuple(_first_ten(sentiment) for sentiment in ("positive", "neutral", "negative")),
        "airline/rankings.png",
    ),
    Table(
        "Embeddings learned with the task or before: accuracy",
        "Deep Learning with Python (2018), section 6.1: embedding, flatten, dense 32, 10 epochs. "
        "The book has 200 film reviews (`--imdb FOLDER` repeats it on them); these are tweets. The "
        "settings are the book's, but padding is a zero vector throughout. Bands: one standard "
        "deviation.",
        None,
        ("learned with the task", "GloVe, frozen", "GloVe, then tuned"),
        _study("accuracy"),
        "embedding-study.png",
    ),
    Table(
        "Embeddings learned with the task or before: macro-F1",
        "The same runs; the classes are of different size.",
        None,
        ("learned with the task", "GloVe, frozen", "GloVe, then tuned"),
        _study("macro-F1"),
    ),
    Table(
        "Time and memory",
        "`sqam rank` with one sentence in a new process, beside a first draft of the same network "
        "in ONNX Runtime. Times hold for the machine at hand alone.",
        BEFORE,
        ("median", "least", "most"),
        (
            _cold("cold start, seconds", "seconds", "3"),
            _cold("memory at its peak, MB", "megabytes", "0"),
            _started("cold start with a cold disk, seconds", f"{_COLD_DISK}/seconds", "3"),
            _started("– MB read from it", f"{_COLD_DISK}/megabytes read", "1"),
            _started("– MB of its files that stayed in memory",
                     f"{_COLD_DISK}/megabytes that stayed", "1"),
            _started("by a prototype on NumPy alone: cold start, seconds",
                     f"{_NUMPY}/cold start/seconds", "3", "NumPy, seconds"),
            _started("– memory at its peak, MB", f"{_NUMPY}/cold start/megabytes", "0",
                     "NumPy, megabytes"),
            _started("– cold start with a cold disk, seconds", f"{_NUMPY}/{_COLD_DISK}/seconds",
                     "3"),
            _started("– – MB read from it", f"{_NUMPY}/{_COLD_DISK}/megabytes read", "1"),
            _started("– – MB of its files that stayed in memory",
                     f"{_NUMPY}/{_COLD_DISK}/megabytes that stayed", "1"),
            Row("one sentence with the model open, one core, milliseconds; what 99 % stay below",
                None, (Figure("benchmark.json", f"{_OPEN}/median", "2"), None,
                       Figure("benchmark.json", f"{_OPEN}/99 %", "2"))),
        ),
    ),
    Table(
        "One text, beside MiniLM",
        "From the text to the first 10 emojis with the model open, one core, one thread. MiniLM is "
        "all-MiniLM-L6-v2, which ranks by the names of the emojis: by sentence-transformers, and "
        "by ONNX Runtime. Tokens are ours. Ratios: how many times as fast as MiniLM in torch, and "
        "as MiniLM in int8. Times hold for the machine at hand alone.",
        None,
        ("milliseconds", "10 % stay below", "90 % stay below", "times MiniLM", "times its int8"),
        tuple(
            Each(f"{tokens} tokens, {{}}", "bulk.json", f"one text, milliseconds/{tokens} tokens",
                 (("median", "3"), ("10 %", "3"), ("90 %", "3"), *_TIMES))
            for tokens in (8, 20)
        ),
    ),
    Table(
        "Many texts, beside MiniLM",
        "Texts a second, from the texts to the first 10 emojis, on one core; of the texts as many "
        "as a system ranks in the time that it gets.",
        None,
        ("texts a second", "texts", "times MiniLM", "times its int8"),
        tuple(
            Each(f"{count:,} texts, {{}}", "bulk.json", f"ranked, texts a second/{count} texts",
                 (("median", ",0"), ("texts", ",0"), *_TIMES))
            for count in (256, 4096)
        ),
    ),
    Table(
        "Many texts, ours",
        "Texts a second, of 100,000. From file to file: the command `sqam rank`, its start "
        "included. The floor is the time that one core needs for the multiplications of the "
        "question network, at the speed of a large matrix product.",
        None,
        ("ours",),
        (
            _bulk("ranked, one core", "ranked, texts a second/100000 texts/ours/median", ",0"),
            _bulk("result objects, one core", "result objects, texts a second/100000/median",
                  ",0"),
            _bulk("sentence features, one core",
                  "sentence features, texts a second/100000/median", ",0"),
            _bulk("file to file, one core", "file to file/1 core/texts a second/median", ",0"),
            _bulk("file to file, two cores", "file to file/2 cores/texts a second/median", ",0"),
            _bulk("– times one core", "file to file/two cores over one", "2"),
            _bulk("the floor", "floor/texts a second", ",0"),
            _bulk("– share that the question network reaches",
                  "floor/share that is reached/question network", "0%"),
            _bulk("– with the word vectors looked up",
                  "floor/share that is reached/with the vectors looked up", "0%"),
            _bulk("– with the tokenizer, too", "floor/share that is reached/encoder", "0%"),
            _bulk("– from file to file", "floor/share that is reached/file to file", "0%"),
            *(_bulk(f"memory of `sqam rank` over 5 million lines, MB: up to {when}",
                    f"memory/megabytes at the peak, up to/{when}", "0")
              for when in ("a quarter", "half", "the end")),
            *(_bulk(f"– two cores, all processes: up to {when}",
                    f"memory/2 cores/megabytes at the peak, up to/{when}", "0")
              for when in ("a quarter", "half", "the end")),
        ),
    ),
    Table(
        "What many texts spend their time on",
        "From file to file on one core, within one process.",
        None,
        ("microseconds a text", "share"),
        (Each("{}", "bulk.json", "parts/parts",
              (("microseconds a text", "1"), ("share", "0%"))),),
    ),
    Table(
        "Many candidates",
        "Ranking texts among codes that are drawn at random, exactly, on one core.",
        None,
        ("milliseconds, one text", "milliseconds, 256 texts", "MB at the peak"),
        (Each("{} candidates", "bulk.json", "candidates",
              (("milliseconds, one text/median", "2"), ("milliseconds, 256 texts/median", "1"),
               ("megabytes at the peak", "0"))),),
    ),
    Table(
        "Many candidates, by an approximate index",
        "Faiss's indexes, which look as far as they must to find 95 % of the first 10. "
        "Milliseconds are of the search alone, a text, of 256 at once. From how many texts on an "
        "index pays for its making, the file says.",
        None,
        ("seconds to build", "milliseconds", "exactly", "recall@10"),
        tuple(
            Each(f"{count} candidates, {{}}", "bulk.json", f"candidates/{count}/indexes",
                 (("seconds to build", "2"), ("milliseconds a text, 256 at once", "3"),
                  ("milliseconds a text, exact, 256 at once", "3"), ("recall@10", "1%")))
            for count in ("1,000", "10,000", "100,000", "1,000,000")
        ),
    ),
    Table(
        "A file on a Ray cluster",
        "The command `sqam rank` over one file: without a cluster, in one process on one core; and "
        "with one worker and with two of a Ray cluster, whose two nodes run on the same machine "
        "and share its processors with their workers. All write the same bytes. The start: what "
        "the command takes for a line a worker. Times hold for the machine at hand alone.",
        None,
        ("one machine", "one worker", "two workers"),
        (
            _cluster("seconds", "seconds/median", "1"),
            _cluster("seconds to start", "seconds to start/median", "1"),
            _cluster("texts a second", "texts a second", ",0"),
            _cluster("texts a second, the start left out", "texts a second, the start left out",
                     ",0"),
            *(Row(f"times one worker, {how}", None,
                  (None, None, Figure("cluster.json", f"2 workers over one/{how}", "2")))
              for how in ("whole command", "the start left out")),
            *(Row(f"times one machine, {how}", None,
                  (None, Figure("cluster.json", f"one worker over one machine/{how}", "2"), None))
              for how in ("whole command", "the start left out")),
            Row("shards", None, (None, Figure("cluster.json", "1 worker/shards", "0"),
                                 Figure("cluster.json", "2 workers/shards", "0"))),
        ),
    ),
    Table(
        "What a billion sentences would cost",
        "Multiplied from the speeds above without the start, and from the bytes that were read and "
        "written: sentences as short as the phrasebook's, ten matches each, processors of this "
        "kind.",
        None,
        ("ours",),
        (
            _billion("hours of a core, without a cluster", "core hours/one machine", "1"),
            _billion("hours of a core, as a worker of a cluster", "core hours/cluster", "1"),
            _billion("workers that take an hour", "workers that take an hour", "0"),
            _billion("TB to read", "TB/in", "3"),
            _billion("TB to write, as JSON lines", "TB/out, JSON lines", "3"),
            _billion("TB to write, as Parquet", "TB/out, Parquet", "3"),
        ),
    ),
    Table(
        "The service under load",
        "`sqam serve`, asked over loopback by a second process to rank all emojis for one text "
        "after the other, at even times whether earlier requests have been answered or not: at "
        "the rate that it should bear, at five times that, where what is too much is turned away, "
        "and at the first rate again. Both processes share the processors. Times hold for the "
        "machine at hand alone.",
        None,
        ("first", "overload", "afterwards"),
        (
            _load("requests a second", "requests a second", "0"),
            _load("answered with 200 a second", "answered with 200 a second", "1"),
            _load("neither 200 nor 429", "errors", "0"),
            _load("milliseconds to a 200: median", "milliseconds/median", "1"),
            _load("what 99 % stay below", "milliseconds/99 %", "1"),
            Row("seconds to full speed after the overload", None,
                (None, None, Figure("server.json", "seconds to full speed", "1"))),
            Row("memory, MB: before, after the first, after the overload", None,
                tuple(Figure("server.json", f"megabytes/{when}", "0")
                      for when in ("before", "after the first", "after the overload"))),
        ),
    ),
)  # fmt: skip
"""The page, from top to bottom."""


def at(found: Any, path: str) -> Any:
    """Return what a results file holds at a path.

    Args:
        found: the file's content.
        path: keys and places in lists, joined by ``/``. A key may hold a ``/`` itself.

    Raises:
        InputError: there is nothing.
    """
    reached = _at(found, path.split("/"))
    if reached is _NOTHING:
        raise InputError(f"there is no figure {path!r}; mend its path")
    return reached


_NOTHING = object()


def _at(found: Any, parts: Sequence[str]) -> Any:
    if not parts:
        return found
    if isinstance(found, list):
        fits = parts[0].isdecimal() and int(parts[0]) < len(found)
        return _at(found[int(parts[0])], parts[1:]) if fits else _NOTHING
    if not isinstance(found, dict):
        return _NOTHING
    for end in range(1, len(parts) + 1):
        key = "/".join(parts[:end])
        if key in found and (reached := _at(found[key], parts[end:])) is not _NOTHING:
            return reached
    return _NOTHING


def shown(figure: Any, form: str) -> str:
    """Return a figure as text: ``12.3 %``, or ``12.3 ± 0.4 %`` for several seeds.

    Args:
        figure: a number, or what `pipelines.results.spread` returns.
        form: number of decimals, with ``,`` before it for thousands that are set apart, and with
            ``%`` behind it for a share that is shown as a percentage.

    Raises:
        InputError: it is neither.
    """
    several = isinstance(figure, dict) and {"mean", "sd"} <= set(figure)
    numbers = [figure["mean"], figure["sd"]] if several else [figure]
    if several and figure["sd"] is None:
        del numbers[1]
    if any(isinstance(n, bool) or not isinstance(n, int | float) for n in numbers):
        raise InputError(f"{figure!r:.60} is no figure; mend its path")
    percent, thousands = form.endswith("%"), "," if form.startswith(",") else ""
    scale, decimals = 100 if percent else 1, int(form.strip(",%"))
    text = " ± ".join(f"{number * scale:{thousands}.{decimals}f}" for number in numbers)
    return f"{text} %" if percent else text


class Folder:
    """The results files of a folder.

    Attributes:
        missing: names of files that were asked for and are not there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, Any] = {}
        self.missing: dict[str, None] = {}

    def __call__(self, name: str) -> Any:
        """Return a file's content, None if it is not there.

        Raises:
            InputError: it is no JSON object.
        """
        if name not in self._read:
            path = self._folder / name
            if not path.exists():
                self.missing[name] = None
                return None
            try:
                self._read[name] = json.loads(path.read_text(encoding="utf-8"))
                if not isinstance(self._read[name], dict):
                    raise ValueError("it is no object")
            except (OSError, ValueError) as error:
                raise InputError(f"cannot read {str(path)!r}: {error}; write it again") from error
        return self._read[name]

    def holds(self, figure: Figure) -> bool:
        """Tell whether there is such a figure, in a file that is there."""
        return _at(self(figure.file), figure.path.split("/")) is not _NOTHING

    def figure(self, name: str, path: str) -> Any:
        """Return what stands at a path of a file that is there.

        Raises:
            InputError: the path is wrong; names it and the file.
        """
        try:
            return at(self(name), path)
        except InputError as error:
            raise InputError(f"{name!r}: {error}") from error


def _rows(row: Row | Each, folder: Folder) -> list[Row]:
    if isinstance(row, Row):
        return [row]
    if folder(row.file) is None:
        return []
    keys = folder.figure(row.file, row.path)
    if not isinstance(keys, dict):
        raise InputError(f"{row.file!r}: {row.path!r} has no keys; mend its path")
    return [
        Row(
            row.label.format(key),
            None,
            tuple(Figure(row.file, f"{row.path}/{key}/{below}", form) for below, form in row.below),
        )
        for key in keys
    ]


def _cells(row: Row, folder: Folder) -> tuple[list[str], str]:
    """Return a row's figures as text, "" where there is none, and the number of seeds."""
    cells, seeds = [], set()
    for figure in row.figures:
        if (
            figure is None
            or folder(figure.file) is None
            or not (figure.everywhere or folder.holds(figure))
        ):
            cells.append("")
            continue
        value = folder.figure(figure.file, figure.path)
        try:
            cells.append(shown(value, figure.form))
        except InputError as error:
            raise InputError(f"{figure.file!r}, {figure.path!r}: {error}") from error
        if isinstance(value, dict) and "values" in value:
            seeds.add(len(value["values"]))
    return cells, " / ".join(str(count) for count in sorted(seeds))


def section(table: Table, folder: Folder) -> list[str]:
    """Return a table's lines of Markdown with heading and commands; none without any figure.

    Raises:
        InputError: a figure that its file does not hold, or a file without its command.
    """
    rows = [row for each in table.rows for row in _rows(each, folder)]
    found = [(row, *_cells(row, folder)) for row in rows]
    found = [(row, cells, seeds) for row, cells, seeds in found if any(cells)]
    if not found:
        return []
    heads = ["", *([table.source] if table.source else []), *table.columns]
    trained = any(seeds for _, _, seeds in found)
    lines = []
    for row, cells, seeds in found:
        cited = [CITED[table.source][row.cited] if row.cited else ""] if table.source else []
        lines.append([row.label, *cited, *cells, *([seeds] if trained else [])])
    heads += ["seeds"] if trained else []
    names = dict.fromkeys(f.file for row in rows for f in row.figures if f is not None)
    commands = [
        f"- `{name}`: `{folder.figure(name, 'command')}`"
        for name in names
        if folder(name) is not None
    ]
    drawn = [] if table.picture is None else [f"![{table.title}]({table.picture})", ""]
    return [
        f"## {table.title}",
        "",
        table.text,
        "",
        f"| {' | '.join(heads)} |",
        f"|---|{'---:|' * (len(heads) - 1)}",
        *(f"| {' | '.join(line)} |" for line in lines),
        "",
        *drawn,
        *commands,
        "",
    ]


def page(results: Path, tables: Sequence[Table], partial: bool = False) -> str:
    """Return the page in Markdown.

    Args:
        results: folder of the results files.
        tables: what is on it.
        partial: leave out the figures of files that are not there and say so, rather than fail.

    Raises:
        InputError: a file is missing (unless ``partial``) or damaged, or lacks a figure.
    """
    folder = Folder(results)
    for name in dict.fromkeys(name for table in tables for name in _files(table)):
        folder(name)
    if folder.missing and not partial:
        wanted = ", ".join(f"{name!r} ({_writer(name)})" for name in folder.missing)
        raise InputError(
            f"{str(results)!r} lacks {wanted}; run what writes it, or leave it out with --partial"
        )
    lines = [
        "# Results",
        "",
        "Written by `python -m pipelines.results_page` from the files of this folder; not to be "
        "edited. Figures are means, with ± one standard deviation where there are several seeds. "
        "Each file also has the settings, the seeds with their values, the hashes of the data and "
        "the versions.",
        "",
    ]
    for table in tables:
        lines += section(table, folder)
    if folder.missing:
        lines += ["Not there yet:", ""]
        lines += [f"- `{name}`: `{_writer(name)}`" for name in folder.missing]
        lines.append("")
    return "\n".join(lines)


def _files(table: Table) -> list[str]:
    return [
        name
        for row in table.rows
        for name in (
            [row.file] if isinstance(row, Each) else [f.file for f in row.figures if f is not None]
        )
    ]


def _writer(name: str) -> str:
    return f"python -m pipelines.{WRITTEN_BY[name]}"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.results_page", description=__doc__)
    parser.add_argument(
        "--results", type=Path, default=asset("results"), metavar="FOLDER", help="of their files"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="default: README.md in that folder"
    )
    parser.add_argument(
        "--partial", action="store_true", help="leave out results that are not there"
    )
    return run(parser.prog, lambda: _write(parser.parse_args(argv)))


def _write(options: argparse.Namespace) -> None:
    text = page(options.results, TABLES, options.partial)
    output = options.output or options.results / "README.md"
    with replacing(output, "w") as file:
        file.write(text)
    print(f"wrote {output}")


if __name__ == "__main__":
    sys.exit(main())
