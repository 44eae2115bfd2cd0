"""What no line of a log may hold, whatever a test does: keys, tokens, tickets, players' and models'
words. The whole suite is listened to."""

from __future__ import annotations

import re

_NEVER = re.compile(
    "|".join(
        [
            "sk-test-key",  # OPENAI_API_KEY of the tests
            "the-shared-secret-of-these-tests",  # JWT_SECRET
            r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}",  # a token
            r"\b\d{10}\.[\w-]+\.[0-9a-f]{64}\b",  # a ticket
            "The torch gutters",  # how the usual story begins
            "I open the door",  # what players usually do
            "Silence the bell under the vault",  # their usual quest
        ]
    )
)


def leaks(text: str) -> list[str]:
    """The lines that hold any of it."""
    return [line for line in text.splitlines() if _NEVER.search(line)]


class Listening:
    """Where logs go unless a test looks at them, and where it is heard what they should not say.

    Not to `sys.stdout`: pytest exchanges it while the service's thread may be printing, and CPython
    can crash on that.
    """

    def __init__(self) -> None:
        self.lines = 0
        self.leaked: list[str] = []

    def write(self, text: str) -> int:
        self.lines += 1
        self.leaked += leaks(text)
        return len(text)

    def flush(self) -> None:
        return
