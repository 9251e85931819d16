"""The exported autoencoder: pictures to codes and back, on the light runtime, without Keras."""

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime

from emoji_vae import codes as emoji_codes
from emoji_vae import images
from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from emoji_vae.network import open_network

FORMAT = "emoji-sqam picture autoencoder, version 1"
MAX_SAMPLES = 100_000
"""Most emojis of one draw; their pictures take 2 GB."""
_BATCH = 256
_PICTURE = (images.SIZE, images.SIZE, 4)


class Codec:
    """Encodes pictures and decodes codes.

    >>> codec = Codec.load()
    >>> codec.sample(3, seed=7).names
    ('generated-0001', 'generated-0002', 'generated-0003')
    """

    def __init__(self, folder: Path, threads: int = 0) -> None:
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            if config["format"] != FORMAT:
                raise KeyError("format")
        except OSError as error:
            raise InputError(
                f"no autoencoder at {str(folder)!r}: {error.strerror or error}; name a folder that "
                "holds config.json and its networks"
            ) from error
        except (KeyError, RecursionError, TypeError, ValueError) as error:
            raise InputError(
                f"{str(folder)!r} holds no autoencoder of ours or a damaged one; name a folder "
                "written by train_vae"
            ) from error
        self._folder = folder
        size = (emoji_codes.SIZE,)
        self._encoder = _open_network(folder / "encoder.onnx", _PICTURE, size, threads)
        self._decoder = _open_network(folder / "decoder.onnx", size, _PICTURE, threads)

    @classmethod
    def load(cls, folder: str | os.PathLike[str] | None = None, threads: int = 0) -> Self:
        """Open a trained autoencoder.

        Args:
            folder: what ``pipelines.train_vae`` wrote; by default the one that ships.
            threads: of the runtime; 0 lets it choose.

        Raises:
            InputError: the folder or a file is missing, corrupt or of another kind.
        """
        return cls(asset("models", "vae") if folder is None else Path(folder), threads)

    def encode(self, pictures: Any) -> np.ndarray:
        """Return the codes of pictures, the posterior's mean: the same each time, never a draw.

        Args:
            pictures: floats (n, 36, 36, 4), premultiplied, in [0, 1].

        Returns:
            float32 (n, 16).

        Raises:
            InputError: the pictures are not that.
        """
        return emoji_codes.check(_run(self._encoder, images.check(pictures)))

    def decode(self, codes: Any) -> np.ndarray:
        """Return the pictures of codes, as `images` has them: no colour exceeds its alpha.

        Args:
            codes: floats (n, 16).

        Returns:
            float32 (n, 36, 36, 4) in [0, 1].

        Raises:
            InputError: the codes are not that, or so large that the decoder overflows.
        """
        codes = emoji_codes.check(codes)
        pictures = np.clip(_run(self._decoder, codes), 0, 1)
        if not np.isfinite(pictures).all():
            raise InputError(
                f"codes reach {np.abs(codes).max():.3g}, which no picture has; stay within -8 to 8"
            )
        np.minimum(pictures[..., :3], pictures[..., 3:], out=pictures[..., :3])
        return pictures

    def reconstruct(self, pictures: Any) -> np.ndarray:
        """Return what the codes of pictures (n, 36, 36, 4) give back, in the same form."""
        return self.decode(self.encode(pictures))

    def encode_files(self, paths: Iterable[str | os.PathLike[str]]) -> EmojiCodes:
        """Return the codes of picture files, named as the files are given here.

        Raises:
            InputError: no files, or one that is no picture (see ``images.read``).
        """
        if isinstance(paths, str | bytes | os.PathLike):
            raise InputError(f"give a list of picture files, not one: [{str(paths)!r:.60}]")
        paths = list(paths)
        return EmojiCodes([os.fspath(path) for path in paths], self.encode(images.read_many(paths)))

    def sample(self, n: int, seed: int, temperature: float = 1.0) -> EmojiCodes:
        """Draw emojis that did not exist before.

        Codes are drawn from the Gaussian with the mean and the full covariance of all emojis'
        codes, decoded to pictures, and these are encoded again: what is scored is what is shown.

        Args:
            n: how many, 1 to `MAX_SAMPLES`.
            seed: equal seeds draw equal emojis; a larger ``n`` only adds to them.
            temperature: factor of the spread around the mean, 0 to 10.

        Returns:
            Codes named ``generated-0001`` and so on, with their ``pictures``.

        Raises:
            InputError: an argument out of its range, or ``codes.npz`` is missing or corrupt.
        """
        if not _is_whole(n) or not 1 <= n <= MAX_SAMPLES:
            raise InputError(f"cannot draw {n} emojis; ask for 1 to {MAX_SAMPLES}")
        if not _is_whole(seed) or seed < 0:
            raise InputError(f"{seed} is no seed; give a whole number of at least 0")
        if not 0 <= temperature <= 10:
            raise InputError(f"{temperature} is no temperature; give a number from 0 to 10")
        known = EmojiCodes.load(self._folder / "codes.npz").codes.astype(np.float64)
        spread = np.cov(known, rowvar=False, ddof=0)
        # A dimension that all emojis share would make the matrix singular.
        factor = np.linalg.cholesky(spread + 1e-9 * np.eye(len(spread)))
        draws = np.random.default_rng(seed).standard_normal((n, emoji_codes.SIZE))
        pictures = self.decode(known.mean(axis=0) + temperature * draws @ factor.T)
        names = [f"generated-{number:04d}" for number in range(1, n + 1)]
        return EmojiCodes(names, self.encode(pictures), pictures)

    @staticmethod
    def morph(start: Any, end: Any, steps: int) -> np.ndarray:
        """Return the straight path from one code (16,) to another: float32 (steps, 16), both in.

        Raises:
            InputError: not two codes, or fewer than 2 or more than `MAX_SAMPLES` steps.
        """
        if not _is_whole(steps) or not 2 <= steps <= MAX_SAMPLES:
            raise InputError(f"cannot morph in {steps} steps; ask for 2 to {MAX_SAMPLES}")
        ends = [np.asarray(code) for code in (start, end)]
        for code in ends:
            if code.shape != (emoji_codes.SIZE,):
                raise InputError(
                    f"a code to morph has the shape {code.shape}; it must be ({emoji_codes.SIZE},)"
                )
        first, last = emoji_codes.check(np.stack(ends))
        shares = np.linspace(0, 1, steps, dtype=np.float32)[:, np.newaxis]
        return first * (1 - shares) + last * shares


def _open_network(
    path: Path, input_shape: tuple[int, ...], output_shape: tuple[int, ...], threads: int
) -> onnxruntime.InferenceSession:
    session = open_network(path, threads)
    nodes = [*session.get_inputs(), *session.get_outputs()]
    if [(node.type, tuple(node.shape[1:])) for node in nodes] != [
        ("tensor(float)", input_shape),
        ("tensor(float)", output_shape),
    ]:
        raise InputError(
            f"{str(path)!r} is an ONNX model of another kind; name a folder written by train_vae"
        )
    return session


def _run(session: onnxruntime.InferenceSession, rows: np.ndarray) -> np.ndarray:
    name = session.get_inputs()[0].name
    batches = (rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH))
    return np.concatenate([session.run(None, {name: batch})[0] for batch in batches])


def _is_whole(number: Any) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool)
