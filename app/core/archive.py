"""A character as one file: what the journal, the content of its turns and an embedded journey-log hold.

The first line names the format, its version and the SHA-256 digest of all that follows: one JSON document.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic import ValidationError as Invalid

from app.core.context import CharacterProgress
from app.core.encoding import dump
from app.core.money import MAX_SPENT
from app.core.record import Recording

FORMAT: Final = "dungeon-master character"
VERSION: Final = 2
_READ: Final = (1, VERSION)  # the first one had no costs


class ArchiveRefused(Exception):
    """The file, or the character, cannot be taken; the message is one line for an operator."""


def _event(data: str) -> str:
    """Encoded as by this service: on one line, the type first."""
    if not data.startswith('{"type":"') or "\n" in data or not data.isascii():
        raise ValueError("is no event")
    json.loads(data)
    return data


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ArchivedTurn(_Part):
    """A turn that has ended. Times are epoch seconds. `body_hash` is in hexadecimal digits. `events`:
    numbers and the JSON of each; empty once they have expired. `step`, `intent`: writes whose fate is
    known, and writes begun."""

    turn_id: str
    status: Literal["complete", "error", "cancelled"]
    created_at: float
    finished_at: float
    body_hash: Annotated[str, Field(pattern="^([0-9a-f]{2})*$")]
    step: int
    intent: int
    request: dict[str, Any]
    result: dict[str, Any] | None
    recording: Recording | None
    events: tuple[tuple[int, Annotated[str, AfterValidator(_event)]], ...]


class ArchivedContent(_Part):
    """As `KeptContent`, of the character's user."""

    content_id: str
    kind: str
    parent_id: str | None
    created_at: float
    body: dict[str, Any]


class Archive(_Part):
    """`cost_micros`: of all turns of the character so far, those at tables and expired ones included.
    `turns`: in the order of admission, those at tables excepted. `journey_log`: the document of an
    embedded journey-log; None where a remote one keeps it."""

    character_id: str
    user_id: str
    progress: CharacterProgress | None
    cost_micros: Annotated[int, Field(ge=0, le=MAX_SPENT)] = 0
    places: tuple[str, ...]
    turns: tuple[ArchivedTurn, ...]
    contents: tuple[ArchivedContent, ...]
    journey_log: dict[str, Any] | None = None


def encode_archive(archive: Archive) -> bytes:
    """The bytes of the file."""
    body = dump(archive.model_dump()).encode()
    digest = hashlib.sha256(body).hexdigest()
    head = {"format": FORMAT, "version": VERSION, "sha256": digest}
    return dump(head).encode() + b"\n" + body


def decode_archive(data: bytes) -> Archive:
    """Raises `ArchiveRefused` for what is no export, is damaged, or was made by a newer release."""
    head, _, body = data.partition(b"\n")
    if hashlib.sha256(body).hexdigest() != _digest(head):
        raise ArchiveRefused("the file is damaged: its content does not match its checksum")
    try:
        return Archive.model_validate(json.loads(body))
    except Invalid as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ArchiveRefused(f"{where}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise ArchiveRefused("the file is no export of a character") from None


def _digest(head: bytes) -> str:
    try:
        found = json.loads(head)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise ArchiveRefused("the file is no export of a character")
    if found.get("version") not in _READ:
        raise ArchiveRefused(
            f"the file has version {found.get('version')}; this release reads versions 1 to {VERSION}"
        )
    return str(found.get("sha256"))
