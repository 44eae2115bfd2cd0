"""Marks between which models reason, and the tokens of chat templates that leak into answers.

A mark is a tag in any of several brackets: `<think>`, `[THINK]`, `◁think▷`, `<|end_of_thought|>`, with
a namespace or attributes or without. What it means is decided by its name alone, since models invent
new ones faster than anybody can list them.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final, NamedTuple

OPENING_BRACKETS: Final = "<[◁【⟨〈«《＜"
_CLOSING_BRACKETS: Final = r">\]▷】⟩〉»》＞"
MAX_MARK: Final = 200
"""Characters of the longest mark, attributes included."""

_NAME = r"[^\W\d][\w.:▁-]{0,60}"
# The channel form of Harmony is one mark of several tokens.
_CHANNEL_BEGIN: Final = "<|channel"
_CHANNEL = (
    r"<\|channel\|?>\s*(?P<channel>\w+)"
    r"(?:[^<>{}\n]{0,80}(?:<\|constrain\|>\s*\w+\s*)?<\|message\|>|[^\S\n]*\n)"
)
_NO_BRACKET = rf"[^{re.escape(OPENING_BRACKETS)}{_CLOSING_BRACKETS}{{}}]"
_TAG = (
    rf"[{re.escape(OPENING_BRACKETS)}]\s?(?P<bar>[|｜]?)(?P<slash>/?)\s?(?P<name>{_NAME})"
    rf"(?P<attributes>\s{_NO_BRACKET}{{0,120}})?(?P<empty>/?)[|｜]?[{_CLOSING_BRACKETS}]"
)
MARK: Final = re.compile(rf"{_CHANNEL}|{_TAG}")
_PARTIAL = re.compile(
    rf"[{re.escape(OPENING_BRACKETS)}]\s?[|｜]?/?\s?(?:(?P<name>{_NAME})(?P<rest>\s{_NO_BRACKET}*)?)?[|｜/]?",
)

_THOUGHT = re.compile(
    r"think|thought|reason|reflect|scratch|ponder|deliberat|monologue|analysis|analy[sz]e|rationale"
    r"|musing|brainstorm|(?:^|_)(?:cot|plan|planning|draft|r1|commentary)(?:_|$)"
)
_ANSWER = re.compile(
    r"(?:^|_)(?:answer|output|response|result|solution|final|outcome|reply|json|document)(?:_|$)"
)
_END = re.compile(r"^(?:end|eo|close|stop|finish)_|_end$")
_TEMPLATE = re.compile(
    r"^(?:s|bos|eos|pad|im_start|im_end|im_sep|eot_id|eom_id|start|end|return|message|call|start_of_turn"
    r"|end_of_turn|start_header_id|end_header_id|endoftext|begin_of_text|end_of_text|begin_of_sentence"
    r"|end_of_sentence|assistant|user|system|inst|turn|start_of_role|end_of_role|turn_start|turn_end"
    r"|chatbot_token|start_of_turn_token|end_of_turn_token|eod|constrain|tool_calls?|function_calls?)$"
)


class Meaning(Enum):
    """The meaning of a mark for the text behind it."""

    THOUGHT = auto()
    THOUGHT_END = auto()
    FINAL_CHANNEL = auto()
    ANSWER = auto()
    ANSWER_END = auto()
    TEMPLATE = auto()
    UNKNOWN = auto()
    UNKNOWN_END = auto()


class Mark(NamedTuple):
    """`end`: index behind its last character."""

    meaning: Meaning
    end: int


def mark_at(text: str, pos: int) -> Mark | None:
    """The mark that begins at `pos`."""
    found = MARK.match(text, pos)
    if found is not None and found["channel"] is None and text.startswith(_CHANNEL_BEGIN, pos):
        return None
    if found is None or (
        found["attributes"] and not _may_have_attributes(text[pos], found["name"])
    ):
        return None
    return Mark(_meaning(found), found.end())


def may_become_mark(text: str, pos: int) -> bool:
    """Whether more text could complete a mark that begins at `pos`."""
    rest = text[pos : pos + MAX_MARK + 1]
    if len(rest) > MAX_MARK:
        return False
    if rest.startswith(_CHANNEL_BEGIN):
        return "{" not in rest
    found = _PARTIAL.fullmatch(rest)
    if found is None:
        return False
    return found["rest"] is None or _may_have_attributes(rest[0], found["name"])


def _may_have_attributes(bracket: str, name: str) -> bool:
    """Prose has brackets with several words in them: "[reason unknown]", "<b class=x>"."""
    return bracket == "<" and (is_thought(name) or _ANSWER.search(_plain(name)) is not None)


def is_thought(name: str) -> bool:
    """Whether a mark of that name stands around reasoning."""
    return _THOUGHT.search(_plain(name)) is not None


def _meaning(found: re.Match[str]) -> Meaning:
    if (channel := found["channel"]) is not None:
        return Meaning.FINAL_CHANNEL if channel.lower() == "final" else Meaning.THOUGHT
    name = _plain(found["name"])
    if name == "channel":  # a bare end of a channel
        return Meaning.THOUGHT_END
    ends = bool(found["slash"]) or _END.search(name) is not None
    if _THOUGHT.search(name):
        if found["empty"]:
            return Meaning.TEMPLATE
        return Meaning.THOUGHT_END if ends else Meaning.THOUGHT
    if _ANSWER.search(name):
        return Meaning.ANSWER_END if ends else Meaning.ANSWER
    if _TEMPLATE.match(name):
        return Meaning.TEMPLATE
    return Meaning.UNKNOWN_END if ends else Meaning.UNKNOWN


def _plain(name: str) -> str:
    """Lower case, without a namespace; words joined by underscores."""
    words = re.sub(r"[.:▁-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name))
    return words.lower().strip("_")
