"""Render the pictures that tell people how good a trained autoencoder is, and an index of them.

    python -m pipelines.report --output build/report
    python -m pipelines.report --run build/vae/default-100-0-all --output build/report
    python -m pipelines.report --only map morphs --output build/report

The model that ships was trained on every emoji; to see emojis that a model never saw, name that of
a run for figures: --held-out-model build/vae/default-100-0-split/model.
"""

import argparse
import dataclasses
import functools
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image, ImageDraw, ImageFont
from scipy.optimize import linear_sum_assignment
from sklearn.manifold import TSNE

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.codec import PATTERNS, Codec
from emoji_vae.codes import SIZE, EmojiCodes
from emoji_vae.command import Parser, progress, run
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from emoji_vae.locations import asset
from emoji_vae.prior import Prior, check_seed
from pipelines import results
from pipelines.measure_codes import between
from pipelines.train_vae import held_out

MORPHS = (
    ("😀", "🐱"), ("❤️", "🔥"), ("🍎", "🍋"), ("🚗", "🚀"), ("🌞", "🌚"), ("👍", "👎"),
    ("🐶", "🦁"), ("🎂", "🎉"), ("🏠", "🏰"), ("🌲", "🌵"), ("👻", "💀"), ("⚽", "🏀"),
)  # fmt: skip
"""First and last emoji of each morph."""

TERMS = {
    "loss": "loss, the weighted sum of all terms",
    "reconstruction": "reconstruction",
    "kl": "KL divergence from the standard normal, before its weight",
    "heads": "heads: meaning, group and emotions, weighted",
    "apart": "agreement between vendors, before its weight",
}
"""The figures of a training run's log that are charted, and what they are."""

_MARGIN, _HEAD = 24, 76
_INK, _PALE, _BLUE, _ORANGE = "#222222", "#777777", "#9db8d9", "#d9480f"


@dataclasses.dataclass(frozen=True)
class ReportSettings:
    """How much is drawn.

    Attributes:
        seed: of the drawings, and of the codes of those that are generated.
        reconstructions: held-out emojis that are shown.
        grid_steps: rows and columns of a grid, 2 to 100.
        morph_steps: pictures from the one emoji to the other, at least 2.
        drawings: generated emojis.
        neighbours: nearest real emojis beside each of them.
    """

    seed: int = 0
    reconstructions: int = 48
    grid_steps: int = 20
    morph_steps: int = 9
    drawings: int = 48
    neighbours: int = 3


@dataclasses.dataclass(frozen=True)
class TrainingLog:
    """The figures of a training run, by epoch.

    Attributes:
        name: of the run's folder.
        epochs: how many there were to be.
        figures: by the name of a term, finite numbers, as many of each as epochs were run.
    """

    name: str
    epochs: int
    figures: Mapping[str, Sequence[float]]

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the log of a folder of ``pipelines.checkpoints``.

        Raises:
            InputError: there is none, it is damaged, or no epoch has been run yet.
        """
        path = folder / "log.json"
        try:
            log = json.loads(path.read_text(encoding="utf-8"))
            history = log["history"]
            figures = {
                name: [float(row[name]) for row in history]
                for name in TERMS
                if all(name in row for row in history)
            }
            epochs = int(log["run"]["settings"]["epochs"])
            if "loss" not in figures or not np.isfinite([*figures.values()]).all():
                raise ValueError
        except OSError as error:
            raise InputError(
                f"cannot read {str(path)!r}: {error.strerror}; name the folder of a training run"
            ) from error
        except (KeyError, OverflowError, RecursionError, TypeError, ValueError) as error:
            raise InputError(
                f"{str(path)!r} is no log of an autoencoder's training; name another folder"
            ) from error
        if not history:
            raise InputError(f"the run {str(folder)!r} has finished no epoch yet; wait for one")
        return cls(folder.resolve().name, epochs, figures)


@dataclasses.dataclass(frozen=True)
class Material:
    """What the pictures of a report are made of.

    Attributes:
        codec: the trained autoencoder.
        known: the codes of all emojis by it.
        unseen: the autoencoder that held-out emojis are shown to.
        log: of the training run, or None.
        settings: see `ReportSettings`.
    """

    codec: Codec
    known: EmojiCodes
    unseen: Codec
    log: TrainingLog | None = None
    settings: ReportSettings = dataclasses.field(default_factory=ReportSettings)

    @functools.cached_property
    def originals(self) -> np.ndarray:
        """The pictures of the known emojis, float32 (n, 36, 36, 4)."""
        return images.sheet()[[catalogue().index(name) for name in self.known.names]]

    def draw(
        self, codes: np.ndarray, codec: Codec | None = None, steady: bool = False
    ) -> np.ndarray:
        """Return the finished drawings of codes (n, 16), see ``Codec.draw``: (n, 36, 36, 4)."""
        with progress(len(codes), "drawings") as count:
            return (codec or self.codec).draw(codes, self.settings.seed, count, steady)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    # The one that Matplotlib brings along, so that text looks the same on every machine.
    fonts = Path(matplotlib.get_data_path(), "fonts", "ttf")
    return ImageFont.truetype(fonts / "DejaVuSans.ttf", size)


def _page(
    width: int, height: int, title: str, note: str
) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """Return a white page and its pen: a title, a line below it, and room from ``_HEAD`` down.

    The page is as wide as the two lines need, or wider.
    """
    lengths = (_font(20).getlength(title), _font(14).getlength(note))
    width = max(width, 2 * _MARGIN + math.ceil(max(lengths)))
    page = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(page)
    pen.text((_MARGIN, 16), title, _INK, _font(20))
    pen.text((_MARGIN, 45), note, _PALE, _font(14))
    return page, pen


def _place(
    page: Image.Image, pictures: np.ndarray, left: int, top: int, size: int, gap: int = 0
) -> None:
    """Put pictures (n, 36, 36, 4) on a page in a row, each ``size`` square."""
    for number, picture in enumerate(pictures):
        image = images.to_image(picture, size, "white")
        page.paste(image, (left + number * (size + gap), top))


def _rendered(figure: Figure) -> Image.Image:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.array(canvas.buffer_rgba())).convert("RGB")


def curves(material: Material) -> Image.Image:
    """Chart the terms of the training loss by epoch."""
    log = material.log
    assert log is not None  # `render` leaves this picture out where there is none
    done = len(log.figures["loss"])
    rows = math.ceil(len(log.figures) / 2)
    figure = Figure((12, 1 + 3 * rows), dpi=100, layout="constrained")
    figure.suptitle(f"Training {log.name}: {done} of {log.epochs} epochs, the mean over each")
    epochs = np.arange(1, done + 1)
    for number, (name, values) in enumerate(log.figures.items(), start=1):
        axes = figure.add_subplot(rows, 2, number)
        axes.plot(epochs, values, color=_ORANGE, marker="." if done < 40 else None)
        title = TERMS[name]
        if min(values) > 0 and max(values) > 3 * min(values):
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 1.5, 2, 3, 5, 7)))
            axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
            axes.yaxis.set_minor_formatter(NullFormatter())
            title += " (log scale)"
        axes.set_title(f"{title}: {values[-1]:,.4g} at the end", loc="left", size="medium")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
    return _rendered(figure)


def reconstructions(material: Material) -> Image.Image:
    """Show held-out emojis, what their codes give back as a draft, and the finished drawings."""
    rows = np.flatnonzero(held_out(catalogue().sequences))
    n = min(material.settings.reconstructions, len(rows))
    # Spread over the catalogue, so that all groups are there.
    originals = images.sheet()[rows[np.linspace(0, len(rows) - 1, n).round().astype(int)]]
    codec = material.unseen
    codes = codec.encode(originals)
    kinds = {
        "original": originals,
        "draft": codec.decode(codes),
        "drawing": material.draw(codes, codec),
    }
    columns, size, gap, label = min(n, 16), 72, 6, 84
    block = len(kinds) * (size + gap) + 24
    page, pen = _page(
        2 * _MARGIN + label + columns * (size + gap) - gap,
        _HEAD + math.ceil(n / columns) * block,
        f"{n} of the held-out emojis, "
        + ("on which this model was trained" if codec is material.codec else "new to this model"),
        # The drawing is no measure of what the code holds, and must not be taken for one.
        "the original; what the decoder makes of its 16 numbers alone (draft); the drawing, whose "
        "detail is taken from real emojis, the original among them",
    )
    for number, first in enumerate(range(0, n, columns)):
        for line, (kind, pictures) in enumerate(kinds.items()):
            top = _HEAD + number * block + line * (size + gap)
            pen.text((_MARGIN, top + size // 2), kind, _PALE, _font(14), anchor="lm")
            _place(page, pictures[first : first + columns], _MARGIN + label, top, size, gap)
    return page


def normal(values: Any, mean: Any, spread: Any) -> Any:
    """Return the density of the normal distribution, for numbers or arrays that broadcast."""
    return np.exp(-0.5 * ((values - mean) / spread) ** 2) / (spread * math.sqrt(2 * math.pi))


def marginal(prior: Prior, dimension: int, values: np.ndarray) -> np.ndarray:
    """Return the density (n,) that a prior gives the values (n,) of one dimension of codes."""
    means = prior.means[:, dimension]
    spreads = np.sqrt(prior.covariances[:, dimension, dimension])
    return normal(values[:, np.newaxis], means, spreads) @ prior.weights


def posterior(material: Material) -> Image.Image:
    """Chart the real codes of each dimension, a normal density, and the fitted prior."""
    codes, prior = material.known.codes.astype(np.float64), material.codec.prior
    figure = Figure((15, 12.5), dpi=100, layout="constrained")
    figure.suptitle(
        f"The aggregate posterior: codes of {len(codes):,} emojis by dimension", size="x-large"
    )
    panels = figure.subplots(4, 4, sharex=True, sharey=True)
    reach = 1.05 * np.abs(codes).max()
    components = len(prior.weights)
    values, bins = np.linspace(-reach, reach, 400), np.linspace(-reach, reach, 49)
    for dimension, axes in enumerate(panels.flat):
        own = codes[:, dimension]
        mean, spread = own.mean(), own.std()
        axes.hist(own, bins, density=True, color=_BLUE, label="codes of the emojis")
        axes.plot(
            values, marginal(prior, dimension, values), color=_ORANGE, lw=2,
            label=f"fitted prior ({components} Gaussian{'s' if components > 1 else ''})",
        )  # fmt: skip
        axes.plot(
            values, normal(values, mean, spread), color=_INK, ls="--", lw=1,
            label="normal density of the same mean and spread",
        )  # fmt: skip
        axes.set_title(
            f"{dimension + 1}: mean {mean:+.2f}, spread {spread:.2f}", loc="left", size="medium"
        )
        axes.spines[["top", "right"]].set_visible(False)
    figure.legend(*panels.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    return _rendered(figure)


def grid(material: Material, pattern: str) -> Image.Image:
    """Draw one of the grids of "Neurally Embedded Emojis" (2017), see ``Codec.grid``."""
    codec, steps, size, axis = material.codec, material.settings.grid_steps, 48, 48
    drawn = material.draw(codec.prior.from_standard(codec.grid(pattern, steps)))
    spelt = {"A": "8 times a, 8 times b", "B": "a, b, a, b, …", "C": "a, a, b, b, a, a, b, b, …"}
    left, top, side = _MARGIN + axis, _HEAD + 24, steps * size
    page, pen = _page(
        left + side + _MARGIN,
        top + side + _MARGIN,
        f"Grid {pattern} of 2017: the 16 numbers are {spelt[pattern]}",
        "a by row, b by column; 0 is the mean of the codes in each dimension, ±1 their spread",
    )
    page.paste(images.grid(drawn, steps, size, "white"), (left, top))
    for step, value in enumerate(np.linspace(-2, 2, steps)):
        middle = step * size + size // 2
        pen.text((left - 6, top + middle), f"{value:+.1f}", _PALE, _font(13), anchor="rm")
        pen.text((left + middle, top - 6), f"{value:+.1f}", _PALE, _font(13), anchor="ms")
    return page


def morphs(material: Material) -> Image.Image:
    """Draw the way from one emoji to another, a row each, between the real pictures."""
    codec, steps, size, gap, aside = material.codec, material.settings.morph_steps, 72, 6, 24
    ends = [material.known.select(pair).codes for pair in MORPHS]
    codes = np.concatenate([codec.morph(start, end, steps) for start, end in ends])
    drawn = material.draw(codes, steady=True)
    left, top = _MARGIN + size + aside, _HEAD + 24
    right = left + steps * (size + gap) - gap + aside
    page, pen = _page(
        right + size + _MARGIN,
        top + len(MORPHS) * (size + gap) - gap + _MARGIN,
        f"{len(MORPHS)} morphs in {steps} steps",
        "codes on the straight line from one real emoji's code to the other's, drawn steadily: the "
        "code of a real emoji gives that emoji",
    )
    sheet = images.sheet()
    for number, pair in enumerate(MORPHS):
        down = top + number * (size + gap)
        for end, corner in zip(pair, (_MARGIN, right), strict=True):
            _place(page, sheet[[catalogue().index(end)]], corner, down, size)
        _place(page, drawn[number * steps : (number + 1) * steps], left, down, size, gap)
    heads = {_MARGIN: "real", right: "real"}
    for step in range(steps):
        heads[left + step * (size + gap)] = f"{100 * step / (steps - 1):.3g} %"
    for corner, text in heads.items():
        pen.text((corner + size // 2, top - 12), text, _PALE, _font(13), anchor="mm")
    return page


def places(codes: np.ndarray, cells: int) -> np.ndarray:
    """Lay codes out on the cells of a square, so that like ones lie near each other.

    By t-SNE (Laurens van der Maaten and Geoffrey Hinton 2008), started from the principal
    components; then each code is moved to a cell of its own, with the least sum of the squares of
    all distances.

    Args:
        codes: floats (n, 16), n at least 4.
        cells: of a side; at least n in all.

    Returns:
        int (n, 2): column and row, no two alike.

    Raises:
        InputError: all codes are equal, so there is nothing to lay out.
    """
    if not np.ptp(codes, axis=0).any():
        raise InputError("all codes are equal, which makes no map; train the model again")
    # The perplexity is about how many neighbours count, and must stay below n.
    perplexity = min(30.0, (len(codes) - 1) / 3)
    plane = TSNE(perplexity=perplexity, init="pca", random_state=0).fit_transform(codes)
    plane = plane.astype(np.float64) - plane.min(axis=0)
    plane *= (cells - 1) / np.maximum(plane.max(axis=0), 1e-9)
    free = np.stack(np.divmod(np.arange(cells**2), cells), axis=1)
    _, chosen = linear_sum_assignment(between(plane, free) ** 2)
    return free[chosen]


def code_map(material: Material) -> Image.Image:
    """Draw all emojis' own pictures where a projection to the plane puts their codes."""
    size, known = 40, material.known
    # About half of the cells stay free: with fewer, pictures would be moved far.
    cells = math.ceil(math.sqrt(2 * len(known)))
    page, _ = _page(
        2 * _MARGIN + cells * size,
        _HEAD + cells * size + _MARGIN,
        f"The codes of all {len(known):,} emojis in the plane",
        "t-SNE of the 16 numbers; each picture is moved to a free place near its own, none is left "
        "out",
    )
    for picture, (column, row) in zip(
        material.originals, places(known.codes, cells).tolist(), strict=True
    ):
        # 2 pixels all around keep neighbours apart.
        _place(
            page, picture[np.newaxis], _MARGIN + column * size + 2, _HEAD + row * size + 2, size - 4
        )
    return page


def drawings(material: Material) -> Image.Image:
    """Draw new emojis, each beside the real ones with the nearest codes and their distances."""
    settings, known = material.settings, material.known
    with progress(settings.drawings, "drawings") as count:
        new = material.codec.sample(settings.drawings, settings.seed, progress=count)
    assert new.pictures is not None  # generated emojis come with them
    distances = between(new.codes, known.codes)
    nearest = distances.argsort(axis=1, kind="stable")[:, : settings.neighbours]
    size, small, gap, aside = 96, 48, 6, 36
    columns = min(len(new), 6)
    width = size + gap + settings.neighbours * (small + gap) - gap + aside
    height = size + 24
    page, pen = _page(
        2 * _MARGIN + columns * width - aside,
        _HEAD + math.ceil(len(new) / columns) * height,
        f"{len(new)} emojis that did not exist (seed {settings.seed})",
        f"each beside the {settings.neighbours} real emojis of the nearest codes, and how far they "
        "lie from its own",
    )
    for number, rows in enumerate(nearest):
        down, across = divmod(number, columns)
        left, top = _MARGIN + across * width, _HEAD + down * height
        _place(page, new.pictures[[number]], left, top, size)
        left, top = left + size + gap, top + (size - small) // 2
        _place(page, material.originals[rows], left, top, small, gap)
        for place, row in enumerate(rows):
            below = (left + place * (small + gap) + small // 2, top + small + 12)
            pen.text(below, f"{distances[number, row]:.1f}", _PALE, _font(13), anchor="mm")
    return page


PICTURES: dict[str, tuple[Callable[[Material], Image.Image], str]] = {
    "curves": (curves, "The terms of the training loss by epoch."),
    "reconstructions": (
        reconstructions,
        "Held-out emojis, what their codes alone give back (draft), and the finished drawings, "
        "which take their detail from real emojis, the originals among them.",
    ),
    "posterior": (
        posterior,
        "The real codes in each of the 16 dimensions, against the normal density of the same mean "
        "and spread, and against the fitted prior from which new codes are drawn.",
    ),
    **{
        f"grid-{pattern}": (
            functools.partial(grid, pattern=pattern),
            f"Grid {pattern} of the 2017 study: a plane through the space of codes, drawn.",
        )
        for pattern in PATTERNS
    },
    "morphs": (
        morphs,
        f"From one emoji to another: {', '.join(f'{a} to {b}' for a, b in MORPHS)}.",
    ),
    "map": (code_map, "All emojis, near each other where their codes are (t-SNE)."),
    "drawings": (drawings, "New emojis, each beside the real ones that are nearest to it."),
}
"""By the name of the picture: what makes it, and a sentence about it."""


def index(made: Sequence[str], missing: Sequence[str], found: Mapping[str, Any] | None) -> str:
    """Return the report's text, in Markdown.

    Args:
        made: names of ``PICTURES`` that are there.
        missing: sentences that say what is not, and why.
        found: the results file of ``pipelines.train_vae``, or None.
    """
    lines = ["# The picture autoencoder", ""]
    for name in made:
        lines += [f"## {name}", "", PICTURES[name][1], "", f"![{name}]({name}.png)", ""]
    for sentence in missing:
        lines += [sentence, ""]
    if found is not None:
        baseline = found.get("principal components", {}).get(str(SIZE), {})
        lines += ["## figures", ""]
        lines += [f"| figure | mean | standard deviation | {SIZE} principal components |"]
        lines += ["|---|--:|--:|--:|"]
        for name, figure in found["figures"].items():
            cells = [figure["mean"], figure["sd"], baseline.get(name)]
            shown = " | ".join("" if cell is None else f"{cell:.4g}" for cell in cells)
            lines.append(f"| {name} | {shown} |")
        lines.append("")
    return "\n".join(lines)


def render(
    material: Material,
    output: Path,
    only: Sequence[str] = (),
    found: Mapping[str, Any] | None = None,
) -> None:
    """Write the pictures into a folder, each whole or not at all, and then their index.

    Args:
        material: what they are made of.
        output: is made; files of the same names are replaced.
        only: names of ``PICTURES``; if there are any, they alone are made, and no index.
        found: a results file, for the index.

    Raises:
        InputError: the folder is a file, or training curves are asked for without a log.
    """
    names, missing = [name for name in PICTURES if name in only or not only], []
    if material.log is None and "curves" in names:
        if only:
            raise InputError("no training to draw curves of; name its folder with --run")
        names.remove("curves")
        missing.append("No training curves: no folder of a training run was given (--run).")
    if output.exists() and not output.is_dir():
        raise InputError(f"cannot write into {str(output)!r}: it is a file; name a folder")
    output.mkdir(parents=True, exist_ok=True)
    for name in names:
        path = output / f"{name}.png"
        make, _ = PICTURES[name]
        images.save(path, make(material))
        print(f"wrote {path}", flush=True)
    for sentence in missing:
        print(sentence)
    if not only:
        path = output / "index.md"
        with replacing(path, "w") as file:
            file.write(index(names, missing, found))
        print(f"wrote {path}")


def _results(path: Path) -> Mapping[str, Any] | None:
    """Read a results file of train_vae; None where there is none."""
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        index([], [], found)  # complains before anything is drawn
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise InputError(
            f"{str(path)!r} is no results file of train_vae; write it again or remove it"
        ) from error
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.report", description=__doc__)
    parser.add_argument("--output", type=Path, default=Path("build/report"), metavar="FOLDER")
    parser.add_argument(
        "--model",
        type=Path,
        default=asset("models", "vae"),
        metavar="FOLDER",
        help="of a trained autoencoder (default: the one that ships)",
    )
    parser.add_argument(
        "--held-out-model",
        type=Path,
        metavar="FOLDER",
        help="of one that never saw the held-out emojis (default: --model)",
    )
    parser.add_argument(
        "--run", type=Path, metavar="FOLDER", help="of the training, for its curves"
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of the drawings (default: 0)"
    )
    parser.add_argument(
        "--only",
        nargs="+",
        choices=list(PICTURES),
        default=[],
        metavar="NAME",
        help=f"these alone, without the index: {', '.join(PICTURES)}",
    )
    return run(parser.prog, lambda: _report(parser.parse_args(argv)))


def _report(options: argparse.Namespace) -> None:
    check_seed(options.seed)
    codec = Codec.load(options.model)
    material = Material(
        codec,
        EmojiCodes.load(options.model / "codes.npz"),
        codec if options.held_out_model is None else Codec.load(options.held_out_model),
        None if options.run is None else TrainingLog.load(options.run),
        ReportSettings(seed=options.seed),
    )
    if list(material.known.names) != catalogue().sequences:
        raise InputError(
            f"the codes in {str(options.model)!r} are not those of all emojis; train it again"
        )
    found = _results(results.place(options.model, "vae"))
    render(material, options.output, options.only, found)


if __name__ == "__main__":
    sys.exit(main())
