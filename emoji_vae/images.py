"""Picture files and the networks' pictures; the one place that resizes.

A picture is float32 (36, 36, 4): red, green, blue and alpha in [0, 1], with **premultiplied**
alpha, so no colour exceeds alpha, and what cannot be seen is 0. Pictures are (n, 36, 36, 4). The
large sheet alone has the emojis at 64 pixels, as their source has them.
"""

import math
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image, ImageColor, ImageOps, PngImagePlugin

from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError
from emoji_vae.files import replacing
from emoji_vae.locations import asset

SIZE = 36
"""Height and width of a picture."""

LARGE_SIZE = 64
"""Height and width of the emojis on the large sheet."""

MAX_PIXELS = 50_000_000
"""A larger picture file is refused before it is decoded."""

MAX_SIZE = 4096
"""Most pixels a side of one written picture."""

ANIMATIONS = {".gif": "GIF", ".webp": "WEBP", ".apng": "PNG"}
"""What the name of an animation ends in, and Pillow's format of it."""

SHORTEST_FRAME, LONGEST_LOOP = 0.02, 60.0
"""Seconds; browsers slow a shorter frame down, and an APNG's frame cannot last much longer."""

_COUNT_KEY = "pictures"  # a sheet's last row may have empty cells, so the file says how many


def _shown(source: Any) -> str:
    """Name a source in an error message."""
    name = source if isinstance(source, str | os.PathLike) else getattr(source, "name", None)
    return repr(os.fspath(name)) if isinstance(name, str | os.PathLike) else "the picture"


def read(
    source: str | os.PathLike[str] | IO[bytes],
    size: int = SIZE,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] | None = None,
) -> np.ndarray:
    """Read one picture file: float32 (36, 36, 4), premultiplied, in [0, 1].

    Anything that Pillow opens but PostScript (which would run a program): palettes, grey, 16 bits,
    CMYK; the first frame of an animation; turned as its EXIF data says. It is scaled so that its
    longer side fills the square (Lanczos) and centred on transparent. A picture that is transparent
    all over is a picture too: it reads as zeros.

    Args:
        source: a path, or an open binary file.
        size: height and width of the picture that comes back, if not 36.
        max_pixels: a larger picture is refused before it is decoded.
        formats: what Pillow calls the kinds of file that may be; None are all that it opens.

    Raises:
        InputError: missing, a folder, not a picture, truncated, or over ``max_pixels``.
    """
    shown = _shown(source)
    most = f"{max_pixels / 1e6:g} million"
    try:
        with warnings.catch_warnings():
            # Pillow warns of many pixels only above a limit higher than ours, and of things that
            # do not matter here, such as damaged EXIF data.
            warnings.simplefilter("ignore")
            with Image.open(source, formats=formats) as image:
                if image.width * image.height > max_pixels:
                    raise InputError(
                        f"{shown} has {image.width} x {image.height} pixels; "
                        f"scale it down to at most {most}"
                    )
                if image.format == "EPS":
                    raise InputError(f"{shown} is PostScript; save it as PNG")
                image.load()
                return from_image(_turned(image), size)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"{shown} has too many pixels; scale it down to at most {most}") from error
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


def from_image(image: Image.Image, size: int = SIZE) -> np.ndarray:
    """Scale and centre a Pillow image as `read` does: float32 (36, 36, 4), or ``size`` square.

    Raises:
        InputError: the image has no pixels.
    """
    if not image.width or not image.height:
        raise InputError("the picture has no pixels; give one of at least 1 x 1")
    # Premultiplied while it is scaled, so that unseen colours do not bleed into the edges.
    scaled = _eight_bits(image).convert("RGBA").convert("RGBa")
    # Scaled before it is padded: a line of 50 million pixels has no square that fits in memory.
    scale = size / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    scaled = scaled.resize((width, height), Image.Resampling.LANCZOS)
    picture = np.zeros((size, size, 4), np.float32)
    top, left = (size - height) // 2, (size - width) // 2
    picture[top : top + height, left : left + width] = _floats(scaled)
    return picture


def _turned(image: Image.Image) -> Image.Image:
    """Return a loaded image turned as its EXIF data says, if they can be read."""
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # damaged data make it raise almost anything, and the picture is still whole
        return image


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale wide grey levels to 8 bits; Pillow's own conversion would cut them off at 255.

    Integers are out of 65535. What floats are out of no file says: 1, 255 or 65535, the least that
    holds them all; NaN and infinity are black.
    """
    if image.mode == "F":
        numbers = np.nan_to_num(np.asarray(image), posinf=0, neginf=0)
        white = next((limit for limit in (1, 255) if numbers.max() <= limit), 65535)
        grey = np.rint((numbers / white).clip(0, 1) * 255)
    elif image.mode == "I" or image.mode.startswith("I;16"):
        grey = np.asarray(image).astype(np.int64).clip(0, 65535) // 257
    else:
        return image
    result = Image.fromarray(grey.astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):  # a level that stands for transparent
        mask = np.where(np.asarray(image) == key, 0, 255).astype(np.uint8)
        result.putalpha(Image.fromarray(mask))
    return result


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


def _square(n: int) -> tuple[int, int]:
    """Return the rows and columns of a sheet of ``n`` pictures."""
    columns = math.ceil(math.sqrt(n))
    return math.ceil(n / columns), columns


def _mosaic(pictures: np.ndarray) -> np.ndarray:
    """Lay pictures (n, s, s, 4) out row by row: (rows * s, columns * s, 4); empty cells are 0."""
    (rows, columns), size = _square(len(pictures)), pictures.shape[1]
    cells = np.zeros((rows * columns, size, size, 4), pictures.dtype)
    cells[: len(pictures)] = pictures
    cells = cells.reshape(rows, columns, size, size, 4).transpose(0, 2, 1, 3, 4)
    return cells.reshape(rows * size, columns * size, 4)


def _cells(mosaic: np.ndarray, size: int) -> np.ndarray:
    """Cut a mosaic (rows * s, columns * s, 4) into its cells (rows * columns, s, s, 4)."""
    rows, columns = mosaic.shape[0] // size, mosaic.shape[1] // size
    cells = mosaic.reshape(rows, size, columns, size, 4).transpose(0, 2, 1, 3, 4)
    return cells.reshape(rows * columns, size, size, 4)


def _enlarged(image: Image.Image, size: int) -> Image.Image:
    """Enlarge an RGBa image to ``size`` square with Lanczos, without the halos of its overshoot.

    Each level is kept between those of the four pixels around it, so that a sharp edge stays sharp
    and even, and nothing is lighter or darker than it was.
    """
    levels = np.frombuffer(image.tobytes(), np.uint8).reshape(image.height, image.width, 4)
    low = high = levels
    for axis in (0, 1):
        length = levels.shape[axis]
        # Where the centre of a new pixel lies among the old ones, whose centres are whole numbers.
        before = np.floor((np.arange(size) + 0.5) * length / size - 0.5).astype(int)
        around = [(before + offset).clip(0, length - 1) for offset in (0, 1)]
        low = np.minimum(*(low.take(places, axis) for places in around))
        high = np.maximum(*(high.take(places, axis) for places in around))
    resized = image.resize((size, size), Image.Resampling.LANCZOS)
    enlarged = np.frombuffer(resized.tobytes(), np.uint8).reshape(size, size, 4)
    return Image.frombytes("RGBa", (size, size), enlarged.clip(low, high).tobytes())


def _scaled(picture: np.ndarray, size: int) -> Image.Image:
    """Return a picture (36, 36, 4) as an RGBa image, ``size`` square."""
    image = _image(picture)
    if size > SIZE:
        return _enlarged(image, size)
    # To a smaller size with a filter that never overshoots.
    return image if size == SIZE else image.resize((size, size), Image.Resampling.HAMMING)


def _on_background(image: Image.Image, background: str | None) -> Image.Image:
    """Return an RGBa image as RGBA, on a colour that hides what lies behind it, if one is named."""
    straight = image.convert("RGBA")
    if background is None:
        return straight
    return Image.alpha_composite(Image.new("RGBA", image.size, _colour(background)), straight)


def _colour(name: str) -> tuple[int, ...]:
    try:
        colour = ImageColor.getrgb(name)
    except ValueError as error:
        raise InputError(
            f"{name!r:.60} is no colour; give a name or #rrggbb, such as white or #ffffff"
        ) from error
    if len(colour) == 4 and colour[3] != 255:
        raise InputError(f"the background {name!r:.60} is not opaque; give a colour without alpha")
    return colour


def layout(
    n: int, columns: int | None = None, size: int = SIZE, background: str | None = None
) -> tuple[int, int]:
    """Return the columns and rows in which `grid` lays ``n`` pictures out, after checking them.

    Raises:
        InputError: as `grid`.
    """
    if not 1 <= size <= MAX_SIZE:
        raise InputError(f"{size} is no size for a picture; give 1 to {MAX_SIZE} pixels")
    if columns is not None and columns < 1:
        raise InputError(f"{columns} is no number of columns; give 1 or more")
    if background is not None:
        _colour(background)
    columns = min(columns or math.ceil(math.sqrt(n)), n)
    rows = math.ceil(n / columns)
    if rows * columns * size * size > MAX_PIXELS:
        raise InputError(
            f"{n} pictures of {size} pixels a side are too large for one file; give a smaller size"
        )
    return columns, rows


def to_image(picture: Any, size: int = SIZE, background: str | None = None) -> Image.Image:
    """Return a picture (36, 36, 4) as a Pillow image, RGBA with straight alpha, ``size`` square.

    Another size than 36 is resampled premultiplied and without overshoot, so edges have no foreign
    colours and no halos.

    Raises:
        InputError: as `grid`.
    """
    return grid(np.asarray(picture)[np.newaxis], 1, size, background)


def grid(
    pictures: Sequence[Any] | np.ndarray,
    columns: int | None = None,
    size: int = SIZE,
    background: str | None = None,
) -> Image.Image:
    """Lay pictures (n, 36, 36, 4) out row by row, each ``size`` square.

    Args:
        pictures: as `check` takes them.
        columns: pictures in a row; None makes the grid about square.
        size: pixels a side of each.
        background: a colour as Pillow names them ("white", "#ffcc00"); None is transparent.

    Returns:
        A Pillow image, RGBA with straight alpha.

    Raises:
        InputError: as `check`, or ``size`` is not in 1 to 4096, or ``columns`` is below 1, or the
            colour is unknown or not opaque, or the grid has more than `MAX_PIXELS`.
    """
    pictures = check(pictures)
    columns, rows = layout(len(pictures), columns, size, background)
    sheet_image = Image.new("RGBa", (columns * size, rows * size))
    for place, picture in enumerate(pictures):
        # Scaled each by itself: neighbours must not bleed into each other.
        corner = (place % columns * size, place // columns * size)
        sheet_image.paste(_scaled(picture, size), corner)
    return _on_background(sheet_image, background)


def check_name(path: str | os.PathLike[str]) -> None:
    """Raise `InputError` for a name that `save` would refuse: one that does not end in .png."""
    if Path(path).suffix.lower() != ".png":
        raise InputError(f"cannot write {str(path)!r}: pictures are PNG; end the name in .png")


def save(path: str | os.PathLike[str], image: Image.Image) -> None:
    """Write a Pillow image as PNG, whole or not at all.

    Raises:
        InputError: the name does not end in .png, or cannot be written.
    """
    check_name(path)
    with replacing(path) as file:
        image.save(file, "PNG")


def write(path: str | os.PathLike[str], picture: Any, size: int = SIZE) -> None:
    """Write one picture (36, 36, 4) as a PNG of ``size`` pixels a side, with straight alpha.

    Raises:
        InputError: as `to_image` and `save`.
    """
    save(path, to_image(picture, size))


def frame_durations(path: str | os.PathLike[str], n: int, seconds: float) -> list[int]:
    """Return how many milliseconds each of ``n`` frames of a loop of ``seconds`` lasts.

    They differ by as little as the kind of file allows, and their sum is the loop's duration.

    Raises:
        InputError: ``path`` ends in none of `ANIMATIONS`, ``n`` is below 1, or the frames would be
            shorter than `SHORTEST_FRAME` or the loop longer than `LONGEST_LOOP`.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in ANIMATIONS:
        raise InputError(
            f"cannot write {str(path)!r}: animations end in {', '.join(ANIMATIONS)}; name it so"
        )
    if n < 1:
        raise InputError("an animation needs frames; give at least one picture")
    if not n * SHORTEST_FRAME <= seconds <= LONGEST_LOOP:
        raise InputError(
            f"{n} frames cannot take {seconds:g} seconds; give {n * SHORTEST_FRAME:g} to "
            f"{LONGEST_LOOP:g} seconds, or other steps"
        )
    unit = 10 if suffix == ".gif" else 1  # a GIF counts hundredths of a second
    ends = np.rint(np.linspace(0, seconds * 1000 / unit, n + 1)).astype(int)
    return (np.diff(ends) * unit).tolist()


def write_animation(
    path: str | os.PathLike[str],
    pictures: Any,
    seconds: float,
    size: int = SIZE,
    background: str | None = None,
) -> None:
    """Write pictures (n, 36, 36, 4) as the frames of an endless animation, whole or not at all.

    Args:
        path: ends in .gif, .webp or .apng.
        pictures: the frames, as `check` takes them.
        seconds: what one loop takes.
        size: pixels a side.
        background: as `grid` takes it. A GIF knows no soft edges: without a background it gets a
            white one.

    Raises:
        InputError: as `grid` and `frame_durations`, or the file cannot be written.
    """
    pictures = check(pictures)
    durations = frame_durations(path, len(pictures), seconds)
    format = ANIMATIONS[Path(path).suffix.lower()]
    layout(len(pictures), 1, size, background)
    if format == "GIF" and background is None:
        background = "white"
    frames = [_on_background(_scaled(picture, size), background) for picture in pictures]
    options: dict[str, Any] = {"loop": 0}  # for ever
    if format == "GIF":
        # Each frame has its own palette; dithering would flicker.
        frames = [frame.convert("RGB").quantize(256, dither=Image.Dither.NONE) for frame in frames]
        options["disposal"] = 1
    elif format == "WEBP":
        # Lossy WebP washes the colours of small drawings out; "quality" is but the effort here.
        options |= {"lossless": True, "quality": 30, "method": 2}
    else:
        options |= {"disposal": 0, "blend": 0}  # a frame replaces the one before it
    with replacing(path) as file:
        frames[0].save(
            file, format, save_all=True, append_images=frames[1:], duration=durations, **options
        )


def write_sheet(path: str | os.PathLike[str], pictures: Any) -> None:
    """Write pictures (n, 36, 36, 4) as one PNG that `sheet` reads back, exact to 8 bits.

    The file holds the premultiplied values as they are, so a viewer shows soft edges too dark.

    Raises:
        InputError: as `check`, or the file cannot be written.
    """
    pictures = check(pictures)
    mosaic = _mosaic(pictures)
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
    image = _open_sheet(path, "PNG")
    try:
        count = int(image.info[_COUNT_KEY])
        columns, rows = image.width // SIZE, image.height // SIZE
        if not 0 < count <= columns * rows:
            raise ValueError(f"{count} pictures")
    except (KeyError, ValueError) as error:
        raise InputError(f"{str(path)!r} is no sheet of pictures: {error}") from error
    if shipped and count != len(catalogue()):
        raise InputError(f"{str(path)!r} does not fit the catalogue; build both again")
    cells = _cells(np.asarray(image)[: rows * SIZE, : columns * SIZE], SIZE)
    return cells[:count].astype(np.float32) / np.float32(255)


def write_large_sheet(path: str | os.PathLike[str], pictures: np.ndarray) -> None:
    """Write pictures (n, 64, 64, 4), otherwise as `check` takes them, as one lossless WebP.

    The file has straight alpha; its premultiplied levels are those of the pictures, exactly.
    """
    levels = _mosaic(np.rint(pictures * 255).astype(np.uint8)).astype(np.int32)
    alpha = levels[..., 3:]
    # Rounded half up, which Pillow's own conversion is not: it would not come back as it was.
    straight = (levels[..., :3] * 255 + alpha // 2) // np.maximum(alpha, 1)
    straight = np.concatenate([straight, alpha], axis=2).astype(np.uint8)
    with replacing(path) as file:
        Image.fromarray(straight).save(file, "WEBP", lossless=True, exact=True, method=6)


def large_sheet(path: str | os.PathLike[str] | None = None) -> np.ndarray:
    """Read the large sheet of all emojis, the shipped one if None, in catalogue order.

    Returns:
        uint8 (n, 64, 64, 4), premultiplied levels of 0 to 255: floats would fill 115 MB.

    Raises:
        InputError: the file is missing, is no sheet, or does not fit the catalogue.
    """
    path = asset("emojis-64.webp") if path is None else Path(path)
    image = _open_sheet(path, "WEBP")
    rows, columns = _square(len(catalogue()))
    if image.size != (columns * LARGE_SIZE, rows * LARGE_SIZE):
        raise InputError(f"{str(path)!r} does not fit the catalogue; build both again")
    levels = np.frombuffer(image.convert("RGBa").tobytes(), np.uint8)
    mosaic = levels.reshape(image.height, image.width, 4)
    return _cells(mosaic, LARGE_SIZE)[: len(catalogue())]


def _open_sheet(path: Path, format: str) -> Image.Image:
    try:
        with Image.open(path, formats=[format]) as image:
            image.load()
            if image.mode != "RGBA":
                raise ValueError(f"its mode is {image.mode}")
            return image
    except FileNotFoundError as error:
        raise InputError(f"there is no file {str(path)!r}; check the name") from error
    except Exception as error:  # foreign bytes make Pillow's decoders raise almost anything
        raise InputError(f"{str(path)!r} is no sheet of pictures: {error}") from error
