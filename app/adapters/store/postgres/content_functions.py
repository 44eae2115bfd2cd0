"""Content in PostgreSQL: its table, and how a turn's end adds to it."""

from __future__ import annotations

from functools import partial
from typing import Final

from app.adapters.store.postgres.functions import function

FUNCTIONS: Final[dict[str, str]] = {}
define = partial(function, FUNCTIONS)

TABLES: Final = """
CREATE TABLE contents (
    content_id text PRIMARY KEY,
    user_id    text NOT NULL,
    kind       text NOT NULL,
    parent_id  text,
    body       text NOT NULL,
    created_at double precision NOT NULL
);
CREATE INDEX contents_by_user ON contents (user_id, created_at);
CREATE INDEX contents_by_parent ON contents (parent_id, created_at) WHERE parent_id IS NOT NULL;
CREATE INDEX contents_by_time ON contents (created_at);
"""

# `p_content`: id, user, kind, parent and body.
define(
    "keep_content_1",
    "p_content text[], p_at double precision",
    "void",
    """
BEGIN
    INSERT INTO contents (content_id, user_id, kind, parent_id, body, created_at)
        VALUES (p_content[1], p_content[2], p_content[3], p_content[4], p_content[5], p_at)
        ON CONFLICT DO NOTHING;
END""",
)

define(
    "finish_5",
    "p_turn text, p_owner text, p_fence integer, p_act bytea, p_status text, p_result text,"
    " p_recording bytea, p_release boolean, p_firsts integer[], p_parts bytea[], p_progress text,"
    " p_place text, p_tokens bigint, p_event text[], p_conversation text[],"
    " p_changed double precision, p_now double precision, p_lines json, p_content text[],"
    " p_made double precision",
    "text",
    """
DECLARE verdict text;
BEGIN
    verdict := finish_4(p_turn, p_owner, p_fence, p_act, p_status, p_result, p_recording, p_release,
        p_firsts, p_parts, p_progress, p_place, p_tokens, p_event, p_conversation, p_changed, p_now,
        p_lines);
    IF verdict = 'stored' AND p_content IS NOT NULL THEN
        PERFORM keep_content_1(p_content, p_made);
    END IF;
    RETURN verdict;
END""",
)

MIGRATION: Final = TABLES + "".join(FUNCTIONS.values())
