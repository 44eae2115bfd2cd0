"""Quantiles of what was measured."""

from __future__ import annotations

from collections.abc import Sequence


def quantile(values: Sequence[float], at: float) -> float:
    """The value below which the share `at` of them lies; 0 where there are none."""
    ordered = sorted(values)
    return ordered[min(int(at * len(ordered)), len(ordered) - 1)] if ordered else 0.0
