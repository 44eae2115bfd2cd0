"""Turns of a real service process against a real model server, and how each of them ended."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from processes import running

ACTIONS = (
    "I look around.",
    "I ask the nearest person who rules here.",
    "I follow the sound of running water.",
    "I open the old chest, slowly.",
    "I rest until the rain stops.",
    "I draw my blade and wait.",
    "I whisper the name that I was given.",
    "I climb the wall to see the valley.",
    "I offer half of my bread to the dog.",
    "I go back the way I came.",
)
CHARACTER = {
    "name": "Tamsin",
    "race": "Human",
    "class": "Thief",
    "adventure_prompt": "A quiet road to the sea.",
}
SECONDS = 1_800.0


@dataclass
class Tally:
    """`unclean`: what ended neither complete nor with an error of the service."""

    complete: int = 0
    errors: Counter[str] = field(default_factory=Counter)
    unclean: list[str] = field(default_factory=list)
    tokens_in: int = 0
    tokens_out: int = 0

    def count(self, ending: dict[str, Any]) -> None:
        """`ending`: a turn's last event, or the problem document that refused it."""
        match ending:
            case {"type": "complete", "usage": usage}:
                self.complete += 1
                self.tokens_in += usage["input_tokens"]
                self.tokens_out += usage["output_tokens"]
            case {"type": "error", "error_type": str(kind), "message": str()}:
                self.errors[kind] += 1
            case {"error": {"type": str(kind), "message": str()}, "status": int()}:
                self.errors[kind] += 1
            case _:
                self.unclean.append(json.dumps(ending)[:300])

    def __str__(self) -> str:
        errors = ", ".join(f"{count} {kind}" for kind, count in sorted(self.errors.items()))
        return (
            f"{self.complete} complete, {sum(self.errors.values())} clean errors"
            f"{f' ({errors})' if errors else ''}, {len(self.unclean)} unclean; "
            f"{self.tokens_in} tokens in, {self.tokens_out} out"
        )


def play(folder: Path, environment: dict[str, str], turns: int) -> Tally:
    """One character, `turns` turns one after the other."""
    tally = Tally()
    with (
        running(folder, **environment) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{process.port()}", timeout=SECONDS) as client,
    ):
        # made in journey-log, without an opening: each answer of the model is one of those counted
        made = client.post(
            "/journey-log/characters", json=CHARACTER, headers={"X-User-Id": "local"}
        )
        made.raise_for_status()
        character = made.json()["character"]["character_id"]
        for number in range(turns):
            ending = _turn(client, character, ACTIONS[number % len(ACTIONS)])
            tally.count(ending)
            print(f"  turn {number + 1}: {_summary(ending)}", flush=True)
    return tally


def _turn(client: httpx.Client, character: str, action: str) -> dict[str, Any]:
    """The last event of a turn, or what it was refused with."""
    body, last = {"character_id": character, "user_action": action}, dict[str, Any]()
    try:
        with client.stream("POST", "/turn/stream", json=body) as response:
            if response.status_code != 200:
                return dict(json.loads(response.read()))
            for line in response.iter_lines():
                if line.startswith("data: {"):
                    last = json.loads(line[6:])
    except (httpx.HTTPError, ValueError) as error:
        return {"broken": repr(error)}
    return last


def _summary(ending: dict[str, Any]) -> str:
    seconds = ending.get("timing", {}).get("total_duration_ms", 0) / 1000
    if ending.get("type") == "complete":
        return f"complete after {seconds:.0f} s"
    return json.dumps({name: ending.get(name) for name in ("error_type", "message", "error")})
