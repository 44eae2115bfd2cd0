"""What the bench's model writes: the bytes of a streamed answer, in both of OpenAI's APIs.

Everything is encoded beforehand, so that a stream costs its timers and its writes and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, count, repeat
from typing import Any, Final, Literal

from bench.outcome import Story, story
from bench.wire import END, answer, chunked, to_json

Api = Literal["responses", "chat"]
APIS: Final[tuple[Api, ...]] = ("responses", "chat")
MODEL: Final = "bench-model"


@dataclass(frozen=True)
class Pace:
    """How the model streams a story.

    `tokens` and `sizes`: see `outcome.story`. `each`: tokens in one write, 0 for all at once.
    `gap`: seconds between writes. `first`: seconds from the head to the first one. `asked`: instead of the
    story, words for as long as the player's action asks for ("for 50 s"). `field`: the story's name.
    """

    tokens: int = 469
    sizes: tuple[int, ...] = (4,)
    each: int = 1
    gap: float = 0.01
    first: float = 0.0
    asked: bool = False
    field: str = "narrative"

    def sent(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def received(cls, fields: dict[str, Any]) -> Pace:
        return cls(**{**fields, "sizes": tuple(fields["sizes"])})


@dataclass(frozen=True)
class Script:
    """`begin` goes before the first token's bytes, `end` behind the last one's."""

    begin: bytes
    tokens: Sequence[bytes]
    end: bytes
    whole: bytes

    def writes(self, each: int) -> list[bytes]:
        step = each or len(self.tokens)
        writes = [b"".join(self.tokens[at : at + step]) for at in range(0, len(self.tokens), step)]
        writes[0] = self.begin + writes[0]
        writes[-1] += self.end
        return writes


def script(api: Api, document: Story) -> Script:
    return _responses(document) if api == "responses" else _chat(document)


class StoryModel:
    """The answers of one `Pace`."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        document = story(pace.tokens, pace.sizes, pace.field)
        self._scripts = {api: script(api, document) for api in APIS}
        self._writes = {api: made.writes(pace.each) for api, made in self._scripts.items()}
        words = Story("", "", ('{"narrative":"Then ', "and on it goes, ", '","intents":{}}'))
        self._words = {api: script(api, words).writes(1) for api in APIS}

    def whole(self, api: Api) -> bytes:
        """For a client that does not stream."""
        return answer(200, self._scripts[api].whole)

    def story(self, api: Api) -> Iterator[bytes]:
        return iter(self._writes[api])

    def words(self, api: Api, seconds: float) -> Iterator[bytes]:
        first, word, last = self._words[api]
        times = max(round(seconds / self.pace.gap), 1) if self.pace.gap else 1
        return chain((first,), repeat(word, times), (last,))


# -- Responses ------------------------------------------------------------------------------------

_PLACE = {"item_id": "msg_bench", "output_index": 0, "content_index": 0}
_PADDING = "kQ3vZ9xT1mB7sR5d"


def _events() -> Callable[..., bytes]:
    numbers = count()

    def event(kind: str, **fields: Any) -> bytes:
        data = to_json({"type": kind, "sequence_number": next(numbers), **fields})
        return chunked(b"event: %s\ndata: %s\n\n" % (kind.encode(), data))

    return event


def _response(status: str, **fields: Any) -> dict[str, Any]:
    return {
        "id": "resp_bench",
        "object": "response",
        "created_at": 1767225600,
        "status": status,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "max_output_tokens": None,
        "max_tool_calls": None,
        "model": MODEL,
        "output": [],
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "prompt_cache_key": None,
        "reasoning": {"effort": None, "summary": None},
        "safety_identifier": None,
        "service_tier": "default",
        "store": False,
        "temperature": 1.0,
        "text": {"format": {"type": "text"}, "verbosity": "medium"},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": None,
        "user": None,
        "metadata": {},
        **fields,
    }


def _responses(document: Story) -> Script:
    event = _events()
    part = {"type": "output_text", "annotations": [], "logprobs": [], "text": document.text}
    item = {"id": "msg_bench", "type": "message", "role": "assistant"}
    done = {**item, "status": "completed", "content": [part]}
    usage = {
        "input_tokens": 900,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": len(document.tokens),
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 900 + len(document.tokens),
    }
    whole = _response("completed", output=[done], usage=usage)
    begin = [
        event("response.created", response=_response("in_progress")),
        event("response.in_progress", response=_response("in_progress")),
        event(
            "response.output_item.added",
            output_index=0,
            item={**item, "status": "in_progress", "content": []},
        ),
        event("response.content_part.added", part={**part, "text": ""}, **_PLACE),
    ]
    tokens = [
        event(
            "response.output_text.delta",
            delta=token,
            logprobs=[],
            **_PLACE,
            obfuscation=_PADDING[: 8 + number * 5 % 9],
        )
        for number, token in enumerate(document.tokens)
    ]
    end = [
        event("response.output_text.done", text=document.text, logprobs=[], **_PLACE),
        event("response.content_part.done", part=part, **_PLACE),
        event("response.output_item.done", output_index=0, item=done),
        event("response.completed", response=whole),
    ]
    return Script(b"".join(begin), tokens, b"".join(end) + END, to_json(whole))


# -- Chat Completions -----------------------------------------------------------------------------


def _chat(document: Story) -> Script:
    usage = {"prompt_tokens": 900, "completion_tokens": len(document.tokens)}
    usage["total_tokens"] = sum(usage.values())
    base = {"id": "chatcmpl-bench", "created": 1767225600, "model": MODEL}

    def chunk(choices: list[dict[str, Any]], **more: Any) -> bytes:
        data = {**base, "object": "chat.completion.chunk", "choices": choices, **more}
        return chunked(b"data: %s\n\n" % to_json(data))

    def choice(delta: dict[str, Any], finish: str | None = None) -> list[dict[str, Any]]:
        return [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]

    message = {"role": "assistant", "content": document.text, "refusal": None}
    whole = {
        **base,
        "object": "chat.completion",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": usage,
    }
    tokens = [
        chunk(choice({"content": token}), obfuscation=_PADDING[: 8 + number * 5 % 9])
        for number, token in enumerate(document.tokens)
    ]
    end = chunk(choice({}, "stop")) + chunk([], usage=usage) + chunked(b"data: [DONE]\n\n") + END
    begin = chunk(choice({"role": "assistant", "content": "", "refusal": None}))
    return Script(begin, tokens, end, to_json(whole))
