"""Published prices, as the installed table has them, and the operator's own before them."""

from __future__ import annotations

import socket
from decimal import Decimal
from typing import Any, NoReturn

import pytest
from app.adapters.prices import PublishedPrices
from app.bootstrap import load_settings
from app.bootstrap.prices import price_list
from app.core.money import Price
from app.core.results import Usage
from app.generation.prices import PriceList
from app.settings import BadSetting

OPENAI = "https://api.openai.com/v1"
MILLION = 1_000_000


def usage(**fields: Any) -> Usage:
    return Usage(**({"input_tokens": 1_000, "output_tokens": 100} | fields))


def test_nothing_is_fetched_for_a_price(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise AssertionError("a connection was made")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    assert PublishedPrices(OPENAI).cost("gpt-4o-mini", usage(cached_tokens=10)) == 210  # 209.25


@pytest.mark.parametrize(
    ("address", "model", "answered"),
    [
        (OPENAI, "no-such-model", "no-such-model"),
        (OPENAI, "", ""),
        ("http://127.0.0.1:11434/v1", "gpt-4o", "gpt-4o"),
        ("http://localhost:4000", "gpt-4o", "openai/gpt-4o"),
        ("https://models.example/v1", "gpt-4o", "gpt-4o"),
        ("https://api.openai.com.example/v1", "gpt-4o", "gpt-4o"),
        ("https://api.moonshot.ai.example/v1", "kimi-k2-0905-preview", ""),
    ],
)
def test_no_price_is_guessed(address: str, model: str, answered: str) -> None:
    assert PublishedPrices(address).cost(model, usage(model=answered)) is None


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("gpt-4o", "gpt-4o-2024-08-06"),
        ("gpt-4o", "unheard-of"),
        ("an-alias", "gpt-4o"),
        ("gpt-4o", ""),
    ],
)
def test_the_model_that_answered_counts_and_else_the_one_that_was_asked(
    asked: str, answered: str
) -> None:
    assert PublishedPrices(OPENAI).cost(asked, usage(model=answered)) == 3_500


@pytest.mark.parametrize(
    ("address", "model"),
    [
        ("https://mine.openai.azure.com/openai/v1", "gpt-4o"),
        ("https://openrouter.ai/api/v1", "openai/gpt-4o"),
        ("https://generativelanguage.googleapis.com/v1beta/openai/", "gemini-2.5-pro"),
        ("https://api.moonshot.ai/v1", "kimi-k2-0905-preview"),
        ("https://api.openai.com:443/v1", "gpt-4o"),
    ],
)
def test_providers_are_known_by_their_address(address: str, model: str) -> None:
    assert (PublishedPrices(address).cost(model, usage()) or 0) > 0


def test_more_cached_than_read_is_no_failure() -> None:
    most = PublishedPrices(OPENAI).cost("gpt-4o", usage(cached_tokens=10**9))
    assert most is not None
    assert most < 3_500


def test_own_prices_come_first() -> None:
    prices = PriceList({"m": Price(Decimal(1), Decimal(2))}, models=["m", "n"])
    assert prices.cost("m", usage(model="other")) == 1_200
    assert prices.cost("other", usage(model="m")) == 1_200
    assert prices.cost("n", usage()) is None
    assert prices.unpriced(["m", "n"]) == ["n"]
    assert prices.most(None, MILLION, 1) == MILLION + 2
    assert prices.most("n", 10, 0) == 10  # the first model may take over


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        ({"openai_base_url": "http://127.0.0.1:9/v1"}, True),
        ({"openai_base_url": "http://127.0.0.1:9/v1", "model_prices": "m=0/0"}, False),
        ({"openai_api_key": "k"}, True),
        ({"openai_api_key": "k", "openai_model": "gpt-4o"}, False),
        ({"openai_api_key": "k", "openai_model": "gpt-4o", "openai_fallback_model": "x"}, True),
        ({"openai_api_key": "k", "openai_model": "gpt-4o", "openai_further_models": "x"}, True),
        ({}, False),
    ],
)
@pytest.mark.parametrize("limit", ["dollars_per_user_per_day", "table_dollar_budget"])
def test_money_is_only_limited_where_every_model_has_a_price(
    settings: dict[str, Any], refused: bool, limit: str
) -> None:
    limited = {"openai_model": "m", limit: "0.5", **settings}
    built = load_settings(_env_file=None, **limited)
    if not refused:
        price_list(built)
        return
    with pytest.raises(BadSetting, match=rf"{limit.upper()}: the price of [mx] is not known"):
        price_list(built)
