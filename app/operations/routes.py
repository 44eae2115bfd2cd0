"""Health, metrics, admin and debug."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from app.core.events import stamp
from app.errors import NotFound
from app.operations.admin import parse_llm
from app.settings import Settings
from app.web.auth import caller_of
from app.web.inputs import character_id_from, read_model
from app.web.services import Services, services_of


async def get_health(request: Request) -> Response:
    return JSONResponse(await services_of(request).health())


async def get_ready(request: Request) -> Response:
    ready = await services_of(request).ready()
    status = "ready" if ready else "not_ready"
    headers = {} if ready else {"Retry-After": "5"}
    return JSONResponse({"status": status}, 200 if ready else 503, headers)


async def get_live(_: Request) -> Response:
    return JSONResponse({"status": "alive"})


async def get_metrics(request: Request) -> Response:
    services = services_of(request)
    if not services.settings.enable_metrics:
        raise NotFound
    accept = request.headers.get("accept", "")
    if "application/json" in accept:
        return JSONResponse(services.legacy_metrics())
    body, content_type = services.metrics(accept)
    return Response(body, headers={"Content-Type": content_type})


# -- admin ----------------------------------------------------------------------------------------


class PolicyReload(BaseModel):
    """Body of `POST /admin/policy/reload`: new values, or none to read the file again."""

    model_config = ConfigDict(extra="ignore")

    config: dict[str, Any] | None = None
    actor: str | None = None


class ParseLLM(BaseModel):
    """Body of `POST /debug/parse_llm`."""

    model_config = ConfigDict(extra="ignore")

    llm_response: str
    trace_id: str | None = None


def _admin(request: Request) -> Services:
    """Raises `NotFound` unless the admin endpoints are enabled."""
    services = services_of(request)
    _enabled(services.settings.admin_endpoints_enabled)
    return services


def _enabled(setting: bool) -> None:
    if not setting:
        raise NotFound


async def get_admin_turn(request: Request) -> Response:
    return JSONResponse(
        await _admin(request).admin.turn(request.path_params["turn_id"], caller_of(request))
    )


async def get_recent_turns(request: Request) -> Response:
    services = _admin(request)
    limit = request.query_params.get("limit", "20")
    return JSONResponse(
        await services.admin.recent_turns(character_id_from(request), limit, caller_of(request))
    )


async def get_user_usage(request: Request) -> Response:
    user_id: str = request.path_params["user_id"]
    return JSONResponse(await _admin(request).turns.usage(user_id, caller_of(request)))


async def get_policy_config(request: Request) -> Response:
    policy = _admin(request).policy
    updated = stamp(policy.last_updated)
    return JSONResponse({**policy.current().model_dump(), "last_updated": updated})


async def post_policy_reload(request: Request) -> Response:
    services = _admin(request)
    body = await read_model(request, PolicyReload, absent=b"{}")
    config = services.policy.replace(body.config, actor=body.actor or "admin")
    return JSONResponse(
        {
            "success": True,
            "message": "Policy configuration is in force.",
            "error": None,
            "config": config.model_dump(),
        }
    )


async def post_parse_llm(request: Request) -> Response:
    settings: Settings = services_of(request).settings
    _enabled(settings.enable_debug_endpoints)
    body = await read_model(request, ParseLLM)
    return JSONResponse(parse_llm(body.llm_response))


routes: list[BaseRoute] = [
    Route("/health", get_health, methods=["GET"]),
    Route("/ready", get_ready, methods=["GET"]),
    Route("/live", get_live, methods=["GET"]),
    Route("/metrics", get_metrics, methods=["GET"]),
    Route("/admin/turns/{turn_id}", get_admin_turn, methods=["GET"]),
    Route("/admin/characters/{character_id}/recent_turns", get_recent_turns, methods=["GET"]),
    Route("/admin/usage/{user_id}", get_user_usage, methods=["GET"]),
    Route("/admin/policy/config", get_policy_config, methods=["GET"]),
    Route("/admin/policy/reload", post_policy_reload, methods=["POST"]),
    Route("/debug/parse_llm", post_parse_llm, methods=["POST"]),
]
