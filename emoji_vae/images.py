"""Picture files and the networks' pictures; the one place that resizes.

A picture is float32 (36, 36, 4): red, green, blue and alpha in [0, 1], with **premultiplied**
alpha, so no colour exceeds alpha, and what cannot be seen is 0. Pictures are (n, 36, 36, 4).
"""

import math
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageOps, PngImagePlugin

from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from emoji_vae.locations import asset

SIZE = 36
"""Height and width of a picture."""

MAX_PIXELS = 50_000_000
"""A larger picture file is refused before it is decoded."""

_COUNT_KEY = "pictures"  # a sheet's last row may have empty cells, so the file says how many


def _shown(source: Any) -> str:
    """Name a source in an error message."""
    name = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    return repr(os.fspath(name)) if isinstance(name, str | os.PathLike) else "the picture"


def read(source: str | os.PathLike[str] | IO[bytes]) -> np.ndarray:
    """Read one picture file: float32 (36, 36, 4), premultiplied, in [0, 1].

    Anything that Pillow opens but PostScript (which would run a program): palettes, grey, 16 bits,
    CMYK; the first frame of an animation; turned as its EXIF data says. It is scaled so that its
    longer side fills the square (Lanczos) and centred on transparent.

    Args:
        source: a path, or an open binary file.

    Raises:
        InputError: missing, a folder, not a picture, truncated, or over `MAX_PIXELS`.
    """
    shown = _shown(source)
    try:
        with warnings.catch_warnings():
            # Pillow's own limit is higher and only warns; ours is checked below.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(source)
        with image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError(
                    f"{shown} has {image.width} x {image.height} pixels; "
                    f"scale it down to at most {MAX_PIXELS // 1_000_000} million"
                )
            if image.format == "EPS":
                raise InputError(f"{shown} is PostScript; save it as PNG")
            return from_image(ImageOps.exif_transpose(image))
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(
            f"{shown} has too many pixels; "
            f"scale it down to at most {MAX_PIXELS // 1_000_000} million"
        ) from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"there is no file {shown}; check the name") from error
    except IsADirectoryError as error:
        raise InputError(f"{shown} is a folder; name a picture file") from error
    except PermissionError as error:
        raise InputError(f"{shown} may not be read; check its permissions") from error
    except Exception as error:  # foreign bytes make Pillow's decoders raise almost anything
        raise InputError(f"{shown} is no whole picture; give a PNG, JPEG, GIF or WebP") from error


def read_many(sources: Iterable[str | os.PathLike[str] | IO[bytes]]) -> np.ndarray:
    """Read picture files, each as in `read`: float32 (n, 36, 36, 4).

    Raises:
        InputError: as `read`, or there are no sources.
    """
    pictures = [read(source) for source in sources]
    if not pictures:
        raise InputError("no picture files; name at least one")
    return np.stack(pictures)


def from_image(image: Image.Image) -> np.ndarray:
    """Scale and centre a Pillow image as `read` does: float32 (36, 36, 4).

    Raises:
        InputError: the image has no pixels.
    """
    if not image.width or not image.height:
        raise InputError("the picture has no pixels; give one of at least 1 x 1")
    # Premultiplied while it is scaled, so that unseen colours do not bleed into the edges.
    scaled = _eight_bits(image).convert("RGBA").convert("RGBa")
    # Scaled before it is padded: a line of 50 million pixels has no square that fits in memory.
    scale = SIZE / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    scaled = scaled.resize((width, height), Image.Resampling.LANCZOS)
    picture = np.zeros((SIZE, SIZE, 4), np.float32)
    top, left = (SIZE - height) // 2, (SIZE - width) // 2
    picture[top : top + height, left : left + width] = _floats(scaled)
    return picture


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale wide grey levels to 8 bits; Pillow's own conversion would cut them off at 255."""
    if image.mode != "I" and not image.mode.startswith("I;16"):
        return image
    levels = np.asarray(image).astype(np.int64).clip(0, 65535)
    return Image.fromarray((levels // 257).astype(np.uint8))


def _floats(image: Image.Image) -> np.ndarray:
    """Return an RGBa image of any size as floats, with the overshoot of resizing cut off."""
    levels = np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width, 4)
    picture = levels.astype(np.float32) / np.float32(255)
    np.minimum(picture[..., :3], picture[..., 3:], out=picture[..., :3])
    return picture


def check(pictures: Any) -> np.ndarray:
    """Return pictures as float32 (n, 36, 36, 4) after checking them.

    Raises:
        InputError: not n >= 1 pictures of that shape, not floats, not finite, or not in [0, 1].
    """
    array = np.asarray(pictures)
    if array.ndim != 4 or array.shape[1:] != (SIZE, SIZE, 4) or not len(array):
        raise InputError(
            f"pictures have the shape {array.shape}; "
            f"it must be (n, {SIZE}, {SIZE}, 4), n at least 1"
        )
    if array.dtype.kind != "f":
        raise InputError(f"pictures are {array.dtype}; give floats in [0, 1]")
    if not np.isfinite(array).all():
        raise InputError("pictures hold NaN or infinity; give floats in [0, 1]")
    if array.min() < 0 or array.max() > 1:
        raise InputError(
            f"pictures reach from {array.min():.4g} to {array.max():.4g}; give floats in [0, 1]"
        )
    return array.astype(np.float32, copy=False)


def _image(picture: np.ndarray) -> Image.Image:
    """Return floats (height, width, 4) as an image of mode RGBa (premultiplied)."""
    levels = np.rint(picture * 255).astype(np.uint8)
    return Image.frombytes("RGBa", (picture.shape[1], picture.shape[0]), levels.tobytes())


def _mosaic(pictures: np.ndarray, columns: int) -> np.ndarray:
    """Lay pictures out row by row: (rows * 36, columns * 36, 4), empty cells transparent."""
    rows = math.ceil(len(pictures) / columns)
    cells = np.zeros((rows * columns, SIZE, SIZE, 4), np.float32)
    cells[: len(pictures)] = pictures
    cells = cells.reshape(rows, columns, SIZE, SIZE, 4).transpose(0, 2, 1, 3, 4)
    return cells.reshape(rows * SIZE, columns * SIZE, 4)


def to_image(picture: Any, size: int = SIZE) -> Image.Image:
    """Return a picture (36, 36, 4) as a Pillow image, RGBA with straight alpha, ``size`` square.

    Another size than 36 is resampled with Lanczos, premultiplied, so edges stay clean.

    Raises:
        InputError: as `check`, or ``size`` is not in 1 to 4096.
    """
    return grid(np.asarray(picture)[np.newaxis], columns=1, size=size)


def grid(
    pictures: Sequence[Any] | np.ndarray, columns: int | None = None, size: int = SIZE
) -> Image.Image:
    """Lay pictures (n, 36, 36, 4) out row by row, each ``size`` square, on transparent.

    Args:
        pictures: as `check` takes them.
        columns: pictures in a row; None makes the grid about square.
        size: pixels a side of each.

    Raises:
        InputError: as `check`, or ``size`` is not in 1 to 4096, or ``columns`` is below 1.
    """
    pictures = check(pictures)
    if not 1 <= size <= 4096:
        raise InputError(f"{size} is no size for a picture; give 1 to 4096 pixels")
    if columns is not None and columns < 1:
        raise InputError(f"{columns} is no number of columns; give 1 or more")
    columns = min(columns or math.ceil(math.sqrt(len(pictures))), len(pictures))
    rows = math.ceil(len(pictures) / columns)
    if rows * columns * size * size > MAX_PIXELS:
        raise InputError(
            f"{len(pictures)} pictures of {size} pixels make too large a grid; give a smaller size"
        )
    sheet_image = Image.new("RGBa", (columns * size, rows * size))
    for place, picture in enumerate(pictures):
        image = _image(picture)
        if size != SIZE:  # each by itself: neighbours must not bleed into each other
            image = image.resize((size, size), Image.Resampling.LANCZOS)
        sheet_image.paste(image, (place % columns * size, place // columns * size))
    return sheet_image.convert("RGBA")


def save(path: str | os.PathLike[str], image: Image.Image) -> None:
    """Write a Pillow image as PNG, whole or not at all.

    Raises:
        InputError: the name does not end in .png, or cannot be written.
    """
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"cannot write {str(path)!r}: pictures are PNG; end the name in .png")
    with replacing(path) as file:
        image.save(file, "PNG")


def write(path: str | os.PathLike[str], picture: Any, size: int = SIZE) -> None:
    """Write one picture (36, 36, 4) as a PNG of ``size`` pixels a side, with straight alpha.

    Raises:
        InputError: as `to_image` and `save`.
    """
    save(path, to_image(picture, size))


def write_sheet(path: str | os.PathLike[str], pictures: Any) -> None:
    """Write pictures (n, 36, 36, 4) as one PNG that `sheet` reads back, exact to 8 bits.

    The file holds the premultiplied values as they are, so a viewer shows soft edges too dark.

    Raises:
        InputError: as `check`, or the file cannot be written.
    """
    pictures = check(pictures)
    mosaic = _mosaic(pictures, columns=math.ceil(math.sqrt(len(pictures))))
    info = PngImagePlugin.PngInfo()
    info.add_text(_COUNT_KEY, str(len(pictures)))
    image = Image.frombytes("RGBA", mosaic.shape[1::-1], _image(mosaic).tobytes())
    with replacing(path) as file:
        image.save(file, "PNG", pnginfo=info, compress_level=9)


def sheet(path: str | os.PathLike[str] | None = None) -> np.ndarray:
    """Read a sheet: float32 (n, 36, 36, 4); the shipped one, in catalogue order, if None.

    Raises:
        InputError: the file is missing, is no sheet, or the shipped one does not fit the catalogue.
    """
    shipped = path is None
    path = asset("emojis.png") if path is None else Path(path)
    try:
        with Image.open(path, formats=["PNG"]) as image:
            image.load()
            count = int(image.info[_COUNT_KEY])
            columns, rows = image.width // SIZE, image.height // SIZE
            if image.mode != "RGBA" or not 0 < count <= columns * rows:
                raise ValueError(f"mode {image.mode}, {count} pictures")
            levels = np.asarray(image)[: rows * SIZE, : columns * SIZE]
    except FileNotFoundError as error:
        raise InputError(f"there is no file {str(path)!r}; check the name") from error
    except Exception as error:  # foreign bytes make Pillow's decoders raise almost anything
        raise InputError(f"{str(path)!r} is no sheet of pictures: {error}") from error
    if shipped and count != len(catalogue()):
        raise InputError(f"{str(path)!r} does not fit the catalogue; build both again")
    cells = levels.reshape(rows, SIZE, columns, SIZE, 4).transpose(0, 2, 1, 3, 4)
    pictures = cells.reshape(rows * columns, SIZE, SIZE, 4)[:count]
    return pictures.astype(np.float32) / np.float32(255)
