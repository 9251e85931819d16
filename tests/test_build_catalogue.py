import io
import json
import shutil
import tarfile

import numpy as np
import PIL
import pytest
from PIL import Image, features

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.errors import InputError
from emoji_vae.locations import asset
from pipelines import build_catalogue
from pipelines.sources import CACHE, SOURCES, fetch, sha256


@pytest.fixture(scope="module")
def record():
    return json.loads(asset("catalogue.json").read_text(encoding="utf-8"))


def test_the_record_fits_what_ships(record):
    assert record["emojis"] == len(catalogue()) == sum(record["groups"].values())
    assert sum(record["unicode_versions"].values()) == len(catalogue())
    for name, output in record["outputs"].items():
        assert sha256(asset(name)) == output["sha256"], name
    for name, source in record["sources"].items():
        assert SOURCES[name]._asdict() == source


def test_the_record_says_what_was_folded_and_left_out(record):
    assert record["folded"]["🤷‍♀️"] == "🤷"
    assert all(catalogue().find(base) is not None for base in record["folded"].values())
    reasons = {row["sequence"]: row["reason"] for row in record["left_out"]}
    assert "component" in reasons["🇦"]
    assert "Saudi Arabia" in reasons["🇨🇶"]
    assert not set(reasons) & set(catalogue().sequences)


def test_only_the_listed_emojis_look_alike(record):
    groups: dict[bytes, list[str]] = {}
    for row, picture in zip(catalogue(), images.sheet(), strict=True):
        groups.setdefault(picture.tobytes(), []).append(row.sequence)
    alike = [group for group in groups.values() if len(group) > 1]
    assert alike == record["same_pictures"]
    # Nations that share a flag, and families that Noto draws alike.
    assert all(group[0] in "🇦🇺🇧🇻🇨🇵🇩🇬🇪🇦🇺🇲" or group[0][0] == "👨" for group in alike)


def test_keywords_are_cleaned():
    # The name and repetitions go, underscores are spaces, and no keyword holds the separator.
    words = ["red_heart", "Love", "love", "valentine's_day", " ", ":|", "two  words"]
    kept, unfit = build_catalogue._keywords("red heart", words)
    assert kept == ("Love", "valentine's day", "two words")
    assert unfit == [":|"]


def write_archive(path, files):
    with tarfile.open(path, "w:gz") as tar:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"package/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))


def test_what_has_no_png_is_drawn(tmp_path):
    pytest.importorskip("resvg_py", reason="resvg-py is missing (extra train)")
    green = io.BytesIO()
    Image.new("RGBA", (64, 64), (0, 255, 0, 255)).save(green, "PNG")
    red = {"body": '<path fill="#f00" d="M0 0h8v8H0z"/>'}
    icons = {"icons": {"grin": red, "melt": red}, "width": 8, "height": 8}
    names = {"1f600": "grin", "1fae0": "melt", "1f355": "lost"}
    archives = {name: tmp_path / f"{name}.tgz" for name in ("pictures", "drawings")}
    write_archive(archives["pictures"], {"img/google/64/1f600.png": green.getvalue()})
    write_archive(
        archives["drawings"],
        {"icons.json": json.dumps(icons).encode(), "chars.json": json.dumps(names).encode()},
    )
    files = build_catalogue._files(archives, ["😀", "🫠", "🍕", "🚀"])
    # 😀 has both, and its PNG wins; 🍕's drawing is missing; nothing names 🚀.
    assert set(files) == {"😀", "🫠"}
    for size in (images.SIZE, images.LARGE_SIZE):
        pictures = {text: images.read(io.BytesIO(png), size) for text, png in files.items()}
        assert pictures["😀"].shape == (size, size, 4)
        assert (pictures["😀"] == [0, 1, 0, 1]).all()
        assert (pictures["🫠"] == [1, 0, 0, 1]).all()


def test_bad_input_ends_in_one_line(tmp_path, capsys, monkeypatch):
    def missing(name, cache):
        raise InputError("no network; check it")

    monkeypatch.setattr(build_catalogue, "fetch", missing)
    assert build_catalogue.main(["--output", str(tmp_path)]) == 2
    assert capsys.readouterr().err == "build_catalogue: error: no network; check it\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_shipped_files_are_what_the_command_builds(tmp_path, capsys, record):
    pytest.importorskip("resvg_py", reason="resvg-py is missing (extra train)")
    for name in record["sources"]:
        cached = (CACHE / SOURCES[name].archive).is_file()
        if not cached and shutil.which("npm") is None:
            pytest.skip("npm is missing, and build/sources has no archives")
        try:
            fetch(name)
        except InputError as error:
            if cached or "cannot download" not in str(error):
                raise
            pytest.skip(str(error))
    assert build_catalogue.main(["--output", str(tmp_path)]) == 0
    assert f"{len(catalogue())}" in capsys.readouterr().out.splitlines()[0]

    built = (tmp_path / "emojis.csv").read_bytes()
    assert built == asset("emojis.csv").read_bytes()
    np.testing.assert_array_equal(images.sheet(tmp_path / "emojis.png"), images.sheet())
    large = images.large_sheet(tmp_path / "emojis-64.webp")
    np.testing.assert_array_equal(large, images.large_sheet())
    # Another Pillow, zlib or libwebp may pack the same pixels into other bytes.
    versions = record["versions"]
    ours = {
        "pillow": PIL.__version__,
        "zlib": features.version("zlib"),
        "zlib-ng": features.version_feature("zlib_ng"),
        "libwebp": features.version("webp"),
    }
    if ours.items() <= versions.items():
        for name in ("emojis.png", "emojis-64.webp"):
            assert (tmp_path / name).read_bytes() == asset(name).read_bytes()
        fresh = json.loads((tmp_path / "catalogue.json").read_text(encoding="utf-8"))
        assert {**fresh, "versions": versions} == record
