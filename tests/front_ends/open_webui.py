"""Open WebUI in a browser: six actions, with all that its buttons can do between them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from game import ACTIONS, Game, last_words, press, say, shows, started, wait

from browser import Browser, Tab

VERSION = "0.12.4"
PACKAGES = (f"open-webui=={VERSION}",)
FIELD, BUTTON = "#chat-input", "#send-message-button"
_LABELLED = "[...document.querySelectorAll('button')].findLast(one => one.ariaLabel === '{}')"
_NAMED = "[...document.querySelectorAll('button')].find(one => one.innerText.includes('{}'))"


@contextmanager
def served(python: Path, folder: Path, game: Game, port: int) -> Iterator[str]:
    """Its server, with the game's service as the only model server."""
    folder.mkdir()
    address = f"http://127.0.0.1:{port}"
    settings = {
        "DATA_DIR": str(folder),
        "OPENAI_API_BASE_URL": f"{game.base}/v1",
        "OPENAI_API_KEY": "none",
        "WEBUI_AUTH": "False",
        "WEBUI_SECRET_KEY": "of-this-run",
        "ENABLE_OLLAMA_API": "False",
        "ENABLE_VERSION_UPDATE_CHECK": "False",
        "BYPASS_EMBEDDING_AND_RETRIEVAL": "True",
        "OFFLINE_MODE": "True",
        "HF_HUB_OFFLINE": "1",
        "ANONYMIZED_TELEMETRY": "False",
        "DO_NOT_TRACK": "true",
    }
    command = [
        str(python.parent / "open-webui"),
        "serve",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with started(command, folder, f"{address}/health", settings):
        yield address


def play(browser: Browser, address: str, game: Game, pictures: Path) -> None:
    tab = browser.tab(f"{address}/?models={game.model}")
    press(tab, _NAMED.format("Okay, Let"))  # what is new in this release
    wait(tab, f"!({_NAMED.format('Okay, Let')})")
    _act(tab, game, 0)
    _regenerate(tab, game, 0)
    _act(tab, game, 1)
    _continue(tab, game, 1)
    _act(tab, game, 2)
    tab.shoot(pictures / "open-webui-regenerated-and-continued.png")
    _stopped(tab, game, 3)
    tab.shoot(pictures / "open-webui-stopped.png")
    tab.reload()
    shows(tab, game.played(2))
    _act(tab, game, 4)
    _act(tab, game, 5)
    tab.shoot(pictures / "open-webui-reloaded.png")
    game.check()


def _act(tab: Tab, game: Game, number: int) -> None:
    say(tab, FIELD, ACTIONS[number], BUTTON)
    shows(tab, game.played(number))
    wait(tab, f"!({_LABELLED.format('Stop')})")


def _regenerate(tab: Tab, game: Game, number: int) -> None:
    """Another answer beside the first, with the same words."""
    press(tab, _LABELLED.format("Regenerate"))
    press(tab, _NAMED.format("Try Again"))
    wait(tab, "document.body.innerText.includes('2/2')")
    shows(tab, game.played(number))
    wait(tab, f"!({_LABELLED.format('Stop')})")


def _continue(tab: Tab, game: Game, number: int) -> None:
    """There is nothing to continue: the page says so, and no turn is played."""
    press(tab, _LABELLED.format("Continue Response"))
    wait(tab, "document.body.innerText.includes('nothing new to play')")
    assert last_words(game.played(number)) in tab.text()


def _stopped(tab: Tab, game: Game, number: int) -> None:
    """The turn goes on, although its page has left."""
    say(tab, FIELD, ACTIONS[number], BUTTON)
    game.begun(number)
    press(tab, _LABELLED.format("Stop"))
    game.played(number)
