"""The page of `sqam serve`, in a real browser against the real process."""

import base64
import io
import json
import re
import shutil
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import numpy as np
import pytest
from PIL import Image

from emoji_vae import images
from emoji_vae.catalogue import catalogue
from pipelines.screenshots import SIZES, THERE, browsing, photograph, serving, write
from sqam.emojify import MIN_SCORE, emojify
from sqam.explain import explain

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "sqam" / "server" / "page"
FILES = sorted(PAGE.iterdir())
EXAMPLE = "Congrats on the new job!"
TABS = list(THERE)
ROUNDED = 0.0051  # a score with two digits, made of one with four
PATIENCE = 120_000  # milliseconds: a slow machine is no mistake of the page

try:
    from axe_playwright_python.sync_playwright import Axe
    from playwright.sync_api import (
        Browser,
        BrowserContext,
        FilePayload,
        Page,
        Route,
        expect,
    )
except ImportError:
    pytest.skip("needs Playwright and axe: the extra test", allow_module_level=True)

needs_browser = pytest.mark.skipif(
    shutil.which("chromium") is None, reason="needs the browser chromium"
)
expect.set_options(timeout=PATIENCE)


# The process and the browser


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    pytest.importorskip("uvicorn", reason="needs the extra serve")
    # A machine that is busy with other tests is no reason to give up.
    with serving("--timeout", "60", "--slow-timeout", "600") as address:
        yield address


# Of this module alone: its event loop would disturb the tests of others that have one.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as browser:
        yield browser


class Visit:
    """Pages of one browser profile, and all that must not happen on them.

    ``expected`` are pieces of console messages that a test provokes.
    """

    def __init__(self, context: BrowserContext, server: str) -> None:
        self.context = context
        self.server = server
        self.expected: list[str] = []
        self.messages: list[str] = []
        self.requests: list[str] = []
        self.failed: list[str] = []
        context.set_default_timeout(PATIENCE)
        context.on("console", lambda message: self._note(message.type, message.text))
        context.on("weberror", lambda error: self._note("error", str(error.error)))
        context.on("request", lambda request: self.requests.append(request.url))
        context.on("requestfailed", lambda request: self._fail(request.url, request.failure or ""))

    def _note(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.messages.append(text)

    def _fail(self, url: str, reason: str) -> None:
        if "ERR_ABORTED" not in reason:  # the page called it off
            self.failed.append(f"{url} {reason}")

    def open(self, link: str = "") -> Page:
        page = self.context.new_page()
        page.goto(f"{self.server}/{link}")
        return page

    def calls(self, path: str) -> int:
        return sum(urlsplit(url).path == path for url in self.requests)

    def check(self) -> None:
        """Nothing on the console, no request failed, none went elsewhere."""
        unexpected = [
            text
            for text in self.messages + self.failed
            if not any(piece in text for piece in self.expected)
        ]
        assert not unexpected
        own = (self.server, "data:", "blob:")
        assert not [url for url in self.requests if not url.startswith(own)]


Visitor = Callable[..., Visit]


@pytest.fixture
def visit(server: str, browser: Browser) -> Iterator[Visitor]:
    """Begin a visit, with options of the browser's context; all are checked in the end."""
    visits: list[Visit] = []

    def begin(address: str = server, **options: Any) -> Visit:
        one = Visit(browser.new_context(**options), address)
        visits.append(one)
        return one

    yield begin
    for one in visits:
        one.context.close()
        one.check()


def best(scorer: Any, codes: Any, text: str, k: int = 12) -> list[Any]:
    return scorer.rank([text], codes, k)[0]


def wait_for_first(page: Page, name: str) -> None:
    expect(page.locator("#rank-options .match").first).to_contain_text(name)


def numbers(texts: list[str]) -> list[float]:
    # For those who hear the page, some say "score" first.
    return [float(text.split()[-1].replace("−", "-")) for text in texts]


def clipboard(page: Page) -> str:
    return page.evaluate("navigator.clipboard.readText()")


def fragment(page: Page) -> tuple[str, dict[str, str]]:
    """The tab and the parameters that the address bar names."""
    tab, _, query = urlsplit(page.url).fragment.partition("?")
    return tab, {key: values[0] for key, values in parse_qs(query).items()}


def eventually(page: Page, probe: Callable[[], bool]) -> None:
    """Wait until something holds that has no locator."""
    for _ in range(PATIENCE // 50):
        if probe():
            return
        page.wait_for_timeout(50)
    assert probe()


def png(color: tuple[int, ...], size: tuple[int, int] = (48, 48)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, "PNG")
    return file.getvalue()


def upload(name: str, content: bytes) -> FilePayload:
    return {"name": name, "mimeType": "image/png", "buffer": content}


DRAWING = re.compile(r"/v1/(generate|draw|morph)")
DRAWN: dict[tuple[str, str | None], dict[str, Any]] = {}


def drawn_once(route: Route) -> None:
    """Answer as the process did when it was asked the same before; drawing takes its time."""
    path = urlsplit(route.request.url)
    key = (f"{path.path}?{path.query}", route.request.post_data)
    if key not in DRAWN:
        answer = route.fetch()
        DRAWN[key] = {"status": answer.status, "headers": answer.headers, "body": answer.body()}
    route.fulfill(**DRAWN[key])


def problem(route: Route, status: int, detail: str, **headers: str) -> None:
    body = {"type": "about:blank", "title": "Problem", "status": status, "detail": detail}
    route.fulfill(
        status=status,
        headers={"Content-Type": "application/problem+json"} | headers,
        body=json.dumps(body),
    )


# Rank


@needs_browser
def test_an_example_is_there_at_once(visit, scorer, codes):
    page = visit().open()
    matches = best(scorer, codes, EXAMPLE)
    wait_for_first(page, matches[0].name)
    expect(page.locator("#rank-text")).to_have_value(EXAMPLE)
    expect(page.locator("#rank-text")).to_be_focused()
    options = page.locator("#rank-options .match")
    assert options.locator(".name").all_inner_texts() == [match.name for match in matches]
    assert options.locator(".glyph").all_inner_texts() == [match.emoji for match in matches]
    scores = numbers(options.locator(".score").all_inner_texts())
    assert scores == pytest.approx([match.score for match in matches], abs=ROUNDED)
    # The bars are as long as the scores say.
    shares = options.locator(".bar > span").evaluate_all(
        "bars => bars.map((bar) => bar.style.getPropertyValue('--share'))"
    )
    assert numbers(shares) == pytest.approx(scores, abs=ROUNDED)
    expect(page.locator("#rank-name")).to_have_text(matches[0].name)


@needs_browser
def test_the_ranking_follows_what_is_typed(visit, scorer, codes):
    page = visit().open()
    text = page.locator("#rank-text")
    for sentence in ("pizza tonight?", "so tired of this rain"):
        # The example is selected, so that typing replaces it.
        text.press("ControlOrMeta+a")
        page.keyboard.type(sentence, delay=5)
        first = best(scorer, codes, sentence)[0]
        wait_for_first(page, first.name)
        expect(page.locator("#rank-name")).to_have_text(first.name)
        expect(page.locator("#rank-glyph")).to_have_text(first.emoji)
        eventually(page, lambda: fragment(page) == ("rank", {"q": sentence}))  # noqa: B023


@needs_browser
def test_quick_typing_asks_seldom(visit, scorer, codes):
    one = visit()
    page = one.open()
    wait_for_first(page, best(scorer, codes, EXAMPLE)[0].name)
    before = one.calls("/v1/rank")
    page.evaluate(
        """() => {
          const text = document.getElementById("rank-text");
          for (const typed of ["p", "pi", "piz", "pizz", "pizza"]) {
            text.value = typed;
            text.dispatchEvent(new Event("input"));
          }
        }"""
    )
    wait_for_first(page, "pizza")
    assert one.calls("/v1/rank") == before + 1


@needs_browser
@pytest.mark.parametrize("calls_off", [True, False])
def test_older_answers_are_dropped(visit, scorer, codes, calls_off):
    one = visit()
    if not calls_off:  # then the older answer arrives, after the newer one
        one.context.add_init_script(
            "const real = fetch; window.fetch = (path, options) =>"
            " real(path, { ...options, signal: undefined });"
        )
    page = one.open()
    wait_for_first(page, best(scorer, codes, EXAMPLE)[0].name)
    held: list[Route] = []

    def hold(route: Route) -> None:
        if (route.request.post_data_json or {}).get("text") == "rain":
            held.append(route)
        else:
            route.continue_()

    page.route("**/v1/rank", hold)
    page.fill("#rank-text", "rain")
    eventually(page, lambda: bool(held))
    page.fill("#rank-text", "pizza")
    wait_for_first(page, "pizza")
    if not calls_off:
        with page.expect_response("**/v1/rank"):
            held[0].continue_()
    page.wait_for_load_state("networkidle")
    wait_for_first(page, "pizza")
    expect(page.locator("#rank-name")).to_have_text("pizza")


@needs_browser
def test_texts_without_known_words_and_empty_ones_get_a_line(visit):
    page = visit().open("#rank?q=" + quote("qzxv wvkqj"))
    expect(page.locator("#rank-empty")).to_contain_text("No known word in this")
    expect(page.locator("#rank-results")).to_be_hidden()
    page.fill("#rank-text", "   ")
    expect(page.locator("#rank-empty")).to_contain_text("Type a few words")
    page.fill("#rank-text", "pizza")
    wait_for_first(page, "pizza")
    expect(page.locator("#rank-empty")).to_be_hidden()
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#rank-text")).to_be_focused()
    expect(page.locator("#rank-empty")).to_contain_text("Type a few words")


@needs_browser
def test_an_example_is_a_click_away(visit, scorer, codes):
    page = visit().open()
    page.get_by_role("button", name="not feeling happy").click()
    expect(page.locator("#rank-text")).to_have_value("not feeling happy")
    wait_for_first(page, best(scorer, codes, "not feeling happy")[0].name)


@needs_browser
def test_more_are_shown_if_asked_for(visit, scorer, codes):
    page = visit().open()
    page.get_by_role("button", name="Show more").click()
    options = page.locator("#rank-options .match")
    expect(options).to_have_count(48)
    expect(options.nth(12)).to_be_focused()
    names = [match.name for match in best(scorer, codes, EXAMPLE, 48)]
    assert options.locator(".name").all_inner_texts() == names
    page.fill("#rank-text", "pizza")
    wait_for_first(page, "pizza")
    expect(options).to_have_count(12)


@needs_browser
def test_words_show_how_they_pulled(visit, scorer, codes):
    sentence = "not feeling 😀 happy, qzxv"
    page = visit().open("#rank?q=" + quote(sentence))
    explained = explain(sentence, scorer, codes, 2)
    for place, one in enumerate(explained.explanations):
        page.locator("#rank-options .match").nth(place).hover()
        page.locator("#rank-options .match").nth(place).focus()
        expect(page.locator("#rank-name")).to_have_text(one.name)
        # The emoji is read as two words, whose pulls are shown as one.
        pulls: dict[str, float] = {}
        for token in one.tokens:
            word = sentence[token.start : token.end]
            pulls[word] = pulls.get(word, 0.0) + round(token.pull, 4)
        assert len(pulls) < len(one.tokens)
        least = max(0.005, 0.1 * max(abs(pull) for pull in pulls.values()))
        told = {word: pull for word, pull in pulls.items() if abs(pull) >= least}
        expect(page.locator("#rank-pulls .pull .word")).to_have_text(list(told))
        why = page.locator("#rank-why")
        expect(why).to_contain_text(f"“{max(told, key=lambda word: told[word])}”")
        expect(why).to_contain_text("Not known: “qzxv”")
        figures = numbers(page.locator("#rank-pulls .pull .figure").all_inner_texts())
        assert figures == pytest.approx(list(told.values()), abs=ROUNDED)
        kinds = ["pull up" if pull > 0 else "pull down" for pull in told.values()]
        marks = page.locator("#rank-pulls .pull")
        assert marks.evaluate_all("marks => marks.map((mark) => mark.className)") == kinds


@needs_browser
def test_text_is_never_markup(visit):
    text = "<img src=x onerror=alert(1)> pizza <b>tonight</b>"
    page = visit().open("#rank?q=" + quote(text))
    wait_for_first(page, "pizza")
    expect(page.locator("#rank-pulls .pull").first).to_be_visible()
    assert page.locator("#rank-pulls img, #rank-pulls b").count() == 0
    shown = page.locator("#rank-pulls").evaluate(
        """(element) => {
          const copy = element.cloneNode(true);
          for (const figure of copy.querySelectorAll(".figure")) figure.remove();
          return copy.textContent;
        }"""
    )
    assert shown == text
    page.get_by_role("tab", name="Emojify").click()
    page.fill("#emojify-text", text)
    expect(page.locator("#emojify-output")).to_contain_text("<img src=x onerror=alert(1)>")
    assert page.locator("#emojify-output img, #emojify-output b").count() == 0


# Copying, and the keyboard


@needs_browser
def test_a_click_copies(visit, scorer, codes):
    page = visit(permissions=["clipboard-read", "clipboard-write"]).open()
    third = best(scorer, codes, EXAMPLE)[2]
    page.locator("#rank-options .match").nth(2).click()
    expect(page.locator("#toast")).to_contain_text(f"Copied {third.name}")
    assert clipboard(page) == third.emoji
    # The large one is now the third, too.
    expect(page.locator("#rank-name")).to_have_text(third.name)
    page.locator("#rank-options .match").nth(1).focus()
    page.get_by_role("button", name="Copy", exact=True).click()
    second = best(scorer, codes, EXAMPLE)[1]
    expect(page.locator("#toast")).to_contain_text(f"Copied {second.name}")
    assert clipboard(page) == second.emoji
    assert page.locator("#toast").get_attribute("role") == "status"


@needs_browser
def test_copying_works_without_a_clipboard(visit, scorer, codes):
    one = visit()
    one.context.add_init_script("Object.defineProperty(navigator, 'clipboard', { value: null });")
    page = one.open()
    first = best(scorer, codes, EXAMPLE)[0]
    wait_for_first(page, first.name)
    page.locator("#rank-text").press("Enter")
    expect(page.locator("#toast")).to_contain_text(f"Copied {first.name}")
    expect(page.locator("#rank-text")).to_be_focused()
    page.locator("#rank-text").press("ControlOrMeta+a")
    page.locator("#rank-text").press("ControlOrMeta+v")
    expect(page.locator("#rank-text")).to_have_value(first.emoji)


@needs_browser
def test_the_keyboard_is_enough(visit, scorer, codes):
    page = visit(permissions=["clipboard-read", "clipboard-write"]).open()
    matches = best(scorer, codes, EXAMPLE)
    wait_for_first(page, matches[0].name)
    keyboard, text = page.keyboard, page.locator("#rank-text")
    options = page.locator("#rank-options .match")

    def selected(place: int) -> None:
        expect(options.nth(place)).to_be_focused()
        expect(page.locator('#rank-options [aria-selected="true"]')).to_have_count(1)
        expect(page.locator('#rank-options [tabindex="0"]')).to_have_count(1)
        assert options.nth(place).get_attribute("aria-selected") == "true"
        assert options.nth(place).get_attribute("tabindex") == "0"
        expect(page.locator("#rank-name")).to_have_text(matches[place].name)

    keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text(f"Copied {matches[0].name}")
    assert clipboard(page) == matches[0].emoji
    steps = [("ArrowDown", 0), ("ArrowDown", 1), ("End", 11), ("ArrowDown", 11), ("PageUp", 6)]
    for key, place in [*steps, ("Home", 0), ("PageDown", 5), ("ArrowUp", 4)]:
        keyboard.press(key)
        selected(place)
    keyboard.press("Enter")
    expect(page.locator("#toast")).to_contain_text(f"Copied {matches[4].name}")
    assert clipboard(page) == matches[4].emoji
    keyboard.press("Escape")
    expect(text).to_be_focused()
    # The first again, and one more step up leads back as well.
    keyboard.press("ArrowDown")
    keyboard.press("ArrowUp")
    expect(text).to_be_focused()
    # Whoever types in the list goes on with the text.
    keyboard.press("End")
    keyboard.press("ArrowDown")
    selected(0)
    keyboard.type("!")
    expect(text).to_be_focused()
    expect(text).to_have_value(EXAMPLE + "!")


@needs_browser
def test_arrow_down_moves_within_long_texts_first(visit):
    page = visit().open()
    text = page.locator("#rank-text")
    text.fill("pizza")
    wait_for_first(page, "pizza")
    text.press("Shift+Enter")
    page.keyboard.type("for everyone")
    expect(text).to_have_value("pizza\nfor everyone")
    text.press("ControlOrMeta+Home")
    text.press("ArrowDown")
    expect(text).to_be_focused()
    text.press("ControlOrMeta+End")
    text.press("ArrowDown")
    expect(page.locator("#rank-options .match").first).to_be_focused()


@needs_browser
def test_tabs_follow_the_keyboard(visit):
    page = visit().open()
    page.get_by_role("tab", name="Rank").focus()
    for key, name in [
        ("ArrowRight", "Emojify"),
        ("ArrowLeft", "Rank"),
        ("ArrowLeft", "Your picture"),
        ("ArrowRight", "Rank"),
        ("End", "Your picture"),
        ("Home", "Rank"),
    ]:
        page.keyboard.press(key)
        tab = page.get_by_role("tab", name=name)
        expect(tab).to_be_focused()
        assert tab.get_attribute("aria-selected") == "true"
        assert page.locator('[role="tab"][tabindex="0"]').count() == 1
        expect(page.get_by_role("tabpanel", name=name)).to_be_visible()
        assert page.locator('[role="tabpanel"]:visible').count() == 1
        assert page.title().startswith(name)


@needs_browser
def test_screen_readers_hear_the_result_once(visit, scorer, codes):
    one = visit()
    one.context.add_init_script(
        """addEventListener("DOMContentLoaded", () => {
          window.heard = [];
          const region = document.getElementById("announcements");
          new MutationObserver(() => heard.push(region.textContent)).observe(region, {
            childList: true, characterData: true, subtree: true,
          });
        });"""
    )
    page = one.context.new_page()
    page.clock.install()
    page.goto(one.server)
    expect(page.locator("#announcements")).not_to_be_empty()
    page.clock.pause_at("2100-01-01")
    before = len(page.evaluate("heard"))
    for typed in ["so", "so tired", "so tired of this", "so tired of this rain"]:
        page.fill("#rank-text", typed)
        page.clock.run_for(100)
        first = best(scorer, codes, typed)[0].name
        wait_for_first(page, first)
    assert len(page.evaluate("heard")) == before
    page.clock.run_for(1500)
    (heard,) = page.evaluate("heard")[before:]
    assert first in heard
    option = page.get_by_role("option").first
    assert (
        option.get_attribute("aria-label")
        == f"{first}, score " + option.locator(".score").inner_text()
    )


# Our own pictures


@needs_browser
def test_our_own_pictures_are_shown_as_they_are(visit, scorer, codes):
    one = visit()
    page = one.open()
    first = best(scorer, codes, EXAMPLE)[0]
    wait_for_first(page, first.name)
    page.wait_for_load_state("networkidle")
    assert one.calls("/static/emojis.png") == 0
    toggle = page.get_by_role("button", name="Our own 36×36 pictures")
    toggle.click()
    expect(toggle).to_have_attribute("aria-pressed", "true")
    glyph = page.locator("#rank-options .match .glyph").first
    expect(glyph).to_have_class("glyph cell")
    expect(glyph).to_have_text("")
    row = catalogue().index(first.emoji)
    # 42 columns hold 1,751 pictures; what the browser paints, compared with the file.
    columns = int(np.ceil(np.sqrt(len(catalogue()))))
    place = glyph.evaluate(
        "(element) => ['--column', '--row'].map((name) => element.style.getPropertyValue(name))"
    )
    assert place == [str(row % columns), str(row // columns)]
    painted = np.array(
        page.evaluate(
            """async ([column, row]) => {
              const image = new Image();
              image.src = "static/emojis.png";
              await image.decode();
              const canvas = new OffscreenCanvas(36, 36);
              const context = canvas.getContext("2d");
              context.drawImage(image, -36 * column, -36 * row);
              return [...context.getImageData(0, 0, 36, 36).data];
            }""",
            place,
        )
    ).reshape(36, 36, 4)
    expected = np.asarray(images.to_image(images.sheet()[row]), np.int64)
    assert np.array_equal(painted[..., 3], expected[..., 3])
    # As it is seen: the browser keeps colours times alpha, in whole levels of 255.
    assert (np.abs(painted - expected) * expected[..., 3:] / 255).max() <= 1.5
    # It is remembered, and the way back is as short.
    page.reload()
    expect(glyph).to_have_class("glyph cell")
    toggle.click()
    expect(glyph).to_have_text(first.emoji)
    expect(toggle).to_have_attribute("aria-pressed", "false")


@needs_browser
def test_without_the_sheet_the_font_stays(visit):
    one = visit()
    one.expected.append("503")
    one.context.route("**/static/emojis.png", lambda route: route.fulfill(status=503))
    page = one.open()
    toggle = page.get_by_role("button", name="Our own 36×36 pictures")
    toggle.click()
    expect(page.locator("#toast")).to_contain_text("The pictures could not be read")
    expect(toggle).to_have_attribute("aria-pressed", "false")
    assert page.locator("#rank-options .cell").count() == 0


# Emojify


@needs_browser
def test_a_text_gets_its_emojis(visit, scorer, codes):
    page = visit(permissions=["clipboard-read", "clipboard-write"]).open()
    page.get_by_role("tab", name="Emojify").click()
    text = "Lets get coffee and talk. 𝒜 Love you!\nThe flight was cancelled."
    page.fill("#emojify-text", text)
    for least, score in {"Balanced": MIN_SCORE, "Generous": 0.45, "Sparing": 0.7}.items():
        page.get_by_label(least, exact=True).check()
        (expected,) = emojify([text], scorer, codes, min_score=score)
        expect(page.locator("#emojify-output")).to_have_text(
            expected.emojified, use_inner_text=True
        )
    page.get_by_label("Generous", exact=True).check()
    page.get_by_label("2", exact=True).check()
    (expected,) = emojify([text], scorer, codes, 2, 0.45)
    expect(page.locator("#emojify-output")).to_have_text(expected.emojified, use_inner_text=True)
    expect(page.locator("#emojify-inserted li")).to_have_count(len(expected.insertions))
    page.get_by_role("button", name="Copy the text").click()
    expect(page.locator("#toast")).to_contain_text("Copied")
    assert clipboard(page) == expected.emojified
    eventually(
        page,
        lambda: fragment(page) == ("emojify", {"q": text, "least": "generous", "most": "2"}),
    )
    page.fill("#emojify-text", "")
    expect(page.locator("#emojify-line")).to_contain_text("Type or paste a text")
    expect(page.get_by_role("button", name="Copy the text")).to_be_disabled()


# Imagine


@needs_browser
def test_drawings_at_random_can_be_kept(visit):
    page = visit().open()
    page.get_by_role("tab", name="Imagine").click()
    cards = page.locator("#imagine-cards .card")
    expect(cards.locator("img")).to_have_count(8)
    expect(page.locator("#imagine-line")).to_contain_text("8 drawings")
    # The sentence of the first tab waits to be imagined.
    expect(page.locator("#imagine-text")).to_have_value(EXAMPLE)
    assert cards.first.locator(".nearest li").count() == 3
    assert "nearest to" in (cards.first.locator("img").get_attribute("alt") or "")
    with page.expect_download() as downloaded:
        cards.nth(2).get_by_role("link", name="Download PNG of drawing 3").click()
    assert downloaded.value.suggested_filename == "new-emoji-3.png"
    with Image.open(downloaded.value.path()) as picture:
        assert (picture.format, picture.size) == ("PNG", (144, 144))
    shown = cards.first.locator("img").get_attribute("src")
    page.get_by_role("button", name="Draw some at random").click()
    expect(cards.locator("img")).to_have_count(8)
    assert cards.first.locator("img").get_attribute("src") != shown


def imagined(route: Route) -> None:
    """Answer as the search does, with drawings that need none."""
    asked = route.request.post_data_json or {}
    address = re.sub("/v1/.*", "/v1/generate?n=4&seed=1", route.request.url)
    with urllib.request.urlopen(address) as drawn:
        drawings = json.load(drawn)["drawings"]
    for place, drawing in enumerate(drawings):
        drawing |= {"score": 0.5 - place / 4, "log_density": -30.0}
    best_emoji = {"emoji": "🎂", "name": "birthday cake", "score": 0.75}
    route.fulfill(json={"text": asked["text"], "best_emoji": best_emoji, "drawings": drawings})


@needs_browser
def test_a_sentence_is_imagined(visit):
    one = visit()
    asked: list[Any] = []
    one.context.on("request", lambda request: asked.append(request.post_data_json))
    one.context.route("**/v1/imagine", imagined)
    page = one.open("#imagine?q=" + quote("happy birthday") + "&seed=1")
    expect(page.locator("#imagine-text")).to_have_value("happy birthday")
    cards = page.locator("#imagine-cards .card")
    expect(cards.locator("img")).to_have_count(4)
    assert {"text": "happy birthday", "n": 4, "seed": 1} in asked
    scores = cards.locator(".score").all_inner_texts()
    assert numbers(scores) == [0.5, 0.25, 0, -0.25]
    expect(page.locator("#imagine-best")).to_contain_text("birthday cake, 0.75")
    expect(page.locator("#imagine-line")).to_contain_text("4 drawings for “happy birthday”")
    assert fragment(page) == ("imagine", {"q": "happy birthday", "seed": "1"})
    # The same again looks further, another sentence begins anew.
    page.locator("#imagine-text").press("Enter")
    eventually(page, lambda: fragment(page)[1]["seed"] == "2")
    page.fill("#imagine-text", "good night")
    page.get_by_role("button", name="Imagine it").click()
    expect(page.locator("#imagine-line")).to_contain_text("for “good night”")
    assert {"text": "good night", "n": 4, "seed": 0} in asked


@needs_browser
@pytest.mark.slow
def test_the_search_answers_the_page(visit, scorer, codes):
    page = visit().open("#imagine?q=" + quote("happy birthday"))
    cards = page.locator("#imagine-cards .card")
    expect(cards.first.locator("img")).to_be_visible(timeout=10 * PATIENCE)
    assert 1 <= cards.count() <= 4
    scores = numbers(cards.locator(".score").all_inner_texts())
    assert scores == sorted(scores, reverse=True)
    first = best(scorer, codes, "happy birthday", 1)[0]
    expect(page.locator("#imagine-best")).to_contain_text(first.name)


@needs_browser
def test_imagining_nothing_asks_for_a_sentence(visit):
    page = open_tab(visit(), "imagine")
    page.fill("#imagine-text", " ")
    page.get_by_role("button", name="Imagine it").click()
    expect(page.locator("#imagine-line")).to_contain_text("Type a sentence first")
    expect(page.locator("#imagine-text")).to_be_focused()


# Blend and morph


@needs_browser
def test_two_emojis_are_blended(visit):
    one = visit()
    bodies: list[dict[str, Any]] = []

    def note(route: Route) -> None:
        bodies.append(route.request.post_data_json or {})
        route.continue_()

    one.context.route("**/v1/draw", note)
    page = one.open("#blend")
    picture, strip = page.locator("#blend-picture"), page.locator("#blend-strip button")
    expect(strip).to_have_count(8)
    expect(picture).to_be_visible()

    # By the keyboard: type a part of a name, arrow down to the second, Enter.
    field = page.get_by_role("combobox", name="From")
    field.fill("pizz")
    popup = page.get_by_role("listbox", name="Emojis")
    expect(popup.get_by_role("option")).to_have_text(["🍕pizza"])
    field.fill("heart")
    expect(popup.get_by_role("option").nth(3)).to_be_visible()
    names = popup.locator(".name").all_inner_texts()
    assert all("heart" in name for name in names)
    assert names[0].startswith("heart")  # these before others
    field.press("ArrowDown")
    marked = popup.locator('[aria-selected="true"]')
    expect(marked).to_have_count(1)
    assert field.get_attribute("aria-activedescendant") == marked.get_attribute("id")
    field.press("Escape")
    expect(popup).to_be_hidden()
    expect(field).to_have_value("frog")
    field.fill("red heart")
    field.press("Enter")
    expect(field).to_have_value("red heart")
    expect(popup).to_be_hidden()
    other = page.get_by_role("combobox", name="To")
    other.fill("🍕")
    popup.get_by_role("option").first.click()
    expect(other).to_have_value("pizza")
    expect(strip.last).to_have_attribute("aria-label", "0 % red heart, 100 % pizza")
    expect(page.locator("#blend-nearest li")).to_have_count(3)

    # A slider that moves shows drafts; let go, it shows the finished drawing.
    save = page.get_by_role("link", name="Download PNG")
    expect(save).to_have_attribute("download", "red-heart-and-pizza.png")
    bodies.clear()
    share = page.get_by_role("slider", name="How far from the first to the second")
    share.evaluate("(slider) => { slider.value = 30; slider.dispatchEvent(new Event('input')); }")
    expect(page.locator("#blend-draft")).to_be_visible()
    share.evaluate("(slider) => slider.dispatchEvent(new Event('change'))")
    expect(page.locator("#blend-draft")).to_be_hidden()
    assert [body["finish"] for body in bodies] == [False, True]
    weights = {"❤️": 0.7, "🍕": 0.3}
    for body in bodies:
        found = {part["emoji"]: part["weight"] for part in body["blend"]}
        assert found == pytest.approx(weights)
        assert "offsets" not in body
    assert share.get_attribute("aria-valuetext") == "70 % red heart, 30 % pizza"

    # So do the sixteen numbers, by the keyboard as well.
    sliders = page.locator("#blend-numbers input")
    expect(sliders).to_have_count(16)
    bodies.clear()
    start = float(sliders.nth(4).input_value())
    sliders.nth(4).press("ArrowRight")
    eventually(page, lambda: bool(bodies) and bodies[-1]["finish"])
    offsets = bodies[-1]["offsets"]
    assert offsets[4] == pytest.approx(0.1, abs=0.06)
    assert float(sliders.nth(4).input_value()) == pytest.approx(start + 0.1, abs=0.06)
    assert [offset for n, offset in enumerate(offsets) if n != 4] == [0] * 15
    eventually(page, lambda: fragment(page)[1].get("d", "").count(",") == 15)
    page.get_by_role("button", name="Back to the blend").click()
    expect(sliders.nth(4)).to_have_value(str(start))

    with page.expect_download() as downloaded:
        save.click()
    assert downloaded.value.suggested_filename == "red-heart-and-pizza.png"


@needs_browser
def test_a_morph_plays_and_leads_to_its_frames(visit):
    page = visit().open("#blend?a=" + quote("🦁") + "&b=" + quote("🐵") + "&t=0")
    strip = page.locator("#blend-strip button")
    expect(strip).to_have_count(8)
    expect(strip.first).to_have_attribute("aria-current", "true")
    expect(page.locator("#blend-download")).to_be_visible()
    still = page.locator("#blend-picture").get_attribute("src")
    play = page.get_by_role("button", name="Play the morph")
    play.click()
    expect(play).to_have_attribute("aria-pressed", "true")
    eventually(page, lambda: page.locator("#blend-picture").get_attribute("src") != still)
    play.click()
    expect(play).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#blend-picture")).to_have_attribute("src", still)
    strip.nth(7).click()
    expect(page.locator("#blend-share")).to_have_value("100")
    expect(strip.nth(7)).to_have_attribute("aria-current", "true")
    page.get_by_role("button", name="Swap").click()
    expect(page.get_by_role("combobox", name="From")).to_have_value("monkey face")
    expect(page.locator("#blend-share")).to_have_value("0")


# Your picture


def drop(page: Page, files: list[FilePayload]) -> None:
    page.evaluate(
        """(files) => {
          const data = new DataTransfer();
          for (const { name, mimeType, base64 } of files) {
            const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
            data.items.add(new File([bytes], name, { type: mimeType }));
          }
          const target = document.getElementById("pictures-zone");
          for (const kind of ["dragenter", "dragover", "drop"]) {
            target.dispatchEvent(
              new DragEvent(kind, { dataTransfer: data, bubbles: true, cancelable: true }),
            );
          }
        }""",
        [
            {
                "name": file["name"],
                "mimeType": file["mimeType"],
                "base64": base64.b64encode(file["buffer"]).decode(),
            }
            for file in files
        ],
    )


@needs_browser
def test_pictures_are_ranked_for_a_sentence(visit):
    page = visit().open("#pictures?q=" + quote("good morning"))
    rows = page.locator("#pictures-list .upload")
    sun, night = png((255, 200, 0)), png((10, 10, 60))
    page.set_input_files("#pictures-files", [upload("sun.png", sun), upload("night.png", night)])
    expect(rows).to_have_count(2)
    scores = numbers(rows.locator(".score").all_inner_texts())
    assert scores == sorted(scores, reverse=True)
    assert set(rows.locator("strong").all_inner_texts()) == {"sun.png", "night.png"}
    places = [
        re.search(r"Would come ([\d,]+)(?:st|nd|rd|th) among all 1,751 emojis", text)
        for text in rows.locator(".muted").all_inner_texts()
    ]
    assert all(places)
    standings = [int(place[1].replace(",", "")) for place in places if place]
    assert standings == sorted(standings)
    assert rows.first.locator(".nearest li").count() == 3
    # Another sentence, another ranking of the same pictures.
    with page.expect_response("**/v1/rank-pictures") as answered:
        page.fill("#pictures-text", "good night")
    assert answered.value.json()["text"] == "good night"
    # Dropped ones are added to those that are there.
    drop(page, [upload("grass.png", png((40, 160, 40)))])
    expect(rows).to_have_count(3)
    page.get_by_role("button", name="Remove sun.png").click()
    expect(rows).to_have_count(2)
    assert set(rows.locator("strong").all_inner_texts()) == {"night.png", "grass.png"}
    page.get_by_role("button", name="Remove all").click()
    expect(rows).to_have_count(0)


PASTE = """([base64, text, target]) => {
  const data = new DataTransfer();
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  data.items.add(new File([bytes], "image.png", { type: "image/png" }));
  if (text) data.setData("text/plain", text);
  const options = { clipboardData: data, bubbles: true, cancelable: true };
  return document.querySelector(target).dispatchEvent(new ClipboardEvent("paste", options));
}"""


@needs_browser
def test_pasted_pictures_are_ranked(visit):
    page = visit().open("#pictures?q=" + quote("good morning"))
    picture = base64.b64encode(png((200, 30, 30))).decode()
    # A text that comes with a picture of it goes where it is pasted.
    assert page.evaluate(PASTE, [picture, "a text", "#pictures-text"])
    assert not page.evaluate(PASTE, [picture, "", "body"])
    expect(page.locator("#pictures-list .upload")).to_have_count(1)


@needs_browser
def test_a_photograph_is_made_smaller_before_it_is_sent(visit):
    noise = np.random.default_rng(0).integers(0, 256, (900, 1200, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "PNG")
    assert len(file.getvalue()) > 2_000_000
    page = visit().open("#pictures?q=" + quote("good morning"))
    with page.expect_request("**/v1/rank-pictures") as sent:
        page.set_input_files("#pictures-files", [upload("photo.png", file.getvalue())])
    expect(page.locator("#pictures-list .upload")).to_have_count(1)
    assert len(sent.value.post_data_buffer or b"") < 1_500_000


@needs_browser
def test_what_is_no_picture_is_said_to_be_none(visit):
    one = visit()
    one.expected.append("Failed to load resource")
    page = one.open("#pictures?q=" + quote("good morning"))
    page.set_input_files("#pictures-files", [upload("notes.png", b"no picture at all")])
    notice = page.locator("#pictures-notice")
    expect(notice).to_contain_text("notes.png")
    expect(notice).to_have_attribute("data-kind", "problem")


@needs_browser
def test_drawings_serve_where_no_picture_is_at_hand(visit):
    page = visit().open("#pictures?q=" + quote("good morning"))
    page.get_by_role("button", name="Try it with four new drawings").click()
    expect(page.locator("#pictures-list .upload")).to_have_count(4)


# Links


@needs_browser
def test_a_link_restores_what_it_shows(visit, scorer, codes):
    one = visit()
    page = one.open("#rank?q=" + quote("pizza & <wine> = 100% 🍷"))
    expect(page.locator("#rank-text")).to_have_value("pizza & <wine> = 100% 🍷")
    wait_for_first(page, best(scorer, codes, "pizza & <wine> = 100% 🍷")[0].name)
    # Another link in the same page.
    page.evaluate("location.hash = '#emojify?q=We+ate+pizza.&least=generous&most=3'")
    expect(page.get_by_role("tab", name="Emojify")).to_have_attribute("aria-selected", "true")
    expect(page.locator("#emojify-text")).to_have_value("We ate pizza.")
    assert page.locator("[name=least]:checked").get_attribute("value") == "generous"
    assert page.locator("[name=most]:checked").get_attribute("value") == "3"
    offsets = ",".join(["1.5", *["0"] * 15])
    page = one.open(f"#blend?a={quote('🐶')}&b={quote('🐻')}&t=25&d={offsets}")
    expect(page.get_by_role("combobox", name="From")).to_have_value("dog face")
    expect(page.get_by_role("combobox", name="To")).to_have_value("bear")
    expect(page.locator("#blend-share")).to_have_value("25")
    expect(page.locator("#blend-strip button")).to_have_count(8)
    expect(page.get_by_role("button", name="Back to the blend")).to_be_enabled()
    eventually(page, lambda: fragment(page)[1].get("d") == offsets)
    page = one.open("#pictures?q=good+night")
    expect(page.locator("#pictures-text")).to_have_value("good night")


@needs_browser
@pytest.mark.parametrize(
    "link",
    [
        "#nowhere?q=x",
        "#rank?q=%E0%A4%A",
        "#blend?a=nonsense&b=%00&t=999&d=1,2",
        "#imagine?seed=-1",
        "#__proto__",
    ],
)
def test_a_broken_link_shows_something_whole(visit, link):
    one = visit()
    one.context.route(DRAWING, drawn_once)
    page = one.open(link)
    expect(page.locator('[role="tabpanel"]:visible')).to_have_count(1)
    page.wait_for_load_state("networkidle")
    assert page.locator('.notice[data-kind="problem"]').count() == 0


@needs_browser
def test_the_link_is_copied(visit):
    page = visit(permissions=["clipboard-read", "clipboard-write"]).open()
    page.fill("#rank-text", "good night")
    page.get_by_role("button", name="Copy the link to this").click()
    expect(page.locator("#toast")).to_contain_text("Copied the link")
    assert urlsplit(clipboard(page)).fragment == "rank?q=good+night"


# When something is wrong


@needs_browser
def test_an_error_says_what_to_mend(visit):
    one = visit()
    one.expected.append("422")
    page = one.open("#rank?q=pizza")
    wait_for_first(page, "pizza")
    page.route("**/v1/rank", lambda route: problem(route, 422, "the text is too odd; mend it"))
    page.fill("#rank-text", "odd")
    notice = page.locator("#rank-notice")
    expect(notice).to_have_text("The text is too odd; mend it")  # and nothing to try again
    page.unroute("**/v1/rank")
    page.fill("#rank-text", "pizza!")
    expect(notice).to_be_empty()


@needs_browser
def test_a_server_that_failed_can_be_asked_again(visit):
    one = visit()
    one.expected.append("500")
    one.context.route("**/v1/rank", lambda route: route.fulfill(status=500, body="<h1>no</h1>"))
    page = one.open("#rank?q=pizza")
    notice = page.locator("#rank-notice")
    expect(notice).to_contain_text("The server answered with the error 500; try again")
    one.context.unroute("**/v1/rank")
    page.get_by_role("button", name="Try again").click()
    wait_for_first(page, "pizza")
    expect(notice).to_be_empty()


@needs_browser
def test_a_slow_server_is_waited_for(visit):
    one = visit()
    held: list[Route] = []
    one.context.route("**/v1/rank", lambda route: held.append(route))
    page = one.open("#rank?q=pizza")
    expect(page.locator("#rank-notice")).to_have_text("Still working…")
    held[0].continue_()
    wait_for_first(page, "pizza")
    expect(page.locator("#rank-notice")).to_be_empty()


@needs_browser
def test_a_lost_connection_is_tried_again(visit):
    one = visit()
    one.expected.append("ERR_INTERNET_DISCONNECTED")
    tries: list[int] = []

    def lose_the_first(route: Route) -> None:
        tries.append(1)
        if len(tries) == 1:
            route.abort("internetdisconnected")
        else:
            route.continue_()

    one.context.route("**/v1/rank", lose_the_first)
    page = one.open("#rank?q=pizza")
    expect(page.locator("#rank-notice")).to_contain_text("does not answer; trying again")
    wait_for_first(page, "pizza")
    assert len(tries) == 2


@needs_browser
def test_a_busy_server_is_asked_again_when_it_says(visit):
    one = visit()
    one.expected.append("429")
    times: list[float] = []

    def busy_at_first(route: Route) -> None:
        times.append(time.monotonic())
        if len(times) == 1:
            problem(route, 429, "too many requests at once", **{"Retry-After": "1"})
        else:
            route.continue_()

    one.context.route("**/v1/rank", busy_at_first)
    page = one.open("#rank?q=pizza")
    expect(page.locator("#rank-notice")).to_contain_text("busy; trying again in 1 s")
    wait_for_first(page, "pizza")
    assert len(times) == 2 and times[1] - times[0] >= 0.9


@needs_browser
def test_a_token_is_asked_for_and_kept(visit):
    with serving(SQAM_TOKEN="open-sesame") as address:
        one = visit(address)
        one.expected.append("401")
        page = one.open("#rank?q=pizza")
        dialog = page.get_by_role("dialog", name="This service asks for a token")
        expect(dialog).to_be_visible()
        expect(page.locator("#token-refused")).to_be_hidden()
        page.get_by_label("Token", exact=True).fill("wrong")
        page.keyboard.press("Enter")
        expect(page.locator("#token-refused")).to_be_visible()
        page.get_by_label("Token", exact=True).fill("open-sesame")
        page.get_by_role("button", name="Go on").click()
        wait_for_first(page, "pizza")
        expect(dialog).to_be_hidden()
        asked = one.calls("/v1/rank")
        page.reload()
        wait_for_first(page, "pizza")
        assert one.calls("/v1/rank") == asked + 1
        # Of this tab alone; whoever does not know it is told why nothing is shown.
        page = one.open("#rank?q=pizza")
        page.get_by_role("button", name="Cancel").click()
        expect(page.locator("#rank-notice")).to_have_attribute("data-kind", "problem")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()


# Looks


def background(page: Page) -> str:
    return page.evaluate("getComputedStyle(document.documentElement).backgroundColor")


@needs_browser
def test_light_and_dark(visit):
    one = visit(color_scheme="dark")
    page = one.open()
    dark = background(page)
    toggle = page.get_by_role("button", name="Dark")
    expect(toggle).to_have_attribute("aria-pressed", "true")
    page.emulate_media(color_scheme="light")
    light = background(page)
    assert light != dark
    expect(toggle).to_have_attribute("aria-pressed", "false")
    toggle.click()
    assert background(page) == dark
    page.reload()  # remembered, whatever the system says
    assert background(page) == dark
    expect(toggle).to_have_attribute("aria-pressed", "true")


def open_tab(one: Visit, tab: str) -> Page:
    """Open a tab with something in it."""
    one.context.route(DRAWING, drawn_once)
    page = one.open(f"#{tab}")
    if tab == "rank":
        expect(page.locator("#rank-pulls .pull").first).to_be_visible()
    elif tab == "emojify":
        expect(page.locator("#emojify-inserted li").first).to_be_visible()
    elif tab == "imagine":
        expect(page.locator("#imagine-cards img")).to_have_count(8)
    elif tab == "blend":
        expect(page.locator("#blend-strip button")).to_have_count(8)
        expect(page.locator("#blend-picture")).to_be_visible()
    else:
        page.fill("#pictures-text", "good morning")
        files = [upload("a long name of a picture.png", png((9, 9, 9)))]
        page.set_input_files("#pictures-files", files)
        expect(page.locator("#pictures-list .upload")).to_have_count(1)
    return page


@needs_browser
@pytest.mark.parametrize("tab", TABS)
def test_a_phone_is_wide_enough(visit, tab):
    one = visit(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True)
    page = open_tab(one, tab)
    assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [360, 360]
    # Nothing is cut off at the side, but in what scrolls by itself.
    outside = page.evaluate(
        """() => [...document.querySelectorAll("main *")]
          .filter((element) => element.checkVisibility())
          .filter((element) => !element.closest(".chips, .unseen, .bar"))
          .filter((element) => {
            const { left, right, width } = element.getBoundingClientRect();
            return width > 0 && (left < 0 || right > innerWidth);
          })
          .map((element) => element.outerHTML.slice(0, 80))"""
    )
    assert outside == []
    small = page.evaluate(
        """() => [...document.querySelectorAll("button, a[href], textarea, input, label.target")]
          .filter((element) => element.checkVisibility() && !element.closest(".unseen"))
          .map((element) => [element.id || element.textContent, element.getBoundingClientRect()])
          .filter(([, { width, height }]) => height < 43.5 || width < 40)
          .map(([name, { width, height }]) => `${name.trim()}: ${width}×${height}`)"""
    )
    assert small == []


@needs_browser
def test_nothing_moves_for_those_who_asked(visit):
    one = visit(reduced_motion="reduce")
    page = one.open()
    expect(page.locator("#rank-options .match").first).to_be_visible()
    page.fill("#rank-text", "pizza")
    wait_for_first(page, "pizza")
    moving = page.evaluate(
        """() => [...document.querySelectorAll("*")].filter((element) => {
          const { transitionDuration, animationName } = getComputedStyle(element);
          return /[1-9]/.test(transitionDuration) || animationName !== "none";
        }).length"""
    )
    assert moving == 0 and page.evaluate("document.getAnimations().length") == 0


@needs_browser
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("tab", TABS)
def test_axe_finds_no_violation(visit, tab, theme):
    # The checker is a script of its own, which the policy of the page would forbid.
    one = visit(color_scheme=theme, bypass_csp=True, reduced_motion="reduce")
    page = open_tab(one, tab)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@needs_browser
def test_axe_finds_no_violation_in_what_opens(visit):
    one = visit(bypass_csp=True, reduced_motion="reduce")
    one.expected += ["401"]
    page = open_tab(one, "blend")
    page.get_by_role("combobox", name="From").fill("cat")
    expect(page.get_by_role("listbox", name="Emojis")).to_be_visible()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    page.route("**/v1/rank", lambda route: problem(route, 401, "a token is needed"))
    page.get_by_role("tab", name="Rank").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


# The photographs of README.md


@needs_browser
def test_a_photograph_is_small_and_shows_the_tab(server, browser, tmp_path):
    for size, theme in [("desktop", "light"), ("phone", "dark")]:
        taken = photograph(browser, server, "rank", size, theme)
        assert taken.size == SIZES[size]
        write(taken, tmp_path / "page.png")
        assert (tmp_path / "page.png").stat().st_size < 200_000
        with Image.open(tmp_path / "page.png") as written:
            assert written.size == SIZES[size]
            corner = np.asarray(written.convert("L"))[2, 2]
        assert (corner > 200) == (theme == "light")


def test_every_tab_is_photographed():
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert list(THERE) == re.findall(r'role="tab" id="tab-(\w+)"', html)


# The files


def test_the_files_are_small():
    assert sum(path.stat().st_size for path in FILES) < 300_000


def test_the_files_need_no_build_and_nothing_from_elsewhere():
    assert {path.suffix for path in FILES} == {".html", ".css", ".js", ".svg"}
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+[^\s\"']*", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
        assert not re.search(r"setAttribute\(\s*[\"']style", text), path.name


def test_nothing_is_inline():
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", html)
    assert re.findall(r"<script[^>]*>[^<]", html) == []


def test_all_modules_are_fetched_at_once():
    html = (PAGE / "index.html").read_text(encoding="utf-8")
    named = set(re.findall(r'(?:src|href)="static/([\w.]+)"', html))
    assert named == {path.name for path in FILES} - {"index.html"}
    for path in FILES:
        if path.suffix == ".js":
            for name in re.findall(r'from "\./([\w.]+)"', path.read_text(encoding="utf-8")):
                assert (PAGE / name).is_file(), f"{path.name} imports {name}"


@needs_browser
def test_the_policy_is_strict_and_holds(server, visit):
    with urllib.request.urlopen(server + "/") as answer:
        policy = dict(
            part.strip().partition(" ")[::2]
            for part in answer.headers["Content-Security-Policy"].split(";")
        )
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    one = visit()
    one.expected.append("Content Security Policy")
    page = one.open()
    page.evaluate(
        """() => {
          const script = document.createElement("script");
          script.textContent = "window.ran = true";
          document.head.append(script);
        }"""
    )
    assert page.evaluate("window.ran") is None
    assert any("Content Security Policy" in message for message in one.messages)


def test_the_files_are_served_as_they_are(server):
    with urllib.request.urlopen(server + "/static/emojis.png") as answer:
        served = np.asarray(Image.open(io.BytesIO(answer.read())))
    # With the alpha that browsers take, which the file in assets does not have.
    assert np.array_equal(served, np.asarray(images.grid(images.sheet())))
    for path in FILES:
        if path.name != "index.html":
            with urllib.request.urlopen(f"{server}/static/{path.name}") as answer:
                assert answer.read() == path.read_bytes()
