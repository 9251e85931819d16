"""The page's files and the pictures, from memory: types, ETags, compression, no other file."""

import gzip
import io

import numpy as np
import pytest
from PIL import Image

from emoji_vae import images
from emoji_vae.errors import InputError

pytest.importorskip("starlette", reason="needs the extra serve")

from starlette.testclient import TestClient

from sqam.server import resources
from sqam.server.app import application

PAGE = sorted(path.name for path in resources.PAGE.iterdir())


@pytest.fixture(scope="module")
def client(quick_engine):
    with TestClient(application(quick_engine)) as client:
        yield client


@pytest.mark.parametrize("name", PAGE)
def test_every_file_of_the_page_is_there(client, name):
    content = (resources.PAGE / name).read_bytes()
    response = client.get(f"/static/{name}")
    assert response.status_code == 200 and response.content == content
    kind = response.headers["content-type"]
    assert kind == {
        "html": "text/html; charset=utf-8",
        "css": "text/css; charset=utf-8",
        "js": "text/javascript; charset=utf-8",
        "svg": "image/svg+xml",
        "png": "image/png",
    }.get(name.rpartition(".")[2])


def test_the_page(client):
    response = client.get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.content == (resources.PAGE / "index.html").read_bytes()


def test_compression(client):
    whole = (resources.PAGE / "index.html").read_bytes()
    for accepted, packed in [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("gzip ; q = 1", True),
        ("gzip;q=0", False),
        ("gzip;q=0.000", False),
        ("identity", False),
        ("", False),
        ("xgzip", False),
    ]:
        with client.stream("GET", "/", headers={"accept-encoding": accepted}) as response:
            content = b"".join(response.iter_raw())
        assert response.headers["vary"] == "Accept-Encoding"
        assert (response.headers.get("content-encoding") == "gzip") is packed, accepted
        assert (gzip.decompress(content) if packed else content) == whole
        assert len(content) == int(response.headers["content-length"])
        assert not packed or len(content) < len(whole)


def test_what_does_not_get_smaller_is_not_compressed():
    resource = resources.Resource(b"a", "text/plain")
    assert resource._forms[True] == resource._forms[False]


def test_a_file_that_is_known_is_not_sent_again(client):
    tags = set()
    for accepted in ("gzip", "identity"):
        first = client.get("/", headers={"accept-encoding": accepted})
        tag = first.headers["etag"]
        tags.add(tag)
        for known, status in [
            (tag, 304),
            (f'"other", {tag}', 304),
            (f"W/{tag}", 304),
            ("*", 304),
            ('"other"', 200),
            ("", 200),
        ]:
            headers = {"accept-encoding": accepted, "if-none-match": known}
            again = client.get("/", headers=headers)
            assert again.status_code == status, known
            assert again.headers["etag"] == tag
            assert again.headers["cache-control"] == "no-cache"
            assert (again.content == b"") is (status == 304)
    assert len(tags) == 2  # two forms of one resource


def test_the_sheet_has_the_colours_that_a_browser_shows(client):
    response = client.get("/static/emojis.png")
    assert response.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(response.content)) as sheet:
        pixels = np.asarray(sheet)
    shipped = images.sheet()
    columns = pixels.shape[1] // 36
    assert columns == images._square(len(shipped))[1]
    for row in (0, 1, 700, len(shipped) - 1):
        top, left = row // columns * 36, row % columns * 36
        cell = pixels[top : top + 36, left : left + 36]
        assert cell.tobytes() == images.to_image(shipped[row]).tobytes()


def test_pages_are_made_of_known_kinds_of_file(tmp_path):
    (tmp_path / "a.js").write_text("1")
    assert list(resources.page(tmp_path)) == ["a.js"]
    (tmp_path / "b.exe").write_text("1")
    with pytest.raises(InputError, match="is no file of a page"):
        resources.page(tmp_path)
