"""Rank all emojis for a sentence by NumPy alone. A prototype, there to be measured, not to be used.

    python -m pipelines.numpy_ranker WEIGHTS.npz "Congrats on the new job!"

`pipelines.benchmark` writes the weights and times this beside ``sqam rank``: what does ONNX Runtime
cost a command that ranks one sentence? All but the networks is the command's own, from the
vocabulary to the table. It knows the form of the model that ships and no other, and the emojis'
vectors in the shared space were computed when the weights were written.
"""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self, cast

import numpy as np

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from sqam import cli
from sqam.text import Vocabulary, pad


def states(
    vectors: np.ndarray, weights: np.ndarray, recurrent: np.ndarray, biases: np.ndarray
) -> np.ndarray:
    """Run a bi-LSTM (Hochreiter and Schmidhuber: Long Short-Term Memory, 1997) over one text.

    Args:
        vectors: float32 (tokens, dimensions), of its words.
        weights: float32 (2, 4 * units, dimensions): forwards, backwards; the gates as ONNX orders
            them, input, output, forget, cell.
        recurrent: float32 (2, 4 * units, units).
        biases: float32 (2, 4 * units).

    Returns:
        float32 (tokens, 2 * units).
    """
    units = recurrent.shape[-1]
    read = np.stack([vectors, vectors[::-1]])
    read = read @ weights.transpose(0, 2, 1) + biases[:, np.newaxis]
    found = np.empty((2, len(vectors), units), dtype=np.float32)
    state = cell = np.zeros((2, units), dtype=np.float32)
    for step in range(len(vectors)):
        gates = read[:, step] + (recurrent @ state[..., np.newaxis])[..., 0]
        # The logistic function, written so that nothing overflows.
        opened = (1 + np.tanh(gates[:, : 3 * units] / 2)) / 2
        into, out, kept = np.split(opened, 3, axis=-1)
        cell = kept * cell + into * np.tanh(gates[:, 3 * units :])
        state = out * np.tanh(cell)
        found[:, step] = state
    return np.concatenate([found[0], found[1, ::-1]], axis=-1)


class NumPyRanker:
    """What ``sqam rank`` asks of a ``sqam.scorer.Scorer``: `rank`, for all emojis.

    Args:
        arrays: what `pipelines.benchmark.write_weights` writes: "weights", "recurrent" and "biases"
            (see `states`), "attention" (2 * units, 1), "kernel 0" (in, out), "bias 0" (out,) and so
            on for the dense layers, "answers" (emojis, space) of unit length, "max_tokens" ().
        folder: of the model, for its words and their vectors.
    """

    def __init__(self, arrays: Mapping[str, np.ndarray], folder: Path) -> None:
        # Matrices are kept in half precision, as in the exported network.
        full = {
            name: array.astype(np.float32) if array.dtype == np.float16 else array
            for name, array in arrays.items()
        }
        self._lstm = full["weights"], full["recurrent"], full["biases"]
        self._attention = full["attention"]
        layers = sum(name.startswith("kernel ") for name in full)
        self._dense = [(full[f"kernel {i}"], full[f"bias {i}"]) for i in range(layers)]
        self._answers = full["answers"]
        self._max_tokens = int(full["max_tokens"])
        self._vocabulary = Vocabulary.load(folder / "vocabulary.txt")
        self._table = np.load(folder / "embedding.npy", mmap_mode="r", allow_pickle=False)
        self._scales = np.load(folder / "scales.npy", allow_pickle=False)

    @classmethod
    def load(cls, weights: Path, folder: Path | None = None) -> Self:
        """Read the weights, and the words of a model (by default the one that ships).

        Raises:
            InputError: the weights or the model are missing or damaged.
        """
        try:
            with np.load(weights, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return cls(arrays, asset("models", "sqam") if folder is None else folder)
        except InputError:
            raise
        except Exception as error:  # foreign bytes make NumPy's readers raise almost anything
            raise InputError(
                f"cannot read the weights {str(weights)!r} ({error}); write them again with "
                "pipelines.benchmark.write_weights"
            ) from error

    def question(self, sentence: str) -> np.ndarray:
        """Put a sentence into the shared space: float32 (space,), of unit length.

        A sentence without a known word is the zero vector.
        """
        rows = self._vocabulary.ids(sentence, self._max_tokens)
        if not rows:
            return np.zeros(self._answers.shape[1], dtype=np.float32)
        (tokens,) = pad([rows], len(rows))
        read = states(self._table[tokens] * self._scales[tokens], *self._lstm)
        shares = read @ self._attention
        shares = np.exp(shares - shares.max())
        shares /= shares.sum()
        x = np.concatenate([read.max(axis=0), (shares * read).sum(axis=0)])
        for kernel, bias in self._dense[:-1]:
            x = np.maximum(x @ kernel + bias, 0)
        kernel, bias = self._dense[-1]
        x = np.tanh(x @ kernel + bias)
        return np.asarray(x / max(np.linalg.norm(x), 1e-9), dtype=np.float32)

    def score(self, sentence: str) -> np.ndarray:
        """Return a sentence's cosine with each emoji, float32 (emojis,), in [-1, 1]."""
        return np.asarray(np.clip(self._answers @ self.question(sentence), -1, 1))

    def rank(
        self, sentences: Sequence[str], candidates: EmojiCodes, k: int = 10
    ) -> list[list[tuple[str, str, float]]]:
        """Return each sentence's best ``k`` emojis with their names and cosines, best first.

        A sentence without a known word has none. Equal cosines keep the order of the emojis.

        Raises:
            InputError: the candidates are not those whose vectors the weights hold.
        """
        if len(candidates) != len(self._answers):
            raise InputError(
                f"{len(candidates)} candidates, but the weights hold {len(self._answers)}; rank "
                "all emojis"
            )
        found = []
        for sentence in sentences:
            scores = self.score(sentence)
            best = (-scores).argsort(kind="stable")[:k].tolist() if scores.any() else []
            names = [candidates.names[at] for at in best]
            found.append(
                [
                    (name, catalogue()[catalogue().index(name)].name, float(scores[at]))
                    for name, at in zip(names, best, strict=True)
                ]
            )
        return found


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.numpy_ranker", description=__doc__)
    parser.add_argument(
        "weights", type=Path, metavar="WEIGHTS.npz", help="that pipelines.benchmark wrote"
    )
    parser.add_argument("text", metavar="TEXT", help="what to rank emojis for")
    read: list[tuple[NumPyRanker, str]] = []

    def work() -> None:
        options = parser.parse_args(argv)
        read.append((NumPyRanker.load(options.weights), options.text))

    code = run(parser.prog, work)
    if code:
        return code
    ((ranker, text),) = read
    # So that the two differ in the networks alone.
    command = cast(Any, cli)
    opens = command._scorer
    command._scorer = lambda *_: ranker
    try:
        return cli.main(["rank", "--", text])
    finally:
        command._scorer = opens


if __name__ == "__main__":
    sys.exit(main())
