"""A whole feature in one module: a route with a scope, a setting, a metric, work, its description."""

from __future__ import annotations

import asyncio
from typing import Annotated

from app.feature import Feature, FeatureSpec, Gauge, Platform
from app.settings import SettingsGroup
from app.web.answers import JSONAnswer
from app.web.routing import Answer, Operation, Tag
from app.web.services import services_of
from pydantic import Field
from starlette.requests import Request
from starlette.responses import Response
from typing_extensions import TypedDict


class ToySettings(SettingsGroup):
    toy_start: Annotated[int, Field(ge=1, le=100)] = 7


class Count(TypedDict):
    count: int


class Toy:
    def __init__(self, start: int) -> None:
        self.count = start

    async def tick(self) -> None:
        self.count += 1
        await asyncio.Event().wait()


async def get_toy(request: Request) -> Response:
    return JSONAnswer(Count(count=services_of(request).get(Toy).count))


OPERATION = Operation(
    method="GET",
    path="/toy",
    endpoint=get_toy,
    scope="content",
    tag=Tag("Toys", "To play with."),
    name="getToy",
    summary="The toy's count",
    answers=(Answer(200, "The count.", json=Count),),
)


def wire(platform: Platform) -> Feature:
    toy = Toy(platform.settings_of(ToySettings).toy_start)
    gauge = Gauge("toy_count", "The toy's count.", lambda: toy.count)
    return Feature((OPERATION,), services=(toy,), gauges=(gauge,), background=(toy.tick,))


FEATURE = FeatureSpec("toy", wire, ToySettings)
