"""The tools of an assistant."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from pydantic import TypeAdapter

from app.assistants.schemas import (
    ANSWER,
    CHARACTER,
    CHARACTERS,
    ROLL,
    TURN,
    CharacterRef,
    CreateCharacterIn,
    Nothing,
    PlayTurnIn,
    RollIn,
    TurnRef,
    TurnShown,
    as_json,
    turn_shown,
)
from app.characters.service import CharacterService
from app.core.access import Caller
from app.core.dice import roll
from app.ports.call import CallMeta
from app.ports.history import TurnJournal
from app.ports.store import TurnRequest
from app.turns.open_turn import OpenTurn
from app.turns.questions import TurnQuestions
from app.turns.routes import head_of
from app.turns.schemas import QuestionAnswer, QuestionIn
from app.turns.service import TurnService

ENDPOINT: Final = "/mcp"


class Asked(NamedTuple):
    """The caller of a tool and its request. `plain`: a turn for it, without a character and words."""

    caller: Caller
    meta: CallMeta
    plain: TurnRequest


class Found(NamedTuple):
    """A result that is there at once. `text`: for the model; None: the data as JSON."""

    data: Mapping[str, Any]
    text: str | None = None


Run = Callable[[Asked, Any], Awaitable[OpenTurn | Found]]


@dataclass(frozen=True, slots=True)
class Tool:
    """`arguments` and `answer`: the types of what goes in and of the structured result. `run` gives a turn
    where its narrative is what was asked for. `reads_only`: nothing is changed by it."""

    name: str
    title: str
    about: str
    arguments: Any
    answer: TypeAdapter[Any]
    run: Run
    reads_only: bool = True
    idempotent: bool = True

    @property
    def plays(self) -> bool:
        """Whether `run` gives a turn."""
        return self.answer is TURN and not self.reads_only


class Tools:
    """By name, in the order in which they are listed."""

    def __init__(
        self,
        turns: TurnService,
        characters: CharacterService,
        questions: TurnQuestions,
        journal: TurnJournal,
    ) -> None:
        self._questions = questions
        self._turns = turns
        self._characters = characters
        self._journal = journal
        tools = (*self._playing(), *self._looking(), *self._aside())
        self.all: Final = {tool.name: tool for tool in tools}

    def _playing(self) -> tuple[Tool, ...]:
        return (
            Tool(
                "create_character",
                "Create a character",
                "Makes a character of the player's and tells how its story begins. A character that "
                "has no opening yet, since its first one failed, gets it by the same call.",
                CreateCharacterIn,
                TURN,
                self._create,
                reads_only=False,
            ),
            Tool(
                "play_turn",
                "Play a turn",
                "Plays one action of a character: the dungeon master tells what happens, and what "
                "it changes (quest, combat, places, the story itself) is written down exactly once. "
                "It takes some seconds up to minutes. A character plays one turn at a time: the same "
                "action while its turn runs joins that turn. After an answer that was lost, look at "
                "`active_turn` of get_character, or call again with the same idempotency_key.",
                PlayTurnIn,
                TURN,
                self._play,
                reads_only=False,
                idempotent=False,
            ),
        )

    def _looking(self) -> tuple[Tool, ...]:
        return (
            Tool(
                "get_turn",
                "Look at a turn",
                "A turn as it stands, with its narrative so far.",
                TurnRef,
                TURN,
                self._turn,
            ),
            Tool(
                "get_character",
                "Look at a character",
                "A character as its next turn will see it: status, place, inventory, quest, combat, "
                "the story so far, and the turn that runs.",
                CharacterRef,
                CHARACTER,
                self._character,
            ),
            Tool(
                "list_characters",
                "List the player's characters",
                "The most recently played first, with their ids.",
                Nothing,
                CHARACTERS,
                self._all_characters,
            ),
        )

    def _aside(self) -> tuple[Tool, ...]:
        return (
            Tool(
                "ask",
                "Ask about the story",
                "Answers a question about a character's story, out of character, from what was told. It "
                "is no turn: nothing happens in the story, and nothing of it is written down.",
                QuestionIn,
                ANSWER,
                self._ask,
                idempotent=False,
            ),
            Tool(
                "roll",
                "Roll dice",
                "Rolls dice that nobody could have foreseen and anybody can check, and writes nothing "
                "down: say the total in a user_action where the story is to know of it.",
                RollIn,
                ROLL,
                self._roll,
                idempotent=False,
            ),
        )

    async def _create(self, asked: Asked, given: CreateCharacterIn) -> OpenTurn:
        wish, key = given.adventure_prompt or "", given.idempotency_key
        opening = replace(asked.plain, user_action=wish, idempotency_key=key, kind="opening")
        turn = await self._characters.create(
            name=given.name, race=given.race, class_name=given.class_name, opening=opening
        )
        await head_of(turn)
        return turn

    async def _play(self, asked: Asked, given: PlayTurnIn) -> OpenTurn:
        request = replace(
            asked.plain,
            character_id=given.character_id,
            user_action=given.user_action,
            dry_run=bool(given.dry_run),
            idempotency_key=given.idempotency_key,
        )
        turn = await self._running_alike(asked.caller, request) or await self._turns.start(request)
        await head_of(turn)
        return turn

    async def _running_alike(self, caller: Caller, request: TurnRequest) -> OpenTurn | None:
        """The turn that a caller without a key repeats, since its answer is slow to come."""
        if request.idempotency_key is not None:
            return None
        open_turns = await self._journal.open_turns(caller.user_id, request.character_id)
        for turn_id, _ in open_turns:
            stored = await self._journal.turn(turn_id)
            asked = {} if stored is None else stored.request
            same = asked.get("user_action"), bool(asked.get("dry_run")), asked.get("kind", "turn")
            if same == (request.user_action, request.dry_run, request.kind):
                return await self._turns.open(turn_id, caller)
        return None

    async def _turn(self, asked: Asked, given: TurnRef) -> Found:
        shown = turn_shown(await self._turns.describe(given.turn_id, asked.caller))
        return Found(shown, turn_text(shown))

    async def _character(self, asked: Asked, given: CharacterRef) -> Found:
        user_id = asked.caller.user_id
        return Found(await self._characters.one(user_id, given.character_id, asked.meta))

    async def _all_characters(self, asked: Asked, _: Nothing) -> Found:
        return Found(await self._characters.listed(asked.caller.user_id, asked.meta))

    async def _ask(self, asked: Asked, given: QuestionIn) -> Found:
        answer = await self._questions.ask(
            asked.caller, given.character_id, given.question, asked.meta
        )
        return Found(QuestionAnswer(answer=answer), answer)

    async def _roll(self, _: Asked, given: RollIn) -> Found:
        rolled = roll(given.dice, secrets.token_hex(16))
        values = ", ".join(str(die.value) for die in rolled.dice if die.kept)
        return Found(rolled.shown(), f"{rolled.notation}: {rolled.total} ({values})")


def turn_text(turn: TurnShown) -> str:
    """A turn for somebody who reads: what happened, and what of it was written down."""
    narrative = turn["narrative"] or ""
    if turn["status"] == "complete":
        return f"{narrative}\n\n{_receipts(turn)}"
    error = turn["error"]
    state = f"The turn {turn['turn_id']} is {turn['status']}"
    why = f": {error['message']}" if error else "."
    return f"{state}{why}\n\n{narrative}" if narrative else f"{state}{why}"


def _receipts(turn: TurnShown) -> str:
    summary = as_json(turn, TURN)["subsystem_summary"] or {}
    if summary.get("dry_run"):
        return "[dry run: nothing was written down]"
    rows = []
    for name in ("quest", "combat", "poi"):
        change = summary.get(f"{name}_change") or {}
        if change.get("action", "none") != "none":
            rows.append(_receipt(f"{name} {change['action']}", change.get("error")))
    failure = summary.get("narrative_error")
    saved = "story saved" if summary.get("narrative_persisted") else "story not saved"
    return f"[{'; '.join([*rows, _receipt(saved, failure)])}]"


def _receipt(what: str, error: str | None) -> str:
    return f"{what} ({error})" if error else what
