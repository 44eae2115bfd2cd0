import asyncio
import logging
import string
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import structlog
from app.telemetry.logs import redact_secrets, sanitize_for_log, scrub
from app.telemetry.redaction import MAX_SCANNED
from example_turns import Logged, logging_to_memory
from hypothesis import given
from hypothesis import strategies as st

ALNUM = string.ascii_letters + string.digits
BASE64URL = ALNUM + "-_"
STORY_FIELDS = (
    "narrative",
    "content",
    "user_action",
    "action_text",
    "prompt",
    "partial_narrative",
    "ai_response",
    "gm_response",
)


@pytest.fixture
def logged() -> Iterator[Logged]:
    with logging_to_memory() as logged:
        yield logged


# -- sanitising -----------------------------------------------------------------------------------


@given(st.text(st.characters(), max_size=500), st.integers(1, 300))
def test_no_unprintable_character_survives_and_the_limit_holds(text: str, limit: int) -> None:
    safe = sanitize_for_log(text, limit)
    assert len(safe) <= limit
    assert all(char.isprintable() for char in safe)


@given(st.text(string.ascii_letters + " äöß字🔥", max_size=200))
def test_ordinary_text_is_left_as_it_is(text: str) -> None:
    assert sanitize_for_log(text) == text


@pytest.mark.parametrize(
    ("raw", "safe"),
    [
        ("a\nforged line", "a forged line"),
        ("a\u2028b\u2029c", "a b c"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07text", "text"),
        ("\x1b[\x1b[0m2J", "\ufffd[2J"),
        ("abc\u202edcba", "abc\ufffddcba"),
        ("nul\x00", "nul\ufffd"),
        ("lone \ud800", "lone \ufffd"),
    ],
)
def test_known_tricks_are_disarmed(raw: str, safe: str) -> None:
    assert sanitize_for_log(raw) == safe


def test_a_long_text_is_cut_with_an_ellipsis() -> None:
    assert sanitize_for_log("x" * 300) == "x" * 199 + "…"


def test_an_object_that_cannot_be_shown_is_named_by_its_type() -> None:
    assert sanitize_for_log(Broken()) == "<Broken>"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no")

    __str__ = __repr__


# -- secrets --------------------------------------------------------------------------------------


def words(alphabet: str, least: int, most: int = 60) -> st.SearchStrategy[str]:
    return st.text(alphabet, min_size=least, max_size=most)


API_KEYS = st.builds(
    str.__add__, st.sampled_from(["sk-", "sk-proj-", "gsk_", "hf_", "ghp_"]), words(ALNUM, 16)
)
TOKENS = words(BASE64URL + ".~+/=", 16)
JWTS = st.builds(
    lambda head, body, mark: f"eyJ{head}.{body}.{mark}",
    words(BASE64URL, 12),
    words(BASE64URL, 12),
    words(BASE64URL, 12),
)
PASSWORDS = words(ALNUM + "!#$%*+,-./:;<=>?[]^_{|}~()", 12)
AROUND = st.sampled_from(["", "failed: ", "GET /x ", "(", '"', "\n"])


@given(AROUND, API_KEYS, AROUND)
def test_api_keys_never_survive(before: str, key: str, after: str) -> None:
    assert key not in redact_secrets(f"{before}{key}{after}")


@given(
    AROUND, st.sampled_from(["Bearer ", "bearer  ", "BEARER:", "Authorization: Bearer "]), TOKENS
)
def test_bearer_tokens_never_survive(before: str, scheme: str, token: str) -> None:
    assert token not in redact_secrets(f"{before}{scheme}{token} and more")


@given(AROUND, JWTS, AROUND)
def test_json_web_tokens_never_survive(before: str, token: str, after: str) -> None:
    shown = redact_secrets(f"{before}{token}{after}")
    assert not any(part in shown for part in token.split("."))


@given(
    st.sampled_from(["authorization ", "Authorization: ", "'authorization', b'", "AUTHORIZATION="]),
    words(ALNUM + "+/", 20),
)
def test_value_after_authorization_is_always_redacted(name: str, value: str) -> None:
    assert value not in redact_secrets(f"{name}{value}")


@given(
    st.sampled_from(["key", "api_key", "API-KEY", "token", "access_token", "password", "secret"]),
    st.sampled_from(["{name}={value}", "{name}: {value}", '"{name}": "{value}"']),
    PASSWORDS,
)
def test_named_secrets_never_survive(name: str, form: str, value: str) -> None:
    assert value not in redact_secrets(form.format(name=name, value=value))


@given(
    st.sampled_from(["key", "token", "password", "client_secret", "sig_signature"]),
    words(ALNUM + "%-_.~", 8),
)
def test_secrets_in_a_query_never_survive_and_the_rest_stays(name: str, value: str) -> None:
    shown = redact_secrets(f"GET https://host.example/path?a=1&{name}={value}&b=2")
    assert shown == f"GET https://host.example/path?a=1&{name}=***&b=2"


@given(words(ALNUM, 1, 10), PASSWORDS.filter(lambda word: not word[0].isdigit()))
def test_credentials_in_a_url_never_survive(user: str, password: str) -> None:
    password = password.translate(str.maketrans("", "", "<>"))
    shown = redact_secrets(f"connect postgres://{user}:{password}@db.example:5432/game failed")
    assert shown == "connect postgres://***@db.example:5432/game failed"


@pytest.mark.parametrize(
    "text",
    [
        "Uvicorn running on http://127.0.0.1:8080 (Press CTRL+C to quit)",
        "GET /turns/0b9c4b8e-1d0a-4d43-9c0b-7a3f3f8f8a11/events 200",
        "the model did not answer in time",
        "task-force assembled",
    ],
)
def test_ordinary_messages_are_not_touched(text: str) -> None:
    assert redact_secrets(text) == text


@given(st.text(st.characters(), max_size=400))
def test_redacting_never_raises(text: str) -> None:
    redact_secrets(text)


# -- the processor --------------------------------------------------------------------------------

JSONISH = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=40)
    | st.binary(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(), max_size=10), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(st.dictionaries(st.text(st.characters(), max_size=12), JSONISH, max_size=6))
def test_any_event_can_be_rendered_on_one_line(event: dict[str, Any]) -> None:
    line = structlog.processors.JSONRenderer()(None, "info", scrub(None, "info", event))
    assert "\n" not in str(line)
    assert "NaN" not in str(line) or "NaN" in repr(event)


@pytest.mark.parametrize("field", STORY_FIELDS)
def test_story_text_is_replaced_by_its_length_at_any_depth(field: str) -> None:
    event = {"event": "x", field: "once upon", "body": [{field: "a time"}]}
    cleaned = scrub(None, "info", event)
    assert cleaned == {
        "event": "x",
        f"{field}_length": 9,
        "body": [{f"{field}_length": 6}],
    }


def test_depth_is_bounded() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = loop
    assert "…" in repr(scrub(None, "info", loop))


def test_fields_named_after_secrets_are_hidden_whatever_they_hold() -> None:
    cleaned = scrub(None, "info", {"api_key": "abc", "headers": {"Set-Cookie": "a=b"}})
    assert cleaned == {"api_key": "***", "headers": {"Set-Cookie": "***"}}


def test_a_secret_is_hidden_before_a_text_is_cut() -> None:
    cleaned = scrub(None, "info", {"note": "n" * 180 + " sk-" + "a1" * 40})
    assert "a1" not in cleaned["note"]


def test_secret_on_the_edge_of_the_scanned_text_is_dropped() -> None:
    filler = "password=x " * 744
    edge = filler[: MAX_SCANNED - 6] + " sk-abcdefghijkl"
    assert "sk-a" not in str(scrub(None, "info", {"note": edge})["note"])


# -- the configured whole -------------------------------------------------------------------------


def test_records_of_libraries_have_the_same_form(logged: Logged) -> None:
    structlog.get_logger("app.x").info("ours", number=1)
    logging.getLogger("uvicorn.error").info("Started server process [%d]", 7)
    ours, theirs = logged.records
    assert ours == {
        "event": "ours",
        "number": 1,
        "logger": "app.x",
        "level": "info",
        "timestamp": ours["timestamp"],
        "service": "dm",
        "environment": "test",
    }
    assert theirs["event"] == "Started server process [7]"
    assert theirs.keys() == ours.keys() - {"number"}
    assert datetime.fromisoformat(ours["timestamp"]).utcoffset() == timedelta(0)


def test_uvicorns_own_handlers_are_replaced() -> None:
    access = logging.getLogger("uvicorn.error")
    access.addHandler(logging.StreamHandler())
    access.propagate = False
    with logging_to_memory() as logged:
        access.info("hello")
    assert len(logged.records) == 1
    assert not access.handlers


@pytest.mark.parametrize("name", ["httpx", "httpx2", "openai", "uvicorn.access", "openai._base"])
def test_chatty_libraries_are_quiet_below_warning(logged: Logged, name: str) -> None:
    logging.getLogger(name).info("HTTP Request: POST https://api")
    logging.getLogger(name).warning("careful")
    assert [row["event"] for row in logged.records] == ["careful"]


def test_debug_level_is_for_this_service_only() -> None:
    with logging_to_memory(level="DEBUG") as logged:
        structlog.get_logger("app.x").debug("ours")
        logging.getLogger("uvicorn.error").debug("> TEXT 'the story'")
    assert [row["event"] for row in logged.records] == ["ours"]


def test_a_high_level_silences_the_quiet_loggers_too() -> None:
    with logging_to_memory(level="ERROR") as logged:
        logging.getLogger("httpx").warning("careful")
        structlog.get_logger("app.x").warning("careful")
    assert logged.text == ""


def test_cached_loggers_follow_a_new_configuration() -> None:
    log = structlog.get_logger("app.cached")
    with logging_to_memory() as first:
        log.info("one")
    with logging_to_memory() as second:
        log.info("two")
    assert [row["event"] for row in first.records] == ["one"]
    assert [row["event"] for row in second.records] == ["two"]


def test_exceptions_keep_their_traceback_without_secrets(logged: Logged) -> None:
    try:
        raise ValueError("refused key=abc123 for sk-abcdefgh12345")
    except ValueError:
        structlog.get_logger("app.x").exception("broken")
        logging.getLogger("somebody").exception("broken too")
    for row in logged.records:
        assert "Traceback" in row["exception"]
        assert "test_logs.py" in row["exception"]
        assert "abc123" not in row["exception"]
        assert "sk-abcdefgh12345" not in row["exception"]


def test_a_rejected_value_quoted_by_pydantic_is_not_logged(logged: Logged) -> None:
    try:
        raise ValueError("x [type=int, input_value='the dragon', wakes', input_type=str]")
    except ValueError:
        structlog.get_logger("app.x").exception("broken")
    assert "dragon" not in logged.records[0]["exception"].splitlines()[-1]
    assert "input_type=str" in logged.records[0]["exception"].splitlines()[-1]


def test_an_exception_cannot_forge_a_record_on_the_console() -> None:
    with logging_to_memory(json=False) as logged:
        try:
            raise ValueError("oops\n2026-01-01 [info] all is well")
        except ValueError:
            structlog.get_logger("app.x").exception("broken")
    assert "ValueError: oops" in logged.text
    assert not any(line.startswith("2026-01-01 [info]") for line in logged.text.splitlines())


def test_unprintable_value_does_not_drop_the_line() -> None:
    with logging_to_memory() as logged:
        structlog.get_logger("app.x").info("odd", thing=Broken(), big=10**5000, ratio=float("nan"))
    [row] = logged.records
    assert (row["thing"], row["ratio"]) == ("<Broken>", "nan")
    assert isinstance(row["big"], str)


def test_concurrent_turns_never_mix_their_context(logged: Logged) -> None:
    log = structlog.get_logger("app.x")

    async def turn(number: int, gate: asyncio.Barrier) -> None:
        structlog.contextvars.bind_contextvars(turn_id=f"t{number}", request_id=f"r{number}")
        for _ in range(3):
            await gate.wait()
            log.info("step", number=number)

    async def main() -> None:
        gate = asyncio.Barrier(20)
        async with asyncio.TaskGroup() as group:
            for number in range(20):
                group.create_task(turn(number, gate))

    asyncio.run(main())
    assert len(logged.records) == 60
    for row in logged.records:
        assert (row["turn_id"], row["request_id"]) == (f"t{row['number']}", f"r{row['number']}")
