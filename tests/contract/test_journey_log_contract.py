"""
What a client can observe of journey-log, asserted on every implementation of it.

The embedded one always runs, called in the process and over a socket. JOURNEY_LOG_CONTRACT_URL names
a real service to run against as well; it needs nothing but to be empty of this
run's users, whose names are new each time.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from app.standins.journey_log import EmbeddedJourneyLog

from listener import listening

REAL_URL = os.environ.get("JOURNEY_LOG_CONTRACT_URL", "")
STRANGER = "somebody-else"
Json = dict[str, Any]
NEW = {"name": "Ayla", "race": "Elf", "class": "Mage", "adventure_prompt": "A road."}
TURN = {"user_action": "look", "ai_response": "A hall."}
POI = {"name": "Admission", "description": "Old and barred."}
QUEST = {
    "name": "Find the key",
    "description": "It is lost.",
    "rewards": {"items": ["key"], "currency": {"gold": 5}, "experience": 10},
    "completion_state": "not_started",
    "updated_at": "2026-01-01T00:00:00.123457Z",
}
WHOLE_QUEST = {**QUEST, "requirements": []}
ENEMY = {"enemy_id": "e1", "name": "Rat", "status": "Healthy"}
COMBAT = {"combat_id": "c1", "started_at": "2026-01-01T00:00:00Z", "enemies": [ENEMY]}
WHOLE_COMBAT = {
    "combat_id": "c1",
    "started_at": "2026-01-01T00:00:00Z",
    "turn": 1,
    "enemies": [{**ENEMY, "weapon": None, "traits": [], "metadata": None}],
    "player_conditions": None,
}


@dataclass(frozen=True)
class Call:
    method: str
    path: str
    json: Any = None
    user: str | None = None
    params: Json = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    content: bytes | None = None


class Service:
    """One journey-log, called in sequence or all at once."""

    def __init__(self, base_url: str, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._over_a_socket = transport is None
        self._runner = asyncio.Runner()
        self._client = httpx.AsyncClient(
            base_url=base_url,
            transport=transport,
            trust_env=False,
            timeout=300,
            limits=httpx.Limits(max_keepalive_connections=0),  # none can end while it is idle
        )

    def __enter__(self) -> Service:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._client.aclose())
        self._runner.close()

    def send(self, *calls: Call) -> list[httpx.Response]:
        return self._runner.run(self._send(calls))

    def call(self, method: str, path: str, json: Any = None, **more: Any) -> httpx.Response:
        return self.send(Call(method, path, json, **more))[0]

    async def _send(self, calls: tuple[Call, ...]) -> list[httpx.Response]:
        return await asyncio.gather(*map(self._one, calls))

    def _on_the_way(self, user: str) -> str:
        # HTTP drops the blanks around a header value, and the client refuses to send them.
        return user.strip() if self._over_a_socket else user

    async def _one(self, call: Call) -> httpx.Response:
        user = {} if call.user is None else {"X-User-Id": self._on_the_way(call.user)}
        return await self._client.request(
            call.method,
            call.path,
            json=call.json,
            content=call.content,
            params=call.params or None,
            headers={**user, **call.headers},
        )


class Hero:
    """A character of its own user, and calls on it as that user."""

    def __init__(self, service: Service, **body: Any) -> None:
        self.service = service
        self.user = new_user()
        self.sheet = created(service, self.user, **body)
        self.id = self.sheet["character_id"]

    def call(self, method: str, rest: str = "", json: Any = None, **more: Any) -> httpx.Response:
        more.setdefault("user", self.user)
        return self.service.call(method, f"/characters/{self.id}{rest}", json, **more)

    def read(self, rest: str = "", **params: Any) -> Json:
        return body_of(self.call("GET", rest, params=params), 200)

    def write(self, method: str, rest: str, json: Any = None) -> Json:
        return body_of(self.call(method, rest, json), 201 if method == "POST" else 200)

    def clear(self, rest: str) -> None:
        answer = self.call("DELETE", rest)
        assert (answer.status_code, answer.content) == (204, b"")
        assert answer.headers["content-type"] == "application/json"

    def updated_at(self) -> datetime:
        return datetime.fromisoformat(self.read()["character"]["updated_at"])


def new_user() -> str:
    return f"contract-{uuid.uuid4()}"


def body_of(answer: httpx.Response, status: int) -> Json:
    assert answer.status_code == status, answer.text
    body: Json = answer.json()
    return body


def created(service: Service, user: str, **body: Any) -> Json:
    answer = service.call("POST", "/characters", {**NEW, **body}, user=user)
    sheet: Json = body_of(answer, 201)["character"]
    return sheet


def assert_a(answer: httpx.Response, status: int) -> None:
    body = body_of(answer, status)
    assert set(body) == {"error", "message", "status_code", "request_id"}
    assert (body["error"], body["status_code"]) == ("http_error", status)
    assert isinstance(body["message"], str)
    assert body["request_id"] == answer.headers["x-request-id"]


def assert_b(answer: httpx.Response, loc: list[str] | None = None, kind: str = "") -> None:
    body = body_of(answer, 422)
    assert set(body) == {"error", "message", "errors", "request_id"}
    assert body["error"] == "validation_error"
    for row in body["errors"]:
        assert {"loc", "msg", "type"} <= set(row) <= {"loc", "msg", "type", "ctx"}
    if loc is not None:
        assert loc in [row["loc"] for row in body["errors"]]
    if kind:
        assert kind in [row["type"] for row in body["errors"]]


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedJourneyLog]:
    journey_log = EmbeddedJourneyLog(tmp_path_factory.mktemp("opened") / "journey-log.db")
    journey_log.open()
    yield journey_log
    journey_log.close()


@pytest.fixture(scope="module")
def embedded(opened: EmbeddedJourneyLog) -> Iterator[Service]:
    with Service("http://journey-log", httpx.ASGITransport(opened.app)) as service:
        yield service


@pytest.fixture(scope="module")
def socket(opened: EmbeddedJourneyLog) -> Iterator[Service]:
    with listening(opened.app) as url, Service(url) as service:
        yield service


@pytest.fixture(scope="module")
def real() -> Iterator[Service]:
    with Service(REAL_URL) as service:
        yield service


@pytest.fixture(params=["embedded", "socket", *(["real"] if REAL_URL else [])])
def service(request: pytest.FixtureRequest) -> Service:
    found: Service = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def hero(service: Service) -> Hero:
    return Hero(service)


WRITES = [
    ("POST", "/narrative", TURN),
    ("PUT", "/quest", QUEST),
    ("DELETE", "/quest", None),
    ("PUT", "/combat", {"combat_state": None}),
    ("POST", "/pois", POI),
    ("PUT", "/pois/4921c71d-b6c3-4c04-a244-c6d29381e659", {"visited": True}),
    ("DELETE", "/pois/4921c71d-b6c3-4c04-a244-c6d29381e659", None),
]
READS = ["", "/context", "/narrative", "/quest", "/combat", "/pois", "/pois/random"]
READS += ["/pois/summary"]
each_write = pytest.mark.parametrize(
    ("method", "rest", "body"), WRITES, ids=lambda value: value if isinstance(value, str) else ""
)
each_read = pytest.mark.parametrize("rest", READS)


def test_health_and_info_name_the_service(service: Service) -> None:
    health = body_of(service.call("GET", "/health"), 200)
    assert set(health) == {"status", "service", "environment", "version"}
    assert (health["status"], health["service"]) == ("healthy", "journey-log")
    info = body_of(service.call("GET", "/info"), 200)
    assert set(info) == {"service", "version", "environment", "build"}
    assert set(info["build"]) == {"version", "commit", "timestamp"}


def test_router_errors_have_only_a_detail(service: Service) -> None:
    assert body_of(service.call("GET", "/nowhere"), 404) == {"detail": "Not Found"}
    wrong = service.call("PATCH", "/characters")
    assert body_of(wrong, 405) == {"detail": "Method Not Allowed"}


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/health", "GET"),
        ("/characters", "GET"),
        ("/characters/x", "GET"),
        ("/characters/x/context", "GET"),
        ("/characters/x/narrative", "POST"),
        ("/characters/x/quest", "PUT"),
        ("/characters/x/combat", "PUT"),
        ("/characters/x/pois", "POST"),
        ("/characters/x/pois/y", "PUT"),
    ],
)
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PATCH"])
def test_no_route_knows_head_and_405_names_the_method_of_the_first(
    service: Service, method: str, path: str, allowed: str
) -> None:
    answer = service.call(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)


def test_a_trailing_slash_is_redirected_away(service: Service) -> None:
    answer = service.call("GET", "/characters/", user=new_user())
    assert answer.status_code == 307
    assert answer.headers["location"].endswith("/characters")


def test_the_request_id_is_echoed_or_made(hero: Hero) -> None:
    echoed = hero.call("GET", headers={"X-Request-ID": "abc-1"})
    assert echoed.headers["x-request-id"] == "abc-1"
    refused = hero.call("GET", user=STRANGER, headers={"X-Request-ID": "abc-2"})
    assert refused.json()["request_id"] == "abc-2"
    invalid = hero.call("PUT", "/quest", {}, headers={"X-Request-ID": "abc-3"})
    assert invalid.json()["request_id"] == "abc-3"
    first, second = (hero.call("GET").headers["x-request-id"] for _ in range(2))
    assert uuid.UUID(first) != uuid.UUID(second)


@each_write
def test_a_write_without_a_user_header_is_a_schema_error(
    hero: Hero, method: str, rest: str, body: Any
) -> None:
    answer = hero.call(method, rest, body, user=None)
    assert_b(answer)
    assert answer.json()["errors"][0]["loc"] == ["header", "x-user-id"]
    assert answer.json()["errors"][0]["type"] == "missing"


@each_write
def test_writes_check_id_then_user_then_existence_then_owner(
    service: Service, hero: Hero, method: str, rest: str, body: Any
) -> None:
    bad_id = f"/characters/not-a-uuid{rest}"
    assert_a(service.call(method, bad_id, body, user=" "), 422)
    absent = f"/characters/{uuid.uuid4()}{rest}"
    assert_a(service.call(method, absent, body, user=""), 400)
    assert_a(service.call(method, absent, body, user="   "), 400)
    assert_a(service.call(method, absent, body, user=hero.user), 404)
    assert_a(hero.call(method, rest, body, user=STRANGER), 403)


@pytest.mark.parametrize(("method", "rest", "body"), [w for w in WRITES if w[2] is not None])
def test_the_body_schema_is_checked_before_the_id_and_the_user(
    service: Service, method: str, rest: str, body: Json
) -> None:
    path = f"/characters/not-a-uuid{rest}"
    extra = {**body, "surprise": 1}
    assert_b(service.call(method, path, extra, user=""), ["body", "surprise"], "extra_forbidden")


def test_header_and_body_errors_come_together_header_first(hero: Hero) -> None:
    errors = hero.call("POST", "/narrative", {}, user=None).json()["errors"]
    assert errors[0]["loc"] == ["header", "x-user-id"]
    assert ["body", "user_action"] in [row["loc"] for row in errors]


def test_state_is_checked_after_the_owner(hero: Hero) -> None:
    hero.write("PUT", "/quest", QUEST)
    assert_a(hero.call("PUT", "/quest", QUEST, user=STRANGER), 403)
    assert_a(hero.call("PUT", "/quest", QUEST), 409)


@pytest.mark.parametrize("rest", ["/narrative", "/pois"])
def test_a_bad_timestamp_is_refused_after_the_user_and_before_existence(
    service: Service, rest: str
) -> None:
    body = {**(TURN if rest == "/narrative" else POI), "timestamp": "yesterday"}
    absent = f"/characters/{uuid.uuid4()}{rest}"
    assert_a(service.call("POST", absent, body, user=" "), 400)
    assert_a(service.call("POST", absent, body, user="u"), 422)


@each_read
def test_reads_allow_nobody_and_the_owner_only(hero: Hero, rest: str) -> None:
    assert hero.call("GET", rest, user=None).status_code == 200
    assert hero.call("GET", rest, user=f"  {hero.user} ").status_code == 200
    assert_a(hero.call("GET", rest, user=STRANGER), 403)
    assert_a(hero.call("GET", rest, user=""), 400)
    assert_a(hero.call("GET", rest, user="  "), 400)


@each_read
def test_reads_check_id_then_existence_then_user(service: Service, rest: str) -> None:
    assert_a(service.call("GET", f"/characters/not-a-uuid{rest}", user=" "), 422)
    assert_a(service.call("GET", f"/characters/{uuid.uuid4()}{rest}", user=" "), 404)


@pytest.mark.parametrize(
    ("rest", "name", "most"),
    [("/context", "recent_n", 100), ("/narrative", "n", 100), ("/pois/random", "n", 20)],
)
def test_a_count_out_of_range_is_refused_after_the_id_and_before_existence(
    service: Service, hero: Hero, rest: str, name: str, most: int
) -> None:
    absent = f"/characters/{uuid.uuid4()}{rest}"
    for count in (0, -1, most + 1, 10**30):
        assert_a(service.call("GET", absent, params={name: count}), 400)
    bad_id = f"/characters/not-a-uuid{rest}"
    assert_a(service.call("GET", bad_id, params={name: 0}), 422)
    assert_b(service.call("GET", bad_id, params={name: "many"}), ["query", name])
    for count in (1, most):
        assert hero.call("GET", rest, params={name: count}).status_code == 200


@pytest.mark.parametrize(
    ("rest", "name", "most"), [("/pois", "limit", 100), ("/pois/summary", "preview_limit", 20)]
)
def test_a_poi_limit_out_of_range_is_a_schema_error(
    hero: Hero, rest: str, name: str, most: int
) -> None:
    for limit in (0, most + 1, "some"):
        assert_b(hero.call("GET", rest, params={name: limit}), ["query", name])
    for limit in (1, most):
        assert hero.call("GET", rest, params={name: limit}).status_code == 200


@pytest.mark.parametrize("spell", [str.upper, lambda text: text.replace("-", ""), "{{{}}}".format])
def test_an_id_is_taken_in_any_form_of_a_uuid(hero: Hero, spell: Any) -> None:
    answer = hero.service.call("GET", f"/characters/{spell(hero.id)}")
    assert body_of(answer, 200)["character"]["character_id"] == hero.id


JSON_INVALID = {"msg": "JSON decode error", "type": "json_invalid"}
NO_BODY = {"loc": ["body"], "msg": "Field required", "type": "missing"}
NO_OBJECT = {
    "loc": ["body"],
    "msg": "Input should be a valid dictionary or object to extract fields from",
    "type": "model_attributes_type",
}


@pytest.mark.parametrize(
    ("content", "row"),
    [
        (b"", NO_BODY),
        (b"null", NO_BODY),
        (b"[]", NO_OBJECT),
        (b'"x"', NO_OBJECT),
        (b"{", {"loc": ["body", 1], **JSON_INVALID}),
        (b'{"user_action": "a",}', {"loc": ["body", 20], **JSON_INVALID}),
    ],
)
def test_a_body_that_is_no_json_or_no_object_is_a_schema_error(
    hero: Hero, content: bytes, row: Json
) -> None:
    answer = hero.call("POST", "/narrative", content=content)
    assert_b(answer)
    (found,) = answer.json()["errors"]
    assert {name: found[name] for name in row} == row


@pytest.mark.parametrize("coding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_body_may_begin_with_a_byte_order_mark(hero: Hero, coding: str) -> None:
    content = '{"user_action": "löok", "ai_response": "A hall."}'.encode(coding)
    assert body_of(hero.call("POST", "/narrative", content=content), 201)["total_turns"] == 1


def test_a_body_of_another_content_type_is_not_read(hero: Hero) -> None:
    headers = {"Content-Type": "text/plain"}
    answer = hero.call("POST", "/narrative", content=b'{"user_action": "a"}', headers=headers)
    assert_b(answer, ["body"], "model_attributes_type")


@pytest.mark.parametrize("content", [b'{"user_action": "\xff"}', b"[" * 5000])
def test_a_body_that_cannot_be_decoded_is_a_bad_request(hero: Hero, content: bytes) -> None:
    assert_a(hero.call("POST", "/narrative", content=content), 400)


def test_a_new_character_has_every_key_and_the_defaults(service: Service) -> None:
    user = new_user()
    sheet = created(service, f" {user} ", name=" Ayla \t of  Rim ", adventure_prompt=" A \n road ")
    key = sheet["character_id"]
    assert key == str(uuid.UUID(key))
    assert uuid.UUID(key).version == 4
    for name in ("created_at", "updated_at"):
        assert datetime.fromisoformat(sheet.pop(name)).tzinfo == UTC
    assert sheet == {
        "character_id": key,
        "owner_user_id": user,
        "adventure_prompt": "A road",
        "player_state": {
            "identity": {"name": "Ayla of Rim", "race": "Elf", "class": "Mage"},
            "status": "Healthy",
            "equipment": [],
            "inventory": [],
            "location": {"id": "origin:nexus", "display_name": "The Nexus"},
            "additional_fields": {},
        },
        "world_pois_reference": f"characters/{key}/pois",
        "narrative_turns_reference": f"characters/{key}/narrative_turns",
        "schema_version": "1.0.0",
        "world_state": None,
        "world_pois": [],
        "active_quest": None,
        "archived_quests": [],
        "combat_state": None,
        "additional_metadata": {},
    }


def test_a_created_character_reads_back_the_same(hero: Hero) -> None:
    assert hero.read() == {"character": hero.sheet}
    assert hero.sheet["created_at"].endswith("Z")


def test_a_start_location_needs_both_fields_and_two_empty_ones_mean_the_default(
    service: Service,
) -> None:
    there = Hero(service, location_id="town:rim", location_display_name="Rim")
    expected = {"id": "town:rim", "display_name": "Rim"}
    assert there.sheet["player_state"]["location"] == expected
    empty = Hero(service, location_id="", location_display_name="")
    assert empty.sheet["player_state"]["location"]["id"] == "origin:nexus"
    for half in ({"location_id": "a"}, {"location_display_name": "A"}):
        assert_b(service.call("POST", "/characters", {**NEW, **half}, user="u"))


@pytest.mark.parametrize("name", ["name", "race", "class"])
def test_identity_fields_have_1_to_64_characters(service: Service, name: str) -> None:
    for text in ("", "x" * 65):
        answer = service.call("POST", "/characters", {**NEW, name: text}, user="u")
        assert_b(answer, ["body", name])
    created(service, new_user(), **{name: "é" * 64})


def test_a_character_needs_its_fields_under_their_own_names(service: Service) -> None:
    for name in NEW:
        partial = {key: value for key, value in NEW.items() if key != name}
        answer = service.call("POST", "/characters", partial, user="u")
        assert_b(answer, ["body", name], "missing")
    other = {**NEW, "character_class": "Mage"}
    answer = service.call("POST", "/characters", other, user="u")
    assert_b(answer, ["body", "character_class"], "extra_forbidden")
    assert_b(service.call("POST", "/characters", {**NEW, "adventure_prompt": ""}, user="u"))


def test_creating_needs_a_user(service: Service) -> None:
    assert_b(service.call("POST", "/characters", NEW), ["header", "x-user-id"])
    assert_a(service.call("POST", "/characters", NEW, user=" "), 400)


@pytest.mark.parametrize("name", ["name", "race", "class", "adventure_prompt"])
def test_a_blank_identity_field_is_a_server_error(service: Service, name: str) -> None:
    user = new_user()
    answer = service.call("POST", "/characters", {**NEW, name: " \t "}, user=user)
    assert_a(answer, 500)
    assert listed(service, user) == []


def test_the_same_identity_twice_is_a_conflict_only_when_spelled_the_same(hero: Hero) -> None:
    again = hero.service.call("POST", "/characters", NEW, user=hero.user)
    assert_a(again, 409)
    created(hero.service, hero.user, name="AYLA")
    created(hero.service, hero.user, race="Orc")
    created(hero.service, hero.user, **{"class": "Thief"})
    created(hero.service, new_user())


def test_a_name_with_odd_spacing_never_conflicts(service: Service) -> None:
    user = new_user()
    sheets = [created(service, user, name="Ayla  Rim") for _ in range(2)]
    assert {sheet["player_state"]["identity"]["name"] for sheet in sheets} == {"Ayla Rim"}
    answer = service.call("POST", "/characters", {**NEW, "name": "Ayla Rim"}, user=user)
    assert_a(answer, 409)


def listed(service: Service, user: str, **params: Any) -> list[str]:
    body = body_of(service.call("GET", "/characters", user=user, params=params), 200)
    assert body["count"] == len(body["characters"])
    return [entry["name"] for entry in body["characters"]]


def test_the_list_holds_the_users_characters_latest_change_first(service: Service) -> None:
    user = new_user()
    sheets = [created(service, user, name=name) for name in ("A", "B", "C")]
    assert listed(service, user) == ["C", "B", "A"]
    path = f"/characters/{sheets[0]['character_id']}/narrative"
    body_of(service.call("POST", path, TURN, user=user), 201)
    assert listed(service, user) == ["A", "C", "B"]
    assert listed(service, new_user()) == []


def test_a_list_entry_is_a_short_sheet(hero: Hero) -> None:
    body = body_of(hero.service.call("GET", "/characters", user=hero.user), 200)
    names = ("character_id", "created_at", "updated_at")
    expected = {name: hero.sheet[name] for name in names}
    assert body["characters"] == [
        {**expected, "name": "Ayla", "race": "Elf", "class": "Mage", "status": "Healthy"}
    ]


def test_list_paging_ignores_values_that_are_not_positive(service: Service) -> None:
    user = new_user()
    for name in ("A", "B", "C"):
        created(service, user, name=name)
    assert listed(service, user, limit=2) == ["C", "B"]
    assert listed(service, user, limit=2, offset=2) == ["A"]
    assert listed(service, user, offset=1) == ["B", "A"]
    assert listed(service, user, limit=0, offset=-5) == ["C", "B", "A"]
    assert listed(service, user, limit=-1) == ["C", "B", "A"]
    assert listed(service, user, offset=9) == []


def test_the_list_checks_its_query_and_its_user(service: Service) -> None:
    for name in ("limit", "offset"):
        answer = service.call("GET", "/characters", user=" ", params={name: "x"})
        assert_b(answer, ["query", name])
    assert_b(service.call("GET", "/characters"), ["header", "x-user-id"], "missing")
    assert_a(service.call("GET", "/characters", user=" "), 400)


def append(hero: Hero, action: str, at: str | None = None) -> Json:
    body = {"user_action": action, "ai_response": f"{action}!", "timestamp": at}
    return hero.write("POST", "/narrative", body)


def actions(turns: list[Json]) -> list[str]:
    return [turn["player_action"] for turn in turns]


def test_a_stored_turn_answers_under_other_names_than_the_request(hero: Hero) -> None:
    answer = append(hero, "look", "2026-01-01T00:00:00.123457Z")
    turn_id = answer["turn"]["turn_id"]
    assert str(uuid.UUID(turn_id)) == turn_id
    turn = {
        "turn_id": turn_id,
        "turn_number": None,
        "player_action": "look",
        "gm_response": "look!",
        "timestamp": "2026-01-01T00:00:00.123457Z",
        "game_state_snapshot": None,
        "metadata": None,
    }
    assert answer == {"turn": turn, "total_turns": 1}
    assert hero.read("/narrative")["turns"] == [turn]
    assert hero.read("/context")["narrative"]["recent_turns"] == [turn]


@pytest.mark.parametrize("rest", ["/narrative", "/pois"])
@pytest.mark.parametrize(
    ("sent", "shown"),
    [
        ("2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:00.000001Z"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("2026-01-01T02:30:00.5+02:30", "2026-01-01T00:00:00.500000Z"),
        ("2026-01-01T00:00:00", "2026-01-01T00:00:00Z"),
        ("1969-12-31T23:59:59.999999Z", "1969-12-31T23:59:59.999999Z"),
    ],
)
def test_a_sent_time_comes_back_exactly_and_in_utc(
    hero: Hero, rest: str, sent: str, shown: str
) -> None:
    if rest == "/narrative":
        assert append(hero, "look", sent)["turn"]["timestamp"] == shown
        assert hero.read(rest)["turns"][0]["timestamp"] == shown
    else:
        stored = hero.write("POST", rest, {**POI, "timestamp": sent})["poi"]
        assert stored["created_at"] == shown
        assert hero.read(rest)["pois"] == [stored]


@pytest.mark.parametrize("sent", [None, ""])
def test_an_absent_or_empty_time_means_now(hero: Hero, sent: str | None) -> None:
    before = datetime.now(UTC) - timedelta(minutes=5)
    stamped = [
        append(hero, "look", sent)["turn"]["timestamp"],
        hero.write("POST", "/pois", {**POI, "timestamp": sent})["poi"]["created_at"],
    ]
    for text in stamped:
        assert text.endswith("Z")
        assert before < datetime.fromisoformat(text) < before + timedelta(minutes=10)


@pytest.mark.parametrize(("name", "most"), [("user_action", 8000), ("ai_response", 32000)])
def test_turn_texts_are_limited_in_code_points(hero: Hero, name: str, most: int) -> None:
    for text in ("", "x" * (most + 1)):
        assert_b(hero.call("POST", "/narrative", {**TURN, name: text}), ["body", name])
    stored = hero.write("POST", "/narrative", {**TURN, name: "😀" * most})
    assert stored["total_turns"] == 1
    assert hero.write("POST", "/narrative", {**TURN, name: "  "})["total_turns"] == 2


def test_both_turn_texts_may_be_at_their_limit_together(hero: Hero) -> None:
    hero.write("POST", "/narrative", {"user_action": "x" * 8000, "ai_response": "y" * 32000})


@pytest.mark.parametrize("name", ["metadata", "turn_number", "turn_id", "player_action"])
def test_a_turn_takes_no_other_keys(hero: Hero, name: str) -> None:
    answer = hero.call("POST", "/narrative", {**TURN, name: None})
    assert_b(answer, ["body", name], "extra_forbidden")


def test_turns_are_ordered_by_time_and_not_by_arrival(hero: Hero) -> None:
    for action, second in (("b", 2), ("c", 3), ("a", 1)):
        append(hero, action, f"2026-01-01T00:00:0{second}Z")
    assert actions(hero.read("/narrative")["turns"]) == ["a", "b", "c"]
    assert actions(hero.read("/narrative", n=2)["turns"]) == ["b", "c"]
    recent = hero.read("/context", recent_n=2)["narrative"]
    assert actions(recent["recent_turns"]) == ["b", "c"]


def test_narrative_metadata_counts_requested_returned_and_stored_turns(hero: Hero) -> None:
    for second in range(12):
        append(hero, str(second), f"2026-01-01T00:00:{second:02}Z")
    whole = hero.read("/narrative")
    assert actions(whole["turns"]) == [str(second) for second in range(2, 12)]
    assert whole["metadata"] == {"requested_n": 10, "returned_count": 10, "total_available": 12}
    few = hero.read("/narrative", n=3, since="2026-01-01T00:00:06Z")
    assert actions(few["turns"]) == ["9", "10", "11"]
    assert few["metadata"] == {"requested_n": 3, "returned_count": 3, "total_available": 5}


def test_since_is_strict_to_the_microsecond(hero: Hero) -> None:
    append(hero, "marked", "2026-01-01T00:00:00.123457Z")
    assert hero.read("/narrative", since="2026-01-01T00:00:00.123457Z")["turns"] == []
    before = hero.read("/narrative", since="2026-01-01T00:00:00.123456Z")
    assert actions(before["turns"]) == ["marked"]
    assert before["metadata"]["total_available"] == 1
    assert len(hero.read("/narrative", since="2026-01-01T01:00:00+02:00")["turns"]) == 1


def test_a_bad_since_is_a_400_and_an_empty_one_is_absent(hero: Hero) -> None:
    assert_a(hero.call("GET", "/narrative", params={"since": "soon"}), 400)
    append(hero, "look")
    assert len(hero.read("/narrative", since="")["turns"]) == 1


def test_a_repeated_turn_is_a_second_turn(hero: Hero) -> None:
    at = "2026-01-01T00:00:00Z"
    first, second = (append(hero, "look", at) for _ in range(2))
    assert first["turn"]["turn_id"] != second["turn"]["turn_id"]
    assert second["total_turns"] == 2


def test_parallel_turns_are_counted_without_a_gap(hero: Hero) -> None:
    path = f"/characters/{hero.id}/narrative"
    answers = hero.service.send(*[Call("POST", path, TURN, hero.user)] * 8)
    totals = sorted(body_of(answer, 201)["total_turns"] for answer in answers)
    assert totals == list(range(1, 9))


def test_a_quest_is_stored_whole_and_read_back(hero: Hero) -> None:
    assert hero.read("/quest") == {"quest": None}
    assert hero.write("PUT", "/quest", QUEST) == {"quest": WHOLE_QUEST}
    assert hero.read("/quest") == {"quest": WHOLE_QUEST}
    assert hero.read()["character"]["active_quest"] == WHOLE_QUEST
    context = hero.read("/context")
    assert (context["quest"], context["has_active_quest"]) == (WHOLE_QUEST, True)


def test_quest_defaults_and_empty_texts(hero: Hero) -> None:
    bare = {**QUEST, "name": "", "description": "", "rewards": {}}
    stored = hero.write("PUT", "/quest", bare)["quest"]
    assert stored["rewards"] == {"items": [], "currency": {}, "experience": None}
    assert stored["requirements"] == []


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2026-01-01T02:30:00.500000+02:30", "2026-01-01T00:00:00.500000Z"),
        ("2026-01-01T00:00:00", "2026-01-01T00:00:00Z"),
        ("2026-01-01T00:00:00.000001Z", "2026-01-01T00:00:00.000001Z"),
    ],
)
def test_a_quest_time_is_echoed_as_sent_and_read_in_utc(hero: Hero, sent: str, stored: str) -> None:
    echoed = hero.write("PUT", "/quest", {**QUEST, "updated_at": sent})["quest"]
    assert echoed["updated_at"] == sent
    shown = [hero.read("/quest")["quest"], hero.read("/context")["quest"]]
    shown.append(hero.read()["character"]["active_quest"])
    hero.clear("/quest")
    shown.append(hero.read()["character"]["archived_quests"][0]["quest"])
    assert shown == [{**WHOLE_QUEST, "updated_at": stored}] * 4


def test_a_quest_time_may_be_a_number(hero: Hero) -> None:
    stored = hero.write("PUT", "/quest", {**QUEST, "updated_at": 1767225600})["quest"]
    assert stored["updated_at"] == "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    "fault",
    [
        {"rewards": {"currency": {"gold": -1}}},
        {"rewards": {"currency": {" ": 1}}},
        {"rewards": {"experience": -1}},
        {"rewards": {"xp": 1}},
        {"rewards": None},
        {"completion_state": "done"},
        {"updated_at": "soon"},
        {"requirements": [1]},
        {"quest": {}},
    ],
    ids=str,
)
def test_a_faulty_quest_is_a_schema_error(hero: Hero, fault: Json) -> None:
    assert_b(hero.call("PUT", "/quest", {**QUEST, **fault}))


@pytest.mark.parametrize(
    ("fault", "loc", "kind"),
    [
        ({"rewards": {"currency": {"gold": -1}}}, ["rewards"], "value_error"),
        ({"rewards": {"currency": {" ": 1}}}, ["rewards"], "value_error"),
        ({"rewards": {"currency": {"": 1}}}, ["rewards"], "value_error"),
        ({"rewards": {"currency": {"gold": "x"}}}, ["rewards", "currency", "gold"], "int_parsing"),
        ({"rewards": {"experience": -1}}, ["rewards", "experience"], "greater_than_equal"),
        ({"completion_state": "done"}, ["completion_state"], "literal_error"),
    ],
    ids=str,
)
def test_a_schema_error_of_a_quest_names_its_place(
    hero: Hero, fault: Json, loc: list[str], kind: str
) -> None:
    assert_b(hero.call("PUT", "/quest", {**QUEST, **fault}), ["body", *loc], kind)


@pytest.mark.parametrize("name", list(QUEST))
def test_a_quest_needs_each_of_its_fields(hero: Hero, name: str) -> None:
    partial = {key: value for key, value in QUEST.items() if key != name}
    assert_b(hero.call("PUT", "/quest", partial), ["body", name], "missing")


def test_a_quest_in_an_envelope_is_refused(hero: Hero) -> None:
    assert_b(hero.call("PUT", "/quest", {"quest": QUEST}), ["body", "quest"], "extra_forbidden")


def test_an_active_quest_is_replaced_only_after_it_was_deleted(hero: Hero) -> None:
    hero.write("PUT", "/quest", QUEST)
    assert_a(hero.call("PUT", "/quest", {**QUEST, "name": "Another"}), 409)
    assert hero.read("/quest")["quest"]["name"] == "Find the key"
    hero.clear("/quest")
    assert hero.read("/quest") == {"quest": None}
    hero.write("PUT", "/quest", {**QUEST, "name": "Another"})


def test_a_deleted_quest_is_archived_with_its_time(hero: Hero) -> None:
    hero.write("PUT", "/quest", QUEST)
    hero.clear("/quest")
    (entry,) = hero.read()["character"]["archived_quests"]
    assert set(entry) == {"quest", "cleared_at"}
    assert entry["quest"] == WHOLE_QUEST
    assert entry["cleared_at"].endswith("Z")


def test_the_archive_keeps_the_last_50_quests(hero: Hero) -> None:
    for number in range(52):
        hero.write("PUT", "/quest", {**QUEST, "name": str(number)})
        hero.clear("/quest")
    archived = hero.read()["character"]["archived_quests"]
    assert [entry["quest"]["name"] for entry in archived] == [str(n) for n in range(2, 52)]


def test_one_of_parallel_quests_wins(hero: Hero) -> None:
    calls = [
        Call("PUT", f"/characters/{hero.id}/quest", {**QUEST, "name": str(n)}, hero.user)
        for n in range(8)
    ]
    answers = hero.service.send(*calls)
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 7
    (winner,) = (answer.json()["quest"] for answer in answers if answer.status_code == 200)
    assert hero.read("/quest")["quest"] == winner


def put_combat(hero: Hero, combat: Json | None) -> Json:
    return hero.write("PUT", "/combat", {"combat_state": combat})


def test_an_active_combat_is_echoed_and_read_back(hero: Hero) -> None:
    assert hero.read("/combat") == {"active": False, "state": None}
    envelope = {"active": True, "state": WHOLE_COMBAT}
    assert put_combat(hero, COMBAT) == envelope
    assert hero.read("/combat") == envelope
    assert hero.read("/context")["combat"] == envelope
    assert hero.read()["character"]["combat_state"] == WHOLE_COMBAT


def test_combat_keeps_every_field(hero: Hero) -> None:
    full = {
        "combat_id": "c2",
        "started_at": "2026-01-01T00:00:00.123457Z",
        "turn": 3,
        "enemies": [
            {
                "enemy_id": "e1",
                "name": "Rat",
                "status": "Wounded",
                "weapon": "teeth",
                "traits": ["quick"],
                "metadata": {"hp": [1, {"max": 2.5}]},
            }
        ],
        "player_conditions": {"poisoned": True},
    }
    assert put_combat(hero, full) == {"active": True, "state": full}
    assert hero.read("/combat")["state"] == full


@pytest.mark.parametrize("enemies", [[], [{**ENEMY, "status": "Dead"}]], ids=["none", "dead"])
def test_a_finished_combat_stays_stored_but_is_hidden(hero: Hero, enemies: list[Json]) -> None:
    answer = put_combat(hero, {**COMBAT, "enemies": enemies})
    assert answer["active"] is False
    assert len(answer["state"]["enemies"]) == len(enemies)
    assert hero.read("/combat") == {"active": False, "state": None}
    assert hero.read("/context")["combat"] == {"active": False, "state": None}
    assert hero.read()["character"]["combat_state"] == answer["state"]


def test_combat_is_replaced_whole_and_cleared_by_null(hero: Hero) -> None:
    put_combat(hero, {**COMBAT, "player_conditions": {"prone": True}})
    assert put_combat(hero, {**COMBAT, "turn": 2})["state"]["player_conditions"] is None
    assert put_combat(hero, None) == {"active": False, "state": None}
    assert hero.read()["character"]["combat_state"] is None


@pytest.mark.parametrize(
    "fault",
    [
        {"enemies": [ENEMY] * 6},
        {"enemies": [{**ENEMY, "status": "healthy"}]},
        {"enemies": [{**ENEMY, "hp": 3}]},
        {"enemies": [{"enemy_id": "e1", "name": "Rat"}]},
        {"turn": 0},
        {"round": 1},
        {"combat_id": None},
    ],
    ids=str,
)
def test_a_faulty_combat_is_a_schema_error(hero: Hero, fault: Json) -> None:
    assert_b(hero.call("PUT", "/combat", {"combat_state": {**COMBAT, **fault}}))


def test_combat_needs_its_envelope_and_at_most_five_enemies(hero: Hero) -> None:
    assert_b(hero.call("PUT", "/combat", {}), ["body", "combat_state"], "missing")
    assert_b(hero.call("PUT", "/combat", COMBAT))
    assert len(put_combat(hero, {**COMBAT, "enemies": [ENEMY] * 5})["state"]["enemies"]) == 5


IN_COMBAT = ["body", "combat_state"]


@pytest.mark.parametrize(
    ("fault", "loc", "kind"),
    [
        ({"enemies": [ENEMY] * 6}, [], "value_error"),
        ({"enemies": [{**ENEMY, "status": "healthy"}]}, ["enemies", 0, "status"], "enum"),
        ({"enemies": [{**ENEMY, "hp": 3}]}, ["enemies", 0, "hp"], "extra_forbidden"),
        ({"turn": 0}, ["turn"], "greater_than_equal"),
        ({"started_at": None}, ["started_at", "str"], "string_type"),
    ],
    ids=str,
)
def test_a_schema_error_of_a_combat_names_its_place(
    hero: Hero, fault: Json, loc: list[Any], kind: str
) -> None:
    answer = hero.call("PUT", "/combat", {"combat_state": {**COMBAT, **fault}})
    assert_b(answer, [*IN_COMBAT, *loc], kind)


def test_a_combat_start_is_shown_as_sent_and_in_utc_with_the_character(hero: Hero) -> None:
    sent = {**WHOLE_COMBAT, "started_at": "2026-01-01T02:30:00.5+02:30"}
    assert put_combat(hero, sent)["state"] == sent
    assert hero.read("/combat")["state"] == sent
    in_utc = {**WHOLE_COMBAT, "started_at": "2026-01-01T00:00:00.500000Z"}
    assert hero.read("/context")["combat"]["state"] == in_utc
    assert hero.read()["character"]["combat_state"] == in_utc


@pytest.mark.parametrize("started_at", ["round one", "", "1767225600", "2026-13-01T00:00:00Z"])
@pytest.mark.parametrize("cure", [COMBAT, None], ids=["replaced", "cleared"])
def test_a_combat_start_that_is_no_time_poisons_the_character_until_it_is_gone(
    hero: Hero, started_at: str, cure: Json | None
) -> None:
    poison = {**WHOLE_COMBAT, "started_at": started_at}
    assert put_combat(hero, poison) == {"active": True, "state": poison}
    assert hero.read("/combat") == {"active": True, "state": poison}
    for rest in ("", "/context", "/context?include_combat=false"):
        assert_a(hero.call("GET", rest), 500)
    hero.write("POST", "/narrative", TURN)
    put_combat(hero, cure)
    assert hero.read()["character"]["character_id"] == hero.id
    assert len(hero.read("/context")["narrative"]["recent_turns"]) == 1


LONG = "x" * (1024 * 1024)
FREE_FORM: dict[str, Any] = {
    "a reserved key": {"__gold__": 1},
    "a reserved key inside": {"purse": [{"a": {"__x__": 1}}]},
    "only underscores": {"____": 1},
    "an empty key": {"": 1},
    "a long key": {"k" * 1501: 1},
    "an integer of 65 bits": {"n": 2**63},
    "a negative one": {"n": [-(2**63) - 1]},
    "an array in an array": {"map": [[1]]},
    "an empty array in an array": {"map": [[]]},
    "1 MiB": {"text": LONG},
}
STORED: dict[str, Any] = {
    "keys that are nearly reserved": {"__gold": 1, "gold__": 2, "___": 3, "_": 4},
    "a blank key": {" ": 1},
    "the largest integers": {"n": [2**63 - 1, -(2**63)]},
    "an array in a map in an array": {"map": [{"row": [1]}]},
    "a large text": {"text": LONG[: 1000 * 1000]},
}


def combats_with(value: Any) -> list[Json]:
    """The value as conditions of the player and as what is known of an enemy."""
    return [
        {**COMBAT, "player_conditions": value},
        {**COMBAT, "enemies": [{**ENEMY, "metadata": value}]},
    ]


@pytest.mark.parametrize("value", FREE_FORM.values(), ids=list(FREE_FORM))
def test_a_combat_that_the_database_cannot_store_is_a_server_error(hero: Hero, value: Any) -> None:
    put_combat(hero, COMBAT)
    for combat in combats_with(value):
        assert_a(hero.call("PUT", "/combat", {"combat_state": combat}), 500)
        assert_a(hero.call("PUT", "/combat", {"combat_state": combat}, user=STRANGER), 403)
    assert hero.read("/combat")["state"] == WHOLE_COMBAT
    assert hero.read()["character"]["combat_state"] == WHOLE_COMBAT


@pytest.mark.parametrize("value", STORED.values(), ids=list(STORED))
def test_a_combat_that_the_database_can_just_store_is_taken(hero: Hero, value: Any) -> None:
    for combat in combats_with(value):
        put_combat(hero, combat)
    assert hero.read("/combat")["state"]["enemies"][0]["metadata"] == value


@pytest.mark.parametrize(
    "change",
    [
        {"rewards": {"currency": {"__gold__": 5}}},
        {"rewards": {"currency": {"gold": 2**63}}},
        {"rewards": {"experience": 10**30}},
        {"description": LONG},
        {"requirements": ["x" * 1024] * 1024},
    ],
    ids=["reserved", "65 bits", "experience", "1 MiB", "1 MiB in pieces"],
)
def test_a_quest_that_the_database_cannot_store_is_a_server_error(hero: Hero, change: Json) -> None:
    assert_a(hero.call("PUT", "/quest", {**QUEST, **change}), 500)
    assert hero.read("/quest") == {"quest": None}
    hero.write("PUT", "/quest", QUEST)
    assert_a(hero.call("PUT", "/quest", {**QUEST, **change}), 409)


def test_quest_combat_and_archive_share_one_document(hero: Hero) -> None:
    half = LONG[: 700 * 1024]
    put_combat(hero, {**COMBAT, "player_conditions": {"text": half}})
    assert_a(hero.call("PUT", "/quest", {**QUEST, "description": half}), 500)
    put_combat(hero, None)
    hero.write("PUT", "/quest", {**QUEST, "description": half})
    hero.clear("/quest")
    assert_a(hero.call("PUT", "/quest", {**QUEST, "description": half}), 500)
    hero.write("PUT", "/quest", QUEST)


def test_a_poi_is_stored_with_its_own_id_even_under_the_same_name(hero: Hero) -> None:
    first, second = (hero.write("POST", "/pois", {**POI, "tags": ["a"]})["poi"] for _ in range(2))
    assert set(first) == {"id", "name", "description", "created_at", "tags"}
    assert str(uuid.UUID(first["id"])) == first["id"] != second["id"]
    assert (first["name"], first["description"], first["tags"]) == (*POI.values(), ["a"])
    assert hero.write("POST", "/pois", POI)["poi"]["tags"] is None


@pytest.mark.parametrize(
    "fault",
    [
        {"name": ""},
        {"name": "x" * 201},
        {"description": ""},
        {"description": "x" * 2001},
        {"tags": ["x"] * 21},
        {"tags": ["x" * 51]},
        {"tags": [""]},
        {"tags": ["  "]},
        {"tags": [1]},
        {"type": "town"},
        {"location": "north"},
    ],
    ids=lambda fault: next(iter(fault)),
)
def test_a_faulty_poi_is_a_schema_error(hero: Hero, fault: Json) -> None:
    assert_b(hero.call("POST", "/pois", {**POI, **fault}))
    if not {"type", "location"} & set(fault):
        answer = hero.call("PUT", f"/pois/{uuid.uuid4()}", fault)
        assert_b(answer)


def test_a_poi_at_its_limits_is_stored(hero: Hero) -> None:
    full = {"name": "n" * 200, "description": "d" * 2000, "tags": ["t" * 50] * 20}
    stored = hero.write("POST", "/pois", full)["poi"]
    assert {name: stored[name] for name in full} == full
    answer = hero.call("POST", "/pois", {**POI, "visited": True})
    assert_b(answer, ["body", "visited"], "extra_forbidden")


def add_pois(hero: Hero, count: int) -> list[Json]:
    """Newest last in time, created in an order that is not that of their times."""
    pois = [
        hero.write("POST", "/pois", {**POI, "timestamp": f"2026-01-01T00:00:{n * 7 % count:02}Z"})
        for n in range(count)
    ]
    return sorted((entry["poi"] for entry in pois), key=lambda poi: str(poi["created_at"]))


def test_pois_are_paged_newest_first_by_cursor(hero: Hero) -> None:
    newest_first = add_pois(hero, 5)[::-1]
    seen: list[Json] = []
    cursor: str | None = None
    for size in (2, 2, 1):
        page = hero.read("/pois", limit=2, **({"cursor": cursor} if cursor else {}))
        assert page["count"] == len(page["pois"]) == size
        cursor = page["cursor"]
        seen += page["pois"]
        assert cursor == (page["pois"][-1]["id"] if len(seen) < 5 else None)
    assert seen == newest_first


def test_a_full_last_page_has_no_cursor(hero: Hero) -> None:
    add_pois(hero, 2)
    assert hero.read("/pois", limit=2)["cursor"] is None
    assert Hero(hero.service).read("/pois") == {"pois": [], "count": 0, "cursor": None}


def test_pois_of_one_moment_are_each_seen_once(hero: Hero) -> None:
    for _ in range(5):
        hero.write("POST", "/pois", {**POI, "timestamp": "2026-01-01T00:00:00Z"})
    seen: list[str] = []
    cursor: str | None = ""
    while cursor is not None:
        page = hero.read("/pois", limit=2, cursor=cursor)
        seen += [poi["id"] for poi in page["pois"]]
        cursor = page["cursor"]
    assert len(seen) == len(set(seen)) == 5


def test_an_unknown_cursor_is_a_400_after_the_owner_was_checked(hero: Hero) -> None:
    params = {"cursor": str(uuid.uuid4())}
    assert_a(hero.call("GET", "/pois", params=params), 400)
    assert_a(hero.call("GET", "/pois", params=params, user=STRANGER), 403)


def test_random_pois_do_not_repeat_and_vary(hero: Hero) -> None:
    ids = {poi["id"] for poi in add_pois(hero, 6)}
    seen: set[str] = set()
    for _ in range(30):
        answer = hero.read("/pois/random")
        drawn = [poi["id"] for poi in answer["pois"]]
        assert len(set(drawn)) == len(drawn) == answer["count"] == 3
        assert (answer["requested_n"], answer["total_available"]) == (3, 6)
        seen |= set(drawn)
    assert seen == ids
    assert {poi["id"] for poi in hero.read("/pois/random", n=20)["pois"]} == ids


def test_random_pois_of_an_empty_world_are_none(hero: Hero) -> None:
    nothing = {"pois": [], "count": 0, "requested_n": 3, "total_available": 0}
    assert hero.read("/pois/random") == nothing


def test_the_summary_counts_all_and_shows_the_newest(hero: Hero) -> None:
    newest_first = add_pois(hero, 6)[::-1]
    whole = hero.read("/pois/summary")
    assert whole == {"total_count": 6, "preview": newest_first[:5], "preview_count": 5}
    assert hero.read("/pois/summary", preview_limit=2)["preview"] == newest_first[:2]


def test_a_poi_is_updated_field_by_field(hero: Hero) -> None:
    poi = hero.write("POST", "/pois", {**POI, "tags": ["old"]})["poi"]
    rest = f"/pois/{poi['id']}"
    assert hero.write("PUT", rest, {"visited": True}) == {"poi": poi}
    renamed = {**poi, "name": "Door"}
    assert hero.write("PUT", rest, {"name": "Door", "tags": None}) == {"poi": renamed}
    cleared = {**renamed, "tags": [], "description": "Open."}
    assert hero.write("PUT", rest, {"tags": [], "description": "Open."}) == {"poi": cleared}
    assert hero.read("/pois")["pois"] == [cleared]


def test_a_poi_update_changes_something_or_is_refused(hero: Hero) -> None:
    poi = hero.write("POST", "/pois", POI)["poi"]
    for body in ({}, {"name": None, "tags": None}):
        assert_b(hero.call("PUT", f"/pois/{poi['id']}", body))
    answer = hero.call("PUT", f"/pois/{poi['id']}", {"created_at": "2026-01-01T00:00:00Z"})
    assert_b(answer, ["body", "created_at"], "extra_forbidden")


def test_an_absent_poi_cannot_be_updated_but_can_be_deleted(hero: Hero) -> None:
    absent = f"/pois/{uuid.uuid4()}"
    assert_a(hero.call("PUT", absent, {"visited": True}), 404)
    hero.clear(absent)
    assert_a(hero.call("PUT", "/pois/nothing", {"visited": True}), 422)
    assert_a(hero.call("DELETE", "/pois/nothing"), 422)


def test_a_poi_belongs_to_its_character(hero: Hero) -> None:
    poi = hero.write("POST", "/pois", POI)["poi"]
    other = Hero(hero.service)
    assert_a(other.call("PUT", f"/pois/{poi['id']}", {"visited": True}), 404)
    other.clear(f"/pois/{poi['id']}")
    assert hero.read("/pois")["pois"] == [poi]
    hero.clear(f"/pois/{poi['id'].upper()}")
    assert hero.read("/pois")["pois"] == []


def test_the_context_of_a_new_character_is_complete(hero: Hero) -> None:
    context = hero.read("/context")
    reads = context["metadata"].pop("firestore_reads")
    assert isinstance(reads, str)
    most, cap = context["narrative"]["max_n"], context["world"]["pois_cap"]
    assert context == {
        "character_id": hero.id,
        "player_state": hero.sheet["player_state"],
        "quest": None,
        "has_active_quest": False,
        "combat": {"active": False, "state": None},
        "narrative": {"recent_turns": [], "requested_n": 20, "returned_n": 0, "max_n": most},
        "world": {"pois_sample": [], "pois_cap": cap, "include_pois": False},
        "metadata": {
            "narrative_max_n": most,
            "narrative_requested_n": 20,
            "pois_cap": cap,
            "pois_requested": False,
        },
    }


def test_context_parts_can_be_switched_off(hero: Hero) -> None:
    append(hero, "look")
    hero.write("PUT", "/quest", QUEST)
    put_combat(hero, COMBAT)
    off = {f"include_{part}": "false" for part in ("narrative", "combat", "quest")}
    context = hero.read("/context", recent_n=7, **off)
    assert context["narrative"]["recent_turns"] == []
    assert (context["narrative"]["requested_n"], context["narrative"]["returned_n"]) == (7, 0)
    assert context["combat"] == {"active": False, "state": None}
    assert (context["quest"], context["has_active_quest"]) == (None, False)
    beyond = {"recent_n": 101, "include_narrative": "false"}
    assert_a(hero.call("GET", "/context", params=beyond), 400)
    assert_b(hero.call("GET", "/context", params={"include_quest": "perhaps"}))


def test_the_context_samples_pois_only_when_asked(hero: Hero) -> None:
    pois = add_pois(hero, 5)
    assert hero.read("/context")["world"]["pois_sample"] == []
    context = hero.read("/context", include_pois="true")
    world = context["world"]
    assert world["include_pois"] is context["metadata"]["pois_requested"] is True
    assert len(world["pois_sample"]) == min(5, world["pois_cap"])
    drawn = [poi["id"] for poi in world["pois_sample"]]
    assert len(set(drawn)) == len(drawn)
    assert all(poi in pois for poi in world["pois_sample"])


def test_updated_at_moves_with_each_change_and_with_nothing_else(hero: Hero) -> None:
    poi = hero.write("POST", "/pois", POI)["poi"]
    changes = [
        ("POST", "/narrative", TURN),
        ("POST", "/pois", POI),
        ("PUT", f"/pois/{poi['id']}", {"visited": True}),
        ("DELETE", f"/pois/{poi['id']}", None),
        ("PUT", "/quest", QUEST),
        ("DELETE", "/quest", None),
        ("PUT", "/combat", {"combat_state": COMBAT}),
        ("PUT", "/combat", {"combat_state": None}),
    ]
    moments = [hero.updated_at()]
    for method, rest, body in changes:
        assert hero.call(method, rest, body).status_code < 300
        moments.append(hero.updated_at())
    assert all(earlier < later for earlier, later in itertools.pairwise(moments))


def test_updated_at_stays_when_nothing_was_changed(hero: Hero) -> None:
    hero.write("PUT", "/quest", QUEST)
    before = hero.updated_at()
    assert_a(hero.call("PUT", "/quest", QUEST), 409)
    assert_a(hero.call("POST", "/narrative", TURN, user=STRANGER), 403)
    hero.clear(f"/pois/{uuid.uuid4()}")
    for rest in READS:
        hero.read(rest)
    assert hero.updated_at() == before
    hero.clear("/quest")
    cleared = hero.updated_at()
    hero.clear("/quest")
    assert hero.updated_at() == cleared > before


def test_a_back_dated_turn_still_moves_updated_at_to_now(hero: Hero) -> None:
    before = hero.updated_at()
    append(hero, "look", "2001-01-01T00:00:00Z")
    assert hero.updated_at() > before


HOSTILE = [
    ("POST", "/narrative", b'{"user_action": "\\ud800", "ai_response": "x"}'),
    ("POST", "/narrative", b'{"user_action": NaN, "ai_response": "x"}'),
    ("POST", "/narrative", b'{"user_action":"a","ai_response":"b","timestamp":"0001-01-01T00+01"}'),
    ("PUT", "/combat", b'{"combat_state": {"combat_id": "c", "started_at": 1e300, "enemies": []}}'),
    (
        "PUT",
        "/combat",
        b'{"combat_state": {"combat_id": "c", "started_at": "2026-01-01", "enemies": [],'
        b' "player_conditions": {"heat": 1e999}}}',
    ),
]


@pytest.mark.parametrize(("method", "rest", "content"), HOSTILE)
def test_a_hostile_body_is_the_clients_error(
    embedded: Service, method: str, rest: str, content: bytes
) -> None:
    hero = Hero(embedded)
    assert hero.call(method, rest, content=content).status_code == 422
    assert hero.read("/narrative")["turns"] == []


def test_a_list_may_be_asked_for_with_numbers_beyond_64_bits(embedded: Service) -> None:
    hero = Hero(embedded)
    assert listed(embedded, hero.user, limit=10**30) == ["Ayla"]
    assert listed(embedded, hero.user, offset=10**30) == []
