"""What every `MessageHub` does, with the real servers. An adapter joins by its receiver."""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from app.adapters.hub.http import HttpHub
from app.adapters.hub.nats import NatsHub
from app.ports.hub import HubMessage, HubRefused, HubUnavailable, MessageHub
from standardwebhooks import Webhook, WebhookVerificationError

from databases import NatsServer
from fakes.hub import RESET, FakeHub
from hub_receivers import KINDS, SECRET, NatsReceiver, Receiver, receiver
from loops import in_loop

BODY = json.dumps({"specversion": "1.0", "id": "e1", "data": {"text": "é \ud83d\ude00"}}).encode()
ODD_SUBJECTS = ["characters/a b", "content/.", "content/>", "sessions/*", "c/é\n\r\t", "x" * 5_000]


def message(number: int, subject: str = "characters/c1") -> HubMessage:
    return HubMessage(f"e{number}", "turn.completed", subject, BODY)


@pytest.fixture(params=KINDS)
def target(request: pytest.FixtureRequest) -> Iterator[Receiver]:
    with receiver(request.param, f"contract-{uuid.uuid4().hex}") as made:
        yield made


async def received(target: Receiver) -> list[tuple[str, bytes]]:
    return await asyncio.to_thread(target.received)


async def until_published(hub: MessageHub, event: HubMessage) -> int:
    """How many attempts failed before."""
    failed = 0
    while True:
        try:
            await hub.publish(event)
            return failed
        except HubUnavailable:
            failed += 1


@in_loop
async def test_events_arrive_whole_and_in_order(target: Receiver) -> None:
    hub = target.hub()
    for number in range(1, 4):
        await hub.publish(message(number))
    assert await received(target) == [(f"e{number}", BODY) for number in range(1, 4)]
    await hub.aclose()


@in_loop
async def test_any_subject_can_be_published(target: Receiver) -> None:
    hub = target.hub()
    for number, subject in enumerate(ODD_SUBJECTS):
        await hub.publish(message(number, subject))
    assert len(await received(target)) == len(ODD_SUBJECTS)
    await hub.aclose()


@in_loop
async def test_a_hub_that_is_away_is_used_again_once_it_is_back(target: Receiver) -> None:
    """What was given up meanwhile does not come later: it was waiting nowhere."""
    hub = target.hub()
    await hub.publish(message(1))
    target.wire.refuse()
    for _ in range(3):
        with pytest.raises(HubUnavailable):
            await hub.publish(message(2))
    target.wire.accept()
    await until_published(hub, message(3))
    await hub.publish(message(4))
    assert [one for one, _ in await received(target)] == ["e1", "e3", "e4"]
    await hub.aclose()


@in_loop
async def test_a_hub_that_was_never_there_is_unavailable(target: Receiver) -> None:
    target.wire.refuse()
    hub = target.hub()
    with pytest.raises(HubUnavailable):
        await hub.publish(message(1))
    target.wire.accept()
    await until_published(hub, message(1))
    assert [one for one, _ in await received(target)] == ["e1"]
    await hub.aclose()


@in_loop
async def test_an_answer_that_is_lost_makes_a_copy_with_the_same_id_at_most(
    target: Receiver,
) -> None:
    hub = target.hub()
    await hub.publish(message(1))
    target.wire.mute.set()
    lost = asyncio.create_task(hub.publish(message(2)))
    while len(await received(target)) < 2:
        pass
    target.wire.mute.clear()
    target.wire.refuse()
    with pytest.raises(HubUnavailable):
        await lost
    target.wire.accept()
    await until_published(hub, message(2))
    await hub.publish(message(3))
    copies = ["e2"] if isinstance(target, NatsReceiver) else ["e2", "e2"]
    assert [one for one, _ in await received(target)] == ["e1", *copies, "e3"]
    await hub.aclose()


# -- HTTP -----------------------------------------------------------------------------------------


def http_hub(fake: FakeHub, secret: str | None = SECRET) -> HttpHub:
    return HttpHub(fake.url, secret, time.time, ssl.create_default_context())


@in_loop
async def test_signature_of_events_sent_by_http_is_accepted_by_the_library() -> None:
    with FakeHub() as fake:
        hub = http_hub(fake)
        await hub.publish(message(1))
        await hub.aclose()
        unsigned = http_hub(fake, None)
        await unsigned.publish(message(2))
        await unsigned.aclose()
    signed, bare = fake.taken
    assert Webhook(SECRET).verify(signed.body, signed.headers) == json.loads(BODY)
    assert signed.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    with pytest.raises(WebhookVerificationError):
        Webhook(SECRET).verify(signed.body + b" ", signed.headers)
    assert "webhook-signature" not in bare.headers
    assert (bare.headers["webhook-id"], bare.body) == ("e2", BODY)


@in_loop
async def test_a_signature_does_not_depend_on_the_zone_of_the_machine() -> None:
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    with FakeHub() as fake:
        hub = HttpHub(fake.url, SECRET, noon.timestamp, ssl.create_default_context())
        await hub.publish(message(1))
        await hub.aclose()
    (one,) = fake.taken
    assert one.headers["webhook-timestamp"] == str(int(noon.timestamp()))
    signature = Webhook(SECRET).sign("e1", noon, BODY.decode())
    assert one.headers["webhook-signature"] == signature


REFUSALS = [400, 409, 410, 413, 415, 422]
OUTAGES = [301, 401, 403, 404, 405, 408, 425, 429, 500, 502, 503, 504, RESET]


@pytest.mark.parametrize("answer", [*REFUSALS, *OUTAGES])
@in_loop
async def test_an_answer_of_http_is_about_the_event_or_about_the_hub(answer: int | str) -> None:
    with FakeHub() as fake:
        fake.answers.append(answer)
        fake.retry_after = "7"
        hub = http_hub(fake)
        expected = HubRefused if answer in REFUSALS else HubUnavailable
        with pytest.raises(expected) as caught:
            await hub.publish(message(1))
        if isinstance(caught.value, HubUnavailable) and answer != RESET:
            assert caught.value.retry_after == 7
        await hub.aclose()


@in_loop
async def test_a_late_answer_counts() -> None:
    gate = threading.Event()
    with FakeHub() as fake:
        fake.answers.append(gate)
        hub = http_hub(fake)
        late = asyncio.create_task(hub.publish(message(1)))
        while not fake.asked:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert not late.done()
        gate.set()
        await late
        await hub.aclose()
    assert fake.ids == ["e1"]


# -- NATS -----------------------------------------------------------------------------------------


@in_loop
async def test_nats_refuses_an_event_that_is_too_long() -> None:
    with receiver("nats", f"contract-{uuid.uuid4().hex}") as target:
        hub = target.hub()
        with pytest.raises(HubRefused):
            await hub.publish(message(1)._replace(body=b"x" * 2_000_000))
        await hub.publish(message(2))
        assert [one for one, _ in await received(target)] == ["e2"]
        await hub.aclose()


@in_loop
async def test_a_server_of_nats_may_be_away_for_longer_than_the_client_bears() -> None:
    """It would try 60 times, and then be closed for good."""
    server = NatsServer()
    hub = NatsHub(server.url, "away")
    try:
        await hub.publish(message(1))
        server.stop()
        for _ in range(70):
            with pytest.raises(HubUnavailable):
                await hub.publish(message(2))
        await asyncio.to_thread(server.start)
        await until_published(hub, message(3))
    finally:
        await hub.aclose()
        server.close()


def test_the_names_of_hubs_hold_no_secret() -> None:
    tls = ssl.create_default_context()
    hubs: list[MessageHub] = [
        HttpHub("https://user:hidden@hub.example/base", None, time.time, tls),
        NatsHub("nats://user:hidden@one:4222,nats://hidden@two", "names"),
    ]
    assert [hub.name for hub in hubs] == ["https://hub.example", "nats://one:4222,nats://two:4222"]
