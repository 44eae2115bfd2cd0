"""Events for other services as a feature."""

from __future__ import annotations

from dataclasses import replace

from app.feature import Feature, FeatureSpec, Gauge, Platform
from app.hub.api import OPERATIONS
from app.hub.envelope import Envelope
from app.hub.feed import HubFeeds
from app.hub.news import News
from app.hub.publisher import Publisher
from app.web.transports.numbered import NumberedTransport


def wire(platform: Platform) -> Feature:
    """Needs the turns feature. Without a hub, events wait in the outbox; readers get them either way."""
    outbox, hub = platform.outbox, platform.hub
    envelope = Envelope(platform.secret("installation")[:12])
    if hub is None:
        news = News(platform.signals)
        delivery = Feature()
    else:
        publisher = Publisher(outbox, hub, envelope, platform.clock)
        news = News(platform.signals, publisher.wake)
        delivery = Feature(
            gauges=_gauges(publisher),
            background=(publisher.run,),
            housekeeping=(publisher.count,),
            on_stop=(hub.aclose,),
            health={"message_hub": publisher.available},
        )
    feeds = HubFeeds(outbox, envelope, news)
    return replace(
        delivery,
        operations=OPERATIONS,
        services=(feeds, NumberedTransport(platform.readers)),
        observers=(news.observe,),
    )


def _gauges(publisher: Publisher) -> tuple[Gauge, ...]:
    return (
        Gauge("hub_delivered", "Events that the hub has taken.", lambda: publisher.delivered),
        Gauge("hub_waiting", "Events that wait for the hub.", lambda: publisher.backlog.waiting),
        Gauge("hub_dead_letters", "Events that were given up.", lambda: publisher.backlog.dead),
    )


FEATURE = FeatureSpec("hub", wire)
