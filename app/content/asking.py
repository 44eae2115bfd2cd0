"""A request for content as the request of a turn, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Self
from uuid import uuid4

from app.content.kind import Kind
from app.content.requests import ContentIn
from app.core.encoding import dump
from app.ports.turn import TurnRequest

PREFIX = "content:"


class ContentAsked(NamedTuple):
    """`cache`: an answer that is known already will do."""

    kind: Kind[Any, Any]
    body: ContentIn
    cache: bool = True

    def request(self, request: TurnRequest, model: str) -> TurnRequest:
        """The turn that answers it. Requests for content never wait for one another."""
        about = {"cache": self.cache, "body": self.body.stored}
        parent = self.body.parent_content_id
        return replace(
            request,
            character_id=f"{PREFIX}{self.kind.name}",
            user_action=request.endpoint,
            kind="content",
            about=dump(about if parent is None else {**about, "parent": parent}),
            exclusive=f"{PREFIX}{uuid4()}",
            charged=self.kind.charged,
            model=model,
        )

    @classmethod
    def of(cls, request: TurnRequest, kinds: Mapping[str, Kind[Any, Any]]) -> Self:
        """The content request that a turn answers, read from the turn's request."""
        kind = kinds[request.character_id.removeprefix(PREFIX)]
        fields = json.loads(request.about)
        return cls(kind, kind.request.model_validate(fields["body"]), fields["cache"])
