"""OpenAI's SDK for Python as a player; `tests/clients` has the other published clients."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI

from fakes.model import FakeModel, Script, outcome_text
from serving import Served

WORDS = " ".join(f"The {n}. door opens on a stair." for n in range(6))


@pytest.fixture
def client(service: Served) -> Iterator[OpenAI]:
    with OpenAI(api_key="any", base_url=f"{service.url}/v1", max_retries=0) as found:
        yield found


@pytest.fixture
def ask(client: OpenAI, character: str) -> Callable[..., Any]:
    """A stream for a conversation that begins and ends with the player."""

    def asked(*texts: str, **fields: Any) -> Any:
        roles = ("user", "assistant")
        messages: Any = [{"role": roles[k % 2], "content": text} for k, text in enumerate(texts)]
        model = f"dungeon-master/{character}"
        usual: dict[str, Any] = {"stream": True, **fields}
        return client.chat.completions.create(model=model, messages=messages, **usual)

    return asked


def read(stream: Any) -> str:
    return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)


def played(service: Served, character: str) -> list[Any]:
    found: list[Any] = service.call("GET", f"/characters/{character}/turns").json()["turns"]
    return found


def test_whole_turns_are_read(
    service: Served, model: FakeModel, character: str, ask: Callable[..., Any]
) -> None:
    model.then(Script(outcome_text(WORDS)))
    first = read(ask("I knock."))
    assert first == played(service, character)[0]["narrative"] == WORDS
    second = read(ask("I knock.", first, "I enter."))
    assert read(ask("I knock.", first, "I enter.")) == second
    assert len(played(service, character)) == 2


@pytest.mark.parametrize("kept", range(1, 40, 2))
def test_a_cut_stream_is_sent_again_and_is_the_same_turn(
    service: Served, model: FakeModel, character: str, ask: Callable[..., Any], kept: int
) -> None:
    gate = threading.Event()
    model.then(Script(outcome_text(WORDS), gate=gate, gate_after=6 + kept))
    stream = ask("I knock.")
    while not next(stream).choices[0].delta.content:
        pass
    stream.close()
    gate.set()
    assert read(ask("I knock.", extra_headers={"x-stainless-retry-count": "1"})) == WORDS
    assert len(played(service, character)) == 1


def test_refusals_are_the_sdks_own_errors(
    service: Served, model: FakeModel, character: str, client: OpenAI, ask: Callable[..., Any]
) -> None:
    gate = threading.Event()
    model.then(Script(gate=gate, gate_after=8))
    with service.live(character) as live:
        live.until("token")
        with pytest.raises(openai.ConflictError) as busy:
            ask("I knock.")
        assert (busy.value.code, busy.value.type) == ("turn_in_progress", "turn_in_progress")
        gate.set()
        live.rest()
    with pytest.raises(openai.UnprocessableEntityError, match="Only a streamed request"):
        ask("I knock.", stream=False)
    with pytest.raises(openai.NotFoundError, match="no such model"):
        client.chat.completions.create(model="gpt-5", messages=[], stream=True)
    whole = ask("I knock.", stream=False, metadata={"dm_turn": "true"})
    assert whole.choices[0].message.content == played(service, character)[0]["narrative"]


def test_an_error_and_a_cancelled_turn_are_errors_of_the_stream(
    service: Served, model: FakeModel, ask: Callable[..., Any]
) -> None:
    model.then(Script("no outcome at all"))
    model.then(Script("nor when it is asked again"))
    with pytest.raises(openai.APIError) as failed:
        read(ask("I knock."))
    assert failed.value.code == "llm_response_error"
    gate = threading.Event()
    model.then(Script(outcome_text(WORDS), gate=gate, gate_after=8))
    stream = ask("I enter.")
    turn_id = next(stream).id.removeprefix("chatcmpl-")
    assert service.cancel(turn_id).status == 202
    gate.set()
    with pytest.raises(openai.APIError) as cancelled:
        read(stream)
    assert cancelled.value.code == "turn_cancelled"


def test_characters_are_models(client: OpenAI, character: str) -> None:
    name = f"dungeon-master/{character}"
    assert name in [model.id for model in client.models.list()]
    assert client.models.retrieve(name).id == name
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-5")
