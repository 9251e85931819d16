import io
import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError

CORNERS = ((0, 0), (0, 35), (35, 0), (35, 35))


def stored(image, format="PNG", **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    file.seek(0)
    return file


def valid(pictures):
    images.check(pictures)
    assert pictures.dtype == np.float32
    assert (pictures[..., :3] <= pictures[..., 3:]).all()


@pytest.fixture
def some():
    """Premultiplied pictures on the 8-bit grid."""
    levels = np.random.default_rng(0).integers(0, 256, (5, 36, 36, 4)).astype(np.float32)
    levels[..., :3] = np.minimum(levels[..., :3], levels[..., 3:])
    return levels / np.float32(255)


def test_the_shipped_sheet_has_a_picture_for_every_emoji():
    pictures = images.sheet()
    assert pictures.shape == (len(catalogue()), 36, 36, 4)
    valid(pictures)
    seen = (pictures[..., 3] > 0.5).mean(axis=(1, 2))
    assert seen.min() > 0.02  # the least is a small square
    # A red heart is red in its middle and clear in its corners.
    heart = pictures[catalogue().index("❤️")]
    assert heart[15, 18, 0] > 0.8 and heart[15, 18, 2] < 0.4 and heart[15, 18, 3] == 1
    assert all(heart[corner][3] == 0 for corner in CORNERS)
    # The flag of France is blue, white and red from left to right.
    left, middle, right = pictures[catalogue().index("🇫🇷")][18, (6, 18, 30), :3]
    assert left[2] > left[0] + 0.3 and middle.min() > 0.8 and right[0] > right[2] + 0.3


def test_premultiplied_alpha():
    # Orange (255, 128, 0) at alpha 51/255 = 0.2: 0.2, 128/255 * 0.2 = 0.1004 (26/255), 0.
    picture = images.from_image(Image.new("RGBA", (36, 36), (255, 128, 0, 51)))
    np.testing.assert_allclose(picture[3, 4], [51 / 255, 26 / 255, 0, 51 / 255], atol=1e-6)


def test_unseen_colours_do_not_bleed():
    # Left half opaque white, right half fully transparent red: no red fringe, at any scale.
    image = Image.new("RGBA", (72, 72), (255, 0, 0, 0))
    image.paste((255, 255, 255, 255), (0, 0, 36, 72))
    picture = images.from_image(image)
    np.testing.assert_allclose(picture[..., 0], picture[..., 1], atol=1e-6)
    assert picture[18, 5, 3] == 1 and picture[18, 30, 3] == 0


def test_a_wide_picture_is_centred_on_transparent():
    # 100 x 50 becomes 36 x 18: rows 9 to 26.
    alpha = images.from_image(Image.new("RGB", (100, 50), "white"))[..., 3]
    assert (alpha[9:27] == 1).all()
    assert (alpha[:9] == 0).all() and (alpha[27:] == 0).all()


@pytest.mark.parametrize("size", [(1, 1), (5_000_000, 1), (1, 3000), (36, 36), (7, 1000)])
def test_any_shape_fits(size):
    picture = images.from_image(Image.new("L", size, 255))
    valid(picture[np.newaxis])
    assert picture[..., 3].max() == 1


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBX", "RGBA", "RGBa", "CMYK", "YCbCr", "HSV"]
)
def test_white_is_white_in_every_mode(mode):
    white = Image.new("RGBA" if mode.endswith("a") else "RGB", (40, 40), "white")
    if mode == "PA":
        white = white.convert("P")
    picture = images.from_image(white.convert(mode))
    valid(picture[np.newaxis])
    np.testing.assert_allclose(picture, 1, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "white"), [("I", 65535), ("F", 255.0), ("I;16", 65535), ("LAB", (255, 128, 128))]
)
def test_white_is_white_in_rare_modes(mode, white):
    picture = images.from_image(Image.new(mode, (40, 40), white))
    np.testing.assert_allclose(picture, 1, atol=1.01 / 255)


def test_a_transparent_palette_keeps_its_transparency():
    image = Image.new("P", (36, 36), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(0, (0, 0, 36, 18))
    picture = images.read(stored(image, transparency=0))
    assert (picture[:18] == 0).all()
    np.testing.assert_array_equal(picture[20, 20], [0, 0, 1, 1])


def test_sixteen_bits_are_scaled_not_cut():
    # 0x8080 is 128 of 255; Pillow's own conversion would give 255.
    levels = np.full((36, 36), 0x8080, np.uint16)
    picture = images.read(stored(Image.fromarray(levels)))
    np.testing.assert_allclose(picture[..., :3], 128 / 255, atol=1e-6)


def test_the_first_frame_of_an_animation():
    frames = [Image.new("RGB", (36, 36), colour) for colour in ("red", "blue")]
    picture = images.read(stored(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    np.testing.assert_array_equal(picture[18, 18], [1, 0, 0, 1])


def test_exif_rotation():
    # Orientation 6: turn a quarter clockwise to view; the stored top row becomes the right column.
    image = Image.new("RGB", (64, 64), "black")
    image.paste("white", (0, 0, 64, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    picture = images.read(stored(image, "PNG", exif=exif))
    assert picture[18, 34, 0] > 0.9 and picture[2, 10, 0] < 0.1


@settings(deadline=None, max_examples=50)
@given(st.integers(1, 90), st.integers(1, 90), st.integers(0, 2**32 - 1))
def test_any_pixels_give_a_valid_picture(width, height, seed):
    levels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)
    valid(images.from_image(Image.fromarray(levels))[np.newaxis])


def test_read_takes_paths_and_many(tmp_path, some):
    paths = [tmp_path / f"{number}.png" for number in range(3)]
    for path, picture in zip(paths, some, strict=False):
        images.write(path, picture)
    pictures = images.read_many([str(paths[0]), *paths[1:]])
    assert pictures.shape == (3, 36, 36, 4)
    # Straight alpha in 8 bits costs at most about a level where alpha is high.
    np.testing.assert_allclose(pictures[..., 3], some[:3, ..., 3], atol=1e-6)
    assert np.abs(pictures - some[:3]).max() <= 1.01 / 255
    with pytest.raises(InputError, match="name at least one"):
        images.read_many([])


def message(source):
    with pytest.raises(InputError) as caught:
        images.read(source)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def test_missing_files_and_folders(tmp_path):
    assert "there is no file" in message(tmp_path / "no\nsuch.png")
    assert "is a folder" in message(tmp_path)
    assert "no whole picture" in message("nul\0byte.png")


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\xff\xd8\xff"]
)
def test_what_is_no_picture(tmp_path, content):
    path = tmp_path / "foreign.png"
    path.write_bytes(content)
    assert "foreign.png' is no whole picture" in message(path)


@settings(deadline=None)
@given(
    st.binary(max_size=200), st.sampled_from([b"", b"BM", b"GIF89a", b"\x89PNG\r\n\x1a\n", b"RIFF"])
)
def test_random_bytes_are_refused_in_one_line(content, magic):
    message(io.BytesIO(magic + content))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_truncated_files(format):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    whole = stored(Image.fromarray(noise), format).getvalue()
    assert "no whole picture" in message(io.BytesIO(whole[: len(whole) // 2]))


def bomb(width, height):
    """A PNG that promises many pixels in a few bytes."""

    def chunk(kind, data):
        packed = kind + data
        return struct.pack(">I", len(data)) + packed + struct.pack(">I", zlib.crc32(packed))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return io.BytesIO(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [7_500, 10_000, 60_000])  # ours, Pillow's warning, its error
def test_decompression_bombs(side, recwarn):
    assert "scale it down to at most 50 million" in message(bomb(side, side))
    assert not recwarn.list


def test_postscript_is_not_run():
    eps = stored(Image.new("RGB", (8, 8)), "EPS")
    assert message(eps) == "the picture is PostScript; save it as PNG"


def test_an_image_without_pixels():
    with pytest.raises(InputError, match="no pixels"):
        images.from_image(Image.new("RGBA", (0, 5)))


def test_sheet_round_trip(tmp_path, some):
    images.write_sheet(tmp_path / "sheet.png", some)
    with Image.open(tmp_path / "sheet.png") as image:
        assert image.size == (3 * 36, 2 * 36)  # five pictures: three columns, two rows
    np.testing.assert_array_equal(images.sheet(tmp_path / "sheet.png"), some)


def test_foreign_sheets(tmp_path, some):
    missing, text, plain = (tmp_path / name for name in ("missing", "text.png", "plain.png"))
    text.write_text("hello")
    Image.new("RGBA", (72, 72)).save(plain)
    for path in (missing, text, plain, tmp_path):
        with pytest.raises(InputError) as caught:
            images.sheet(path)
        assert len(str(caught.value).splitlines()) == 1


def test_to_image_has_straight_alpha():
    picture = np.zeros((36, 36, 4), np.float32)
    picture[:] = [0.2, 0.1, 0, 0.2]  # alpha 51; straight: 255, 0.1 -> 26 of 51 -> 130, 0
    image = images.to_image(picture)
    assert (image.mode, image.size) == ("RGBA", (36, 36))
    assert image.getpixel((7, 7)) == (255, 130, 0, 51)


def test_enlarging_keeps_flat_colours_and_edges_clean():
    picture = np.zeros((36, 36, 4), np.float32)
    picture[:18] = [1, 0, 0, 1]
    image = np.asarray(images.to_image(picture, size=144))
    assert image.shape == (144, 144, 4)
    assert (image[:60] == [255, 0, 0, 255]).all() and (image[90:, :, 3] == 0).all()
    assert (image[..., 1:3] == 0).all()  # no foreign colour at the edge


def test_grid_places_pictures_row_by_row(some):
    image = images.grid(some, columns=2, size=36)
    assert (image.mode, image.size) == ("RGBA", (72, 108))
    assert image.crop((36, 36, 72, 72)).tobytes() == images.to_image(some[3]).tobytes()
    assert not np.asarray(image.crop((36, 72, 72, 108))).any()  # the empty sixth cell
    assert images.grid(some).size == (108, 72)
    assert images.grid(some, columns=10, size=10).size == (50, 10)


def test_write_and_grid_refuse_bad_input(tmp_path, some):
    for bad in (
        lambda: images.grid(some, columns=0),
        lambda: images.grid(some, size=0),
        lambda: images.grid(some, size=5000),
        lambda: images.grid(np.repeat(some, 20, axis=0), size=4096),
        lambda: images.write(tmp_path / "picture.jpg", some[0]),
        lambda: images.write(tmp_path / "missing" / "picture.png", some[0]),
        lambda: images.write(tmp_path / "picture.png", some),
    ):
        with pytest.raises(InputError) as caught:
            bad()
        assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "bad",
    [
        np.zeros((36, 36, 4)),
        np.zeros((0, 36, 36, 4)),
        np.zeros((1, 36, 36, 3)),
        np.zeros((1, 36, 36, 4), np.uint8),
        np.full((1, 36, 36, 4), math.nan),
        np.full((1, 36, 36, 4), math.inf),
        np.full((1, 36, 36, 4), 1.5),
        np.full((1, 36, 36, 4), -0.1),
        "picture",
        None,
    ],
)
def test_check_refuses(bad):
    with pytest.raises(InputError) as caught:
        images.check(bad)
    assert len(str(caught.value).splitlines()) == 1


def test_check_returns_float32(some):
    assert images.check(some) is some
    assert images.check(some.astype(np.float64)).dtype == np.float32
