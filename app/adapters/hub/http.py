"""A hub that takes events by `POST`, signed as Standard Webhooks have it."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

import httpx
from standardwebhooks import Webhook

from app.ports.hub import HubMessage, HubRefused, HubUnavailable

ANSWER_SECONDS: Final = 10.0
MAX_WAIT: Final = 300.0
_LATER: Final = frozenset({401, 403, 404, 405, 408, 421, 425, 429})
"""What somebody will put right, or what is so for now; other answers of 4xx are about the event."""


class HttpHub:
    """`secret`: of Standard Webhooks, `whsec_` and base64; without one events are not signed. `now` gives
    epoch seconds."""

    def __init__(
        self, url: str, secret: str | None, now: Callable[[], float], tls: ssl.SSLContext
    ) -> None:
        parts = httpx.URL(url)
        path = parts.path.rstrip("/")
        self._url = parts.copy_with(path=path if path.endswith("/events") else f"{path}/events")
        self.name = f"{parts.scheme}://{parts.netloc.decode('ascii').rpartition('@')[2]}"
        self._webhook = None if secret is None else Webhook(secret)
        self._now = now
        self._client = httpx.AsyncClient(timeout=ANSWER_SECONDS, verify=tls, trust_env=False)

    async def publish(self, message: HubMessage) -> None:
        try:
            answer = await self._client.post(
                self._url, content=message.body, headers=self._headers(message)
            )
        except httpx.HTTPError as error:
            raise HubUnavailable(type(error).__name__) from error
        if answer.is_success:
            return
        reason = f"status {answer.status_code}"
        if answer.is_client_error and answer.status_code not in _LATER:
            raise HubRefused(reason)
        raise HubUnavailable(reason, _retry_after(answer))

    def _headers(self, message: HubMessage) -> dict[str, str]:
        now = datetime.fromtimestamp(self._now(), UTC)
        headers = {
            "Content-Type": "application/cloudevents+json; charset=utf-8",
            "webhook-id": message.id,
            "webhook-timestamp": str(int(now.timestamp())),
        }
        if self._webhook is not None:
            # The library signs the text of what it is given, and takes any time for one in UTC.
            headers["webhook-signature"] = self._webhook.sign(
                message.id, now, message.body.decode("ascii")
            )
        return headers

    async def aclose(self) -> None:
        await self._client.aclose()


def _retry_after(answer: httpx.Response) -> float | None:
    """Only in seconds: a hub's clock may be any."""
    text = answer.headers.get("retry-after", "")
    return min(float(text), MAX_WAIT) if text.isascii() and text.isdigit() else None
