"""The API descriptions."""

from __future__ import annotations

from typing import Any


def openapi_document() -> dict[str, Any]:
    return {"openapi": "3.1.0", "info": {"title": "Dungeon Master", "version": "0"}, "paths": {}}


def asyncapi_document() -> dict[str, Any]:
    return {"asyncapi": "3.0.0", "info": {"title": "Dungeon Master", "version": "0"}}
