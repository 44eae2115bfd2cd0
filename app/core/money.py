"""Costs of turns: tokens, and money in whole micro-dollars without fractions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from decimal import ROUND_CEILING, Decimal
from typing import Final, NamedTuple

from app.core.results import Usage

MICROS: Final = 1_000_000
"""Micro-dollars in a US dollar."""
USUAL_DAYS: Final = 30
MAX_DAYS: Final = 366
"""Of which a user may see what was used."""
MAX_MICROS: Final = 1_000_000 * MICROS
"""The largest budget of money."""
_EPOCH: Final = date(1970, 1, 1).toordinal()
MAX_SPENT: Final = 2**62
_MOST: Final = 2**40  # a record of an older release, or a provider, may hold any number


@dataclass(frozen=True, slots=True)
class Amount:
    """In each unit that budgets are kept in."""

    tokens: int = 0
    micros: int = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.tokens + other.tokens, self.micros + other.micros)

    def __bool__(self) -> bool:
        return bool(self.tokens or self.micros)

    @property
    def believable(self) -> Amount:
        """Within what a store takes."""
        return Amount(*(min(max(number, 0), _MOST) for number in (self.tokens, self.micros)))

    def less(self, other: Amount) -> Amount:
        """The rest of it, at least 0."""
        return Amount(max(self.tokens - other.tokens, 0), max(self.micros - other.micros, 0))


NOTHING: Final = Amount()


def amount_of(usage: Usage) -> Amount:
    """The cost of a model call. A model without a known price costs no money."""
    return Amount(usage.total_tokens, usage.cost_micros or 0)


@dataclass(frozen=True, slots=True)
class Spent:
    """The spending of one user on one day (UTC), or of a table; `reserved` for running turns."""

    used: Amount = NOTHING
    reserved: Amount = NOTHING


class DaySpent(NamedTuple):
    """By one user on one day (UTC). `day`: days since 1970."""

    day: int
    used: Amount


def date_of(day: int) -> str:
    """ISO 8601."""
    return date.fromordinal(_EPOCH + day).isoformat()


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens, which is micro-dollars for one. `cached`: of input tokens that the
    provider had read before; None: they cost what others do."""

    input: Decimal
    output: Decimal
    cached: Decimal | None = None

    def of(self, usage: Usage) -> int:
        """Micro-dollars, rounded up."""
        cached = 0 if self.cached is None else min(usage.cached_tokens or 0, usage.input_tokens)
        micros = (usage.input_tokens - cached) * self.input + usage.output_tokens * self.output
        return whole(micros + cached * (self.cached or 0))


Pricing = Callable[[str, Usage], int | None]
"""Micro-dollars of a call to the model that was asked for; `usage` has the name of the one that answered.
None where no price is known: nothing is guessed."""


def unpriced(_: str, __: Usage) -> int | None:
    """Knows no price."""
    return None


def whole(micros: Decimal) -> int:
    """Rounded up, so that many small calls are not free."""
    return int(micros.to_integral_value(ROUND_CEILING))


def micros_of(dollars: Decimal) -> int:
    """Rounded up."""
    return whole(dollars * MICROS)


def read_prices(text: str) -> Mapping[str, Price]:
    """`model=input/output,model=input/output/cached`, in dollars for a million tokens.

    Raises `ValueError`.
    """
    prices: dict[str, Price] = {}
    for part in filter(str.strip, text.split(",")):
        name, _, numbers = part.rpartition("=")
        found = [_dollars(number) for number in numbers.split("/")]
        if not name.strip() or not 2 <= len(found) <= 3:
            raise ValueError("must be model=input/output or model=input/output/cached")
        prices[name.strip()] = Price(*found)
    return prices


def _dollars(text: str) -> Decimal:
    digits = text.strip().replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit()) or len(digits) > 12:
        raise ValueError("must have numbers of dollars, such as 1.25/10")
    return Decimal(text.strip())


def in_dollars(micros: int) -> str:
    """For people: with as many decimals as it takes, and two at least."""
    whole_part, rest = divmod(micros, MICROS)
    decimals = f"{rest:06d}".rstrip("0").ljust(2, "0")
    return f"${whole_part}.{decimals}"
