"""Requests to one address of a model server.

The SDK makes the first one: address, credentials and headers are its own. What is the same in all of
them is made once, since making it costs more than everything else in a call: further ones repeat the
first with another body and their own ids. Errors are the SDK's either way.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from contextlib import aclosing, suppress
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI

from app.adapters.openai.reading import whole_body
from app.adapters.openai.requests import REQUEST_ID
from app.ports.call import CallMeta


class Requests:
    """`client` must have `max_retries=0`. Its transport may offer to send a request `again`."""

    def __init__(self, client: AsyncOpenAI, path: str) -> None:
        self._client = client
        self._path = path
        self._again: Any = None
        self._request = httpx2.Request("POST", str(client.base_url))  # what errors refer to

    async def post(self, body: bytes, meta: CallMeta, without: Collection[str]) -> httpx2.Response:
        """The answer as it begins; `without`: parts that the server refuses. Raises what the SDK raises.

        Not the typed `create`: that one walks through all of the request, schema included, twice as
        long as the rest of the call takes.
        """
        ids = _ids(meta, without)
        if self._again is not None:
            return await self._repeated(ids, body)
        response = await self._client.post(
            self._path,
            cast_to=httpx2.Response,
            content=body,
            options={
                "headers": {
                    **{name: value for name, value in ids.items() if value is not None},
                    "Accept-Encoding": "identity",
                    # As the SDK's `with_streaming_response` does it: the answer comes unread.
                    "X-Stainless-Raw-Response": "stream",
                },
                "idempotency_key": "-",  # not sent; the SDK would draw one each time
            },
        )
        self._again = response.extensions.get("again")
        return response

    async def _repeated(self, ids: dict[str, str | None], body: bytes) -> httpx2.Response:
        headers = {name.encode(): value and value.encode() for name, value in ids.items()}
        try:
            response: httpx2.Response = await self._again(headers, body)
            response.request = self._request
            if response.is_success:
                return response
            async with aclosing(response):
                refused = await whole_body(response)
        except httpx2.TimeoutException as error:
            raise openai.APITimeoutError(self._request) from error
        except httpx2.HTTPError as error:
            raise openai.APIConnectionError(request=self._request) from error
        raise openai.APIStatusError(
            f"Error code: {response.status_code}", response=response, body=_decoded(refused)
        )


def _ids(meta: CallMeta, without: Collection[str]) -> dict[str, str | None]:
    """The headers that differ from call to call; None: not sent."""
    request_id = None if REQUEST_ID in without else meta.request_id
    return {"X-Request-Id": request_id, "traceparent": meta.traceparent}


def _decoded(body: bytes) -> Any:
    text = body.decode(errors="replace").strip()
    with suppress(ValueError):
        return json.loads(text)
    return text
