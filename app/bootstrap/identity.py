"""The authentication that `AUTH_MODE` selects."""

from __future__ import annotations

import ssl

import httpx

from app.adapters.auth.jwt import JWKS, JWTAuthenticator, KeySource, SharedSecret
from app.settings import ServerSettings
from app.web.auth import Anonymous, Tickets, Tokens


def identity(settings: ServerSettings, tickets: Tickets, tls: ssl.SSLContext) -> Anonymous | Tokens:
    """The authentication by token with AUTH_MODE=jwt, else by name."""
    if settings.auth_mode == "off":
        return Anonymous()
    keys: KeySource
    if settings.jwt_secret is not None:
        keys = SharedSecret(settings.jwt_secret.get_secret_value())
    else:
        client = httpx.AsyncClient(timeout=5, verify=tls, follow_redirects=False)
        keys = JWKS(settings.jwt_jwks_url or "", client)
    authenticator = JWTAuthenticator(
        keys, settings.jwt_issuer, settings.jwt_audience, settings.jwt_leeway_seconds
    )
    return Tokens(authenticator, tickets)
