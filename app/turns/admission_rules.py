"""What an admitted request is charged: places in rate windows, and a reservation of the budget."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from app.core.context import MAX_PAST_ACTION, MAX_PAST_RESPONSE
from app.core.limits import Rule, per_minute
from app.core.money import NOTHING, Amount
from app.core.prompt import LONGEST_FORM
from app.core.references import MAX_TOGETHER
from app.ports.limits import Charge
from app.ports.store import TurnRequest

CHARACTERS_PER_TOKEN = 3  # fewer than prose has, so that a reservation is rather too large
CONTEXT_ALLOWANCE = 6_000  # characters: sheet, quest, combat, places, headings


@dataclass(frozen=True, slots=True)
class AdmissionRules:
    """None: off. `budget`: of a user and a day, with 0 for no limit. `most`: what a call can cost, see
    `PriceList.most`. `models` by their names, `content` by what `TurnRequest.charged` says."""

    character: Rule
    new_character: Rule | None = None
    user: Rule | None = None
    address: Rule | None = None
    everybody: Rule | None = None
    models: Mapping[str, Rule] = field(default_factory=dict)
    default_model: str = ""
    content: Mapping[str, Rule] = field(default_factory=dict)
    budget: Amount = NOTHING
    most: Callable[[str | None, int, int], int] = lambda *_: 0
    recent_turns: int = 20
    max_output_tokens: int = 8_000

    def charges(self, request: TurnRequest, *, collected: bool = False) -> Iterable[Charge]:
        """The places in rate windows that the request takes; of nobody's, those that concern all.
        `collected`: of an action that another request plays, those of whoever acts."""
        model = request.model or self.default_model
        acts = not request.taken_before
        known = bool(request.user_id) and acts
        per = (
            *(self._own(request) if known else ()),
            (self.user if known else None, request.user_id),
            (self.address if acts else None, request.address),
        )
        own = [Charge(rule, key) for rule, key in per if rule is not None]
        return own if collected else own + self.of_all(model)

    def of_all(self, model: str) -> list[Charge]:
        """The places that every request to the model takes, whoever makes it."""
        per = ((self.everybody, ""), (self.models.get(model), model))
        return [Charge(rule, key) for rule, key in per if rule is not None]

    def _own(self, request: TurnRequest) -> Iterable[tuple[Rule | None, str]]:
        """The rules of the request's kind with their keys. A request that is charged as no kind of
        content, which is never admitted, has the rules of all kinds."""
        if request.kind == "table":
            about = "requests of one table"
            rate = request.per_minute
            own = per_minute("table", rate, about) if rate else None
            return [(own, request.exclusive_key)]
        if request.kind == "content":
            charged = [request.charged] if request.charged else self.content
            return [(self.content.get(name), request.user_id) for name in charged]
        if request.kind == "opening" and request.about:
            return [(self.new_character, request.user_id)]
        return [(self.character, f"{request.user_id}:{request.character_id}")]

    def with_reservation(self, request: TurnRequest) -> TurnRequest:
        """The request with a reservation: about the most that one model call of the turn can use.

        The action is counted by its bytes: no text has more tokens than bytes. Who shares a budget with
        others says how much.
        """
        if request.kind == "table":
            return self._in_money(request, request.reserved)
        history = self.recent_turns * (MAX_PAST_ACTION + MAX_PAST_RESPONSE)
        referred = MAX_TOGETHER if request.references else 0
        known = (LONGEST_FORM + CONTEXT_ALLOWANCE + history + referred) // CHARACTERS_PER_TOKEN
        text = request.about if request.kind == "content" else request.user_action
        action = len(text.encode("utf-8", "surrogatepass"))
        read = known + action
        return self._in_money(replace(request, reserved=read + self.max_output_tokens), read)

    def _in_money(self, request: TurnRequest, read: int) -> TurnRequest:
        most = self.most_for(request.model or None, read, self.max_output_tokens)
        return replace(request, reserved_micros=most) if most else request

    def most_for(self, model: str | None, read: int, written: int) -> int:
        """Micro-dollars to set aside for a call; 0 where money has no limit."""
        return self.most(model, read, written) if self.budget.micros else 0
