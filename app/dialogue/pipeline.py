"""The pipeline of a chat message: conversation → prompt → answer → one transaction that keeps both."""

from __future__ import annotations

from dataclasses import dataclass, replace

from app.core.conversation import Conversation, Exchange, Persona
from app.core.events import Metadata, stamp
from app.core.messages import Prompt
from app.core.results import Usage
from app.core.topics import RECENT, current_topics
from app.core.wire import ChatResult, MetadataFields
from app.dialogue.answer import ChatAnswer, Habits
from app.dialogue.asked import Asked
from app.dialogue.npcs import Npcs
from app.dialogue.prompt import chat_prompt
from app.dialogue.settings import DialogueSettings
from app.dialogue.speakers import speaker_of
from app.dialogue.summary import Summariser
from app.errors import LLMResponseError
from app.generation.answer_cache import AnswerCache, cache_key
from app.generation.request import GenerationLimits, GenerationRequest, Purpose
from app.generation.service import GenerationService
from app.ports.conversations import Conversations, NewExchange
from app.ports.model import Sampling
from app.ports.store import TurnStore
from app.turns.answering import answered, begin_answer, end_answer
from app.turns.endings import ending_of
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
    cache: AnswerCache
    npcs: Npcs
    summariser: Summariser | None = None


@dataclass(frozen=True, slots=True)
class _Scene:
    """A message with its conversation. `speaker`: the persona that answers; None means the co-host.
    `key`: the cache key of the answer, once it is known."""

    asked: Asked
    conversation: Conversation
    speaker: Persona | None
    prompt: Prompt
    model: str
    key: bytes

    @property
    def name(self) -> str:
        """The speaker's name; empty for the co-host."""
        return "" if self.speaker is None else self.speaker.name


class ChatPipeline:
    """Takes a chat message to its end."""

    def __init__(self, dependencies: ChatDependencies) -> None:
        self._use = dependencies
        self._habits = Habits()

    async def run(self, turn: TurnState) -> None:
        """As `TurnOrchestrator.run`."""
        scene = await self._scene(turn)
        known = await self._use.cache.get(scene.key) if scene.asked.cache else None
        if known is None:
            await self._answer(turn, scene)
        else:
            _repeat(turn, scene, known.decode())
        end_answer(turn, self._use.observe)
        await self._keep(turn, scene, cached=known is not None)

    async def _scene(self, turn: TurnState) -> _Scene:
        began, asked = turn.clock.monotonic(), Asked.of(turn.request)
        known = await self._use.conversations.conversation(asked.key(turn.request.user_id))
        speaker = speaker_of(known, asked.speaker, turn.request.user_action)
        role = self._use.settings.chat_system_prompt
        if speaker is not None:
            role = await self._use.npcs.role(turn.request.user_id, speaker)
        scene = self._set(turn, asked, known, speaker, role)
        turn.writer.append(Metadata("start", 0, _start_fields(turn, scene)))
        turn.spent("context_ms", began)
        await begin_answer(turn, self._use.observe)
        return scene

    def _set(
        self,
        turn: TurnState,
        asked: Asked,
        known: Conversation,
        speaker: Persona | None,
        role: str,
    ) -> _Scene:
        settings, request = self._use.settings, turn.request
        prompt = chat_prompt(
            role,
            settings.remembered(known, speaker),
            "" if speaker is None else speaker.name,
            asked.said(request.user_action),
        )
        model = (speaker and speaker.model) or self._use.model
        sampling, bound = self._sampling, settings.chat_max_tokens
        key = cache_key(request.user_id, model, sampling, bound, prompt.messages)
        return _Scene(asked, known, speaker, prompt, model, key)

    @property
    def _sampling(self) -> Sampling:
        return Sampling(self._use.settings.chat_temperature, self._use.settings.chat_top_p)

    # -- the answer -------------------------------------------------------------------------------

    async def _answer(self, turn: TurnState, scene: _Scene) -> None:
        """Raises `LLMResponseError` for an answer that holds nothing to read, twice."""
        began = turn.clock.monotonic()
        use, limits = self._use, self._limits()
        names = tuple(one.name for one in scene.conversation.personas)
        answer = ChatAnswer(turn, names, scene.model, self._habits, use.observe)
        request = GenerationRequest(
            scene.prompt,
            Purpose.CHAT,
            turn.request.user_id,
            turn.meta,
            limits,
            self._sampling,
            None if scene.speaker is None else scene.speaker.model,
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

    async def _keep(self, turn: TurnState, scene: _Scene, *, cached: bool) -> None:
        new = self._exchange(turn, scene)
        after = new.apply(scene.conversation) or scene.conversation
        chat = self._result(scene, after, new.exchange, cached=cached)
        validated = Metadata("validation", turn.writer.view.tokens)
        ending = ending_of(turn, "complete", replace(answered(turn), chat=chat), validated)
        ending = replace(ending, exchange=new)
        await commit(lambda: self._use.store.finish(turn.claim, ending))
        turn.writer.publish(ending.entries)
        if not cached:
            await self._use.cache.store.put(scene.key, turn.narrative.encode())
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
            speaker=scene.name,
        )
        keep = max(self._use.settings.chat_context_messages // 2, RECENT)
        return NewExchange(asked.key(request.user_id), scene.conversation.epoch, exchange, keep)

    def _result(
        self, scene: _Scene, after: Conversation, exchange: Exchange, *, cached: bool
    ) -> ChatResult:
        return ChatResult(
            conversation_id=scene.asked.conversation_id,
            speaker=exchange.speaker,
            timestamp=stamp(exchange.answered_at),
            context_summary=self._use.settings.remembered(after).recap,
            current_topics=current_topics(after.exchanges),
            cached=cached,
        )


def _repeat(turn: TurnState, scene: _Scene, answer: str) -> None:
    """Show an answer that is known already; it costs nothing."""
    turn.usage = Usage(model=scene.model)
    turn.first_token = turn.clock.monotonic()
    turn.writer.append_token(answer, 0)
    turn.writer.view.tokens = 1


def _start_fields(turn: TurnState, scene: _Scene) -> MetadataFields:
    return MetadataFields(
        **turn.start_fields(),
        user_action=turn.request.user_action,
        conversation_id=scene.asked.conversation_id,
        speaker=scene.name,
    )
