"""Questions about a story, out of character: they cost no action, and nothing of them is written."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from app.core.access import Action, Caller, Resource, may, user
from app.core.limits import check_budget, per_minute
from app.core.messages import Prompt
from app.core.money import Amount
from app.core.policy import NOTHING_GRANTED
from app.core.prompt import DETAILS, Scene, known_sections
from app.core.questions import ANSWER_TOKENS, question_prompt
from app.errors import CharacterNotFound
from app.generation.consumer import Cost
from app.generation.request import GenerationRequest, Purpose
from app.generation.service import GenerationService
from app.ports.call import CallMeta
from app.ports.journey_log import JourneyLog
from app.ports.limits import Charge, Limiter
from app.ports.moderation import Moderator
from app.ports.store import TurnStore
from app.ports.turn import character_key
from app.turns.admission_rules import CHARACTERS_PER_TOKEN, AdmissionRules

PER_MINUTE: Final = 20
DETAIL: Final = DETAILS[1]


class Questions:
    """Asks a model."""

    def __init__(self, generation: GenerationService) -> None:
        self._generation = generation

    async def answer(
        self,
        prompt: Prompt,
        user_id: str,
        meta: CallMeta,
        cost: Cost,
        moderator: Moderator | None = None,
    ) -> str:
        """`cost` counts what was used, whatever comes of it. Raises as a turn does."""
        limits = replace(self._generation.limits, max_output_tokens=ANSWER_TOKENS)
        asked = GenerationRequest(prompt, Purpose.CHAT, user_id, meta, limits, moderator=moderator)
        return (await self._generation.generate(asked, cost)).text.strip()


@dataclass(eq=False)
class TurnQuestions:
    """Answers questions about the story of a character. `now` gives epoch seconds."""

    _questions: Questions
    _journey_log: JourneyLog
    _store: TurnStore
    _limiter: Limiter
    _rules: AdmissionRules
    _now: Callable[[], float] = time.time

    async def ask(self, caller: Caller, character_id: str, question: str, meta: CallMeta) -> str:
        """Raises `CharacterNotFound`, and what a turn raises."""
        user_id = caller.user_id
        if not may(caller, Action.READ, Resource(character_id, user(user_id))):
            raise CharacterNotFound
        rule = per_minute("questions", PER_MINUTE, "questions about one character")
        await self._limiter.take([Charge(rule, f"{user_id}:{character_id}")])
        context = await self._journey_log.context(user_id, character_id, meta)
        progress = await self._store.progress(character_id)
        scene = Scene(context, progress, NOTHING_GRANTED, [], "")
        prompt = question_prompt(question, *known_sections(scene, DETAIL))
        await self._check_budget(user_id, prompt)
        cost = Cost()
        try:
            return await self._questions.answer(prompt, user_id, meta, cost)
        finally:
            await self._store.spend(user_id, cost.spent, character_key(character_id, user_id))

    async def _check_budget(self, user_id: str, prompt: Prompt) -> None:
        """Raises `TokenBudgetExceeded`."""
        read = prompt.size // CHARACTERS_PER_TOKEN
        asked = Amount(read + ANSWER_TOKENS, self._rules.most_for(None, read, ANSWER_TOKENS))
        spent = await self._store.spent(user_id)
        check_budget(self._rules.budget, spent, asked, self._now())
