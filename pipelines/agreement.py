"""Measure how far a second reader of the phrasebook agrees with it: how good a ranking can be.

    python -m pipelines.agreement                   # -> assets/results/agreement.json
    python -m pipelines.evaluate --queries assets/second-reading.jsonl   # ours beside its peers

`assets/second-reading.jsonl` holds texts of the phrasebook's held-out part with up to five emojis,
best first, by somebody who saw the texts alone. Nothing trains on it, and nothing is chosen by it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emoji_vae.catalogue import catalogue
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import check_phrasebook, phrases, results
from pipelines.evaluate import EvaluationSettings, read_queries, summary
from sqam.text import tokenize

SHOWN = ("precision@1", "precision@5", "hit@5")
"""Measures that say something of lists of five."""


def ranked(answers: Sequence[int], good: Sequence[int]) -> np.ndarray:
    """Return the rank of each good answer among answers that stand best first, inf if none."""
    place = {row: rank for rank, row in enumerate(answers, start=1)}
    return np.array([place.get(row, np.inf) for row in good], dtype=float)


def agreement(
    reader: Sequence[Sequence[int]], book: Sequence[Sequence[int]], settings: EvaluationSettings
) -> dict[str, Any]:
    """Measure two readers of the same texts by each other.

    Args:
        reader: for each text one's emojis, best first, each once.
        book: the other's.
        settings: of the bootstrap.

    Returns:
        What the first one's lists reach where the second's are right, and the other way round:
        measure -> value and interval, see ``pipelines.evaluate.summary``.
    """
    found = {}
    for name, ours, theirs in (("reader by book", reader, book), ("book by reader", book, reader)):
        ranks = [ranked(a, g) for a, g in zip(ours, theirs, strict=True)]
        figures = summary(ranks, theirs, settings)
        found[name] = {measure: figures[measure] for measure in SHOWN}
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.agreement", description=__doc__)
    add = parser.add_argument
    add("--reading", type=Path, default=asset("second-reading.jsonl"), help="what was read")
    add("--output", type=Path, default=asset("results", "agreement.json"), help="results file")
    return run(parser.prog, lambda: _work(parser.parse_args(argv), argv))


def _work(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    queries = read_queries(options.reading)
    files = phrases.book_files(phrases.BOOK)
    index = catalogue().index
    book = {
        line.tokens: [index(emoji) for emoji in line.emojis]
        for file in files
        for line in check_phrasebook.read(file)[0]
    }
    kinds: dict[str, list[int]] = {}
    lists = []
    for at, query in enumerate(queries):
        line = book.get(tuple(tokenize(query.text)))
        if line is None:
            raise InputError(f"{query.text!r:.60} is not in the phrasebook; read its texts alone")
        lists.append(line)
        for kind in ("all", *query.kinds):
            kinds.setdefault(kind, []).append(at)
    found = {
        kind: {
            "texts": len(rows),
            **agreement(
                [queries[at].good for at in rows], [lists[at] for at in rows], EvaluationSettings()
            ),
        }
        for kind, rows in kinds.items()
    }
    results.write(
        options.output,
        {
            "command": results.command("pipelines.agreement", argv),
            "figures": found,
            "data": {**results.hashes([options.reading]), **results.hashes(files)},
            "versions": results.versions(),
        },
    )
    for kind, figures in found.items():
        for name in ("reader by book", "book by reader"):
            cells = "  ".join(f"{m} {figures[name][m]['value']:.1%}" for m in SHOWN)
            print(f"{kind:10} {figures['texts']:5} texts  {name:15} {cells}")


if __name__ == "__main__":
    sys.exit(main())
