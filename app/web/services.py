"""What the routes may use, put together by `app.bootstrap` and found on `app.state`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import HTTPConnection

from app.characters.service import CharacterService
from app.operations.admin import AdminService
from app.operations.policy_source import PolicySource
from app.operations.schemas import HealthReport
from app.settings import Settings
from app.telemetry.report import MetricsReport
from app.turns.service import TurnService
from app.web.auth import Tickets
from app.web.transports.readers import Readers
from app.web.transports.sse import SSETransport
from app.web.transports.websocket import WebSocketTransport


@dataclass(frozen=True, slots=True)
class Services:
    """`health` gives the body of `GET /health`; `ready` says whether turns can be taken.

    `metrics` gives body and content type for an Accept header; `legacy_metrics` the JSON form.
    """

    settings: Settings
    turns: TurnService
    tickets: Tickets
    characters: CharacterService
    admin: AdminService
    policy: PolicySource
    readers: Readers
    sse: SSETransport
    websocket: WebSocketTransport
    health: Callable[[], Awaitable[HealthReport]]
    ready: Callable[[], Awaitable[bool]]
    metrics: Callable[[str], tuple[bytes, str]]
    legacy_metrics: Callable[[], MetricsReport]


def services_of(connection: HTTPConnection) -> Services:
    services = connection.app.state.services
    assert isinstance(services, Services)
    return services
