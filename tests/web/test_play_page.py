"""The play page in a real browser, with the offline storyteller."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from app.core.opening import DEFAULT_ADVENTURE, OPENING_ACTION

from browser import Browser, Tab, require_accessible
from fakes.model import FakeModel, Script, outcome_text
from passes import WITH_SECRET, token
from serving import Served

OFFLINE: dict[str, Any] = {
    "openai_base_url": None,
    "openai_api_key": None,
    "storyteller_tokens_per_second": 0,
    "quest_trigger_prob": 1,
    "quest_cooldown_turns": 0,
    "rng_seed": "x",
}
OPERATOR_WORDS = ("Context", "Policy", "Validation", "Writes", "tokens", "in all")


def begin(browser: Browser, service: Served) -> Tab:
    tab = browser.tab(f"{service.url}/")
    tab.wait("!document.querySelector('#creation').hidden")
    for field, value in (("name", "Maren"), ("race", "Human"), ("class_name", "Ranger")):
        tab.fill(f"#{field}", value)
    tab.click("#creation [type=submit]")
    tab.wait("document.querySelector('.complete')")
    tab.wait_text("Human Ranger", "#sheet")
    return tab


def act(tab: Tab, action: str) -> None:
    ended = tab.run("document.querySelectorAll('.complete').length")
    tab.fill("#action", action)
    tab.click("#send")
    tab.wait(f"document.querySelectorAll('.complete').length > {ended}")
    tab.wait("!document.querySelector('#send').hidden")


def sheet(service: Served) -> dict[str, Any]:
    (row,) = service.call("GET", "/characters").json()["characters"]
    shown: dict[str, Any] = service.call("GET", f"/characters/{row['character_id']}").json()
    context: dict[str, Any] = shown["context"]
    return context


def test_turn_can_be_retold_before_it_is_kept(
    browser: Browser, serve: Callable[..., Served], model: FakeModel
) -> None:
    tab = begin(browser, serve())
    model.then(Script(text=outcome_text("The door is cold.")))
    tab.click("#manual")
    tab.fill("#action", "I knock.")
    tab.click("#send")
    tab.wait("!document.querySelector('#choices').hidden")
    tab.wait_text("The door is cold.", ".turn.live")
    require_accessible(tab)
    model.then(Script(text=outcome_text("The door is warm.")))
    tab.fill("#guidance", "warmer")
    tab.click("#retell")
    tab.wait_text("The door is warm.", ".turn.live")
    tab.wait("!document.querySelector('#choices').hidden")
    assert "cold" not in tab.text("#story")
    assert not tab.run("document.querySelector('#cancel').disabled")
    tab.click("#commit")
    tab.wait("!document.querySelector('#send').hidden")
    assert tab.run("document.querySelector('#choices').hidden")
    tab.wait_text("The door is warm.", "#story")
    assert "warmer" in model.requests[-1].body.decode()


def test_sheet_shows_where_the_character_is_and_ticks_the_steps_of_its_quest(
    browser: Browser, serve: Callable[..., Served], tmp_path: Path
) -> None:
    for number in range(8):
        store = f"sqlite:///{tmp_path}/{number}/store.db"  # and the embedded journey-log beside it
        service = serve(**OFFLINE, journey_log_base_url=None, store_url=store)
        tab = begin(browser, service)
        past = _quest_played(tab, service)
        if past["outcome"] == "completed":  # now and then it is lost in a fight on the way
            break
    assert past["rewards"]["items"][0] in tab.text("#sheet")


def _quest_played(tab: Tab, service: Served) -> dict[str, Any]:
    """The quest, once it has ended; the page shows each step of it."""
    tab.wait_text("Reward: ", "#sheet")
    assert tab.run("document.querySelectorAll('#sheet .quest-step.done').length") == 0
    for action in ["Yes, I will do it.", *["I go on along the road."] * 20]:
        act(tab, action)
        if sheet(service)["past_quests"]:
            break
        if sum(step["done"] for step in sheet(service)["quest"]["steps"]):
            tab.wait("document.querySelector('#sheet .quest-steps .done')")
        minor = sheet(service)["location"]["minor_location"]
        tab.wait_text(minor[0].upper() + minor[1:], "#sheet")
    past: dict[str, Any]
    (past,) = sheet(service)["past_quests"]
    tab.wait_text("Quests past", "#sheet")
    assert past["name"] in tab.text("#sheet")
    return past


def test_player_reads_plain_receipts_and_the_workings_only_after_their_key(
    browser: Browser, serve: Callable[..., Served]
) -> None:
    tab = begin(browser, serve(**OFFLINE))
    assert "Saved: a new quest" in tab.text("#story")
    shown = tab.text()
    assert [word for word in OPERATOR_WORDS if word in shown] == []
    tab.run("dispatchEvent(new KeyboardEvent('keydown', {key: 'F2'}))")
    assert "tokens" in tab.text("#story")


def test_default_adventure_is_nowhere_on_the_page(
    browser: Browser, serve: Callable[..., Served]
) -> None:
    service = serve(**OFFLINE)
    tab = begin(browser, service)
    for shown in (tab.text(), _reloaded(tab, service)):
        assert DEFAULT_ADVENTURE not in shown
        assert OPENING_ACTION not in shown


def _reloaded(tab: Tab, service: Served) -> str:
    tab.reload()
    tab.wait("document.querySelector('#story .narrative')")
    return tab.text()


def test_refused_token_is_named_and_another_one_can_be_given(
    browser: Browser, serve: Callable[..., Served]
) -> None:
    service = serve(**OFFLINE, **WITH_SECRET)
    tab = browser.tab(f"{service.url}/")
    tab.wait("!document.querySelector('#gate').hidden")
    assert "not accepted" not in tab.text("#gate")
    require_accessible(tab)
    for wrong, words in (("wrong", "not accepted"), ("wörng", "letters, digits")):
        tab.fill("#gate-token", wrong)
        tab.click("#gate [type=submit]")
        tab.wait_text(words, "#gate")
    require_accessible(tab)
    tab.fill("#gate-token", f"Bearer {token(scope='content')}")
    tab.click("#gate [type=submit]")
    tab.wait_text("not accepted", "#gate")
    tab.fill("#gate-token", f"Bearer {token()}")
    tab.click("#gate [type=submit]")
    tab.wait("!document.querySelector('#creation').hidden")
    tab.click("#change-token")
    tab.wait("!document.querySelector('#gate').hidden")


def test_unreachable_server_is_said_until_it_answers_again(
    browser: Browser, serve: Callable[..., Served]
) -> None:
    service = serve(**OFFLINE)
    tab = begin(browser, service)
    tab.offline(True)
    # What arrived before the cut may be read after a first refusal, and takes its words away.
    service.wait_for(lambda: "cannot be reached" in _refreshed(tab))
    require_accessible(tab)
    tab.offline(False)
    tab.wait("!document.body.innerText.includes('cannot be reached')")


def _refreshed(tab: Tab) -> str:
    tab.run("import('/static/page.js').then((page) => page.refreshSheet())")
    return tab.text()


def test_second_tab_shows_a_turn_that_was_played_elsewhere(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service = serve()
    tab = browser.tab(f"{service.url}/")
    tab.wait("!document.querySelector('#tale').hidden")
    model.then(Script(text=outcome_text("A door opens far away.")))
    assert service.turn(character, "I knock.").last["type"] == "complete"
    tab.wait_text("A door opens far away.", "#story")
    assert "I knock." in tab.text("#story")


def streams(service: Served) -> float:
    return service.metric("dungeon_master_streams_active")


def test_two_tabs_follow_each_other_live_with_one_stream_each(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service, gates = serve(), [threading.Event() for _ in range(2)]
    tabs = [browser.tab(f"{service.url}/") for _ in range(2)]
    service.wait_for(lambda: streams(service) == 2)
    for number, gate in enumerate(gates):
        story = outcome_text(f"Bell {number} rings. It fades.")
        model.then(Script(text=story, gate=gate, gate_after=6))
        player, watcher = tabs[number], tabs[1 - number]
        player.fill("#action", f"I ring bell {number}.")
        player.click("#send")
        for tab in (player, watcher):
            tab.wait_text(f"I ring bell {number}.", ".live")
            tab.wait_text(f"Bell {number}", ".live")
        service.wait_for(lambda: streams(service) == 2)
        gate.set()
        for tab in (player, watcher):
            tab.wait_text(f"Bell {number} rings. It fades.", ".complete:last-child")
        service.wait_for(lambda: streams(service) == 2)
    for tab in tabs:
        assert tab.run("document.querySelectorAll('#story .turn').length") == 2


def test_hidden_tab_holds_no_stream_and_catches_up_when_it_is_seen(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service = serve()
    tab = browser.tab(f"{service.url}/")
    service.wait_for(lambda: streams(service) == 1)
    tab.hide(hidden=True)
    service.wait_for(lambda: streams(service) == 0)
    model.then(Script(text=outcome_text("A door opens far away.")))
    assert service.turn(character, "I knock.").last["type"] == "complete"
    gate = threading.Event()
    model.then(Script(text=outcome_text("Somebody comes."), gate=gate))
    with service.live(character, "I call.") as running:
        running.until("metadata", phase="context")
        assert streams(service) == 1
        tab.hide(hidden=False)
        tab.wait_text("I call.", ".live")
        assert "A door opens far away." in tab.text("#story")
        gate.set()
        running.rest()
    tab.wait_text("Somebody comes.", ".complete")
    service.wait_for(lambda: streams(service) == 1)
    assert tab.run("document.querySelectorAll('#story .turn').length") == 2


def test_reloaded_page_follows_the_turn_it_left_running(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service, gate = serve(), threading.Event()
    model.then(Script(text=outcome_text("The bell rings twice."), gate=gate))
    tab = browser.tab(f"{service.url}/")
    tab.wait("!document.querySelector('#tale').hidden")
    tab.fill("#action", "I ring the bell.")
    tab.click("#send")
    tab.wait("!document.querySelector('#cancel').disabled")
    tab.reload()
    tab.wait("document.querySelector('.live')")
    gate.set()
    tab.wait_text("The bell rings twice.", ".complete")
    assert tab.text("#story").count("The bell rings twice.") == 1


def test_other_device_follows_the_turn_that_runs(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service, gate = serve(), threading.Event()
    model.then(Script(text=outcome_text("The bell rings twice."), gate=gate))
    with service.live(character, "I ring the bell."):
        tab = browser.tab(f"{service.url}/")
        tab.wait_text("I ring the bell.", ".live")
        gate.set()
        tab.wait_text("The bell rings twice.", ".complete")


def test_story_before_the_twentieth_turn_can_be_read(
    browser: Browser, serve: Callable[..., Served], character: str
) -> None:
    service = serve()
    for number in range(23):
        assert service.turn(character, f"I count to {number}.").last["type"] == "complete"
    tab = browser.tab(f"{service.url}/")
    tab.wait("document.querySelectorAll('#story .turn').length === 20")
    tab.click("#earlier")
    tab.wait("document.querySelectorAll('#story .turn').length === 23")
    assert tab.text("#story .turn").startswith("I count to 0.")
    assert tab.run("document.querySelector('#earlier').hidden")


def test_failed_opening_can_be_repeated_from_the_page(
    browser: Browser, serve: Callable[..., Served], model: FakeModel
) -> None:
    service = serve(llm_max_retries=0)
    model.then(Script(text="no story"), Script(text="no story"))
    body = {"name": "Maren", "race": "Human", "class_name": "Ranger"}
    assert service.call("POST", "/characters", body).status == 502
    tab = browser.tab(f"{service.url}/")
    tab.wait("document.querySelector('#story button')")
    tab.click("#story button")
    tab.wait("document.querySelector('.complete .narrative')")


@pytest.mark.parametrize("width", [360, 1280])
def test_page_is_never_wider_than_its_window(
    browser: Browser, serve: Callable[..., Served], width: int
) -> None:
    tab = begin(browser, serve(**OFFLINE))
    tab.size(width, 800)
    assert tab.run("document.documentElement.scrollWidth") <= width
