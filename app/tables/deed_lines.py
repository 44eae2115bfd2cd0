"""Lines of deeds: what all members see of an action, and what the prompt of a turn has of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from app.core.dice import roll, seed_of
from app.core.table_prompt import Occurrence, Roll
from app.core.tables import DICE, ROUND, DeedKey, Line, MessageType, NewLine, Table
from app.ports.store import TurnRequest
from app.tables.history import OCCASION
from app.turns.admission import request_hash


def roll_words(roll: Roll, content: str) -> str:
    """A roll as its player reports it."""
    said = f" {content}" if content.strip() else ""
    return f"rolls {notation_of(roll.dice, roll.modifier)} ({roll.roll_type}): {roll.result}.{said}"


def notation_of(dice: str, modifier: int) -> str:
    """Dice with a modifier that was given beside them."""
    return f"{dice}{modifier:+d}" if modifier else dice


def made(
    table: Table, secret: str, index: int, action: str, occurrence: Occurrence
) -> tuple[str, Occurrence]:
    """The action in words and the occurrence, with the roll that the service has to make, if any: the one
    with that number. Raises `ValidationError`."""
    due = occurrence.roll
    if due is None or not due.due:
        return action, occurrence
    rolled = roll(due.dice, seed_of(secret, table.id, index))
    shown = _made(due.roll_type, {"index": index, **rolled.shown()})
    return roll_words(shown, action), occurrence.model_copy(update={"roll": shown})


def _made(roll_type: str, rolled: dict[str, Any]) -> Roll:
    return Roll(
        roll_type=roll_type,
        dice=rolled["notation"],
        result=rolled["total"],
        reported=False,
        rolled=rolled,
    )


def deed_line(
    user_id: str, action: str, occurrence: Occurrence, collected: int | None = None
) -> NewLine:
    """The line of a player's action, as all members see it. `collected`: the number of its round."""
    data: dict[str, Any] = {OCCASION: occurrence.occasion}
    roll = occurrence.roll
    kind: MessageType = "player" if roll is None else "system"
    if roll is not None and roll.rolled is not None:
        data[DICE] = {"roll_type": roll.roll_type, **roll.rolled}
    elif roll is not None:
        data["roll"] = roll.model_dump(exclude={"rolled"})
    if collected is not None:
        data[ROUND] = collected
    return NewLine(occurrence.player_name, action, kind, user_id, data=data)


def as_shown(request: TurnRequest, occurrence: Occurrence, line: Line) -> TurnRequest:
    """The request of a deed whose roll, if it has one, is that of the line."""
    rolled = (line.said.data or {}).get(DICE)
    if rolled is None:
        return request
    shown = dict(rolled)
    roll = _made(shown.pop("roll_type"), shown)
    about = occurrence.model_copy(update={"roll": roll}).model_dump_json()
    return replace(request, user_action=line.said.content, about=about)


def key_of(request: TurnRequest) -> DeedKey | None:
    """None: it came without a key."""
    key = request.idempotency_key
    return None if key is None else DeedKey(request.user_id, key, request_hash(request))
