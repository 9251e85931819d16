"""Output files that appear whole or not at all, and the folders that they go into."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from emoji_vae.errors import InputError


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder, and those above it, unless they are there.

    Raises:
        InputError: it cannot be made.
    """
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot make the folder {os.fspath(path)!r}: {error.strerror}; name another"
        ) from error


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], mode: str = "wb") -> Iterator[IO[Any]]:
    """Open a temporary file beside ``path`` that takes its name only if the block succeeds.

    Args:
        path: the final name; an existing file is replaced in one step.
        mode: ``"wb"``, or ``"w"`` for UTF-8 text with LF line ends.

    Raises:
        InputError: the folder is missing or cannot be written, or ``path`` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"cannot write {str(path)!r}: it is a folder; name a file")
    text: dict[str, Any] = {} if "b" in mode else {"encoding": "utf-8", "newline": "\n"}
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    except OSError as error:
        raise InputError(
            f"cannot write {str(path)!r}: {error.strerror}; name a folder that exists"
        ) from error
    try:
        # mkstemp makes private files; outputs get the permissions of any new file.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        with os.fdopen(handle, mode, **text) as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
