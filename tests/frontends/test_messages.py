"""The messages of a chat: read from the end, as far as they count."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgspec
import pytest
from app.errors import NoNewAction, ValidationError
from app.frontends.ag_ui.run import read_run
from app.frontends.ai_sdk.chat import read_action
from app.frontends.messages import TAIL, ChatMessage, digest, newest_first, read_chat, said
from app.frontends.openai.action import COMPARED
from app.frontends.openai.completion import read_completion
from hypothesis import given
from hypothesis import strategies as st


class Chat(msgspec.Struct):
    messages: list[msgspec.Raw]


def chat(*messages: Any) -> list[msgspec.Raw]:
    return read_chat(json.dumps({"messages": messages}).encode(), Chat).messages


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "I knock."}, "I knock."),
        (
            {"content": [{"type": "text", "text": "I"}, {"type": "text", "text": "knock."}]},
            "I\nknock.",
        ),
        ({"content": [{"type": "image"}, {"type": "text", "text": "Look."}]}, "Look."),
        ({"parts": [{"type": "step-start"}, {"type": "text", "text": "I knock."}]}, "I knock."),
        ({"content": None, "parts": None}, ""),
        ({"content": [7, {"type": "text"}, {"type": "text", "text": 7}]}, ""),
        ({"content": {"type": "text", "text": "x"}}, ""),
        ({"content": 7}, ""),
        ({"content": True, "parts": {"type": "text"}}, ""),
        ({}, ""),
    ],
)
def test_the_text_of_a_message_is_that_of_its_text_parts(message: Any, text: str) -> None:
    (found,) = newest_first(chat(message))
    assert found.text == text


@pytest.mark.parametrize("text", ["", "  \n", "\u200b"])
def test_invisible_text_is_no_message(text: str) -> None:
    assert said(ChatMessage(content=text)) == ""
    assert said(ChatMessage(content=f" I knock. {text}")).startswith("I knock.")


def test_only_the_end_of_a_long_chat_is_looked_at() -> None:
    messages = chat("nobody looks", *({"id": str(number)} for number in range(TAIL)))
    names = [message.name for message in newest_first(messages)]
    assert names == [str(number) for number in reversed(range(TAIL))]
    with pytest.raises(ValidationError, match=r"messages\[0\]: Expected `object`, got `str`"):
        list(newest_first(messages[:2]))


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "body: the body is not valid JSON"),
        (b'{"messages": ' + b"[" * 100_000, "body: the body is not valid JSON"),
        (b"[]", "body: Expected `object`, got `array`"),
        (b"{}", "missing required field `messages`"),
        (b'{"messages": 7}', "messages: Expected `array`, got `int`"),
    ],
)
def test_a_body_that_is_none_is_refused_by_name(body: bytes, message: str) -> None:
    with pytest.raises(ValidationError) as refused:
        read_chat(body, Chat)
    assert message in refused.value.message


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
    max_leaves=6,
)
ROLES = st.sampled_from(["user", "assistant", "system", "tool"])
MESSAGE = st.fixed_dictionaries(
    {}, optional={"role": ROLES | JSON, "id": JSON, "content": JSON, "parts": JSON}
)
NAMES = ("id", "threadId", "runId", "protocolVersion", "forwardedProps", "stream", "metadata")
REQUEST = st.fixed_dictionaries(
    {"messages": st.lists(MESSAGE | JSON, max_size=3)},
    optional=dict.fromkeys((*NAMES, "stream_options", "dm_events"), JSON),
)


@given(REQUEST)
def test_any_request_is_read_or_refused(request: dict[str, Any]) -> None:
    body = json.dumps({"model": "dungeon-master/new", "id": "chat", **request}).encode()
    for read in (
        lambda: read_run(body, "character"),
        lambda: read_action(body, "character"),
        lambda: read_completion(body, {}, None).spoken(),
    ):
        with contextlib.suppress(ValidationError, NoNewAction):
            read()


def test_end_of_the_text_before_an_action_is_compared() -> None:
    before = {"role": "assistant", "content": "x" * COMPARED + "The end."}
    messages = [before, {"role": "user", "content": "I knock."}]
    body = json.dumps({"model": "dungeon-master/new", "messages": messages}).encode()
    found = read_completion(body, {}, None).asked.before or ""
    assert (len(found), found[-8:]) == (COMPARED, "The end.")


def test_a_byte_order_mark_is_ignored() -> None:
    assert read_chat(b'\xef\xbb\xbf{"messages": []}', Chat).messages == []


def test_a_digest_is_of_bounded_length_and_of_every_part() -> None:
    assert len(digest("x" * 100_000, None)) == 64
    assert len({digest("a", "b"), digest("ab"), digest("ab", None), digest("b", "a")}) == 4
