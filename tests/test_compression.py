import io
import sys

import pytest
from conftest import packed, suffixes

from emoji_vae.errors import MissingExtraError
from sqam import compression


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("a.csv", (".csv", "")),
        ("a.CSV.GZ", (".csv", ".gz")),
        ("folder.zst/a.jsonl", (".jsonl", "")),
        ("a.gz", ("", ".gz")),
        ("a", ("", "")),
        (".gz", ("", "")),
        ("a.b.txt.xz", (".txt", ".xz")),
        ("a.gz.csv", (".csv", "")),
    ],
)
def test_what_a_name_says(name, parts):
    assert compression.split(name) == parts


@pytest.mark.parametrize("suffix", suffixes())
def test_what_goes_in_comes_out_and_files_are_equal(suffix):
    data = "Grüße 😄\n".encode() * 5000
    first = packed(data, suffix)
    assert len(first) < len(data) / 10
    assert packed(data, suffix) == first
    file = io.BytesIO(first)
    with compression.opened(file, suffix, "rb") as plain:
        assert plain.read() == data
    assert not file.closed


@pytest.mark.parametrize("suffix", suffixes())
@pytest.mark.parametrize("spoil", [lambda data: data[: len(data) // 2], lambda data: b"no" + data])
def test_damage_is_told_from_a_failing_disk(suffix, spoil):
    data = spoil(packed(bytes(range(256)) * 50, suffix))
    with compression.opened(io.BytesIO(data), suffix, "rb") as plain:
        with pytest.raises(Exception) as error:  # each has errors of its own
            plain.read()
    assert compression.damaged(error.value, suffix)
    assert not compression.damaged(OSError(5, "Input/output error"), suffix)
    assert not compression.damaged(KeyError("x"), suffix)


def test_a_missing_package_is_named(monkeypatch):
    for module in ("backports", "backports.zstd", "compression", "compression.zstd"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"pip install 'emoji-sqam\[zstd\]'"):
        compression.check(".zst")
    compression.check(".gz")
    compression.check("")
