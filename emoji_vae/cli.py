"""The command ``emoji-vae``: pictures to codes, and codes to pictures."""

import argparse
import csv
import sys
from collections.abc import Sequence
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

_EXAMPLES = f"""\
examples:
  emoji-vae encode logo.png sun.png --output codes.csv
  emoji-vae encode --emojis --output codes.npz
  emoji-vae reconstruct --emojis 😀 🎉 ⚾ --output pairs.png
  emoji-vae sample 64 --seed 7 --output new.png
  emoji-vae morph 😀 logo.png --steps 10 --output morph.png
  emoji-vae neighbours 🍕 -k 5

{command.EXIT_CODES}
"""

# Pairs of a picture and its reconstruction that share a row.
_PAIRS = 8


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (the process's own by default); return its exit code.

    Raises:
        SystemExit: after ``--help`` and ``--version``, with code 0.
    """

    def work() -> None:
        options = _parser().parse_args(argv)
        options.work(options)

    return command.run(_PROGRAM, work)


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(
        prog=_PROGRAM,
        description="Turn emojis and other pictures into codes of 16 numbers, and back.",
        epilog=_EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    encode = commands.add_parser("encode", help="pictures or emojis to codes", epilog=_EXAMPLES)
    _add_pictures(encode)
    encode.add_argument(
        "--output",
        type=Path,
        metavar="FILE",
        help=".npz or .csv; default: CSV on standard output",
    )
    encode.set_defaults(work=_encode)

    reconstruct = commands.add_parser(
        "reconstruct", help="each picture beside what its code gives back", epilog=_EXAMPLES
    )
    _add_pictures(reconstruct)
    _add_output(reconstruct)
    reconstruct.set_defaults(work=_reconstruct)

    sample = commands.add_parser("sample", help="draw emojis that did not exist", epilog=_EXAMPLES)
    sample.add_argument("n", type=int, metavar="N", help="how many")
    sample.add_argument("--seed", type=int, default=0, metavar="S", help="default: 0")
    sample.add_argument(
        "--temperature",
        type=float,
        default=1.0,
        metavar="T",
        help="below 1 nearer to the average emoji, above 1 farther (default: 1)",
    )
    _add_output(sample)
    sample.set_defaults(work=_sample)

    morph = commands.add_parser("morph", help="turn one emoji into another", epilog=_EXAMPLES)
    for end in ("start", "end"):
        morph.add_argument(end, metavar=end.upper(), help="an emoji or a picture file")
    morph.add_argument("--steps", type=int, default=8, metavar="S", help="pictures (default: 8)")
    _add_output(morph)
    morph.set_defaults(work=_morph)

    neighbours = commands.add_parser(
        "neighbours", help="the emojis with the nearest codes", epilog=_EXAMPLES
    )
    neighbours.add_argument("emoji", metavar="EMOJI", help="an emoji or a picture file")
    neighbours.add_argument(
        "-k", type=command.positive, default=10, metavar="K", help="how many (default: 10)"
    )
    neighbours.set_defaults(work=_neighbours)

    for each in (encode, reconstruct, sample, morph, neighbours):
        each.add_argument(
            "--model", type=Path, metavar="FOLDER", help="your own: a folder with the folder vae"
        )
    return parser


def _add_pictures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="*", metavar="FILE", help="picture files")
    parser.add_argument(
        "--emojis", nargs="*", metavar="EMOJI", help="instead: these emojis; all if none is named"
    )


def _add_output(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--output", type=Path, required=True, metavar="PNG", help="what to write")
    parser.add_argument(
        "--size", type=int, default=72, metavar="PIXELS", help="of each picture (default: 72)"
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
    if not Path(name).exists():
        raise InputError(
            f"{command.shortened(name)} is no emoji of the catalogue and no file; name one of them"
        )
    return _codec(options).encode_files([name]).codes[0]


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
    if options.files:
        codes = _codec(options).encode_files(options.files)
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
        pictures = images.read_many(options.files)
    else:
        pictures = images.sheet()
        if options.emojis:
            pictures = pictures[[catalogue().index(emoji) for emoji in options.emojis]]
    pairs = np.stack([pictures, _codec(options).reconstruct(pictures)], axis=1)
    # (n, 2, 36, 36, 4) to (2n, 36, 36, 4): original, reconstruction, original, …
    pairs = pairs.reshape(-1, *pictures.shape[1:])
    images.save(options.output, images.grid(pairs, 2 * _PAIRS, options.size))


def _sample(options: argparse.Namespace) -> None:
    from emoji_vae import images

    sampled = _codec(options).sample(options.n, options.seed, options.temperature)
    assert sampled.pictures is not None  # generated emojis come with them
    images.save(options.output, images.grid(sampled.pictures, size=options.size))


def _morph(options: argparse.Namespace) -> None:
    from emoji_vae import images

    codec = _codec(options)
    start, end = (_one(name, options) for name in (options.start, options.end))
    pictures = codec.decode(codec.morph(start, end, options.steps))
    images.save(options.output, images.grid(pictures, len(pictures), options.size))


def _neighbours(options: argparse.Namespace) -> None:
    import numpy as np

    from emoji_vae.catalogue import catalogue

    codes = _known(options)
    distances = np.linalg.norm(codes.codes - _one(options.emoji, options), axis=1)
    itself = catalogue().find(options.emoji)
    nearest = [
        i for i in distances.argsort(kind="stable") if catalogue().find(codes.names[i]) != itself
    ]
    for rank, i in enumerate(nearest[: options.k], start=1):
        # The tab keeps names in line, however wide a terminal draws an emoji.
        emoji = catalogue()[catalogue().index(codes.names[i])]
        print(f"{rank:3}  {distances[i]:7.4f}  {codes.names[i]}\t{emoji.name}")


if __name__ == "__main__":
    sys.exit(main())
