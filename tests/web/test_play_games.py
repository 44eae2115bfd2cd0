"""Whole games on the play page: on desktop and phone, alone and at a table, through cuts and failures."""

from __future__ import annotations

import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from browser import DESKTOP, PHONE, Browser, Tab, require_accessible
from fakes.model import FakeModel, Script, outcome_text
from relay import relay_to
from serving import Served

OFFLINE: dict[str, Any] = {
    "openai_base_url": None,
    "openai_api_key": None,
    "storyteller_tokens_per_second": 0,
    "rng_seed": "game",
}
STORY = "The bell rings. Nobody has touched it! “Who is there?” you ask.\n\nNo answer comes."
SENTENCES = ["The bell rings.", "Nobody has touched it!", "“Who is there?”", "you ask."]
SENTENCES += ["No answer comes."]
TOKEN = Script.token_chars


def begin(tab: Tab, name: str = "Maren") -> None:
    tab.wait("!document.querySelector('#creation').hidden")
    for field, value in (("name", name), ("race", "Human"), ("class_name", "Ranger")):
        tab.fill(f"#{field}", value)
    tab.click("#creation [type=submit]")
    wait_for_turns(tab, 1)


def wait_for_turns(tab: Tab, turns: int) -> None:
    """Wait until the page shows so many ended turns."""
    tab.wait(f"document.querySelectorAll('.complete').length >= {turns}")
    tab.wait("!document.querySelector('#send').hidden")


def act(tab: Tab, action: str) -> None:
    turns = tab.count(".complete")
    tab.fill("#action", action)
    tab.click("#send")
    wait_for_turns(tab, turns + 1)


def opened(browser: Browser, service: Served, size: tuple[int, int] = DESKTOP) -> Tab:
    """The story of the one character of the service."""
    tab = browser.tab(f"{service.url}/", size)
    tab.wait("!document.querySelector('#tale').hidden")
    return tab


def picture(tab: Tab, name: str) -> None:
    """Kept where the environment names a folder for PICTURES."""
    if folder := os.environ.get("PICTURES"):
        tab.page.mouse.move(0, 0)
        tab.page.screenshot(path=Path(folder) / name, animations="disabled")


# -- whole games ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "theme"), [(DESKTOP, "light"), (PHONE, "dark")])
def test_whole_game_is_played_and_every_view_is_accessible(
    browser: Browser, serve: Callable[..., Served], size: tuple[int, int], theme: str
) -> None:
    service = serve(**OFFLINE)
    tab = browser.tab(f"{service.url}/", size)
    tab.wait("!document.querySelector('#creation').hidden")
    tab.page.locator("#reading summary").click()
    tab.page.locator("#theme").select_option(theme)
    require_accessible(tab)
    tab.page.locator("#reading summary").click()
    begin(tab)
    for action in ("Yes, I will do it.", "I look around.", "I attack."):
        act(tab, action)
    tab.page.locator("#options button").first.click()
    wait_for_turns(tab, 5)
    picture(tab, f"play-{size[0]}.png")
    assert tab.count("#story .turn") == 5
    assert tab.run("getComputedStyle(document.documentElement).colorScheme") == theme
    assert tab.run("document.documentElement.scrollWidth") <= size[0]
    for panel in ("cast", "sheet-panel", "dice-panel"):
        tab.run(f"document.getElementById('{panel}').open = true")
    tab.press("F2")
    require_accessible(tab)


def test_reference_is_accessible(browser: Browser, serve: Callable[..., Served]) -> None:
    tab = browser.tab(f"{serve(**OFFLINE).url}/docs")
    tab.wait("document.querySelectorAll('details').length > 10")
    require_accessible(tab)


# -- addresses ------------------------------------------------------------------------------------


def test_each_character_has_an_address_and_back_returns_to_it(
    browser: Browser, serve: Callable[..., Served]
) -> None:
    service = serve(**OFFLINE)
    tab = browser.tab(f"{service.url}/")
    begin(tab, "Maren")
    first = tab.page.url
    tab.page.locator("#new-character").click()
    tab.wait("!document.querySelector('#creation').hidden")
    tab.page.locator("#back").click()
    tab.wait("!document.querySelector('#tale').hidden")
    assert (tab.text("#tale-title"), tab.page.title().startswith("Maren")) == ("Maren", True)
    tab.page.locator("#new-character").click()
    begin(tab, "Tobin")
    assert tab.page.title().startswith("Tobin")
    second = tab.page.url
    assert "/#/characters/" in first
    assert first != second
    tab.page.go_back()
    tab.wait_text("Maren", "#tale-title")
    assert tab.page.url == first
    tab.page.go_forward()
    tab.wait_text("Tobin", "#tale-title")
    tab.page.locator("#cast-list a", has_text="Maren").click()
    tab.wait_text("Maren", "#tale-title")
    other = browser.tab(second)
    other.wait_text("Tobin", "#tale-title")


# -- what may come between ------------------------------------------------------------------------


def test_cut_connection_is_taken_up_without_a_lost_or_doubled_word(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service = serve()
    words = " ".join(f"word{number}" for number in range(60)) + "."
    written, permits, given = outcome_text(words), threading.Semaphore(0), 0
    model.then(Script(text=written, permits=permits))
    with relay_to(service.port) as relay:
        tab = browser.tab(f"{relay.url}/")
        tab.wait("!document.querySelector('#tale').hidden")
        tab.fill("#action", "I count.")
        tab.click("#send")
        for reached in (10, 25, 40):
            until = written.index(f"word{reached} ") // TOKEN + 3
            permits.release(until - given)
            tab.wait_text(f"word{reached}", ".live .narrative")
            relay.cut()
            tab.wait_text("Connection lost", ".live .state")
            permits.release(10)  # the narrative goes on meanwhile
            given = until + 10
            relay.mend()
        tab.wait("!document.querySelector('.adrift')")
        tab.run("dispatchEvent(new Event('dm-woken'))")  # the machine slept
        permits.release(len(written))
        wait_for_turns(tab, 1)
        assert tab.text(".complete .narrative") == words
        assert relay.cuts >= 3
        tab.reload()
        tab.wait_text(words, "#story")
        assert tab.text("#story").count("word59.") == 1


def test_hidden_tab_leaves_the_turn_it_watches_and_goes_on_where_it_was(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service, gate = serve(), threading.Event()
    model.then(Script(text=outcome_text("The bell rings. It fades."), gate=gate, gate_after=6))
    tab = opened(browser, service)
    tab.fill("#action", "I ring the bell.")
    tab.click("#send")
    tab.wait_text("The bell", ".live .narrative")
    tab.hide(hidden=True)
    service.wait_for(lambda: service.metric("dungeon_master_streams_active") == 0)
    gate.set()
    service.wait_for(
        lambda: service.call("GET", f"/characters/{character}").json()["active_turn"] is None
    )
    tab.hide(hidden=False)
    wait_for_turns(tab, 1)
    assert tab.text(".complete .narrative") == "The bell rings. It fades."


def test_seventh_tab_loads_while_six_hidden_ones_watch_a_turn(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    """A browser opens six connections to a host over HTTP/1.1."""
    service, gate = serve(), threading.Event()
    model.then(Script(text=outcome_text("It fades."), gate=gate, gate_after=6))
    tabs = [opened(browser, service)]
    tabs[0].fill("#action", "I ring the bell.")
    tabs[0].click("#send")
    tabs[0].wait("document.querySelector('.live')")
    for _ in range(6):
        tabs[-1].hide(hidden=True)
        tabs.append(browser.beside(tabs[0], tabs[0].page.url))
        tabs[-1].wait_text("I ring the bell.", ".live")
    gate.set()
    wait_for_turns(tabs[-1], 1)
    service.wait_for(lambda: service.metric("dungeon_master_streams_active") == 1)


def test_address_of_no_character_says_so(browser: Browser, serve: Callable[..., Served]) -> None:
    tab = browser.tab(f"{serve(**OFFLINE).url}/#/characters/6f1c0b52-8a55-4f6e-9d6e-0c5f0c6f0a01")
    tab.wait_text("cannot be read", "#tale-title")
    tab.page.locator("#turn-notice .notice").wait_for()


def test_escape_stops_a_turn_and_arrow_up_brings_its_words_back(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    gate = threading.Event()
    model.then(Script(text=outcome_text("It fades."), gate=gate, gate_after=6))
    tab = opened(browser, serve())
    assert tab.shown("#send")
    tab.page.locator("#action").press_sequentially("I ring the bell.")
    tab.press("Enter")
    tab.wait("!document.querySelector('#cancel').disabled")
    tab.press("Escape")
    tab.wait_text("Cancelled, not saved", "#story")
    gate.set()
    tab.wait("!document.querySelector('#send').hidden")
    act(tab, "I wait.")
    tab.page.locator("#action").press_sequentially("half a wo")
    for key, shown in (
        ("ArrowUp", "I wait."),
        ("ArrowUp", "I ring the bell."),
        ("ArrowUp", "I ring the bell."),
        ("ArrowDown", "I wait."),
        ("ArrowDown", "half a wo"),
    ):
        tab.press(key)
        assert tab.run("document.querySelector('#action').value") == shown


def test_failure_is_shown_where_it_happened_and_the_words_are_kept(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    tab = opened(browser, serve(llm_max_retries=0))
    model.then(Script(text="no story"), Script(text="no story"))
    tab.fill("#action", "I knock.")
    tab.click("#send")
    tab.wait("document.querySelector('#story .verdict')")
    assert "Not saved" in tab.text("#story")
    require_accessible(tab)
    tab.page.get_by_role("button", name="Edit and try again").click()
    assert tab.run("document.querySelector('#action').value") == "I knock."


# -- reading --------------------------------------------------------------------------------------


def test_screen_readers_hear_each_sentence_once_as_soon_as_it_is_whole(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    tab, gate = opened(browser, serve()), threading.Event()
    written = outcome_text(STORY)
    until = (written.index("Nobody has") + 12) // TOKEN
    model.then(Script(text=written, gate=gate, gate_after=until))
    tab.fill("#action", "I listen.")
    tab.click("#send")
    tab.wait_text("Nobody", ".live .narrative")
    heard = "[...document.querySelectorAll('#announcer p')].map((one) => one.textContent)"
    assert tab.run(heard) == SENTENCES[:1]
    gate.set()
    wait_for_turns(tab, 1)
    assert tab.run(heard) == SENTENCES
    assert tab.count(".complete .narrative p") == 2


def test_story_is_exported_as_markdown_from_its_first_turn(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service = serve()
    for number in range(22):
        model.then(Script(text=outcome_text(f"*Bell* {number}.\n\nIt fades.")))
        assert service.turn(character, f"I ring {number}.").last["type"] == "complete"
    tab = opened(browser, service)
    with tab.page.expect_download() as found:
        tab.click("#export")
    assert found.value.suggested_filename.endswith(".md")
    text = found.value.path().read_text("utf-8")
    parts = [f"> I ring {number}.\n\n\\*Bell\\* {number}.\n\nIt fades." for number in range(22)]
    assert text.partition("\n\n")[2] == "\n\n".join(parts) + "\n"


def test_question_is_answered_beside_the_story(
    browser: Browser, serve: Callable[..., Served]
) -> None:
    tab = browser.tab(f"{serve(**OFFLINE).url}/")
    begin(tab)
    tab.fill("#action", "Who is with me?")
    tab.click("#ask")
    tab.wait("document.querySelectorAll('#story .aside p:not(.waiting)').length === 2")
    assert tab.count("#story .turn") == 1
    require_accessible(tab)
    tab.click("[data-sides='20']")
    rolled = int(re.findall(r"d20 (\d+)", tab.text("#rolls"))[0])
    assert 1 <= rolled <= 20
    assert f"I roll {rolled} on a d20" in tab.run("document.querySelector('#action').value")


def test_cost_of_a_turn_and_of_the_day_is_shown(
    browser: Browser, serve: Callable[..., Served], model: FakeModel, character: str
) -> None:
    service = serve(model_prices="gpt-5.1=1000/1000", dollars_per_user_per_day=100)
    tab = opened(browser, service)
    tab.wait_text("$0.00 of $100.00", "#spent")
    act(tab, "I wait.")
    tab.wait("!document.querySelector('#spent').textContent.includes('$0.00 ')")
    micros = service.call("GET", "/usage").json()["cost_micros"]
    tab.press("F2")
    assert f"${micros / 1e6:.2f}" in tab.text("#story .figures")
    assert f"${micros / 1e6:.2f} of $100.00" in tab.text("#spent")


# -- together -------------------------------------------------------------------------------------


def opens_table(browser: Browser, service: Served) -> Tab:
    """The owner's tab at a new table."""
    owner = lists_tables(browser, service)
    makes_table(owner)
    return owner


def lists_tables(browser: Browser, service: Served) -> Tab:
    """The owner's tab before there is a table."""
    owner = browser.tab(f"{service.url}/#/tables")
    owner.wait("!document.querySelector('#seating').hidden")
    return owner


def makes_table(owner: Tab) -> None:
    owner.fill("#table-name", "The Drowned Bell")
    owner.fill("#player-name", "Mara")
    owner.click("#take-seat")
    owner.wait_text("you", "#members")


def invited(browser: Browser, owner: Tab, name: str, role: str = "player") -> Tab:
    """The tab of somebody who has followed a new link and taken a seat."""
    guest = before_a_seat(browser, owner, role)
    takes_seat(guest, name)
    return guest


def before_a_seat(browser: Browser, owner: Tab, role: str = "player") -> Tab:
    """The tab of somebody who has followed a new link."""
    before = owner.run("document.querySelector('#invite-link')?.value ?? ''")
    owner.click(f"#invitations [data-role={role}]")
    link = "document.querySelector('#invite-link')?.value"
    owner.wait(f"({link} ?? {json.dumps(before)}) !== {json.dumps(before)}")
    guest = browser.tab(str(owner.run(link)), PHONE)
    guest.wait("!document.querySelector('#seating').hidden")
    return guest


def takes_seat(guest: Tab, name: str) -> None:
    guest.fill("#player-name", name)
    guest.click("#take-seat")
    guest.wait(f"document.querySelector('#members').textContent.includes({json.dumps(name)})")
    guest.run("document.querySelector('#members-panel').open = true")


def changes_rules(owner: Tab, **rules: str) -> None:
    """As the owner does it in the form."""
    owner.run("document.querySelector('#rules').open = true")
    owner.wait("document.querySelector('#rule-round').value")
    for name, value in rules.items():
        owner.run(f"document.querySelector('#rules-form [name={name}]').value = {value!r}")
    owner.run("document.querySelector('#rules-form').requestSubmit()")
    owner.wait("!document.querySelector('#rules').open")


def test_two_browsers_play_at_one_table_by_its_link(
    browser: Browser, serve: Callable[..., Served]
) -> None:
    owner = lists_tables(browser, serve(**OFFLINE))
    require_accessible(owner)
    makes_table(owner)
    guest = before_a_seat(browser, owner)
    require_accessible(guest)
    takes_seat(guest, "Joss")
    assert guest.page.url.endswith("/tables/1")
    owner.page.locator("#story .offer button").click()
    wait_for_both(owner, guest, 1)
    guest.fill("#action", "I knock.")
    guest.click("#send")
    wait_for_both(owner, guest, 2)
    owner.click("[data-sides='20']")
    wait_for_both(owner, guest, 3)
    for tab in (owner, guest):
        assert "Joss I knock." in tab.text("#story")
        assert re.search(r"Mara rolls 1d20 \(check\): \d+\.", tab.text("#story"))
        assert tab.count("#options button") == 3
    picture(owner, "play-table.png")
    require_accessible(guest)
    guest.reload()
    guest.wait("document.querySelectorAll('#story .turn').length === 3")
    guest.wait_text("Joss I knock.", "#story")


SCENE_IS_TOLD = "document.querySelector('#scene').textContent.includes('Danger')"


def test_scene_is_shown_to_all_and_its_notes_to_the_dungeon_master(
    browser: Browser, serve: Callable[..., Served]
) -> None:
    owner = opens_table(browser, serve(**OFFLINE))
    assert not owner.shown("#scene-panel")
    guest = invited(browser, owner, "Joss")
    owner.page.locator("#story .offer button").click()
    wait_for_both(owner, guest, 1)
    for tab in (owner, guest):
        tab.wait(SCENE_IS_TOLD)
        require_accessible(tab)
    mine, theirs = (
        tab.run("document.querySelector('#scene').textContent") for tab in (owner, guest)
    )
    assert mine.startswith(f"{theirs}For you alone")
    guest.reload()
    guest.wait(SCENE_IS_TOLD)


def test_members_of_a_table_talk_whisper_pause_and_stop_the_story(
    browser: Browser, serve: Callable[..., Served]
) -> None:
    service = serve(**OFFLINE)
    owner = opens_table(browser, service)
    guest = invited(browser, owner, "Joss")
    owner.wait_text("Joss", "#members")
    owner.page.get_by_role("button", name="Whisper to Joss").click()
    owner.page.locator("#whisper-words").press_sequentially("The bell is hollow.")
    require_accessible(owner)
    owner.page.get_by_role("button", name="Whisper", exact=True).click()
    for tab in (owner, guest):
        tab.wait_text("The bell is hollow.", "#story")
        assert "(whispered)" in tab.text("#story")
    guest.fill("#action", "Who brings the lantern?")
    guest.click("#say")
    owner.wait_text("Joss Who brings the lantern?", "#story")
    owner.click("#pause")
    guest.wait_text("Paused: nobody can act.", "#table-state")
    guest.fill("#action", "I knock.")
    guest.click("#send")
    guest.wait_text("The session is paused.", "#turn-notice")
    owner.wait_text("Resume", "#pause")
    owner.click("#pause")
    guest.wait("!document.querySelector('#table-state').textContent")
    guest.run("document.querySelector('#x-card').open = true")
    guest.fill("#x-topic", "spiders")
    require_accessible(guest)
    guest.page.get_by_role("button", name="Play the X card").click()
    owner.wait_text("Joss has played the X card.", "#story")
    owner.run("document.querySelector('#rules').open = true")
    owner.wait("document.querySelector('#rule-lines').value === 'spiders'")
    require_accessible(owner)
    guest.page.on("dialog", lambda dialog: dialog.accept())
    guest.click("#leave-table")
    owner.wait("!document.querySelector('#members').textContent.includes('Joss')")
    guest.wait("document.querySelector('#tale').hidden")


def test_round_shows_who_has_acted_and_whom_it_waits_for(
    browser: Browser, serve: Callable[..., Served]
) -> None:
    owner = opens_table(browser, serve(**OFFLINE))
    guest = invited(browser, owner, "Joss")
    changes_rules(owner, mode="rounds", round_seconds="3600", dollars="2.5")
    state = "#table-state"
    owner.wait_text("Round 1. Waiting for Mara, Joss.", state)
    owner.fill("#action", "I knock.")
    owner.click("#send")
    for tab in (owner, guest):
        tab.wait_text("Round 1. Mara acted. Waiting for Joss, until ", state)
    picture(owner, "play-round.png")
    guest.click("#away")
    wait_for_both(owner, guest, 1)
    for tab in (owner, guest):
        tab.wait_text("Round 2. Waiting for Mara.", state)
    guest.wait_text("I am back", "#away")
    guest.click("#away")
    owner.wait_text("Round 2. Waiting for Mara, Joss.", state)
    guest.fill("#action", "I listen.")
    guest.click("#send")
    owner.wait_text("Round 2. Joss acted. Waiting for Mara, until ", state)
    owner.click("#round-close")
    wait_for_both(owner, guest, 2)
    owner.wait_text("of $2.50", "#spent")
    owner.click("#usage summary")
    assert owner.shown("#usage-days td")
    require_accessible(owner)


def test_dungeon_master_edits_approves_retells_and_vetoes_a_narration(
    browser: Browser, serve: Callable[..., Served]
) -> None:
    owner = opens_table(browser, serve(**OFFLINE))
    master = before_a_seat(browser, owner, "dm")
    require_accessible(master)
    takes_seat(master, "Edda")
    changes_rules(owner, approval_seconds="3600")
    owner.page.locator("#story .offer button").click()
    master.wait("!document.querySelector('#approval').hidden")
    assert len(master.run("document.querySelector('#approval-narrative').value")) > 20
    require_accessible(master)
    picture(master, "play-approval.png")
    master.reload()
    master.wait("!document.querySelector('#approval').hidden")
    master.fill("#approval-narrative", "The bell has never rung.")
    master.click("#approve")
    for tab in (master, owner):
        wait_for_turns(tab, 1)
        assert "The bell has never rung." in tab.text("#story .complete .narrative")
        assert not tab.shown("#approval")
    owner.fill("#action", "I knock.")
    owner.click("#send")
    asked = "[...document.querySelectorAll('#announcer p')]"
    asked += ".filter((one) => one.textContent.includes('waits for your approval')).length"
    for times, button in ((2, "#approval-retell"), (3, "#veto")):  # once before, for the opening
        master.wait(f"{asked} === {times}")
        master.click(button)
    for tab in (master, owner):
        tab.wait_text("Cancelled, not saved", "#story")
    owner.wait("document.querySelectorAll('#invitation-list li').length === 1")
    owner.click("#invitation-list button")
    owner.wait("document.querySelectorAll('#invitation-list li').length === 0")
    owner.page.on("dialog", lambda dialog: dialog.accept())
    owner.page.get_by_role("button", name="Remove Edda").click()
    owner.wait("!document.querySelector('#members').textContent.includes('Edda')")
    owner.run("document.querySelector('#removed').open = true")
    owner.wait_text("Edda", "#removed-list")
    require_accessible(owner)
    picture(owner, "play-removed.png")
    owner.page.get_by_role("button", name="Readmit Edda").click()
    owner.wait("!document.querySelector('#nobody-removed').hidden")


def wait_for_both(one: Tab, other: Tab, turns: int) -> None:
    for tab in (one, other):
        wait_for_turns(tab, turns)
    assert one.text(".complete:last-of-type .narrative") == other.text(
        ".complete:last-of-type .narrative"
    )
