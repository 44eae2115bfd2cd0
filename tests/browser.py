"""Headless Chromium of the machine, driven by Playwright."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT, AxeResults
from playwright.sync_api import Browser as Chromium
from playwright.sync_api import ConsoleMessage, Error, Page, sync_playwright

from installed import program

PATIENCE = 300.0
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
)
DESKTOP, PHONE = (1280, 800), (390, 844)


class Tab:
    """One page. Scripts run in it as the console would run them."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self._session = page.context.new_cdp_session(page)

    def call(self, method: str, **params: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._session.send(method, params)

    def run(self, script: str) -> Any:
        """The value of an expression, promises awaited. Fails on an exception of the page."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str = "body") -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def count(self, selector: str) -> int:
        return int(self.run(f"document.querySelectorAll({json.dumps(selector)}).length"))

    def shown(self, selector: str) -> bool:
        return self.page.locator(selector).first.is_visible()

    def wait(self, script: str, patience: float = PATIENCE) -> None:
        """Until an expression is true. The page looks by itself: each question from here costs three
        processes more than the answer does."""
        until = time.monotonic() + patience
        while not self._becomes(script, until - time.monotonic()):
            assert time.monotonic() < until, f"never true: {script}\n{self.text()}"

    def _becomes(self, script: str, seconds: float) -> bool:
        """False where it did not within `seconds`, or where another page has come meanwhile."""
        try:
            return bool(
                self.run(
                    f"(async () => {{ const until = performance.now() + {seconds * 1000};"
                    f" while (!({script})) {{ if (performance.now() > until) return false;"
                    " await new Promise((next) => setTimeout(next, 20)); } return true; })()"
                )
            )
        except Error:
            if self.page.is_closed():
                raise
            return False

    def wait_text(self, text: str, selector: str = "body") -> None:
        where = f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"
        self.wait(f"({where}).includes({json.dumps(text)})")

    def hide(self, *, hidden: bool) -> None:
        """As the browser says it of a tab in the background."""
        state = str(hidden).lower()
        self.run(
            f"Object.defineProperty(document, 'hidden', {{value: {state}, configurable: true}});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )

    def open(self, url: str) -> None:
        self.page.goto(url)

    def reload(self) -> None:
        self.page.reload()

    def fill(self, selector: str, value: str) -> None:
        self.run(
            f"(() => {{ const field = document.querySelector({json.dumps(selector)});"
            f" field.value = {json.dumps(value)};"
            " field.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def press(self, key: str) -> None:
        self.page.keyboard.press(key)

    def offline(self, offline: bool) -> None:
        """Cuts what is open, too."""
        self.page.context.set_offline(offline)

    def size(self, width: int, height: int) -> None:
        self.page.set_viewport_size({"width": width, "height": height})

    def shoot(self, path: Path) -> None:
        self.page.screenshot(path=path)


class Browser:
    """`complaints`: exceptions that no page caught, and what a Content-Security-Policy refused."""

    def __init__(self, chromium: Chromium) -> None:
        self._chromium = chromium
        self.complaints: list[str] = []

    def tab(self, url: str, size: tuple[int, int] = DESKTOP) -> Tab:
        """A new page with a storage of its own, as on another device."""
        context = self._chromium.new_context(
            viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce"
        )
        context.set_default_timeout(PATIENCE * 1000)
        return self._opened(context.new_page(), url)

    def beside(self, tab: Tab, url: str) -> Tab:
        """Another tab of the same device."""
        return self._opened(tab.page.context.new_page(), url)

    def close_tabs(self) -> None:
        for context in self._chromium.contexts:
            context.close()

    def _opened(self, page: Page, url: str) -> Tab:
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._note)
        tab = Tab(page)
        tab.open(url)
        return tab

    def _note(self, message: ConsoleMessage) -> None:
        if "Content Security Policy" in message.text:
            self.complaints.append(message.text)


def require_accessible(tab: Tab) -> None:
    """By every rule of axe-core that has no exception."""
    if tab.run("window.axe === undefined"):
        tab.run(AXE_SCRIPT)
    found = tab.run("axe.run({resultTypes: ['violations']}).then(({violations}) => ({violations}))")
    assert found["violations"] == [], AxeResults(found).generate_report()


@contextmanager
def chromium() -> Iterator[Browser]:
    place = program(*NAMES)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=place, args=list(FLAGS), timeout=PATIENCE * 1000
        )
        yield Browser(browser)
        browser.close()
