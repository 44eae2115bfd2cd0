"""Tokens as an identity provider signs them, the provider's keys on a server, and forgeries."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from websockets.sync.client import ClientConnection
from websockets.typing import Subprotocol

from fakes.server import Connection, FakeServer, Request, opened, to_json
from serving import Reply, Served, dialled, refused

Json = dict[str, Any]
SECRET = "the-shared-secret-of-these-tests-0123456789"
ISSUER, AUDIENCE = "https://issuer.example", "dungeon-master"
USER = "mara"
RSA_KEY = rsa.generate_private_key(65537, 2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
WITH_SECRET = {
    "auth_mode": "jwt",
    "jwt_secret": SECRET,
    "jwt_issuer": ISSUER,
    "jwt_audience": AUDIENCE,
}
CHALLENGE = 'Bearer realm="dungeon-master"'
INVALID = f'{CHALLENGE}, error="invalid_token"'


def claims(**changes: Any) -> Json:
    """Of a token that may do everything. None leaves a claim out; a time is given relative to now."""
    usual = {
        "sub": USER,
        "scope": "turns chat content admin",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": seconds(86_400),  # some are made when tests are collected
    }
    said = {name: value for name, value in (usual | changes).items() if value is not None}
    return {name: _stamp(v) if isinstance(v, timedelta) else v for name, v in said.items()}


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


def _stamp(ahead: timedelta) -> int:
    return int(time.time() + ahead.total_seconds())


def token(
    key: Any = SECRET, algorithm: str = "HS256", header: Json | None = None, **changes: Any
) -> str:
    parts = base64url(to_json({"typ": "JWT", "alg": algorithm, **(header or {})}))
    parts += b"." + base64url(to_json(claims(**changes)))
    signer = jwt.get_algorithm_by_name(algorithm)
    return (parts + b"." + base64url(signer.sign(parts, signer.prepare_key(key)))).decode()


def by_hand(header: Json | bytes, payload: Json | bytes, secret: bytes = b"") -> str:
    """A token that no library would make: HMAC-SHA256 whatever its header says, or unsigned."""
    parts = b".".join(
        base64url(part if isinstance(part, bytes) else to_json(part)) for part in (header, payload)
    )
    signature = hmac.new(secret, parts, hashlib.sha256).digest() if secret else b""
    return (parts + b"." + base64url(signature)).decode()


def base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")


def public_pem() -> bytes:
    return RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def tampered(ticket: str) -> Iterator[str]:
    """Forgeries of a ticket."""
    until, name, signature = ticket.split(".")
    otto = base64url(b"otto").decode()
    yield f"{int(until) + 3600}.{name}.{signature}"
    yield f"{until}.{otto}.{signature}"
    yield f"{until}.{name}.{signature[:-1]}{'0' if signature[-1] != '0' else '1'}"
    yield f"{until}.{name}.{signature[:32]}"
    yield f"{until}.{name}."
    yield f"{until}.{name}"
    yield f"{until}..{signature}"
    yield f"{'9' * 5000}.{name}.{signature}"
    yield f"%D9%A1{until}.{name}.{signature}"
    yield f"{until}.{name}.%FF%00"
    yield f"-{until}.{name}.{signature}"
    yield "x"


def bearer(value: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {value}"}


def dial(service: Served, *protocols: str, query: str = "", **headers: str) -> ClientConnection:
    return dialled(
        f"ws://127.0.0.1:{service.port}/turn/ws{query}",
        subprotocols=[Subprotocol(name) for name in protocols] or None,
        additional_headers=headers,
    )


def turned_away(reply: Reply, challenge: str = INVALID, path: str = "") -> None:
    """401 with its challenge, and nothing about why beyond that."""
    problem = refused(reply, 401, "unauthorized", path)
    assert reply.header("www-authenticate") == challenge
    coded = {"code", "message", "details"} if path.startswith("/api/v2/") else set()
    assert problem.keys() == {"error"} or problem.keys() == {
        "type",
        "title",
        "status",
        "detail",
        "instance",
        "error",
        *coded,
    }


# -- keys -----------------------------------------------------------------------------------------


def jwk(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, kid: Any = None, **more: Any) -> Json:
    public: Any = key.public_key()
    algorithm = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else None
    shown = (algorithm or jwt.algorithms.ECAlgorithm).to_jwk(public, as_dict=True)
    named = {} if kid is None else {"kid": kid}
    found: Json = json.loads(json.dumps({**shown, **named, **more}))
    return found


class KeyServer(FakeServer):
    """Answers every GET with `document`; with `gate`, once it opens."""

    def __init__(self, *keys: Json) -> None:
        super().__init__()
        self.status = 200
        self.document: Any = {"keys": list(keys)}
        self.gate: threading.Event | None = None

    async def respond(self, request: Request, connection: Connection) -> None:
        if self.gate is not None:
            await opened(self.gate)
        body = self.document
        connection.reply(self.status, body if isinstance(body, bytes) else to_json(body))

    @property
    def fetches(self) -> int:
        return len(self.requests)

    @property
    def address(self) -> str:
        return f"{self.url}/keys"
