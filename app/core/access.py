"""Authorisation: decided from caller, action and resource alone."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple, assert_never

ADMIN_SCOPE = "admin"


class Action(Enum):
    """moderate: what operators do, beside and above the owner."""

    READ = "read"
    WRITE = "write"
    CANCEL = "cancel"
    MODERATE = "moderate"


class Owner(NamedTuple):
    """The owner of a resource; `kind` is `user` or another kind of owner."""

    kind: str
    id: str


class Resource(NamedTuple):
    """`id` is unique among all resources; `within` is that of what this is a part of. `scope`: what a token
    must allow, beside its user."""

    id: str
    owner: Owner
    within: str | None = None
    scope: str = "turns"


ANONYMOUS: Final = "local"
"""The user who is named by nobody."""


class Caller(NamedTuple):
    """The caller of a request; `scopes` are those of the caller's token.

    `acts_for`: owners beside the caller's own user. `only`: the one resource that the caller may
    read, with its parts, and nothing else, where a ticket stands in for a token.
    """

    user_id: str
    scopes: frozenset[str]
    acts_for: frozenset[Owner] = frozenset()
    only: str | None = None


def user(user_id: str) -> Owner:
    """A user as an owner."""
    return Owner("user", user_id)


def may(caller: Caller, action: Action, resource: Resource) -> bool:
    """Whether the caller may do this with the resource."""
    if caller.only is not None:
        meant = caller.only in (resource.id, resource.within)
        return meant and action is Action.READ and _owns(caller, resource)
    match action:
        case Action.READ | Action.WRITE | Action.CANCEL:
            return _owns(caller, resource) and has_scope(caller, resource.scope)
        case Action.MODERATE:
            return has_scope(caller, ADMIN_SCOPE)
        case _:
            assert_never(action)


def has_scope(caller: Caller, scope: str) -> bool:
    """Whether the caller's token opens a group of addresses."""
    return scope in caller.scopes


def _owns(caller: Caller, resource: Resource) -> bool:
    return resource.owner == user(caller.user_id) or resource.owner in caller.acts_for
