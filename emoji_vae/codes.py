"""Named codes: what is scored, whether an emoji, an unseen picture or a generated one."""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from emoji_vae.catalogue import bare, catalogue
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from emoji_vae.locations import asset

SIZE = 16
"""Numbers a code."""


@dataclasses.dataclass(frozen=True, eq=False)
class EmojiCodes:
    """Codes with their names, and the pictures themselves where they exist nowhere else.

    Attributes:
        names: n names: emojis, file names, or ``generated-0001``.
        codes: float32 (n, 16), finite, read-only.
        pictures: float32 (n, 36, 36, 4), premultiplied, in [0, 1]; None where not kept.

    Raises:
        InputError: none at all, codes of another shape or not finite, a name that is no string,
            or not as many names (or pictures) as codes.
    """

    names: Sequence[str]
    codes: np.ndarray
    pictures: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check, and keep private read-only copies."""
        if isinstance(self.names, str):
            raise InputError(f"give a list of names, not one string: [{self.names!r:.60}]")
        names = tuple(self.names)
        for name in names:
            if not isinstance(name, str):
                raise InputError(f"the name {name!r:.60} is no string; name codes by strings")
        codes = check(self.codes)
        if len(names) != len(codes):
            raise InputError(f"{len(names)} names for {len(codes)} codes; give one name a code")
        pictures = self.pictures
        if pictures is not None:
            from emoji_vae import images  # Pillow: ranking emojis by text does without

            pictures = images.check(pictures)
            if len(pictures) != len(codes):
                raise InputError(
                    f"{len(pictures)} pictures for {len(codes)} codes; give one picture a code"
                )
            pictures = np.array(pictures)
            pictures.setflags(write=False)
        codes = np.array(codes)
        codes.setflags(write=False)
        object.__setattr__(self, "names", names)
        object.__setattr__(self, "codes", codes)
        object.__setattr__(self, "pictures", pictures)

    def __len__(self) -> int:
        return len(self.codes)

    def take(self, rows: Sequence[int] | np.ndarray) -> Self:
        """Return these rows, in this order; InputError for none, or one that is not there."""
        picked = np.asarray(rows)
        if picked.ndim != 1 or not len(picked) or picked.dtype.kind not in "iu":
            raise InputError("no rows to take; give a list of at least one whole number")
        if picked.min() < -len(self) or picked.max() >= len(self):
            raise InputError(f"there are {len(self)} codes; rows {rows!r:.60} reach beyond them")
        pictures = None if self.pictures is None else self.pictures[picked]
        return type(self)([self.names[i] for i in picked], self.codes[picked], pictures)

    def __getitem__(self, rows: slice) -> Self:
        """Return a slice, as codes again; InputError for an empty one."""
        if not isinstance(rows, slice):
            raise TypeError("slice codes, as in codes[:10]; for single rows use codes.take([0])")
        return self.take(np.arange(len(self))[rows])

    def select(self, names: Sequence[str]) -> Self:
        """Return the codes of some names, in that order.

        A name that is there as written is taken as it is. Another must be an emoji of the
        catalogue: ``"❤"`` finds and becomes ``"❤️"``; ``"👍🏽"`` finds its base's code but stays as
        asked for.

        Raises:
            InputError: no names, or one that is neither.
        """
        if isinstance(names, str):
            raise InputError(f"give a list of emojis, not one string: [{names!r:.60}]")
        if not names:
            raise InputError("no emojis to select; name at least one")
        rows = {name: row for row, name in reversed(list(enumerate(self.names)))}
        found, shown = [], []
        for name in names:
            row = rows.get(name) if isinstance(name, str) else None
            if row is None:
                sequence = catalogue().sequences[catalogue().index(name)]
                row = rows.get(sequence)
                if row is None:
                    raise InputError(f"there is no code for {name!r:.60}; select among all emojis")
                if bare(name) == bare(sequence):
                    name = sequence
            found.append(row)
            shown.append(name)
        pictures = None if self.pictures is None else self.pictures[found]
        return type(self)(shown, self.codes[found], pictures)

    def nearest(self, code: Any, k: int) -> list[tuple[str, float]]:
        """Return the names of the ``k`` codes that are nearest to a code (16,), nearest first.

        With each comes the Euclidean distance. Of codes that are equally far the earlier comes
        first.

        Raises:
            InputError: no code, or ``k`` is below 1.
        """
        if k < 1:
            raise InputError(f"k is {k}; ask for at least 1 neighbour")
        (point,) = check(np.asarray(code)[np.newaxis])
        distances = np.linalg.norm(self.codes - point, axis=1)
        order = distances.argsort(kind="stable")[:k].tolist()
        return [(self.names[row], float(distances[row])) for row in order]

    @classmethod
    def load(cls, path: str | os.PathLike[str] | None = None) -> Self:
        """Read codes that ``save`` wrote, by default those of all emojis, in catalogue order.

        Raises:
            InputError: the file is missing, corrupt or of another kind.
        """
        path = asset("models", "vae", "codes.npz") if path is None else Path(path)
        try:
            with np.load(path, allow_pickle=False) as file:
                pictures = file["pictures"] if "pictures" in file.files else None
                names, codes = file["names"], file["codes"]
            if names.ndim != 1 or names.dtype.kind != "U":
                raise ValueError("its names are no strings")
        except OSError as error:
            raise InputError(
                f"cannot read the codes {str(path)!r}: {error.strerror or 'damaged'}; "
                "name a .npz file of codes"
            ) from error
        except Exception as error:  # foreign bytes make NumPy's readers raise almost anything
            raise InputError(
                f"{str(path)!r} is no file of codes, or a damaged one; "
                "write it again with emoji-vae encode"
            ) from error
        return cls(names.tolist(), codes, pictures)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write an .npz file, without pickles, whole or not at all.

        Raises:
            InputError: the name does not end in .npz, or cannot be written.
        """
        if Path(path).suffix.lower() != ".npz":
            raise InputError(f"cannot write {str(path)!r}: end the name of a codes file in .npz")
        arrays: dict[str, Any] = {"names": np.array(self.names, dtype=str), "codes": self.codes}
        if self.pictures is not None:
            arrays["pictures"] = self.pictures
        with replacing(path) as file:
            np.savez_compressed(file, **arrays)


def check(codes: Any) -> np.ndarray:
    """Return codes as float32 (n, 16) after checking them.

    Raises:
        InputError: not n >= 1 codes of 16 numbers, or not finite (in 32 bits).
    """
    try:
        array = np.asarray(codes)
        if array.dtype.kind not in "fiu":
            raise ValueError
        with np.errstate(over="ignore"):
            array = array.astype(np.float32, copy=False)
    except (TypeError, ValueError) as error:
        raise InputError(f"codes are no numbers; give floats of shape (n, {SIZE})") from error
    if array.ndim != 2 or array.shape[1] != SIZE or not len(array):
        raise InputError(
            f"codes have the shape {array.shape}; it must be (n, {SIZE}), n at least 1"
        )
    if not np.isfinite(array).all():
        raise InputError("codes hold NaN or infinity; encode their pictures again")
    return array


def is_whole(number: Any) -> bool:
    """Tell whether a number is a whole one; True and False are none."""
    return isinstance(number, int | np.integer) and not isinstance(number, bool)
