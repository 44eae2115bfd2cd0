"""The pipeline of a chat message: conversation → prompt → answer → one transaction that keeps both."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.core.conversation import Conversation, Exchange, recap
from app.core.events import Complete, Metadata, stamp
from app.core.messages import Prompt
from app.core.outcome import Intents
from app.core.results import SubsystemSummary, Validation
from app.core.stages import Stage
from app.core.topics import RECENT, current_topics
from app.core.wire import ChatResult, MetadataFields
from app.dialogue.answer import ChatAnswer, Habits
from app.dialogue.asked import Asked
from app.dialogue.prompt import chat_prompt
from app.dialogue.settings import DialogueSettings
from app.dialogue.summary import Summariser
from app.errors import LLMResponseError
from app.generation.request import GenerationLimits, GenerationRequest, Purpose
from app.generation.service import GenerationService
from app.ports.conversations import Conversations, NewExchange
from app.ports.model import Sampling
from app.ports.store import Ending, TurnStore
from app.turns.observe import Observer
from app.turns.persistence import commit
from app.turns.state import TurnState


@dataclass(frozen=True, slots=True)
class ChatDependencies:
    """`model`: the name of the model that answers. `summariser`: None keeps extracts only."""

    store: TurnStore
    conversations: Conversations
    generation: GenerationService
    settings: DialogueSettings
    model: str
    observe: Observer
    summariser: Summariser | None = None


@dataclass(frozen=True, slots=True)
class _Scene:
    """What a message meets."""

    asked: Asked
    conversation: Conversation
    prompt: Prompt


class ChatPipeline:
    """Takes a chat message to its end."""

    def __init__(self, dependencies: ChatDependencies) -> None:
        self._use = dependencies
        self._habits = Habits()

    async def run(self, turn: TurnState) -> None:
        """As `TurnOrchestrator.run`."""
        scene = await self._scene(turn)
        await self._answer(turn, scene)
        turn.advance(Stage.VALIDATING)
        await self._keep(turn, scene)

    async def _scene(self, turn: TurnState) -> _Scene:
        began, asked = turn.clock.monotonic(), Asked.of(turn.request)
        turn.writer.append(Metadata("start", 0, _start_fields(turn, asked)))
        known = await self._use.conversations.conversation(asked.key(turn.request.user_id))
        settings = self._use.settings
        prompt = chat_prompt(
            settings.chat_system_prompt,
            known,
            None,
            asked.said(turn.request.user_action),
            settings.chat_context_messages,
            settings.chat_context_tokens,
        )
        turn.spent("context_ms", began)
        await turn.durable.wait()
        turn.writer.append(Metadata("context"))
        turn.advance(Stage.GENERATING)
        turn.writer.append(Metadata("narrative"))
        return _Scene(asked, known, prompt)

    # -- the answer -------------------------------------------------------------------------------

    async def _answer(self, turn: TurnState, scene: _Scene) -> None:
        """Raises `LLMResponseError` for an answer that holds nothing to read, twice."""
        began = turn.clock.monotonic()
        use, limits = self._use, self._limits()
        answer = ChatAnswer(turn, (), use.model, self._habits, use.observe)
        settings = use.settings
        request = GenerationRequest(
            scene.prompt,
            Purpose.CHAT,
            turn.request.user_id,
            turn.meta,
            limits,
            Sampling(settings.chat_temperature, settings.chat_top_p),
        )
        try:
            for _ in range(1 if limits.streaming else 2):  # a stream is tried again by the service
                await use.generation.generate(request, answer)
                if answer.visible:
                    return
            raise LLMResponseError(
                "The model's answer held nothing to read but reasoning or boilerplate; nothing was kept."
            )
        finally:
            turn.spent("llm_ms", began)

    def _limits(self) -> GenerationLimits:
        return replace(
            self._use.generation.limits,
            max_output_tokens=self._use.settings.chat_max_tokens,
            bound_name="CHAT_MAX_TOKENS",
        )

    # -- what is kept -----------------------------------------------------------------------------

    async def _keep(self, turn: TurnState, scene: _Scene) -> None:
        new = self._exchange(turn, scene)
        after = new.apply(scene.conversation) or scene.conversation
        complete = _completed(turn, scene.asked, after, new.exchange)
        ending = Ending(
            status="complete",
            result=turn.writer.preview(complete).result(),
            entries=turn.writer.draft(Metadata("validation", turn.writer.view.tokens), complete),
            tokens=turn.tokens_spent,
            exchange=new,
        )
        await commit(lambda: self._use.store.finish(turn.claim, ending))
        turn.writer.publish(ending.entries)
        if self._use.summariser is not None:
            self._use.summariser.consider(new.key, after)

    def _exchange(self, turn: TurnState, scene: _Scene) -> NewExchange:
        asked, request = scene.asked, turn.request
        exchange = Exchange(
            message_id=turn.turn_id,
            username=asked.username,
            message=request.user_action,
            emotes=asked.emotes,
            asked_at=turn.started_at,
            answer=turn.narrative,
            answered_at=turn.clock.now(),
        )
        keep = max(self._use.settings.chat_context_messages // 2, RECENT)
        return NewExchange(asked.key(request.user_id), scene.conversation.epoch, exchange, keep)


def _start_fields(turn: TurnState, asked: Asked) -> MetadataFields:
    return MetadataFields(
        turn_id=turn.turn_id,
        user_action=turn.request.user_action,
        conversation_id=asked.conversation_id,
        speaker=asked.speaker,
    )


def _completed(turn: TurnState, asked: Asked, after: Conversation, exchange: Exchange) -> Complete:
    return Complete(
        turn_id=turn.turn_id,
        intents=Intents().model_dump(),
        subsystem_summary=SubsystemSummary(),
        timing=turn.timing(),
        usage=turn.usage,
        validation=Validation(),
        chat=ChatResult(
            conversation_id=asked.conversation_id,
            speaker=exchange.speaker,
            timestamp=stamp(exchange.answered_at),
            context_summary=recap(after),
            current_topics=current_topics(after.exchanges),
            cached=False,
        ),
    )
