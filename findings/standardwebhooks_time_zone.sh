#!/bin/bash
# standardwebhooks 1.1.0 (Python): `sign` signs another moment than the one that it is given, where that is
# in another time zone than UTC.
#
# It replaces the zone instead of converting: noon in a zone of +05:00 is signed as noon in UTC. The header
# webhook-timestamp, made by the same datetime's timestamp(), then does not fit, and `verify` refuses:
#
#   datetime.now(UTC)                            -> verified
#   datetime.now(timezone(timedelta(hours=5)))   -> WebhookVerificationError: No matching signature found
#
# A body in bytes, which `verify` takes, is signed as its repr ("b'{}'"), and refused, too.
# Exit code 0 while this is so.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet --disable-pip-version-check "standardwebhooks==1.1.0"

"$folder/venv/bin/python" - <<'PYTHON'
import sys
from datetime import UTC, datetime, timedelta, timezone

from standardwebhooks import Webhook, WebhookVerificationError

WEBHOOK = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")


def verified(zone, body):
    now = datetime.now(zone)
    headers = {"webhook-id": "m1", "webhook-timestamp": str(int(now.timestamp()))}
    headers["webhook-signature"] = WEBHOOK.sign("m1", now, body)
    try:
        WEBHOOK.verify(body, headers)
    except WebhookVerificationError as error:
        return str(error)
    return "verified"


found = [
    verified(UTC, "{}"),
    verified(timezone(timedelta(hours=5)), "{}"),
    verified(UTC, b"{}"),
]
for case, result in zip(("UTC, text", "+05:00, text", "UTC, bytes"), found):
    print(f"{case:14} {result}")
sys.exit(found != ["verified", *["No matching signature found"] * 2])
PYTHON
