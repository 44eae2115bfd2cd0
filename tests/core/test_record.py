"""Our own record of a character, after a turn."""

from __future__ import annotations

from typing import Any

import pytest
from app.core.context import CharacterProgress, Location
from app.core.outcome import Intents, LocationIntent, QuestIntent
from app.core.record import CommitRecord, next_progress
from app.core.results import Change, SubsystemSummary, Timing, Usage, Validation
from app.core.writes import PlannedWrite, WritePlan
from scenes import CHARACTER, NOW

OLD = CharacterProgress(
    turns=7,
    since_quest=2,
    since_poi=3,
    quest_offered_at=100.0,
    quest_completed_at=50.0,
    marker=5_000,
    location=Location(id="mill", display_name="The Mill"),
    minor_location="the loft",
    quest_progress=["Found the key"],
)


def record(old: CharacterProgress, intents: Intents, markers: tuple[int, ...] = ()) -> CommitRecord:
    writes = tuple(
        PlannedWrite(
            subsystem="narrative",
            action="create",
            method="POST",
            path="/narrative",
            body={},
            marker=marker,
        )
        for marker in markers
    )
    return CommitRecord(
        turn_id="turn-1",
        user_id="local",
        character_id=CHARACTER,
        request_id="r",
        started_at=NOW,
        narrative="x",
        tokens_streamed=1,
        plan=WritePlan(writes=writes, summary=SubsystemSummary()),
        intents=intents,
        progress=old,
        timing=Timing(),
        usage=Usage(),
        validation=Validation(),
    )


def after(
    old: CharacterProgress = OLD,
    intents: Intents | None = None,
    markers: tuple[int, ...] = (),
    **changes: Change,
) -> CharacterProgress:
    summary = SubsystemSummary(**{f"{name}_change": change for name, change in changes.items()})
    return next_progress(record(old, intents or Intents(), markers), summary, NOW)


def done(action: str) -> Change:
    return Change(action=action, success=True)


def failed(action: str) -> Change:
    return Change(action=action, success=False, error="no")


def test_a_turn_without_changes_only_counts() -> None:
    expected = {"turns": 8, "since_quest": 3, "since_poi": 4}
    assert after() == OLD.model_copy(update=expected)


def test_a_character_that_never_had_one_still_never_had_one() -> None:
    fresh = after(CharacterProgress())
    assert (fresh.since_quest, fresh.since_poi, fresh.turns) == (None, None, 1)


def test_an_offer_that_was_written_starts_the_wait() -> None:
    new = after(quest=done("offered"))
    assert (new.since_quest, new.quest_offered_at) == (0, NOW)
    assert new.quest_completed_at == OLD.quest_completed_at
    assert new.quest_progress == []


@pytest.mark.parametrize("action", ["completed", "abandoned"])
def test_a_quest_that_ended_starts_the_wait(action: str) -> None:
    new = after(quest=done(action))
    assert new.quest_completed_at == NOW
    assert new.quest_offered_at == OLD.quest_offered_at
    assert new.quest_progress == []


@pytest.mark.parametrize("action", ["offered", "completed", "abandoned", "skipped"])
def test_a_quest_write_that_failed_changes_nothing(action: str) -> None:
    assert after(quest=failed(action)) == after()


def test_a_place_that_was_written_starts_its_wait() -> None:
    assert after(poi=done("create")).since_poi == 0


@pytest.mark.parametrize(
    "change", [failed("create"), done("reference"), failed("skipped"), Change(action="create")]
)
def test_a_place_that_was_not_written_does_not(change: Change) -> None:
    assert after(poi=change).since_poi == 4


@pytest.mark.parametrize(("old", "expected"), [(5_000, 9_000), (20_000, 20_000)])
def test_the_last_marker_is_kept_and_never_goes_back(old: int, expected: int) -> None:
    progress = OLD.model_copy(update={"marker": old})
    assert after(progress, markers=(8_000, 9_000)).marker == expected


def test_a_plan_without_writes_keeps_the_marker() -> None:
    assert after().marker == OLD.marker


# -- progress -------------------------------------------------------------------------------------


def advance(text: str | None) -> Intents:
    return Intents(quest_intent=QuestIntent(action="advance", progress_update=text))


def test_an_advance_adds_its_progress() -> None:
    new = after(intents=advance(" Opened the door "), quest=done("advanced"))
    assert new.quest_progress == ["Found the key", "Opened the door"]


@pytest.mark.parametrize("text", [None, "", "  "])
def test_an_advance_without_words_adds_nothing(text: str | None) -> None:
    assert after(intents=advance(text), quest=done("advanced")).quest_progress == ["Found the key"]


def test_an_advance_without_a_quest_adds_nothing() -> None:
    assert after(intents=advance("x")).quest_progress == ["Found the key"]


def test_progress_is_bounded() -> None:
    old = OLD.model_copy(update={"quest_progress": [str(n) for n in range(20)]})
    new = after(old, advance("x" * 900), quest=done("advanced"))
    assert new.quest_progress == [*(str(n) for n in range(1, 20)), "x" * 500]


# -- location -------------------------------------------------------------------------------------


def moved(**fields: Any) -> tuple[Location | None, str | None]:
    new = after(intents=Intents(location_intent=LocationIntent(**fields)))
    return new.location, new.minor_location


MILL = OLD.location


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (MILL, "the loft")),
        ({"action": "none", "minor_location": "x"}, (MILL, "the loft")),
        ({"action": "update_minor"}, (MILL, "the loft")),
        ({"action": "update_minor", "minor_location": "the cellar"}, (MILL, "the cellar")),
        ({"action": "leave_poi"}, (MILL, None)),
        ({"action": "leave_poi", "minor_location": "the road"}, (MILL, "the road")),
        (
            {"action": "leave_poi", "location_id": "lake", "location_display_name": "The Lake"},
            (Location(id="lake", display_name="The Lake"), None),
        ),
        (
            {"action": "update_minor", "location_id": "lake", "minor_location": "a boat"},
            (Location(id="lake", display_name="lake"), "a boat"),
        ),
        (
            {"action": "update_minor", "location_display_name": "The Lake"},
            (Location(id="", display_name="The Lake"), None),
        ),
    ],
)
def test_a_move_is_recorded(
    fields: dict[str, Any], expected: tuple[Location | None, str | None]
) -> None:
    assert moved(**fields) == expected


def test_without_a_location_intent_nobody_moves() -> None:
    assert (after().location, after().minor_location) == (MILL, "the loft")


def test_a_record_survives_the_journal() -> None:
    kept = record(OLD, advance("x"), (9_000,))
    assert CommitRecord.model_validate_json(kept.model_dump_json()) == kept
