"""The whole examination: each model, journey-log, the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from app.doctor.model import ModelExam, ModelRules
from app.doctor.report import Report
from app.doctor.upstreams import examine_journey_log, examine_store
from app.ports.journey_log import JourneyLog
from app.ports.model import ProbedModel


@dataclass(frozen=True, slots=True)
class Patient:
    """The adapters to examine. `models`: the first one generates, the others are its fallbacks.
    `storyteller`: whether the offline one is the last fallback. `journey_log`: None where it is embedded;
    then it is in the folder of the store. `check_store`: returns the state of the store in words, or
    raises `BadSetting`.
    """

    models: Sequence[ProbedModel]
    model_address: str
    rules: ModelRules
    storyteller: bool
    journey_log: JourneyLog | None
    journey_log_address: str
    check_store: Callable[[], str]


async def examine(patient: Patient, report: Report) -> bool:
    """Whether a turn would succeed."""
    answered = await _models(patient, report)
    report.section(f"journey-log {patient.journey_log_address}")
    if patient.journey_log is None:
        report.ok("reading", "embedded, beside the store")
        kept = True
    else:
        kept = await examine_journey_log(patient.journey_log, report)
    report.section("store")
    return examine_store(patient.check_store, report) and kept and answered


async def _models(patient: Patient, report: Report) -> bool:
    works = False
    for number, model in enumerate(patient.models):
        name = "fallback model" if number else "model"
        report.section(f"{name} {model.name} at {patient.model_address} ({model.api})")
        exam = ModelExam(model, patient.rules, report)
        turn = await exam.turn()
        works = works or turn is not None
        if turn is not None and number == 0:
            await exam.rest(turn)
    if patient.storyteller:
        report.section("offline storyteller")
        where = "takes over where no model answers" if patient.models else "is the model"
        report.ok("a turn", where)
    return works or patient.storyteller
