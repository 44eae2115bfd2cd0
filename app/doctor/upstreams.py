"""journey-log and the store: would a turn be read and written?"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Final

from app.doctor.report import Report
from app.errors import CharacterNotFound, DungeonMasterError, JourneyLogTimeout
from app.ports.call import CallMeta
from app.ports.journey_log import JourneyLog
from app.settings import BadSetting

USER: Final = "doctor"


async def examine_journey_log(
    journey_log: JourneyLog, report: Report, clock: Callable[[], float] = time.monotonic
) -> bool:
    """Reads only: nothing is made there. Whether a turn could be read and written."""
    meta, began = CallMeta(str(uuid.uuid4())), clock()
    try:
        await journey_log.characters(USER, meta)
        seconds = clock() - began
        await journey_log.context(USER, str(uuid.uuid4()), meta)
    except CharacterNotFound:
        report.ok("reading", f"answers as journey-log does, {seconds * 1000:.0f} ms")
        return True
    except DungeonMasterError as error:
        slow = isinstance(error, JourneyLogTimeout)
        report.fail(
            "reading",
            error.message,
            "JOURNEY_LOG_TIMEOUT: longer than journey-log takes to answer"
            if slow
            else "JOURNEY_LOG_BASE_URL: the address of a journey-log that runs",
        )
        return False
    report.fail(
        "reading",
        "it knows a character that cannot exist: something else answers there",
        "JOURNEY_LOG_BASE_URL: the address of a journey-log",
    )
    return False


def examine_store(check: Callable[[], str], report: Report) -> bool:
    """`check` says how the store is, or raises `BadSetting`."""
    try:
        report.ok("writing", check())
    except BadSetting as error:
        report.fail("writing", str(error), "STORE_URL: a file in a folder that this user may write")
        return False
    return True
