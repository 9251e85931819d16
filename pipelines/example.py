"""Draw the README's picture: sentences and what the shipped model ranks first for them.

python -m pipelines.example
python -m pipelines.example --output mine.png "A sentence of mine" "Another one"
"""

import io
import sys
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib import pyplot
from PIL import Image

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from emoji_vae.locations import asset
from sqam.scorer import Scorer

SENTENCES = (
    "Congrats on the new job!",
    "pizza tonight?",
    "so tired of this rain",
    "happy birthday",
    "not feeling happy",
)
MATCHES = 6


def draw(sentences: Sequence[str], output: Path) -> None:
    """Write a picture with a row for each sentence: its first emojis, as pictures, with cosines.

    Raises:
        InputError: a sentence without a known word, or a file that cannot be written.
    """
    sheet = images.sheet()
    ranked = Scorer.load().rank(sentences, EmojiCodes.load(), MATCHES)
    matplotlib.use("Agg")
    figure = pyplot.figure(figsize=(7.2, 0.75 * len(sentences)), dpi=150)
    for line, (sentence, matches) in enumerate(zip(sentences, ranked, strict=True)):
        if not matches:
            raise InputError(f"the model knows no word of {sentence!r}; give another sentence")
        bottom = 1 - (line + 1) / len(sentences)
        height = 1 / len(sentences)
        figure.text(0.02, bottom + height / 2, sentence, va="center", size=12)
        for place, match in enumerate(matches):
            left = 0.42 + 0.095 * place
            axes = figure.add_axes((left, bottom + 0.30 * height, 0.085, 0.62 * height))
            axes.imshow(images.to_image(sheet[catalogue().index(match.emoji)], 108))
            axes.axis("off")
            figure.text(
                left + 0.0425, bottom + 0.14 * height, f"{match.score:.2f}",
                ha="center", va="center", size=8, color="0.4",
            )  # fmt: skip
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png")
    pyplot.close(figure)
    with replacing(output) as file, Image.open(drawn) as picture:
        # 256 colours take a quarter of the room.
        picture.convert("RGB").quantize(256).save(file, format="png", optimize=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.example", description=__doc__)
    parser.add_argument("sentences", nargs="*", default=SENTENCES, metavar="SENTENCE")
    parser.add_argument("--output", type=Path, default=asset("example.png"), metavar="PNG")

    def work() -> None:
        options = parser.parse_args(argv)
        draw(options.sentences, options.output)

    return run(parser.prog, work)


if __name__ == "__main__":
    sys.exit(main())
