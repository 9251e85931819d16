"""The command ``sqam``: arguments in, ranked emojis out."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emoji_vae import __version__, command
from emoji_vae.errors import InputError
from sqam import bulk

# What reads models is imported where it is used, so that --help and a wrong option answer at once.
if TYPE_CHECKING:
    from emoji_vae.codes import EmojiCodes

_PROGRAM = "sqam"

_EXAMPLES = f"""\
examples:
  sqam rank "Congrats on the new job!"
  sqam rank "let's play" --among ❤️ ⚾ 😄 😞 🍴 --json
  sqam rank "good morning" --pictures sun.png logo.png
  sqam rank "good morning" --generated 100 --seed 7 --save best.png
  sqam rank --input sentences.txt --output ranked.jsonl -k 10
  sqam rank --input reviews.csv --column body --output ranked.csv
  cat sentences.txt | sqam rank --input - > ranked.jsonl

A TEXT that begins with a dash goes after --, at the end: sqam rank -k 3 -- "-_- zzz".

Words that the model does not know are passed over. A TEXT without a known word is an error; a line
of --input without one gets no matches, and a note on standard error counts such lines.

Results of --input grow in OUTPUT.part and take their name when they are whole; after an
interruption the same command with --resume goes on there. A .csv output has one row a match (text,
rank, emoji, name, score), anything else one JSON object a text.

{command.EXIT_CODES}
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with these arguments (the process's own by default); return its exit code.

    Raises:
        SystemExit: after ``--help`` and ``--version``, with code 0.
    """
    return command.run(_PROGRAM, lambda: _rank(_parser().parse_args(argv)))


def _parser() -> argparse.ArgumentParser:
    parser = command.Parser(
        prog=_PROGRAM, description="Rank emojis for sentences.", epilog=_EXAMPLES
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    rank = commands.add_parser(
        "rank",
        help="rank emojis, pictures or newly drawn emojis for texts",
        description="Rank all emojis, or the candidates that you name, for each text.",
        epilog=_EXAMPLES,
    )
    rank.add_argument("texts", nargs="*", metavar="TEXT", help="what to rank emojis for")
    rank.add_argument(
        "-k",
        type=command.positive,
        default=10,
        metavar="K",
        help="matches for each text (default: 10)",
    )
    rank.add_argument("--json", action="store_true", help="one JSON object a text, not a table")
    rank.add_argument(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="models of your own: a folder with the folders sqam and vae",
    )

    candidates = rank.add_argument_group("candidates (one of these; default: every emoji)")
    source = candidates.add_mutually_exclusive_group()
    source.add_argument("--among", nargs="+", metavar="EMOJI", help="these emojis")
    source.add_argument("--pictures", nargs="+", metavar="FILE", help="these picture files")
    source.add_argument(
        "--generated", type=int, metavar="N", help="N emojis that are drawn on the spot"
    )
    candidates.add_argument("--seed", type=int, metavar="S", help="of --generated (default: 0)")
    candidates.add_argument(
        "--save",
        type=Path,
        metavar="PNG",
        help="with --generated: write the best picture for the (first) TEXT",
    )
    candidates.add_argument(
        "--size", type=int, metavar="PIXELS", help="width and height of --save (default: 144)"
    )

    files = rank.add_argument_group("files")
    files.add_argument(
        "--input",
        metavar="FILE",
        help="texts: .txt (one a line), .csv, .jsonl, or - for lines on standard input",
    )
    files.add_argument(
        "--output",
        metavar="FILE",
        help=".jsonl or .csv; default and -: JSON lines on standard output",
    )
    files.add_argument("--column", metavar="C", help="where .csv and .jsonl hold the text (text)")
    files.add_argument("--resume", action="store_true", help="go on after an interruption")
    files.add_argument("--force", action="store_true", help="replace an --output that is there")
    return parser


def _rank(options: argparse.Namespace) -> None:
    job = _checked(options)
    candidates = _candidates(options)

    from sqam.scorer import Scorer

    scorer = Scorer.load(command.model_folder(options.model, "sqam"))
    if job is not None:
        tally = job.run(scorer, candidates, options.k)
    else:
        tally = bulk.Tally()
        ranked = list(bulk.results(scorer, options.texts, candidates, options.k, tally))
        for result in ranked:
            if not result["matches"]:
                raise InputError(_no_matches(result["text"]))
        if options.save is not None:
            _save_best(ranked[0], candidates, options)
        _print(ranked, options.json)
    if note := tally.note():
        print(f"{_PROGRAM}: note: {note}", file=sys.stderr)


def _checked(options: argparse.Namespace) -> bulk.Job | None:
    """Refuse options that do not go together; return the job if texts come from a file."""
    for option, needed in [("seed", "generated"), ("save", "generated"), ("size", "save")]:
        if getattr(options, option) is not None and getattr(options, needed) is None:
            raise InputError(f"--{option} is for --{needed}; add that or leave --{option} out")
    if options.input is None:
        for option in ("output", "column", "resume", "force"):
            if getattr(options, option):
                raise InputError(f"--{option} is for --input; add that or leave --{option} out")
        if not options.texts:
            raise InputError(
                'nothing to rank for; give a TEXT before the options, as in: sqam rank "hello" '
                "--among 👋 🍴, or a file with --input"
            )
        return None
    if options.texts:
        raise InputError(
            f"both a TEXT ({command.shortened(options.texts[0])}) and --input; give one of them"
        )
    if options.save is not None:
        raise InputError("--save is for a TEXT, not for --input; leave it out")
    output = None if options.output in (None, "-") else Path(options.output)
    return bulk.Job(options.input, output, options.column, options.resume, options.force)


def _candidates(options: argparse.Namespace) -> "EmojiCodes":
    folder = command.model_folder(options.model, "vae")
    if options.pictures is not None or options.generated is not None:
        from emoji_vae.codec import Codec

        codec = Codec.load(folder)
        if options.pictures is not None:
            return codec.encode_files(options.pictures)
        return codec.sample(options.generated, options.seed or 0)
    from emoji_vae.codes import EmojiCodes

    codes = EmojiCodes.load(None if folder is None else folder / "codes.npz")
    return codes if options.among is None else codes.select(options.among)


def _no_matches(text: str) -> str:
    if not text.strip():
        return f"the text {command.shortened(text)} is empty; give some words"
    return f"the model knows no word of {command.shortened(text)}; try other, English words"


def _save_best(result: bulk.Result, candidates: "EmojiCodes", options: argparse.Namespace) -> None:
    from emoji_vae import images

    assert candidates.pictures is not None  # generated emojis come with them
    best = candidates.names.index(result["matches"][0]["emoji"])
    size = 144 if options.size is None else options.size
    images.write(options.save, candidates.pictures[best], size)


def _print(ranked: list[bulk.Result], as_json: bool) -> None:
    if as_json:
        for result in ranked:
            sys.stdout.write(bulk.json_line(result))
        return
    for number, result in enumerate(ranked):
        if len(ranked) > 1:
            if number:
                print()
            print(command.printable(result["text"][:200]))
        for rank, match in enumerate(result["matches"], start=1):
            # The tab keeps names in line, however wide a terminal draws an emoji. A picture has
            # no name but its file's.
            name = f"\t{match['name']}" if match["name"] != match["emoji"] else ""
            print(f"{rank:3}  {match['score']:7.4f}  {command.printable(match['emoji'])}{name}")


if __name__ == "__main__":
    sys.exit(main())
