"""The README's EventSource in a real browser, behind a proxy that fails for a while."""

from __future__ import annotations

import json
import re
from pathlib import Path

from starlette.types import Receive, Scope, Send

from browser import chromium
from listener import listening

README = Path(__file__).parent.parent.parent / "README.md"
PATH = "/turns/t/events"


def example() -> str:
    """The function `follow` of the EventSource example."""
    section = README.read_text("utf-8").partition("### Browser: EventSource")[2]
    code = re.findall(r"```js\n(.*?)```", section, re.DOTALL)[0]
    return str(code.partition("const started")[0])


def block(seq: int, kind: str) -> bytes:
    data = json.dumps({"type": kind, "content": str(seq)})
    return f"retry: 1\nid: t:{seq}\ndata: {data}\n\n".encode()


class FailingProxy:
    """Two pieces of one stream, with an answer of 502 before each of them but the first."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self._answers = [
            (200, block(1, "token")),
            (502, b"Bad Gateway"),
            (502, b"Bad Gateway"),
            (200, block(2, "token") + block(3, "complete") + b"data: [DONE]\n\n"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        status, kind, body = 200, b"text/html", b"<title>page</title>"
        if scope["path"] == PATH:
            header = dict(scope["headers"]).get(b"last-event-id", b"")
            self.asked.append((header or scope["query_string"]).decode())
            kind, (status, body) = b"text/event-stream", self._answers.pop(0)
        head = [(b"content-type", kind), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": body})


def test_event_source_of_the_readme_goes_on_after_a_proxy_s_502() -> None:
    proxy = FailingProxy()
    with listening(proxy) as url, chromium() as browser:
        tab = browser.tab(url)
        tab.run("window.seen = []; window.setTimeout = (work) => queueMicrotask(work); 0")
        follow = f"follow('{PATH}', (event) => seen.push([event.type, event.content]))"
        tab.run(f"{{ {example()}; {follow}; }} 0")
        tab.wait("seen.length === 3")
        assert tab.run("seen") == [["token", "1"], ["token", "2"], ["complete", "3"]]
    assert proxy.asked == ["", "t:1", "lastEventId=t%3A1", "lastEventId=t%3A1"]
