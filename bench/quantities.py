"""What a measure of one server gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Quantity:
    name: str
    unit: str = ""
    more_is_better: bool = False


Values = Mapping[Quantity, float]
"""What one run of one server gives."""
