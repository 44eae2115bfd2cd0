"""A client of this service's API in Python: typed events, and streams that go on where they broke off.

    async with Client("http://127.0.0.1:8080") as service:
        async for event in service.turn(character_id, "I lift the latch."):
            if event["type"] == "token":
                print(event["content"], end="", flush=True)

`SyncClient` has the same without `async`.
"""

from __future__ import annotations

from app.client.client import Client
from app.client.errors import Refused, Unreachable
from app.client.sync import SyncClient

__all__ = ["Client", "Refused", "SyncClient", "Unreachable"]
