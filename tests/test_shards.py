"""Folders of shards: what is listed, what the manifest refuses, how shards appear."""

import itertools
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError, MissingExtraError
from sqam.bulk import Tally
from sqam.shards import File, Folder, Manifest, Shard, absolute, blocks, joined, listed, reading

pytest.importorskip("fsspec", reason="needs the extra cluster")

CODES = EmojiCodes(["❤️", "⚾"], np.zeros((2, 16), np.float32))
FILES = [File("/in/a.txt", 5, "2024"), File("/in/b.txt", 7, "2024")]
SHARDS = [Shard(0, 0, 0, 0, 4), Shard(1, 0, 90, 4, 2), Shard(2, 1, 0, 0, None)]
MADE_BY = {"k": 3, "keep": ["id"], "model": "abc"}
MANIFEST = Manifest(MADE_BY, FILES, SHARDS)


def write(path: Path, text: str = "a\n") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def names(source, output="/nowhere") -> list[str]:
    return [os.path.basename(file.name) for file in listed(str(source), str(output))]


def test_what_is_listed(tmp_path):
    for name in ("b.txt", "a.csv", "deep/c.txt", "deep/_d.txt", ".e.txt", "_deep/f.txt", "g_.txt"):
        write(tmp_path / "in" / name)
    assert (
        names(tmp_path / "in") == names(f"{tmp_path}/in/") == ["a.csv", "b.txt", "c.txt", "g_.txt"]
    )
    assert names(tmp_path / "in" / "*.txt") == [".e.txt", "b.txt", "g_.txt"]
    assert names(f"file://{tmp_path}/in/**/c.txt") == ["c.txt"]
    assert names(tmp_path / "in" / "b.txt") == ["b.txt"]
    (file,) = listed(str(tmp_path / "in" / "a.csv"), "/nowhere")
    assert (file.name, file.size) == (str(tmp_path / "in" / "a.csv"), 2)
    assert file.modified.startswith("20")


def test_relative_paths_are_the_same_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write(Path("in.txt"))
    (file,) = listed("in.txt", "out")
    assert file.name == absolute("in.txt") == str(tmp_path / "in.txt")
    assert absolute("s3://bucket/in.txt") == "s3://bucket/in.txt"


def test_the_output_is_no_input(tmp_path):
    for name in ("a.txt", "out/part-0.txt", "outer/b.txt"):
        write(tmp_path / name)
    assert names(tmp_path, tmp_path / "out") == ["a.txt", "b.txt"]


@pytest.mark.parametrize("source", ["none.txt", "none/*.txt", "empty"])
def test_nothing_to_list(tmp_path, monkeypatch, source):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    with pytest.raises(InputError, match=f"there is no file '{source}'".replace("*", r"\*")):
        listed(source, "out")


def test_an_address_that_nothing_opens():
    with pytest.raises(InputError, match=r"cannot open 'nonsense://a' .*; name a path, or"):
        listed("nonsense://a", "out")


def test_arrow_opens_what_fsspec_lacks_a_package_for(tmp_path, monkeypatch):
    import fsspec.core

    def lacking(address):
        raise ImportError("Install a package")

    monkeypatch.setattr(fsspec.core, "url_to_fs", lacking)
    write(tmp_path / "in" / "a.txt", "one\ntwo\n")
    (file,) = listed(f"file://{tmp_path}/in/*.txt", "/nowhere")
    assert file.name.startswith("file://")
    with reading(file, None, ()) as reader:
        assert [record.text for record in reader.records()] == ["one", "two"]
    folder = Folder(f"file://{tmp_path}/out", "jsonl")
    folder.begin(MANIFEST, CODES)
    assert folder.manifest() == MANIFEST and folder.missing(MANIFEST) == SHARDS


def test_blocks(tmp_path):
    write(tmp_path / "a.txt", "a\nbb\nc\n")
    (file,) = listed(str(tmp_path / "a.txt"), "/nowhere")
    assert blocks(file, None, (), 2) == ([(0, 0, 2), (5, 2, 1)], "")
    write(tmp_path / "a.csv", 'text\n"a\n')
    (file,) = listed(str(tmp_path / "a.csv"), "/nowhere")
    found, problem = blocks(file, None, (), 2)
    assert found == [] and "is no CSV" in problem
    (tmp_path / "a.txt.gz").touch()
    (file,) = listed(str(tmp_path / "a.txt.gz"), "/nowhere")
    assert blocks(file, None, (), 2) == ([(0, 0, None)], "")
    (tmp_path / "a.txt.gz").unlink()
    assert re.match(r"cannot read '.*a\.txt\.gz' on '.*every node", blocks(file, None, (), 2)[1])


def test_neighbours_are_joined():
    some = [(0, 0, 2), (10, 2, 2), (20, 4, 2), (30, 6, 2), (40, 8, 1)]
    assert joined(some, 4) == [(0, 0, 4), (20, 4, 4), (40, 8, 1)]
    # The last one where it fits, and no block of more than is allowed.
    assert joined(some, 5) == [(0, 0, 4), (20, 4, 5)]
    assert joined(some, 99) == [(0, 0, 9)]
    assert joined(some, 2) == some and joined([], 2) == []
    # Of a compressed file nobody knows how many texts there are.
    assert joined([(0, 0, None)], 10**9) == [(0, 0, None)]


@given(st.lists(st.integers(1, 9), max_size=20), st.integers(1, 30))
def test_joined_blocks_hold_the_same_texts(counts, texts):
    begins = list(itertools.accumulate(counts, initial=0))
    some = [(at, at, count) for at, count in zip(begins, counts, strict=False)]
    found = [(begin, count or 0) for begin, _, count in joined(some, texts)]
    # They follow each other from the first text to the last.
    ends = [begin + count for begin, count in found]
    assert [begin for begin, _ in found] == [0, *ends][: len(found)]
    assert sum(count for _, count in found) == begins[-1]
    assert all(count <= texts or count in counts for _, count in found)
    # Two neighbours are too many for one.
    assert all(a + b > texts for (_, a), (_, b) in itertools.pairwise(found))


def test_a_file_that_changes(tmp_path):
    write(tmp_path / "a.txt", "a\n")
    (file,) = listed(str(tmp_path / "a.txt"), "/nowhere")
    with pytest.raises(InputError, match=r"a\.txt' changed while the job ran"):
        with reading(file, None, ()) as reader:
            assert next(reader.records()).text == "a"
            write(tmp_path / "a.txt", "b\nc\n")
    with pytest.raises(InputError, match="changed"):
        with reading(file, None, ()):
            pytest.fail("it was opened")


def test_the_manifest_is_read_as_it_was_written():
    assert Manifest.from_json(MANIFEST.as_json(), "name") == MANIFEST


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"format": "other"}', "[" * 100_000])
def test_no_manifest(text):
    with pytest.raises(InputError, match="'name' is no manifest of shards"):
        Manifest.from_json(text, "name")


@pytest.mark.parametrize(
    ("made_by", "files", "message"),
    [
        ({"k": 4}, FILES, r"begun with another k \(3, now 4\); name another --output"),
        ({"keep": []}, FILES, "another keep"),
        ({"model": "x" * 99}, FILES, "another model"),
        ({}, FILES[:1], "'/in/b.txt' is gone since the shards in 'out' were begun"),
        ({}, [*FILES, File("/in/c.txt", 1, "")], "'/in/c.txt' is new since"),
        ({}, [FILES[0], File("/in/b.txt", 8, "2024")], "'/in/b.txt' changed since"),
        ({}, [FILES[0], File("/in/b.txt", 7, "2025")], "'/in/b.txt' changed since"),
    ],
)
def test_another_job_is_refused(made_by, files, message):
    MANIFEST.check(MADE_BY, FILES, "out")
    with pytest.raises(InputError, match=message) as error:
        MANIFEST.check(MADE_BY | made_by, files, "out")
    assert len(str(error.value)) < 300


def test_shards_appear_whole_and_are_recorded(tmp_path):
    folder = Folder(str(tmp_path / "new" / "out"), "jsonl")
    assert folder.manifest() is None
    folder.begin(MANIFEST, CODES)
    assert folder.manifest() == MANIFEST
    assert list(folder.candidates().names) == ["❤️", "⚾"]
    assert folder.missing(MANIFEST) == SHARDS
    write(tmp_path / "made", "a shard\n")
    for shard in SHARDS[1:]:
        folder.finish(shard, tmp_path / "made", Tally(texts=shard.number, unmatched=1))
    assert folder.missing(MANIFEST) == SHARDS[:1]
    assert folder.has(SHARDS[1]) and not folder.has(SHARDS[0])
    # One without a record is no shard yet: its worker may have died between the two.
    (tmp_path / "new/out/_shards/part-00001.json").unlink()
    assert folder.missing(MANIFEST) == SHARDS[:2] and not folder.has(SHARDS[1])
    # Nor is a record without a shard.
    (tmp_path / "new/out/part-00002.jsonl").unlink()
    assert folder.missing(MANIFEST) == SHARDS
    for shard in SHARDS:
        folder.finish(shard, tmp_path / "made", Tally(texts=shard.number + 1, unmatched=1))
    # What a dead worker left goes away.
    write(tmp_path / "new/out/.part-00001.jsonl.abc")
    tally = folder.end(MANIFEST)
    assert (tally.texts, tally.unmatched, tally.replaced) == (6, 3, 0)
    assert sorted(os.listdir(tmp_path / "new" / "out")) == [
        "_candidates.npz",
        "_manifest.json",
        "_shards",
        "part-00000.jsonl",
        "part-00001.jsonl",
        "part-00002.jsonl",
    ]
    assert (tmp_path / "new/out/part-00000.jsonl").read_text() == "a shard\n"
    assert json.loads((tmp_path / "new/out/_shards/part-00002.json").read_text())["texts"] == 3


def test_a_shard_that_cannot_be_written_whole_does_not_appear(tmp_path, monkeypatch):
    from fsspec.implementations.local import LocalFileSystem

    folder = Folder(str(tmp_path / "out"), "jsonl")
    folder.begin(MANIFEST, CODES)
    write(tmp_path / "made", "a shard\n")

    def full(self, path, target, **options):
        Path(target).write_text("a sh")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "put_file", full)
    with pytest.raises(OSError, match="No space left"):
        folder.finish(SHARDS[0], tmp_path / "made", Tally())
    assert not (tmp_path / "out" / "part-00000.jsonl").exists()
    assert folder.missing(MANIFEST) == SHARDS


def test_folders_that_hold_something_else(tmp_path):
    write(tmp_path / "file")
    with pytest.raises(InputError, match="it is a file; name a folder"):
        Folder(str(tmp_path / "file"), "jsonl").manifest()
    with pytest.raises(InputError, match="holds other files; name a new or an empty folder"):
        Folder(str(tmp_path), "jsonl").manifest()
    with pytest.raises(InputError, match=r"cannot write to .*; name a folder that can be written"):
        Folder(str(tmp_path / "file" / "in"), "jsonl").begin(MANIFEST, CODES)
    write(tmp_path / "spoilt" / "_manifest.json", "{")
    with pytest.raises(InputError, match="no manifest of shards, or a damaged one"):
        Folder(str(tmp_path / "spoilt"), "jsonl").manifest()


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "fsspec", None)
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'emoji-sqam\[cluster\]'"):
        listed("a", "b")
