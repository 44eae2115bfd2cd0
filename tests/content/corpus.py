"""Texts written to be judged: themes pure and mixed, rules kept, broken on purpose and only just kept."""

from __future__ import annotations

from typing import Any, NamedTuple


class Themed(NamedTuple):
    """`primary`: what a reader would say that the text is. `also`: what it has something of."""

    text: str
    primary: str
    also: str = ""


class Ruled(NamedTuple):
    """A text and one rule. `kept`: what a reader would say. `judged`: a model's score as it wrote it, where
    one is needed; `None`: the rule's limits decide."""

    text: str
    rule: dict[str, Any]
    kept: bool
    judged: Any = None


THEMED = (
    Themed("The wizard drew a rune, and the dragon forgot its name.", "fantasy"),
    Themed("Elves and dwarves met under the enchanted castle to trade potions.", "fantasy"),
    Themed("The mage's familiar stole the sorceress's wand from the goblin market.", "fantasy"),
    Themed("Something whispered in the crypt; a corpse opened its eyes and screamed.", "horror"),
    Themed(
        "Rotting flesh, teeth in the darkness, and the slow dread of the haunted stair.", "horror"
    ),
    Themed("The ghoul crawled from its grave; her terror had no scream left in it.", "horror"),
    Themed("Who stole the evidence? The inspector asked each suspect for an alibi.", "mystery"),
    Themed("A locked room, a missing letter, a witness who vanished: a riddle.", "mystery"),
    Themed(
        "The detective measured the footprint: it was the clue that named the thief.", "mystery"
    ),
    Themed("With map and compass they sailed for the island of the ruins.", "adventure"),
    Themed(
        "The expedition left the camp at dawn and followed the river trail to the caves.",
        "adventure",
    ),
    Themed("They crossed the jungle, climbed the mountain, and discovered treasure.", "adventure"),
    Themed("Her father wept at the wedding; forgiveness came, and it was a goodbye.", "drama"),
    Themed("The brothers' quarrel ended at the funeral, in tears and regret.", "drama"),
    Themed("A mother's promise, a daughter's jealousy, and a confession of love.", "drama"),
    Themed("The jester slipped on the pudding, and even the goose laughed.", "comedy"),
    Themed("His trousers were full of custard: a ridiculous, hilarious prank.", "comedy"),
    Themed("The fool sneezed, the pie flew, and the silly hat was nonsense anyway.", "comedy"),
    Themed("The knight swore to protect the villagers, and bravely she stood.", "heroic"),
    Themed("With sword and shield the champion rescued them: honour and duty.", "heroic"),
    Themed("Plague and famine; the tyrant hanged the starving slaves.", "dark"),
    Themed("A bleak gallows in the ash, and the merciless despair of the doomed.", "dark"),
    Themed("Empires fell, armies marched, and the gods weighed the destiny of the world.", "epic"),
    Themed("The throne, the crown, the siege of a thousand ages: war for the realm.", "epic"),
    # mixed
    Themed(
        "The wizard's spell failed: a corpse in the crypt began to scream.", "horror", "fantasy"
    ),
    Themed(
        "The detective followed the clue into the haunted house of the suspect.",
        "mystery",
        "horror",
    ),
    Themed(
        "The knight's sword and oath: a champion before the wizard's dragon.", "heroic", "fantasy"
    ),
    Themed(
        "The jester laughed at the goose while the king's crown fell in the pie.", "comedy", "epic"
    ),
)

WORDS = {"min_words": 5, "max_words": 12}
CLEAN = {"must_not_include": ["telephone", "machine gun"]}
NAMED = {"must_include": ["Silverclaw", "dawn"]}


def rule(category: str, name: str, **parameters: Any) -> dict[str, Any]:
    return {"category": category, "name": name, "rule_id": name, "parameters": parameters}


RULED = (
    # limits: no model
    Ruled("She left the city before anybody woke.", rule("quality", "length", **WORDS), True),
    Ruled("She left.", rule("quality", "length", **WORDS), False),
    Ruled("one two three four five", rule("quality", "length", **WORDS), True),
    Ruled("one two three four", rule("quality", "length", **WORDS), False),
    Ruled(" ".join(["word"] * 12), rule("quality", "length", **WORDS), True),
    Ruled(" ".join(["word"] * 13), rule("quality", "length", **WORDS), False),
    Ruled("The Silverclaw clan rode at dawn.", rule("custom", "names", **NAMED), True),
    Ruled("The silverclaw clan rode at DAWN.", rule("custom", "names", **NAMED), True),
    Ruled("The Silverclaws rode at dawn.", rule("custom", "names", **NAMED), False),
    Ruled("He reached for his telephone.", rule("rules", "no machines", **CLEAN), False),
    Ruled("A machine\n gun barked.", rule("rules", "no machines", **CLEAN), False),
    Ruled("A loom is a machine; the gun is a myth.", rule("rules", "no machines", **CLEAN), True),
    Ruled("abc", rule("quality", "short", max_length=3), True),
    Ruled("abcd", rule("quality", "short", max_length=3), False),
    # judged by a model, in whatever form it writes
    Ruled(
        "He was dead by noon. At one he ate.", rule("consistency", "no contradiction"), False, 0.1
    ),
    Ruled(
        "He slept till noon. At one he ate.", rule("consistency", "no contradiction"), True, 0.95
    ),
    Ruled("The fighter cast fireball.", rule("rules", "classes"), False, "0.3"),
    Ruled("The wizard cast fireball.", rule("rules", "classes"), True, "90%"),
    Ruled("Grim jokes at a grave.", rule("theme", "tone"), True, 0.7),
    Ruled("Grim jokes at a wedding.", rule("theme", "tone"), False, 0.69),
    Ruled("Grim jokes at a trial.", rule("theme", "tone"), False, 0.6999999),
    Ruled("A river, described.", rule("quality", "vivid"), True, 7),
    Ruled("A river.", rule("quality", "vivid"), False, -1),
    Ruled("No adverbs here.", rule("custom", "no adverbs"), True, 1),
    Ruled("Quickly, softly, badly.", rule("custom", "no adverbs"), False, 0),
    Ruled("Nobody said how good this is.", rule("custom", "house style"), False, None),
    Ruled("Nobody can say.", rule("custom", "house style"), False, "good"),
    # a limit that is broken decides, whatever a model would say; one that is kept does not
    Ruled("He telephoned. A telephone!", rule("custom", "era", era="1200", **CLEAN), False, 1),
    Ruled("He wrote a letter.", rule("custom", "era", era="1200", **CLEAN), True, 0.8),
    Ruled("He wrote an e-mail.", rule("custom", "era", era="1200", **CLEAN), False, 0.2),
)
