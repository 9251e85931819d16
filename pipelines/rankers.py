"""Systems that rank all emojis for texts, opened with one thread, to be timed side by side.

PyTorch and TensorFlow cannot share a process, so each is to be opened in one of its own.
"""

import logging
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import MissingExtraError
from emoji_vae.locations import asset
from pipelines import minilm
from sqam.scorer import Scorer, top
from sqam.text import pad

K = 10
"""Emojis that are ranked for a text."""

_BATCH = 32
"""Texts that MiniLM reads at once: sentence-transformers' default."""
_TOKENS = 256
"""Of a text, that MiniLM reads."""

Ranker = Callable[[Sequence[str]], list[list[int]]]
"""Texts -> of each the places of the `K` best emojis, best first; [] where no word is known."""


def ours(folder: Path, cache: Path) -> Ranker:
    """Open the model that ships."""
    return _scored(Scorer.load(threads=1))


def ours_int8(folder: Path, cache: Path) -> Ranker:
    """Open the model that ships with its question network in int8, which is made first.

    Raises:
        MissingExtraError: ONNX is not installed.
    """
    from sqam.export import compact

    compact(asset("models", "sqam"), folder / "int8")
    return _scored(Scorer.load(folder / "int8", threads=1))


def _scored(scorer: Scorer) -> Ranker:
    codes = EmojiCodes.load()
    return lambda texts: [[at for at, _ in best] for best in scorer.best(texts, codes, K)]


def keras(folder: Path, cache: Path) -> Ranker:
    """Open the model that ships in Keras, as a function that TensorFlow has compiled.

    Raises:
        MissingExtraError: TensorFlow is not installed.
    """
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    try:
        import tensorflow
    except ImportError as error:
        raise MissingExtraError("TensorFlow", "train") from error
    tensorflow.config.threading.set_intra_op_parallelism_threads(1)
    tensorflow.config.threading.set_inter_op_parallelism_threads(1)
    from sqam.export import restore

    codes = EmojiCodes.load()
    model = restore(asset("models", "sqam"), codes.codes)
    answers = np.asarray(model.answer_vectors(codes.codes))
    words = Scorer.load(threads=1).vocabulary
    longest = model.settings.max_tokens
    signature = [tensorflow.TensorSpec((None, None), tensorflow.int32)]
    questions = tensorflow.function(model.questions, input_signature=signature)

    def rank(texts: Sequence[str]) -> list[list[int]]:
        ids = [words.ids(text, longest) for text in texts]
        found: list[list[int]] = [[] for _ in ids]
        order = sorted((at for at, rows in enumerate(ids) if rows), key=lambda at: len(ids[at]))
        for start in range(0, len(order), 256):
            batch = order[start : start + 256]
            tokens = pad([ids[at] for at in batch], len(ids[batch[-1]]))
            places, _ = top(questions(tokens).numpy() @ answers.T, K)
            for at, row in zip(batch, places.tolist(), strict=True):
                found[at] = row
        return found

    return rank


def prepare_minilm(folder: Path, cache: Path) -> None:
    """Write MiniLM for ONNX Runtime: ``minilm.onnx``, ``minilm-int8.onnx`` and ``tokenizer.json``.

    The network gives the mean over the tokens, of length 1, as sentence-transformers does.

    Raises:
        InputError: the encoder cannot be fetched.
        MissingExtraError: PyTorch, sentence-transformers or ONNX are not installed.
    """
    encoder = minilm.opened(cache)
    import torch

    try:
        import onnx  # noqa: F401
        from onnxruntime.quantization import QuantType, quantize_dynamic
    except ImportError as error:
        raise MissingExtraError("ONNX", "train") from error

    class Pooled(torch.nn.Module):
        def __init__(self, network: Any) -> None:
            super().__init__()
            self.network = network

        def forward(self, ids: Any, mask: Any) -> Any:
            states = self.network(input_ids=ids, attention_mask=mask).last_hidden_state
            weights = mask.unsqueeze(-1).to(states.dtype)
            mean = (states * weights).sum(1) / weights.sum(1)
            return torch.nn.functional.normalize(mean, dim=1)

    read = encoder.tokenizer(["two", "texts of other length"], padding=True, return_tensors="pt")
    axes = {0: "n", 1: "t"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tracing, and that there is a newer exporter
        torch.onnx.export(
            Pooled(encoder[0].auto_model.eval()),
            (read["input_ids"], read["attention_mask"]),
            str(folder / "minilm.onnx"),
            input_names=["ids", "mask"],
            output_names=["vectors"],
            dynamic_axes={"ids": axes, "mask": axes},
            opset_version=17,
            dynamo=False,
        )
    logging.disable(logging.WARNING)  # it advises to prepare what needs no preparing
    try:
        quantize_dynamic(
            folder / "minilm.onnx", folder / "minilm-int8.onnx",
            per_channel=True, weight_type=QuantType.QInt8,
        )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
    (folder / "tokenizer.json").write_bytes(minilm.packed(cache).read("tokenizer.json"))


def minilm_torch(folder: Path, cache: Path) -> Ranker:
    """Open MiniLM as it is; raises as `prepare_minilm`."""
    encoder = minilm.opened(cache)
    import torch

    torch.set_num_threads(1)
    return _by_names(
        lambda texts: encoder.encode(
            list(texts), batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False
        )
    )


def minilm_onnx(folder: Path, cache: Path) -> Ranker:
    """Open what `prepare_minilm` wrote, in float32."""
    return _by_names(_onnx_encoder(folder, "minilm.onnx"))


def minilm_onnx_int8(folder: Path, cache: Path) -> Ranker:
    """Open what `prepare_minilm` wrote, in int8."""
    return _by_names(_onnx_encoder(folder, "minilm-int8.onnx"))


def _onnx_encoder(folder: Path, name: str) -> Callable[[Sequence[str]], np.ndarray]:
    try:
        from tokenizers import Tokenizer
    except ImportError as error:
        raise MissingExtraError("tokenizers", "teacher") from error
    from emoji_vae.network import open_network

    network = open_network(folder / name, threads=1)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(_TOKENS)
    tokenizer.no_padding()

    def encode(texts: Sequence[str]) -> np.ndarray:
        read = [found.ids for found in tokenizer.encode_batch(list(texts))]
        order = sorted(range(len(read)), key=lambda at: len(read[at]))
        vectors = np.empty((len(read), network.get_outputs()[0].shape[-1]), dtype=np.float32)
        for start in range(0, len(order), _BATCH):
            batch = order[start : start + _BATCH]
            ids = np.zeros((len(batch), len(read[batch[-1]])), dtype=np.int64)
            mask = np.zeros_like(ids)
            for row, at in enumerate(batch):
                ids[row, : len(read[at])] = read[at]
                mask[row, : len(read[at])] = 1
            vectors[batch] = network.run(None, {"ids": ids, "mask": mask})[0]
        return vectors

    return encode


def _by_names(encode: Callable[[Sequence[str]], np.ndarray]) -> Ranker:
    """Rank by the cosine with the emojis' names, as `pipelines.peers` does."""
    names = encode([emoji.name for emoji in catalogue()])
    return lambda texts: top(encode(texts) @ names.T, K)[0].tolist()


RANKERS: Mapping[str, Callable[[Path, Path], Ranker]] = {
    "ours": ours,
    "ours, int8": ours_int8,
    "ours in Keras": keras,
    "MiniLM, torch": minilm_torch,
    "MiniLM, ONNX": minilm_onnx,
    "MiniLM, ONNX, int8": minilm_onnx_int8,
}
"""What opens each system, given a folder for its files and that of downloaded packages."""
