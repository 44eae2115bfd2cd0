"""A conversation: what is kept of it, and how it stays small however long it lasts.

The newest exchanges are kept whole. One that leaves them becomes a line of the digest, and a model may
fold the digest into the summary; where none does, the oldest lines are dropped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from pydantic import BaseModel, ConfigDict

MAX_SUMMARY: Final = 1_500
MAX_DIGEST: Final = 2_400
"""Characters of all lines of the digest."""
MAX_LINE_PART: Final = 120
CHARACTERS_PER_TOKEN: Final = 3
"""Rather few, so that what should fit does."""
MESSAGE_TOKENS: Final = 4
"""What a chat template adds to each message."""


class Persona(BaseModel):
    """A speaker beside the caller. `since`: how many exchanges there had been when it joined: it knows
    only those that followed. `model`: None is the service's own. `session_id`: of the table in whose story
    it is a person, if it is one."""

    model_config = ConfigDict(frozen=True)

    name: str
    system_prompt: str
    model: str | None = None
    since: int = 0
    session_id: int | None = None


class Exchange(BaseModel):
    """A message and its answer. Times in epoch seconds; `speaker` is empty for the co-host itself."""

    model_config = ConfigDict(frozen=True)

    message_id: str
    username: str
    message: str
    emotes: tuple[str, ...] = ()
    asked_at: float
    answer: str
    answered_at: float
    speaker: str = ""

    @property
    def said(self) -> str:
        """The message as the model reads it."""
        return spoken(self.username, self.message, self.emotes)

    @property
    def tokens(self) -> int:
        """About what both messages take of a context."""
        return tokens_of(self.said) + tokens_of(self.answer)


class Conversation(BaseModel):
    """`epoch` grows each time it is cleared. `count`: exchanges since then; `exchanges` are the newest
    of them, oldest first."""

    model_config = ConfigDict(frozen=True)

    epoch: int = 0
    count: int = 0
    exchanges: tuple[Exchange, ...] = ()
    summary: str = ""
    digest: tuple[str, ...] = ()
    personas: tuple[Persona, ...] = ()
    updated_at: float = 0.0

    @property
    def left(self) -> int:
        """How many exchanges are not kept whole any more."""
        return self.count - len(self.exchanges)

    def seen_by(self, persona: Persona | None) -> tuple[Exchange, ...]:
        """The exchanges that the persona has witnessed; None: all."""
        since = 0 if persona is None else persona.since
        return self.exchanges[max(since - self.left, 0) :]


def spoken(username: str, message: str, emotes: Sequence[str]) -> str:
    """`ann: hello [emotes: wave, heart]`"""
    shown = f" [emotes: {', '.join(emotes)}]" if emotes else ""
    return f"{username}: {message}{shown}"


def tokens_of(text: str) -> int:
    """About how many tokens a message has, by its bytes."""
    return len(text.encode("utf-8", "replace")) // CHARACTERS_PER_TOKEN + MESSAGE_TOKENS


class Remembered(NamedTuple):
    """A speaker's memory of a conversation: the newest exchanges whole, oldest first, and a recap of
    those before them."""

    exchanges: tuple[Exchange, ...]
    recap: str


def remembered(
    conversation: Conversation, persona: Persona | None, messages: int, tokens: int
) -> Remembered:
    """Each exchange that the persona has witnessed (None: all) is in one of both. `messages` and `tokens`
    bound the whole ones; what came before the kept ones is known to who was there all the time."""
    witnessed = conversation.seen_by(persona)
    whole = window(witnessed, messages, tokens)
    before = witnessed[: len(witnessed) - len(whole)]
    earlier: tuple[str, ...] = (conversation.summary, *conversation.digest)
    if persona is not None and persona.since:
        earlier = ()
    return Remembered(whole, "\n".join(filter(None, (*earlier, *map(_line, before)))))


def window(exchanges: Sequence[Exchange], messages: int, tokens: int) -> tuple[Exchange, ...]:
    """The newest exchanges, whole ones, within both bounds; the oldest is the first to go."""
    left, first = tokens, len(exchanges)
    lowest = max(len(exchanges) - messages // 2, 0)
    while first > lowest and exchanges[first - 1].tokens <= left:
        first -= 1
        left -= exchanges[first].tokens
    return tuple(exchanges[first:])


def added(conversation: Conversation, exchange: Exchange, keep: int) -> Conversation:
    """With one more exchange; the newest `keep` exchanges stay whole."""
    exchanges = (*conversation.exchanges, exchange)
    split = max(len(exchanges) - max(keep, 1), 0)
    digest = (*conversation.digest, *(_line(one) for one in exchanges[:split]))
    return conversation.model_copy(
        update={
            "count": conversation.count + 1,
            "exchanges": exchanges[split:],
            "digest": _within(digest),
            "updated_at": exchange.answered_at,
        }
    )


def cleared(conversation: Conversation, now: float) -> Conversation:
    """Without anything that was said; the speakers stay, and know nothing."""
    personas = tuple(one.model_copy(update={"since": 0}) for one in conversation.personas)
    return Conversation(epoch=conversation.epoch + 1, personas=personas, updated_at=now)


def with_personas(
    conversation: Conversation, personas: Sequence[Persona], now: float
) -> Conversation:
    """With these speakers. A known speaker keeps its memory."""
    known = {one.name.casefold(): one.since for one in conversation.personas}
    joined = tuple(
        one.model_copy(update={"since": known.get(one.name.casefold(), conversation.count)})
        for one in personas
    )
    return conversation.model_copy(update={"personas": joined, "updated_at": now})


def summarised(
    conversation: Conversation, known: Conversation, summary: str
) -> Conversation | None:
    """With the summary of what was `known` a while ago, whose lines may have been dropped since; None
    where it was cleared or summed up by somebody else meanwhile."""
    if (conversation.epoch, conversation.summary) != (known.epoch, known.summary):
        return None
    fresh = conversation.left - known.left
    digest = conversation.digest[max(len(conversation.digest) - fresh, 0) :]
    return conversation.model_copy(
        update={"summary": cut_text(summary, MAX_SUMMARY), "digest": digest}
    )


def _line(exchange: Exchange) -> str:
    speaker = exchange.speaker or "co-host"
    message = cut_text(exchange.message, MAX_LINE_PART)
    return f"{exchange.username}: {message} / {speaker}: {cut_text(exchange.answer, MAX_LINE_PART)}"


def cut_text(text: str, size: int) -> str:
    """On one line, cut at a word where it is too long."""
    line = " ".join(text[: size * 4].split())
    if len(line) <= size:
        return line
    head = line[: size - 1]
    at_word = head.rpartition(" ")[0]
    return f"{at_word if len(at_word) > size // 2 else head}…"


def _within(digest: tuple[str, ...]) -> tuple[str, ...]:
    length = sum(map(len, digest))
    first = 0
    while length > MAX_DIGEST:
        length -= len(digest[first])
        first += 1
    return digest[first:]
