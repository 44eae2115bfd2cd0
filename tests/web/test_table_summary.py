"""The rolling summary of a table: made beside its turns, part of later prompts, corrected by its owner."""

from __future__ import annotations

import pytest
from app.core.table_prompt import BEHIND, WINDOW

from fakes.model import FakeModel, Script
from serving import Served, refused
from tabling import Guest, party, script_of

NEEDED = WINDOW + BEHIND


@pytest.fixture
def at_table(service: Served, model: FakeModel) -> Served:
    model.default = script_of()
    return service


def chats(guest: Guest, table: int, count: int) -> None:
    """What is said beside the turns is a part of the story, too."""
    for number in range(count):
        body = {"sender_name": guest.name.title(), "content": f"word {number}."}
        assert guest.call("POST", f"/{table}/messages", body).status == 200


def test_lines_outside_the_window_are_summarised_prompted_and_corrected(
    at_table: Served, model: FakeModel
) -> None:
    table, (owner, mara) = party(at_table, "olga", "mara")
    chats(mara, table, NEEDED)
    assert mara.call("GET", f"/{table}/summary").json()["summary"] == ""
    model.then(script_of(), Script(text="Mara spoke at length."))
    assert owner.acts(table).status == 200
    at_table.wait_for(lambda: mara.call("GET", f"/{table}/summary").json()["summary"])
    made = mara.call("GET", f"/{table}/summary").json()
    assert (made["summary"], made["corrected"]) == ("Mara spoke at length.", False)
    asked = model.requests[-1].body.decode()
    assert "word 0." in asked
    assert f"word {NEEDED - 1}." not in asked

    assert owner.acts(table, "I+wait.").status == 200
    prompt = model.requests[-1].body.decode()
    assert "Mara spoke at length." in prompt
    assert "word 0." not in prompt
    assert f"word {NEEDED - 1}." in prompt

    refused(mara.call("PUT", f"/{table}/summary", {"summary": "No."}), 403, "forbidden")
    reply = owner.call("PUT", f"/{table}/summary", {"summary": "Nobody spoke."})
    assert (reply.json()["summary"], reply.json()["corrected"]) == ("Nobody spoke.", True)
    assert owner.acts(table, "I+go.").status == 200
    assert "Nobody spoke." in model.requests[-1].body.decode()


def test_prompt_holds_the_newest_twenty_lines_and_ten_for_a_roll(
    at_table: Served, model: FakeModel
) -> None:
    owner = Guest(at_table, "olga")
    table = owner.opens()
    chats(owner, table, 25)

    def shown() -> list[int]:
        prompt = model.requests[-1].body.decode()
        return [number for number in range(25) if f"word {number}." in prompt]

    assert owner.call("POST", f"/{table}/roll", {"dice": "1d20"}).status == 200
    assert shown() == list(range(15, 25))
    assert owner.acts(table).status == 200  # the roll and its answer are two of the twenty
    assert shown() == list(range(7, 25))
