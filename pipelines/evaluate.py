"""Measures of a ranking, and a command that measures ours and its peers on labelled queries.

    python -m pipelines.evaluate --queries sentences.jsonl --output build/sentences.json
    python -m pipelines.evaluate --queries a.jsonl b.jsonl --peers tfidf emoogle
    python -m pipelines.evaluate --own dev          # the validation part of our own texts

A query is a line {"text": "so tired", "good": ["😴", "🥱"], "kind": "feeling"}; "kind" may be
left out. Every system ranks the same candidates, all emojis or those of --among, for every query:

    precision@k  share of good ones among the first k
    hit@k        whether a good one is among the first k
    MRR          1 / rank of the first good one
    nDCG@10      discounted cumulative gain of the first 10 (a good one gains 1), over the best
                 possible one
    macro hit@10 the mean over the emojis that are good anywhere, each once however often it is, of
                 the share of its queries that have it among the first 10

The others are means over queries. All have a 95 % bootstrap interval over queries, by percentiles;
that of macro hit@10, whose resamples lack rare emojis, is moved so that its mean is the figure.
Equal scores keep the order of the catalogue. A query that a system has no answer to, such as a text
without a known word, is a miss of its.

What gives emojis away that were taken out of a text (U+FE0F, U+200D) is removed from it and white
space is folded, unless --as-is.

The own sets are parts of `pipelines.phrases`: sentences of the phrasebook, keywords and tweets, the
part that choices are made on (dev) or the held-out one (test). Sentences with a negation count
under "negation" too, those of irony.jsonl under "irony", those of the files about feelings under
"feeling". Single words that the phrasebook has are asked once more under "word", where its first
emoji alone is good. For the own sets the peers that read keywords get those of the training part
alone, as our model does.
"""

import argparse
import contextlib
import dataclasses
import importlib.metadata
import json
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.metrics import accuracy_score, f1_score

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, check_target, model_folder, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import check_phrasebook, peers, phrases, results, sources
from sqam.scorer import Scorer
from sqam.text import tokenize


def best(scores: np.ndarray, k: int) -> np.ndarray:
    """Return the columns of each row's best ``k`` scores, int (n, k), ties to the earlier one."""
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


def hits(scores: np.ndarray, correct: Sequence[Iterable[int]], k: int) -> float:
    """Return the share of rows, in [0, 1], with a correct column among their best ``k``.

    Args:
        scores: float (n, n_answers).
        correct: for each row its correct columns.
        k: how many count.
    """
    return hits_in(best(scores, k), correct)


def hits_in(ranked: np.ndarray, correct: Sequence[Iterable[int]]) -> float:
    """Return the share of rows, in [0, 1], of ``ranked`` (n, k) that hold a correct column."""
    found = [bool(set(row) & set(c)) for row, c in zip(ranked.tolist(), correct, strict=True)]
    return float(np.mean(found))


def ahead(scores: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Return how many columns come before each row's right one, float (n,).

    Ties count half: a column that cannot be told from all others is in the middle.

    Args:
        scores: float (n, n_answers).
        right: int (n,), the right column of each row.
    """
    own = scores[np.arange(len(scores)), right][:, np.newaxis]
    return (scores > own).sum(axis=1) + ((scores == own).sum(axis=1) - 1) / 2


def places(ahead: np.ndarray, n_answers: int) -> dict[str, float]:
    """Return the median percentile (100: first, 0: last, 50 by chance) and the hits in 10.

    Args:
        ahead: float (n,), see the function of that name.
        n_answers: number of columns.
    """
    return {
        "median percentile": float(np.median(100 * (1 - ahead / (n_answers - 1)))),
        "hit@10": float((ahead < 10).mean()),
    }


def quality(answers: Any, labels: Any, n_classes: int) -> dict[str, float]:
    """Return accuracy and macro-F1, in [0, 1], of a classification.

    Args:
        answers: int (n,); -1 is none, and wrong.
        labels: int (n,), n at least 1. A class without any counts as an F1 of 0.
        n_classes: how many classes there are.
    """
    classes = list(range(n_classes))
    macro = f1_score(labels, answers, labels=classes, average="macro", zero_division=0)
    return {"accuracy": float(accuracy_score(labels, answers)), "macro-F1": float(macro)}


def ranks(scores: np.ndarray, correct: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """Return for each row the ranks of its correct columns, float, from 1.

    Ties go to the earlier column, as in `best`; where the score is -inf there is no rank: inf.

    Args:
        scores: float (n, n_answers).
        correct: for each row its correct columns.
    """
    found = []
    for row, columns in zip(scores, correct, strict=True):
        place = np.empty(len(row))
        place[best(row[np.newaxis], len(row))[0]] = np.arange(1, len(row) + 1)
        place[np.isneginf(row)] = np.inf
        found.append(place[list(columns)])
    return found


def measures(ranked: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Return precision@1 and 5, hit@1, 5 and 10, reciprocal rank and nDCG@10, each float (n,).

    Args:
        ranked: for each query the ranks of its correct answers, at least one, see `ranks`.
    """
    found = {
        f"precision@{k}": np.array([(row <= k).sum() / k for row in ranked], dtype=float)
        for k in (1, 5)
    }
    for k in (1, 5, 10):
        found[f"hit@{k}"] = np.array([(row <= k).any() for row in ranked], dtype=float)
    found["MRR"] = np.array([1 / row.min() for row in ranked])
    gains = [(1 / np.log2(row[row <= 10] + 1)).sum() for row in ranked]
    ideal = [(1 / np.log2(np.arange(min(10, len(row))) + 2)).sum() for row in ranked]
    found["nDCG@10"] = np.array(gains) / np.array(ideal)
    return found


class Pairs(NamedTuple):
    """Each query with each of its correct answers.

    Attributes:
        query: int (n_pairs,), row of the query.
        answer: int (n_pairs,), column of the answer.
        hit: bool (n_pairs,), whether that answer is among the first k.
    """

    query: np.ndarray
    answer: np.ndarray
    hit: np.ndarray


def pairs(ranked: Sequence[np.ndarray], correct: Sequence[Sequence[int]], k: int) -> Pairs:
    """Return the pairs of queries and correct answers; for the arguments see `ranks`."""
    query = np.repeat(np.arange(len(correct)), [len(columns) for columns in correct])
    return Pairs(query, np.concatenate([*map(np.asarray, correct)]), np.concatenate(ranked) <= k)


def macro_hits(found: Pairs, counts: np.ndarray) -> float:
    """Return the mean over the answers of the share, in [0, 1], of their queries that are hits.

    Args:
        found: the pairs.
        counts: (n_queries,), how often each query counts; at least one counts.
    """
    weight = counts[found.query]
    asked = np.bincount(found.answer, weight)
    hit = np.bincount(found.answer, weight * found.hit)
    return float((hit[asked > 0] / asked[asked > 0]).mean())


@dataclasses.dataclass(frozen=True)
class EvaluationSettings:
    """How sure the figures are.

    Attributes:
        resamples: of the queries, with replacement; the same ones for every system.
        confidence: of the intervals.
        seed: of the resampling.
    """

    resamples: int = 1000
    confidence: float = 0.95
    seed: int = 0


def summary(
    ranked: Sequence[np.ndarray], correct: Sequence[Sequence[int]], settings: EvaluationSettings
) -> dict[str, dict[str, Any]]:
    """Return each measure's value over the queries and its bootstrap interval.

    The interval of the macro measure is moved, so that the resamples' mean is the value: they lack
    answers that are seldom correct, which are harder than the others.

    Args:
        ranked: for each query the ranks of its correct answers, see `ranks`.
        correct: for each query its correct answers, each once, at least one.
        settings: of the bootstrap.

    Returns:
        Name of a measure -> {"value": ..., "interval": [low, high]}, in [0, 1], rounded to 5
        digits.
    """
    of_queries = measures(ranked)
    table = np.stack(list(of_queries.values()), axis=1)
    found = pairs(ranked, correct, 10)

    def means(counts: np.ndarray) -> np.ndarray:
        return np.append(counts @ table / counts.sum(), macro_hits(found, counts))

    n = len(correct)
    rng = np.random.default_rng(settings.seed)
    resamples = (rng.integers(n, size=n) for _ in range(settings.resamples))
    drawn = np.array([means(np.bincount(rows, minlength=n)) for rows in resamples])
    value = means(np.ones(n))
    drawn[:, -1] = np.clip(drawn[:, -1] + value[-1] - drawn[:, -1].mean(), 0, 1)
    tail = (1 - settings.confidence) / 2
    low, high = np.quantile(drawn, [tail, 1 - tail], axis=0)
    return {
        name: {"value": round(figure, 5), "interval": [round(at[i], 5) for at in (low, high)]}
        for i, (name, figure) in enumerate(
            zip([*of_queries, "macro hit@10"], value.tolist(), strict=True)
        )
    }


class Query(NamedTuple):
    """A text, the catalogue rows of the emojis that fit it, each once, and the kinds it is of."""

    text: str
    good: tuple[int, ...]
    kinds: tuple[str, ...] = ()


def read_queries(path: Path) -> list[Query]:
    """Read lines {"text": ..., "good": [...], "kind": ...}; blank ones are skipped.

    Raises:
        InputError: the file cannot be read or holds no query, or a line is none.
    """
    try:
        content = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{str(path)!r} is not UTF-8; write it as UTF-8") from error
    except OSError as error:
        raise InputError(
            f"cannot read {str(path)!r}: {error.strerror}; name a .jsonl file of queries"
        ) from error
    found = []
    # JSON may hold other line ends in its strings.
    for number, line in enumerate(content.split("\n"), start=1):
        if line.strip():
            try:
                found.append(_query(line))
            except InputError as error:
                raise InputError(f"line {number} of {str(path)!r}: {error}") from error
    if not found:
        raise InputError(f"{str(path)!r} holds no query; write one object a line")
    return found


def _query(line: str) -> Query:
    form = 'write {"text": "...", "good": ["..."]}, and "kind" if it has one'
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"no JSON; {form}") from error
    if not isinstance(entry, dict) or not {"text", "good"} <= set(entry):
        raise InputError(f"no object with text and good; {form}")
    text, good, kind = entry["text"], entry["good"], entry.get("kind")
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"the text is no string or is blank; {form}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError("the text is not valid Unicode; remove its lone surrogates") from error
    if not isinstance(good, list) or not good:
        raise InputError("good is no list or is empty; name at least one emoji")
    if kind is not None and (not isinstance(kind, str) or not kind.strip()):
        raise InputError("the kind is no string or is blank; give it a name or leave it out")
    rows = dict.fromkeys(catalogue().index(emoji) for emoji in good)
    return Query(text, tuple(rows), () if kind is None else (kind,))


PARTS = {"dev": "validation", "test": "held-out"}
"""What ``--own`` takes, and the split of the phrases that it means."""

OWN_KINDS = ("sentence", "keyword", "tweet")

SPECIAL = {
    "irony": ("irony",),
    "feeling": ("affection", "feelings", "gladness", "letdown", "moods", "sentiment"),
}
"""Further kind of a sentence -> the phrasebook's files whose sentences are of it."""


def own_queries(part: str, data: Path) -> list[Query]:
    """Return our own sentences, keywords, tweets and words of a part, ``dev`` or ``test``.

    Raises:
        InputError: data are missing.
    """
    special = {
        kind: {
            line.tokens
            for file in files
            for line in check_phrasebook.read(asset("phrasebook", f"{file}.jsonl"))[0]
        }
        for kind, files in SPECIAL.items()
    }
    found = []
    for phrase in phrases.gather(catalogue(), data):
        if phrase.split != PARTS[part]:
            continue
        if phrase.ranked and len(tokenize(phrase.text)) == 1:
            found.append(Query(phrase.text, phrase.emojis[:1], ("word",)))
        if phrase.kind not in OWN_KINDS:
            continue
        kinds = [phrase.kind]
        if phrase.kind == "sentence":
            tokens = tuple(tokenize(phrase.text))
            if not check_phrasebook.NEGATIONS.isdisjoint(tokens):
                kinds.append("negation")
            kinds += [kind for kind, those in special.items() if tokens in those]
        found.append(Query(phrase.text, phrase.emojis, tuple(kinds)))
    if not found:
        raise InputError(f"no own text is of the part {part!r}; name the data's folder")
    return found


OURS = "sqam"
"""What our model is called among the systems."""


def scores_of_model(model: Path | None, texts: Sequence[str], rows: Sequence[int]) -> np.ndarray:
    """Return our model's cosines, float32 (n, len(rows)); -inf for texts without a known word.

    Args:
        model: a folder with the folders sqam and vae; None for the model that ships.
        texts: of the queries.
        rows: of the candidates in the catalogue.

    Raises:
        InputError: the folder holds no model, or one without a code for a candidate.
    """
    vae = model_folder(model, "vae")
    scorer = Scorer.load(model_folder(model, "sqam"))
    codes = EmojiCodes.load(None if vae is None else vae / "codes.npz")
    scores = scorer.score(texts, codes.select([catalogue().sequences[row] for row in rows]))
    scores[~scorer.known(texts)] = -np.inf
    return scores


def groups(queries: Sequence[Query]) -> dict[str, list[int]]:
    """Return the rows of the queries of each kind, in the order in which kinds first occur."""
    found: dict[str, list[int]] = {}
    for row, query in enumerate(queries):
        for kind in query.kinds:
            found.setdefault(kind, []).append(row)
    return found


def measure(
    scores: Mapping[str, np.ndarray],
    correct: Sequence[Sequence[int]],
    rows: Sequence[int],
    settings: EvaluationSettings,
) -> dict[str, Any]:
    """Measure every system on some queries.

    Args:
        scores: of each system, float (n, n_candidates).
        correct: for each query its correct columns.
        rows: of the queries that are measured.
        settings: of the bootstrap.
    """
    chosen = [correct[row] for row in rows]
    return {
        "queries": len(rows),
        "systems": {
            name: summary(ranks(found[list(rows)], chosen), chosen, settings)
            for name, found in scores.items()
        },
    }


def table(title: str, group: Mapping[str, Any]) -> str:
    """Return what `measure` found as lines of text, in per cent, a column a system."""
    systems = group["systems"]
    rows = [["", *systems]]
    for measure in systems[OURS]:
        rows.append([measure])
        for found in systems.values():
            low, high = (f"{100 * bound:.0f}" for bound in found[measure]["interval"])
            rows[-1].append(f"{100 * found[measure]['value']:.1f} {f'({low}–{high})':>8}")
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"{title}: {group['queries']} queries"]
    for first, *others in rows:
        cells = [f"{cell:>{width}}" for cell, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join([f"{first:{widths[0]}}", *cells]))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.evaluate", description=__doc__)
    add = parser.add_argument
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--queries", nargs="+", type=Path, metavar="FILE", help=".jsonl files")
    source.add_argument("--own", choices=PARTS, help="our own texts instead")
    add("--as-is", action="store_true", help="leave the texts as they are")
    add("--among", nargs="+", metavar="EMOJI", help="the candidates (default: all emojis)")
    add("--model", type=Path, help="folder with the folders sqam and vae (default: what ships)")
    add(
        "--peers",
        nargs="*",
        choices=peers.PEERS,
        help=f"systems to compare with, none or some of {', '.join(peers.PEERS)} "
        "(default: those that can be had)",
    )
    add("--data", type=Path, default=phrases.DATA, help="folder of the sentences")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    add(
        "--vectors",
        type=Path,
        help="folder where MiniLM's vectors are kept (default: the teacher's, build/teacher)",
    )
    add("--output", type=Path, help="results file (default: the table alone)")
    return run(parser.prog, lambda: _evaluate(parser.parse_args(argv), argv))


def _evaluate(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    settings = EvaluationSettings()
    if options.output is not None:
        check_target(options.output)
    among = list(range(len(catalogue())))
    if options.among is not None:
        among = sorted({catalogue().index(emoji) for emoji in options.among})
    if options.queries is None:
        read = own_queries(options.own, options.data)
    else:
        read = [query for path in options.queries for query in read_queries(path)]
    column = {row: at for at, row in enumerate(among)}
    queries = [query for query in read if not column.keys().isdisjoint(query.good)]
    if not queries:
        raise InputError("no query has an emoji of --among; name others")
    if len(queries) < len(read):
        _note(f"{len(read) - len(queries)} queries without an emoji of --among are left out")
    correct = [[column[row] for row in query.good if row in column] for query in queries]
    texts = [query.text if options.as_is else phrases.clean_tweet(query.text) for query in queries]
    means = peers.Means(
        options.data, options.cache, options.vectors, withheld=options.own is not None
    )
    scores = {OURS: scores_of_model(options.model, texts, among)}
    left_out = {}
    for name in peers.PEERS if options.peers is None else dict.fromkeys(options.peers):
        try:
            scores[name] = peers.PEERS[name](texts, means)[:, among]
        except InputError as error:
            if options.peers is not None:
                raise InputError(f"{name}: {error}") from error
            left_out[name] = str(error)
            _note(f"{name} is left out: {error}")
    overall = measure(scores, correct, range(len(queries)), settings)
    kinds = {
        kind: measure(scores, correct, rows, settings) for kind, rows in groups(queries).items()
    }
    print("per cent, with 95 % intervals\n")
    print("\n\n".join(table(name, group) for name, group in {"all": overall, **kinds}.items()))
    if options.output is not None:
        results.write(
            options.output,
            {
                "command": results.command("pipelines.evaluate", argv),
                "settings": {
                    **dataclasses.asdict(settings),
                    "candidates": len(among),
                    "texts": "as they are" if options.as_is else "without U+FE0F and U+200D",
                    "peers' keywords": "training part" if means.withheld else "all",
                },
                "queries left out": len(read) - len(queries),
                "peers left out": left_out,
                "figures": {"all": overall, "by kind": kinds},
                "data": _hashes(options, scores),
                "versions": _versions(scores),
            },
        )


def _note(text: str) -> None:
    print(f"note: {text}", file=sys.stderr)


def _hashes(options: argparse.Namespace, systems: Iterable[str]) -> dict[str, str]:
    """Return the SHA-256 of all that the figures depend on."""
    model = asset("models") if options.model is None else options.model
    found = {str(path): results.sha256(path) for path in options.queries or ()}
    found |= results.hashes(
        [
            asset("emojis.csv"),
            *(phrases.book_files(phrases.BOOK) if options.own else ()),
            *(model / "sqam" / f"{name}.onnx" for name in ("question", "answer")),
            model / "sqam" / "embedding.npy",
            model / "vae" / "codes.npz",
        ]
    )
    if options.own or "popular" in systems:
        read = phrases.Sources()
        labelled = [read.labelled_tweets.format(part) for part in ("train", "val")]
        texts = [read.descriptions, read.short_descriptions, read.tweets, read.labels]
        # By their place: files of different folders share a name.
        found |= {name: results.sha256(options.data / name) for name in [*texts, *labelled]}
    for name in systems:
        if name in peers.PACKAGES:
            package = sources.SOURCES[peers.PACKAGES[name]]
            found[package.archive] = package.sha256
    return found


def _versions(systems: Iterable[str]) -> dict[str, str]:
    found = results.versions()
    for name in systems:
        if name in peers.PACKAGES:
            package = sources.SOURCES[peers.PACKAGES[name]]
            found[package.package] = package.version
    if any(name.startswith("minilm") for name in systems):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found["sentence-transformers"] = importlib.metadata.version("sentence-transformers")
    node = shutil.which("node")
    if "emoogle" in systems and node is not None:
        said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False)
        found["node"] = said.stdout.strip()
    return found


if __name__ == "__main__":
    sys.exit(main())
