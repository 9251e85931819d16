import io
import math
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence

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


@pytest.mark.parametrize("white", [1, 255, 65535])
def test_floats_are_out_of_the_least_that_holds_them(white):
    # A quarter of white is 64 of 255 (63.75); what is no number, or below 0, is black.
    levels = np.full((36, 36), white / 4, np.float32)
    levels[:9] = white
    levels[9, 0], levels[9, 1], levels[9, 2] = math.nan, math.inf, -white
    picture = images.read(stored(Image.fromarray(levels), "TIFF"))
    np.testing.assert_allclose(picture[0, 0], [1, 1, 1, 1])
    np.testing.assert_allclose(picture[20, 20], [64 / 255, 64 / 255, 64 / 255, 1])
    np.testing.assert_allclose(picture[9, :3, 0], 0)


@pytest.mark.parametrize(
    ("format", "mode"),
    [
        *(("PNG", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("TIFF", mode) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
        *(("TIFF", mode) for mode in ("CMYK", "I", "F")),
    ],
)
def test_files_of_every_mode(format, mode):
    white = {"I;16": 65535, "I": 65535, "F": 1.0}.get(mode)
    if white is None:
        image = Image.new("RGB", (50, 40), "white").convert(mode)
    else:
        image = Image.new(mode, (50, 40), white)
    picture = images.read(stored(image, format))
    # 50 x 40 becomes 36 x 29 (28.8), from row 3 on.
    np.testing.assert_allclose(picture[3:32], 1, atol=1e-6)
    assert not picture[:3].any() and not picture[32:].any()


@pytest.mark.parametrize(
    ("mode", "level"), [("1", 1), ("L", 200), ("I;16", 1000), ("RGB", (9, 8, 7))]
)
def test_a_level_that_stands_for_transparent(mode, level):
    key = 255 if mode == "1" else level
    picture = images.read(stored(Image.new(mode, (20, 20), level), transparency=key))
    assert not picture.any()


def test_a_palette_with_soft_transparency():
    # Blue at alpha 128: 128/255 of blue, premultiplied.
    image = Image.new("P", (36, 36), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    picture = images.read(stored(image, transparency=bytes([255, 128])))
    np.testing.assert_allclose(picture[9, 9], [0, 0, 128 / 255, 128 / 255], atol=1e-6)


def test_inks():
    # No cyan, all magenta and yellow: red. Photoshop's JPEG stores them inverted, as Pillow does.
    for format in ("JPEG", "TIFF"):
        inks = Image.new("CMYK", (36, 36), (0, 255, 255, 0))
        picture = images.read(stored(inks, format))
        np.testing.assert_allclose(picture[9, 9], [1, 0, 0, 1], atol=0.02)


@pytest.mark.parametrize("format", ["PNG", "WEBP", "GIF", "TIFF"])
def test_a_transparent_picture_is_one(format):
    picture = images.read(stored(Image.new("RGBA", (40, 30), (255, 0, 0, 0)), format))
    assert not picture.any()


@pytest.mark.parametrize(
    "exif",
    [b"garbage", b"Exif\0\0II*\0\x08\0\0\0garbage", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0\0"],
)
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_damaged_exif_data_do_not_matter(format, exif, recwarn):
    picture = images.read(stored(Image.new("RGB", (20, 20), "white"), format, exif=exif))
    np.testing.assert_allclose(picture, 1)
    assert not recwarn.list


@pytest.mark.parametrize("format", ["WEBP", "PNG"])
def test_the_first_frame_of_other_animations(format):
    frames = [Image.new("RGBA", (36, 36), colour) for colour in ("red", "blue")]
    file = stored(frames[0], format, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(images.read(file)[18, 18], [1, 0, 0, 1], atol=0.02)


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


def test_fewer_pixels_may_be_allowed():
    small = stored(Image.new("RGB", (100, 80)), "PNG")
    assert images.read(small, max_pixels=8_000).shape == (36, 36, 4)
    small.seek(0)
    with pytest.raises(InputError, match=r"100 x 80 pixels; scale .* 0\.007999 million"):
        images.read(small, max_pixels=7_999)


def test_formats_may_be_named():
    picture = stored(Image.new("RGB", (8, 8)), "BMP")
    assert images.read(picture, formats=("PNG", "BMP")).shape == (36, 36, 4)
    picture.seek(0)
    with pytest.raises(InputError, match="no whole picture"):
        images.read(picture, formats=("PNG",))


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


def test_the_large_sheet_has_the_same_pictures():
    large = images.large_sheet()
    assert large.shape == (len(catalogue()), 64, 64, 4) and large.dtype == np.uint8
    assert (large[..., :3] <= large[..., 3:]).all()
    # Scaled down again they are those of the other sheet, to the rounding of straight alpha.
    for row in range(0, len(large), 250):
        image = Image.frombytes("RGBa", (64, 64), large[row].tobytes()).convert("RGBA")
        np.testing.assert_allclose(images.from_image(image), images.sheet()[row], atol=2.5 / 255)


def test_large_sheet_round_trip(tmp_path, monkeypatch):
    # Every alpha with every colour that it allows, at least once.
    alpha, colour = (levels.ravel() for levels in np.mgrid[:256, :256])
    alpha, colour = (np.resize(levels[colour <= alpha], 9 * 4096) for levels in (alpha, colour))
    levels = np.stack([colour, colour, colour, alpha], axis=1).reshape(9, 64, 64, 4)
    path = tmp_path / "sheet.webp"
    images.write_large_sheet(path, levels.astype(np.float32) / 255)
    with pytest.raises(InputError, match="does not fit the catalogue"):
        images.large_sheet(path)
    monkeypatch.setattr(images, "catalogue", lambda: range(9))
    np.testing.assert_array_equal(images.large_sheet(path), levels)
    with Image.open(path) as image:
        assert image.size == (3 * 64, 3 * 64)  # nine pictures: three columns, three rows


def test_foreign_large_sheets(tmp_path):
    missing, text, png, opaque = (
        tmp_path / name for name in ("missing", "text.webp", "png.webp", "opaque.webp")
    )
    text.write_text("hello")
    Image.new("RGBA", (64, 64)).save(png, "PNG")
    Image.new("RGB", (64, 64)).save(opaque)
    for path in (missing, text, png, opaque, tmp_path):
        with pytest.raises(InputError) as caught:
            images.large_sheet(path)
        assert len(str(caught.value).splitlines()) == 1


def test_read_at_another_size(tmp_path):
    Image.new("RGBA", (10, 5), (255, 0, 0, 255)).save(tmp_path / "red.png")
    picture = images.read(tmp_path / "red.png", 64)
    # 10 x 5 becomes 64 x 32, centred: rows 16 to 47.
    assert picture.shape == (64, 64, 4)
    assert (picture[16:48] == [1, 0, 0, 1]).all()
    assert not picture[:16].any() and not picture[48:].any()


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


@pytest.mark.parametrize("size", [37, 72, 100, 288, 512])
def test_an_enlarged_edge_is_even(size):
    # Left half dark, right half light: no halo on either side, no bricks between.
    picture = np.full((36, 36, 4), 0.2, np.float32)
    picture[:, 18:] = 0.8
    picture[..., 3] = 1
    row = np.asarray(images.to_image(picture, size)).astype(int)[size // 2, :, 0]
    assert row.min() == 51 and row.max() == 204
    assert (np.diff(row) >= 0).all()
    assert (row[: int(size * 17 / 36)] == 51).all() and (row[-int(size * 17 / 36) :] == 204).all()
    if size >= 100:
        # One old pixel is size / 36 wide, and the edge takes about that, in more than one step.
        assert len(set(row)) >= size / 36 / 2
        assert np.diff(row).max() < (204 - 51) * 0.8


@settings(deadline=None, max_examples=25)
@given(st.integers(37, 200), st.integers(0, 2**32 - 1))
def test_enlarging_goes_nowhere_beyond(size, seed):
    levels = np.random.default_rng(seed).integers(60, 200, (36, 36, 4)).astype(np.float32)
    levels[..., 3] = 255
    image = np.asarray(images.to_image(levels / 255, size))
    assert image[..., :3].min() >= levels.min() and image[..., :3].max() <= levels[..., :3].max()
    # A corner has no neighbours beyond it.
    np.testing.assert_array_equal(image[0, 0], levels[0, 0])


@pytest.mark.parametrize("size", [20, 36, 72, 100, 288])
def test_soft_edges_have_no_foreign_colours(size):
    # An orange disc with a soft rim: every pixel that can be seen is orange.
    y, x = np.mgrid[:36, :36] - 17.5
    alpha = np.clip(14 - np.hypot(x, y), 0, 1).astype(np.float32)
    picture = alpha[..., np.newaxis] * np.array([1, 0.6, 0.2, 1], np.float32)
    image = np.asarray(images.to_image(picture, size)).astype(int)
    assert image[..., 3].max() == 255 and image[0, 0, 3] == 0
    seen = image[image[..., 3] >= 64]
    # 8 bits premultiplied by an alpha of 64 leave steps of 4 levels, and two roundings.
    assert np.abs(seen[:, :3] - [255, 153, 51]).max() <= 8


def test_reducing():
    image = images.to_image(np.full((36, 36, 4), 0.5, np.float32), 1)
    assert image.size == (1, 1) and image.getpixel((0, 0)) == (255, 255, 255, 128)


def test_backgrounds():
    picture = np.zeros((36, 36, 4), np.float32)
    picture[:18] = [0.2, 0.1, 0, 0.2]
    image = images.grid([picture] * 3, 2, background="#0000ff")
    assert image.mode == "RGBA" and image.size == (72, 72)
    # 0.2 of (255, 130, 0) on 0.8 of blue; the lower half and the empty cell are the background.
    np.testing.assert_allclose(np.asarray(image)[5, 5], (51, 26, 204, 255), atol=1)
    assert image.getpixel((5, 30)) == image.getpixel((60, 60)) == (0, 0, 255, 255)
    for bad in ("nothing", "", "#12", "#00000080", "transparent"):
        with pytest.raises(InputError) as caught:
            images.grid([picture], background=bad)
        assert len(str(caught.value).splitlines()) == 1


def test_layout():
    # 400 pictures make 20 x 20; 5 make 3 columns and 2 rows; 5 do not fill 9 columns.
    assert images.layout(400) == (20, 20)
    assert images.layout(5) == (3, 2)
    assert images.layout(5, 9) == (5, 1)
    # 50 million pixels: 7000 x 7000 fit, 7200 x 7200 do not.
    assert images.layout(100, size=700) == (10, 10)
    with pytest.raises(InputError, match="smaller size"):
        images.layout(100, size=720)


@pytest.fixture
def moving():
    """Six frames of a half-transparent square that moves to the right."""
    pictures = np.zeros((6, 36, 36, 4), np.float32)
    for step, picture in enumerate(pictures):
        picture[10:20, 4 * step : 4 * step + 10] = [0.5, 0.25, 0, 0.5]
    return pictures


def frames(path):
    with Image.open(path) as image:
        for frame in ImageSequence.Iterator(image):
            frame.load()
            yield frame.convert("RGBA"), frame.info["duration"], image.info.get("loop")


@pytest.mark.parametrize("size", [36, 50])
@pytest.mark.parametrize("suffix", ["gif", "webp", "apng"])
def test_animations(tmp_path, moving, suffix, size):
    path = tmp_path / f"moving.{suffix.upper()}"
    images.write_animation(path, moving, 1.0, size)
    found = list(frames(path))
    assert len(found) == 6
    assert sum(duration for _, duration, _ in found) == 1000
    assert {loop for _, _, loop in found} == {0}  # for ever
    background = "white" if suffix == "gif" else None
    for (image, _, _), picture in zip(found, moving, strict=True):
        shown, expected = (
            np.asarray(one).astype(int)
            for one in (image, images.to_image(picture, size, background))
        )
        # Alpha survives, no frame shines through the next, and what can be seen is exact.
        np.testing.assert_array_equal(shown[..., 3], expected[..., 3])
        seen = expected[..., 3] > 0
        assert np.abs(shown - expected)[seen].max() <= (8 if suffix == "gif" else 0)


@pytest.mark.parametrize("suffix", ["gif", "webp", "apng"])
def test_animations_on_a_background(tmp_path, moving, suffix):
    path = tmp_path / f"moving.{suffix}"
    images.write_animation(path, moving, 1.0, background="#202040")
    for image, _, _ in frames(path):
        pixel = image.getpixel((30, 2))
        np.testing.assert_allclose(pixel, (0x20, 0x20, 0x40, 255), atol=4)


def test_an_animation_that_stands_still(tmp_path, some):
    for suffix in images.ANIMATIONS:
        images.write_animation(tmp_path / f"still{suffix}", some[[0, 0, 0]], 60)
        with Image.open(tmp_path / f"still{suffix}") as image:
            assert image.size == (36, 36)


def test_durations_by_hand():
    # 1 second in 3 frames: 333.3 ms each; the ends are at 333, 667 and 1000 ms.
    assert images.frame_durations("a.webp", 3, 1) == [333, 334, 333]
    assert images.frame_durations("a.gif", 3, 1) == [330, 340, 330]
    assert images.frame_durations("a.apng", 60, 3) == [50] * 60


@given(st.sampled_from([".gif", ".webp", ".apng"]), st.integers(1, 200), st.floats(4, 60, width=32))
def test_durations_sum_up(suffix, n, seconds):
    durations = images.frame_durations("a" + suffix, n, seconds)
    unit = 10 if suffix == ".gif" else 1
    assert len(durations) == n and min(durations) >= 20
    assert abs(sum(durations) - 1000 * seconds) <= unit / 2
    assert max(durations) - min(durations) <= unit


def test_animations_refuse_bad_input(tmp_path, moving):
    for bad in (
        lambda: images.write_animation(tmp_path / "a.png", moving, 1),
        lambda: images.write_animation(tmp_path / "a.mp4", moving, 1),
        lambda: images.write_animation(tmp_path / "a", moving, 1),
        lambda: images.write_animation(tmp_path / "none" / "a.gif", moving, 1),
        lambda: images.write_animation(tmp_path / "a.gif", moving, 0.1),
        lambda: images.write_animation(tmp_path / "a.gif", moving, 61),
        lambda: images.write_animation(tmp_path / "a.gif", moving, math.nan),
        lambda: images.write_animation(tmp_path / "a.gif", moving, 1, 0),
        lambda: images.write_animation(tmp_path / "a.gif", moving, 1, 4000),
        lambda: images.write_animation(tmp_path / "a.gif", moving, 1, 36, "none"),
        lambda: images.write_animation(tmp_path / "a.gif", moving[:0], 1),
        lambda: images.frame_durations("a.gif", 0, 1),
    ):
        with pytest.raises(InputError) as caught:
            bad()
        assert len(str(caught.value).splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_an_animation_appears_whole_or_not_at_all(tmp_path, moving, monkeypatch):
    path = tmp_path / "moving.apng"
    path.write_bytes(b"before")

    def save(image, file, *arguments, **options):
        file.write(b"half")
        raise OSError("the disk is full")

    monkeypatch.setattr(Image.Image, "save", save)
    with pytest.raises(OSError, match="full"):
        images.write_animation(path, moving, 1)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


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
