"""HTTP/1.1 beneath httpx and httpx2: fewer objects per read, and no request sent twice."""

from app.http1.transport import transport_for

__all__ = ["transport_for"]
