"""The pipeline of content: prompt → answer → what it lacks → one transaction that keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import structlog

from app.content.answer import ContentAnswer, FurtherAnswer
from app.content.asking import ContentAsked
from app.content.known import KnownAnswers
from app.content.prompt import MAX_PARENT, content_prompt
from app.core.events import Metadata, stamp
from app.core.hub import content_event
from app.core.messages import Prompt
from app.core.results import Usage
from app.core.wire import MetadataFields
from app.core.written import NotWritten, Written, read_written
from app.errors import DungeonMasterError, LLMResponseError
from app.generation.request import GenerationLimits, GenerationRequest, Purpose
from app.generation.service import GenerationService
from app.ports.contents import Contents, KeptContent
from app.ports.model import OFFLINE_MODEL, Sampling
from app.ports.store import TurnStore
from app.turns.answering import answered, begin_answer, end_answer
from app.turns.endings import ending_of
from app.turns.observe import Observer
from app.turns.persistence import commit
from app.turns.state import TurnState

log = structlog.get_logger(__name__)

ALLOWANCE: Final = 2_000
"""Tokens for what stands beside the text: field names, lists, scores."""
FURTHER_SECONDS: Final = 60.0
OFFLINE: Final = "offline"
_OWN: Final = frozenset({"content_id", "metadata", "parent_content_id"})
"""Fields of an answer that another one never takes over."""


@dataclass(frozen=True, slots=True)
class ContentDependencies:
    """`kinds` by name. `model`: the service's own."""

    store: TurnStore
    contents: Contents
    generation: GenerationService
    kinds: Mapping[str, Any]
    known: KnownAnswers
    model: str
    observe: Observer


class _Made(NamedTuple):
    """`fresh`: it is to be given again for the same request."""

    reply: dict[str, Any]
    fresh: bool


class ContentPipeline:
    """Takes a request for content to its end."""

    def __init__(self, dependencies: ContentDependencies) -> None:
        self._use = dependencies

    async def run(self, turn: TurnState) -> None:
        """As `TurnOrchestrator.run`."""
        asked = ContentAsked.of(turn.request, self._use.kinds)
        fields = MetadataFields(**turn.start_fields(), content_type=asked.kind.name)
        turn.writer.append(Metadata("start", 0, fields))
        parent = await self._parent(turn, asked)
        await begin_answer(turn, self._use.observe)
        answer = ContentAnswer(turn, asked.kind, self._use.observe)
        made = await self._repeated(turn, asked, answer)
        made = made or await self._made(turn, asked, answer, parent)
        answer.show_rest(made.reply)
        end_answer(turn, self._use.observe)
        await self._keep(turn, asked, made)

    async def _repeated(
        self, turn: TurnState, asked: ContentAsked, answer: ContentAnswer
    ) -> _Made | None:
        """An answer that is known already; it costs nothing."""
        if not asked.cache:
            return None
        key, user_id = self._key(turn, asked), turn.request.user_id
        found = await self._use.known.get(asked.kind, key, user_id, counted=False)
        if found is None:
            return None
        body = found.reply
        turn.usage = Usage(model=body["metadata"]["model_used"])
        answer.show(body[asked.kind.text], 1, turn.clock.monotonic())
        return _Made({name: body[name] for name in body if name not in _OWN}, fresh=False)

    async def _made(
        self, turn: TurnState, asked: ContentAsked, answer: ContentAnswer, parent: str | None
    ) -> _Made:
        document = await self._written(turn, asked, answer, parent)
        reply = dict(asked.kind.reply(asked.body, document))
        if self._use.generation.moderated:
            await self._use.generation.judge(" | ".join(_texts(reply)))
        stand_in = turn.usage.model == OFFLINE_MODEL != self._use.model
        return _Made(reply, not stand_in and _is_whole(asked, document))

    def _key(self, turn: TurnState, asked: ContentAsked) -> bytes:
        request = turn.request
        return self._use.known.key(asked, request.user_id, request.model or self._use.model)

    async def _parent(self, turn: TurnState, asked: ContentAsked) -> str | None:
        """The text it goes on from; None where there is none, or none any more."""
        began, parent_id = turn.clock.monotonic(), asked.body.parent_content_id
        found = None if parent_id is None else await self._use.contents.content(parent_id)
        turn.spent("context_ms", began)
        if found is None or found.user_id != turn.request.user_id:
            return None
        return text_of(found, self._use.kinds)[:MAX_PARENT]

    # -- the answer -------------------------------------------------------------------------------

    async def _written(
        self, turn: TurnState, asked: ContentAsked, answer: ContentAnswer, parent: str | None
    ) -> Written:
        """Raises `LLMResponseError` for an answer that is no document, twice."""
        began, kind = turn.clock.monotonic(), asked.kind
        known: Written | None = kind.answered(asked.body)
        if known is not None:
            turn.usage = Usage(model=self._use.model)
            answer.show(getattr(known, kind.text), 1, turn.clock.monotonic())
            return known
        try:
            request = self._request(turn, asked, content_prompt(kind, asked.body, parent))
            await self._use.generation.generate(request, answer)
            if answer.document is None:
                raise LLMResponseError
            return await self._whole(turn, asked, answer.document)
        finally:
            turn.spent("llm_ms", began)

    def _request(self, turn: TurnState, asked: ContentAsked, prompt: Prompt) -> GenerationRequest:
        wanted, user_id = asked.body.model, turn.request.user_id
        limits: GenerationLimits = replace(
            self._use.generation.limits,
            max_output_tokens=wanted.max_tokens + ALLOWANCE,
            bound_name="model.max_tokens",
        )
        sampling, model = Sampling(wanted.temperature), turn.request.model or None
        return GenerationRequest(
            prompt, Purpose.CONTENT, user_id, turn.meta, limits, sampling, model
        )

    async def _whole(self, turn: TurnState, asked: ContentAsked, given: Written) -> Written:
        """The answer completed by a second one, which is asked for once where the first one lacks
        fields."""
        kind = asked.kind
        rest = kind.lacking(asked.body, given)
        if rest is None:
            return given
        request = self._request(turn, asked, content_prompt(kind, rest, None))
        limits = replace(request.limits or self._use.generation.limits, streaming=False)
        limits = replace(limits, max_retries=0, seconds=min(limits.seconds, FURTHER_SECONDS))
        try:
            further = await self._use.generation.generate(
                replace(request, limits=limits), FurtherAnswer(turn)
            )
            more: Written = read_written(kind.document, kind.text, further.text)
        except (DungeonMasterError, NotWritten) as error:
            log.warning("content_incomplete", kind=kind.name, error_type=type(error).__name__)
            return given
        joined: Written = kind.joined(given, more)
        return joined

    # -- what is kept -----------------------------------------------------------------------------

    async def _keep(self, turn: TurnState, asked: ContentAsked, made: _Made) -> None:
        body = _body(turn, asked, made.reply)
        shown = {name: value for name, value in body.items() if name != asked.kind.text}
        validated = Metadata("validation", turn.writer.view.tokens)
        ending = replace(
            ending_of(turn, "complete", replace(answered(turn), content=shown), validated),
            content=_kept(turn, asked, body),
            event=content_event(asked.kind.published, turn.request.user_id, body),
        )
        await commit(lambda: self._use.store.finish(turn.claim, ending))
        if made.fresh:
            await self._use.known.put(asked, self._key(turn, asked), turn.request.user_id, body)
        turn.writer.publish(ending.entries)


def _kept(turn: TurnState, asked: ContentAsked, body: dict[str, Any]) -> KeptContent:
    parent, now = asked.body.parent_content_id, turn.clock.now()
    return KeptContent(turn.turn_id, turn.request.user_id, asked.kind.name, parent, now, body)


def _is_whole(asked: ContentAsked, document: Written) -> bool:
    """Whether another try could bring no more."""
    kind = asked.kind
    return kind.lacking(asked.body, document) is None or kind.answered(asked.body) is not None


def _body(turn: TurnState, asked: ContentAsked, reply: Mapping[str, Any]) -> dict[str, Any]:
    parent, about = asked.body.parent_content_id, _metadata(turn, asked.kind.name)
    body = {"content_id": turn.turn_id, **reply, "metadata": about}
    return body if parent is None else {**body, "parent_content_id": parent}


def _metadata(turn: TurnState, kind: str) -> dict[str, Any]:
    usage = turn.usage
    return {
        "content_type": kind,
        "model_used": OFFLINE if usage.model == OFFLINE_MODEL else usage.model,
        "token_usage": {
            "prompt_tokens": usage.input_tokens,
            "completion_tokens": usage.output_tokens,
            "total_tokens": usage.total_tokens,
        },
        "created_at": stamp(turn.clock.now()),
    }


def text_of(content: KeptContent, kinds: Mapping[str, Any]) -> str:
    """The prose of kept content; empty where its kind no longer exists."""
    kind = kinds.get(content.kind)
    return "" if kind is None else str(content.body.get(kind.text, ""))


def _texts(value: Any) -> list[str]:
    """All texts in it."""
    match value:
        case str():
            return [value]
        case Mapping():
            return [text for part in value.values() for text in _texts(part)]
        case list() | tuple():
            return [text for part in value for text in _texts(part)]
        case _:
            return []
