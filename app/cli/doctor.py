"""Ask the model, journey-log and the store, and print what works and what to set."""

from __future__ import annotations

import argparse
import asyncio

from app.bootstrap import patient, unknown_names
from app.doctor.examination import examine
from app.doctor.report import Report
from app.settings import SharedSettings


def run(settings: SharedSettings, _: argparse.Namespace) -> int:
    """The command: 0 where a turn would succeed, 1 where it would fail."""
    report = Report(lambda line: print(line, flush=True))
    works = asyncio.run(_examined(settings, report))
    if report.advice:
        print("What to set or to change:")
    for advice in report.advice:
        print(f"  {advice}")
    print("A turn would succeed." if works else "A turn would fail.")
    return 0 if works else 1


async def _examined(settings: SharedSettings, report: Report) -> bool:
    for name, nearest in unknown_names():
        report.section("settings")
        meant = f"; did you mean {nearest}?" if nearest else ""
        report.note(name, f"is no setting{meant}")
    async with patient(settings) as examined:
        return await examine(examined, report)
