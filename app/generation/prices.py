"""Prices of models: the operator's own first, then published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from app.core.money import Price, Pricing, unpriced
from app.core.results import Usage


class PriceList:
    """`own` by name of the model; `models`: those that answer where a request names none."""

    def __init__(
        self,
        own: Mapping[str, Price],
        published: Pricing = unpriced,
        models: Sequence[str] = (),
    ) -> None:
        self._own = own
        self._published = published
        self._models = models

    def cost(self, model: str, usage: Usage) -> int | None:
        """As `Pricing`."""
        own = self._own.get(model) or self._own.get(usage.model)
        return self._published(model, usage) if own is None else own.of(usage)

    def most(self, model: str | None, read: int, written: int) -> int:
        """Micro-dollars that a call can cost, whichever model answers; `read` and `written` are tokens."""
        names = self._models if model is None else [model, *self._models]
        return max((self._of(name, read, written) or 0 for name in names), default=0)

    def unpriced(self, models: Sequence[str] | None = None) -> list[str]:
        """The models without a price, of those given, else of those that answer."""
        names = self._models if models is None else models
        return [name for name in names if self._of(name, 1, 1) is None]

    def _of(self, model: str, read: int, written: int) -> int | None:
        return self.cost(model, Usage(model=model, input_tokens=read, output_tokens=written))
