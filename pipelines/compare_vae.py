"""Compare designs of the autoencoder on one split: looks, meaning, and numbers a code.

    python -m pipelines.compare_vae                        # all designs, 3 seeds, 20 epochs each
    python -m pipelines.compare_vae --designs default "64 numbers" --seeds 0

Each design is the default but for what its name says, and trains for fewer epochs than what ships:
figures are to be compared with each other alone. An interrupted run goes on where it stopped.
"""

import argparse
import dataclasses
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from emoji_vae.catalogue import catalogue
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from emoji_vae.locations import asset
from emoji_vae.model import VAESettings
from pipelines import phrases, results, sources, views
from pipelines.measure_codes import Components
from pipelines.train_vae import Test, export, fit, material, measure

_MEANING = {name: getattr(VAESettings(), name) for name in ("meaning", "emotion", "agreement")}
_PLAIN: dict[str, Any] = {"corrections": 0}
_LOOKS: dict[str, Any] = dict.fromkeys(_MEANING, 0.0)
_ALONE: dict[str, Any] = {**_LOOKS, "vendors": (), "views": 0}

DESIGNS: dict[str, dict[str, Any]] = {
    "our own pictures alone": {**_ALONE, **_PLAIN},
    "without meaning": {**_LOOKS, **_PLAIN},
    "meaning x 1/10": {**{name: weight / 10 for name, weight in _MEANING.items()}, **_PLAIN},
    "without corrections": _PLAIN,
    "meaning x 5": {**{name: weight * 5 for name, weight in _MEANING.items()}, **_PLAIN},
    "with a gradient term": {"gradient": 1.0, **_PLAIN},
    "with more shifts, scales and tints": {"shift": 2.0, "scale": 0.1, "tint": 0.15, **_PLAIN},
    "8 numbers": {"latent": 8, **_PLAIN},
    "32 numbers": {"latent": 32, **_PLAIN},
    "64 numbers": {"latent": 64, **_PLAIN},
    "default": {},
}
"""Name of a design -> what it changes of the default settings.

All but the default end without corrections, which cost the same whatever the design, and much."""
DIMENSIONS = (8, 16, 32, 64)
"""Numbers of principal components to compare with."""
WEIGHTS = ("without meaning", "meaning x 1/10", "without corrections", "meaning x 5")
"""Designs that differ in how much meaning weighs, rising."""
SIZES = ("8 numbers", "without corrections", "32 numbers", "64 numbers")
"""Designs that differ in the numbers a code, as `DIMENSIONS`."""
_VARIANCE = "variance explained, held out"
_MEANS = {
    "sentiment readable within training, R2": "sentiment of training emojis, R²",
    "new emojis by name, median percentile": "new emojis for their names, percentile",
}
VENDORS = ("twemoji", "emojione")
"""Whose pictures are to be found again: one that training may see, one that it never does."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.compare_vae", description=__doc__)
    add = parser.add_argument
    add("--designs", nargs="+", default=list(DESIGNS), metavar="NAME", help="default: all")
    add("--seeds", type=int, nargs="+", default=[0, 1, 2])
    add("--epochs", type=int, default=20)
    add("--output", type=Path, default=asset("results", "vae-designs.json"), help="results file")
    add("--work", type=Path, default=Path("build/designs"), help="folder of the runs")
    add("--data", type=Path, default=phrases.DATA, help="folder of the data")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    return run(parser.prog, lambda: _compare(parser.parse_args(argv), argv))


def picture(found: Mapping[str, Any]) -> Figure:
    """Draw the trade-off between looks and meaning, and both over the numbers a code.

    Args:
        found: the results, with all designs of `WEIGHTS` and `SIZES`.
    """
    designs, components = found["designs"], found["principal components"]

    def mean(design: str, figure: str) -> float:
        return float(designs[design]["figures"][figure]["mean"])

    drawn = Figure((10.5, 7), dpi=100, layout="constrained")
    for (by_weight, by_size), (figure, label) in zip(
        drawn.subplots(2, 2), _MEANS.items(), strict=True
    ):
        looks = [mean(design, _VARIANCE) for design in WEIGHTS]
        meant = [mean(design, figure) for design in WEIGHTS]
        by_weight.plot(looks, meant, color="#0072b2", marker="o")
        for design, x, y in zip(WEIGHTS, looks, meant, strict=True):
            name = "meaning x 1" if design == "without corrections" else design
            by_weight.annotate(name, (x, y), (4, 5), textcoords="offset points", size=9)
        by_weight.margins(0.25)
        by_weight.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=" %"))
        by_weight.set_xlabel("variance of held-out pictures explained")
        by_weight.set_ylabel(label)
        ours = [mean(design, figure) for design in SIZES]
        theirs = [components[str(k)][figure] for k in DIMENSIONS]
        by_size.plot(DIMENSIONS, ours, color="#0072b2", marker="o", label="autoencoder")
        by_size.plot(DIMENSIONS, theirs, color="#777777", marker="o", label="principal components")
        by_size.set_xscale("log", base=2)
        by_size.set_xticks(DIMENSIONS, [str(k) for k in DIMENSIONS])
        by_size.set_xlabel("numbers a code")
        by_size.legend()
        for axes in (by_weight, by_size):
            axes.grid(alpha=0.3)
    return drawn


def _compare(options: argparse.Namespace, argv: Sequence[str] | None) -> None:
    if unknown := [name for name in options.designs if name not in DESIGNS]:
        raise InputError(f"there is no design {unknown[0]!r}; choose from {', '.join(DESIGNS)}")
    vendors = {vendor: views.load(vendor, options.cache) for vendor in views.VENDORS}
    measured = {vendor: vendors[vendor] for vendor in VENDORS}
    test = Test.gather(measured, options.data, options.cache)
    components = {
        str(k): test.figures(baseline.encode, baseline.decode)
        for k in DIMENSIONS
        if (baseline := Components(test.pictures[test.train], k))
    }
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in options.designs}
    for seed in options.seeds:
        for name in options.designs:
            settings = VAESettings.of(
                "default", **{**DESIGNS[name], "seed": seed, "epochs": options.epochs}
            )
            shown = material(settings, test.train, vendors, options.data, options.cache)
            place = "".join(c if c.isalnum() else "-" for c in name)
            folder = options.work / f"{place}-{options.epochs}-{seed}"
            model = fit(settings, shown, folder)
            exported = None
            if settings.corrections:
                config = {"settings": dataclasses.asdict(settings), "versions": results.versions()}
                exported = folder / "model"
                export(model, test.pictures, catalogue().sequences, exported, config)
            rows[name].append(measure(model, exported, test))
            print(f"{name}, seed {seed}: {_line(rows[name][-1])}", flush=True)
            found = {
                "command": results.command("pipelines.compare_vae", argv),
                "default settings": dataclasses.asdict(
                    VAESettings(epochs=options.epochs, seed=options.seeds[0])
                ),
                "seeds": options.seeds,
                "designs": {
                    design: {
                        "changes": DESIGNS[design],
                        "figures": {
                            figure: results.spread([row[figure] for row in measured_rows])
                            for figure in measured_rows[0]
                        },
                    }
                    for design, measured_rows in rows.items()
                    if measured_rows
                },
                "principal components": components,
                "data": results.hashes([asset("emojis.csv"), asset("emojis.png")]),
                "versions": results.versions(),
            }
            results.write(options.output, found)
    if {*WEIGHTS, *SIZES} <= set(rows):
        with replacing(options.output.with_suffix(".png")) as file:
            FigureCanvasAgg(picture(found)).print_png(file)


def _line(figures: dict[str, float]) -> str:
    shown = ("variance explained, held out", "meaning of the 5 nearest, cosine")
    return "  ".join(f"{name} {figures[name]:.3f}" for name in shown)


if __name__ == "__main__":
    sys.exit(main())
