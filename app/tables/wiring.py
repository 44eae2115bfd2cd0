"""Tables as a feature."""

from __future__ import annotations

from functools import partial

from app.core.tables import KIND, TableRules
from app.feature import Feature, FeatureSpec, Platform
from app.tables.api import OPERATIONS
from app.tables.approval import TableApproval
from app.tables.budget import TableBudget
from app.tables.choices import TableChooser
from app.tables.feeds import TableFeeds
from app.tables.invitations import TableInvitations
from app.tables.play import TablePlay
from app.tables.questions import TableQuestions
from app.tables.rooms import Rooms
from app.tables.round_turns import RoundTurns
from app.tables.rounds import TableRounds
from app.tables.service import TableService
from app.tables.settings import TableSettings
from app.tables.shared_sockets import SharedSockets
from app.tables.story import TableStory
from app.tables.summary import TableSummaries
from app.tables.topics import TableTopics
from app.turns.choices import Choosers, TurnChoices
from app.turns.questions import Questions
from app.turns.service import TurnService
from app.turns.story import Stories
from app.web.transports.table import TableTransport


def wire(platform: Platform) -> Feature:
    """Needs the turns feature."""
    tables, store, now = platform.tables, platform.store, platform.clock.now
    budget = TableBudget(tables, platform.generation.prices)
    turns, rooms = platform.services.get(TurnService), Rooms(platform.tables, platform.signals)
    topics = TableTopics(platform.generation, platform.word_moderator)
    story = TableStory(tables, platform.generation, topics, budget, platform.journey_log)
    platform.services.get(Stories).add(KIND, story)
    rules, invitations = _rules(platform), TableInvitations(tables, now)
    service = TableService(tables, invitations, rooms, topics, now, rules, platform.observe)
    choices = platform.services.get(TurnChoices)
    secret = platform.secret("dice")
    play = TablePlay(service, tables, turns, choices, budget, topics, secret)
    platform.services.get(Choosers).add(KIND, partial(TableChooser, service, play))
    round_turns = RoundTurns(tables, play, rooms, store.turn, store.choice, now)
    rounds = TableRounds(service, tables, play, rooms, round_turns, now)
    summaries = TableSummaries(tables, platform.generation, budget, topics)
    questions = Questions(platform.generation)
    shared = SharedSockets(rooms.presence, platform.signals)
    models = not platform.settings.offline  # the storyteller offline summarises nothing
    return Feature(
        operations=OPERATIONS,
        services=(
            service,
            invitations,
            budget,
            play,
            rounds,
            summaries,
            TableApproval(tables, choices, play, topics),
            TableQuestions(service, tables, questions, platform.limiter, topics, budget),
            TableFeeds(turns, tables, rooms),
            shared,
            TableTransport(platform.readers),
            rooms,
        ),
        observers=(rooms.observe, rounds.observe, *([summaries.observe] if models else [])),
        housekeeping=(rooms.presence.refresh, rooms.dm_seats.refresh),
        on_stop=(rooms.presence.aclose, rooms.dm_seats.aclose, shared.aclose),
        background=(rounds.run, *([summaries.run] if models else [])),
    )


def _rules(platform: Platform) -> TableRules:
    """Of a new table."""
    return platform.settings_of(TableSettings).table_rules


FEATURE = FeatureSpec("tables", wire, TableSettings)
