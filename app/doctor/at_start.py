"""The model server is asked what it can do when the service starts, beside everything else.

Nothing waits for it: a turn that comes first finds out the same by itself. It is asked only while no call
of the service is under way, given up as soon as one is, and asked again a few times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeVar

import structlog

from app.doctor.capabilities import Capabilities, find_out
from app.generation.failures import as_error
from app.ports.model import FailureKind, ModelFailed, ProbedModel

log = structlog.get_logger(__name__)

Result = TypeVar("Result")
State = Literal["off", "pending", "unreachable", "refused", "known"]
WAITS: Final = (0.0, 2.0, 5.0, 15.0, 30.0, 60.0, 120.0, 300.0)
"""Seconds before each time that the server is asked; a model of some gigabytes takes a while to load."""
SECONDS: Final = 180.0
"""For one time, after which the server counts as unreachable."""
LOOK_SECONDS: Final = 0.2
"""How long a call of the service may meet one of the probe."""
MOST_NAMED: Final = 20
_UNREACHED: Final = frozenset(
    {FailureKind.TRANSIENT, FailureKind.TIMED_OUT, FailureKind.BROKEN, FailureKind.STALLED}
)


@dataclass(frozen=True, slots=True)
class Found:
    """`unreachable`: no list of models came from there, and without one nothing more is asked. `hint`: what
    an operator should change; None where nothing is known to help."""

    state: State
    capabilities: Capabilities = field(default_factory=Capabilities)
    hint: str | None = None


class StartProbe:
    """`model`: None: nothing is asked. `busy`: whether calls are under way. `learn` is given the context in
    tokens. `sleep` is for tests."""

    def __init__(
        self,
        model: ProbedModel | None,
        *,
        stream: bool,
        busy: Callable[[], bool],
        learn: Callable[[int], None],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._model = model
        self._stream = stream
        self._busy = busy
        self._learn = learn
        self._sleep = sleep
        self.found = Found("off" if model is None else "pending")

    async def run(self) -> None:
        """Ask until it is known. Raises nothing."""
        if self._model is None:
            return
        for wait in WAITS:
            await self._sleep(wait)
            if self._busy():
                continue
            self.found = await self._asked(self._model)
            if self.found.state in ("known", "refused"):
                break
        found, capabilities = self.found, self.found.capabilities
        log.info(
            "model_probed",
            model=self._model.name,
            state=found.state,
            form=capabilities.form,
            context_tokens=capabilities.context_tokens,
            hint=found.hint,
        )

    async def _asked(self, model: ProbedModel) -> Found:
        listing = None
        try:
            async with asyncio.timeout(SECONDS):
                listing = await model.listing()
                if listing is None:
                    return Found("unreachable")
                capabilities = await self._unless_busy(
                    find_out(model, listing, stream=self._stream, busy=self._busy)
                )
        except TimeoutError:
            return Found("unreachable")
        except ModelFailed as failure:
            return _failed(failure, () if listing is None else listing.names)
        if capabilities is None:
            return Found("pending")
        if capabilities.context_tokens is not None:
            self._learn(capabilities.context_tokens)
        return Found("known", capabilities)

    async def _unless_busy(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=LOOK_SECONDS))[0]:
                if self._busy():
                    return None
            return task.result()
        finally:
            task.cancel()


def _failed(failure: ModelFailed, models: tuple[str, ...]) -> Found:
    upstream = as_error(failure).upstream
    hint = upstream.hint if upstream else None
    state: State = "unreachable" if failure.kind in _UNREACHED else "refused"
    if state == "refused":
        names = ", ".join(models[:MOST_NAMED]) or "none"
        log.warning("model_not_usable", reason=str(failure), hint=hint, models=names)
    return Found(state, Capabilities(models=models), hint)
