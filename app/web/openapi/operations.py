"""What operators and browsers call: condition, numbers, admin, pages."""

from __future__ import annotations

from typing import Final

from app.web.openapi.parts import (
    ANY,
    CHARACTER_ID,
    EXAMPLE_CHARACTER,
    EXAMPLE_TURN,
    TAKES_BODY,
    TURN_ID,
    answer,
    body,
    header,
    json_content,
    operation,
    path,
    problems,
    query,
)
from app.web.openapi.schemas import Json

POLICY_EXAMPLE: Final = {"config": {"quest_trigger_prob": 0.5}, "actor": "ops"}
PARSE_EXAMPLE: Final = {"llm_response": '{"narrative": "The door opens.", "intents": {}}'}


# -- operations -----------------------------------------------------------------------------------


def _health() -> Json:
    return operation(
        "Operations",
        "Condition of the service and its parts",
        path="/health",
        name="getHealth",
        about="Always 200: `status` tells.",
        answers={"200": answer("The condition.", json_content("HealthReport"))},
    )


def _ready() -> Json:
    not_ready = answer("Not now.", json_content("Readiness"), "Retry-After")
    return operation(
        "Operations",
        "Whether turns can be taken",
        path="/ready",
        name="getReady",
        answers={"200": answer("Yes.", json_content("Readiness")), "503": not_ready},
    )


def _live() -> Json:
    return operation(
        "Operations",
        "Whether the process answers",
        path="/live",
        name="getLive",
        answers={"200": answer("Yes.", json_content("Liveness"))},
    )


def _metrics() -> Json:
    text = {"schema": {"type": "string"}}
    content = {
        "text/plain": text,
        "application/openmetrics-text": text,
        **json_content("MetricsReport"),
    }
    return operation(
        "Operations",
        "Numbers for Prometheus, or as JSON",
        path="/metrics",
        name="getMetrics",
        about="`Accept` chooses. 404 when ENABLE_METRICS is off.",
        parameters=[header("Accept", "Chooses the form.", {"type": "string"})],
        answers={"200": answer("The numbers.", content)},
        errors=(*ANY, "not_found"),
    )


# -- admin ----------------------------------------------------------------------------------------


def _admin_turn() -> Json:
    return operation(
        "Admin",
        "A turn with what was decided in it",
        path=f"/admin/turns/{EXAMPLE_TURN}",
        name="getAdminTurn",
        parameters=[TURN_ID],
        answers={"200": answer("The turn.", json_content("AdminTurn"))},
        errors=(*ANY, "not_found", "turn_not_found"),
    )


def _recent_turns() -> Json:
    limit = {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}
    return operation(
        "Admin",
        "A character's last turns, newest first",
        path=f"/admin/characters/{EXAMPLE_CHARACTER}/recent_turns",
        name="getRecentTurns",
        parameters=[CHARACTER_ID, query("limit", "How many.", limit)],
        answers={"200": answer("The turns.", json_content("RecentTurns"))},
        errors=(*ANY, "not_found", "validation_error", "invalid_limit"),
    )


def _user_usage() -> Json:
    return operation(
        "Admin",
        "See a user's tokens of today",
        path="/admin/usage/local",
        name="getUserUsage",
        parameters=[path("user_id", "The user.", "local")],
        answers={"200": answer("Today's tokens.", json_content("UsageReport"))},
        errors=(*ANY, "not_found"),
    )


def _policy() -> Json:
    return operation(
        "Admin",
        "The policy values in force",
        path="/admin/policy/config",
        name="getPolicyConfig",
        answers={"200": answer("The values.", json_content("PolicyInForce"))},
        errors=(*ANY, "not_found"),
    )


def _policy_reload() -> Json:
    return operation(
        "Admin",
        "Change the policy values, or read their file again",
        path="/admin/policy/reload",
        name="reloadPolicy",
        about="Values that are left out stay. Without `config` the file named by "
        "POLICY_CONFIG_FILE is read.",
        request=body("PolicyReload", POLICY_EXAMPLE, required=False),
        answers={"200": answer("The values now in force.", json_content("PolicyReloaded"))},
        errors=(*TAKES_BODY, "not_found", "config_validation_failed"),
    )


def _parse_llm() -> Json:
    return operation(
        "Admin",
        "What the service makes of a model's answer",
        path="/debug/parse_llm",
        name="parseModelAnswer",
        request=body("ParseLLM", PARSE_EXAMPLE),
        answers={"200": answer("The reading.", json_content("ParsedAnswer"))},
        errors=(*TAKES_BODY, "not_found"),
    )


# -- pages ----------------------------------------------------------------------------------------


def _file(summary: str, path: str, name: str, *media: str) -> Json:
    content: Json = {kind: {} for kind in media}
    return operation(
        "Pages",
        summary,
        path=path,
        name=name,
        answers={"200": answer(f"{summary}.", content)},
    )


def _static() -> Json:
    described = _file("A file of the pages", "/static/play.js", "getStaticFile", "*/*")
    where = {
        "name": "path",
        "in": "path",
        "required": True,
        "description": "The file.",
        "schema": {"type": "string"},
        "example": "play.js",
    }
    described["parameters"] = [where, *described["parameters"]]
    described["responses"] |= {
        "304": answer("It has not changed since the time or tag that was sent."),
        **problems(("not_found",), "/static/play.js"),
    }
    return described


def paths() -> Json:
    return {
        "/health": {"get": _health()},
        "/ready": {"get": _ready()},
        "/live": {"get": _live()},
        "/metrics": {"get": _metrics()},
        "/admin/turns/{turn_id}": {"get": _admin_turn()},
        "/admin/characters/{character_id}/recent_turns": {"get": _recent_turns()},
        "/admin/usage/{user_id}": {"get": _user_usage()},
        "/admin/policy/config": {"get": _policy()},
        "/admin/policy/reload": {"post": _policy_reload()},
        "/debug/parse_llm": {"post": _parse_llm()},
        "/": {"get": _file("The play page", "/", "getPlayPage", "text/html")},
        "/docs": {"get": _file("This reference", "/docs", "getReference", "text/html")},
        "/openapi.json": {
            "get": _file("This API as OpenAPI", "/openapi.json", "getOpenApi", "application/json")
        },
        "/asyncapi.json": {
            "get": _file(
                "The WebSocket as AsyncAPI", "/asyncapi.json", "getAsyncApi", "application/json"
            )
        },
        "/static/{path}": {"get": _static()},
    }
