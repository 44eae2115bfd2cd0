"""Words by which a text's theme is recognised without a model."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


CATEGORIES: Final = {
    "fantasy": _words(
        "magic spell spells wizard wizards sorcerer sorceress dragon dragons elf elves elven dwarf"
        " dwarves goblin goblins orc orcs fairy fairies enchanted enchantment rune runes wand potion"
        " potions kingdom castle griffin unicorn mage arcane familiar troll trolls giant giants"
    ),
    "horror": _words(
        "blood bloody scream screams screamed corpse corpses terror fear dread horror horrible ghoul"
        " ghouls undead crypt grave graves rotting flesh bones shadow shadows whisper whispers"
        " nightmare nightmares crawling eyes teeth haunted ghost ghosts demon demons cold darkness"
    ),
    "mystery": _words(
        "clue clues secret secrets murder murdered murderer detective inspector suspect suspects"
        " evidence alibi vanished missing letter riddle riddles puzzle mystery mysterious investigate"
        " investigation witness witnesses footprint footprints locked unknown poison stolen theft"
    ),
    "adventure": _words(
        "journey voyage map maps treasure explore explorer explorers expedition ruins jungle sail"
        " sailed ship ships island islands mountain mountains cave caves trail path road climb"
        " compass discover discovered camp wilderness bridge river quest travellers caravan"
    ),
    "drama": _words(
        "love loved betray betrayed betrayal tears wept weep mother father brother sister daughter"
        " son marriage wedding funeral grief regret forgive forgiveness promise promised heart"
        " family quarrel jealousy sorrow goodbye letter confession lonely choice sacrifice"
    ),
    "comedy": _words(
        "laugh laughs laughed laughing joke jokes silly ridiculous absurd clumsy pie pies chicken"
        " chickens goose pants trousers tripped slipped fool fools jester prank pranks giggle"
        " giggled hilarious embarrassing sneezed burp drunk pudding custard hat nonsense"
    ),
    "heroic": _words(
        "hero heroes heroic brave bravely courage courageous honour honor sword shield defend"
        " defended protect protected rescue rescued save saved villagers champion oath justice noble"
        " knight knights stand stood victory triumph banner valiant duty"
    ),
    "dark": _words(
        "bleak grim cruel cruelty despair hopeless ash ashes plague famine tyrant slaves slavery"
        " torture hanged gallows ruin ruined misery doomed doom corrupt corruption starving starved"
        " merciless curse cursed traitor burned night black grey"
    ),
    "epic": _words(
        "empire empires army armies war wars gods god destiny prophecy world worlds ages thousand"
        " thousands legend legends throne crown king queen kings battle battles siege fate realm"
        " realms conquest titan titans eternal fleets legions heavens"
    ),
}
"""A word may count for several categories."""

ELEMENTS: Final = {
    "tone": _words(
        "gently softly harshly grim cheerful solemn bitter warm cold tender playful weary proud"
        " quiet loud laughing weeping merry sombre stern light dark"
    ),
    "mood": _words(
        "fear dread joy hope sorrow grief calm tense anxious lonely longing wonder despair silence"
        " storm shadow shadows warm cold laughter tears peace"
    ),
    "setting": _words(
        "castle forest village city tavern mountain mountains river sea road night morning winter"
        " summer hall tower cave crypt island bridge harbour market temple ruins kingdom room house"
        " street field desert swamp inn"
    ),
    "conflict": _words(
        "fight fought war battle attack attacked enemy enemies against argue argued betrayed kill"
        " killed threat threatened siege escape escaped struggle defend revenge rival steal stole"
        " hunted refuse refused sword"
    ),
    "symbolism": _words(
        "crown mirror raven ravens rose roses moon sun blood fire ash river bridge key door light"
        " shadow scales chain chains star stars lantern candle wolf crow mask clock"
    ),
    "character_focus": _words(
        "he she they her his their himself herself remembered felt thought wanted feared loved knew"
        " decided hoped promised mother father brother sister friend name face voice heart"
    ),
    "story_structure": _words(
        "first then after before until finally suddenly meanwhile once later began ended when while"
        " at last again next because therefore"
    ),
    "world_building": _words(
        "kingdom empire guild guilds order temple law laws custom customs ancient age ages tribe"
        " tribes trade coin coins gods god people peoples language border council legend legends"
        " history realm caste"
    ),
}
"""Words that show that a text has something of an element."""

CATEGORY_DISTANCE: Final = {
    frozenset({"comedy", "horror"}): 0.9,
    frozenset({"comedy", "dark"}): 0.8,
    frozenset({"comedy", "epic"}): 0.5,
    frozenset({"comedy", "drama"}): 0.4,
    frozenset({"heroic", "horror"}): 0.6,
    frozenset({"heroic", "dark"}): 0.6,
    frozenset({"horror", "dark"}): 0.1,
    frozenset({"fantasy", "epic"}): 0.15,
    frozenset({"heroic", "epic"}): 0.1,
    frozenset({"fantasy", "adventure"}): 0.15,
    frozenset({"mystery", "horror"}): 0.25,
    frozenset({"mystery", "dark"}): 0.25,
}
"""How far apart two are, from 0 to 1; those that are not named: `FAR`."""
FAR: Final = 0.35
