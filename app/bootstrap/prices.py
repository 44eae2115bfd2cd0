"""Prices of the models that are configured."""

from __future__ import annotations

from importlib import import_module

from app.bootstrap.models import model_names
from app.core.money import Pricing, read_prices, unpriced
from app.generation.prices import PriceList
from app.settings import BadSetting, ModelSettings

_LIMITS = ("dollars_per_user_per_day", "table_dollar_budget")
"""Settings of features that limit money."""


def price_list(settings: ModelSettings) -> PriceList:
    """Raises `BadSetting` where money is limited and a model has no price."""
    own = read_prices(settings.model_prices or "")
    if settings.offline:
        return PriceList(own)
    names = model_names(settings)
    every = [*names, *settings.openai_further_models]
    published: Pricing = unpriced
    # What is at a private address has no published price.
    if not (own.keys() >= set(every) or settings.model_is_private):
        published = (
            import_module("app.adapters.prices").PublishedPrices(settings.model_address).cost
        )
    prices = PriceList(own, published, names)
    limits = [name for name in _LIMITS if getattr(settings, name, 0)]
    if limits and (unknown := prices.unpriced(every)):
        raise BadSetting(
            f"{limits[0].upper()}: the price of {unknown[0]} is not known; set MODEL_PRICES"
        )
    return prices
