"""Content that turns refer to, read for their prompts."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from app.core.references import Reference, fitted, reference_of
from app.ports.contents import Contents
from app.ports.store import TurnRequest

References = Callable[[TurnRequest], Awaitable[Sequence[Reference]]]


async def no_references(_: TurnRequest) -> Sequence[Reference]:
    """The references of a turn that has none."""
    return ()


class ContentReferences:
    """Reads the content that a request refers to, in the request's order. Content that the referrer does
    not own, and content for which there is no room, is left out.

    `context_tokens`: the model's context, where it is known.
    """

    def __init__(self, contents: Contents, context_tokens: int | None) -> None:
        self._contents = contents
        self._context_tokens = context_tokens

    async def __call__(self, request: TurnRequest) -> Sequence[Reference]:
        users = request.referrers or (request.user_id,) * len(request.references)
        pairs = dict.fromkeys(zip(request.references, users, strict=True))
        found = [(await self._contents.content(one), user) for one, user in pairs]
        own = [one for one, user in found if one is not None and one.user_id == user]
        known = [reference_of(one.content_id, one.kind, one.body) for one in own]
        return fitted(known, self._context_tokens)
