import os
import stat

import pytest

from emoji_vae.errors import InputError
from emoji_vae.files import replacing


def test_a_file_appears_when_the_block_ends(tmp_path):
    path = tmp_path / "out.bin"
    with replacing(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf8_with_lf(tmp_path):
    path = tmp_path / "out.txt"
    with replacing(str(path), "w") as file:
        file.write("❤️\n")
    assert path.read_bytes() == "❤️\n".encode()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "out.bin"
    path.write_bytes(b"old")
    with pytest.raises(error), replacing(path) as file:
        file.write(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_existing_file_is_replaced(tmp_path):
    path = tmp_path / "out.bin"
    path.write_bytes(b"a longer old content")
    with replacing(path) as file:
        file.write(b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt", reason="permission bits are POSIX")
def test_permissions_are_those_of_any_new_file(tmp_path):
    with replacing(tmp_path / "out.bin"):
        pass
    (tmp_path / "plain").touch()
    modes = {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert len(modes) == 1


def test_bad_places_are_refused(tmp_path):
    (tmp_path / "file").touch()
    for path, remedy in (
        (tmp_path / "missing" / "out", "name a folder that exists"),
        (tmp_path / "file" / "out", "name a folder that exists"),
        (tmp_path, "name a file"),
    ):
        with pytest.raises(InputError, match=remedy) as caught, replacing(path):
            pass
        assert len(str(caught.value).splitlines()) == 1
