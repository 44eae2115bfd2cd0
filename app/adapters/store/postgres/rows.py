"""Between rows of PostgreSQL and what the ports speak of."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any, Final, cast

from app.adapters.store.packing import pack, recording_of, unpack
from app.core.context import CharacterProgress
from app.core.encoding import dump
from app.core.events import Entry
from app.core.limits import check_budget, check_table_budget
from app.core.money import Amount, Spent
from app.core.record import CommitRecord
from app.errors import IdempotencyKeyReused, StoreUnavailable
from app.ports.store import (
    Admitted,
    Attached,
    Busy,
    Claim,
    DeliveryProgress,
    Held,
    Orphan,
    OrphanPhase,
    Queued,
    StoredTurn,
    TurnRequest,
    Verdict,
    Writing,
)

VERDICTS: Final[dict[str, Verdict | None]] = {
    "stored": Verdict.STORED,
    "cancelled": Verdict.CANCELLED,
    "lost": Verdict.LOST,
    "moved": Verdict.LOST,
    "conversation changed": None,
}
_REQUEST_FIELDS: Final = tuple(field.name for field in fields(TurnRequest))


def storable(text: str) -> str:
    """Text as a column can hold it, where NUL and halves of surrogate pairs are not allowed."""
    try:
        text.encode()
    except UnicodeEncodeError:
        plain = False
    else:
        plain = "\0" not in text and not text.startswith("\\")
    return text if plain else "\\" + text.encode("unicode_escape").decode("ascii")


def original(text: str) -> str:
    """The text that `storable` was given."""
    if not text.startswith("\\"):
        return text
    return text[1:].encode("ascii").decode("unicode_escape")


def texts(row: Any) -> tuple[Any, ...]:
    """A row with its texts as they were given."""
    return tuple(original(value) if isinstance(value, str) else value for value in row)


def parts(entries: Sequence[Entry]) -> tuple[list[int], list[bytes]]:
    """First numbers and data of the entries' parts."""
    packed = list(pack(entries))
    return [first for first, _ in packed], [data for _, data in packed]


def act_of(name: str, entries: Sequence[Entry]) -> bytes:
    """A key of 12 bytes that is the same when a transaction is sent again."""
    last = entries[-1] if entries else (0, "", b"")
    text = f"{name}:{entries[0][0] if entries else 0}:{last[0]}:".encode()
    return hashlib.blake2b(text + last[2], digest_size=12).digest()


def request_text(request: TurnRequest) -> str:
    return dump({name: getattr(request, name) for name in _REQUEST_FIELDS})


def request_of(text: str) -> TurnRequest:
    """The stored request; fields of another release that this one does not know are left out."""
    stored = json.loads(text)
    return TurnRequest(**{name: stored[name] for name in stored if name in _REQUEST_FIELDS})


def entries_of(rows: Sequence[Any]) -> list[Entry]:
    """The entries of rows with `first` and `data`."""
    return [entry for row in rows for entry in unpack(row["first"], row["data"])]


def stored_turn(row: Mapping[str, Any], owner: str) -> StoredTurn:
    """`owner`: this process."""
    recording = row["recording"]
    return StoredTurn(
        turn_id=row["turn_id"],
        user_id=original(row["user_id"]),
        character_id=original(row["character_id"]),
        status=row["status"],
        created_at=row["created_at"],
        request=json.loads(row["request"]),
        finished_at=row["finished_at"],
        result=None if row["result"] is None else json.loads(row["result"]),
        recording=recording_of(recording),
        elsewhere=row["finished_at"] is None and row["owner"] != owner,
    )


def orphan_of(row: Mapping[str, Any], ahead: float, entries: list[Entry]) -> Orphan:
    """`ahead`: seconds by which our clock is ahead of the database's."""
    return Orphan(
        claim=Claim(row["turn_id"], row["fence"]),
        request=request_of(row["request"]),
        phase=_phase(row, ahead),
        created_at=row["created_at"],
        entries=entries,
    )


def _phase(row: Mapping[str, Any], ahead: float) -> OrphanPhase:
    if row["phase"] in ("awaiting", "retelling", "committing"):
        return Held(row["phase"], CommitRecord.model_validate_json(row["record"]))
    if row["phase"] != "writing":
        return cast(OrphanPhase, row["phase"])
    sent, first = (
        0.0 if row[name] is None else row[name] + ahead for name in ("sent_at", "first_sent_at")
    )
    delivery = DeliveryProgress(row["step"], row["intent"], sent, first)
    return Writing(CommitRecord.model_validate_json(row["record"]), delivery)


def admission_of(
    claim: Claim, row: Any, budget: Amount, request: TurnRequest
) -> Admitted | Queued | Attached | Busy:
    """The verdict of a row of `admit_10`. Raises `IdempotencyKeyReused` or `TokenBudgetExceeded`."""
    match row["verdict"]:
        case "admitted":
            durable: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            durable.set_result(None)
            return Admitted(claim, progress_of(row["standing"]), durable)
        case "queued":
            return Queued(claim, row["place"])
        case "attached":
            return Attached(row["other"])
        case "busy" | "over share" as verdict:
            return Busy(row["other"], over_share=verdict == "over share")
        case "reused":
            raise IdempotencyKeyReused(row["other"])
        case _:
            check_budgets(row, budget, request.asks, request.shared)
            raise StoreUnavailable  # the function refused what is within the budget


def check_budgets(row: Any, budget: Amount, asked: Amount, shared: Amount) -> None:
    """Raises `TokenBudgetExceeded` where the verdict of the row says so."""
    if row["verdict"] == "over budget":
        check_budget(budget, spent_of(row), asked, row["at"])
    elif row["verdict"] == "table over budget":
        check_table_budget(shared, spent_of(row))


def both(amount: Amount) -> list[int]:
    """The amount as functions of the database take it."""
    return [amount.tokens, amount.micros]


def spent_of(row: Any) -> Spent:
    """The spending of a row that has used and reserved amounts."""
    return Spent(Amount(*row["used"]), Amount(*row["set_aside"]))


def progress_of(text: str | None) -> CharacterProgress:
    """An empty record for an unknown character."""
    return CharacterProgress() if text is None else CharacterProgress.model_validate_json(text)
