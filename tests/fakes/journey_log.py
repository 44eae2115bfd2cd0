"""A journey-log with state in memory. Like the real one it is not idempotent, and it can fail at
every point of a request."""

from __future__ import annotations

import asyncio
import random
import threading
import time
import uuid
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from .server import Connection, FakeServer, Request, opened, to_json

Json = dict[str, Any]
POIS_CAP = 3
PROXY_PAGE = b"<html><body><h1>Bad Gateway</h1></body></html>"


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("must not be blank")
    return text


Short = Annotated[str, Field(min_length=1, max_length=64)]
Count = Annotated[int, Field(ge=0)]
Label = Annotated[str, AfterValidator(_not_blank)]
Tag = Annotated[str, Field(min_length=1, max_length=50), AfterValidator(_not_blank)]
Status = Literal["Healthy", "Wounded", "Dead"]


class CreateCharacter(_Body):
    name: Short
    race: Short
    character_class: Short = Field(alias="class")
    adventure_prompt: str = Field(min_length=1)
    location_id: str | None = None
    location_display_name: str | None = None


class AppendTurn(_Body):
    user_action: str = Field(min_length=1, max_length=8000)
    ai_response: str = Field(min_length=1, max_length=32000)
    timestamp: str | None = None


class Rewards(_Body):
    items: list[str] = []
    currency: dict[Label, Count] = {}
    experience: Count | None = None


class Quest(_Body):
    name: str
    description: str
    requirements: list[str] = []
    rewards: Rewards
    completion_state: Literal["not_started", "in_progress", "completed"]
    updated_at: datetime


class Enemy(_Body):
    enemy_id: str
    name: str
    status: Status
    weapon: str | None = None
    traits: list[str] = []
    metadata: Json | None = None


class Combat(_Body):
    combat_id: str
    started_at: str
    turn: int = Field(default=1, ge=1)
    enemies: list[Enemy] = Field(max_length=5)
    player_conditions: Json | None = None


class PutCombat(_Body):
    combat_state: Combat | None


class CreatePoi(_Body):
    name: str = Field(min_length=1, max_length=200)
    description: str = Field(min_length=1, max_length=2000)
    timestamp: str | None = None
    tags: list[Tag] | None = Field(default=None, max_length=20)


def parse_time(text: str) -> datetime:
    """Naive is UTC; ValueError if it is no ISO 8601."""
    moment = datetime.fromisoformat(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def now() -> str:
    moment = datetime.now(UTC)
    return iso(moment.replace(microsecond=moment.microsecond // 1000 * 1000))


@dataclass(frozen=True)
class Write:
    """What was committed; `body` is the JSON as sent (None for quest_delete), `at` is
    `time.monotonic()`."""

    character_id: str
    kind: str
    body: Json | None
    headers: dict[str, str]
    at: float


@dataclass(frozen=True)
class Fault:
    """`commit`: whether the request is carried out. `end`: what the client then sees; with
    `status` it is that answer, `foreign` being the body of something that is not journey-log.
    `seconds` and `gate` hold the request back before the commit or before the answer."""

    commit: bool = True
    end: Literal["answer", "hang", "drop", "reset"] = "answer"
    status: int | None = None
    foreign: bytes | None = None
    hold: Literal["commit", "answer"] = "commit"
    seconds: float = 0.0
    gate: threading.Event | None = None

    async def held(self, where: str) -> None:
        if where == self.hold:
            await asyncio.sleep(self.seconds)
            if self.gate is not None:
                await opened(self.gate)


def answers(status: int, *, commit: bool = False) -> Fault:
    """journey-log's own error body; 422 is its refusal."""
    return Fault(commit=commit, status=status)


def proxy_error(status: int = 502, page: bytes = PROXY_PAGE, *, commit: bool = False) -> Fault:
    return Fault(commit=commit, status=status, foreign=page)


def hangs(*, commit: bool = False) -> Fault:
    return Fault(commit=commit, end="hang")


def drops(*, commit: bool = False) -> Fault:
    return Fault(commit=commit, end="drop")


def resets(*, commit: bool = False) -> Fault:
    return Fault(commit=commit, end="reset")


def late(
    gate: threading.Event | None = None,
    seconds: float = 0.0,
    hold: Literal["commit", "answer"] = "commit",
) -> Fault:
    return Fault(gate=gate, seconds=seconds, hold=hold)


class Refusal(Exception):
    def __init__(self, status: int, message: str, errors: list[Json] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.errors = errors

    def body(self) -> Json:
        message = str(self)
        if self.errors is not None:
            return {"error": "validation_error", "message": message, "errors": self.errors}
        if self.status == 500:
            return {"error": "internal_error", "message": message}
        return {"error": "http_error", "message": message, "status_code": self.status}


def scripted(status: int) -> Refusal:
    wrong = {"loc": ["body"], "msg": "refused", "type": "value_error"}
    return Refusal(status, HTTPStatus(status).phrase, [wrong] if status == 422 else None)


@dataclass
class _Character:
    id: str
    owner: str
    prompt: str
    player: Json
    created_at: str = field(default_factory=now)
    updated_at: str = field(default_factory=now)
    touched: int = 0
    quest: Json | None = None
    archive: list[Json] = field(default_factory=list)
    combat: Json | None = None
    turns: list[Json] = field(default_factory=list)
    pois: list[Json] = field(default_factory=list)

    def fighting(self) -> bool:
        return any(enemy["status"] != "Dead" for enemy in (self.combat or {}).get("enemies", []))

    def combat_envelope(self) -> Json:
        active = self.fighting()
        return {"active": active, "state": self.combat if active else None}

    def newest_pois(self) -> list[Json]:
        return sorted(self.pois, key=lambda poi: parse_time(poi["created_at"]), reverse=True)

    def turns_by_time(self) -> list[Json]:
        return sorted(self.turns, key=lambda turn: parse_time(turn["timestamp"]))

    def check_readable(self) -> None:
        """A combat whose `started_at` is no time is accepted, and then poisons these reads."""
        if self.combat is not None:
            try:
                parse_time(self.combat["started_at"])
            except ValueError as error:
                raise Refusal(500, "Internal server error") from error

    def document(self) -> Json:
        return {
            "character_id": self.id,
            "owner_user_id": self.owner,
            "adventure_prompt": self.prompt,
            "player_state": self.player,
            "world_pois_reference": f"characters/{self.id}/pois",
            "narrative_turns_reference": f"characters/{self.id}/narrative_turns",
            "schema_version": "1.0.0",
            "created_at": self.created_at,
            "updated_at": self.updated_at,
            "world_state": None,
            "world_pois": [],
            "active_quest": self.quest,
            "archived_quests": self.archive,
            "combat_state": self.combat,
            "additional_metadata": {},
        }

    def listed(self) -> Json:
        times = {"created_at": self.created_at, "updated_at": self.updated_at}
        status = {"status": self.player["status"]}
        return {"character_id": self.id, **self.player["identity"], **status, **times}


ROUTES: dict[str, dict[str, str]] = {
    "/health": {"GET": "health"},
    "/characters": {"POST": "create", "GET": "list"},
    "/characters/*": {"GET": "character"},
    "/characters/*/context": {"GET": "context"},
    "/characters/*/narrative": {"POST": "narrative", "GET": "narrative_get"},
    "/characters/*/quest": {"PUT": "quest", "GET": "quest_get", "DELETE": "quest_delete"},
    "/characters/*/combat": {"PUT": "combat", "GET": "combat_get"},
    "/characters/*/pois": {"POST": "poi", "GET": "pois_get"},
    "/characters/*/pois/random": {"GET": "pois_random"},
    "/characters/*/pois/summary": {"GET": "pois_summary"},
}
KINDS = frozenset(kind for methods in ROUTES.values() for kind in methods.values())
Answer = tuple[int, Json | None]
Handler = Callable[[Request, str], Answer]
Model = TypeVar("Model", bound=_Body)
Value = TypeVar("Value", int, bool)


def route(request: Request) -> tuple[str, str]:
    """The kind of request and the character's id as it stands in the path."""
    parts = request.path.split("/")
    character_id = parts[2] if len(parts) > 2 else ""
    shape = "/".join([*parts[:2], "*", *parts[3:]]) if character_id else request.path
    methods = ROUTES.get(shape)
    if methods is None:
        raise LookupError(404)
    if request.method not in methods:
        raise LookupError(405)
    return methods[request.method], character_id


def _schema(where: str, error: ValidationError) -> list[Json]:
    found = error.errors(include_url=False, include_context=False, include_input=False)
    return [{"loc": [where, *e["loc"]], "msg": e["msg"], "type": e["type"]} for e in found]


def _query(request: Request, name: str, kind: type[Value], default: Value) -> Value:
    try:
        return TypeAdapter(kind).validate_python(request.query.get(name, default))
    except ValidationError as error:
        raise Refusal(422, "Request validation failed", _schema("query", error)) from error


def _limit(request: Request, name: str, default: int, high: int) -> int:
    """A number whose range is part of the schema."""
    value = _query(request, name, int, default)
    if not 1 <= value <= high:
        wrong = {"loc": ["query", name], "msg": f"from 1 to {high}", "type": "value_error"}
        raise Refusal(422, "Request validation failed", [wrong])
    return value


def _received(request: Request, model: type[Model]) -> Model:
    """The header and the body are checked together, the header first."""
    errors: list[Json] = []
    if "x-user-id" not in request.headers:
        header = ["header", "x-user-id"]
        errors.append({"loc": header, "msg": "Field required", "type": "missing"})
    try:
        body = model.model_validate_json(request.body or b"{}")
    except ValidationError as error:
        raise Refusal(422, "Request validation failed", errors + _schema("body", error)) from error
    if errors:
        raise Refusal(422, "Request validation failed", errors)
    return body


def _uuid(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError as error:
        raise Refusal(422, "Invalid UUID") from error


def _user(request: Request) -> str | None:
    user = request.headers.get("x-user-id")
    if user is not None and not user.strip():
        raise Refusal(400, "X-User-Id must not be empty")
    return user.strip() if user is not None else None


def _stamp(text: str | None, status: int = 422) -> str:
    try:
        return iso(parse_time(text)) if text else now()
    except ValueError as error:
        raise Refusal(status, "Invalid timestamp") from error


def _turn(body: AppendTurn) -> Json:
    return {
        "turn_id": str(uuid.uuid4()),
        "turn_number": None,
        "player_action": body.user_action,
        "gm_response": body.ai_response,
        "timestamp": _stamp(body.timestamp),
        "game_state_snapshot": None,
        "metadata": None,
    }


def _poi(body: CreatePoi) -> Json:
    made = {"id": str(uuid.uuid4()), "created_at": _stamp(body.timestamp)}
    return {**made, "name": body.name, "description": body.description, "tags": body.tags}


def _quest(body: Quest) -> Json:
    moment = body.updated_at
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return {**body.model_dump(), "updated_at": iso(aware)}


def _combat(body: Combat) -> Json:
    try:
        started = iso(parse_time(body.started_at))
    except ValueError:
        started = body.started_at
    return {**body.model_dump(), "started_at": started}


def _player(name: str, race: str, character_class: str) -> Json:
    """What a new character is."""
    return {
        "identity": {"name": name, "race": race, "class": character_class},
        "status": "Healthy",
        "equipment": [],
        "inventory": [],
        "location": {"id": "origin:nexus", "display_name": "The Nexus"},
        "additional_fields": {},
    }


class FakeJourneyLog(FakeServer):
    """A request already received is carried out even if its client has gone. Each request takes
    the next fault of its kind, else the permanent one, else none."""

    outlives_client = True

    def __init__(self) -> None:
        super().__init__()
        self._characters: dict[str, _Character] = {}
        self._writes: list[Write] = []
        self._faults: defaultdict[str, deque[Fault | None]] = defaultdict(deque)
        self._rules: dict[tuple[str, str | None], Fault] = {}
        self._random = random.Random(7)

    # -- what a test sets up and looks at

    def seed_character(
        self,
        user: str = "local",
        character_id: str | None = None,
        name: str = "Arin",
        status: Status = "Healthy",
        quest: Mapping[str, Any] | None = None,
        combat: Mapping[str, Any] | None = None,
        turns: Sequence[Mapping[str, Any]] = (),
        pois: Sequence[Mapping[str, Any]] = (),
        additional_fields: Mapping[str, Any] | None = None,
    ) -> str:
        """`quest`, `combat`, `turns` and `pois` as their requests have them. No `writes`."""
        made = _uuid(character_id) if character_id else str(uuid.uuid4())
        player = _player(name, "Human", "Ranger") | {"status": status}
        player["additional_fields"] = dict(additional_fields or {})
        character = _Character(made, user, "A bell counts.", player)
        character.quest = _quest(Quest.model_validate(quest)) if quest else None
        character.combat = _combat(Combat.model_validate(combat)) if combat else None
        character.turns = [_turn(AppendTurn.model_validate(turn)) for turn in turns]
        character.pois = [_poi(CreatePoi.model_validate(poi)) for poi in pois]
        with self.changed:
            self._characters[made] = character
            self._touch(character)
        return made

    def character(self, character_id: str) -> Json:
        """A copy: the character's document with `turns` and `pois` (as stored) added."""
        with self.changed:
            found = self._characters[character_id]
            return deepcopy({**found.document(), "turns": found.turns, "pois": found.pois})

    @property
    def writes(self) -> list[Write]:
        with self.changed:
            return list(self._writes)

    def kinds(self, character_id: str | None = None) -> list[str]:
        """The kinds of the committed writes, in order."""
        return [w.kind for w in self.writes if character_id in (None, w.character_id)]

    def narratives(self, character_id: str) -> list[str]:
        """The stories written, in the order of arrival."""
        return [turn["gm_response"] for turn in self.character(character_id)["turns"]]

    def fail(self, kind: str, *faults: Fault | None) -> None:
        """For the next requests of this kind, one each; None lets one pass."""
        assert kind in KINDS, kind
        with self.changed:
            self._faults[kind].extend(faults)

    def always(self, kind: str, fault: Fault, character: str | None = None) -> None:
        """For all requests of this kind, or for those of one character."""
        assert kind in KINDS, kind
        with self.changed:
            self._rules[kind, character] = fault

    def heal(self) -> None:
        with self.changed:
            self._faults.clear()
            self._rules.clear()

    # -- one request

    async def respond(self, request: Request, connection: Connection) -> None:
        try:
            kind, character_id = route(request)
        except LookupError as error:
            status = int(error.args[0])
            connection.reply(status, to_json({"detail": HTTPStatus(status).phrase}))
            return
        fault = self._next_fault(kind, character_id)
        await fault.held("commit")
        answer = self._carry_out(kind, request, character_id) if fault.commit else (0, None)
        await fault.held("answer")
        if fault.end == "answer":
            self._reply(fault, answer, request, connection)
        elif fault.end == "drop":
            connection.drop()
        elif fault.end == "reset":
            connection.reset()
        else:
            await connection.gone.wait()

    def _next_fault(self, kind: str, character_id: str) -> Fault:
        with self.changed:
            waiting, rules = self._faults[kind], self._rules
            rule = rules.get((kind, character_id)) or rules.get((kind, None))
            fault = waiting.popleft() if waiting else rule
        return fault or Fault()

    def _carry_out(self, kind: str, request: Request, character_id: str) -> Answer:
        handler: Handler = getattr(self, f"_do_{kind}")
        with self.changed:
            try:
                return deepcopy(handler(request, character_id))
            except Refusal as refusal:
                return refusal.status, refusal.body()

    def _reply(
        self, fault: Fault, answer: Answer, request: Request, connection: Connection
    ) -> None:
        status, body = answer
        if fault.status is not None and status < 400:
            status, body = fault.status, scripted(fault.status).body()
            if fault.foreign is not None:
                connection.reply(status, fault.foreign, {"content-type": "text/html"})
                return
        headers = {"x-request-id": request.headers.get("x-request-id", str(uuid.uuid4()))}
        if status >= 400 and body is not None:
            body["request_id"] = headers["x-request-id"]
        connection.reply(status, b"" if body is None else to_json(body), headers)

    def _touch(self, character: _Character) -> None:
        character.updated_at = now()
        character.touched = 1 + max(other.touched for other in self._characters.values())
        self.changed.notify_all()

    def _commit(self, kind: str, character: _Character, request: Request) -> None:
        body = request.json() if request.body else None
        self._writes.append(Write(character.id, kind, body, request.headers, time.monotonic()))
        self._touch(character)

    def _owned(self, character_id: str, request: Request) -> _Character:
        character = self._characters.get(character_id)
        if character is None:
            raise Refusal(404, "Character not found")
        user = _user(request)
        if user is not None and user != character.owner:
            raise Refusal(403, "Access denied")
        return character

    def _target(self, request: Request, raw_id: str, body: _Body) -> _Character:
        """The checks of a write, in journey-log's order, once its schema is right."""
        character_id = _uuid(raw_id)
        _user(request)
        _stamp(getattr(body, "timestamp", None))
        return self._owned(character_id, request)

    def _source(
        self, request: Request, raw_id: str, name: str = "", default: int = 1, high: int = 1
    ) -> tuple[_Character, int]:
        """The checks of a read, and its number, whose range is checked after the id."""
        number = _query(request, name, int, default)
        character_id = _uuid(raw_id)
        if not 1 <= number <= high:
            raise Refusal(400, f"{name} must be from 1 to {high}")
        return self._owned(character_id, request), number

    # -- writes

    def _do_create(self, request: Request, _: str) -> Answer:
        body = _received(request, CreateCharacter)
        user = _user(request) or ""
        raw = (body.name, body.race, body.character_class)
        name, race, kind, prompt = (" ".join(t.split()) for t in (*raw, body.adventure_prompt))
        if not (name and race and kind and prompt):
            raise Refusal(500, "Internal server error")
        if (body.location_id is None) != (body.location_display_name is None):
            wrong = {"loc": ["body"], "msg": "both or neither location", "type": "value_error"}
            raise Refusal(422, "Request validation failed", [wrong])
        for other in self._characters.values():
            if (other.owner, *other.player["identity"].values()) == (user, *raw):
                raise Refusal(409, "Character already exists")
        player = _player(name, race, kind)
        if body.location_id:
            place = {"id": body.location_id, "display_name": body.location_display_name}
            player["location"] = place
        character = _Character(str(uuid.uuid4()), user, prompt, player)
        self._characters[character.id] = character
        self._touch(character)
        return 201, {"character": character.document()}

    def _do_narrative(self, request: Request, raw_id: str) -> Answer:
        body = _received(request, AppendTurn)
        character = self._target(request, raw_id, body)
        turn = _turn(body)
        character.turns.append(turn)
        self._commit("narrative", character, request)
        return 201, {"turn": turn, "total_turns": len(character.turns)}

    def _do_quest(self, request: Request, raw_id: str) -> Answer:
        body = _received(request, Quest)
        character = self._target(request, raw_id, body)
        if character.quest is not None:
            raise Refusal(409, "An active quest already exists")
        character.quest = _quest(body)
        self._commit("quest", character, request)
        return 200, {"quest": character.quest}

    def _do_quest_delete(self, request: Request, raw_id: str) -> Answer:
        """Without an active quest it is 204 too, and nothing is committed."""
        body = _received(request, _Body)
        character = self._target(request, raw_id, body)
        if character.quest is not None:
            entry = {"quest": character.quest, "cleared_at": now()}
            character.archive = [*character.archive, entry][-50:]
            character.quest = None
            self._commit("quest_delete", character, request)
        return 204, None

    def _do_combat(self, request: Request, raw_id: str) -> Answer:
        body = _received(request, PutCombat)
        character = self._target(request, raw_id, body)
        character.combat = None if body.combat_state is None else _combat(body.combat_state)
        self._commit("combat", character, request)
        return 200, {"active": character.fighting(), "state": character.combat}

    def _do_poi(self, request: Request, raw_id: str) -> Answer:
        body = _received(request, CreatePoi)
        character = self._target(request, raw_id, body)
        poi = _poi(body)
        character.pois.append(poi)
        self._commit("poi", character, request)
        return 201, {"poi": poi}

    # -- reads

    def _do_health(self, request: Request, _: str) -> Answer:
        return 200, {"status": "healthy", "service": "journey-log", "environment": "fake"}

    def _do_list(self, request: Request, _: str) -> Answer:
        _received(request, _Body)
        user = _user(request)
        limit = _query(request, "limit", int, 0)
        skip = max(_query(request, "offset", int, 0), 0)
        mine = [c for c in self._characters.values() if c.owner == user]
        mine.sort(key=lambda character: character.touched, reverse=True)
        page = mine[skip : skip + limit] if limit > 0 else mine[skip:]
        return 200, {"characters": [c.listed() for c in page], "count": len(page)}

    def _do_character(self, request: Request, raw_id: str) -> Answer:
        character, _ = self._source(request, raw_id)
        character.check_readable()
        return 200, {"character": character.document()}

    def _do_context(self, request: Request, raw_id: str) -> Answer:
        names = ("include_narrative", "include_combat", "include_quest")
        narrative, combat, quest = (_query(request, name, bool, True) for name in names)
        pois = _query(request, "include_pois", bool, False)
        character, count = self._source(request, raw_id, "recent_n", 20, 100)
        character.check_readable()
        turns = character.turns_by_time()[-count:] if narrative else []
        by_id = sorted(character.pois, key=lambda poi: str(poi["id"]))[: 3 * POIS_CAP]
        sample = self._random.sample(by_id, min(POIS_CAP, len(by_id))) if pois else []
        shown = character.quest if quest else None
        return 200, {
            "character_id": character.id,
            "player_state": character.player,
            "quest": shown,
            "has_active_quest": shown is not None,
            "combat": character.combat_envelope() if combat else {"active": False, "state": None},
            "narrative": {
                "recent_turns": turns,
                "requested_n": count,
                "returned_n": len(turns),
                "max_n": 100,
            },
            "world": {"pois_sample": sample, "pois_cap": POIS_CAP, "include_pois": pois},
            "metadata": {
                "firestore_reads": "2",
                "narrative_max_n": 100,
                "narrative_requested_n": count,
                "pois_cap": POIS_CAP,
                "pois_requested": pois,
            },
        }

    def _do_narrative_get(self, request: Request, raw_id: str) -> Answer:
        character, count = self._source(request, raw_id, "n", 10, 100)
        turns = character.turns_by_time()
        if since := request.query.get("since"):
            after = parse_time(_stamp(since, 400))
            turns = [turn for turn in turns if parse_time(turn["timestamp"]) > after]
        page = turns[-count:]
        totals = {"returned_count": len(page), "total_available": len(turns)}
        return 200, {"turns": page, "metadata": {"requested_n": count, **totals}}

    def _do_quest_get(self, request: Request, raw_id: str) -> Answer:
        return 200, {"quest": self._source(request, raw_id)[0].quest}

    def _do_combat_get(self, request: Request, raw_id: str) -> Answer:
        return 200, self._source(request, raw_id)[0].combat_envelope()

    def _do_pois_get(self, request: Request, raw_id: str) -> Answer:
        limit = _limit(request, "limit", 10, 100)
        pois = self._source(request, raw_id)[0].newest_pois()
        if cursor := request.query.get("cursor"):
            ids = [poi["id"] for poi in pois]
            if cursor not in ids:
                raise Refusal(400, "Unknown cursor")
            pois = pois[ids.index(cursor) + 1 :]
        page = pois[:limit]
        following = page[-1]["id"] if len(pois) > limit else None
        return 200, {"pois": page, "count": len(page), "cursor": following}

    def _do_pois_random(self, request: Request, raw_id: str) -> Answer:
        character, count = self._source(request, raw_id, "n", 3, 20)
        total = len(character.pois)
        drawn = self._random.sample(character.pois, min(count, total))
        counts = {"count": len(drawn), "requested_n": count, "total_available": total}
        return 200, {"pois": drawn, **counts}

    def _do_pois_summary(self, request: Request, raw_id: str) -> Answer:
        limit = _limit(request, "preview_limit", 5, 20)
        pois = self._source(request, raw_id)[0].newest_pois()
        preview = pois[:limit]
        return 200, {"total_count": len(pois), "preview": preview, "preview_count": len(preview)}
