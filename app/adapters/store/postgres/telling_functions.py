"""Choices in PostgreSQL for one of several outcomes of a turn that awaits its commit."""

from __future__ import annotations

from typing import Final

from app.adapters.store.postgres import reservation_functions
from app.adapters.store.postgres.functions import revised

FUNCTIONS: Final[dict[str, str]] = {}

# A record is read as text, since JSON of PostgreSQL knows no NUL. A quotation mark within one of its texts
# comes behind a backslash: the first match is the field.
_TOLD: Final = """coalesce(substring(r.record FROM '"telling":(\\d+)')::integer, 1)"""
_AWAITS: Final = "WHEN r.phase IS DISTINCT FROM 'awaiting'"

FUNCTIONS["choose_5"] = revised(
    reservation_functions.FUNCTIONS["choose_4"],
    ("FUNCTION choose_4", "FUNCTION choose_5"),
    ("p_now double precision)", "p_now double precision, p_telling integer)"),
    (_AWAITS, f"{_AWAITS} OR p_telling <> {_TOLD}"),
)

MIGRATION: Final = "".join(FUNCTIONS.values())
