"""Addresses, hosts and origins as settings spell them. Raises `ValueError` for what can never match.

No message repeats a value: it may hold a secret.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from ipaddress import IPv6Address, ip_address
from typing import Final
from urllib.parse import urlsplit

ANY: Final = "*"

_NAME = r"[a-z0-9](?:[a-z0-9._-]*[a-z0-9.])?"
_HOST = re.compile(rf"{_NAME}|\[[0-9a-f:.]+\]")
_ORIGIN = re.compile(rf"([a-z][a-z0-9+.-]*)://({_NAME}|\[[0-9a-f:.]+\])(?::(\d{{1,5}}))?")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_NEVER_SENT: Final = ("ws", "wss", "ftp", "file")


def http_url(value: str | None) -> str | None:
    """An http or https address without credentials, query and fragment. Raises `ValueError`."""
    if value is None:
        return None
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        raise ValueError("must be an http:// or https:// address with a port up to 65535") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise ValueError("must be an http:// or https:// address")
    if not value.isprintable() or " " in value:
        raise ValueError("must be an address without blanks")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError("must not hold credentials, a query or a fragment")
    return value.rstrip("/")


def listen_host(value: str) -> str:
    """A name or an address to listen on; an IPv6 address without brackets. Raises `ValueError`."""
    name = value.removeprefix("[").removesuffix("]") if value.startswith("[") else value
    if not re.fullmatch(_NAME, name.lower()) and not _is_ipv6(name.partition("%")[0]):
        raise ValueError("must be a host name or an IP address, without http:// and port")
    return name


def hosts(values: Iterable[str]) -> tuple[str, ...]:
    """Names as in a `Host` header without its port; IPv6 addresses get brackets. Raises `ValueError`."""
    found = _each(values, _host)
    if not found:
        raise ValueError("must name at least one host")
    return found


def origins(values: Iterable[str]) -> tuple[str, ...]:
    """Origins as browsers send them, without default ports. Raises `ValueError`."""
    return _each(values, _origin)


_LOCAL_NAMES: Final = (".localhost", ".local", ".internal", ".lan", ".home.arpa")


def is_private(host: str) -> bool:
    """Whether a host is this machine or one of a private network, as far as its name shows it."""
    try:
        return ip_address(host).is_private
    except ValueError:
        return "." not in host or host.endswith(_LOCAL_NAMES)


def _each(values: Iterable[str], read: Callable[[str], str]) -> tuple[str, ...]:
    found = []
    for number, value in enumerate(values, start=1):
        try:
            found.append(value if value == ANY else read(value.lower()))
        except ValueError as error:
            raise ValueError(f"{error} (entry {number})") from None
    return tuple(found)


def _host(value: str) -> str:
    if _is_ipv6(value.strip("[]")):
        return f"[{IPv6Address(value.strip('[]'))}]"
    if not _HOST.fullmatch(value):
        raise ValueError(
            "must be a host name without http://, port, path and wildcard, such as game.example; "
            "* alone accepts any"
        )
    return value


def _origin(value: str) -> str:
    if value == "null":
        return value
    found = _ORIGIN.fullmatch(value.rstrip("/"))
    port = int(found[3] or 1) if found else 0
    if found is None or found[1] in _NEVER_SENT or not 0 < port <= 65_535:
        raise ValueError(
            "must be an origin, such as https://game.example or http://localhost:3000, without path "
            "and wildcard; * alone accepts any"
        )
    scheme, host = found[1], _host(found[2])
    usual = found[3] is None or _DEFAULT_PORTS.get(scheme) == port
    return f"{scheme}://{host}" if usual else f"{scheme}://{host}:{port}"


def _is_ipv6(value: str) -> bool:
    try:
        IPv6Address(value)
    except ValueError:
        return False
    return True
