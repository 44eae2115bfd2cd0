"""Games of scripted players: nothing repeats, every quest has every end, and refusing is refusing."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

import pytest
from app.core.context import CharacterProgress, Quest
from app.standins.storyteller.library import library
from app.standins.storyteller.schema import World

from journeys import ALWAYS, Journey, a_context
from story_games import TEMPERS, Game, play, repeated_phrases, repeated_sentences, sentence_count

GAMES = 200 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 48
MOST_REPEATED = 0.02  # of the sentences of a game
FIGHT, CARELESS = "I attack!", "I sit down and rest."


@pytest.fixture(scope="module")
def games() -> list[Game]:
    return [play(number) for number in range(GAMES)]


def test_sentences_are_hardly_ever_repeated(games: list[Game]) -> None:
    for game in games:
        narratives = game.journey.narratives
        assert len(narratives) == 15
        for text in narratives:
            assert repeated_phrases(text) == []
        again = repeated_sentences(narratives)
        assert len(again) <= MOST_REPEATED * sentence_count(narratives), again


def test_refusing_never_takes_a_quest_and_fights_are_won_and_lost(games: list[Game]) -> None:
    assert [game.taken_by_refusal for game in games if game.taken_by_refusal] == []
    assert {game.temper for game in games} == set(TEMPERS)
    ends = {how for game in games for _, how in game.ends}
    assert ends == {"finished", "lost", "refused", "abandoned"}
    fights = {how for game in games for how in game.fights}
    assert fights == {"won", "lost", "fled", "surrendered"}


QUESTS = {
    f"{script.title} in {world.name}": (world, script)
    for world in library().worlds
    for script in library().quests_of(world)
}


def seeds(name: str) -> Iterator[int]:
    """Of games in which the quest is offered in the first turn: the first one is often enough."""
    world, script = QUESTS[name]
    return (seed for seed in range(40) if offered(world, seed).name == script.title)


def offered(world: World, seed: int) -> Quest:
    quest = in_world(world, seed).journey.context.quest
    assert quest
    return quest


def in_world(world: World, seed: int) -> Game:
    """A game in whose first turn some quest of the world is offered."""
    progress = CharacterProgress(minor_location=world.spots[seed % len(world.spots)].name)
    game = Game(
        "",
        Journey(
            config=ALWAYS,
            context=a_context(character_id=f"6f1c1f5e-0000-4000-8000-{seed:012}"),
            progress=progress,
            seed=f"{world.name} {seed}",
        ),
    )
    game.turn("Hello?")
    return game


def by_going_on(game: Game) -> str:
    return FIGHT if game.journey.context.combat.active else "I go on with it."


def by_carelessness(game: Game) -> str:
    return CARELESS if game.journey.context.combat.active else "I go on with it."


def by_giving_up(_: Game) -> str:
    return "I give up the quest."


@pytest.mark.parametrize("name", QUESTS)
@pytest.mark.parametrize(
    ("how", "act"),
    [("finished", by_going_on), ("lost", by_carelessness), ("abandoned", by_giving_up)],
)
def test_every_quest_can_be_finished_lost_and_abandoned(
    name: str, how: str, act: Callable[[Game], str]
) -> None:
    world, script = QUESTS[name]
    found = set()
    for seed in seeds(name):
        game = in_world(world, seed)
        if how == "abandoned":
            game.turn("I go on with it.")
        for _ in range(20):
            if game.journey.context.quest is None:
                break
            game.turn(act(game))
        found |= {end for title, end in game.ends if title == script.title}
        if how in found:
            return
    raise AssertionError(found)
