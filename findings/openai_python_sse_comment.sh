#!/bin/bash
# openai 3.57.0 (PyPI): a comment in a stream whose events have ids raises JSONDecodeError.
#
# A server-sent event stream may hold comments (`: ping`) at any place, and servers send them so that no
# proxy takes silence for death. An event with empty data is dispatched to nobody (HTML standard, 9.2.6).
# The SDK's decoder keeps the id of the last event, as it must, but then takes the empty line behind a
# comment for an event that has an id, and hands its empty data to the JSON parser:
#
#   data: {…}  /  : ping                     -> every chunk is read
#   id: 1, data: {…}  /  : ping              -> json.decoder.JSONDecodeError: Expecting value: line 1 column 1
#
# Exit code 0 while this is so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "openai==3.57.0"

cat >"$folder/show.py" <<'PYTHON'
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from openai import OpenAI


def chunk(text):
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return json.dumps({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [choice]})


class Server(BaseHTTPRequestHandler):
    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        named = self.path.startswith("/ids")
        first, second = ("id: 1\n", "id: 2\n") if named else ("", "")
        body = f"{first}data: {chunk('Rain')}\n\n: ping\n\n{second}data: {chunk(' falls.')}\n\ndata: [DONE]\n\n"
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()


def read(path):
    client = OpenAI(base_url=f"http://127.0.0.1:{server.server_port}/{path}", api_key="none", max_retries=0)
    asked = [{"role": "user", "content": "Hello"}]
    stream = client.chat.completions.create(model="m", messages=asked, stream=True)
    try:
        return "".join(chunk.choices[0].delta.content for chunk in stream)
    except json.JSONDecodeError as error:
        return f"JSONDecodeError: {error}"


plain, named = read("plain"), read("ids")
print(f"without ids: {plain}\nwith ids:    {named}")
raise SystemExit(0 if plain == "Rain falls." and named.startswith("JSONDecodeError") else 1)
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
