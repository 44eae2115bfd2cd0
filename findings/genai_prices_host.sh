#!/bin/bash
# genai-prices 0.2.3 (PyPI): the address of a gateway is taken for a provider whose name its own begins with.
#
# `calc_price(..., provider_api_url=...)` finds the provider by a regular expression that is matched at the
# beginning of the address. Most of them do not say where the host's name ends:
#
#   https://api.openai.com/v1           -> openai
#   https://api.openai.com.example/v1   -> openai, with its prices
#   https://models.example/v1           -> LookupError, as it should be
#
# Exit code 0 while this is so. Needs Python 3.11 or newer.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check "genai-prices==0.2.3"

"$folder/venv/bin/python" - <<'PYTHON'
from genai_prices import Usage, calc_price

found = {}
for host in ("api.openai.com", "api.openai.com.example", "models.example"):
    used = Usage(input_tokens=1_000, output_tokens=100)
    try:
        price = calc_price(used, "gpt-4o", provider_api_url=f"https://{host}/v1")
        found[host] = f"{price.provider.id} {price.total_price}"
    except LookupError:
        found[host] = "LookupError"
    print(f"{host:<24} {found[host]}")
assert found["api.openai.com"] == found["api.openai.com.example"] != "LookupError", found
assert found["models.example"] == "LookupError", found
PYTHON
