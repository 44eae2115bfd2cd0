"""Headless Chromium, driven over the DevTools protocol."""

from __future__ import annotations

import base64
import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from websockets.sync.client import ClientConnection, connect

from installed import program

PATIENCE = 300.0
NAMES = ("chromium", "chromium-browser", "google-chrome")


class Tab:
    """One page. Scripts run in it as the console would run them."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session

    def call(self, method: str, **params: Any) -> Any:
        return self._browser.call(method, self._session, **params)

    def run(self, script: str) -> Any:
        """The value of an expression, promises awaited. Fails on an exception of the page."""
        answer = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str = "body") -> str:
        return str(self.run(f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"))

    def wait(self, script: str, patience: float = PATIENCE) -> None:
        """Until an expression is true."""
        until = time.monotonic() + patience
        while not self.run(f"Boolean({script})"):
            assert time.monotonic() < until, f"never true: {script}\n{self.text()}"
            time.sleep(0.05)

    def wait_text(self, text: str, selector: str = "body") -> None:
        where = f"document.querySelector({json.dumps(selector)})?.innerText ?? ''"
        self.wait(f"({where}).includes({json.dumps(text)})")

    def open(self, url: str) -> None:
        self.call("Page.navigate", url=url)
        self.wait(
            f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'"
        )

    def fill(self, selector: str, value: str) -> None:
        self.run(
            f"(() => {{ const field = document.querySelector({json.dumps(selector)});"
            f" field.value = {json.dumps(value)};"
            " field.dispatchEvent(new Event('input', {bubbles: true})); })()"
        )

    def click(self, selector: str) -> None:
        self.run(f"document.querySelector({json.dumps(selector)}).click()")

    def size(self, width: int, height: int) -> None:
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )

    def shoot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot")["data"]))


class Browser:
    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._number = 0
        self.complaints: list[str] = []

    def call(self, method: str, session: str | None = None, **params: Any) -> Any:
        self._number += 1
        call = {"id": self._number, "method": method, "params": params}
        if session:
            call["sessionId"] = session
        self._socket.send(json.dumps(call))
        while True:
            message = json.loads(self._socket.recv(PATIENCE))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]
            self._note(message)

    def _note(self, message: dict[str, Any]) -> None:
        """Exceptions that nobody caught, and what the Content-Security-Policy refused."""
        if message.get("method") == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(message["params"]))
        entry = message.get("params", {}).get("entry", {})
        if entry.get("source") in ("security", "javascript"):
            self.complaints.append(json.dumps(entry))

    def tab(self, url: str) -> Tab:
        """A new page with a storage of its own, as on another device."""
        context = self.call("Target.createBrowserContext")["browserContextId"]
        target = self.call("Target.createTarget", url="about:blank", browserContextId=context)
        attached = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        tab = Tab(self, attached["sessionId"])
        for domain in ("Page", "Runtime", "Log"):
            tab.call(f"{domain}.enable")
        tab.size(1280, 900)
        tab.open(url)
        return tab


@contextmanager
def chromium() -> Iterator[Browser]:
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        command = [
            *(program(*NAMES), "--headless=new", "--no-sandbox", "--disable-gpu"),
            *("--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking"),
            *("--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"),
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            address = _address(Path(folder) / "DevToolsActivePort", process.poll)
            with connect(address, max_size=None, proxy=None, ping_interval=None) as socket:
                yield Browser(socket)
        finally:
            process.terminate()
            process.wait(PATIENCE)


def _address(file: Path, ended: Callable[[], int | None]) -> str:
    until = time.monotonic() + PATIENCE
    while not (file.exists() and len(lines := file.read_text().split()) == 2):
        assert ended() is None, "chromium ended"
        assert time.monotonic() < until, "chromium did not start"
        time.sleep(0.05)
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}"
