"""The report: one line for each finding, and the settings that would help."""

from __future__ import annotations

from collections.abc import Callable

from app.telemetry.redaction import printable, redact_secrets


class Report:
    """`say` takes each line as soon as it is known: some questions take a minute.

    `advice`: what to set, in the order in which it was found out.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self.advice: list[str] = []

    def section(self, title: str) -> None:
        """Begin the findings on one upstream."""
        self._say(printable(title))

    def ok(self, subject: str, text: str) -> None:
        """Something works."""
        self._line("ok", subject, text)

    def note(self, subject: str, text: str) -> None:
        """Something is worth knowing, or was not asked."""
        self._line("note", subject, text)

    def warn(self, subject: str, text: str, *advice: str) -> None:
        """Turns work, but less well than they could."""
        self._line("warn", subject, text)
        self.advise(*advice)

    def fail(self, subject: str, text: str, *advice: str) -> None:
        """A turn would fail of it."""
        self._line("FAIL", subject, text)
        self.advise(*advice)

    def advise(self, *advice: str) -> None:
        """Name settings that would help."""
        self.advice += [printable(one) for one in advice if printable(one) not in self.advice]

    def _line(self, mark: str, subject: str, text: str) -> None:
        self._say(f"  {mark:<5} {subject:<26} {redact_secrets(printable(text))}")
