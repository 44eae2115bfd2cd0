"""One service generates everything: with any schema or none, streamed and whole, over real adapters."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from app.core.messages import JsonSchema, Message, Prompt
from app.core.results import Usage
from app.generation.consumer import TextConsumer
from app.generation.fair_limiter import FairLimiter
from app.generation.request import Generation, GenerationLimits, GenerationRequest, Purpose
from app.generation.service import GenerationService
from app.ports.call import CallMeta
from app.ports.model import LanguageModel
from app.standins.storyteller import Storyteller
from openai_calls import APIS, Api, using

from fakes.model import FakeModel, Script

NPC = JsonSchema(
    "npc",
    {
        "type": "object",
        "properties": {"name": {"type": "string"}, "level": {"type": "integer"}},
        "required": ["name", "level"],
        "additionalProperties": False,
    },
)
ASKED = (Message("system", "Answer shortly."), Message("user", "Who keeps the ferry?"))


async def generate(
    model: LanguageModel, schema: JsonSchema | None, *, streaming: bool
) -> tuple[Generation, list[str]]:
    shown: list[str] = []
    service = GenerationService([model], FairLimiter(1, 1), GenerationLimits(streaming=streaming))
    request = GenerationRequest(Prompt(ASKED, schema), Purpose.CONTENT, "u", CallMeta("r"))
    return await service.generate(request, TextConsumer(shown.append)), shown


def form_of(api: Api, body: dict[str, Any]) -> Any:
    """The schema as it was sent; None where none was."""
    if api == "chat":
        return (body.get("response_format") or {}).get("json_schema")
    return (body.get("text") or {}).get("format")


@pytest.mark.parametrize("api", APIS)
@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("schema", [NPC, None], ids=["another schema", "no schema"])
def test_any_schema_and_none_are_generated_by_the_real_adapter(
    model: FakeModel, api: Api, schema: JsonSchema | None, streaming: bool
) -> None:
    text = json.dumps({"name": "Odo", "level": 3}) if schema else "Odo keeps it."
    model.then(Script(pieces=[text[:5], text[5:]]))
    work: Callable[[Any], Awaitable[Any]] = lambda real: generate(real, schema, streaming=streaming)  # noqa: E731
    generation, shown = using(model, api, work)
    assert generation.text == "".join(shown) == text
    assert bool(model.calls[0]["stream"]) is streaming
    form = form_of(api, model.calls[0])
    assert (form and form["name"], form and form["schema"]) == (
        (schema.name, schema.schema) if schema else (None, None)
    )


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("schema", [NPC, None], ids=["another schema", "no schema"])
def test_the_offline_storyteller_answers_the_same_requests(
    schema: JsonSchema | None, streaming: bool
) -> None:
    model = Storyteller(0, "seed")
    generation, shown = asyncio.run(generate(model, schema, streaming=streaming))
    assert generation.text == "".join(shown)
    assert generation.usage.model == "offline-storyteller"
    if schema is not None:
        assert json.loads(generation.text).keys() == {"name", "level"}


def test_a_server_that_hangs_up_behind_an_empty_stream_is_asked_again_at_once(
    model: FakeModel,
) -> None:
    """As llama.cpp's Python server does where a streamed prompt is longer than its context."""
    model.then(Script(raw_stream=b""), Script(drop_after=0), Script(pieces=["Odo"]))

    async def work(real: Any) -> Generation:
        limits = GenerationLimits(max_retries=0)
        service = GenerationService([real], FairLimiter(1, 1), limits)
        return await service.generate(
            GenerationRequest(Prompt(ASKED), Purpose.CHAT, "u", CallMeta("r"))
        )

    assert using(model, "chat", work).text == "Odo"
    assert [call["stream"] for call in model.calls] == [True, False, False]


def test_generation_costs_the_sum_of_its_calls(model: FakeModel) -> None:
    model.then(Script(drop_after=1, pieces=["Od", "o"]), Script(pieces=["Odo"]))

    async def work(real: Any) -> Any:
        service = GenerationService([real], FairLimiter(1, 1), GenerationLimits())
        request = GenerationRequest(Prompt(ASKED), Purpose.CHAT, "u", CallMeta("r"))

        class Quiet(TextConsumer):
            def show(self, content: str, position: int, now: float) -> None:
                return  # nothing is visible, so that the answer can be generated anew

            def spend(self, usage: Usage) -> None:
                spent.append(usage.total_tokens)

        return await service.generate(request, Quiet())

    spent: list[int] = []
    generation = using(model, "chat", work)
    assert generation.text == "Odo"
    assert sum(spent) > generation.usage.total_tokens


def test_prompt_is_freed_when_its_answer_begins_and_written_again_for_another_call(
    model: FakeModel,
) -> None:
    model.then(Script(drop_after=1, pieces=["Od", "o"]), Script(pieces=["Odo"]))
    written: list[tuple[Message, ...]] = []

    def again() -> tuple[Message, ...]:
        written.append(ASKED)
        return ASKED

    class Quiet(TextConsumer):
        def show(self, content: str, position: int, now: float) -> None:
            return

    async def work(real: Any) -> Generation:
        service = GenerationService([real], FairLimiter(1, 1), GenerationLimits())
        return await service.generate(
            GenerationRequest(prompt, Purpose.CHAT, "u", CallMeta("r")), Quiet()
        )

    prompt = Prompt(ASKED, written_again=again)
    assert using(model, "chat", work).text == "Odo"
    first, second = model.calls
    assert first["messages"] == second["messages"]
    before = len(written)
    assert before
    assert prompt.messages == ASKED
    assert len(written) == before + 1
