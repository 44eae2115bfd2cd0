"""Validation rule by rule: what can be decided from the text alone, and how verdicts are joined.

A rule with limits in its parameters (lengths, words that must or must not stand in the text) is checked
here. One that has nothing but limits needs no model. Every rule gets exactly one verdict.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple

from pydantic import BeforeValidator

from app.core import coerce
from app.core.written import Objects, Prose, Score, Text, Texts, Written

THRESHOLD: Final = 0.7
Severity = Literal["error", "warning", "info"]
_SEVERITIES: Final = ("error", "warning", "info")


class Rule(NamedTuple):
    """`describes`: it says more than its limits do, so that somebody has to judge."""

    rule_id: str
    name: str
    parameters: Mapping[str, Any]
    is_required: bool
    describes: bool


class Fault(Written):
    """A fault of a text. `location`: its place; empty: the whole text."""

    severity: Annotated[
        Severity, BeforeValidator(lambda value: coerce.choice(value, _SEVERITIES) or "warning")
    ] = "warning"
    message: Text = ""
    location: Text = ""
    suggestions: Texts = ()


class Verdict(Written):
    """A model's verdict on rule number `rule`, from 1."""

    rule: Annotated[int, BeforeValidator(lambda value: _number(value))] = 0
    score: Score = None
    issues: Annotated[tuple[Fault, ...], Objects] = ()


class Verdicts(Written):
    """The verdicts of a model about a text and its rules."""

    analysis: Prose = ""
    verdicts: Annotated[tuple[Verdict, ...], Objects] = ()


def by_number(given: Verdicts) -> dict[int, Verdict]:
    """The verdicts with a score; the first of each rule counts."""
    found: dict[int, Verdict] = {}
    for one in given.verdicts:
        if one.score is not None and one.rule:
            found.setdefault(one.rule, one)
    return found


def _number(value: Any) -> int:
    """0: none."""
    found = re.search(r"\d{1,4}", str(value)) if not isinstance(value, bool) else None
    return int(found[0]) if found else 0


# -- what needs no model ----------------------------------------------------------------------------


def _words(value: Any) -> list[str]:
    values = [value] if isinstance(value, str) else value if isinstance(value, list) else []
    return [word for word in values if isinstance(word, str) and word.strip()]


def _holds(text: str, words: str) -> bool:
    pattern = r"\s+".join(re.escape(part) for part in words.split())
    return re.search(rf"(?<!\w){pattern}(?!\w)", text, re.IGNORECASE) is not None


def _bound(count: int, limit: Any, unit: str, *, most: bool) -> list[Fault]:
    if isinstance(limit, bool) or not isinstance(limit, int | float):
        return []
    if count <= limit if most else count >= limit:
        return []
    side = "most" if most else "least"
    return [_fault(f"It has {count} {unit}; at {side} {limit} are allowed.")]


def _fault(message: str, location: str = "") -> Fault:
    return Fault(severity="error", message=message, location=location)


_Check = Callable[[str, Any], list[Fault]]
_CHECKS: Final[dict[str, _Check]] = {
    "min_length": lambda text, limit: _bound(len(text), limit, "characters", most=False),
    "max_length": lambda text, limit: _bound(len(text), limit, "characters", most=True),
    "min_words": lambda text, limit: _bound(len(text.split()), limit, "words", most=False),
    "max_words": lambda text, limit: _bound(len(text.split()), limit, "words", most=True),
    "must_include": lambda text, value: [
        _fault(f"“{word}” is missing.") for word in _words(value) if not _holds(text, word)
    ],
    "must_not_include": lambda text, value: [
        _fault(f"“{word}” must not stand in it.", word)
        for word in _words(value)
        if _holds(text, word)
    ],
}
_CHECKS["required_words"] = _CHECKS["must_include"]
_CHECKS["forbidden_words"] = _CHECKS["must_not_include"]


def checked(rule: Rule, text: str) -> list[Fault]:
    """The limits of the rule that the text breaks."""
    return [
        fault
        for name, value in rule.parameters.items()
        if name in _CHECKS
        for fault in _CHECKS[name](text, value)
    ]


def to_judge(rules: Sequence[Rule], text: str) -> list[int]:
    """The numbers, from 1, of the rules that somebody has to judge."""
    return [number for number, rule in enumerate(rules, start=1) if needs_judge(rule, text)]


def needs_judge(rule: Rule, text: str) -> bool:
    """Whether its limits leave the verdict open."""
    known = rule.parameters.keys() & _CHECKS.keys()
    more = rule.describes or rule.parameters.keys() - known
    return not checked(rule, text) and (not known or bool(more))


# -- verdicts ---------------------------------------------------------------------------------------


def judged(rules: Sequence[Rule], text: str, given: Verdicts) -> dict[str, Any]:
    """The verdict on a text. `given`: verdicts on the rules that somebody had to judge."""
    verdicts = by_number(given)
    results = [
        _result(rule, text, verdicts.get(number)) for number, rule in enumerate(rules, start=1)
    ]
    required = [result for rule, result in zip(rules, results, strict=True) if rule.is_required]
    mean = sum(result["score"] for result in required) / len(required) if required else 1.0
    return {
        "overall_score": round(mean, 4),
        "passed": all(result["passed"] for result in required),
        "results": results,
        "summary": _summary(rules, results),
        "analysis": given.analysis,
    }


def _result(rule: Rule, text: str, verdict: Verdict | None) -> dict[str, Any]:
    faults = checked(rule, text)
    if faults:
        points = 0.0
    elif not needs_judge(rule, text):
        points = 1.0
    elif verdict is None or verdict.score is None:
        points, faults = 0.0, [_unanswered(rule)]
    else:
        points, faults = verdict.score, [fault for fault in verdict.issues if fault.message]
    if points < THRESHOLD and not faults:
        faults = [Fault(severity="error", message="The text falls short of this rule.")]
    return {
        "rule_id": rule.rule_id,
        "name": rule.name,
        "passed": points >= THRESHOLD,
        "score": points,
        "issues": [_issue(rule, fault) for fault in faults],
    }


def _unanswered(rule: Rule) -> Fault:
    return Fault(
        severity="error" if rule.is_required else "warning",
        message="The model has not judged this rule, though it was asked twice.",
    )


def _issue(rule: Rule, fault: Fault) -> dict[str, Any]:
    shown: dict[str, Any] = {"rule_id": rule.rule_id, **fault.model_dump()}
    if not fault.location:
        del shown["location"]
    return shown


def _summary(rules: Sequence[Rule], results: Sequence[Mapping[str, Any]]) -> str:
    failed = [rule for rule, one in zip(rules, results, strict=True) if not one["passed"]]
    text = f"{len(rules) - len(failed)} of {len(rules)} rules are met."
    named = ", ".join(
        f"{rule.name or rule.rule_id}{'' if rule.is_required else ' (optional)'}" for rule in failed
    )
    return f"{text} Not met: {named}." if failed else text
