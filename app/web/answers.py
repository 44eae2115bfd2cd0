"""Answers in JSON, built from typed values."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel
from starlette.responses import JSONResponse


class JSONAnswer(JSONResponse):
    """JSON as Starlette writes it; pydantic models may stand anywhere in the content."""

    def render(self, content: Any) -> bytes:
        return json.dumps(
            content,
            ensure_ascii=False,
            allow_nan=False,
            separators=(",", ":"),
            default=_dumped,
        ).encode()


def _dumped(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    raise TypeError(f"not JSON: {type(value).__name__}")
