"""SillyTavern in a browser: six actions, with all that its buttons can do between them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from game import ACTIONS, Game, press, say, shows, started, wait

from browser import Browser, Tab

VERSION = "1.19.0"
PACKAGES = (f"sillytavern@{VERSION}",)
FIELD, BUTTON = "#send_textarea", "#send_but"
_STILL = "getComputedStyle(document.querySelector('#mes_stop')).display === 'none'"

_COUNT = """(() => {
  const { eventSource, eventTypes } = SillyTavern.getContext();
  window.generated = 0;
  eventSource.on(eventTypes.GENERATION_ENDED, () => (window.generated += 1));
})()"""


@contextmanager
def served(modules: Path, folder: Path, game: Game, port: int) -> Iterator[str]:
    """Its server, set up to have the game's service as a custom chat completion source."""
    folder.mkdir()
    address = f"http://127.0.0.1:{port}"
    places = ["--dataRoot", str(folder / "data"), "--configPath", str(folder / "config.yaml")]
    options = ["--port", str(port), "--browserLaunchEnabled", "false", *places]
    command = ["node", str(modules / "sillytavern" / "server.js"), *options]
    with started(command, folder, address, {}):
        pass  # the first start makes the settings
    settings = folder / "data" / "default-user" / "settings.json"
    known = json.loads(settings.read_text(encoding="utf-8"))
    settings.write_text(json.dumps(_set_up(known, game)), encoding="utf-8")
    with started(command, folder, address, {}):
        yield address


def _set_up(known: dict[str, Any], game: Game) -> dict[str, Any]:
    known |= {"firstRun": False, "main_api": "openai", "active_character": "default_Seraphina.png"}
    known["power_user"] |= {"auto_connect": True, "auto_load_chat": True}
    known["oai_settings"] |= {
        "chat_completion_source": "custom",
        "custom_url": f"{game.base}/v1",
        "custom_model": game.model,
        "custom_prompt_post_processing": "",
        "stream_openai": True,
    }
    return known


def play(browser: Browser, address: str, game: Game, pictures: Path) -> None:
    tab = browser.tab(address)
    _connected(tab)
    _act(tab, game, 0)
    _again(tab, game, 0, "#option_regenerate")
    _act(tab, game, 1)
    _continue(tab, game, 1)
    _act(tab, game, 2)
    tab.shoot(pictures / "silly-tavern-regenerated-and-continued.png")
    _stopped(tab, game, 3)
    tab.shoot(pictures / "silly-tavern-stopped.png")
    tab.reload()
    _connected(tab)
    shows(tab, game.played(2))
    _act(tab, game, 4)
    _act(tab, game, 5)
    tab.shoot(pictures / "silly-tavern-reloaded.png")
    game.check()


def _connected(tab: Tab) -> None:
    """A chat is open, and the model server was asked for its models."""
    wait(tab, "document.querySelector('#chat .mes')")
    wait(tab, "document.querySelector('.online_status_text')?.innerText === 'Valid'")
    tab.run(_COUNT)


@contextmanager
def _generated(tab: Tab) -> Iterator[None]:
    """Until the page has done with what is asked for in the block."""
    before = tab.run("window.generated")
    yield
    wait(tab, f"window.generated > {before} && {_STILL}")


def _act(tab: Tab, game: Game, number: int) -> None:
    with _generated(tab):
        say(tab, FIELD, ACTIONS[number], BUTTON)
    shows(tab, game.played(number))


def _again(tab: Tab, game: Game, number: int, option: str) -> None:
    """The same turn is streamed again."""
    with _generated(tab):
        press(tab, f"document.querySelector('{option}')")
    shows(tab, game.played(number))


def _continue(tab: Tab, game: Game, number: int) -> None:
    """There is nothing to continue: no turn is played, and the answer stays."""
    with _generated(tab):
        press(tab, "document.querySelector('#option_continue')")
    shows(tab, game.played(number))


def _stopped(tab: Tab, game: Game, number: int) -> None:
    """The turn goes on, although its page has left."""
    with _generated(tab):
        say(tab, FIELD, ACTIONS[number], BUTTON)
        game.begun(number)
        press(tab, "document.querySelector('#mes_stop')")
    game.played(number)
