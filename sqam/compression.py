"""Compressed files of text: which there are, and how they are read and written."""

import sys
from pathlib import PurePath
from typing import Any, BinaryIO, cast

from emoji_vae.errors import MissingExtraError

SUFFIXES = (".gz", ".bz2", ".xz", ".zst")


def split(name: str) -> tuple[str, str]:
    """Return what a file's name says of it: its kind ("" if nothing) and its compression.

    >>> split("reviews.CSV.gz"), split("reviews.csv")
    (('.csv', '.gz'), ('.csv', ''))
    """
    path = PurePath(name)
    suffix = path.suffix.lower()
    return (PurePath(path.stem).suffix.lower(), suffix) if suffix in SUFFIXES else (suffix, "")


def check(compression: str) -> None:
    """Refuse a compression whose package is missing, before there is work to lose.

    Raises:
        MissingExtraError: the package that reads and writes .zst is not installed.
    """
    if compression == ".zst":
        try:
            _errors(compression)
        except ImportError as error:
            raise MissingExtraError("what reads and writes .zst", "zstd") from error


def opened(file: Any, compression: str, mode: Any) -> BinaryIO:
    """Return what reads (mode "rb") or writes ("wb") the plain bytes of a compressed binary file.

    Closing it writes what is left, and leaves ``file`` open. Equal bytes give equal files: neither
    a name nor a time is written.
    """
    # Each is loaded for its own files: most commands read none.
    if compression == ".gz":
        import gzip

        # Level 6, as the command gzip: Python's 9 takes far longer for a percent or two.
        return cast(BinaryIO, gzip.GzipFile("", mode, 6, file, mtime=0))
    if compression == ".bz2":
        import bz2

        return cast(BinaryIO, bz2.BZ2File(file, mode))
    if compression == ".xz":
        import lzma

        return cast(BinaryIO, lzma.LZMAFile(file, mode))
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return cast(BinaryIO, zstd.ZstdFile(file, mode))


def damaged(error: Exception, compression: str) -> bool:
    """Tell whether reading failed because of what the file holds, not because of the disk."""
    if isinstance(error, OSError):
        # gzip and bz2 raise it for wrong data, without the number of a system's error.
        return error.errno is None
    return isinstance(error, (EOFError, *_errors(compression)))


def _errors(compression: str) -> tuple[type[Exception], ...]:
    if compression == ".gz":
        import zlib

        return (zlib.error,)
    if compression == ".xz":
        import lzma

        return (lzma.LZMAError,)
    if compression == ".zst":
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        return (zstd.ZstdError,)
    return ()
