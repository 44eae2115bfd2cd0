#!/bin/bash
# cloudevents 2.2.0 (Python SDK): JSON data is written as the repr of a Python dict, where the content type
# is spelled in a valid way that the library does not know.
#
# RFC 9110 lets media types be of any case and lets blanks stand around the semicolon; RFC 6838 lets a subtype
# hold an underscore or a second plus sign. JSONFormat.write then takes the data for text:
#
#   application/json                 -> "data": {"a": 1}
#   Application/JSON                 -> "data": "{'a': 1}"
#   application/json ; charset=utf-8 -> "data": "{'a': 1}"
#   application/vnd.acme_x.v1+json   -> "data": "{'a': 1}"
#
# An event that was read and is written again loses its data in the same way. Exit code 0 while this is so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "cloudevents==2.2.0"

"$folder/venv/bin/python" - <<'PYTHON'
import json
import sys

from cloudevents.core.formats.json import JSONFormat

FORMAT = JSONFormat()
USUAL = "application/json"
OTHERS = ("Application/JSON", "application/json ; charset=utf-8", "application/vnd.acme_x.v1+json")


def written_again(media_type):
    event = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
    event |= {"datacontenttype": media_type, "data": {"a": 1}}
    data = json.loads(FORMAT.write(FORMAT.read(None, json.dumps(event))))["data"]
    print(f"{media_type:32} -> {data!r}")
    return data


same = written_again(USUAL) == {"a": 1}
sys.exit(not (same and all(written_again(one) == "{'a': 1}" for one in OTHERS)))
PYTHON
