"""The floor: the same turn with the mandated libraries, each used in its most direct way.

    python -m bench.floor http://127.0.0.1:PORT

Event objects of the openai SDK come in, an EventSourceResponse goes out, httpx talks to journey-log
and pydantic reads the outcome. No journal, limits, logs, metrics or resuming. Every figure of the
service is quoted as a ratio to this one's in the same run.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
import uvicorn
from openai import AsyncOpenAI
from openai.types.responses import ResponseTextConfigParam
from pydantic import BaseModel
from sse_starlette import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.routing import Route

INSTRUCTIONS = "You are the dungeon master. Answer with one JSON object and nothing else. " * 18


class Quest(BaseModel):
    action: Literal["none", "offer", "advance", "complete", "abandon"] = "none"
    quest_title: str | None = None
    quest_summary: str | None = None
    quest_details: dict[str, Any] | None = None


class Enemy(BaseModel):
    name: str | None = None
    description: str | None = None
    threat: str | None = None


class Combat(BaseModel):
    action: Literal["none", "start", "continue", "end"] = "none"
    enemies: list[Enemy] | None = None
    combat_notes: str | None = None


class Poi(BaseModel):
    action: Literal["none", "create", "reference"] = "none"
    name: str | None = None
    description: str | None = None
    reference_tags: list[str] | None = None


class Meta(BaseModel):
    player_mood: str | None = None
    pacing_hint: Literal["slow", "normal", "fast"] | None = None
    user_is_wandering: bool | None = None
    user_asked_for_guidance: bool | None = None


class Intents(BaseModel):
    quest_intent: Quest
    combat_intent: Combat
    poi_intent: Poi
    meta: Meta | None = None


class Outcome(BaseModel):
    narrative: str
    intents: Intents


class TurnIn(BaseModel):
    character_id: str
    user_action: str


FORMAT: ResponseTextConfigParam = {
    "format": {
        "type": "json_schema",
        "name": "outcome",
        "strict": True,
        "schema": Outcome.model_json_schema(),
    }
}


class Narrative:
    """The decoded narrative of a document that begins with it, as far as it is certain."""

    __slots__ = ("_held", "_place")

    def __init__(self) -> None:
        self._held = ""
        self._place: Literal["before", "inside", "behind"] = "before"

    def feed(self, text: str) -> str:
        if self._place == "inside":
            plain = not self._held and '"' not in text and "\\" not in text
            return text if plain else self._inside(self._held + text)
        if self._place == "before":
            self._held += text
            _, found, rest = self._held.partition('"narrative":"')
            if found:
                self._place = "inside"
                return self._inside(rest)
        return ""

    def _inside(self, text: str) -> str:
        at = 0
        while at < len(text) and text[at] != '"':
            size = 1
            if text[at] == "\\":
                size = 6 if text[at + 1 : at + 2] == "u" else 2
                if at + size > len(text):
                    break
            at += size
        ready, self._held = text[:at], text[at:]
        if self._held.startswith('"'):
            self._place = "behind"
        return str(json.loads(f'"{ready}"')) if "\\" in ready else ready


def prompt(context: dict[str, Any], action: str) -> str:
    player = context["player_state"]
    past = "\n".join(
        f"> {turn['player_action']}\n{turn['gm_response']}"
        for turn in context["narrative"]["recent_turns"]
    )
    return f"{player['status']} at {player['location']}\n{past}\n> {action}"


def writes(outcome: Outcome, action: str) -> list[tuple[str, str, dict[str, Any]]]:
    """What is to be written, in order: method, path below the character, body."""
    quest, combat, poi = (
        outcome.intents.quest_intent,
        outcome.intents.combat_intent,
        outcome.intents.poi_intent,
    )
    planned: list[tuple[str, str, dict[str, Any]]] = []
    if quest.action == "offer":
        body: dict[str, Any] = {
            "name": quest.quest_title,
            "description": quest.quest_summary,
            "requirements": [],
        }
        rewards: dict[str, Any] = {"items": [], "currency": {}, "experience": None}
        state = {"completion_state": "not_started", "updated_at": "2026-01-01T00:00:00Z"}
        planned.append(("PUT", "quest", {**body, "rewards": rewards, **state}))
    if combat.action == "start":
        enemies = [
            {"enemy_id": str(number), "name": enemy.name, "status": "Healthy"}
            for number, enemy in enumerate(combat.enemies or [])
        ]
        fight = {"combat_id": "c", "started_at": "2026-01-01T00:00:00Z", "turn": 1}
        planned.append(("PUT", "combat", {"combat_state": {**fight, "enemies": enemies}}))
    if poi.action == "create":
        place = {"name": poi.name, "description": poi.description, "tags": poi.reference_tags}
        planned.append(("POST", "pois", place))
    story = {"user_action": action, "ai_response": outcome.narrative}
    return [*planned, ("POST", "narrative", story)]


class Floor:
    def __init__(self, upstream: str) -> None:
        self._upstream = upstream

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        self._model = AsyncOpenAI(api_key="sk-none", base_url=f"{self._upstream}/v1")
        limits = httpx.Limits(max_connections=1_000, max_keepalive_connections=1_000)
        headers = {"X-User-Id": "local"}
        async with httpx.AsyncClient(
            base_url=self._upstream, limits=limits, headers=headers
        ) as self._journey_log:
            yield

    async def _call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        response = await self._journey_log.request(method, path, json=body)
        return response.raise_for_status()

    async def events(self, turn: TurnIn) -> AsyncIterator[dict[str, str]]:
        base = f"/characters/{turn.character_id}"
        context = (await self._call("GET", f"{base}/context?recent_n=20")).json()
        deltas, narrative = [], Narrative()
        async for event in await self._model.responses.create(
            model="bench-model",
            instructions=INSTRUCTIONS,
            input=prompt(context, turn.user_action),
            max_output_tokens=4_000,
            text=FORMAT,
            stream=True,
        ):
            if event.type == "response.output_text.delta":
                deltas.append(event.delta)
                if text := narrative.feed(event.delta):
                    yield {"event": "token", "data": json.dumps({"content": text})}
        outcome = Outcome.model_validate_json("".join(deltas))
        for method, path, body in writes(outcome, turn.user_action):
            await self._call(method, f"{base}/{path}", body)
        intents = outcome.intents.model_dump(mode="json")
        yield {"event": "complete", "data": json.dumps({"intents": intents})}

    async def post(self, request: Request) -> EventSourceResponse:
        turn = TurnIn.model_validate_json(await request.body())
        return EventSourceResponse(self.events(turn))

    def app(self) -> Starlette:
        routes = [Route("/turn/stream", self.post, methods=["POST"])]
        return Starlette(routes=routes, lifespan=self.lifespan)


if __name__ == "__main__":
    uvicorn.run(Floor(sys.argv[1]).app(), port=0, access_log=False, timeout_graceful_shutdown=1)
