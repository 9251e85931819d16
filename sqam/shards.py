"""A folder of shards: what it is made from, what of it is there, and how a shard appears in it.

Files and folders are local paths, or addresses that fsspec or Arrow opens. fsspec is imported here
alone, and only for work on a cluster.
"""

import contextlib
import dataclasses
import json
import os
import socket
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self

from emoji_vae.codes import EmojiCodes
from emoji_vae.errors import InputError, MissingExtraError
from sqam.bulk import Tally
from sqam.reading import START, Reader, Source

_FORMAT = "emoji-sqam shards, version 1"
_MANIFEST = "_manifest.json"
_CANDIDATES = "_candidates.npz"
# Readers of folders of shards pass over what begins with an underscore or a dot.
_RECORDS = "_shards"


class File(NamedTuple):
    """A file that is read, as it was when the job was begun."""

    name: str
    """Its address, or its absolute path."""

    size: int
    modified: str
    """When; "" where that cannot be known."""


Block = tuple[int, int, int | None]
"""Texts of a file that follow each other: bytes or rows before them, lines before them, and how
many there are; None: all."""


class Shard(NamedTuple):
    """A block of a file and the number of the shard that it becomes."""

    number: int
    file: int
    """The file's place among those of the job."""

    offset: int
    line: int
    texts: int | None
    """None: all that there are."""


@dataclass(frozen=True)
class Manifest:
    """What the shards of a folder are made of, and how."""

    made_by: Mapping[str, Any]
    files: Sequence[File]
    shards: Sequence[Shard]

    def check(self, made_by: Mapping[str, Any], files: Sequence[File], output: str) -> None:
        """Refuse to go on with other files, or in another way.

        Raises:
            InputError: the first difference.
        """
        remedy = "name another --output, or remove that folder"
        for name, value in made_by.items():
            if self.made_by.get(name) != value:
                raise InputError(
                    f"the shards in {output!r} were begun with another {name} "
                    f"({str(self.made_by.get(name))[:40]}, now {str(value)[:40]}); {remedy}"
                )
        before, after = ({file.name: file for file in some} for some in (self.files, files))
        for name in sorted(before.keys() | after.keys()):
            if before.get(name) != after.get(name):
                how = "changed" if name in before and name in after else "is gone"
                how = how if name in before else "is new"
                raise InputError(
                    f"{name!r} {how} since the shards in {output!r} were begun; {remedy}"
                )

    def as_json(self) -> str:
        """Return it as a text."""
        return json.dumps({"format": _FORMAT, **dataclasses.asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str | bytes, name: str) -> Self:
        """Read it back.

        Raises:
            InputError: it is none.
        """
        try:
            found = json.loads(text)
            if found["format"] != _FORMAT:
                raise KeyError("format")
            files = [File(*file) for file in found["files"]]
            return cls(found["made_by"], files, [Shard(*shard) for shard in found["shards"]])
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(
                f"{name!r} is no manifest of shards, or a damaged one; name another --output"
            ) from error


class Folder:
    """The folder of the shards.

    Raises:
        InputError: its address is none that can be opened.
    """

    def __init__(self, address: str, kind: str) -> None:
        self._address, self._kind = address, kind
        self._files, self._path = _opened(address)

    def manifest(self) -> Manifest | None:
        """Return the manifest; None where there is nothing yet.

        Raises:
            InputError: there is something else.
        """
        if not self._files.exists(self._path):
            return None
        if not self._files.isdir(self._path):
            raise InputError(f"cannot write to {self._address!r}: it is a file; name a folder")
        name = f"{self._path}/{_MANIFEST}"
        if self._files.exists(name):
            return Manifest.from_json(self._files.cat_file(name), name)
        if self._names(self._path):
            raise InputError(
                f"{self._address!r} holds other files; name a new or an empty folder with --output"
            )
        return None

    def begin(self, manifest: Manifest, candidates: EmojiCodes) -> None:
        """Write the manifest, and what is ranked for the workers to read.

        Raises:
            InputError: the folder cannot be written.
        """
        try:
            self._files.makedirs(f"{self._path}/{_RECORDS}", exist_ok=True)
        except OSError as error:
            raise InputError(
                f"cannot write to {self._address!r}: {error.strerror or error}; name a folder that "
                "can be written"
            ) from error
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / _CANDIDATES
            EmojiCodes(candidates.names, candidates.codes).save(made)
            self._publish(made, _CANDIDATES)
        self._write(_MANIFEST, manifest.as_json())

    def candidates(self) -> EmojiCodes:
        """Return what is ranked."""
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / _CANDIDATES
            self._files.get_file(f"{self._path}/{_CANDIDATES}", str(copy))
            return EmojiCodes.load(copy)

    def missing(self, manifest: Manifest) -> list[Shard]:
        """Return the shards that are still to be made."""
        self._files.invalidate_cache()
        there, records = self._names(self._path), self._names(f"{self._path}/{_RECORDS}")
        return [
            shard
            for shard in manifest.shards
            if self._name(shard) not in there or _record(shard) not in records
        ]

    def has(self, shard: Shard) -> bool:
        """Tell whether a shard is finished."""
        self._files.invalidate_cache()
        names = (self._name(shard), f"{_RECORDS}/{_record(shard)}")
        return all(self._files.exists(f"{self._path}/{name}") for name in names)

    def finish(self, shard: Shard, made: Path, tally: Tally) -> None:
        """Let a shard appear, whole, and record it."""
        self._publish(made, self._name(shard))
        counts = {"texts": tally.texts, "unmatched": tally.unmatched, "replaced": tally.replaced}
        self._write(f"{_RECORDS}/{_record(shard)}", json.dumps(counts) + "\n")

    def end(self, manifest: Manifest) -> Tally:
        """Add the shards' counts, and clear away what dead workers left."""
        tally = Tally()
        for shard in manifest.shards:
            counts = json.loads(self._files.cat_file(f"{self._path}/{_RECORDS}/{_record(shard)}"))
            tally.texts += counts["texts"]
            tally.unmatched += counts["unmatched"]
            tally.replaced += counts["replaced"]
        for folder in (self._path, f"{self._path}/{_RECORDS}"):
            for name in self._names(folder):
                if name.startswith(".part-"):
                    # Somebody who runs the same command may have been faster.
                    with contextlib.suppress(FileNotFoundError):
                        self._files.rm_file(f"{folder}/{name}")
        return tally

    def _name(self, shard: Shard) -> str:
        return f"part-{shard.number:05d}.{self._kind}"

    def _names(self, folder: str) -> set[str]:
        if not self._files.exists(folder):
            return set()
        found = self._files.ls(folder, detail=False)
        return {PurePosixPath(name).name for name in found}

    def _write(self, name: str, text: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / "made"
            made.write_text(text, encoding="utf-8")
            self._publish(made, name)

    def _publish(self, made: Path, name: str) -> None:
        final = f"{self._path}/{name}"
        parent, _, last = final.rpartition("/")
        temporary = f"{parent}/.{last}.{uuid.uuid4().hex}"
        self._files.put_file(str(made), temporary)
        # On a local disk a rename; where there is none, the temporary file makes one in one piece.
        self._files.mv(temporary, final)


def listed(source: str, output: str) -> list[File]:
    """Return the files that a path, a glob or a folder stands for, sorted by name.

    Of a folder those in it, at any depth, but none whose name, or whose folder's name, begins with
    an underscore or a dot; nor anything in ``output``.

    Raises:
        InputError: there are none, or the address cannot be opened.
    """
    files, path = _opened(source)
    beside = _opened(output)[1]
    # Arrow wants no folder's name to end with a slash.
    root = path.rstrip("/")
    try:
        if files.isdir(root):
            found = {
                name: info
                for name, info in files.find(root, detail=True).items()
                if not any(
                    part.startswith(("_", "."))
                    for part in PurePosixPath(name.removeprefix(root)).parts
                )
            }
        else:
            found = {
                name: info
                for name, info in files.glob(path, detail=True).items()
                if info["type"] == "file"
            }
    except OSError as error:
        raise InputError(f"cannot read {source!r}: {error}; check the name") from error
    names = sorted(name for name in found if not name.startswith(f"{beside}/"))
    if not names:
        raise InputError(f"there is no file {source!r}; check the name")
    return [_file(files, name, found[name], source) for name in names]


def blocks(
    file: File, column: str | None, keep: tuple[str, ...], texts: int
) -> tuple[list[Block], str]:
    """Return the blocks of a file (offset, line, texts), and what is wrong with it."""
    try:
        with reading(file, column, keep) as reader:
            if Source(file.name).compression:
                return [(*START, None)], ""
            return [(*block.place, block.texts) for block in reader.blocks(texts)], ""
    except InputError as error:
        return [], str(error)
    except OSError as error:
        return [], (
            f"cannot read {file.name!r} on {socket.gethostname()!r} ({error}); name an --input "
            "that every node reaches"
        )


def joined(blocks: Iterable[Block], texts: int) -> list[Block]:
    """Return a file's blocks with neighbours made one, of so many texts at most."""
    found: list[Block] = []
    for block in blocks:
        if found and (together := (found[-1][2] or texts) + (block[2] or texts)) <= texts:
            found[-1] = (*found[-1][:2], together)
        else:
            found.append(block)
    return found


def absolute(address: str) -> str:
    """Return an address that means the same everywhere."""
    return address if "://" in address else os.path.abspath(address)


def _opened(address: str) -> tuple[Any, str]:
    """Return the file system of an address, as fsspec has it, and the path there."""
    try:
        import fsspec.core
        from fsspec.implementations.arrow import ArrowFSWrapper
        from fsspec.implementations.local import LocalFileSystem
    except ImportError as error:
        raise MissingExtraError("what reads and writes for a cluster", "cluster") from error
    if "://" not in address:
        return LocalFileSystem(), absolute(address)
    try:
        found, path = fsspec.core.url_to_fs(address)
        return found, str(path)
    except (ImportError, ValueError) as error:
        # Arrow knows some kinds of storage for which fsspec needs a package more.
        from pyarrow import fs

        try:
            known, path = fs.FileSystem.from_uri(address)
        except (OSError, ValueError):
            raise InputError(
                f"cannot open {address!r} ({error}); name a path, or an address that fsspec or "
                "Arrow knows"
            ) from error
        return ArrowFSWrapper(known), path


def _file(files: Any, path: str, info: Mapping[str, Any], address: str) -> File:
    """Return a file as it is now; its name has the scheme of the address that led to it."""
    scheme, colon, _ = address.rpartition("://")
    name = path if not colon or colon in path else f"{scheme}{colon}{path}"
    try:
        modified = files.modified(path).isoformat()
    except NotImplementedError:
        modified = ""
    return File(name, info["size"], modified)


@contextlib.contextmanager
def reading(file: File, column: str | None, keep: tuple[str, ...]) -> Iterator[Reader]:
    """Open a file that must not have changed, nor change meanwhile."""
    files, path = _opened(file.name)

    def check() -> None:
        files.invalidate_cache()
        if _file(files, path, files.info(path), file.name) != file:
            raise InputError(
                f"{file.name!r} changed while the job ran; name another --output for what it is now"
            )

    check()
    with files.open(path, "rb") as opened:
        yield Source(file.name, column, keep).reader(opened, file.size)
    check()


def _record(shard: Shard) -> str:
    return f"part-{shard.number:05d}.json"
