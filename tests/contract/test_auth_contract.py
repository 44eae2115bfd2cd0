"""What every `Authenticator` does. An adapter joins by one line in `ADAPTERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from app.adapters.auth.jwt import JWKS, JWTAuthenticator, SharedSecret
from app.core.access import Caller
from app.errors import Unauthorized
from app.ports.auth import Authenticator

from loops import in_loop
from passes import AUDIENCE, EC_KEY, ISSUER, RSA_KEY, SECRET, USER, KeyServer, jwk, seconds, token


@dataclass
class Provider:
    """An authenticator, and tokens as its provider signs them."""

    authenticator: Authenticator
    sign: Callable[..., str]


def shared_secret(_: ExitStack) -> Provider:
    return Provider(JWTAuthenticator(SharedSecret(SECRET), ISSUER, AUDIENCE), token)


def key_server(stack: ExitStack) -> Provider:
    server = stack.enter_context(KeyServer(jwk(RSA_KEY, "rsa"), jwk(EC_KEY, "ec")))
    keys = JWKS(server.address, httpx.AsyncClient(trust_env=False))

    def sign(key: Any = RSA_KEY, **changes: Any) -> str:
        if key is SECRET:
            return token(SECRET, **changes)
        return token(key, "RS256", {"kid": "rsa"}, **changes)

    return Provider(JWTAuthenticator(keys, ISSUER, AUDIENCE), sign)


ADAPTERS: dict[str, Callable[[ExitStack], Provider]] = {
    "shared secret": shared_secret,
    "key server": key_server,
}


@pytest.fixture(params=list(ADAPTERS))
def provider(request: pytest.FixtureRequest) -> Iterator[Provider]:
    with ExitStack() as stack:
        yield ADAPTERS[request.param](stack)


async def caller(provider: Provider, signed: str) -> Caller:
    try:
        return await provider.authenticator.authenticate(signed)
    finally:
        await provider.authenticator.aclose()


@in_loop
async def test_a_token_names_its_caller_and_scopes(provider: Provider) -> None:
    found = await caller(provider, provider.sign(scope="chat turns"))
    assert found == Caller(USER, frozenset({"chat", "turns"}))


@in_loop
async def test_a_token_need_not_have_scopes(provider: Provider) -> None:
    assert await caller(provider, provider.sign(scope=None)) == Caller(USER, frozenset())


BAD: dict[str, dict[str, Any]] = {
    "expired": {"exp": seconds(-60)},
    "not yet valid": {"nbf": seconds(600)},
    "without an expiry": {"exp": None},
    "of another issuer": {"iss": "https://other.example"},
    "for another audience": {"aud": "another-service"},
    "without a user": {"sub": None},
    "with an empty user": {"sub": ""},
    "with a user that is too long": {"sub": "u" * 129},
    "with a user that is not ASCII": {"sub": "Zoë"},
    "with scopes that are a list": {"scope": ["turns"]},
}


@pytest.mark.parametrize("changes", BAD.values(), ids=list(BAD))
@in_loop
async def test_a_bad_token_is_refused(provider: Provider, changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized):
        await caller(provider, provider.sign(**changes))


@pytest.mark.parametrize("garbage", ["", "x", "a.b.c", "é.é.é", "x" * 10_000])
@in_loop
async def test_malformed_token_is_refused(provider: Provider, garbage: str) -> None:
    with pytest.raises(Unauthorized):
        await caller(provider, garbage)


@in_loop
async def test_a_token_that_was_changed_is_refused(provider: Provider) -> None:
    head, payload, signature = provider.sign().split(".")
    other = provider.sign(sub="ben").split(".")[1]
    with pytest.raises(Unauthorized):
        await caller(provider, f"{head}.{other}.{signature}")
    with pytest.raises(Unauthorized):
        await caller(provider, f"{head}.{payload}.")
