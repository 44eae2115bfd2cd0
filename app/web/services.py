"""The services that features bring, as endpoints find them."""

from __future__ import annotations

from typing import TypeVar

from starlette.requests import HTTPConnection

Service = TypeVar("Service")


class Services:
    """Services by type."""

    def __init__(self) -> None:
        self._found: dict[type, object] = {}

    def add(self, service: object) -> None:
        """Make a service available under its type and those that it extends."""
        for kind in type(service).__mro__[:-1]:
            self._found[kind] = service

    def get(self, kind: type[Service]) -> Service:
        """Raises `LookupError` for a service that no feature has brought."""
        found = self._found.get(kind)
        if not isinstance(found, kind):
            raise LookupError(f"no feature provides {kind.__name__}")
        return found


def services_of(connection: HTTPConnection) -> Services:
    """The services of the application that serves the connection."""
    services = connection.app.state.services
    assert isinstance(services, Services)
    return services
