"""The exported autoencoder: pictures to codes and back, on the light runtime, without Keras."""

import functools
import itertools
import json
import os
import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import onnxruntime

from emoji_vae import codes as emoji_codes
from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.codes import EmojiCodes
from emoji_vae.drawing import Painter
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from emoji_vae.network import open_network
from emoji_vae.posterior import corrected
from emoji_vae.prior import MAX_SAMPLES, Prior, check_seed

FORMAT = "emoji-sqam picture autoencoder, version 1"
PATTERNS = {"A": 8, "B": 1, "C": 2}
"""The 2017 grids: for how many dimensions ``a``, then ``b`` stand in turn, see `Codec.grid`."""
MAX_VALUE = 100
"""Largest value of a grid, far from any code of a picture."""
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
            self._corrections = config.get("settings", {}).get("corrections", 0)
            if not emoji_codes.is_whole(self._corrections) or self._corrections < 0:
                raise ValueError("corrections")
        except OSError as error:
            raise InputError(
                f"no autoencoder at {str(folder)!r}: {error.strerror or error}; name a folder that "
                "holds config.json and its networks"
            ) from error
        except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
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
        """Return the codes of pictures: the same each time, never a draw.

        The posterior's mean by the encoder, corrected by what the decoder makes of it as
        `emoji_vae.posterior` says. Takes about 10 ms a picture.

        Args:
            pictures: floats (n, 36, 36, 4), premultiplied, in [0, 1].

        Returns:
            float32 (n, 16).

        Raises:
            InputError: the pictures are not that.
        """
        pictures = images.check(pictures)
        codes = self.first_codes(pictures)
        return emoji_codes.check(corrected(pictures, codes, self._drafts, self._corrections))

    def first_codes(self, pictures: Any) -> np.ndarray:
        """Return the encoder's own codes, without corrections: quick, for searches alone.

        Takes and returns what `encode` does.
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
        pictures = self._drafts(codes)
        if not np.isfinite(pictures).all():
            raise InputError(
                f"codes reach {np.abs(codes).max():.3g}, which no picture has; stay within -8 to 8"
            )
        return pictures

    def _drafts(self, codes: np.ndarray) -> np.ndarray:
        pictures = np.clip(_run(self._decoder, codes), 0, 1)
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
        names: list[str] = []
        codes: list[np.ndarray] = []
        read = ((os.fspath(path), images.read(path)) for path in paths)
        # Batch by batch: the pictures of many files need not fit in memory at once.
        while batch := list(itertools.islice(read, _BATCH)):
            names += [name for name, _ in batch]
            codes.append(self.encode(np.stack([picture for _, picture in batch])))
        if not names:
            raise InputError("no picture files; name at least one")
        return EmojiCodes(names, np.concatenate(codes))

    @functools.cached_property
    def prior(self) -> Prior:
        """The distribution of emojis' codes, ``prior.npz``, read when it is first asked for.

        Raises:
            InputError: the file is missing or corrupt.
        """
        return Prior.load(self._folder / "prior.npz")

    def draw(
        self,
        codes: Any,
        seed: int = 0,
        progress: Callable[[int], object] | None = None,
        steady: bool = False,
    ) -> np.ndarray:
        """Return the finished drawings of codes, in the form of `decode`.

        What `decode` gives is but a draft; `emoji_vae.drawing` adds the detail. A drawing depends
        on its own code and the seed, not on the codes beside it. It takes about 35 ms.

        Args:
            codes: floats (n, 16).
            seed: of the detail that a code leaves open; equal seeds draw it equally.
            progress: called with the number of drawings that have been finished since the last
                call.
            steady: draw codes that are close to each other alike, and the code of an emoji as that
                emoji, so that the frames of a morph do not flicker. Otherwise a drawing is made to
                be new.

        Returns:
            float32 (n, 36, 36, 4) in [0, 1], in steps of 1/255.

        Raises:
            InputError: as `decode`, or ``seed`` is not a whole number of at least 0, or the model's
                ``codes.npz`` is missing, corrupt or not of this catalogue.
        """
        codes = emoji_codes.check(codes)
        check_seed(seed)
        pictures = np.empty((len(codes), *_PICTURE), np.float32)
        # One by one: drafts of another batch would differ in their last bits.
        for row in range(len(codes)):
            code = codes[row : row + 1]
            pictures[row] = self._painter.paint(code, self.decode(code), seed, steady)[0]
            if progress is not None:
                progress(1)
        return pictures

    @functools.cached_property
    def _painter(self) -> Painter:
        path = self._folder / "codes.npz"
        known = EmojiCodes.load(path)
        if list(known.names) != catalogue().sequences:
            raise InputError(
                f"{str(path)!r} does not hold the codes of this catalogue's emojis, which drawing "
                "needs; name a folder written by train_vae"
            )
        return Painter(images.sheet(), self.decode(known.codes), known.codes, images.large_sheet())

    def sample(
        self,
        n: int,
        seed: int,
        temperature: float = 1.0,
        progress: Callable[[int], object] | None = None,
    ) -> EmojiCodes:
        """Draw emojis that did not exist before.

        Codes are drawn from the `prior` and turned into drawings, and these are encoded again: what
        is scored is what is shown.

        Args:
            n: how many, 1 to `MAX_SAMPLES`.
            seed: equal seeds draw equal emojis; a larger ``n`` only adds to them.
            temperature: see ``Prior.sample``.
            progress: see `draw`.

        Returns:
            Codes named ``generated-0001`` and so on, with their drawings as ``pictures``.

        Raises:
            InputError: an argument out of its range, or ``prior.npz`` is missing or corrupt.
        """
        pictures = self.draw(self.prior.sample(n, seed, temperature), seed, progress)
        names = [f"generated-{number:04d}" for number in range(1, n + 1)]
        return EmojiCodes(names, self.encode(pictures), pictures)

    @staticmethod
    def morph(start: Any, end: Any, steps: int) -> np.ndarray:
        """Return the straight path from one code (16,) to another: float32 (steps, 16), both in.

        Raises:
            InputError: not two codes, or fewer than 2 or more than `MAX_SAMPLES` steps.
        """
        if not emoji_codes.is_whole(steps) or not 2 <= steps <= MAX_SAMPLES:
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

    @staticmethod
    def blend(codes: Any, weights: Any) -> np.ndarray:
        """Return the weighted mean of codes: float32 (16,).

        Args:
            codes: floats (n, 16).
            weights: n numbers, at least 0 and not all 0; what counts is their proportion.

        Raises:
            InputError: not that.
        """
        codes = emoji_codes.check(codes)
        try:
            weights = np.asarray(weights, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise InputError(f"the weights {weights!r:.60} are no numbers; give floats") from error
        if weights.shape != (len(codes),):
            raise InputError(
                f"weights of the shape {weights.shape} for {len(codes)} codes; give one a code"
            )
        if not np.isfinite(weights).all() or weights.min() < 0 or not weights.any():
            raise InputError(
                f"the weights {weights.tolist()!s:.60} cannot be; "
                "give numbers of at least 0, one of them above"
            )
        # By the largest first: the sum of huge weights would overflow, tiny ones would vanish.
        shares = weights / weights.max()
        return (shares / shares.sum() @ codes).astype(np.float32)

    @staticmethod
    def grid(pattern: str, steps: int = 20, low: float = -2.0, high: float = 2.0) -> np.ndarray:
        """Return the values of a grid of "Neurally Embedded Emojis" (2017): float32 (steps², 16).

        ``a`` runs over the rows and ``b`` over the columns, each over ``steps`` even values from
        ``low`` to ``high``. Pattern "A" is 8 times a, then 8 times b; "B" is a, b, a, b, …; "C" is
        a, a, b, b, a, a, b, b, ….

        The study decoded these values as they are, for a prior that is the standard normal. Codes
        of a trained model have another mean and spread in each dimension: ``Prior.from_standard``
        maps the values there.

        Raises:
            InputError: another pattern, ``steps`` not in 2 to 100, or limits that are not in
                order and within `MAX_VALUE` of 0.
        """
        _check_steps(steps)
        if not -MAX_VALUE <= low <= high <= MAX_VALUE:
            raise InputError(
                f"{low} to {high} is no range of codes; "
                f"give two numbers in order, from -{MAX_VALUE} to {MAX_VALUE}"
            )
        return _grid(pattern, np.linspace(low, high, steps))

    @staticmethod
    def grid_percentiles(
        pattern: str, steps: int = 20, low: float = 1.0, high: float = 99.0
    ) -> np.ndarray:
        """Return the values of `grid` at even percentiles of the standard normal distribution.

        ``a`` and ``b`` run over ``steps`` percentiles from ``low`` to ``high``, evenly spaced, each
        through the inverse of the cumulative distribution function; so the values lie as densely as
        codes do.

        Raises:
            InputError: another pattern, ``steps`` not in 2 to 100, or percentiles that are not
                above 0, below 100 and in order.
        """
        _check_steps(steps)
        if not 0 < low <= high < 100:
            raise InputError(
                f"{low} to {high} are no percentiles; give two above 0 and below 100 in order"
            )
        inverse = statistics.NormalDist().inv_cdf
        shares = np.linspace(low, high, steps) / 100
        return _grid(pattern, [inverse(share) for share in shares.tolist()])


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


def _check_steps(steps: Any) -> None:
    if not emoji_codes.is_whole(steps) or not 2 <= steps <= 100:
        raise InputError(f"{steps!r:.60} is no number of steps for a grid; give 2 to 100")


def _grid(pattern: str, values: Sequence[float] | np.ndarray) -> np.ndarray:
    if pattern not in PATTERNS:
        raise InputError(f"{pattern!r:.60} is no pattern; give one of {', '.join(PATTERNS)}")
    of_b = np.arange(emoji_codes.SIZE) // PATTERNS[pattern] % 2 == 1
    values = np.asarray(values, dtype=np.float32)
    a, b = np.repeat(values, len(values)), np.tile(values, len(values))
    return np.where(of_b, b[:, np.newaxis], a[:, np.newaxis])
