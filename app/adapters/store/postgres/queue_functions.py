"""Queues in PostgreSQL in which each user has a share, see `app.core.limits.may_wait`."""

from __future__ import annotations

from typing import Final

from app.adapters.store.postgres import budget_functions
from app.adapters.store.postgres.functions import revised

FUNCTIONS: Final[dict[str, str]] = {}

_KNOWN: Final = budget_functions.FUNCTIONS
_LIMIT: Final = ("p_queue_limit integer,", "p_queue_limit integer, p_share integer,")

FUNCTIONS["admit_7"] = revised(
    _KNOWN["admit_5"],
    ("FUNCTION admit_5", "FUNCTION admit_7"),
    _LIMIT,
    ("    waiting integer;", "    waiting integer;\n    own integer;"),
    (
        "SELECT count(*) INTO waiting FROM turns WHERE exclusive_key = p_exclusive AND phase",
        "SELECT count(*), count(*) FILTER (WHERE user_id = p_user) INTO waiting, own FROM turns"
        "\n        WHERE exclusive_key = p_exclusive AND phase",
    ),
    (
        "    IF (holder IS NOT NULL OR waiting > 0) AND waiting >= p_queue_limit THEN\n"
        "        verdict := 'busy';",
        "    IF (holder IS NOT NULL OR waiting > 0) AND NOT (p_share > 0 AND own = 0)"
        "\n            AND (waiting >= p_queue_limit OR (p_share > 0 AND own >= p_share)) THEN\n"
        "        verdict := CASE WHEN p_share > 0 THEN 'over share' ELSE 'busy' END;",
    ),
)
FUNCTIONS["admit_8"] = revised(
    _KNOWN["admit_6"],
    ("FUNCTION admit_6", "FUNCTION admit_8"),
    _LIMIT,
    ("FROM admit_5(", "FROM admit_7("),
    ("p_queue_limit, p_budget,", "p_queue_limit, p_share, p_budget,"),
)

MIGRATION: Final = "".join(FUNCTIONS.values())
