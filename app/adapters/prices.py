"""Prices as providers publish them: the table that the package `genai-prices` brings along.

Nothing is fetched: the table is as new as the installed release. Imported only where a model of a provider
is used, since the table takes a tenth of a second and about 20 MB.
"""

from __future__ import annotations

import re
from decimal import Decimal
from urllib.parse import urlsplit

from genai_prices import Usage as PricedUsage
from genai_prices import calc_price

from app.core.money import micros_of
from app.core.results import Usage


class PublishedPrices:
    """Published prices of the provider whose API is at `address`. An unknown provider has none, since
    the same model may have another price there."""

    def __init__(self, address: str) -> None:
        self._address = address.rstrip("/") + "/"

    def cost(self, model: str, usage: Usage) -> int | None:
        """As `Pricing`."""
        for name in dict.fromkeys((usage.model, model)):
            if name and (dollars := self._dollars(name, usage)) is not None:
                return micros_of(dollars)
        return None

    def _dollars(self, name: str, usage: Usage) -> Decimal | None:
        used = PricedUsage(
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cache_read_tokens=min(usage.cached_tokens or 0, usage.input_tokens) or None,
        )
        try:
            found = calc_price(used, name, provider_api_url=self._address)
        except (LookupError, ValueError):
            return None
        return found.total_price if _is_of(self._address, found.provider.api_pattern) else None


def _is_of(address: str, pattern: str) -> bool:
    """Whether the pattern goes to the end of the host's name: most of the table's would take
    https://api.openai.com.example for OpenAI. Some leave the last part of the name open."""
    parts, found = urlsplit(address), re.match(pattern, address)
    if found is None:
        return False
    rest = f"{parts.scheme}://{parts.hostname}"[found.end() :]
    return not rest or (found[0].endswith(".") and "." not in rest)
