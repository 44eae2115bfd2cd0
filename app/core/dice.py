"""Dice: `NdM` with keep, drop and a modifier, rolled from a seed so that anybody can roll them again.

Die `index` of a seed is the first of the numbers SHA-256(`{seed}:{index}:{attempt}`) (attempt from 0,
eight bytes, big-endian) that lies below the largest multiple of the die's sides, modulo the sides, plus
one.

No published parser, as of November 2026, is both maintained and able to roll from these seeds: d20 1.1.2
(July 2021) and dice 4.0.0 (May 2023) are old; diceparse 1.0.8 and oneroll 1.3.5 are GPL-3.0 and AGPL-3.0.
Of those under MIT, dicelet 0.3.2 (July 2026, alpha) has random numbers of its own, and wyrdbound-dice 0.3.0
(September 2026, "experimental" by its own words) refuses `d20` and `4d6k3` and takes floats, whatever the
sides of the die.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any, Final

from app.errors import ValidationError

MAX_DICE: Final = 100  # of one roll
MAX_SIDES: Final = 10_000
_SPACE: Final = 2**64
_TERM: Final = re.compile(
    r"(?P<sign>[+-]?)(?:(?P<count>\d{0,3})d(?P<sides>\d{1,5}|%)"
    r"(?:(?P<how>kh|kl|dh|dl|k|d)(?P<amount>\d{1,3})?)?|(?P<number>\d{1,5}))",
    re.IGNORECASE | re.ASCII,
)
_AROUND_SIGN: Final = re.compile(r"\s*([+-])\s*")
_HOW: Final = {"k": "kh", "d": "dl"}


@dataclass(frozen=True, slots=True)
class Term:
    """Dice of one kind, of which the `kept` highest or lowest count; a plain number has no sides."""

    sign: int
    count: int
    sides: int
    kept: int
    highest: bool


@dataclass(frozen=True, slots=True)
class Die:
    """`index`: its place in the sequence of the seed. `kept`: it counts."""

    index: int
    sides: int
    value: int
    kept: bool


@dataclass(frozen=True, slots=True)
class Rolled:
    """`seed` and `notation` are all that is needed to roll it again."""

    notation: str
    seed: str
    dice: tuple[Die, ...]
    modifier: int
    total: int

    def shown(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def parse(notation: str) -> list[Term]:
    """Raises `ValidationError`."""
    text, terms, at = _AROUND_SIGN.sub(r"\1", notation.strip()), [], 0
    while at < len(text):
        found = _TERM.match(text, at)
        if found is None or (at and not found["sign"]):
            raise _refusal()
        terms.append(_term(found))
        at = found.end()
    if not any(term.sides for term in terms) or sum(one.count for one in terms) > MAX_DICE:
        raise _refusal()
    return terms


def _term(found: re.Match[str]) -> Term:
    sign = -1 if found["sign"] == "-" else 1
    if found["number"] is not None:
        return Term(sign, 0, 0, int(found["number"]), True)
    number = int(found["count"] or 1)
    sides = 100 if found["sides"] == "%" else int(found["sides"])
    how = (found["how"] or "kh").lower()
    how = _HOW.get(how, how)
    amount = int(found["amount"] or 1) if found["how"] else number
    kept = min(amount, number) if how[0] == "k" else max(number - amount, 0)
    if not 1 <= number <= MAX_DICE or not 1 <= sides <= MAX_SIDES or kept < 1:
        raise _refusal()
    return Term(sign, number, sides, kept, how in ("kh", "dl"))


def _refusal() -> ValidationError:
    return ValidationError(
        f"dice: must be as 2d20kh1+3: at most {MAX_DICE} dice of 1 to {MAX_SIDES} sides; kh, kl, dh and"
        " dl keep or drop the highest or lowest"
    )


def seed_of(secret: str, table_id: int, index: int) -> str:
    """The seed of roll `index` at a table. It can neither be predicted from earlier rolls nor chosen: each
    roll has exactly one seed, so that nobody can repeat a roll until its result suits them."""
    about = f"{table_id}:{index}".encode()
    return hmac.new(secret.encode(), about, hashlib.sha256).hexdigest()[:32]


def roll(notation: str, seed: str) -> Rolled:
    """The same for the same notation and seed. Raises `ValidationError`."""
    dice: list[Die] = []
    modifier = total = 0
    for term in parse(notation):
        if not term.sides:
            modifier += term.sign * term.kept
            continue
        rolled = _dice(term, seed, len(dice))
        dice += rolled
        total += term.sign * sum(die.value for die in rolled if die.kept)
    return Rolled(notation, seed, tuple(dice), modifier, total + modifier)


def _dice(term: Term, seed: str, first: int) -> list[Die]:
    values = [face(seed, first + n, term.sides) for n in range(term.count)]
    order = sorted(range(term.count), key=lambda n: (values[n], -n), reverse=term.highest)
    kept = set(order[: term.kept])
    return [Die(first + n, term.sides, value, n in kept) for n, value in enumerate(values)]


def face(seed: str, index: int, sides: int) -> int:
    """1 to `sides`, each as likely."""
    bound = _SPACE - _SPACE % sides
    for attempt in count():
        digest = hashlib.sha256(f"{seed}:{index}:{attempt}".encode()).digest()
        drawn = int.from_bytes(digest[:8], "big")
        if drawn < bound:
            return drawn % sides + 1
    raise AssertionError("unreachable")
