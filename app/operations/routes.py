"""Health, metrics, admin and debug."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from app.core.events import stamp
from app.operations.admin import AdminService, parse_llm
from app.operations.health import Health
from app.operations.schemas import (
    Liveness,
    ParseLLM,
    PolicyInForce,
    PolicyReload,
    PolicyReloaded,
    Readiness,
)
from app.telemetry.metrics import Metrics
from app.telemetry.workers import WorkerMetrics
from app.turns.policy_source import PolicySource
from app.turns.routes import usage_answer
from app.web.answers import JSONAnswer
from app.web.auth import caller_of
from app.web.inputs import character_id_from, read_model
from app.web.services import services_of


async def get_health(request: Request) -> Response:
    return JSONAnswer(await services_of(request).get(Health).report())


async def get_ready(request: Request) -> Response:
    health = services_of(request).get(Health)
    ready, now = await health.ready(), stamp(health.now())
    if ready:
        return JSONAnswer(Readiness(status="ready", timestamp=now))
    return JSONAnswer(Readiness(status="not_ready", timestamp=now), 503, {"Retry-After": "5"})


async def get_live(request: Request) -> Response:
    now = stamp(services_of(request).get(Health).now())
    return JSONAnswer(Liveness(status="alive", timestamp=now))


async def get_metrics(request: Request) -> Response:
    services = services_of(request)
    accept = request.headers.get("accept", "")
    if "application/json" in accept:
        return JSONAnswer(services.get(Metrics).legacy())
    body, content_type = await services.get(WorkerMetrics).render(accept)
    return Response(body, headers={"Content-Type": content_type})


# -- admin ----------------------------------------------------------------------------------------


async def get_admin_turn(request: Request) -> Response:
    return JSONAnswer(
        await services_of(request)
        .get(AdminService)
        .turn(request.path_params["turn_id"], caller_of(request))
    )


async def get_recent_turns(request: Request) -> Response:
    services = services_of(request)
    limit = request.query_params.get("limit", "20")
    return JSONAnswer(
        await services.get(AdminService).recent_turns(
            character_id_from(request), limit, caller_of(request)
        )
    )


async def get_user_usage(request: Request) -> Response:
    return await usage_answer(request, request.path_params["user_id"])


async def get_policy_config(request: Request) -> Response:
    policy = services_of(request).get(PolicySource)
    updated = stamp(policy.last_updated)
    return JSONAnswer(PolicyInForce(**policy.current().model_dump(), last_updated=updated))


async def post_policy_reload(request: Request) -> Response:
    services = services_of(request)
    body = await read_model(request, PolicyReload, absent=b"{}")
    config = services.get(PolicySource).replace(body.config, actor=body.actor or "admin")
    return JSONAnswer(
        PolicyReloaded(
            success=True,
            message="Policy configuration is in force.",
            error=None,
            config=config,
        )
    )


async def post_parse_llm(request: Request) -> Response:
    body = await read_model(request, ParseLLM)
    return JSONAnswer(parse_llm(body.llm_response))
