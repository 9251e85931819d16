"""Export a trained model again: the same weights, in the form that is current.

    python -m pipelines.export_again                            # assets/models/sqam, in its place
    python -m pipelines.export_again --model build/x --output build/y

A model that was exported before something was added to what is exported gains it so: the sentence
features and the attention weights of ``sqam.encoder``, as yet. Settings, figures and hashes in
``config.json`` stay. That of the networks' versions does too: they are those of the training.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, run
from emoji_vae.locations import asset
from pipelines.five_classes import sample
from sqam.export import export, restore
from sqam.scorer import Scorer


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.export_again", description=__doc__)
    add = parser.add_argument
    add("--model", type=Path, default=asset("models", "sqam"), help="folder of the trained model")
    add("--codes", type=Path, default=asset("models", "vae", "codes.npz"), help="its answers")
    add("--output", type=Path, metavar="FOLDER", help="default: in its place")
    return run(parser.prog, lambda: _work(parser.parse_args(argv)))


def _work(options: argparse.Namespace) -> None:
    vocabulary = Scorer.load(options.model).vocabulary
    codes = EmojiCodes.load(options.codes)
    config = json.loads((options.model / "config.json").read_text(encoding="utf-8"))
    saved = {name: value for name, value in config.items() if name not in ("format", "settings")}
    output = options.output or options.model
    model = restore(options.model, codes.codes)
    difference = export(model, vocabulary, output, saved, codes, sample(vocabulary.words))
    print(f"wrote {output}; it differs from Keras by {difference:.1e} at most")


if __name__ == "__main__":
    sys.exit(main())
