"""What the project's command lines share: strict parsing, exit codes, errors as one line."""

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from emoji_vae.errors import InputError

EXIT_CODES = (
    "exit codes: 0 fine, 2 bad input (one line on standard error says what to mend),\n"
    "            130 interrupted, 141 the reader of standard output went away"
)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are `InputError`, whose help keeps its line breaks, without guessing.

    Options cannot be abbreviated, so that a new option never changes what an old command means.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False, **settings
        )

    def error(self, message: str) -> NoReturn:
        """Raise `InputError` with the message and the command that prints the help."""
        raise InputError(f"{_one_line(message)}; see {self.prog} --help")


def positive(text: str) -> int:
    """Return a whole number of at least 1, for argparse's ``type``."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(
            f"{shortened(text)} is not a whole number of at least 1; give one"
        )
    return number


def model_folder(folder: Path | None, part: str) -> Path | None:
    """Return the sub-folder ``part`` of a folder laid out like assets/models; None stays None.

    Raises:
        InputError: there is no such sub-folder.
    """
    if folder is None:
        return None
    if not (folder / part).is_dir():
        raise InputError(
            f"{str(folder)!r} holds no folder {part!r}; "
            "name a folder laid out like assets/models, with the folders 'sqam' and 'vae'"
        )
    return folder / part


def shortened(text: str, width: int = 40) -> str:
    """Return the text as Python would write it, cut to about ``width`` characters."""
    return repr(text if len(text) <= width else text[: width - 1] + "…")


def printable(text: str) -> str:
    """Return the text with control characters as ``?``, so that a terminal can show it."""
    return "".join("?" if c < " " or "\x7f" <= c <= "\x9f" else c for c in text)


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written, before there is work to lose.

    Raises:
        InputError: it is a folder, or its folder does not exist.
    """
    if path.is_dir():
        raise InputError(f"cannot write {str(path)!r}: it is a folder; name a file")
    if not path.parent.is_dir():
        raise InputError(
            f"cannot write {str(path)!r}: there is no folder {str(path.parent)!r}; "
            "name one that exists"
        )


@contextlib.contextmanager
def progress(total: int, unit: str) -> Iterator[Callable[[int], object] | None]:
    """Give what counts on a bar, if a person watches and it takes more than a moment; else None."""
    if not sys.stderr.isatty():
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit=f" {unit}", delay=1, leave=False) as bar:
        yield bar.update


def one_thread() -> None:
    """Let NumPy's matrix products, which are small here, run in one thread.

    Further threads would wait for each other more than they work, above all where other programs
    are busy, and products round differently on each number of threads: so a file's scores are the
    same on any number of cores, to the last digit. The networks, which take most of the time, have
    threads of their own and do not. It has no effect once NumPy is imported, nor where the user
    has said how many threads there are to be.
    """
    if "numpy" not in sys.modules:
        os.environ.setdefault("OMP_NUM_THREADS", "1")


def run(program: str, work: Callable[[], None]) -> int:
    """Do the work and return the exit code; a user's mistake becomes one line, not a traceback."""
    try:
        if sys.stdout is None:
            raise InputError("standard output is closed; leave it open")
        if hasattr(sys.stdout, "reconfigure"):
            # Emojis and JSON go out as UTF-8, whatever the locale of a cron job or a pipe says.
            sys.stdout.reconfigure(encoding="utf-8")
        work()
        sys.stdout.flush()
    except InputError as error:
        print(f"{program}: error: {_one_line(str(error))}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        # What is still buffered has no reader; without this Python complains while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except KeyboardInterrupt:
        return 130
    except OSError as error:
        where = f" ({error.filename!r})" if error.filename is not None else ""
        print(f"{program}: error: {error.strerror or error}{where}", file=sys.stderr)
        return 2
    return 0


def _one_line(message: str) -> str:
    return " ".join(message.split("\n"))
