"""Every operation of the document, called by everybody who may knock."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from descriptions import DOCUMENTS
from fakes.journey_log import FakeJourneyLog
from fakes.model import FakeModel
from passes import CHALLENGE, RSA_KEY, USER, WITH_SECRET, Json, bearer, seconds, token, turned_away
from serving import Reply, Served, refused, turn_body

OTHER = "otto"
OPENAPI = DOCUMENTS.openapi
OPERATIONS = [
    (method, path, operation)
    for path, item in OPENAPI["paths"].items()
    for method, operation in item.items()
]
GUARDED = [row for row in OPERATIONS if row[2].get("security") != []]
PASSES: dict[str, Callable[[], dict[str, str]]] = {
    "no token": dict,
    "bad": lambda: bearer(token(key="x" * 40)),
    "expired": lambda: bearer(token(exp=seconds(-60))),
    "wrong audience": lambda: bearer(token(aud="another-service")),
    "missing scope": lambda: bearer(token(scope="chat")),
    "good": lambda: bearer(token()),
}
# What a good token gets where it is no success: the turn has ended, this is no handshake, and so on.
SETTLED = {
    ("post", "/turns/{turn_id}/cancel"): (409, "not_cancellable"),
    ("get", "/turn/ws"): (426, "bad_request"),
