"""`dungeon-master doctor` against servers of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from app.cli.main import main

from fakes.journey_log import FakeJourneyLog, proxy_error
from fakes.model import FakeModel, Script, Usage, outcome_text
from fakes.one_player import OnePlayer
from fakes.server import Connection, Request
from serving import Served

KEY = "sk-secret-of-the-operator"
TEXT = outcome_text()
Answers = Callable[[Request], Script]


class Found(NamedTuple):
    """What was printed: lines by their subject, and everything."""

    code: int
    text: str

    def line(self, subject: str) -> str:
        (line,) = (line for line in self.text.splitlines() if line[8:34].rstrip() == subject)
        return line.strip()

    @property
    def advice(self) -> str:
        return self.text.partition("What to set or to change:")[2]


@pytest.fixture
def examine(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    journey_log: FakeJourneyLog,
) -> Callable[..., Found]:
    """Runs the command; keyword arguments are settings."""

    def run(server: FakeModel | None = None, **settings: Any) -> Found:
        defaults: dict[str, Any] = {
            "store_url": f"sqlite:///{tmp_path}/data/store.db",
            "openai_api_key": KEY,
            "journey_log_base_url": journey_log.url,
            "journey_log_max_retries": 0,
        }
        if server is not None:
            defaults |= {"openai_base_url": server.base_url, "llm_api": "chat"}
        monkeypatch.chdir(tmp_path)
        for name, value in {**defaults, **settings}.items():
            monkeypatch.setenv(name.upper(), str(value))
        code = main(["doctor"])
        text = capsys.readouterr().out
        assert KEY not in text
        assert text.splitlines()[-1] == f"A turn would {'fail' if code else 'succeed'}."
        return Found(code, text)

    return run


Examine = Callable[..., Found]


def counting(request: Request) -> Script:
    """With a usage that grows with the prompt."""
    return Script(usage=Usage(len(request.body) // 3, 80))


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_good_server_has_nothing_to_complain_of(
    examine: Examine, model: FakeModel, api: str
) -> None:
    model.default = counting
    found = examine(model, llm_api=api, max_concurrent_llm_calls=1)
    assert found.code == 0
    for subject in ("a turn", "schema", "streaming", "usage", "context", "reading", "writing"):
        assert found.line(subject).startswith("ok"), found.text
    for subject in ("JSON mode", "prompt only"):
        assert found.line(subject).endswith("taken")
    assert "not asked" in found.line("two players at a time")
    assert found.advice == ""


def refusing(part: str, status: int = 400, words: str = "no") -> Answers:
    def answer(request: Request) -> Script:
        offends = part in json.dumps(request.json())
        return (
            Script(status=status, error_body={"error": {"message": words}}) if offends else Script()
        )

    return answer


def test_forms_that_are_refused_are_named_with_the_servers_words(
    examine: Examine, model: FakeModel
) -> None:
    model.default = refusing('"type": "json_schema"', 500, "grammar broke \x1b[31m at 7")
    found = examine(model)
    assert found.code == 0
    assert found.line("schema").startswith("note  schema")
    assert "refused (500: grammar broke" in found.line("schema")
    assert "\x1b" not in found.text
    assert found.line("schema beside json_object").startswith("ok")
    assert found.line("JSON mode").endswith("taken")


def test_a_server_that_takes_no_form_is_warned_of(examine: Examine, model: FakeModel) -> None:
    model.default = refusing("response_format", 422, "extra field")
    found = examine(model)
    assert found.code == 0
    assert found.line("prompt only").startswith("ok")
    assert found.line("form").startswith("warn")


def test_a_form_that_is_taken_and_not_followed_is_said(examine: Examine, model: FakeModel) -> None:
    def answer(request: Request) -> Script:
        return Script() if "response_format" in request.json() else Script(text="Once upon a time")

    model.default = answer
    found = examine(model)
    assert found.code == 0
    assert "no outcome of a turn" in found.line("prompt only")


@pytest.mark.parametrize("script", [Script(usage=None), Script(usage=False)])
def test_usage_that_is_not_reported_is_said(
    examine: Examine, model: FakeModel, script: Script
) -> None:
    model.default = script
    found = examine(model)
    assert found.code == 0
    assert found.line("usage").startswith("warn  usage")
    assert "estimated" in found.line("usage")


def test_a_server_that_cannot_stream_is_asked_whole(examine: Examine, model: FakeModel) -> None:
    model.default = refusing('"stream": true', 400, "no")
    found = examine(model)
    assert found.code == 0
    assert found.line("streaming").startswith("warn")
    assert "LLM_STREAMING=false" in found.advice
    quiet = examine(model, llm_streaming="false")
    assert "off" in quiet.line("streaming")


REFUSALS: dict[str, tuple[int, dict[str, Any], str]] = {
    "a wrong key": (401, {"message": "Incorrect API key provided: " + KEY}, "OPENAI_API_KEY"),
    "an unknown model": (
        404,
        {"message": "The model `x` does not exist", "code": "model_not_found"},
        "OPENAI_MODEL",
    ),
    "an empty account": (
        429,
        {"message": "You exceeded your quota", "code": "insufficient_quota"},
        "quota",
    ),
    "a full context": (400, {"message": "exceed context window of 512"}, "larger one"),
}


@pytest.mark.parametrize("what", REFUSALS)
def test_refusal_is_reported_with_the_hint_of_the_error(
    examine: Examine, model: FakeModel, what: str
) -> None:
    status, error, hint = REFUSALS[what]
    model.default = Script(status=status, error_body={"error": error})
    found = examine(model)
    assert found.code == 1
    assert found.line("a turn").startswith("FAIL")
    assert hint in found.advice


@pytest.mark.parametrize(
    "said",
    [
        KEY.removeprefix("sk-"),
        KEY[:-3],
        quote("Bearer " + KEY, safe=""),
        f"{KEY[:12]}...{KEY[-9:]}",
        quote(KEY, safe=""),
    ],
)
def test_no_part_of_the_key_is_shown_that_a_server_repeats(
    examine: Examine, model: FakeModel, said: str
) -> None:
    model.default = Script(status=401, error_body={"error": {"message": f"no such key: {said}!"}})
    for key in (KEY, "+/" + KEY + "=="):
        line = examine(model, openai_api_key=key).line("a turn")
        assert "***" in line
        assert not any(part in line for part in ("operator", "secret-of", "of-the"))


def test_missing_v1_is_reported(examine: Examine, model: FakeModel) -> None:
    found = examine(model, openai_base_url=model.url)
    assert found.code == 1
    assert "OPENAI_BASE_URL mostly ends in /v1" in found.advice


def test_unreachable_server_is_reported(examine: Examine, model: FakeModel) -> None:
    found = examine(model, openai_base_url="http://127.0.0.1:1/v1")
    assert found.code == 1
    assert "cannot be reached" in found.line("a turn")
    assert "OPENAI_BASE_URL" in found.advice


def test_answers_that_are_no_outcome_fail_a_turn(examine: Examine, model: FakeModel) -> None:
    model.default = Script(text="Once upon a time")
    found = examine(model)
    assert found.code == 1
    assert "no outcome" in found.line("a turn")
    model.then(Script(text="Once upon a time"))
    model.default = Script()
    again = examine(model)
    assert again.code == 0
    assert again.line("a turn").startswith("warn")


def test_another_model_that_works_is_enough(examine: Examine, model: FakeModel) -> None:
    def answer(request: Request) -> Script:
        unknown = {"error": {"message": "The model does not exist", "code": "model_not_found"}}
        bad = request.json()["model"] != "spare"
        return Script(status=404, error_body=unknown) if bad else Script()

    model.default = answer
    assert examine(model).code == 1
    found = examine(model, openai_fallback_model="spare")
    assert found.code == 0
    assert "OPENAI_MODEL" in found.advice


def test_the_offline_storyteller_needs_no_model(examine: Examine, model: FakeModel) -> None:
    found = examine(model, openai_stub_mode="true")
    assert found.code == 0
    assert "offline storyteller" in found.text
    assert model.calls == []


# -- context --------------------------------------------------------------------------------------


class Listing(FakeModel):
    """Its list of models says more than a name."""

    def __init__(self, **fields: Any) -> None:
        super().__init__()
        self._fields = fields

    async def respond(self, request: Request, connection: Connection) -> None:
        if (request.method, request.path) == ("GET", "/v1/models"):
            body = {"data": [{"id": "other", "max_model_len": 7}, {"id": "m", **self._fields}]}
            connection.reply(200, json.dumps(body).encode())
        else:
            await super().respond(request, connection)


LISTED: list[dict[str, Any]] = [
    {"max_model_len": 4096},
    {"context_length": 4096},
    {"meta": {"n_ctx": 4096, "n_ctx_train": 131072}},
    {"max_context_length": 131072, "loaded_context_length": 4096},
]


@pytest.mark.parametrize("fields", LISTED, ids=json.dumps)
def test_a_small_context_that_the_server_names_is_advised(
    examine: Examine, fields: dict[str, Any]
) -> None:
    with Listing(**fields) as server:
        found = examine(server, openai_model="m")
        assert found.code == 0
        assert "4096 tokens" in found.line("context")
        assert "LLM_CONTEXT_TOKENS=4096" in found.advice
        more = examine(server, openai_model="m", llm_context_tokens=8192)
        assert more.line("context").startswith("warn")


def test_a_context_that_is_found_out_by_a_long_prompt_is_advised(
    examine: Examine, model: FakeModel
) -> None:
    words = {"error": {"message": "Requested tokens (9011) exceed context window of 2048"}}

    def answer(request: Request) -> Script:
        return Script(status=400, error_body=words) if len(request.body) > 20_000 else Script()

    model.default = answer
    found = examine(model)
    assert "2048 tokens" in found.line("context")
    assert "LLM_CONTEXT_TOKENS=2048" in found.advice


def test_silently_truncated_prompt_is_reported(examine: Examine, model: FakeModel) -> None:
    model.default = Script(usage=Usage(2048, 80))
    found = examine(model)
    assert "without a word" in found.line("context")
    assert "LLM_CONTEXT_TOKENS=2048" in found.advice


def test_a_bound_that_is_refused_is_advised(examine: Examine, model: FakeModel) -> None:
    model.default = refusing('"max_tokens": 8000', 400, "max_tokens is at most 99")
    found = examine(model, tokens_per_user_per_day=100_000)
    assert found.code == 0
    assert "LLM_MAX_OUTPUT_TOKENS" in found.advice


# -- two players ----------------------------------------------------------------------------------

SLOW = Script(token_chars=20, pace=0.02)


def test_server_for_one_player_at_a_time_is_reported_with_a_remedy(
    examine: Examine, tmp_path: Path
) -> None:
    with OnePlayer(SLOW) as server:
        found = examine(server)
        assert found.code == 0
        assert "one player at a time" in found.line("two players at a time")
        assert "MAX_CONCURRENT_LLM_CALLS=1 and LLM_SLOT_WAIT_SECONDS=30" in found.advice
        asked = len(server.calls)
        found = examine(server, max_concurrent_llm_calls=1)
        assert "not asked" in found.line("two players at a time")
        assert len(server.calls) == 2 * asked - 2


def test_server_that_answers_two_at_once_is_reported(examine: Examine, model: FakeModel) -> None:
    model.default = SLOW
    assert examine(model).line("two players at a time").startswith("ok")


@pytest.fixture
def begun(model: FakeModel) -> FakeModel:
    """Answers a turn and three other forms slowly."""
    model.then(SLOW, SLOW, SLOW, SLOW)
    return model


def test_answer_cut_short_by_the_next_one_is_reported(examine: Examine, begun: FakeModel) -> None:
    begun.then(Script(text=TEXT[:60]))
    found = examine(begun)
    assert "cut short" in found.line("two players at a time")
    assert "--interrupt_requests false" in found.advice


@pytest.mark.parametrize("status", [429, 503])
def test_refused_second_answer_is_reported(examine: Examine, begun: FakeModel, status: int) -> None:
    begun.then(Script(status=status))
    found = examine(begun)
    assert "one of two answers failed" in found.line("two players at a time")
    assert "MAX_CONCURRENT_LLM_CALLS=1" in found.advice


# -- journey-log and the store --------------------------------------------------------------------


def test_unreachable_journey_log_is_reported(examine: Examine, model: FakeModel) -> None:
    found = examine(model, journey_log_base_url="http://127.0.0.1:1")
    assert found.code == 1
    assert found.line("reading").startswith("FAIL")
    assert "JOURNEY_LOG_BASE_URL" in found.advice


def test_other_service_in_place_of_journey_log_is_reported(
    examine: Examine, model: FakeModel
) -> None:
    found = examine(model, journey_log_base_url=model.url)
    assert found.code == 1
    assert found.line("reading").startswith("FAIL")


def test_failing_journey_log_is_reported(
    examine: Examine, model: FakeModel, journey_log: FakeJourneyLog
) -> None:
    journey_log.fail("list", proxy_error(502))
    found = examine(model)
    assert (found.code, found.line("reading")[:4]) == (1, "FAIL")


def test_nothing_is_written_anywhere(
    examine: Examine, model: FakeModel, journey_log: FakeJourneyLog, tmp_path: Path
) -> None:
    examine(model)
    assert {request.method for request in journey_log.requests} == {"GET"}
    assert list(tmp_path.iterdir()) == []


def test_the_embedded_journey_log_is_not_asked(examine: Examine, model: FakeModel) -> None:
    assert "embedded" in examine(model, journey_log_base_url="").line("reading")


@pytest.mark.parametrize("where", ["/proc/none", "{}/file"])
def test_unwritable_store_is_reported(
    examine: Examine, model: FakeModel, tmp_path: Path, where: str
) -> None:
    (tmp_path / "file").write_bytes(b"")
    found = examine(model, store_url=f"sqlite:///{where.format(tmp_path)}/store.db")
    assert found.code == 1
    assert found.line("writing").startswith("FAIL")
    assert "STORE_URL" in found.advice


@pytest.mark.parametrize("content", [b"no database" * 500, None])
def test_file_that_is_no_store_is_reported(
    examine: Examine, model: FakeModel, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "store.db"
    path.mkdir() if content is None else path.write_bytes(content)
    assert examine(model, store_url=f"sqlite:///{path}").code == 1


def test_doctor_works_beside_a_running_server(
    examine: Examine, model: FakeModel, tmp_path: Path
) -> None:
    url = f"sqlite:///{tmp_path}/running.db"
    with Served(store_url=url, openai_base_url=model.base_url):
        found = examine(model, store_url=url)
    assert (found.code, "takes writes" in found.line("writing")) == (0, True)


def test_names_that_are_no_settings_are_listed(
    examine: Examine, model: FakeModel, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("OPENAI_BASEURL=x\n")
    assert "did you mean OPENAI_BASE_URL?" in examine(model).line("OPENAI_BASEURL")
