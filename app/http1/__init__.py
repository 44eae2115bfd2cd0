"""HTTP/1.1 beneath httpx and httpx2, and beside them: fewer objects per read, and no request sent twice."""

from app.http1.exchange import Exchanges, Timeouts
from app.http1.pool import Origin
from app.http1.transport import transport_for

__all__ = ["Exchanges", "Origin", "Timeouts", "transport_for"]
