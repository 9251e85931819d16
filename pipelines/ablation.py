"""What each part of the question-answer model's training gives: leave it out, and measure.

    python -m pipelines.ablation                           # every variant, 5 seeds
    python -m pipelines.ablation --variants all "without attention" --seeds 0

Each variant is the default but for what its name says. All train for fewer epochs, on fewer texts,
than what ships, so figures are to be compared with each other alone. They are of the held-out
texts, through the exported model; nothing is chosen by them. An interrupted run goes on where it
stopped, at the last seed that it finished. A run takes minutes of a core.
"""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import phrases, results, sources, teacher
from pipelines.train_sqam import identity, settings_from, train

SHORT = ("epochs=3", "unlabelled=60000", "made=2000")
"""What makes every variant's training a short one."""

VARIANTS: dict[str, tuple[str, ...]] = {
    "all": (),
    "without the teacher": ("taught=0", "unlabelled=0"),
    "without texts that only the teacher labels": ("unlabelled=0",),
    "word vectors as they are": ("model.tune_embedding=false",),
    "without attention": ("model.attention=false",),
    "hinge against 50 drawn emojis": (
        "model.sharpness=null", "model.negatives=50", "model.margin=0.2",
    ),
    "popularity left to the cosines": ("model.popularity=0",),
    "popularity explained away in tweets too": ("tweet_popularity=1",),
    "without made sentences": ("made=0",),
}  # fmt: skip
"""Name of a variant -> what it changes, as ``train_sqam --set`` takes it."""

SHOWN = ("phrases", "keyword", "sentences", "tweets")
"""Groups of held-out texts that count."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.ablation", description=__doc__)
    add = parser.add_argument
    add("--variants", nargs="+", default=list(VARIANTS), metavar="NAME")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    add("--data", type=Path, default=phrases.DATA, help="folder of the sentences")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    add("--teacher", type=Path, default=teacher.FOLDER, help="folder of the teacher")
    add("--work", type=Path, default=Path("build/ablation"), help="folder of the models")
    add("--output", type=Path, default=asset("results", "ablation.json"), help="results file")
    return run(parser.prog, lambda: _work(parser.parse_args(argv), argv))


def _work(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    if unknown := [name for name in options.variants if name not in VARIANTS]:
        raise InputError(f"there is no variant {unknown[0]!r}; choose from {', '.join(VARIANTS)}")
    rows: dict[str, list[dict[str, Any]]] = {}
    for seed in options.seeds:
        for name in options.variants:
            row = one(name, seed, options)
            rows.setdefault(name, []).append(row)
            print(f"{name}, seed {seed}: {_line(row)}", flush=True)
            _write(rows, options, argv)


def one(name: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train and measure a variant, unless that is done; return its figures by group of texts."""
    settings = dataclasses.replace(settings_from("default", [*SHORT, *VARIANTS[name]]), seed=seed)
    folder = _folder(options.work, name, seed)
    done = folder / _FIGURES
    made = json.loads(json.dumps(identity(settings)))
    if done.is_file():
        kept = json.loads(done.read_text("utf-8"))
        if kept["settings"] != made:
            raise InputError(f"{str(folder)!r} holds a run with other settings; remove it")
        return dict(kept["figures"])
    figures = train(
        settings, folder / "model", folder / "checkpoints", options.data, options.cache,
        asset("models", "vae"), options.teacher,
    )  # fmt: skip
    found = {group: figures["held-out"][group] for group in SHOWN}
    config = json.loads((folder / "model" / "config.json").read_text("utf-8"))
    results.write(done, {"settings": made, "figures": found, "data": config["data"]})
    return found


_FIGURES = "figures.json"


def _folder(work: Path, name: str, seed: int) -> Path:
    return work / "".join(c if c.isalnum() else "-" for c in f"{name}-{seed}")


def _write(
    rows: dict[str, list[dict[str, Any]]],
    options: argparse.Namespace,
    argv: Sequence[str] | None,
) -> None:
    first = _folder(options.work, options.variants[0], options.seeds[0]) / _FIGURES
    found = {
        "command": results.command("pipelines.ablation", argv),
        "seeds": options.seeds,
        "short": SHORT,
        "variants": {
            name: {
                "changes": VARIANTS[name],
                "figures": {
                    group: {
                        measure: results.spread([run[group][measure] for run in runs])
                        for measure in ("hit@1", "hit@10")
                    }
                    for group in SHOWN
                },
            }
            for name, runs in rows.items()
        },
        "data": json.loads(first.read_text("utf-8"))["data"],
        "versions": results.versions(),
    }
    results.write(options.output, found)


def _line(row: dict[str, Any]) -> str:
    return "  ".join(f"{group} {row[group]['hit@10']:.1%}" for group in SHOWN)


if __name__ == "__main__":
    sys.exit(main())
