"""What a turn may cost before it is admitted: places in rate windows, tokens of a budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from app.core.context import MAX_PAST_ACTION, MAX_PAST_RESPONSE
from app.core.limits import Rule
from app.core.prompt import INSTRUCTIONS
from app.ports.limits import Charge, Limiter, Taken
from app.ports.store import TurnRequest

CHARACTERS_PER_TOKEN = 3  # fewer than prose has, so that a reservation is rather too large
CONTEXT_ALLOWANCE = 6_000  # characters: sheet, quest, combat, places, headings


@dataclass(frozen=True, slots=True)
class AdmissionRules:
    """None: off. `budget`: tokens per user and day, 0 for no limit."""

    character: Rule
    user: Rule | None = None
    address: Rule | None = None
    everybody: Rule | None = None
    model: Rule | None = None
    budget: int = 0
    recent_turns: int = 20
    max_output_tokens: int = 8_000


class Admission:
    """`check_load` raises `Overloaded` when the service is full."""

    def __init__(
        self, limiter: Limiter, rules: AdmissionRules, check_load: Callable[[], None] = lambda: None
    ) -> None:
        self._limiter = limiter
        self._check_load = check_load
        self.rules = rules

    async def take(self, request: TurnRequest) -> Taken:
        """Raises `Overloaded` or `RateLimitExceeded`."""
        self._check_load()
        return await self._limiter.take(list(self.charges(request)))

    def charges(self, request: TurnRequest) -> Iterable[Charge]:
        rules = self.rules
        per = (
            (rules.character, f"{request.user_id}:{request.character_id}"),
            (rules.user, request.user_id),
            (rules.address, request.address),
            (rules.everybody, ""),
            (rules.model, ""),
        )
        return [Charge(rule, key) for rule, key in per if rule is not None]

    def with_reservation(self, request: TurnRequest) -> TurnRequest:
        """About the most that one model call of the turn can use.

        The action is counted by its bytes: no token is less, whatever somebody makes it of.
        """
        history = self.rules.recent_turns * (MAX_PAST_ACTION + MAX_PAST_RESPONSE)
        known = (len(INSTRUCTIONS) + CONTEXT_ALLOWANCE + history) // CHARACTERS_PER_TOKEN
        action = len(request.user_action.encode("utf-8", "surrogatepass"))
        return replace(request, reserved=known + action + self.rules.max_output_tokens)
