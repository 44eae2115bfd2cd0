"""A transport that goes nowhere: what arrives is what a test hands to the protocol."""

from __future__ import annotations


class Silent:
    def write(self, data: bytes) -> None:
        pass

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        pass
