"""What a turn costs in tokens, and what a player waits for behind the last word.

Requests are those that the service really makes: a model server of the bench keeps them. Answers are
those of the offline storyteller to twelve scenes: the recorded ones, with each field spelled out, for
another commit, its present ones for the present tree.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from http.client import HTTPConnection
from typing import Any, Final

from bench.answers import Answers, present_answers, recorded_answers
from bench.client import Target
from bench.harness import Harness
from bench.processes import Failed
from bench.quantities import Quantity, Values
from bench.recorder import Recorder, running_recorder
from bench.table import Row
from bench.tokenizer import count, pieces
from bench.trees import PRESENT

PER_SECOND: Final = 40
TURNS: Final = 21
_SETTINGS: Final = {
    "JOURNEY_LOG_BASE_URL": "",
    "QUEST_TRIGGER_PROB": "0",
    "POI_TRIGGER_PROB": "0",
}
_CHARACTER: Final = {"name": "Kestrel", "race": "Half-Elf", "class_name": "Ranger"}

QUIET: Final = Quantity("output beside the narrative, quiet turn", "tokens")
_PARTS: Final = "output beside the narrative, quest, fight and place"
SAME: Final = Quantity(f"{_PARTS}, the same writes", "tokens")
ASKED: Final = Quantity(f"{_PARTS}, as asked for", "tokens")
STRICT: Final = Quantity(f"{_PARTS}, as asked for, strict mode", "tokens")
FIXED: Final = Quantity("instructions, schema and example in the prompt, schema enforced", "tokens")
FIRST: Final = Quantity("first request of a new character, schema enforced", "characters")
FIRST_TOKENS: Final = Quantity("first request of a new character, schema enforced", "tokens")
BARE: Final = Quantity("instructions, schema and example in the prompt, prompt only", "tokens")
BARE_FIRST: Final = Quantity("first request of a new character, prompt only", "tokens")
TAIL: Final = Quantity(f"from the last word to complete, {PER_SECOND} tokens a second", "s")
PREFIX: Final = Quantity("prompt of turn 20 that turn 21 begins with", "%", True)


# -- requests -------------------------------------------------------------------------------------


def _prompt(request: Mapping[str, Any]) -> tuple[str, str]:
    """The instructions of a request and all other text in it that a model reads."""
    if "messages" in request:
        texts = [message["content"] for message in request["messages"]]
        return texts[0], "\n".join(texts[1:])
    return request["instructions"], request["input"]


def _schema(request: Mapping[str, Any]) -> str:
    form = request.get("response_format") or request.get("text")
    return json.dumps(form) if form else ""


def _post(target: Target, path: str, body: Any) -> Iterator[tuple[float, dict[str, Any]]]:
    """The events of a stream, each with the time at which it came. Raises `Failed`."""
    connection = HTTPConnection("127.0.0.1", target.process.port, timeout=60)
    headers = {"content-type": "application/json", "accept": "text/event-stream"}
    connection.request("POST", path, json.dumps(body), headers)
    response = connection.getresponse()
    if response.status not in (200, 201):
        raise Failed(f"{path}: {response.status} {response.read()[:500]!r}")
    while line := response.readline():
        if line.startswith(b"data: {"):
            yield time.perf_counter(), json.loads(line[6:])
    connection.close()


def _opened(target: Target) -> str:
    """A new character, with its opening played."""
    events = [event for _, event in _post(target, "/characters", _CHARACTER)]
    if events[-1]["type"] != "complete":
        raise Failed(f"the opening ended with {events[-1]}")
    return next(str(event["character_id"]) for event in events if "character_id" in event)


def _tail(target: Target, character: str) -> float:
    """Seconds from the last word of a turn to its end."""
    turn = {"character_id": character, "user_action": "I look around."}
    last = ended = 0.0
    for at, event in _post(target, "/turn/stream", turn):
        if event["type"] == "token":
            last = at
        ended = at
    return ended - last


def _shared(one: str, other: str) -> float:
    """The share of the first text that both begin with, in %."""
    pairs = zip(one, other, strict=False)
    same = next((at for at, (left, right) in enumerate(pairs) if left != right), len(one))
    return same / len(one) * 100


def _enforced(target: Target, recorder: Recorder, answers: Answers, gap: float) -> Values:
    character = _opened(target)
    first = recorder.requests[-1].decode()
    fixed = _prompt(recorder.last)[0]
    _play(target, recorder, character, list(answers.texts.values()))
    whole = [_schema(one) + "".join(_prompt(one)) for one in map(json.loads, recorder.requests)]
    recorder.answer, recorder.gap = pieces(answers.texts["quiet"]), gap
    return {
        FIXED: count(fixed),
        FIRST: len(first),
        FIRST_TOKENS: count(first),
        PREFIX: _shared(*whole[-2:]),
        TAIL: _tail(target, character),
    }


def _play(target: Target, recorder: Recorder, character: str, texts: Sequence[str]) -> None:
    """Turns 1 to 21 behind the opening."""
    for number in range(1, TURNS + 1):
        quiet = {"narrative": json.loads(texts[number % len(texts)])["narrative"], "intents": {}}
        recorder.answer = [json.dumps(quiet)]
        turn = {"character_id": character, "user_action": f"I take step {number} of my way."}
        *_, (_, last) = _post(target, "/turn/stream", turn)
        if last["type"] != "complete":
            raise Failed(f"turn {number} ended with {last}")


def tokens(harness: Harness, server: str) -> Values:
    """All figures of one tree."""
    answers = present_answers() if server == PRESENT.name else recorded_answers()
    found: dict[Quantity, float] = {
        QUIET: answers.beside(answers.texts["quiet"]),
        SAME: answers.beside(answers.joined()),
        ASKED: answers.beside(answers.asked),
        STRICT: answers.beside(answers.strict),
    }
    gap = 0.0 if harness.quick else 1 / PER_SECOND
    with running_recorder() as recorder:
        address = {"OPENAI_BASE_URL": f"{recorder.url}/v1", **_SETTINGS}
        with harness.service_of(server, address) as target:
            found |= _enforced(target, recorder, answers, gap)
        recorder.takes_schema, recorder.answer, recorder.gap = False, [answers.texts["dead"]], 0.0
        with harness.service_of(server, {**address, "LLM_API": "chat"}) as target:
            _opened(target)
            found[BARE] = count(_prompt(recorder.last)[0])
            found[BARE_FIRST] = count(recorder.requests[-1].decode())
    return found


# -- beside the figures of an older commit --------------------------------------------------------

BEFORE: Final[Values] = {
    QUIET: 164,
    SAME: 366,
    ASKED: 279,
    STRICT: 279,
    FIXED: 1_288,
    FIRST: 9_794,
    FIRST_TOKENS: 2_362,
    BARE: 1_288,
    BARE_FIRST: 1_617,
    TAIL: 4.14,
}
"""Of commit 23d3aec, by `--only tokens --against 23d3aec`."""
TARGETS: Final[Mapping[Quantity, float]] = {
    QUIET: 0.12,
    SAME: 0.5,
    ASKED: 0.5,
    STRICT: 0.5,
    FIXED: 0.35,
    FIRST: 0.5,
    FIRST_TOKENS: 0.5,
    BARE: 0.6,
    BARE_FIRST: 0.6,
    TAIL: 0.2,
}
LEAST_SHARED: Final = 80


def tokens_rows(harness: Harness) -> list[Row]:
    found = tokens(harness, PRESENT.name)
    rows = [
        Row(
            one.name,
            one.unit,
            found[one],
            target=f"≤ {most} × {BEFORE[one]:.4g}",
            met=found[one] <= most * BEFORE[one],
        )
        for one, most in TARGETS.items()
    ]
    shared = found[PREFIX]
    least = f"≥ {LEAST_SHARED}"
    return [*rows, Row(PREFIX.name, "%", shared, target=least, met=shared >= LEAST_SHARED)]
