"""Signals between processes that are none."""

from __future__ import annotations

from app.ports.signals import OnGap, Receiver, Signal


class Linked:
    """Those of one process. `lost`: they reach nobody. `late`: they reach others at `deliver`."""

    def __init__(self, processes: list[Linked]) -> None:
        self.lost = self.late = False
        self._sent: list[Signal] = []
        self._receivers: list[Receiver] = []
        self._processes = processes
        processes.append(self)

    def send(self, signal: Signal) -> None:
        if not self.lost:
            self._sent.append(signal)
        if not self.late:
            self.deliver()

    def deliver(self) -> None:
        """Let others have what was sent."""
        sent, self._sent = self._sent, []
        others = [process for process in self._processes if process is not self]
        for receive in [one for process in others for one in process._receivers]:
            for signal in sent:
                receive(signal)

    def receive(self, receiver: Receiver, on_gap: OnGap | None = None) -> None:
        self._receivers.append(receiver)
