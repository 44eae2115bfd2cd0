"""HTTP/1.1 beneath httpx and httpx2: fewer objects per read, and no request sent twice."""

from __future__ import annotations

import ssl
from types import ModuleType
from typing import Any

try:
    from app.http1.transport import transport_for
except ImportError:  # no httptools here: None lets the libraries use their own

    def transport_for(library: ModuleType, *, limit: int, tls: ssl.SSLContext) -> Any:
        return None


__all__ = ["transport_for"]
