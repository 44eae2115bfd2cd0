"""Games that scripted players of six temperaments play with the offline storyteller, and figures of them.

`make story` prints the figures of 200 games of 15 turns; `GAMES=20` of fewer, `GAMES="200 --more"` what
repeats, too.
"""

from __future__ import annotations

import random
import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from app.core.context import Identity, Location
from app.core.policy import PolicyConfig
from app.standins.storyteller.library import library
from app.standins.storyteller.text import sentences

from journeys import Journey, a_context

TURNS: Final = 15
RUN: Final = 5
"""So many words in a row are a phrase."""

EXPLORING: Final = (
    "I look around carefully.",
    "I follow the path downhill.",
    "I talk to whoever is near.",
    "I pick up something that glints.",
    "I walk on towards the noise.",
    "I ask what happened here last night.",
    "I listen for a while.",
    "I search the ground for tracks.",
    "I climb up to see further.",
    "I greet the first face that I meet.",
    "I go where the light is.",
    "I examine the nearest wall.",
    "I wait and watch.",
    "I ask about the weather.",
    "I turn back and take the other way.",
)
FIGHTING: Final = (
    "I attack!",
    "I strike at its side.",
    "I cut low and step back.",
    "I hit it with all I have.",
    "I charge.",
)
# For each temperament, what is done while a quest has just been offered, while it goes on, in a fight, and
# otherwise.
OFFERED, ON_QUEST, IN_FIGHT, FREE = "offered", "on quest", "in fight", "free"
YES: Final = ("Yes, I will do it.", "I accept.", "I will help you.")
NO: Final = ("No, I refuse.", "No, that is not for me.", "I decline.")
Temper = Mapping[str, Sequence[str]]
TEMPERS: Final[Mapping[str, Temper]] = {
    "dutiful": {OFFERED: YES, ON_QUEST: EXPLORING, IN_FIGHT: FIGHTING, FREE: EXPLORING},
    "refusing": {OFFERED: NO, ON_QUEST: NO, IN_FIGHT: ("I run away.",), FREE: (*NO, *EXPLORING)},
    "fierce": {OFFERED: YES, ON_QUEST: FIGHTING, IN_FIGHT: FIGHTING, FREE: FIGHTING},
    "timid": {
        OFFERED: YES,
        ON_QUEST: EXPLORING,
        IN_FIGHT: ("I run away.", "I surrender.", "I flee!"),
        FREE: ("I rest.", "What should I do?", *EXPLORING),
    },
    "careless": {
        OFFERED: YES,
        ON_QUEST: EXPLORING,
        IN_FIGHT: ("I sit down and rest.", "I look through my bag.", "Blorp fnarg."),
        FREE: ("I sing a song.", "Blorp fnarg.", *EXPLORING),
    },
    "fickle": {
        OFFERED: YES,
        ON_QUEST: (*EXPLORING, "I give up the quest.", "I give up the quest."),
        IN_FIGHT: (*FIGHTING, "I run away."),
        FREE: EXPLORING,
    },
}
PEOPLE: Final = (
    Identity(name="Kestrel", race="Half-Elf", class_name="Ranger"),
    Identity(name="Brakka", race="Dwarf", class_name="Fighter"),
    Identity(name="Ysolde", race="Elf", class_name="Wizard"),
    Identity(name="Pim", race="Gnome", class_name="Bard"),
)
PLACES: Final = ("The Nexus", "The Old Wood", "The Salt Coast", "The Deep Mine", "The High Pass")
NAMES: Final = tuple(spot.name for world in library().worlds for spot in world.spots)
REFUSALS: Final = frozenset(NO)


@dataclass
class Player:
    """Says each of the words of its temperament before it says one again."""

    temper: Temper
    rng: random.Random
    _left: dict[str, list[str]] = field(default_factory=dict)

    def act(self, journey: Journey) -> str:
        occasion = occasion_of(journey)
        left = self._left.setdefault(occasion, [])
        if not left:
            left += self.rng.sample(self.temper[occasion], len(self.temper[occasion]))
        return left.pop()


def occasion_of(journey: Journey) -> str:
    """What the player answers to."""
    context, progress = journey.context, journey.progress
    if context.combat.active:
        return IN_FIGHT
    if context.quest is None:
        return FREE
    return OFFERED if progress.since_quest == 0 else ON_QUEST


@dataclass
class Game:
    """`taken_by_refusal`: turns in which the player refused and had a quest at the end."""

    temper: str
    journey: Journey
    actions: list[str] = field(default_factory=list)
    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How often a quest, by its title, was `finished`, `lost`, `refused` or `abandoned`."""
    taken_by_refusal: list[str] = field(default_factory=list)
    fights: Counter[str] = field(default_factory=Counter)

    def turn(self, action: str, *, opening: bool = False) -> None:
        quest = self.journey.context.quest
        fought, known = self.journey.context.combat.active, len(self.journey.changes)
        untouched = not self.journey.progress.quest_progress
        self.journey.play(action, opening=opening)
        self.actions.append(action)
        changes = self.journey.changes[known:]
        if quest and "quest complete" in changes:
            self.ends[quest.name, "finished"] += 1
        if quest and "quest abandon" in changes:
            how = "lost" if fought else "refused" if untouched else "abandoned"
            self.ends[quest.name, how] += 1
        if "combat end" in changes:
            self.fights[_end_of_fight(self.journey)] += 1
        if action in REFUSALS and not quest and self.journey.context.quest:
            self.taken_by_refusal.append(action)


def _end_of_fight(journey: Journey) -> str:
    combat = journey.outcomes[-1].intents.combat_intent
    notes = (combat and combat.combat_notes) or ""
    return {
        "You were beaten.": "lost",
        "You surrendered.": "surrendered",
        "You got away.": "fled",
    }.get(notes, "won")


def play(number: int, turns: int = TURNS) -> Game:
    """The game of this number, which is always the same."""
    temper = list(TEMPERS)[number % len(TEMPERS)]
    rng = random.Random(number)
    place = Location(id="start", display_name=PLACES[number % len(PLACES)])
    character = f"6f1c1f5e-0000-4000-8000-{number:012}"
    context = a_context(
        character_id=character, identity=PEOPLE[number % len(PEOPLE)], location=place
    )
    config = PolicyConfig(quest_trigger_prob=0.5, quest_cooldown_turns=1)
    game = Game(temper, Journey(context=context, config=config, seed=f"game {number}"))
    player = Player(TEMPERS[temper], rng)
    game.turn("", opening=True)
    for _ in range(turns - 1):
        game.turn(player.act(game.journey))
    return game


def repeated_phrases(text: str) -> list[str]:
    """Runs of words that a text has twice, names aside, and sentences."""
    for name in NAMES:
        text = re.sub(re.escape(name), "NAME", text, flags=re.IGNORECASE)
    words = re.findall(r"[\w’'-]+", text.casefold())
    runs = Counter(" ".join(words[at : at + RUN]) for at in range(len(words) - RUN + 1))
    whole = Counter(sentences(text))
    return [run for run, count in (runs + whole).items() if count > 1]


def repeated_sentences(texts: Sequence[str]) -> list[str]:
    """Each repetition of a sentence within the texts of a game."""
    seen: set[str] = set()
    again = []
    for sentence in (one for text in texts for one in sentences(text)):
        if sentence in seen:
            again.append(sentence)
        seen.add(sentence)
    return again


def sentence_count(texts: Sequence[str]) -> int:
    return sum(len(sentences(text)) for text in texts)


def games(count: int) -> Iterator[Game]:
    return map(play, range(count))


def main(count: int) -> None:
    ends: Counter[str] = Counter()
    fights: Counter[str] = Counter()
    twice = refused = 0
    shares: list[float] = []
    worst: Counter[str] = Counter()
    phrases: Counter[str] = Counter()
    for game in games(count):
        narratives = game.journey.narratives
        found = [p for text in narratives for p in repeated_phrases(text)]
        phrases.update(found)
        twice += len(found)
        again = repeated_sentences(narratives)
        worst.update(again)
        shares.append(len(again) / sentence_count(narratives))
        refused += len(game.taken_by_refusal)
        fights += game.fights
        ends.update({how: n for (_, how), n in game.ends.items()})
    print(f"{count} games of {TURNS} turns")
    print(f"phrases twice within a turn: {twice}")
    print(
        f"repeated sentences within a game: {max(shares):.1%} at most, {sum(shares) / count:.2%} on average"
    )
    print(f"games above 2 %: {sum(share > 0.02 for share in shares)}")
    print(f"quests taken by refusing: {refused}")
    print(f"quests: {dict(ends)}")
    print(f"fights: {dict(fights)}")
    if "--more" in sys.argv:
        print(*worst.most_common(40), sep="\n")
        print(*phrases.most_common(20), sep="\n")


if __name__ == "__main__":
    main(int(next((one for one in sys.argv[1:] if one.isdigit()), 200)))
