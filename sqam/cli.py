"""The command ``sqam``: arguments in; ranked, explained, inserted or new emojis out, or served."""

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from emoji_vae import __version__, command
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from sqam import bulk, emojify, explain
from sqam.job import Job

# What reads models is imported where it is used, so that --help and a wrong option answer at once.
if TYPE_CHECKING:
    from emoji_vae.codes import EmojiCodes
    from sqam.imagine import Imagined
    from sqam.scorer import Scorer

_PROGRAM = "sqam"

_WORTH_WORKERS = 1_000_000
"""Bytes of a file from which on it pays to start processes, which takes a third of a second."""

_EXAMPLES = f"""\
examples:
  sqam rank "Congrats on the new job!"
  sqam rank "let's play" --among ❤️ ⚾ 😄 😞 🍴 --json
  sqam rank "good morning" --pictures sun.png logo.png
  sqam rank "good morning" --generated 100 --seed 7 --save best.png
  sqam rank --input sentences.txt --output ranked.jsonl -k 10
  sqam rank --input reviews.csv --column body --keep id --output ranked.csv
  sqam rank --input reviews.parquet --column body --keep id --output ranked.parquet
  sqam rank --input sentences.txt.gz --output ranked.jsonl.gz
  sqam rank --input 'reviews/*.parquet' --column body --keep id --output ranked --cluster auto
  cat sentences.txt | sqam rank --input - > ranked.jsonl
  sqam explain "Congrats on the new job!"
  sqam emojify "Lets get coffee and talk. Love you!"
  sqam imagine "happy birthday, old friend" --output birthday.png
  sqam serve

A TEXT that begins with a dash goes after --, at the end: sqam rank -k 3 -- "-_- zzz".

Words that the model does not know are passed over. A TEXT without a known word is an error; a line
of --input without one gets no matches, and a note on standard error counts such lines.

Results of --input grow in OUTPUT.part and take their name when they are whole; after an
interruption the same command with --resume goes on there. A .csv output has one row a match (text,
rank, emoji, name, score), a .parquet one row a text with the list of its matches, anything else one
JSON object a text. Columns that --keep names come first. A .parquet file gives them their types
again; from elsewhere they are text in a .parquet file.

With --cluster, --input is a file, a folder or a glob, --output a folder, both at such a path or
address (s3://...) that every node of the Ray cluster reaches. Each block of texts becomes a shard
there. When the same command is given again it makes what is missing. --workers are the cluster's,
each on a CPU of its own (default: one for each CPU but one a node).

{command.EXIT_CODES}
"""

_EXPLAIN_EXAMPLES = f"""\
examples:
  sqam explain "Congrats on the new job!"
  sqam explain "let's play" -k 1 --among ❤️ ⚾ 😄 😞 🍴
  sqam explain "I don't love pizza" --json
  sqam explain "I don't love pizza" --color always | less -R

A TEXT that begins with a dash goes after --, at the end: sqam explain -k 1 -- "-_- zzz".

A word's pull is the cosine of TEXT with the emoji minus that of TEXT without the word, the others
being left where they are. Below zero it pushes the emoji down. Pulls need not add up to the cosine:
of two words that say the same, each is hardly missed. Without its only known word a TEXT has the
cosine 0, so that word's pull is the whole cosine.

On a terminal the text stands above each table, words that pull up on green, words that push down on
red, the stronger the fuller; words that the model does not know are dim. A piece of the text that
is read as several words, such as an emoji, has the colour of their sum. The model reads the first
known words of a long TEXT and no others; a note on standard error says so.

--color auto is the default: colours on a terminal, unless NO_COLOR is set.

{command.EXIT_CODES}
"""

_EMOJIFY_EXAMPLES = f"""\
examples:
  sqam emojify "Congratulations on the promotion! Lets get coffee and talk. Love you!"
  sqam emojify "We won! What a day." --max-per-sentence 2 --min-score 0.5
  sqam emojify "I adore you. I am hungry." --among ❤️ ⚾ 😄 😞 🍴 --json
  sqam emojify --input letter.txt --output letter-with-emojis.txt
  sqam emojify --input reviews.csv --column body --output reviews-with-emojis.csv
  cat letter.txt | sqam emojify --input - > letter-with-emojis.txt

A TEXT that begins with a dash goes after --, at the end: sqam emojify -- "- Love you!"

An emoji goes after the sentence's punctuation and closing quotes, brackets or marks, with one space
before it. Nothing else changes: white space, line ends and marks stay as they are. A line break
ends a sentence, unless the next line goes on in lower case. A sentence stays alone if no emoji
reaches --min-score, if the model knows no word of it, or if no word stands after its last emoji
(it ends with one, or holds nothing else). A note on standard error counts the texts that got none.

The default of --min-score was chosen on validation data, where the cosines of right and wrong
emojis overlap widely: expect many an emoji that is only near.

Lines of a .txt file or of standard input go out as lines, to a .txt file or to standard output. A
.csv output has a row a text (text, emojified), a .parquet one its insertions as well; a .jsonl
output, --json, and a .csv, .jsonl or .parquet source on standard output give an object a text, with
each emoji's position, name and score. Columns that --keep names come first.

Results of --input grow in OUTPUT.part and take their name when they are whole; after an
interruption the same command with --resume goes on there.

{command.EXIT_CODES}
"""

_IMAGINE_EXAMPLES = f"""\
examples:
  sqam imagine "happy birthday, old friend" --output birthday.png
  sqam imagine "storm at sea" -n 3 --seed 7 --size 288 --output storm.png --json
  sqam imagine "storm at sea" -n 20 --output storm.npz

The table says of each drawing, best first: the cosine with TEXT; the logarithm of the prior's
density at its code; and the emoji whose code is the nearest, with the distance. Under it stands the
emoji that fits TEXT best of all that exist. No drawing is a copy: each is at least as far from
every emoji as half of the emojis are from their nearest. Where fewer than N such drawings are
found, these are written, and a note on standard error says so.

{command.EXIT_CODES}
"""

_SERVE_EXAMPLES = f"""\
examples:
  sqam serve
  sqam serve --port 8080 --model build/mine
  SQAM_TOKEN=a-long-secret sqam serve --host 0.0.0.0 --in-flight 64
  curl http://127.0.0.1:8000/v1/rank -H 'Content-Type: application/json' \\
    -d '{{"text": "Congrats on the new job!", "k": 3}}'

A browser finds the page at http://127.0.0.1:8000/, a program the calls in /openapi.json. /healthz
and /readyz tell how the server is, /metrics gives figures to Prometheus; these need no token. Log
lines go to standard error, as JSON; they never hold a text.

Whoever can reach the address may ask. By default that is this machine alone; for others set a token
(in the environment, where other users do not see it) and put a proxy with TLS before it.

At SIGTERM it says on /readyz that it is not ready, goes on for --drain seconds, answers what it has
accepted, and ends with code 0. Ctrl-C skips the wait.

{command.EXIT_CODES}
"""

# Options of `sqam serve` that are its ServerSettings, which only `sqam serve` imports.
_LIMITS: dict[str, tuple[Callable[[str], float], str]] = {
    "in_flight": (int, "calls that are handled at once; one more is answered 429 (128)"),
    "waiting": (int, "slow calls of each kind that may wait for a thread (16)"),
    "drawing_threads": (int, "threads that draw (2)"),
    "timeout": (float, "seconds that a call may take (10)"),
    "slow_timeout": (float, "seconds that one that draws may take (60)"),
    "drain": (float, "seconds to go on after SIGTERM (1)"),
    "body_bytes": (int, "bytes of a JSON body (1000000)"),
    "pictures": (int, "pictures of an upload (16)"),
    "picture_bytes": (int, "bytes of each (2000000)"),
    "picture_pixels": (int, "pixels of each (16000000)"),
}

# Drawings that share a row of the picture.
_COLUMNS = 8


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
        description="Rank emojis for sentences, say why, put them into texts, or draw new ones.",
        epilog=_EXAMPLES,
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
    _add_k(rank, 10, "matches for each text")
    rank.add_argument("--json", action="store_true", help="one JSON object a text, not a table")
    _add_model(rank)

    candidates = rank.add_argument_group("candidates (one of these; default: every emoji)")
    source = candidates.add_mutually_exclusive_group()
    _add_among(source, "these emojis")
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

    _add_files(
        rank, ".jsonl, .csv, .parquet, .jsonl.gz, ...; default and -: JSON lines on standard output"
    )
    nodes = rank.add_argument_group("cluster (see below)")
    nodes.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="rank on this Ray cluster (auto, HOST:PORT, or local: one of this machine's own)",
    )
    nodes.add_argument("--shards", metavar="KIND", help="parquet, jsonl or csv (default: parquet)")
    nodes.add_argument(
        "--timeout",
        type=command.positive,
        metavar="SECONDS",
        help="give up when no shard was finished for so long (default: 900)",
    )
    rank.set_defaults(work=_rank)

    why = commands.add_parser(
        "explain",
        help="tell which words of a text pulled its first emojis up",
        description="Tell how far each word of a text pulled the best emojis up, or down.",
        epilog=_EXPLAIN_EXAMPLES,
    )
    why.add_argument("text", metavar="TEXT", help="what to rank emojis for")
    _add_k(why, 3, "matches to explain, the best first")
    _add_among(why, "rank these emojis (default: all)")
    shown = why.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="one JSON object, not tables")
    shown.add_argument(
        "--color",
        choices=["auto", "always", "never"],
        default="auto",
        help="whether the text is shown in colours",
    )
    _add_model(why)
    why.set_defaults(work=_explain, pictures=None, generated=None)

    put = commands.add_parser(
        "emojify",
        help="put a fitting emoji after each sentence of a text",
        description="Put a fitting emoji after each sentence; all else of a text stays as it is.",
        epilog=_EMOJIFY_EXAMPLES,
    )
    put.add_argument("texts", nargs="*", metavar="TEXT", help="what to put emojis into")
    put.add_argument(
        "--max-per-sentence",
        type=command.positive,
        default=1,
        metavar="N",
        help="emojis after a sentence, at most (default: 1)",
    )
    put.add_argument(
        "--min-score",
        type=_cosine,
        default=emojify.MIN_SCORE,
        metavar="X",
        help="the least cosine of an emoji, from -1 to 1 (default: %(default)s)",
    )
    _add_among(put, "choose from these emojis (default: all)")
    put.add_argument("--json", action="store_true", help="one JSON object a text, not the text")
    _add_model(put)
    _add_files(put, ".txt, .jsonl, .csv, .parquet, .txt.gz, ...; default and -: standard output")
    put.set_defaults(work=_emojify, pictures=None, generated=None)

    imagine = commands.add_parser(
        "imagine",
        help="draw new emojis for a text",
        description="Search for drawings that fit a text, look like emojis, and are none.",
        epilog=_IMAGINE_EXAMPLES,
    )
    imagine.add_argument("text", metavar="TEXT", help="what to draw emojis for")
    imagine.add_argument(
        "-n", type=command.positive, default=8, metavar="N", help="how many (default: 8)"
    )
    imagine.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help=".png: the drawings, best first; .npz: their codes and pictures",
    )
    imagine.add_argument(
        "--size", type=int, metavar="PIXELS", help="of each drawing in a .png (default: 144)"
    )
    imagine.add_argument(
        "--background",
        metavar="COLOUR",
        help="of a .png: a name or #rrggbb (default: transparent)",
    )
    imagine.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="S",
        help="another one draws other emojis (default: 0)",
    )
    imagine.add_argument("--json", action="store_true", help="one JSON object, not a table")
    _add_model(imagine)
    imagine.set_defaults(work=_imagine)
    _add_serve(commands)
    return parser


def _add_serve(commands: "argparse._SubParsersAction[command.Parser]") -> None:
    serve = commands.add_parser(
        "serve",
        help="answer over HTTP, with a page to try it",
        description="Answer over HTTP what the other commands do, and show a page to try it.",
        epilog=_SERVE_EXAMPLES,
    )
    serve.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    serve.add_argument(
        "--port",
        type=_port,
        default=8000,
        metavar="N",
        help="port to listen on; 0 takes a free one (%(default)s)",
    )
    serve.add_argument(
        "--token", help="that every call must bring; better in the environment, as SQAM_TOKEN"
    )
    serve.add_argument(
        "--log-level",
        choices=["debug", "info", "warning", "error"],
        default="info",
        help="info has a line for each request (%(default)s)",
    )
    _add_model(serve)
    limits = serve.add_argument_group("limits")
    for name, (kind, help) in _LIMITS.items():
        option = f"--{name.replace('_', '-')}"
        limits.add_argument(option, type=kind, metavar="N", help=help)
    serve.set_defaults(work=_serve)


def _add_k(parser: argparse.ArgumentParser, default: int, what: str) -> None:
    told = f"{what} (default: {default})"
    parser.add_argument("-k", type=command.positive, default=default, metavar="K", help=told)


def _add_among(parser: argparse._ActionsContainer, what: str) -> None:
    parser.add_argument("--among", nargs="+", metavar="EMOJI", help=what)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        type=Path,
        metavar="FOLDER",
        help="models of your own: a folder with the folders sqam and vae",
    )


def _add_files(parser: argparse.ArgumentParser, output: str) -> None:
    files = parser.add_argument_group("files")
    files.add_argument(
        "--input",
        metavar="FILE",
        help="texts: .txt (one a line), .csv, .jsonl (each also as .gz, .bz2, .xz or .zst), "
        ".parquet, or - for lines on standard input",
    )
    files.add_argument("--output", metavar="FILE", help=output)
    files.add_argument("--column", metavar="C", help="that of an --input with columns (text)")
    files.add_argument(
        "--keep", nargs="+", metavar="C", help="further columns, to stand in the --output as well"
    )
    files.add_argument(
        "--workers",
        type=command.positive,
        metavar="N",
        help="processes that share the work of an --input that is a file (default: one for each "
        "CPU, or 1 where it is small)",
    )
    files.add_argument("--resume", action="store_true", help="go on after an interruption")
    files.add_argument("--force", action="store_true", help="replace an --output that is there")


def _cosine(text: str) -> float:
    try:
        number = float(text)
        emojify.check(1, number)
    except (ValueError, InputError):
        raise argparse.ArgumentTypeError(
            f"{command.shortened(text)} is no cosine; give a number from -1 to 1"
        ) from None
    return number


def _rank(options: argparse.Namespace) -> None:
    _check_rank(options)
    if options.cluster is not None:
        _rank_on_cluster(options)
        return
    job = _job(options, "rank for", 'sqam rank "hello" --among 👋 🍴')
    candidates = _candidates(options)
    scorer = _scorer(options, job)
    if job is not None:
        tally = job.run(scorer, candidates, options.k)
    else:
        tally = bulk.Tally()
        ranked = list(bulk.results(scorer, options.texts, candidates, options.k, tally))
        for result in ranked:
            if not result["matches"]:
                raise InputError(bulk.no_matches(result["text"]))
        if options.save is not None:
            _save_best(ranked[0], candidates, options)
        _print(ranked, options.json)
    _note(tally)


def _rank_on_cluster(options: argparse.Namespace) -> None:
    if options.texts or options.input is None or options.output in (None, "-"):
        raise InputError("--cluster is for files; name them with --input, and a folder as --output")
    for option in ("resume", "force"):
        if getattr(options, option):
            raise InputError(
                f"--{option} is not for --cluster, where the same command makes what is missing; "
                "leave it out"
            )

    from sqam.cluster import ClusterJob

    given = {
        name: value
        for name, value in {
            "kind": options.shards,
            "workers": options.workers,
            "timeout": options.timeout,
        }.items()
        if value is not None
    }
    job = ClusterJob(
        options.input,
        options.output,
        options.cluster,
        options.column,
        tuple(options.keep or ()),
        **given,
    )
    model = command.model_folder(options.model, "sqam")
    _note(job.run(_candidates(options), options.k, model))


def _note(tally: bulk.Tally) -> None:
    if note := tally.note():
        print(f"{_PROGRAM}: note: {note}", file=sys.stderr)


def _check_rank(options: argparse.Namespace) -> None:
    """Refuse options that do not go together."""
    for option, needed in [("seed", "generated"), ("save", "generated"), ("size", "save")]:
        if getattr(options, option) is not None and getattr(options, needed) is None:
            raise InputError(f"--{option} is for --{needed}; add that or leave --{option} out")
    if options.save is not None and options.input is not None and not options.texts:
        raise InputError("--save is for a TEXT, not for --input; leave it out")
    for option in ("shards", "timeout"):
        if getattr(options, option) is not None and options.cluster is None:
            raise InputError(f"--{option} is for --cluster; add that or leave --{option} out")


def _job(
    options: argparse.Namespace, purpose: str, example: str, lines: bool = False
) -> Job | None:
    """Return the job if texts come from a file; refuse what it and texts cannot be."""
    if options.input is None:
        for option in ("output", "column", "keep", "workers", "resume", "force"):
            if getattr(options, option):
                raise InputError(f"--{option} is for --input; add that or leave --{option} out")
        if not options.texts:
            raise InputError(
                f"nothing to {purpose}; give a TEXT before the options, as in: {example}, "
                "or a file with --input"
            )
        return None
    if options.texts:
        raise InputError(
            f"both a TEXT ({command.shortened(options.texts[0])}) and --input; give one of them"
        )
    output = None if options.output in (None, "-") else Path(options.output)
    return Job(
        options.input,
        output,
        options.column,
        options.resume,
        options.force,
        lines,
        tuple(options.keep or ()),
        _workers(options),
    )


def _workers(options: argparse.Namespace) -> int:
    """Return how many processes work on a file.

    From a pipe, or to one, it is this one: what is finished must not wait for what is to come.
    """
    if options.output in (None, "-") or options.input == "-":
        if options.workers not in (None, 1):
            raise InputError("--workers is for files; name them with --input and --output")
        return 1
    if options.workers is not None:
        return options.workers
    try:
        size = os.stat(options.input).st_size
    except OSError:  # the job says so
        return 1
    if size < _WORTH_WORKERS:
        return 1
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return there or 1


def _scorer(options: argparse.Namespace, job: Job | None) -> "Scorer":
    """Open the model's scorer; for a job of several processes each opens its own, in one thread."""
    folder = command.model_folder(options.model, "sqam")
    if job is not None and job.workers > 1:
        return bulk.late_scorer(folder, threads=1)
    from sqam.scorer import Scorer

    return Scorer.load(folder)


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


def _emojify(options: argparse.Namespace) -> None:
    job = _job(options, "emojify", 'sqam emojify "hello" --among 👋 🍴', lines=not options.json)
    candidates = _candidates(options)
    scorer = _scorer(options, job)
    task = emojify.Emojifying(scorer, candidates, options.max_per_sentence, options.min_score)
    if job is not None:
        tally = job.do(task)
    else:
        tally = bulk.Tally(nothing=task.nothing)
        for result in bulk.objects(task, options.texts, tally):
            shown = bulk.json_line(result) if options.json else f"{result['emojified']}\n"
            sys.stdout.write(shown)
    _note(tally)


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
            print(bulk.match_line(rank, match))


def _explain(options: argparse.Namespace) -> None:
    candidates = _candidates(options)

    from sqam.scorer import Scorer

    scorer = Scorer.load(command.model_folder(options.model, "sqam"))
    text = bulk.mended(options.text)
    explained = explain.explain(text, scorer, candidates, options.k)
    result = explain.as_object(explained)
    if options.json:
        sys.stdout.write(bulk.json_line(result))
    else:
        for line in explain.lines(explained, _colored(options.color)):
            print(line)
    tally = bulk.Tally()
    tally.add(options.text, result["text"], found=True)
    _note(tally)
    if len(scorer.vocabulary.ids(text, scorer.max_tokens + 1)) > scorer.max_tokens:
        print(
            f"{_PROGRAM}: note: the model reads the first {scorer.max_tokens} known words of a "
            "text; those after them pulled nothing",
            file=sys.stderr,
        )


def _colored(choice: str) -> bool:
    if choice != "auto":
        return choice == "always"
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


def _imagine(options: argparse.Namespace) -> None:
    size = 144 if options.size is None else options.size
    _check_imagine(options, size)

    from emoji_vae import images
    from emoji_vae.codec import Codec
    from emoji_vae.codes import EmojiCodes
    from sqam.imagine import ImagineSettings, imagine
    from sqam.scorer import Scorer

    vae = command.model_folder(options.model, "vae")
    scorer = Scorer.load(command.model_folder(options.model, "sqam"))
    known = EmojiCodes.load(None if vae is None else vae / "codes.npz")
    tally = bulk.Tally()
    # As ranked, so that both commands treat odd texts alike.
    (best,) = bulk.results(scorer, [options.text], known, 1, tally)
    if not best["matches"]:
        raise InputError(bulk.no_matches(best["text"]))
    codec = Codec.load(vae)
    settings = ImagineSettings()
    with command.progress(settings.finalists, "drawings") as progress:
        imagined = imagine(
            scorer, codec, best["text"], known, options.n, options.seed, settings, progress
        )
    if options.output.suffix.lower() == ".npz":
        imagined.codes.save(options.output)
    else:
        pictures = imagined.codes.pictures
        assert pictures is not None  # imagined emojis come with them
        images.save(options.output, images.grid(pictures, _COLUMNS, size, options.background))
    if options.json:
        _print_json(imagined, best, options)
    else:
        _print_table(imagined, best)
    _note(tally)
    if len(imagined.codes) < options.n:
        print(
            f"{_PROGRAM}: note: found {len(imagined.codes)} of {options.n} drawings that are "
            "likely, new and unlike each other; another --seed may find others",
            file=sys.stderr,
        )


def _check_imagine(options: argparse.Namespace, size: int) -> None:
    """Refuse what cannot be written, or not be searched for, before the search and not after it."""
    suffix = options.output.suffix.lower()
    if suffix not in {".png", ".npz"}:
        raise InputError(
            f"cannot tell how to write {str(options.output)!r}; name a .png or .npz file"
        )
    if suffix == ".npz" and (options.size is not None or options.background is not None):
        raise InputError("--size and --background are for a .png; leave them out")

    from emoji_vae import images
    from emoji_vae.prior import check_seed
    from sqam.imagine import check_count

    check_count(options.n)
    check_seed(options.seed)
    images.layout(options.n, _COLUMNS, size, options.background)
    with contextlib.suppress(_TrialError), replacing(options.output):
        raise _TrialError  # so that nothing is left of it


class _TrialError(Exception):
    """Ends an attempt to write, which has succeeded."""


def _print_json(imagined: "Imagined", best: bulk.Result, options: argparse.Namespace) -> None:
    from emoji_vae.catalogue import catalogue

    drawings = [
        {
            "name": name,
            "score": bulk.rounded(score),
            "log_density": bulk.rounded(log_density),
            "nearest": {
                "emoji": emoji,
                "name": catalogue()[catalogue().index(emoji)].name,
                "distance": bulk.rounded(distance),
            },
        }
        for name, score, log_density, (emoji, distance) in zip(
            imagined.codes.names,
            imagined.scores,
            imagined.log_density,
            imagined.nearest,
            strict=True,
        )
    ]
    # A folder may have any name, but what goes out is UTF-8.
    folder = options.model and str(options.model).encode(errors="replace").decode()
    found = {
        "text": best["text"],
        "model": {"version": __version__, "folder": folder},
        "seed": options.seed,
        "limits": {name: bulk.rounded(limit) for name, limit in vars(imagined.limits).items()},
        "best_emoji": best["matches"][0],
        "drawings": drawings,
    }
    print(json.dumps(found, ensure_ascii=False))


def _print_table(imagined: "Imagined", best: bulk.Result) -> None:
    from emoji_vae.catalogue import catalogue

    print("       score  density  distance  nearest emoji")
    for rank, (score, log_density, (emoji, distance)) in enumerate(
        zip(imagined.scores, imagined.log_density, imagined.nearest, strict=True), start=1
    ):
        # The tab keeps names in line, however wide a terminal draws an emoji.
        name = catalogue()[catalogue().index(emoji)].name
        print(f"{rank:3}  {score:7.4f}  {log_density:7.2f}  {distance:8.4f}  {emoji}\t{name}")
    match = best["matches"][0]
    print(f"best {match['score']:7.4f}  of all emojis{'':6}  {match['emoji']}\t{match['name']}")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text) < 65_536):
        raise argparse.ArgumentTypeError(
            f"{command.shortened(text)} is no port; give a whole number from 0 to 65535"
        )
    return int(text)


def _serve(options: argparse.Namespace) -> None:
    from sqam.server.run import serve
    from sqam.server.settings import ServerSettings

    given = {name: getattr(options, name) for name in _LIMITS}
    settings = ServerSettings(**{name: n for name, n in given.items() if n is not None})
    token = options.token if options.token is not None else os.environ.get("SQAM_TOKEN")
    serve(options.host, options.port, options.model, settings, token, options.log_level)


if __name__ == "__main__":
    sys.exit(main())
