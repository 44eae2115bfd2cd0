"""A network between two processes that can be cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Wire:
    """Forwards to the server until it is cut: then it takes everything and forwards nothing. While it is
    `mute`, what the server says is lost; while it refuses, nobody is connected. Until it is `quick`, it
    keeps what it takes. `answered`: bytes of the server so far."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.cut = threading.Event()
        self.mute = threading.Event()
        self.quick = threading.Event()
        self.quick.set()
        self.answered = 0
        self._refuses = False
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refuses:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._ends += (client, server)
            for ends in ((client, server, self.cut), (server, client, self.mute)):
                threading.Thread(target=self._forward, args=ends, daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, cut: threading.Event) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.answered += len(data) if cut is self.mute else 0
                self.quick.wait()
                if not (self.cut.is_set() or cut.is_set()):
                    target.sendall(data)
        _shut(source, target)
        source.close()

    def refuse(self) -> None:
        """End all connections, and each new one."""
        self._refuses = True
        _shut(*self._ends)
        self._ends.clear()

    def accept(self) -> None:
        """Take connections again."""
        self._refuses = False

    def close(self) -> None:
        self._listener.close()
        self.quick.set()


def _shut(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)  # closing alone does not wake the other thread
