"""Prices of the models that are configured."""

from __future__ import annotations

from importlib import import_module
from urllib.parse import urlsplit

from app.addresses import is_private
from app.bootstrap.models import model_address, model_names
from app.core.money import Pricing, unpriced
from app.generation.prices import PriceList
from app.settings import BadSetting, ModelSettings
from app.turns.settings import TurnSettings


def price_list(settings: ModelSettings) -> PriceList:
    """Raises `BadSetting` where money is limited and a model has no price."""
    own = settings.own_prices
    if settings.offline:
        return PriceList(own)
    names = model_names(settings)
    every = [*names, *settings.openai_further_models]
    published: Pricing = unpriced
    # What is at a private address has no published price.
    private = is_private(urlsplit(model_address(settings)).hostname or "")
    if not (own.keys() >= set(every) or private):
        published = (
            import_module("app.adapters.prices").PublishedPrices(model_address(settings)).cost
        )
    prices = PriceList(own, published, names)
    limited = isinstance(settings, TurnSettings) and settings.dollars_per_user_per_day
    if limited and (unknown := prices.unpriced(every)):
        raise BadSetting(
            f"DOLLARS_PER_USER_PER_DAY: the price of {unknown[0]} is not known; set MODEL_PRICES"
        )
    return prices
