"""Prices and amounts, in whole micro-dollars."""

from __future__ import annotations

from decimal import Decimal

import pytest
from app.core.limits import nearly_used
from app.core.money import Amount, Price, in_dollars, read_prices
from app.core.results import Usage
from hypothesis import given
from hypothesis import strategies as st

PRICES = "gpt-5.1=1.25/10/0.125, org/local:7b = 0/0 ,"
USED = Usage(input_tokens=1_001, output_tokens=10, cached_tokens=101)


def test_prices_are_read_by_model() -> None:
    assert read_prices(PRICES) == {
        "gpt-5.1": Price(Decimal("1.25"), Decimal(10), Decimal("0.125")),
        "org/local:7b": Price(Decimal(0), Decimal(0)),
    }
    assert read_prices("") == {}


@pytest.mark.parametrize(
    "text",
    ["m", "m=1", "m=1/2/3/4", "=1/2", "m=-1/2", "m=1e9/2", "m=a/b", "m=1//2", "m=١/2", "m=./2"],
)
def test_invalid_price_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must"):
        read_prices(text)


@pytest.mark.parametrize(
    ("price", "micros"),
    [
        (Price(Decimal("1.25"), Decimal(10), Decimal("0.125")), 1_238),  # 1125 + 100 + 12.625
        (Price(Decimal("1.25"), Decimal(10)), 1_352),  # 1251.25 + 100
        (Price(Decimal("0.000001"), Decimal(0)), 1),
        (Price(Decimal(0), Decimal(0), Decimal(0)), 0),
    ],
)
def test_a_call_costs_whole_micro_dollars_rounded_up(price: Price, micros: int) -> None:
    assert price.of(USED) == micros


@given(st.integers(0, 2**40))
def test_dollars_for_people_are_exact(micros: int) -> None:
    shown = in_dollars(micros)
    assert Decimal(shown.removeprefix("$")) * 10**6 == micros
    assert len(shown.partition(".")[2]) >= 2


def test_amount_is_kept_within_the_range_of_stores() -> None:
    assert Amount(-1, 2**80).believable == Amount(0, 2**40)


@pytest.mark.parametrize(
    ("used", "units"),
    [
        (Amount(799, 79), []),
        (Amount(800, 79), ["tokens"]),
        (Amount(799, 80), ["micros"]),
        (Amount(2_000, 200), ["tokens", "micros"]),
    ],
)
def test_a_budget_is_nearly_used_from_80_percent_on(used: Amount, units: list[str]) -> None:
    budget = Amount(1_000, 100)
    assert [one["unit"] for one in nearly_used(budget, used, "user")] == units
    assert nearly_used(Amount(), used, "user") == []
