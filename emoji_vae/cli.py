"""The command ``emoji-vae``: pictures to codes, and codes to pictures."""

import argparse
import csv
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING

from emoji_vae import __version__, command
from emoji_vae.errors import InputError

# What reads models is imported where it is used, so that --help and a wrong option answer at once.
if TYPE_CHECKING:
    import numpy as np

    from emoji_vae.codec import Codec
    from emoji_vae.codes import EmojiCodes

_PROGRAM = "emoji-vae"

# By command; the help of the whole shows the first of each.
_EXAMPLES = {
    "encode": (
        "encode logo.png sun.png --output codes.csv",
        "encode --emojis --output codes.npz",
        "encode --emojis ❤️ ⚾",
    ),
    "reconstruct": (
        "reconstruct --emojis 😀 🎉 ⚾ --output pairs.png",
        "reconstruct logo.png --draw --size 288 --output logo3.png",
    ),
    "sample": (
        "sample 64 --seed 7 --output new.png",
        "sample 9 --temperature 0.6 --size 288 --background white --output calm.png",
    ),
    "morph": (
        "morph 😀 🐱 --steps 9 --output morph.png",
        "morph 😀 logo.png --size 288 --seconds 2 --output morph.webp",
        "morph 🌑 🌕 --size 128 --background '#202040' --output moon.gif",
    ),
    "blend": (
        "blend 😀=0.6 🐱=0.4 --output blend.png",
        "blend 🍓 🎂 logo.png=0.5 --size 512 --output cake.png",
    ),
    "grid": (
        "grid --pattern A --output grid.png",
        "grid --pattern C --percentiles --output grid.png",
        "grid --pattern B --steps 9 --range -1 1 --size 144 --output grid.png",
    ),
    "neighbours": ("neighbours 🍕 -k 5", "neighbours logo.png"),
}

# Pictures, each beside its reconstruction, that share a row.
_PER_ROW = 8

# Of a morph, unless told otherwise. 31 pictures there and back are 60 frames, 20 a second.
_STEPS, _FRAMES = 9, 31


def _examples(lines: Iterable[str]) -> str:
    shown = "\n".join(f"  {_PROGRAM} {line}" for line in lines)
    return f"examples:\n{shown}\n\n{command.EXIT_CODES}\n"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (the process's own by default); return its exit code.

    Raises:
        SystemExit: after ``--help`` and ``--version``, with code 0.
    """

    def work() -> None:
        options = _parser().parse_args(argv)
        command.one_thread()
        options.work(options)

    return command.run(_PROGRAM, work)


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(
        prog=_PROGRAM,
        description="Turn emojis and other pictures into codes of 16 numbers, and back.",
        epilog=_examples(lines[0] for lines in _EXAMPLES.values()),
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def add(name: str, help: str, work: Callable[[argparse.Namespace], None]) -> command.Parser:
        one = commands.add_parser(
            name, help=help, description=help, epilog=_examples(_EXAMPLES[name])
        )
        one.set_defaults(work=work)
        return one

    encode = add("encode", "pictures or emojis to codes", _encode)
    _add_pictures(encode)
    encode.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=".npz or .csv; default: CSV on standard output",
    )

    reconstruct = add(
        "reconstruct", "each picture beside what its code alone gives back", _reconstruct
    )
    _add_pictures(reconstruct)
    reconstruct.add_argument(
        "--draw", action="store_true", help="beside both, the finished drawing of the code"
    )
    _add_seed(reconstruct)
    _add_output(reconstruct)

    sample = add("sample", "draw emojis that did not exist", _sample)
    sample.add_argument("n", type=command.positive, metavar="N", help="how many")
    sample.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="0 to 10; below 1 nearer to what is usual, above 1 farther from it (default: 1)",
    )
    _add_seed(sample)
    _add_output(sample)

    morph = add("morph", "turn one emoji into another, in a strip or an animation", _morph)
    for end in ("start", "end"):
        morph.add_argument(end, metavar=end.upper(), help="an emoji or a picture file")
    morph.add_argument(
        "--steps",
        type=int,
        metavar="S",
        help=f"pictures from the one to the other, both in "
        f"(default: {_STEPS}, of an animation {_FRAMES})",
    )
    morph.add_argument(
        "--seconds",
        type=float,
        metavar="T",
        help="of an animation: how long it takes there and back (default: 3)",
    )
    _add_seed(morph)
    _add_output(
        morph,
        "FILE",
        ".png: a strip; .gif, .webp or .apng: an animation there and back, without end",
        "; a GIF knows no soft edges and gets white",
    )

    blend = add("blend", "draw the weighted mean of some emojis", _blend)
    blend.add_argument(
        "parts",
        nargs="+",
        metavar="EMOJI[=WEIGHT]",
        help="an emoji or a picture file, and its weight of at least 0 (default: 1); "
        "what counts is their proportion",
    )
    _add_seed(blend)
    _add_output(blend)

    grid = add("grid", "draw a plane of the code space: the grids of 2017", _grid)
    grid.add_argument(
        "--pattern",
        choices=["A", "B", "C"],
        default="A",
        help="how a (by row) and b (by column) fill the 16 numbers: A is 8 times a, 8 times b; "
        "B is a, b, a, b, …; C is a, a, b, b, a, a, b, b, … (default: A)",
    )
    grid.add_argument(
        "--steps", type=int, default=20, metavar="S", help="rows and columns (default: 20)"
    )
    grid.add_argument(
        "--percentiles",
        action="store_true",
        help="evenly spaced percentiles, 1 %% to 99 %%, through the inverse cumulative "
        "distribution function of the standard normal, instead of even values",
    )
    grid.add_argument(
        "--range",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="of a and b: standard deviations (default: -2 2), or percentiles (default: 1 99)",
    )
    grid.add_argument(
        "--unscaled",
        action="store_true",
        help="take the values as codes, as in 2017; otherwise 0 is the mean of the emojis' codes "
        "in each dimension, and 1 their standard deviation",
    )
    _add_seed(grid)
    _add_output(grid)

    neighbours = add("neighbours", "the emojis with the nearest codes", _neighbours)
    neighbours.add_argument("emoji", metavar="EMOJI", help="an emoji or a picture file")
    neighbours.add_argument(
        "-k", type=command.positive, default=10, metavar="K", help="how many (default: 10)"
    )

    for each in commands.choices.values():
        each.add_argument(
            "--model", type=Path, metavar="FOLDER", help="your own: a folder with the folder vae"
        )
    return parser


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="FILE", help="picture files")
    parser.add_argument(
        "--emojis", nargs="*", metavar="EMOJI", help="instead: these emojis; all if none is named"
    )


def _add_seed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="of what is left to chance; the same seed draws the same pictures (default: 0)",
    )


def _add_output(
    parser: argparse.ArgumentParser,
    metavar: str = "PNG",
    output: str = "what to write",
    background: str = "",
) -> None:
    parser.add_argument("--output", type=Path, required=True, metavar=metavar, help=output)
    parser.add_argument(
        "--size", type=int, default=72, metavar="PIXELS", help="of each picture (default: 72)"
    )
    parser.add_argument(
        "--background",
        metavar="COLOUR",
        help=f"a name or #rrggbb (default: transparent{background})",
    )


def _codec(options: argparse.Namespace) -> "Codec":
    from emoji_vae.codec import Codec

    return Codec.load(command.model_folder(options.model, "vae"))


def _known(options: argparse.Namespace) -> "EmojiCodes":
    """Return the codes of all emojis."""
    from emoji_vae.codes import EmojiCodes

    folder = command.model_folder(options.model, "vae")
    return EmojiCodes.load(None if folder is None else folder / "codes.npz")


def _one(name: str, options: argparse.Namespace) -> "np.ndarray":
    """Return the code, float32 (16,), of an emoji or else of a picture file."""
    from emoji_vae.catalogue import catalogue

    if catalogue().find(name) is not None:
        return _known(options).select([name]).codes[0]
    if not _exists(name):
        raise InputError(
            f"{command.shortened(name)} is no emoji of the catalogue and no file; name one of them"
        )
    return _codec(options).encode_files([name]).codes[0]


def _exists(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # too long for a name, or with a null character
        return False


def _weighted(part: str) -> tuple[str, float]:
    """Split what names a part of a blend: the name, and its weight."""
    from emoji_vae.catalogue import catalogue

    name, equals, weight = part.rpartition("=")
    # A file may have a "=" in its name.
    if not equals or catalogue().find(part) is not None or _exists(part):
        return part, 1.0
    try:
        return name, float(weight)
    except ValueError as error:
        raise InputError(
            f"{command.shortened(weight)} in {command.shortened(part)} is no weight; "
            f"give a number, such as {name[:20]}=0.5"
        ) from error


def _check_picture(options: argparse.Namespace, n: int, columns: int | None = None) -> None:
    """Check what was asked of a PNG of ``n`` pictures, before they are drawn."""
    from emoji_vae import images

    images.check_name(options.output)
    command.check_target(options.output)
    images.layout(n, columns, options.size, options.background)


def _save(options: argparse.Namespace, pictures: "np.ndarray", columns: int | None = None) -> None:
    from emoji_vae import images

    images.save(options.output, images.grid(pictures, columns, options.size, options.background))


def _with_progress(files: Sequence[str]) -> Iterable[str]:
    if not sys.stderr.isatty():
        return files
    from tqdm import tqdm

    return tqdm(files, unit=" pictures", delay=1)


def _draw(
    codec: "Codec", codes: "np.ndarray", options: argparse.Namespace, steady: bool = False
) -> "np.ndarray":
    with command.progress(len(codes), "drawings") as progress:
        return codec.draw(codes, options.seed, progress, steady)


def _check_pictures(options: argparse.Namespace) -> None:
    if bool(options.files) == (options.emojis is not None):
        raise InputError("give picture files or --emojis, one of them")


def _encode(options: argparse.Namespace) -> None:
    _check_pictures(options)
    suffix = ".csv" if options.output is None else options.output.suffix.lower()
    if suffix not in {".csv", ".npz"}:
        raise InputError(
            f"cannot tell how to write {str(options.output)!r}; name a .npz or .csv file"
        )
    if options.output is not None:
        command.check_target(options.output)
    if options.files:
        codes = _codec(options).encode_files(_with_progress(options.files))
    else:
        codes = _known(options)
        if options.emojis:
            codes = codes.select(options.emojis)
    if options.output is None:
        _write_csv(codes, sys.stdout)
    elif suffix == ".csv":
        from emoji_vae.files import replacing

        with replacing(options.output, "w") as file:
            _write_csv(codes, file)
    else:
        codes.save(options.output)


def _write_csv(codes: "EmojiCodes", file: IO[str]) -> None:
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["name", *(f"code_{i}" for i in range(codes.codes.shape[1]))])
    for name, code in zip(codes.names, codes.codes, strict=True):
        # What is no UTF-8 in a file's name becomes "?"; str gives a float its shortest form.
        writer.writerow([name.encode(errors="replace").decode(), *map(str, code)])


def _reconstruct(options: argparse.Namespace) -> None:
    _check_pictures(options)
    import numpy as np

    from emoji_vae import images
    from emoji_vae.catalogue import catalogue

    if options.files:
        n = len(options.files)
    else:
        rows = [catalogue().index(emoji) for emoji in options.emojis or catalogue().sequences]
        n = len(rows)
    each = 3 if options.draw else 2
    _check_picture(options, n * each, _PER_ROW * each)
    codec = _codec(options)
    if options.files:
        pictures = images.read_many(_with_progress(options.files))
    else:
        pictures = images.sheet()[rows]
    codes = codec.encode(pictures)
    shown = [pictures, codec.decode(codes)]
    if options.draw:
        shown.append(_draw(codec, codes, options))
    # (n, 2, 36, 36, 4) to (2n, 36, 36, 4): original, reconstruction, original, …
    _save(options, np.stack(shown, axis=1).reshape(-1, *pictures.shape[1:]), _PER_ROW * each)


def _sample(options: argparse.Namespace) -> None:
    _check_picture(options, options.n)
    codec = _codec(options)
    with command.progress(options.n, "drawings") as progress:
        sampled = codec.sample(options.n, options.seed, options.temperature, progress)
    assert sampled.pictures is not None  # generated emojis come with them
    _save(options, sampled.pictures)


def _morph(options: argparse.Namespace) -> None:
    import numpy as np

    from emoji_vae import images

    suffix = options.output.suffix.lower()
    animated = suffix in images.ANIMATIONS
    if not animated and suffix != ".png":
        raise InputError(
            f"cannot tell how to write {str(options.output)!r}; "
            "name a .png, .gif, .webp or .apng file"
        )
    steps = options.steps
    if steps is None:
        steps = _FRAMES if animated else _STEPS
    # Never fewer than one frame, so that it is `morph` that refuses such a number of steps.
    frames = max(1, 2 * steps - 2)
    seconds = 3.0 if options.seconds is None else options.seconds
    if animated:
        command.check_target(options.output)
        images.frame_durations(options.output, frames, seconds)
        images.layout(frames, None, options.size, options.background)
    elif options.seconds is not None:
        raise InputError(
            f"{str(options.output)!r} is no animation, and --seconds is for one; leave it out, or "
            f"name a file that ends in {', '.join(images.ANIMATIONS)}"
        )
    else:
        _check_picture(options, max(1, steps), max(1, steps))
    codec = _codec(options)
    start, end = (_one(name, options) for name in (options.start, options.end))
    pictures = _draw(codec, codec.morph(start, end, steps), options, steady=True)
    if not animated:
        _save(options, pictures, len(pictures))
        return
    # There and back; the ends are shown once.
    loop = np.concatenate([pictures, pictures[-2:0:-1]])
    images.write_animation(options.output, loop, seconds, options.size, options.background)


def _blend(options: argparse.Namespace) -> None:
    import numpy as np

    _check_picture(options, 1)
    parts = [_weighted(part) for part in options.parts]
    codec = _codec(options)
    codes = np.stack([_one(name, options) for name, _ in parts])
    code = codec.blend(codes, [weight for _, weight in parts])
    _save(options, _draw(codec, code[np.newaxis], options))


def _grid(options: argparse.Namespace) -> None:
    codec = _codec(options)
    make = codec.grid_percentiles if options.percentiles else codec.grid
    codes = make(options.pattern, options.steps, *(options.range or ()))
    _check_picture(options, len(codes), options.steps)
    if not options.unscaled:
        codes = codec.prior.from_standard(codes)
    _save(options, _draw(codec, codes, options), options.steps)


def _neighbours(options: argparse.Namespace) -> None:
    from emoji_vae.catalogue import catalogue

    codes = _known(options)
    itself = catalogue().find(options.emoji)
    nearest = [
        (emoji, distance)
        for emoji, distance in codes.nearest(_one(options.emoji, options), len(codes))
        if catalogue().find(emoji) != itself
    ]
    for rank, (emoji, distance) in enumerate(nearest[: options.k], start=1):
        # The tab keeps names in line, however wide a terminal draws an emoji.
        name = catalogue()[catalogue().index(emoji)].name
        print(f"{rank:3}  {distance:7.4f}  {emoji}\t{name}")


if __name__ == "__main__":
    sys.exit(main())
