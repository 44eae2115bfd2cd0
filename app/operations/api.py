"""The operations of operators: condition, numbers, admin, debug."""

from __future__ import annotations

from functools import partial
from typing import Final

from app import errors
from app.operations import routes, schemas
from app.telemetry.report import MetricsReport
from app.turns.schemas import UsageReport
from app.web.parameters import CHARACTER_ID, DAYS, RETRY_AFTER, TURN_ID, page_limit
from app.web.routing import TEXT, Answer, Body, Operation, Parameter, Tag, enabled_if

OPERATORS: Final = Tag("Operations", "Condition and numbers of the service.")
_open = partial(Operation, scope=None, tag=OPERATORS)
ADMIN_TAG: Final = Tag("Admin", "For operators; 404 unless the settings enable it.")
_admin = partial(Operation, scope="admin", tag=ADMIN_TAG)

HEALTH: Final = (
    _open(
        method="GET",
        path="/health",
        endpoint=routes.get_health,
        name="getHealth",
        summary="Condition of the service and its parts",
        about="Always 200: read `status`.",
        answers=(Answer(200, "The condition.", json=schemas.HealthReport),),
    ),
    _open(
        method="GET",
        path="/ready",
        endpoint=routes.get_ready,
        name="getReady",
        any_host=True,
        summary="Whether turns can be taken",
        answers=(
            Answer(200, "Yes.", json=schemas.Readiness),
            Answer(503, "Not now.", json=schemas.Readiness, headers=(RETRY_AFTER,)),
        ),
    ),
    _open(
        method="GET",
        path="/live",
        endpoint=routes.get_live,
        name="getLive",
        any_host=True,
        summary="Whether the process answers",
        answers=(Answer(200, "Yes.", json=schemas.Liveness),),
    ),
)
METRICS: Final = (
    _open(
        method="GET",
        path="/metrics",
        endpoint=routes.get_metrics,
        name="getMetrics",
        summary="Numbers for Prometheus, or as JSON",
        about="`Accept` chooses. 404 when ENABLE_METRICS is off.",
        parameters=(Parameter("Accept", "header", "Chooses the form."),),
        answers=(
            Answer(
                200,
                "The numbers.",
                json=MetricsReport,
                media={
                    "text/plain": {"schema": TEXT},
                    "application/openmetrics-text": {"schema": TEXT},
                },
            ),
        ),
        errors=(errors.NotFound,),
    ),
)
ADMIN: Final = (
    _admin(
        method="GET",
        path="/admin/turns/{turn_id}",
        endpoint=routes.get_admin_turn,
        name="getAdminTurn",
        summary="A turn with what was decided in it",
        parameters=(TURN_ID,),
        answers=(Answer(200, "The turn.", json=schemas.AdminTurn),),
        errors=(errors.NotFound, errors.TurnNotFound),
    ),
    _admin(
        method="GET",
        path="/admin/characters/{character_id}/recent_turns",
        endpoint=routes.get_recent_turns,
        name="getRecentTurns",
        summary="A character's last turns, newest first",
        parameters=(
            CHARACTER_ID,
            page_limit("How many."),
        ),
        answers=(Answer(200, "The turns.", json=schemas.RecentTurns),),
        errors=(errors.NotFound, errors.ValidationError, errors.InvalidLimit),
    ),
    _admin(
        method="GET",
        path="/admin/usage/{user_id}",
        endpoint=routes.get_user_usage,
        name="getUserUsage",
        summary="See what a user has used",
        parameters=(Parameter("user_id", "path", "The user.", example="local"), DAYS),
        answers=(Answer(200, "Tokens and money.", json=UsageReport),),
        errors=(errors.NotFound, errors.ValidationError),
    ),
    _admin(
        method="GET",
        path="/admin/policy/config",
        endpoint=routes.get_policy_config,
        name="getPolicyConfig",
        summary="The policy values in force",
        answers=(Answer(200, "The values.", json=schemas.PolicyInForce),),
        errors=(errors.NotFound,),
    ),
    _admin(
        method="POST",
        path="/admin/policy/reload",
        endpoint=routes.post_policy_reload,
        name="reloadPolicy",
        summary="Change the policy values, or read their file again",
        about="Values that are left out stay. Without `config` the file named by "
        "POLICY_CONFIG_FILE is read.",
        request=Body(
            schemas.PolicyReload,
            {"config": {"quest_trigger_prob": 0.5}, "actor": "ops"},
            required=False,
        ),
        answers=(Answer(200, "The values now in force.", json=schemas.PolicyReloaded),),
        errors=(errors.NotFound, errors.ConfigValidationFailed),
    ),
)
DEBUG: Final = (
    _admin(
        method="POST",
        path="/debug/parse_llm",
        endpoint=routes.post_parse_llm,
        name="parseModelAnswer",
        summary="What the service makes of a model's answer",
        request=Body(
            schemas.ParseLLM,
            {"llm_response": '{"narrative": "The door opens.", "intents": {}}'},
        ),
        answers=(Answer(200, "The reading.", json=schemas.ParsedAnswer),),
        errors=(errors.NotFound,),
    ),
)


def operations(
    *, metrics: bool = True, admin: bool = True, debug: bool = True
) -> tuple[Operation, ...]:
    """All of them; each flag says whether a group is enabled."""
    return (
        *HEALTH,
        *enabled_if(metrics, METRICS),
        *enabled_if(admin, ADMIN),
        *enabled_if(debug, DEBUG),
    )
