"""Where the files that ship with the project lie."""

from pathlib import Path

_HERE = Path(__file__).resolve().parent


def asset(*parts: str) -> Path:
    """Return the path of a shipped file, e.g. ``asset("models", "vae", "codes.npz")``.

    A wheel carries the folder ``assets`` inside this package; in a checkout (and in an editable
    install of one) it lies beside the package. The file itself need not exist.
    """
    installed = _HERE / "assets"
    folder = installed if installed.is_dir() else _HERE.parent / "assets"
    return folder.joinpath(*parts)
