"""The bench's model and journey-log, in one cheap process.

    python -m bench.upstreams

Prints its address. `POST /bench/pace` sets how the model streams from now on, `POST /bench/writes`
answers what journey-log was sent since the last time.
"""

from __future__ import annotations

import asyncio
import gc
import json
import re
from collections.abc import Iterator

import uvloop

from bench.journey_log import JourneyLog
from bench.model import Api, Pace, StoryModel
from bench.wire import END, STREAM_HEAD, HttpConnection, Request, answer, to_json

_ASKED = re.compile(rb"for ([0-9.]+) s")


class Upstreams:
    def __init__(self) -> None:
        self.model = StoryModel(Pace())
        self.journey_log = JourneyLog()

    def control(self, request: Request) -> bytes:
        match request.path:
            case b"/bench/pace":
                self.model = StoryModel(Pace.received(json.loads(request.body)))
                return answer(200, b"{}")
            case b"/bench/writes":
                return answer(200, to_json(self.journey_log.summary()))
            case _:
                return answer(404, b"{}")


class Connection(HttpConnection):
    def __init__(self, upstreams: Upstreams) -> None:
        super().__init__()
        self._upstreams = upstreams
        self._writes: Iterator[bytes] = iter(())
        self._gap = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def handle(self, request: Request) -> None:
        if request.path.startswith(b"/v1/"):
            self._generate(request)
        elif request.path.startswith(b"/bench/"):
            self.reply(self._upstreams.control(request))
        else:
            self.reply(self._upstreams.journey_log.answer(request))

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        if self._timer is not None:
            self._timer.cancel()

    def _generate(self, request: Request) -> None:
        model, pace = self._upstreams.model, self._upstreams.model.pace
        api: Api = "responses" if request.path.endswith(b"/responses") else "chat"
        if b'"stream":true' not in request.body.replace(b": ", b":"):
            self.reply(model.whole(api))
            return
        asked = _ASKED.search(request.body) if pace.asked else None
        self._writes = model.words(api, float(asked[1])) if asked else model.story(api)
        self._gap = pace.gap
        if pace.first:
            self.transport.write(STREAM_HEAD)
            self._timer = self.loop.call_later(pace.first, self._step)
        else:
            self._write(STREAM_HEAD)

    def _step(self) -> None:
        self.when_writable(self._write)

    def _write(self, head: bytes = b"") -> None:
        if self.gone:
            return
        data = head + next(self._writes)
        self.transport.write(data)
        if data.endswith(END):
            self.over()
        elif self._gap:
            self._timer = self.loop.call_later(self._gap, self._step)
        else:
            self.loop.call_soon(self._step)


async def serve() -> None:
    upstreams, loop = Upstreams(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(upstreams), "127.0.0.1", 0, backlog=4096)
    print(f"running on http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    gc.freeze()
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve())
