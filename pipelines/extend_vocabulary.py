"""Let a trained model know the frequent words of new data, by what GloVe has of them.

    python -m pipelines.extend_vocabulary tweets.txt --output build/extended
    python -m pipelines.extend_vocabulary reviews.csv --column body --at-most 500 --output build/x

Then tune it to the task: ``finetune("build/extended", texts, labels)``. Words that GloVe lacks
begin at the mean of the words beside them; see ``sqam.vocabulary``, which does the rest.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from emoji_vae.command import Parser, positive, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import glove, sources
from pipelines.lexicon import carried
from sqam.encoder import Encoder
from sqam.reading import Source
from sqam.vocabulary import ExtendSettings, extend, new_words

NEAREST = 10
"""Known words that say where a new one belongs."""


def placed(
    encoder: Encoder, words: Sequence[str], pretrained: glove.Glove
) -> dict[str, np.ndarray]:
    """Return vectors for those of the words that GloVe has.

    A model's vectors are not GloVe's, so a new word begins at the mean of those known words that
    are nearest to it by GloVe's cosine. By how much it differs from these in GloVe it differs from
    them here, as far as the linear map tells that fits all known words best.

    Args:
        encoder: the trained model.
        words: new ones.
        pretrained: GloVe, of the model's dimensions.

    Returns:
        Word -> float32 (dimensions,).

    Raises:
        InputError: GloVe has other dimensions, or none of the model's words.
    """
    dimensions = encoder.table.shape[1]
    if pretrained.vectors.shape[1] != dimensions:
        raise InputError(
            f"GloVe has {pretrained.vectors.shape[1]} dimensions, the model {dimensions}; give "
            "--glove vectors of its length"
        )
    place = {word: row for row, word in enumerate(pretrained.words)}
    common = [row for row, word in enumerate(encoder.vocabulary.words) if word in place]
    if not common:
        raise InputError("GloVe has no word of the model; give another --glove")
    theirs = pretrained.vectors[[place[encoder.vocabulary.words[row]] for row in common]]
    at = np.array(common) + 1  # row 0 is padding
    ours = encoder.table[at] * encoder.scales[at]
    lengths = np.linalg.norm(theirs, axis=1) + 1e-9
    new = [word for word in words if word in place]
    vectors = pretrained.vectors[[place[word] for word in new]]
    known, mapped = np.split(
        carried(np.concatenate([theirs, vectors]), theirs, ours), [len(theirs)]
    )
    apart = ours - known
    found = {}
    for word, vector, there in zip(new, vectors, mapped, strict=True):
        # The word's own length is the same for all of them.
        cosines = theirs @ vector / lengths
        nearest = np.argsort(-cosines, kind="stable")[:NEAREST]
        found[word] = there + apart[nearest].mean(axis=0)
    return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    parser = Parser(prog="python -m pipelines.extend_vocabulary", description=__doc__)
    add, defaults = parser.add_argument, ExtendSettings()
    add("input", nargs="+", help="files of texts: .txt, .csv, .jsonl or .parquet")
    add("--column", help="that of the texts, in files with columns (text)")
    add("--model", type=Path, default=asset("models", "sqam"), help="folder of the trained model")
    add("--output", type=Path, required=True, metavar="FOLDER", help="of the extended one")
    add("--at-most", type=positive, default=defaults.at_most, metavar="N", help="new words")
    add("--at-least", type=positive, default=defaults.at_least, metavar="N", help="times met")
    add("--near", action="store_true", help="words that are read as what is near, too")
    add("--glove", default="100d", help="50d, 100d, or your own file; see pipelines.glove")
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    return run(parser.prog, lambda: _work(parser.parse_args(argv)))


def _work(options: argparse.Namespace) -> None:
    settings = ExtendSettings(options.at_most, options.at_least, options.near)
    texts = []
    for name in options.input:
        with Source(name, options.column).opened() as reader:
            records = tqdm(reader.records(), name, unit="text", leave=False, disable=None)
            texts += [record.text for record in records]
    encoder = Encoder.load(options.model)
    words = new_words(encoder.vocabulary, texts, settings)
    vectors = placed(encoder, words, glove.load(options.glove, options.cache)) if words else {}
    extend(options.model, options.output, texts, settings=settings, vectors=vectors)
    print(
        f"wrote {options.output}: {len(words)} more words, {len(vectors)} of them GloVe's: "
        f"{' '.join(words[:10])}{' …' if len(words) > 10 else ''}"
    )


if __name__ == "__main__":
    sys.exit(main())
