"""Answers of a real model server as they came, for the default suite to replay."""

from __future__ import annotations

import http.client
import json
import re
import threading
from pathlib import Path
from typing import Any, Final

from tools.local_model import NAME
from tools.ports import free_port

TOKENS: Final = 24
SCHEMA: Final = {
    "type": "object",
    "properties": {"narrative": {"type": "string"}, "intents": {"type": "null"}},
    "required": ["narrative", "intents"],
}
FORMS: Final[dict[str, Any]] = {
    "json_schema": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}},
    "json_object_schema": {"type": "json_object", "schema": SCHEMA},
    "json_object": {"type": "json_object"},
    "prompt": None,
}
_LOCAL_PATH: Final = re.compile(r'\\"/[^\\"]*/(llama_cpp/)')
Json = dict[str, Any]


def record_answers(stage: Any, file: Path) -> None:
    """`stage`: as `Stage` of `local_model_run`."""
    port, found = free_port(), dict[str, Json]()
    with stage.model(port, window=stage.small) as started:
        for form in FORMS:
            for stream in (False, True):
                found[f"{form}, {_how(stream)}"] = answer(port, request(form, stream))
        for stream in (False, True):
            long = request("prompt", stream, "hello " * stage.small)
            found[f"overflow, {_how(stream)}"] = answer(port, long)
        found["interrupted"] = answer(
            port, _endless(), lambda: answer(port, request("prompt", True))
        )
        found["killed"] = answer(port, _endless(), started.kill)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", "utf-8")


def request(form: str, stream: bool, said: str = "Greet the player.") -> Json:
    """What is asked for; the tokens of the answer are bounded."""
    body = {
        "model": NAME,
        "messages": [{"role": "user", "content": said}],
        "max_tokens": TOKENS,
        "stream": stream,
    }
    return body if FORMS[form] is None else {**body, "response_format": FORMS[form]}


def _endless() -> Json:
    return {**request("prompt", True, "Tell me a long story."), "max_tokens": 2_000}


def _how(stream: bool) -> str:
    return "streamed" if stream else "whole"


def answer(port: int, body: Json, meanwhile: Any = None) -> Json:
    """`meanwhile` is called, beside the reading, once some text has come. `broken`: whether the connection
    ended inside the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    connection.request(
        "POST", "/v1/chat/completions", json.dumps(body), {"content-type": "application/json"}
    )
    response = connection.getresponse()
    data, broken = b"", False
    try:
        while piece := response.read1():
            data += piece
            if meanwhile is not None and data.count(b'"content"') > 3:
                threading.Thread(target=meanwhile, daemon=True).start()
                meanwhile = None
    except (http.client.HTTPException, OSError):
        broken = True
    connection.close()
    text = _LOCAL_PATH.sub(r'\\"\1', data.decode())
    kind = response.headers["content-type"]
    return {"status": response.status, "type": kind, "body": text, "broken": broken}
