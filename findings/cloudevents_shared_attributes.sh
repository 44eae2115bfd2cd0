#!/bin/bash
# cloudevents 2.2.0 (Python SDK): two events that are made from one dict of attributes are one event.
#
# CloudEvent completes the dict that it is given and keeps it: the id and the time that the first event draws
# are in the dict when the second one is made. A hub that drops duplicates by source and id drops the second.
#
#   attributes = {"type": "t", "source": "s"}
#   CloudEvent(attributes, {"n": 1}), CloudEvent(attributes, {"n": 2})   -> the same id, the same time
#
# An event that is read without a time, which is optional, gets that of the reader.
# Exit code 0 while this is so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "cloudevents==2.2.0"

"$folder/venv/bin/python" - <<'PYTHON'
import json
import sys

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

attributes = {"type": "t", "source": "s"}
first, second = CloudEvent(attributes, {"n": 1}), CloudEvent(attributes, {"n": 2})
print("two events, one id:", first.get_id() == second.get_id())
print("the dict now holds:", sorted(attributes))
bare = {"specversion": "1.0", "id": "1", "source": "s", "type": "t"}
again = json.loads(JSONFormat().write(JSONFormat().read(None, json.dumps(bare))))
print("read without a time, written with one:", "time" in again)
sys.exit(not (first.get_id() == second.get_id() and "id" in attributes and "time" in again))
PYTHON
