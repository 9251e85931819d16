"""Other vendors' pictures: what is matched with what, drawn and kept. Tiny archives, no network."""

import hashlib
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
from PIL import Image

from emoji_vae.catalogue import Catalogue, Emoji, catalogue
from emoji_vae.errors import InputError
from pipelines import sources, views
from pipelines.drawings import IconSet, hexcode
from pipelines.sources import SOURCES, Source

RED = '<path fill="#f00" d="M0 0h{0}v{0}h-{0}z"/>'  # a square of that side at the top left
SEQUENCES = ["😀", "❤️", "🏳️", "👉", "🇯🇵"]


def icon_set(icons, aliases=None, characters=None, **box):
    sides = {"left": 0, "top": 0, "width": 36, "height": 36}
    return IconSet(icons, aliases or {}, characters or {}, {**sides, **box})


def pixels(png):
    with Image.open(io.BytesIO(png)) as image:
        return np.asarray(image.convert("RGBA"))


def write_archive(path, icons, characters):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in (("icons", icons), ("chars", characters)):
            data = json.dumps(content).encode()
            entry = tarfile.TarInfo(f"package/{name}.json")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def test_the_vendors_are_sources():
    assert set(views.VENDORS) <= set(SOURCES)
    assert all(SOURCES[vendor].licence for vendor in views.VENDORS)


# Icon sets.


def test_hexcode():
    assert hexcode("🧑‍🚒") == "1f9d1-200d-1f692"
    assert hexcode("#") == "0023"


def test_an_icon_is_found_with_and_without_selectors():
    icons = icon_set({"heart": {"body": ""}}, characters={"2764": "heart", "1f600": "lost"})
    assert icons.find("❤️") == icons.find("❤") == "heart"
    assert icons.find("😀") is None  # named, but not among the icons
    assert icons.find("👉") is None


def test_an_icon_lies_where_its_box_says():
    pytest.importorskip("resvg_py", reason="needs the extra train")
    # The square covers 0 to 8 of a box from 4 to 12: half of each side, 4 of 8 pixels.
    body = RED.format(8)
    drawn = pixels(
        icon_set({"a": {"body": body, "left": 4}}, top=4, width=8, height=8).draw("a", 8)
    )
    expected = np.zeros((8, 8), bool)
    expected[:4, :4] = True
    np.testing.assert_array_equal(drawn[..., 3] == 255, expected)
    assert (drawn[expected] == [255, 0, 0, 255]).all()
    assert not drawn[~expected].any()


def test_the_longer_side_has_the_size():
    pytest.importorskip("resvg_py", reason="needs the extra train")
    icons = icon_set({"a": {"body": RED.format(36), "height": 18}})
    assert pixels(icons.draw("a", 72)).shape == (36, 72, 4)


def test_an_alias_is_drawn_as_its_parent_or_turned():
    pytest.importorskip("resvg_py", reason="needs the extra train")
    icons = icon_set(
        {"left": {"body": RED.format(18)}},
        {"same": {"parent": "left"}, "right": {"parent": "left", "hFlip": True}},
        left=0,
    )
    left = pixels(icons.draw("left", 36))
    assert left[0, 0, 3] == 255 and left[0, 35, 3] == 0
    np.testing.assert_array_equal(pixels(icons.draw("same", 36)), left)
    np.testing.assert_array_equal(pixels(icons.draw("right", 36)), left[:, ::-1])


def test_a_turned_icon_stays_in_a_box_that_begins_elsewhere():
    pytest.importorskip("resvg_py", reason="needs the extra train")
    # Of the box from 2 to 10 the square covers 2 to 6; turned, 6 to 10.
    icons = icon_set(
        {"a": {"body": RED.format(6)}},
        {"b": {"parent": "a", "hFlip": True}},
        left=2, top=0, width=8, height=8,
    )  # fmt: skip
    np.testing.assert_array_equal(pixels(icons.draw("a", 8))[0, :, 3], [255] * 4 + [0] * 4)
    np.testing.assert_array_equal(pixels(icons.draw("b", 8))[0, :, 3], [0] * 4 + [255] * 4)


@pytest.mark.parametrize("content", [{}, [], "icons", {"icons": {}, "aliases": None}])
def test_what_is_no_icon_set(tmp_path, content):
    path = tmp_path / "set.tgz"
    if content == {"icons": {}, "aliases": None}:
        with tarfile.open(path, "w:gz"):
            pass  # not even the files
    else:
        write_archive(path, content, {})
    with pytest.raises(InputError, match="no icon set of Iconify"):
        IconSet.read(path)


def test_iconify_leaves_the_usual_box_unsaid(tmp_path):
    write_archive(tmp_path / "set.tgz", {"icons": {}, "width": 64}, {})
    icons = IconSet.read(tmp_path / "set.tgz")
    assert icons.box == {"left": 0, "top": 0, "width": 64, "height": 16}


# Which icon shows which emoji.


def test_names_come_from_the_first_set_and_own_names_before_older_ones():
    body = {"body": ""}
    first = icon_set(
        {"grin": body, "point-left": body},
        {
            "heart": {"parent": "grin"},  # an older name here, but an own one of the second set
            "smile": {"parent": "grin"},
            "turned": {"parent": "grin", "hFlip": True},
            "astray": {"parent": "point-left"},  # of an icon that shows no emoji of ours
        },
        {"1f600": "grin"},
    )
    second = icon_set({"heart": body, "grin": body}, {}, {"2764": "heart", "1f449": "grin"})
    rows = views.names([first, second], SEQUENCES)
    assert rows == {"grin": 0, "heart": 1, "smile": 0}


def test_a_set_is_matched_by_what_it_says_then_by_names():
    body = {"body": ""}
    icons = icon_set(
        dict.fromkeys(["mine", "grin", "flag-for-flag-japan", "flag-for-white-flag"], body),
        {"heart": {"parent": "grin"}},
        {"1f600": "mine"},
    )
    rows = {"grin": 0, "heart": 1, "white-flag": 2, "flag-japan": 4, "japan": 3}
    # "grin" would be 😀, which the set says is "mine"; nothing shows 👉.
    assert views.match(icons, rows, SEQUENCES) == {
        0: "mine", 1: "heart", 2: "flag-for-white-flag", 4: "flag-for-flag-japan",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "forms"),
    [
        ("grin", ("grin",)),
        ("flag-japan", ("flag-japan",)),
        ("flag-for-flag-japan", ("flag-for-flag-japan", "flag-japan")),
        ("flag-for-turkey", ("flag-for-turkey", "flag-turkey")),
        ("flag-for-crossed-flags", ("flag-for-crossed-flags", "crossed-flags")),
    ],
)
def test_older_names_of_flags(name, forms):
    assert views._forms(name) == forms


# Loading.


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A catalogue of five, and archives of which one vendor names nothing and lacks much."""
    pytest.importorskip("resvg_py", reason="needs the extra train")
    monkeypatch.setattr(
        views, "catalogue", lambda: Catalogue([Emoji(s, s, (), "g", "1.0") for s in SEQUENCES])
    )
    box = {"width": 36, "height": 36}
    full = {"body": RED.format(36)}
    named = {"icons": {"grin": full, "heart": full, "hand": full}, **box}
    characters = {"1f600": "grin", "2764": "heart", "1f449": "hand"}
    unnamed = {
        # 36 x 36 pixels of half-seen red: premultiplied (128/255, 0, 0, 128/255).
        "icons": {
            "grin": {"body": '<path fill="#f00" fill-opacity=".5" d="M0 0h36v36H0z"/>'},
            "heart": {"body": ""},
        },
        **box,
    }
    table = {}
    for name in (*views.VENDORS, "drawings"):
        path = tmp_path / f"{name}-1.tgz"
        if name in views._NAMING:
            write_archive(path, named, characters)
        else:
            write_archive(path, unnamed, {})
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        table[name] = Source("npm", name, "1", path.name, digest, "MIT", "tests")
    monkeypatch.setattr(sources, "SOURCES", table)
    monkeypatch.setattr(views, "SOURCES", table)
    return tmp_path


@pytest.fixture
def draws(monkeypatch):
    """Return the names that were drawn."""
    calls = []
    draw = IconSet.draw

    def listed(icons, name, size):
        calls.append(name)
        return draw(icons, name, size)

    monkeypatch.setattr(IconSet, "draw", listed)
    return calls


def test_pictures_are_in_catalogue_order_and_0_where_missing(tiny):
    found = views.load("noto-v1", tiny)
    assert found.vendor == "noto-v1"
    assert found.pictures.dtype == np.float32 and found.pictures.shape == (5, 36, 36, 4)
    assert found.there.dtype == np.bool_
    # ❤️ has an icon, but one that shows nothing.
    assert found.there.tolist() == [True, False, False, False, False]
    half = np.float32(128) / np.float32(255)
    np.testing.assert_array_equal(found.pictures[0, 18, 18], [half, 0, 0, half])
    assert not found.pictures[1:].any()
    assert views.load("twemoji", tiny).there.tolist() == [True, True, False, True, False]


def test_pictures_are_drawn_once(tiny, draws, capsys):
    first = views.load("fluent", tiny)
    assert draws == ["grin", "heart"]
    again = views.load("fluent", tiny)
    assert len(draws) == 2
    np.testing.assert_array_equal(again.pictures, first.pictures)
    np.testing.assert_array_equal(again.there, first.there)
    assert again.pictures.dtype == np.float32
    assert capsys.readouterr().err == ""  # no progress where there is no terminal


def spoil(path, how):
    if how == "cut short":
        path.write_bytes(path.read_bytes()[:100])
    elif how == "damaged within":
        content = bytearray(path.read_bytes())
        with zipfile.ZipFile(path) as packed:
            start = packed.getinfo("pictures.npy").header_offset
        content[start + 60 : start + 80] = b"\xff" * 20
        path.write_bytes(content)
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "foreign":
        path.write_bytes(b"pictures")
    elif how == "a single array":
        with path.open("wb") as file:
            np.save(file, np.zeros(3))
    else:
        with np.load(path) as file:
            arrays = dict(file)
        arrays |= {
            "another key": {"key": np.array("0" * 64)},
            "another shape": {"there": arrays["there"][:3]},
            "floats": {"pictures": arrays["pictures"].astype(np.float32)},
        }[how]
        np.savez(path, **arrays)


@pytest.mark.parametrize(
    "how",
    ["cut short", "damaged within", "empty", "foreign", "a single array", "another key",
     "another shape", "floats"],
)  # fmt: skip
def test_a_stale_or_broken_file_is_drawn_again(tiny, draws, how):
    first = views.load("fluent", tiny)
    spoil(tiny / "views-fluent.npz", how)
    again = views.load("fluent", tiny)
    assert len(draws) == 4
    np.testing.assert_array_equal(again.pictures, first.pictures)
    views.load("fluent", tiny)
    assert len(draws) == 4  # mended


def test_another_catalogue_or_archive_is_another_key(tiny, monkeypatch):
    key = views._key("fluent", SEQUENCES)
    assert views._key("fluent", SEQUENCES[::-1]) != key
    assert views._key("emojione", SEQUENCES) != key
    # A set that gives the names counts too.
    table = dict(sources.SOURCES)
    table["openmoji"] = table["openmoji"]._replace(sha256="0" * 64)
    monkeypatch.setattr(views, "SOURCES", table)
    assert views._key("fluent", SEQUENCES) != key


def test_an_unknown_vendor_is_named():
    with pytest.raises(InputError, match="no vendor 'apple'; choose from twemoji, "):
        views.load("apple")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("vendor", "count"),
    [("twemoji", 1751), ("fluent-flat", 1433), ("fluent", 1433), ("noto-v1", 1135),
     ("emojione", 1367), ("openmoji", 1751)],
)  # fmt: skip
def test_the_vendors_have_as_many_pictures_as_the_readme_says(vendor, count):
    pytest.importorskip("resvg_py", reason="needs the extra train")
    try:
        found = views.load(vendor)
    except InputError as error:
        if "npm" not in str(error) and "cannot download" not in str(error):
            raise
        pytest.skip(str(error))
    assert found.there.sum() == count
    assert (found.pictures[..., :3] <= found.pictures[..., 3:]).all()
    # Flags that older sets name otherwise, and an emoji that is another one turned round.
    row = catalogue().index("👉")
    assert found.there[row]
    # It points to the right: the finger's half is the lighter one (less of it is filled).
    assert found.pictures[row, :, 27:, 3].sum() < found.pictures[row, :, :9, 3].sum()
