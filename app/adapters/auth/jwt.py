"""Bearer tokens: HS256 with a shared secret, or RS256 and ES256 with keys from a JWKS address.

The two never mix: a token signed with a public key as if it were a shared secret, or with no
algorithm, is refused by the list of algorithms before any key is looked at.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import httpx
import jwt
import structlog

from app.core.access import Caller
from app.errors import Overloaded, Unauthorized
from app.tasks import cancelled

log = structlog.get_logger(__name__)

MAX_TOKEN = 8_192
MAX_SUBJECT = 128
ASYMMETRIC = ("RS256", "ES256")


class KeySource(Protocol):
    algorithms: Sequence[str]

    async def key(self, key_id: str | None) -> Any:
        """Raises `Unauthorized` for a key that is not known."""
        ...

    async def aclose(self) -> None: ...


class SharedSecret:
    algorithms: Sequence[str] = ("HS256",)

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def key(self, key_id: str | None) -> Any:
        return self._secret

    async def aclose(self) -> None:
        return


class JWKS:
    """Keys by id, kept for `lifetime` seconds; an unknown id fetches anew, at most once per `pause`."""

    algorithms: Sequence[str] = ASYMMETRIC

    def __init__(
        self,
        url: str,
        client: httpx.AsyncClient,
        *,
        lifetime: float = 600,
        pause: float = 10,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client = client
        self._lifetime = lifetime
        self._pause = pause
        self._now = now
        self._keys: dict[str | None, Any] = {}
        self._fetched = self._tried = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, key_id: str | None) -> Any:
        """A known key is never waited for: it is looked after in the background."""
        stale = self._now() - self._fetched >= self._lifetime
        if (stale or key_id not in self._keys) and self._now() - self._tried >= self._pause:
            self._tried = self._now()
            self._fetching = asyncio.create_task(self._fetch())
        if key_id not in self._keys and self._fetching is not None:
            await asyncio.shield(self._fetching)  # others wait for the same answer
        if not self._keys:
            raise Overloaded("The keys that tokens are checked with cannot be read right now.")
        if key_id not in self._keys:
            raise Unauthorized("The token is not valid.", headers=challenge("invalid_token"))
        return self._keys[key_id]

    async def _fetch(self) -> None:
        """Old keys stay when new ones cannot be had."""
        try:
            response = await self._client.get(self._url)
            response.raise_for_status()
            self._keys = _keys_in(response.json())
        except (httpx.HTTPError, ValueError, TypeError, RecursionError) as error:
            log.warning("jwks_unavailable", kind=type(error).__name__)
            return
        self._fetched = self._now()

    async def aclose(self) -> None:
        if self._fetching is not None:
            await cancelled([self._fetching])
        await self._client.aclose()


def _keys_in(document: Any) -> dict[str | None, Any]:
    """Raises `ValueError` or `TypeError` when there is none to be had."""
    if not isinstance(document, dict) or not isinstance(document.get("keys"), list):
        raise TypeError
    keys = dict(named for row in document["keys"] if (named := _key_in(row)) is not None)
    if not keys:
        raise ValueError
    if len(keys) == 1:  # a token need not name the only key there is
        keys[None] = next(iter(keys.values()))
    return keys


def _key_in(row: Any) -> tuple[str | None, Any] | None:
    """None for a key of no use here; the others are none the worse for it."""
    try:
        key = jwt.PyJWK.from_dict(row)
    except (jwt.PyJWTError, ValueError, TypeError, AttributeError, KeyError, NotImplementedError):
        return None
    signs = key.key_type in ("RSA", "EC") and key.public_key_use in (None, "sig")
    named = key.key_id is None or isinstance(key.key_id, str)
    return (key.key_id, key.key) if signs and named else None


@dataclass(frozen=True, slots=True)
class JWTAuthenticator:
    """Issuer and audience are checked where they are set; `leeway` in seconds for clock skew."""

    keys: KeySource
    issuer: str | None = None
    audience: str | None = None
    leeway: float = 30

    async def authenticate(self, token: str) -> Caller:
        """Raises `Unauthorized` without saying more than that, or `Overloaded`."""
        try:
            claims = await self._claims(token)
        except jwt.ExpiredSignatureError:
            raise _refused("The token has expired.") from None
        except (jwt.PyJWTError, ValueError, TypeError):
            raise _refused("The token is not valid.") from None
        subject, scope = claims["sub"], claims.get("scope", "")
        if not _is_user_id(subject) or not isinstance(scope, str):
            raise _refused("The token is not valid.")
        return Caller(subject, frozenset(scope.split()))

    async def _claims(self, token: str) -> dict[str, Any]:
        if len(token) > MAX_TOKEN or not token.isascii():
            raise ValueError
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in self.keys.algorithms:
            raise ValueError
        return jwt.decode(
            token,
            await self.keys.key(header.get("kid")),
            algorithms=list(self.keys.algorithms),
            issuer=self.issuer,
            audience=self.audience,
            leeway=self.leeway,
            options={"require": ["exp", "sub"], "verify_aud": self.audience is not None},
        )

    async def aclose(self) -> None:
        await self.keys.aclose()


def _refused(message: str) -> Unauthorized:
    return Unauthorized(message, headers=challenge("invalid_token"))


def challenge(error: str | None = None) -> dict[str, str]:
    scheme = 'Bearer realm="dungeon-master"' + (f', error="{error}"' if error else "")
    return {"WWW-Authenticate": scheme}


def _is_user_id(subject: object) -> bool:
    return (
        isinstance(subject, str)
        and 0 < len(subject) <= MAX_SUBJECT
        and subject.isascii()
        and subject.isprintable()
        and subject == subject.strip()
    )
