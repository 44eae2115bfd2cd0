"""Authentication before routing: who calls, and whether the operation's scope is theirs.

A token comes in `Authorization: Bearer`, or, for a WebSocket, as the subprotocol pair `bearer, TOKEN`.
An EventSource can send neither: it gets a ticket, a signed value for the events of one turn, of one
character or of one table, or for those for other services, and one minute.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from app.core.access import ANONYMOUS, Caller, has_scope
from app.core.encoding import encode
from app.core.fields import plain_uuid
from app.core.tables import KIND
from app.errors import BadRequest, Forbidden, Unauthorized
from app.ports.auth import Authenticator
from app.web.routing import Access

ALL_SCOPES = frozenset({"turns", "tables", "content", "chat", "admin"})
TICKET_SECONDS = 60
MAX_USER_ID = 128
WS_PROTOCOL = "bearer"

SESSIONS: Final = "api/sessions"
TICKETED: Final = {"turns": "", "characters": "", SESSIONS: f"{KIND}:"}
"""What has events of its own, by the beginning of its path, and what its id as a resource begins with."""
HUB: Final = "hub"
"""The events for other services: kind and id in one."""

_EVENTS = re.compile(rf"/(?:({'|'.join(TICKETED)})/([^/]+)|{HUB})/events")
CHALLENGE = {"WWW-Authenticate": 'Bearer realm="dungeon-master"'}


class Anonymous:
    """Without authentication: the user is `X-User-Id`, else `local`, and may do everything."""

    async def identify(self, scope: Scope, headers: Headers, needed: Sequence[str]) -> Caller:
        """Raises `BadRequest` for a user id that is not one."""
        user = headers.get("x-user-id")
        if user is None:
            return Caller(ANONYMOUS, ALL_SCOPES)
        user = user.strip()
        if not user or len(user) > MAX_USER_ID or not user.isascii() or not user.isprintable():
            raise BadRequest(f"X-User-Id: must be 1 to {MAX_USER_ID} printable ASCII characters.")
        return Caller(user, ALL_SCOPES)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Authentication by token or ticket, whose subject is the user."""

    authenticator: Authenticator
    tickets: Tickets

    async def identify(self, scope: Scope, headers: Headers, needed: Sequence[str]) -> Caller:
        """Raises `Unauthorized`, or `Forbidden` for a token without any of the scopes `needed`."""
        if (ticket := _ticket(scope)) is not None:
            return self.tickets.redeem(ticket, scope["path"])
        token = _bearer(headers) if scope["type"] == "http" else _ws_token(scope, headers)
        if token is None:
            raise Unauthorized(headers=CHALLENGE)
        caller = await self.authenticator.authenticate(token)
        if needed and not any(has_scope(caller, scope) for scope in needed):
            challenge = (
                f'{CHALLENGE["WWW-Authenticate"]}, error="insufficient_scope", scope="{needed[0]}"'
            )
            raise Forbidden(
                f"The token lacks the scope {' or '.join(needed)}.",
                headers={"WWW-Authenticate": challenge},
            )
        return caller


class FirstMessage:
    """Authentication of a socket that was opened without, by a token in its first message."""

    def __init__(self, identity: Anonymous | Tokens) -> None:
        self._identity = identity

    async def caller(self, connection: HTTPConnection, token: str, scope: str) -> Caller:
        """Raises `Unauthorized`, `Forbidden` for a token without the scope."""
        name = connection.headers.get("x-user-id")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        if name is not None:
            headers["x-user-id"] = name
        asked = {"type": "http", "path": connection.url.path, "query_string": b""}
        return await self._identity.identify(asked, Headers(headers), (scope,))


class Authentication:
    """Pure ASGI middleware; puts the `Caller` into the connection's state.

    An unknown path needs authentication, but no scope: there is nothing to reach.
    """

    def __init__(self, app: ASGIApp, identity: Anonymous | Tokens, access: Access) -> None:
        self._app = app
        self._identity = identity
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            await self._authenticate(scope)
        await self._app(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> None:
        operation = self._access.operation(scope["path"], scope.get("method", "WEBSOCKET"))
        if operation is not None and operation.scope is None:
            return
        needed = operation.scopes if operation is not None and operation.enabled else ()
        caller = await self._identity.identify(scope, Headers(scope=scope), needed)
        scope["state"]["caller"] = caller


def caller_of(connection: HTTPConnection) -> Caller:
    """The caller that authentication found for this request."""
    caller: Caller = connection.state.caller
    return caller


def _bearer(headers: Headers) -> str | None:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _ws_token(scope: Scope, headers: Headers) -> str | None:
    offered = scope.get("subprotocols") or []
    if len(offered) == 2 and offered[0] == WS_PROTOCOL:
        return str(offered[1])
    return _bearer(headers)


def _ticket(scope: Scope) -> str | None:
    found = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("ticket")
    return found[0] if found else None


def _canonical(its_id: str) -> str:
    """A UUID may be spelled in many ways."""
    try:
        return plain_uuid(its_id)
    except ValueError:
        return its_id


class Tickets:
    """Signed leave to read the events of one thing of a kind in `TICKETED`, or `HUB`; `now` in epoch
    seconds."""

    def __init__(self, secret: str, now: Callable[[], float] = time.time) -> None:
        self._secret = secret.encode()
        self._now = now

    def issue(
        self, kind: str, its_id: str, user_id: str, scopes: Collection[str] = frozenset()
    ) -> str:
        """`scopes`: what may be read of events that are of many scopes."""
        until = int(self._now()) + TICKET_SECONDS
        grant = encode([user_id, sorted(scopes)])
        name = base64.urlsafe_b64encode(grant).decode().rstrip("=")
        return f"{until}.{name}.{self._sign(kind, its_id, until, name)}"

    def redeem(self, ticket: str, path: str) -> Caller:
        """Raises `Unauthorized` unless the ticket is for the events at `path`."""
        events = _EVENTS.fullmatch(path)
        until, _, rest = ticket.partition(".")
        name, _, signature = rest.partition(".")
        if events is None or not until.isascii() or not until.isdigit() or len(until) > 12:
            raise Unauthorized("The ticket is not valid here.", headers=CHALLENGE)
        kind, its_id = events[1] or HUB, _canonical(events[2] or HUB)
        meant = self._sign(kind, its_id, int(until), name)
        if not hmac.compare_digest(meant.encode(), signature.encode("utf-8", "replace")):
            raise Unauthorized("The ticket is not valid here.", headers=CHALLENGE)
        if int(until) < self._now():
            raise Unauthorized("The ticket has expired.", headers=CHALLENGE)
        try:
            user, scopes = json.loads(base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)))
        except (ValueError, TypeError):  # of an older release, which named the user alone
            raise Unauthorized("The ticket is not valid here.", headers=CHALLENGE) from None
        return Caller(user, frozenset(scopes), only=f"{TICKETED.get(kind, '')}{its_id}")

    def _sign(self, kind: str, its_id: str, until: int, name: str) -> str:
        text = f"{kind}/{its_id}:{until}:{name}".encode()
        return hmac.new(self._secret, text, hashlib.sha256).hexdigest()
