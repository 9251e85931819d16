"""Photograph the page of ``sqam serve``: README's picture, or every tab in every form.

python -m pipelines.screenshots
python -m pipelines.screenshots --all build/screenshots
"""

import contextlib
import io
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from emoji_vae.command import Parser, run
from emoji_vae.errors import InputError, MissingExtraError
from emoji_vae.files import replacing
from emoji_vae.locations import asset

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FilePayload, Page

ROOT = Path(__file__).resolve().parent.parent
SIZES = {"desktop": (1280, 800), "phone": (390, 844)}
THEMES = ("light", "dark")
TABS = {
    "rank": "#rank?q=Congrats+on+the+new+job!",
    "emojify": "#emojify",
    "imagine": "#imagine?seed=7",
    "blend": "#blend",
    "pictures": "#pictures?q=good+morning",
}
"""The tabs, and the links that show something on them."""

THERE = {
    "rank": "#rank-pulls .pull",
    "emojify": "#emojify-inserted li",
    "imagine": "#imagine-cards img",
    "blend": "#blend-strip img",
    "pictures": "#pictures-list img",
}
"""What a tab shows last."""

PICTURES = {"sunrise.png": "🌅", "coffee.png": "☕", "rooster.png": "🐓", "alarm.png": "⏰"}
"""Files that are ranked on the last tab, and what is on them."""

_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_OPTIONS = ("--drain", "0", "--log-level", "error")
_PATIENCE = 120  # seconds that a busy machine may take for one thing
_COLOURS = 256


@contextlib.contextmanager
def serving(*options: str, **environment: str) -> Iterator[str]:
    """Run ``sqam serve`` on a free port of the loopback; give its address once it is ready.

    Raises:
        InputError: it ended instead; its own line is on standard error.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "sqam.cli", "serve", "--port", "0", *_OPTIONS, *options],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "utf-8"} | environment,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )
    assert process.stdout is not None
    try:
        found = re.search(r"http://\S+(?=/)", process.stdout.readline())
        if found is None:
            raise InputError(f"sqam serve ended with {process.wait()}; run it by itself to see why")
        _wait_until_ready(found.group())
        yield found.group()
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(_PATIENCE)
        process.stdout.close()


def _wait_until_ready(address: str) -> None:
    end = time.monotonic() + _PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"{address}/readyz"):
                return
        except OSError as error:
            if time.monotonic() > end:
                raise InputError(f"sqam serve is not ready after {_PATIENCE} s") from error
            time.sleep(0.1)


@contextlib.contextmanager
def browsing(program: str | None = None) -> Iterator["Browser"]:
    """Run a Chromium without a window, by default the one that is called ``chromium``.

    Raises:
        InputError: Playwright or the browser is not installed.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise MissingExtraError("Playwright", "test") from error
    program = program or shutil.which("chromium")
    if program is None:
        raise InputError("there is no program 'chromium'; install it or name one with --browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program, args=_ARGUMENTS, timeout=1000 * _PATIENCE
        )
        yield browser
        browser.close()


def photograph(browser: "Browser", address: str, tab: str, size: str, theme: str) -> Image.Image:
    """Return what a window of a size in `SIZES` shows of a tab in `TABS`, light or dark."""
    width, height = SIZES[size]
    phone = size == "phone"
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if theme == "dark" else "light",
        reduced_motion="reduce",  # nothing is caught on its way
        has_touch=phone,
        is_mobile=phone,
    )
    context.set_default_timeout(1000 * _PATIENCE)
    page = context.new_page()
    page.goto(f"{address}/{TABS[tab]}")
    if tab == "pictures":
        _choose_pictures(page)
    page.locator(THERE[tab]).first.wait_for()
    page.wait_for_load_state("networkidle")
    taken = Image.open(io.BytesIO(page.screenshot()))
    context.close()
    return taken


def _choose_pictures(page: "Page") -> None:
    files: list[FilePayload] = []
    for name, emoji in PICTURES.items():
        picture = images.sheet()[catalogue().index(emoji)]
        file = io.BytesIO()
        images.to_image(picture).save(file, "PNG")
        files.append({"name": name, "mimeType": "image/png", "buffer": file.getvalue()})
    page.set_input_files("#pictures-files", files)


def write(picture: Image.Image, path: Path) -> None:
    """Write a photograph as a small PNG of 256 colours, whole or not at all.

    Raises:
        InputError: the file cannot be written.
    """
    # Dithering would make surfaces rough and the file large.
    small = picture.convert("RGB").quantize(
        _COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE
    )
    with replacing(path) as file:
        small.save(file, "PNG", optimize=True)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code."""
    parser = Parser(prog="python -m pipelines.screenshots", description=__doc__)
    parser.add_argument("--output", type=Path, default=asset("page.png"), metavar="PNG")
    parser.add_argument(
        "--all",
        type=Path,
        metavar="FOLDER",
        help="write every tab, desktop and phone, light and dark, there instead",
    )
    parser.add_argument("--browser", metavar="PROGRAM", help="a Chromium (chromium)")

    def work() -> None:
        options = parser.parse_args(argv)
        wanted = {options.output: ("rank", "desktop", "light")}
        if options.all is not None:
            options.all.mkdir(parents=True, exist_ok=True)
            forms = itertools.product(TABS, SIZES, THEMES)
            wanted = {options.all / f"{'-'.join(form)}.png": form for form in forms}
        with serving() as address, browsing(options.browser) as browser:
            for path, form in wanted.items():
                write(photograph(browser, address, *form), path)

    return run(parser.prog, work)


if __name__ == "__main__":
    sys.exit(main())
