"""The operation that assistants call."""

from __future__ import annotations

from typing import Final

from app.assistants.routes import post_mcp
from app.assistants.tools import ENDPOINT
from app.web.routing import Operation, Tag

OPERATIONS: Final = (
    Operation(
        method="POST",
        path=ENDPOINT,
        endpoint=post_mcp,
        scope="turns",
        tag=Tag("Assistants", "The Model Context Protocol."),
        name="callAssistantTool",
        summary="A request of the Model Context Protocol",
        described=False,  # `server/discover` and `tools/list` describe it
    ),
)
