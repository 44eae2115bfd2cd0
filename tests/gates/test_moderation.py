"""What is blocked reaches nobody, whichever way it is read; what is not reaches everybody whole."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from app.adapters.moderation.openai import OpenAIModeration
from app.adapters.moderation.words import WordList
from app.core.breaker import BreakerRule, CircuitBreaker
from app.errors import LLMResponseError, LLMUnavailable
from app.generation.moderation import ModerationBuffer
from app.settings import BadSetting
from callers import PLAIN
from hypothesis import given
from hypothesis import strategies as st
from openai import AsyncOpenAI

from fakes.journey_log import FakeJourneyLog
from fakes.model import NARRATIVE, QUEST_OFFER, FakeModel, Script, outcome, outcome_text
from fakes.server import Connection, Request, to_json
from serving import TIMEOUT, Live, Served, Stream, frame_event, refused, turn_body

Serve = Callable[..., Served]
CLEAN = "The lamp burns low and the river goes on talking to itself. "
PHRASE = "the dark secret"
BLOCKED = CLEAN * 6 + "Then he tells you the dark secret of the mill. " + CLEAN * 6
SAFE = BLOCKED.index(PHRASE)


class JudgingModel(FakeModel):
    """The model's server, with a moderation endpoint that flags `PHRASE`.

    `outage`: its status instead, 0 for silence; or its 200's body, as JSON where it is not text.
    """

    def __init__(self) -> None:
        super().__init__()
        self.outage: Any = None

    @property
    def judged(self) -> list[str]:
        paths = [request for request in self.requests if request.path == "/v1/moderations"]
        return [request.json()["input"] for request in paths]

    async def respond(self, request: Request, connection: Connection) -> None:
        if request.path != "/v1/moderations":
            await super().respond(request, connection)
        elif self.outage == 0:
            await connection.gone.wait()
        elif isinstance(self.outage, int):
            connection.reply(self.outage, to_json({"error": {"message": "down"}}))
        elif isinstance(self.outage, str):
            connection.reply(200, self.outage.encode(), {"content-type": "text/html"})
        elif self.outage is not None:
            connection.reply(200, to_json(self.outage))
        else:
            flagged = PHRASE in request.json()["input"]
            result = {"flagged": flagged, "categories": {}, "category_scores": {}}
            connection.reply(200, to_json({"id": "m", "model": "o", "results": [result]}))


@pytest.fixture
def model() -> Iterator[JudgingModel]:
    with JudgingModel() as server:
        yield server


@pytest.fixture
def words(tmp_path: Path) -> dict[str, Any]:
    """Settings of a service with a list of words."""
    path = tmp_path / "words.txt"
    path.write_text(f"# not for players\n\n{PHRASE.upper()}\ncafé noir\n", "utf-8")
    return {**PLAIN, "moderation": "words", "moderation_words_file": str(path)}


@pytest.fixture(params=["words", "openai"])
def moderated(request: pytest.FixtureRequest, serve: Serve, words: dict[str, Any]) -> Served:
    return serve(**{**words, "moderation": request.param, "moderation_hold_characters": 60})


def blocked(stream: Stream, phrase: str = PHRASE) -> dict[str, Any]:
    """The stream ended because of the phrase, of which it shows nothing."""
    assert stream.status == 200
    assert stream.last["type"] == "error", stream.last
    assert stream.last["error_type"] == "llm_response_error"
    assert stream.last["committed"] == []
    assert "blocked" in stream.last["message"]
    assert phrase not in stream.body.decode().lower()
    return stream.last


# -- the narrative --------------------------------------------------------------------------------

SPLITS: list[dict[str, Any]] = [
    {"token_chars": 1},
    {"token_chars": 3},
    {"token_chars": 4, "per_write": 0},
    {"token_chars": 17, "per_write": 3},
    {"token_chars": 5, "split_bytes": 7},
    {"token_chars": 100_000},
]


@pytest.mark.parametrize("split", SPLITS)
def test_a_blocked_phrase_reaches_no_reader_however_it_arrives(
    moderated: Served,
    model: JudgingModel,
    journey_log: FakeJourneyLog,
    character: str,
    split: dict[str, Any],
) -> None:
    model.then(Script(outcome_text(BLOCKED), **split))
    stream = moderated.turn(character)
    last = blocked(stream)
    shown = stream.narrative
    assert BLOCKED[:SAFE].startswith(shown)
    assert (last.get("partial_narrative") or "") == shown
    turn = moderated.call("GET", f"/turns/{stream.turn_id}")
    assert turn.json()["narrative"] == shown
    assert PHRASE not in turn.body.decode()
    assert moderated.stream("GET", f"/turns/{stream.turn_id}/events").frames == stream.frames
    assert journey_log.writes == []


@pytest.mark.parametrize("split", SPLITS)
def test_allowed_text_arrives_whole(
    moderated: Served,
    model: JudgingModel,
    journey_log: FakeJourneyLog,
    character: str,
    split: dict[str, Any],
) -> None:
    model.then(Script(outcome_text(CLEAN * 12), **split))
    stream = moderated.turn(character)
    assert stream.last["type"] == "complete"
    assert stream.narrative == CLEAN * 12
    assert journey_log.narratives(character) == [CLEAN * 12]
    indexes = [event["index"] for event in stream.of("token")]
    assert indexes == sorted(set(indexes))
    assert indexes[0] == 0


def test_a_blocked_phrase_reaches_no_websocket(
    moderated: Served, model: JudgingModel, character: str
) -> None:
    model.then(Script(outcome_text(BLOCKED), token_chars=3))
    texts: list[str] = []
    with moderated.socket() as socket:
        socket.send(json.dumps(turn_body(character)))
        while not texts or frame_event(b"data: " + texts[-1].encode())["type"] != "error":
            texts.append(str(socket.recv(TIMEOUT)))
    events = [json.loads(text) for text in texts]
    shown = "".join(event["content"] for event in events if event["type"] == "token")
    assert BLOCKED[:SAFE].startswith(shown)
    assert PHRASE not in "".join(texts)


@pytest.mark.parametrize("streaming", [True, False])
def test_blocked_phrase_refuses_a_synchronous_turn(
    serve: Serve, words: dict[str, Any], model: JudgingModel, character: str, streaming: bool
) -> None:
    service = serve(**words, llm_streaming=streaming)
    model.then(Script(outcome_text(BLOCKED)))
    reply = service.call("POST", "/turn", turn_body(character))
    refused(reply, 502, "llm_response_error")
    assert PHRASE not in reply.body.decode()


def test_blocked_phrase_cannot_be_read_anywhere_while_it_streams(
    serve: Serve, words: dict[str, Any], model: JudgingModel, character: str
) -> None:
    service, gate = serve(**words, moderation_hold_characters=60), threading.Event()
    pieces = ['{"narrative": "', *BLOCKED, '", "intents": {}}']
    model.then(Script(pieces=pieces, gate=gate, gate_after=1 + SAFE + len(PHRASE) - 2))
    with service.live(character) as live:
        live.until("token")
        service.wait_for(lambda: len(described(service, live)) > SAFE - 160)
        assert BLOCKED[:SAFE].startswith(described(service, live))
        assert service.cancel(live.turn_id).status == 202
        last = live.rest().last
    assert BLOCKED[:SAFE].startswith(last["partial_narrative"])


def described(service: Served, live: Live) -> str:
    return str(service.call("GET", f"/turns/{live.turn_id}").json()["narrative"] or "")


def test_a_phrase_longer_than_the_window_is_held_back_too(
    serve: Serve, words: dict[str, Any], model: JudgingModel, character: str
) -> None:
    service, gate = serve(**words, moderation_hold_characters=1), threading.Event()
    pieces = ['{"narrative": "', *BLOCKED, '", "intents": {}}']
    model.then(Script(pieces=pieces, gate=gate, gate_after=1 + SAFE + len(PHRASE) - 2))
    with service.live(character) as live:
        service.wait_for(lambda: len(described(service, live)) > SAFE - 100)
        gate.set()
        stream = live.rest()
    blocked(stream)
    assert BLOCKED[:SAFE].startswith(stream.narrative)


def test_a_blocked_phrase_ends_the_narrative_too(
    moderated: Served, model: JudgingModel, character: str
) -> None:
    model.then(Script(outcome_text(CLEAN + PHRASE)))
    blocked(moderated.turn(character))


def test_the_window_is_held_back_and_then_shown(
    serve: Serve, words: dict[str, Any], model: JudgingModel, character: str
) -> None:
    service, gate = serve(**words, moderation_hold_characters=60), threading.Event()
    pieces = ['{"narrative": "', *CLEAN * 6, '", "intents": {}}']
    model.then(Script(pieces=pieces, gate=gate, gate_after=1 + 300))
    with service.live(character) as live:
        service.wait_for(lambda: len(described(service, live)) >= 300 - 2 * 60)
        assert len(described(service, live)) <= 300 - 60
        gate.set()
        assert live.rest().narrative == CLEAN * 6


# -- the intents ----------------------------------------------------------------------------------


def with_intents(**intents: Any) -> dict[str, Any]:
    return outcome(CLEAN, **intents)


HIDDEN = [
    with_intents(quest={**QUEST_OFFER, "quest_title": "The Dark Secret"}),
    with_intents(
        quest={**QUEST_OFFER, "quest_details": {"requirements": ["a lamp", "the dark  secret"]}}
    ),
    with_intents(combat={"action": "start", "enemies": [{"name": "The Dark Secret"}]}),
    with_intents(poi={"action": "create", "name": "Mill", "reference_tags": ["the dark secret"]}),
    with_intents(location={"action": "update_minor", "minor_location": "the dark\nsecret"}),
    with_intents(meta={"player_mood": "cafe\u0301 noir"}),
]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("ensure_ascii", [True, False])
@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_blocked_phrase_in_the_intents_reaches_nobody(
    serve: Serve,
    words: dict[str, Any],
    model: JudgingModel,
    journey_log: FakeJourneyLog,
    character: str,
    hidden: dict[str, Any],
    ensure_ascii: bool,
    streaming: bool,
) -> None:
    settings = {**words, "quest_trigger_prob": 1, "poi_trigger_prob": 1, "llm_streaming": streaming}
    service = serve(**settings)
    model.then(Script(json.dumps(hidden, ensure_ascii=ensure_ascii)))
    stream = service.turn(character)
    blocked(stream)
    assert stream.of("preview") == []
    assert journey_log.writes == []
    turn = service.call("GET", f"/turns/{stream.turn_id}").json()
    assert turn["intents"] is None


def test_intents_that_come_first_or_in_a_code_fence_are_judged_as_well(
    serve: Serve, words: dict[str, Any], model: JudgingModel, character: str
) -> None:
    service = serve(**words)
    hidden = HIDDEN[0]
    turned = json.dumps({"intents": hidden["intents"], "narrative": hidden["narrative"]})
    for text in (turned, f"```json\n{json.dumps(hidden)}\n```", f"<think>hm</think>{turned}"):
        model.then(Script(text))
        blocked(service.turn(character))


def test_moderated_intents_are_shown_only_at_the_end(
    moderated: Served, model: JudgingModel, character: str
) -> None:
    model.default = Script(outcome_text(CLEAN * 5, quest=QUEST_OFFER))
    stream = moderated.turn(character)
    assert stream.of("preview") == []
    assert stream.last["intents"]["quest_intent"]["quest_title"] == QUEST_OFFER["quest_title"]


# -- the list of words ----------------------------------------------------------------------------


def allows(phrases: Sequence[str], text: str) -> bool:
    return asyncio.run(WordList(phrases).allows(text))


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("dark secret", "a DARK Secret."),
        ("Dark Secret", "dark secret"),
        ("dark secret", "dark\n\t secret"),
        ("dark secret", "dark\u00a0secret"),
        ("straße", "STRASSE"),
        ("STRASSE", "die Straße!"),
        ("café", "the cafe\u0301 is open"),
        ("cafe\u0301", "café"),
        ("dark", "ｄａｒｋ"),
        ("dark", "da\u00adrk"),
        ("dark", "d\u200ba\u200dr\u2060k"),
        ("finch", "ﬁnch"),
        ("σοφός", "ΣΟΦΌΣ"),
        ("a+b", "so a+b is"),
        ("dark", "(dark)"),
        ("dark", "dark's"),
        ("\ufeffdark", "dark"),
    ],
)
def test_a_listed_phrase_is_found_in_every_form(phrase: str, text: str) -> None:
    assert not allows(["other", phrase], text)


@pytest.mark.parametrize(
    ("phrase", "text"),
    [
        ("ass", "a class of assassins"),
        ("dark secret", "dark secrets"),
        ("dark secret", "darksecret"),
        ("dark", "darker"),
        ("cafe", "café"),
        ("a.b", "axb"),
        ("", "anything"),
        ("   ", "any thing"),
    ],
)
def test_only_whole_words_are_found(phrase: str, text: str) -> None:
    assert allows([phrase], text)


def test_a_list_without_phrases_allows_everything() -> None:
    assert allows([], CLEAN)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_file_has_one_phrase_a_line(tmp_path: Path, encoding: str, newline: str) -> None:
    path = tmp_path / "words.txt"
    lines = newline.join(["dark secret", "", "# a lamp", "  river  "])
    path.write_bytes(lines.encode(encoding))
    listed = WordList.from_file(path)
    verdicts = {
        text: asyncio.run(listed.allows(text)) for text in ("Dark secret", "river", "a lamp")
    }
    assert verdicts == {"Dark secret": False, "river": False, "a lamp": True}


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00"])
def test_a_file_that_cannot_be_read_stops_the_start(
    serve: Serve, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "words.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSetting, match="MODERATION_WORDS_FILE"):
        serve(moderation="words", moderation_words_file=str(path))


# -- holding back ---------------------------------------------------------------------------------

LISTED = ["ass", "the dark secret", "café"]
STORY_WORDS = [
    "ass",
    "assassin",
    "class",
    "the",
    "dark",
    "secret",
    "secrets",
    "cafe\u0301",
    "x",
    "I",
]
GAPS = [" ", ". ", "", "\n"]


def buffered(
    window: int, pieces: Sequence[str], listed: Sequence[str] = LISTED
) -> tuple[list[int], str, bool]:
    """How much was held after each piece, what was shown, whether it was blocked."""

    async def run() -> tuple[list[int], str, bool]:
        hold = ModerationBuffer(WordList(listed), window)
        read = shown = ""
        held: list[int] = []
        try:
            for piece in pieces:
                read += piece
                shown += await hold.push(piece)
                held.append(len(read) - len(shown))
            shown += await hold.flush()
        except LLMResponseError:
            return held, shown, True
        return held, shown, False

    return asyncio.run(run())


@st.composite
def stories(draw: st.DrawFn) -> list[str]:
    """A text of words that look alike, cut anywhere."""
    parts = draw(
        st.lists(st.tuples(st.sampled_from(STORY_WORDS), st.sampled_from(GAPS)), max_size=40)
    )
    text = "".join(word + gap for word, gap in parts)
    cuts = sorted(draw(st.sets(st.integers(0, len(text)), max_size=20)))
    return [text[a:b] for a, b in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def first_blocked(text: str) -> int:
    """Where the earliest blocked phrase begins."""
    ends = [end for end in range(len(text) + 1) if not followed(text, end)]
    first = next((end for end in ends if not allows(LISTED, text[:end])), None)
    if first is None:
        return len(text)
    starts = [at for at in range(first) if not (at and followed(text, at))]
    return max(at for at in starts if not allows(LISTED, text[at:first]))


def followed(text: str, at: int) -> bool:
    """Whether a word goes on there."""
    glyph = text[at : at + 1]
    return at > 0 and (glyph.isalnum() or glyph == "\u0301") and text[at - 1] not in " .\n"


@given(stories(), st.integers(40, 80))
def test_holding_back_judges_as_if_it_had_read_the_whole(pieces: list[str], window: int) -> None:
    text = "".join(pieces)
    _, shown, was_blocked = buffered(window, pieces)
    assert was_blocked == (not allows(LISTED, text))
    assert text.startswith(shown)
    assert len(shown) <= first_blocked(text)
    if not was_blocked:
        assert shown == text


@given(st.integers(1, 50), st.integers(1, 30))
def test_no_more_is_held_back_than_twice_the_window_and_a_word(window: int, size: int) -> None:
    text = CLEAN * 8
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    held, shown, _ = buffered(window, pieces)
    assert shown == text
    assert all(min(window, size * k) <= kept for k, kept in enumerate(held, start=1))
    assert max(held) <= window + max(window // 2, 1) + size + len("talking")


def test_a_word_without_an_end_is_judged_all_the_same() -> None:
    held, shown, _ = buffered(20, ["x" * 10] * 50)
    assert shown == "x" * 500
    assert max(held) <= 50


# -- OpenAI's endpoint ----------------------------------------------------------------------------


@pytest.fixture
def judging(serve: Serve) -> Callable[..., Served]:
    return lambda **more: serve(**PLAIN, moderation="openai", **more)


def test_the_endpoint_reads_the_whole_story_by_the_models_name_and_key(
    judging: Callable[..., Served], model: JudgingModel, character: str
) -> None:
    service = judging(moderation_model="judge-1", moderation_hold_characters=100)
    said = "".join(f"Lamp {n} burns low, and river {n} goes on talking. " for n in range(12))
    model.then(Script(outcome_text(said, quest=QUEST_OFFER)))
    assert service.turn(character).last["type"] == "complete"
    asked = [request for request in model.requests if request.path == "/v1/moderations"]
    assert {request.json()["model"] for request in asked} == {"judge-1"}
    assert {request.headers["authorization"] for request in asked} == {"Bearer sk-test-key"}
    assert QUEST_OFFER["quest_title"] in model.judged[-1]
    story = ""
    for passage in model.judged[:-1]:
        begins = next(at for at in range(len(story) + 1) if passage.startswith(story[at:]))
        story = story[:begins] + passage
    assert story == said
    assert len(asked) <= 2 + len(said) // 50


DOWN: dict[str, Any] = {
    "500": 500,
    "429": 429,
    "401": 401,
    "a page": "<html>down</html>",
    "nothing": {},
    "no results": {"results": []},
    "results without a verdict": {"results": [{}]},
    "a verdict that is none": {"results": [{"flagged": "no"}]},
}


@pytest.mark.parametrize("outage", [*DOWN.values(), 0], ids=[*DOWN, "silence"])
def test_unjudged_text_is_not_shown(
    judging: Callable[..., Served],
    model: JudgingModel,
    journey_log: FakeJourneyLog,
    character: str,
    outage: Any,
) -> None:
    model.outage = outage
    service = judging(openai_timeout=1)
    model.then(Script(outcome_text(CLEAN * 12)))
    stream = service.turn(character)
    assert (stream.last["type"], stream.last["error_type"]) == ("error", "llm_unavailable")
    assert stream.last["recoverable"] is True
    assert stream.last["retry_after_seconds"] > 0
    assert stream.narrative == ""
    assert journey_log.writes == []


@pytest.mark.parametrize("outage", DOWN.values(), ids=DOWN)
def test_unjudged_text_is_shown_where_the_setting_allows_it(
    judging: Callable[..., Served], model: JudgingModel, character: str, outage: Any
) -> None:
    model.outage = outage
    service = judging(moderation_fail_open=True)
    model.then(Script(outcome_text(CLEAN * 12)))
    assert service.turn(character).narrative == CLEAN * 12


class Judge:
    """The real adapter against the server, at a time of the test's choosing."""

    def __init__(self, model: JudgingModel, **more: Any) -> None:
        self.time = 0.0
        client = AsyncOpenAI(
            api_key="sk-test-key", base_url=model.base_url, max_retries=0, timeout=TIMEOUT
        )
        breaker = CircuitBreaker(BreakerRule(failures=3, window=30))
        self.adapter = OpenAIModeration(
            client, "judge-1", breaker=breaker, now=lambda: self.time, **more
        )

    async def says(self) -> bool | float | None:
        """Its verdict, or how long to wait for one."""
        try:
            return await self.adapter.allows(CLEAN)
        except LLMUnavailable as error:
            return error.retry_after


def test_an_endpoint_that_is_down_is_not_asked_for_every_passage(model: JudgingModel) -> None:
    async def scene() -> None:
        judge, model.outage = Judge(model), 500
        assert [await judge.says() for _ in range(5)] == [5, 5, 30, 30, 30]
        assert len(model.judged) == 3
        judge.time = 30.0
        assert await judge.says() == 30
        model.outage, judge.time = None, 60.0
        assert [await judge.says() for _ in range(2)] == [True, True]
        assert len(model.judged) == 6
        await judge.adapter.aclose()

    asyncio.run(scene())


def test_stories_that_may_stay_unjudged_do_not_wait_for_an_endpoint_that_is_down(
    model: JudgingModel,
) -> None:
    async def scene() -> None:
        judge, model.outage = Judge(model, fail_open=True), 500
        assert [await judge.says() for _ in range(9)] == [True] * 9
        assert len(model.judged) == 3
        await judge.adapter.aclose()

    asyncio.run(scene())


def was_asked(model: JudgingModel, times: int) -> bool:
    return len(model.judged) == times


def test_a_turn_that_is_cancelled_says_nothing_about_the_endpoint(model: JudgingModel) -> None:
    async def scene() -> None:
        judge, model.outage = Judge(model), 0
        for number in range(4):
            asking = asyncio.create_task(judge.says())
            await model.eventually(partial(was_asked, model, number + 1))
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
        model.outage = None
        assert await judge.says() is True
        await judge.adapter.aclose()

    asyncio.run(scene())


def test_without_moderation_nothing_is_held_back_and_nobody_is_asked(
    serve: Serve, model: JudgingModel, character: str
) -> None:
    service, gate = serve(**PLAIN), threading.Event()
    pieces = ['{"narrative": "', "A", " b", '", "intents": {"quest_intent": null}}']
    model.then(Script(pieces=pieces, gate=gate, gate_after=2))
    with service.live(character) as live:
        assert live.until("token")["content"] == "A"
        gate.set()
        stream = live.rest()
    assert stream.narrative == "A b"
    assert len(stream.of("preview")) == 1
    assert model.judged == []


def test_unmoderated_service_streams_anything(
    serve: Serve, model: JudgingModel, character: str
) -> None:
    service = serve(**PLAIN)
    model.then(Script(outcome_text(BLOCKED)), Script(outcome_text(NARRATIVE)))
    assert service.turn(character).narrative == BLOCKED
