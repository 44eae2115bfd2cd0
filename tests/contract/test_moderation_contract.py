"""What every `Moderator` does. An adapter joins by one line in `ADAPTERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import httpx2
import pytest
from app.adapters.moderation.openai import OpenAIModeration
from app.adapters.moderation.words import WordList
from app.ports.moderation import Moderator
from openai import AsyncOpenAI

from fakes.server import Connection, FakeServer, Request, to_json
from loops import in_loop

FORBIDDEN = "blood oath"


class ModerationServer(FakeServer):
    """Flags every text with the forbidden phrase."""

    async def respond(self, request: Request, connection: Connection) -> None:
        flagged = FORBIDDEN in request.json()["input"].lower()
        results = [{"flagged": flagged, "categories": {}, "category_scores": {}}]
        body = {"id": "modr-1", "model": "m", "results": results}
        connection.reply(200, to_json(body))


def words(_: ExitStack) -> Moderator:
    return WordList([FORBIDDEN])


def endpoint(stack: ExitStack) -> Moderator:
    server = stack.enter_context(ModerationServer())
    http = httpx2.AsyncClient(trust_env=False)
    client = AsyncOpenAI(api_key="sk-test", base_url=server.url, max_retries=0, http_client=http)
    return OpenAIModeration(client, "m")


ADAPTERS: dict[str, Callable[[ExitStack], Moderator]] = {
    "words": words,
    "openai": endpoint,
}


@pytest.fixture(params=list(ADAPTERS))
def moderator(request: pytest.FixtureRequest) -> Iterator[Moderator]:
    with ExitStack() as stack:
        yield ADAPTERS[request.param](stack)


async def verdicts(moderator: Moderator, *texts: str) -> list[bool]:
    try:
        return [await moderator.allows(text) for text in texts]
    finally:
        await moderator.aclose()


@in_loop
async def test_harmless_text_is_allowed_and_forbidden_text_is_not(moderator: Moderator) -> None:
    texts = ["The bell rings. é \U0001f525", f"They swear a {FORBIDDEN}.", "Blood Oath!", "blood"]
    assert await verdicts(moderator, *texts) == [True, False, False, True]


@in_loop
async def test_a_verdict_says_nothing_about_the_next_text(moderator: Moderator) -> None:
    assert await verdicts(moderator, FORBIDDEN, "peace", FORBIDDEN) == [False, True, False]


def test_a_phrase_has_a_length_in_characters(moderator: Moderator) -> None:
    assert moderator.longest_phrase == 0 or moderator.longest_phrase >= len(FORBIDDEN)
