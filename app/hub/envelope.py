"""Events as CloudEvents 1.0, in structured mode: the whole event is one JSON object."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from cloudevents.core.formats.json import JSONFormat
from cloudevents.core.v1.event import CloudEvent

from app.ports.outbox import StoredEvent

_FORMAT = JSONFormat()


class Envelope:
    """`installation` names the journal: events of two installations may meet at one hub."""

    def __init__(self, installation: str) -> None:
        self.source = f"/dungeon-master/{installation}"

    def sealed(self, event: StoredEvent) -> bytes:
        """The event's JSON, in ASCII, the same whenever it is asked for."""
        # Of one's own for each event: the library completes what it is given, and keeps it.
        attributes: dict[str, Any] = {
            "specversion": "1.0",
            "id": event.id,
            "source": self.source,
            "type": event.type,
            "subject": event.subject,
            "time": datetime.fromtimestamp(event.created_at, UTC),
            "datacontenttype": "application/json",
            "userid": event.user_id,
        }
        # As an object: JSON that is already encoded would be written as base64.
        return _FORMAT.write(CloudEvent(attributes, json.loads(event.data)))
