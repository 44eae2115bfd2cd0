"""Whether a server answers two players at a time."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final

from app.doctor.answers import Answer, ask, small_turn
from app.doctor.report import Report
from app.ports.model import ModelFailed, ProbedModel

QUICK_SECONDS: Final = 0.3
"""An answer as short as that overlaps with no other one by design."""
_SUBJECT: Final = "two players at a time"
_INTERRUPTS: Final = (
    "a server setting that lets an answer end before the next one begins (llama-cpp-python: "
    "--interrupt_requests false)"
)

Outcome = Answer | ModelFailed


async def together(
    model: ProbedModel, turn: Answer, slots: int, report: Report, clock: Callable[[], float]
) -> None:
    """Ask twice at once. `slots`: how many calls the service makes at a time."""
    if slots == 1:
        report.note(_SUBJECT, "not asked: MAX_CONCURRENT_LLM_CALLS is 1, players wait in line")
    elif turn.seconds < QUICK_SECONDS:
        report.note(_SUBJECT, f"not asked: an answer takes less than {QUICK_SECONDS} s")
    else:
        calls = [_outcome(model, turn.streamed, clock) for _ in range(2)]
        _judge(turn, *await asyncio.gather(*calls), report=report)


async def _outcome(model: ProbedModel, stream: bool, clock: Callable[[], float]) -> Outcome:
    try:
        return await ask(model, small_turn(), clock, stream=stream)
    except ModelFailed as failure:
        return failure


def _judge(turn: Answer, *both: Outcome, report: Report) -> None:
    answers = [one for one in both if isinstance(one, Answer)]
    failures = [one for one in both if isinstance(one, ModelFailed)]
    wait = _waiting(turn)
    if failures:
        report.warn(_SUBJECT, f"one of two answers failed ({failures[0]})", *wait)
    elif not all(answer.readable for answer in answers):
        report.warn(_SUBJECT, "an answer was cut short by the next one", *wait, _INTERRUPTS)
    elif in_line(*answers):
        report.warn(_SUBJECT, "the server answers one player at a time", *wait)
    else:
        report.ok(_SUBJECT, "both were answered at the same time")


def in_line(one: Answer, other: Answer) -> bool:
    """Whether two answers that were asked for at once came after each other."""
    sooner, later = sorted((one, other), key=lambda answer: answer.seconds)
    if sooner.pieces > 1 and later.pieces > 1:
        return later.first - sooner.first >= 0.7 * (sooner.seconds - sooner.first)
    return later.seconds >= 1.7 * sooner.seconds


def _waiting(turn: Answer) -> tuple[str, ...]:
    """Settings with which players wait for each other instead of failing."""
    wait = min(max(30, math.ceil(turn.seconds * 4)), 300)
    return (
        f"MAX_CONCURRENT_LLM_CALLS=1 and LLM_SLOT_WAIT_SECONDS={wait}: players wait in line here, "
        "and not at the server",
    )
