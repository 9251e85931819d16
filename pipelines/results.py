"""Results files: figures with the versions, data hashes and command that gave them."""

import hashlib
import importlib.metadata
import json
import platform
import shlex
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emoji_vae.files import replacing
from emoji_vae.locations import asset

_PACKAGES = (
    "numpy",
    "tensorflow",
    "keras",
    "onnx",
    "onnxruntime",
    "pillow",
    "scikit-learn",
)


def sha256(path: Path) -> str:
    """Return a file's SHA-256 as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hashes(paths: Sequence[Path]) -> dict[str, str]:
    """Return file name -> SHA-256."""
    return {path.name: sha256(path) for path in paths}


def versions(*more: str) -> dict[str, str]:
    """Return the versions of Python and of the libraries that figures depend on.

    Args:
        more: packages that these figures depend on as well.
    """
    found = {"python": platform.python_version()}
    for package in (*_PACKAGES, *more):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def spread(values: Sequence[float]) -> dict[str, Any]:
    """Return the mean, the sample standard deviation and the values, rounded to 5 digits."""
    return {
        "mean": round(statistics.fmean(values), 5),
        "sd": round(statistics.stdev(values), 5) if len(values) > 1 else None,
        "values": [round(value, 5) for value in values],
    }


def command(module: str, argv: Sequence[str] | None) -> str:
    """Return the command that runs a module with these arguments (the process's own if None)."""
    return shlex.join(["python", "-m", module, *(sys.argv[1:] if argv is None else argv)])


def place(output: Path, name: str) -> Path:
    """Return the results file of a training that writes its model to the folder ``output``.

    That of the model that ships is kept with the assets; any other lies beside its model.
    """
    if output.resolve() == asset("models", name):
        return asset("results", f"{name}.json")
    return output / f"{name}.json"


def write(path: Path, found: Mapping[str, Any]) -> None:
    """Write a results file, whole or not at all; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path, "w") as file:
        json.dump(found, file, indent=1, ensure_ascii=False)
        file.write("\n")
