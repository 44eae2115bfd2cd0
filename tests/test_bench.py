"""The bench is worth its figures only while its fakes are what they say and its checks can fail."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest
from app.adapters.journey_log.readback import look_for
from app.adapters.openai.chat import ChatParser
from app.adapters.openai.parsers import ResponseParser
from app.adapters.openai.responses import ResponsesParser
from app.adapters.store.sqlite.engine import SqliteEngine
from app.core.intents import normalize
from app.core.narrative import NarrativeBuffer
from app.core.outcome import parse_outcome
from app.core.outcome_schema import OPTIONAL_OUTCOME_SCHEMA, OUTCOME_JSON_SCHEMA
from app.core.writes import PlannedWrite, marker_time, plan_writes
from bench.against import Comparison, Runs, compared, compared_table
from bench.answers import present_answers
from bench.client import Target, Turn
from bench.exact import flaw
from bench.harness import Harness
from bench.journey_log import JourneyLog
from bench.measures import MEASUREMENTS
from bench.model import APIS, Api, Pace, StoryModel
from bench.outcome import TURN, story
from bench.processes import Failed, Process
from bench.quantities import Quantity
from bench.recorded import Recorded, scenes
from bench.report import BEGIN, DOCUMENT, END
from bench.servers import Workbench, running_workbench
from bench.slow_disk import slow_disk
from bench.table import Failure, Row, table
from bench.tokenizer import count, pieces
from bench.trees import PRESENT, Tree, built
from bench.wire import Request, chunked

from fitting import fits
from processes import python, running

ROOT = Path(__file__).parent.parent
MARKER = 1_800_000_000_000_000


# -- the model ------------------------------------------------------------------------------------


def events_of(writes: list[bytes]) -> list[bytes]:
    """The data of the events in a chunked stream."""
    body = re.sub(rb"(?:\A|\r\n)[0-9a-f]+\r\n", b"", b"".join(writes))
    return re.findall(rb"^data: (.*)$", body, re.MULTILINE)


@pytest.mark.parametrize("api", APIS)
def test_a_turn_has_469_tokens_and_288_of_them_carry_narrative(api: Api) -> None:
    fold: ResponseParser = ResponsesParser("m") if api == "responses" else ChatParser("m")
    deltas = fold.feed(events_of(list(StoryModel(Pace()).story(api))))
    buffer = NarrativeBuffer()
    shown = [text for delta in deltas if (text := buffer.feed(delta))]
    assert (len(deltas), len(shown)) == (469, 288)
    assert "".join(shown) == TURN.narrative
    assert fold.end().usage is not None


def test_the_story_asks_for_all_four_writes() -> None:
    outcome = parse_outcome(TURN.text)
    intents = outcome.intents
    assert outcome.narrative == TURN.narrative
    assert intents.quest_intent is not None
    assert intents.quest_intent.action == "offer"
    assert intents.combat_intent is not None
    assert intents.combat_intent.action == "start"
    assert intents.poi_intent is not None
    assert intents.poi_intent.action == "create"


@pytest.mark.parametrize("tokens", [300, 3_000, 20_000])
def test_a_story_has_as_many_tokens_as_were_asked_for(tokens: int) -> None:
    made = story(tokens, (1, 2))
    assert len(made.tokens) == tokens
    assert "".join(made.tokens) == made.text
    assert len(parse_outcome(made.text).narrative) < 32_000


@pytest.mark.parametrize("each", [0, 1, 16])
def test_the_same_bytes_come_however_many_tokens_a_write_has(each: int) -> None:
    writes = list(StoryModel(Pace(each=each)).story("responses"))
    assert len(writes) == {0: 1, 1: 469, 16: 30}[each]
    assert b"".join(writes) == b"".join(StoryModel(Pace()).story("responses"))


# -- journey-log ----------------------------------------------------------------------------------

WRITES = [
    PlannedWrite(
        subsystem="quest",
        action="offered",
        method="PUT",
        path="/quest",
        body={"name": "n", "updated_at": marker_time(MARKER)},
        marker=MARKER,
    ),
    PlannedWrite(
        subsystem="combat",
        action="started",
        method="PUT",
        path="/combat",
        body={"combat_state": {"combat_id": "c", "turn": 1, "enemies": []}},
        marker=MARKER + 1,
    ),
    PlannedWrite(
        subsystem="poi",
        action="create",
        method="POST",
        path="/pois",
        body={"name": "n", "description": "d", "timestamp": marker_time(MARKER + 2)},
        marker=MARKER + 2,
    ),
    PlannedWrite(
        subsystem="narrative",
        action="create",
        method="POST",
        path="/narrative",
        body={"user_action": "a", "ai_response": "r", "timestamp": marker_time(MARKER + 3)},
        marker=MARKER + 3,
    ),
]


def send(journey_log: JourneyLog, write: PlannedWrite) -> None:
    body = json.dumps(write.body).encode()
    path = f"/characters/c{write.path}".encode()
    answer = journey_log.answer(Request(write.method.encode(), path, b"", body))
    assert answer.startswith(b"HTTP/1.1 20")


def found(journey_log: JourneyLog, write: PlannedWrite) -> str:
    async def read(operation: str, path: str) -> Any:
        path, _, query = f"/characters/c{path}".partition("?")
        answer = journey_log.answer(Request(b"GET", path.encode(), query.encode(), b""))
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        return json.loads(body)

    return asyncio.run(look_for(write, read))


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.subsystem)
def test_a_write_whose_answer_was_lost_is_found_again(write: PlannedWrite) -> None:
    journey_log = JourneyLog()
    assert found(journey_log, write) == "no"
    send(journey_log, write)
    assert found(journey_log, write) == "yes"


def test_writes_in_their_order_are_counted_and_forgotten() -> None:
    journey_log = JourneyLog()
    for write in WRITES:
        send(journey_log, write)
    once = {"quest": 1, "combat": 1, "poi": 1, "narrative": 1, "out_of_order": 0}
    assert journey_log.summary() == once
    assert journey_log.summary() == dict.fromkeys(once, 0)


@pytest.mark.parametrize("order", [(1, 0), (0, 0), (0, 2, 1, 3)])
def test_a_write_too_late_or_twice_is_counted(order: tuple[int, ...]) -> None:
    journey_log = JourneyLog()
    for place in order:
        send(journey_log, WRITES[place])
    assert journey_log.summary()["out_of_order"] == 1


# -- the slow disk --------------------------------------------------------------------------------


def test_a_commit_on_the_slow_disk_takes_as_long_as_was_said(tmp_path: Path) -> None:
    async def write(engine: SqliteEngine) -> float:
        began = time.perf_counter()
        await engine.write(lambda db: db.execute("INSERT INTO secrets VALUES ('a', 'b')"))
        return time.perf_counter() - began

    with slow_disk(0.25), closing(SqliteEngine(tmp_path / "store.db")) as engine:
        engine.open()
        assert asyncio.run(write(engine)) >= 0.25


# -- tokens ---------------------------------------------------------------------------------------

SCENES = pytest.mark.parametrize("recorded", scenes().values(), ids=scenes())


def writes_of(recorded: Recorded, text: str) -> tuple[PlannedWrite, ...]:
    """What journey-log would be sent for an answer to the scene."""
    scene, outcome = recorded.scene, parse_outcome(text)
    plan = plan_writes(
        user_action=scene.user_action,
        narrative=outcome.narrative,
        intents=normalize(outcome.intents, scene.decision, scene.context, scene.progress),
        decision=scene.decision,
        context=scene.context,
        known_place=False,
        marker=MARKER,
        turn_id="t",
    )
    return plan.writes


@SCENES
def test_short_answer_to_a_scene_causes_the_writes_of_the_recorded_one(recorded: Recorded) -> None:
    short = recorded.short_answer
    assert json.loads(short)["narrative"] == recorded.narrative
    assert writes_of(recorded, short) == writes_of(recorded, recorded.answer)
    assert len(short) < len(recorded.answer)


@SCENES
def test_the_storyteller_answers_a_scene_in_the_short_form(recorded: Recorded) -> None:
    answer = json.loads(asyncio.run(recorded.present()))
    assert fits(OPTIONAL_OUTCOME_SCHEMA, answer)
    assert answer["intents"] == said(answer["intents"])


def said(value: Any) -> Any:
    """A value without what says nothing."""
    if not isinstance(value, dict):
        return value
    return {
        name: found for name, part in value.items() if (found := said(part)) not in (None, [], {})
    }


def test_answers_as_asked_for_fit_the_forms_of_the_schema_and_say_the_same() -> None:
    answers = present_answers()
    assert fits(OPTIONAL_OUTCOME_SCHEMA, json.loads(answers.joined()))
    assert fits(OPTIONAL_OUTCOME_SCHEMA, json.loads(answers.asked))
    assert fits(OUTCOME_JSON_SCHEMA, json.loads(answers.strict))
    quiet = '{"narrative":"'
    texts = (f"{quiet}x{text.removeprefix(quiet)}" for text in (answers.asked, answers.strict))
    brief, strict = map(parse_outcome, texts)
    assert said(brief.model_dump()) == said(strict.model_dump())


@SCENES
def test_pieces_of_a_text_are_its_tokens(recorded: Recorded) -> None:
    found = pieces(recorded.answer)
    assert "".join(found) == recorded.answer
    assert len(found) <= count(recorded.answer)


def test_there_are_twelve_scenes_that_change_all_that_can_change() -> None:
    assert len(scenes()) == 12
    written = {
        (write.subsystem, write.action)
        for one in scenes().values()
        for write in writes_of(one, one.answer)
    }
    assert {subsystem for subsystem, _ in written} == {"quest", "combat", "poi", "narrative"}
    assert len(written) >= 7


# -- the check of a stream ------------------------------------------------------------------------


def stream(*events: str) -> Turn:
    blocks = [f"id: t:{number}\ndata: {event}\n\n" for number, event in enumerate(events, start=1)]
    return streamed("retry: 2000\n" + "".join(blocks), "data: [DONE]\n\n")


def streamed(*blocks: str) -> Turn:
    body = b"".join(chunked(block.encode()) for block in blocks) + b"0\r\n\r\n"
    return Turn(status=200, turn_id="t", ending="complete", body=body)


TOKENS = ['{"type":"token","content":"Once "}', '{"type":"token","content":"more."}']
COMPLETE = '{"type":"complete"}'


def test_a_whole_stream_has_no_flaw() -> None:
    assert flaw(stream(*TOKENS, COMPLETE), "Once more.") is None


@pytest.mark.parametrize(
    ("turn", "words"),
    [
        pytest.param(stream(*TOKENS[1:], COMPLETE), "narrative", id="text missing"),
        pytest.param(stream(*TOKENS[::-1], COMPLETE), "narrative", id="text in another order"),
        pytest.param(stream(*TOKENS), "end", id="no end"),
        pytest.param(streamed(f"id: t:2\ndata: {COMPLETE}\n\n"), "contiguous", id="id left out"),
        pytest.param(
            replace(stream(*TOKENS, COMPLETE), turn_id="u"), "contiguous", id="another turn's"
        ),
    ],
)
def test_lost_event_is_a_flaw(turn: Turn, words: str) -> None:
    assert words in str(flaw(turn, "Once more."))


# -- a run ----------------------------------------------------------------------------------------


@pytest.mark.timeout(1_000)
def test_a_quick_run_measures_all_three_side_by_side(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    asked = ["paced:32", "burst:32", "paced:256", "order"]
    options = ["--quick", "--rounds=1", f"--only={','.join(asked)}", f"--out={out}"]
    ran = python("-m", "bench", *options)
    assert ran.returncode == 0, ran.stderr
    rows = [Row.received(fields) for fields in json.loads(out.read_text())["rows"]]
    assert ran.stdout == f"{table(rows)}\n"
    token, rate, *_, lost, order = rows
    for row in (token, rate):
        assert min(row.service or 0, row.limit or 0, row.floor or 0) > 0
    assert (lost.service, order.service) == (0, 0)
    assert order.name.startswith("of ")


# -- servers that fail ----------------------------------------------------------------------------

GONE = Process("gone", 2**22 - 1, 1, Path(os.devnull))
"""Its port refuses every connection."""


class Quick(Workbench):
    """A workbench on which the floor refuses connections, and the limit every request. Its services are
    forked: to start them is most of what they cost."""

    @contextmanager
    def peer(self, module: str, name: str) -> Iterator[Target]:
        yield Target(GONE) if module == "floor" else Target(self.upstreams.process)

    @contextmanager
    def started(
        self, name: str, command: Sequence[str], root: Path, environment: Mapping[str, str]
    ) -> Iterator[Process]:
        if command != PRESENT.serve:
            with super().started(name, command, root, environment) as process:
                yield process
        else:
            directory = Path(mkdtemp(dir=self.directory))
            with running(directory, **environment) as forked:
                yield Process(name, forked.pid, forked.port(), Path(os.devnull))


@pytest.fixture(scope="module")
def workbench() -> Iterator[Workbench]:
    with running_workbench() as made:
        yield made


@pytest.fixture
def harness(workbench: Workbench) -> Iterator[Harness]:
    with ExitStack() as stack:
        quick = Quick(workbench.directory, workbench.upstreams)
        yield Harness(quick, stack, 1, quick=True, trees={"other": TREE, "broken": BROKEN})


TREE = Tree("other", ROOT, PRESENT.bin)
BROKEN = Tree("broken", ROOT, Path("/nowhere"))


@pytest.mark.parametrize("measure", ["memory", "paced:32"])
def test_failed_server_loses_no_figure_of_the_others(harness: Harness, measure: str) -> None:
    (row,) = MEASUREMENTS[measure](harness)
    assert row.service is not None
    assert set(row.failed) == {"floor", "limit"}
    assert "refused" in row.failed["floor"]
    assert row.failed["limit"].endswith("turns went wrong: 404 refused")
    assert f"failed: {row.failed['floor']}" in table([row])


def test_failed_server_is_started_again_for_the_next_measure(harness: Harness) -> None:
    first = harness.server("service")

    def fail() -> None:
        raise Failed("too much for it:\nand so on")

    assert harness.attempt("service", fail) == Failure("too much for it")
    again = harness.server("service")
    assert again.process.pid != first.process.pid


def test_guards_are_measured_beside_none(harness: Harness) -> None:
    (row,) = MEASUREMENTS["guards"](harness)
    assert (row.unit, row.failed) == ("%", {})
    assert row.service is not None


REFUSED = Failure("refused")


@pytest.mark.parametrize(
    ("found", "met"),
    [
        ({"service": 1.0, "floor": 10.0}, True),
        ({"service": 20.0, "floor": 10.0}, False),
        ({"service": 1.0, "floor": REFUSED}, None),
        ({"service": REFUSED, "floor": 10.0}, False),
    ],
)
def test_target_is_not_met_by_a_failed_service_and_open_without_its_mark(
    found: dict[str, float | Failure], met: bool | None
) -> None:
    row = Row.of("a", "ms", found, "≤ floor", lambda f: f["service"] <= f["floor"])
    assert row.met is met
    assert Row.received(json.loads(json.dumps(row.sent()))) == row


# -- against another commit -----------------------------------------------------------------------


@pytest.mark.timeout(1_000)
def test_commit_is_measured_beside_the_present_tree(harness: Harness) -> None:
    rows = compared(harness, "other", ["burst:32"])
    assert rows[0].quantity.name == "turns a second, 32 streams in bursts"
    for row in rows:
        assert not row.failed
        assert row.before is not None
        assert row.after is not None
        assert row.same is not None
    assert compared_table(rows, "other").count("\n") == len(rows) + 1


def test_commit_that_does_not_start_keeps_the_figures_of_the_present_tree(
    harness: Harness,
) -> None:
    (row, _) = compared(harness, "broken", ["burst:32"])
    assert row.before is None
    assert "broken" in row.failed
    assert row.after is not None


TIME = Quantity("time", "ms")
RATE = Quantity("rate", more_is_better=True)


def runs(before: list[float], after: list[float], quantity: Quantity = TIME) -> Comparison:
    found = Runs("old", "new")
    for server, values in (("old", before), ("new", after)):
        for value in values:
            found.add(server, {quantity: value})
    (row,) = found.comparisons("measure")
    return row


def test_comparison_takes_medians_over_rounds() -> None:
    row = runs([10, 10, 30, 30, 10, 10], [11, 11, 33, 33, 22, 22])
    assert (row.before, row.after) == (10, 22)
    assert row.ratio == pytest.approx(1.1)
    assert row.same == 0


def test_comparison_shows_the_spread_of_runs_of_one_tree() -> None:
    row = runs([10, 10], [9, 11])
    assert row.ratio == 1
    assert row.same == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("before", "after", "quantity", "verdict"),
    [
        ([10, 10], [10.4, 10.4], TIME, "yes"),
        ([10, 10], [5, 5], TIME, "yes"),
        ([10, 10], [11, 11], TIME, "**no**"),
        ([8, 12], [10, 12], TIME, "within noise"),
        ([10, 10], [11, 11], RATE, "yes"),
        ([10, 10], [9, 9], RATE, "**no**"),
    ],
)
def test_verdict_counts_a_loss_only_beyond_the_spread_of_equal_runs(
    before: list[float], after: list[float], quantity: Quantity, verdict: str
) -> None:
    assert runs(before, after, quantity).verdict == verdict


MAKEFILE = """.venv/.runtime: lock
\tmkdir -p .venv/bin
\tcp lock .venv/bin/dungeon-master
\techo built >> times
\ttouch $@
"""


def test_commit_is_built_once_in_a_folder_of_its_own(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()

    def git(*words: str) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
        subprocess.run(["git", *who, *words], cwd=repository, check=True, capture_output=True)

    git("init")
    for lock in ("first", "second"):
        (repository / "Makefile").write_text(MAKEFILE)
        (repository / "lock").write_text(lock)
        git("add", ".")
        git("commit", "-m", lock)
    for _ in range(2):
        tree = built("HEAD~1", repository, tmp_path / "cache")
    assert Path(tree.serve[0]).read_text() == "first"
    assert (tree.root / "times").read_text() == "built\n"
    assert built("HEAD", repository, tmp_path / "cache").root != tree.root


def test_unknown_commit_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="git rev-parse"):
        built("no-such-commit", ROOT, tmp_path)


def test_the_document_has_a_place_for_the_figures_of_every_measurement() -> None:
    text = DOCUMENT.read_text()
    assert text.index(BEGIN) < text.index(END)
    for name in MEASUREMENTS:
        assert f"`{name}`" in text
