"""Reading what the player does: the deed, and their words made fit to be woven into the story."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple

from app.standins.storyteller.grammar import capital, cleaned, cut_at_word

Deed = Literal[
    "help",
    "abandon",
    "attack",
    "flee",
    "accept",
    "refuse",
    "talk",
    "look",
    "take",
    "use",
    "rest",
    "leave",
    "move",
    "other",
]

MAX_READ = 600
MAX_ECHO = 110

_WHOLE: Final[tuple[tuple[Deed, re.Pattern[str]], ...]] = (
    (
        "help",
        re.compile(
            r"^(help|hints?)\b|\bhelp me\W*$|\bwhat (should|can|could|shall|do|must) (i|we)\b"
            r"|\bwhat now\b|\bi('m| am) (lost|stuck)\b|\b(a|any) hints?\b|\bmy options\b"
            r"|\bwhere (should|do|can) i go\b"
        ),
    ),
    (
        "abandon",
        re.compile(
            r"\babandon(ing)?\b|\bgiv(e|ing) up\b|\bquit\b"
            r"|\b(forget|drop) (about )?(the|this|that|my) (quest|task|job|errand|whole thing)\b"
        ),
    ),
    (
        "flee",
        re.compile(
            r"\brun(ning)? (away|off|from|for (it|my life))\b|^(i )?run\W*$|\bget away\b"
            r"|\bfall back\b|\bback (off|away)\b"
        ),
    ),
    (
        "accept",
        re.compile(
            r"^\W*(yes|yeah|yep|aye|ok|okay|sure|agreed|gladly|of course|very well|accept)\b"
            r"|\b(i|we) (\w+ )?(accept|agree)\b|\bi('ll| will) (do|take) it\b|\bcount me in\b"
        ),
    ),
    (
        "refuse",
        re.compile(r"^\W*(no|nope|nah|never)\b|\b(refuse|decline)\b|\bnot interested\b"),
    ),
)
_VERBS: Final[dict[Deed, str]] = {
    "attack": "attack fight hit hitting shoot strike stab slash kill slay punch ambush",
    "flee": "flee escape retreat withdraw",
    "talk": "talk ask greet speak say tell hello hi hail shout call question whisper persuade"
    " thank answer introduce",
    "look": "look search examine inspect explore investigate study watch listen read check observe"
    " peer scout find track seek sniff",
    "take": "take grab pick steal collect gather loot pocket buy",
    "use": "use open light drink eat cast throw pull push unlock break put give play sing pray"
    " touch tie dig repair build cook write draw knock dance jump",
    "rest": "rest sleep camp wait sit sitting nap meditate heal relax",
    "leave": "leave exit return",
    "move": "go walk enter head travel follow climb cross approach step continue move sneak crawl"
    " swim ride descend run running wander march hurry keep press",
}
_DEED_OF: Final = {verb: deed for deed, verbs in _VERBS.items() for verb in verbs.split()}
_NOUN_AFTER: Final = frozenset(
    ["a", "an", "the", "my", "your", "his", "her", "their", "this", "that", "some", "of", "no"]
)
_NEGATION: Final = re.compile(r"(n['’]?t|not|never|refuse to|stop|avoid|without|instead of)$")
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_FIRST_SENTENCE: Final = re.compile(r".+?[.!?…](?=\s|$)")
_FIRST_PERSON: Final = re.compile(r"(i|i['’](m|ve|ll|d))\s", re.IGNORECASE)
_QUOTED: Final = re.compile(r"\"([^\"]*)\"|“([^”]*)”")
# Whether it comes off is not for the player to say.
_CERTAIN: Final = re.compile(r"^You (kill|slay|win|defeat|destroy|murder)\b")
_SECOND_PERSON: Final = re.compile(r"\byou(r|rs|rself)?\b", re.IGNORECASE)
_SWAPS: Final = {
    "i": "you",
    "i'm": "you’re",
    "i've": "you’ve",
    "i'll": "you’ll",
    "i'd": "you’d",
    "am": "are",
    "my": "your",
    "me": "you",
    "mine": "yours",
    "myself": "yourself",
}


class Reading(NamedTuple):
    """`retold`: the action as a sentence about “you”, or empty. `spoken`: the words as a quotation
    without its marks and final stop, or empty when there is nothing to read aloud."""

    deed: Deed
    moving: bool
    text: str
    retold: str
    spoken: str


def read_action(action: str) -> Reading:
    text = cleaned(action, MAX_READ)
    low = text.casefold().replace("’", "'")
    deeds = _deeds(low)
    return Reading(
        deed=_deed(low, deeds),
        moving="move" in deeds or "leave" in deeds,
        text=low,
        retold=_retold(text),
        spoken=_spoken(text),
    )


def _deed(low: str, deeds: list[Deed]) -> Deed:
    for deed, pattern in _WHOLE:
        if pattern.search(low):
            return deed
    for urgent in ("attack", "flee"):
        if urgent in deeds:
            return urgent
    if low.startswith(('"', "“")):
        return "talk"
    # “I walk to the door and open it” is about the door.
    telling = [deed for deed in deeds if deed != "move"]
    if telling:
        return telling[0]
    if deeds:
        return "move"
    return "talk" if low.endswith("?") else "other"


def _deeds(low: str) -> list[Deed]:
    """The deeds of the verbs in order; words used as nouns or under a negation do not count."""
    found: list[Deed] = []
    before = ""
    for word in _WORD.finditer(low):
        deed = _verb(word[0])
        lead = low[: word.start()].split()[-3:]
        negated = any(_NEGATION.search(" ".join(lead[: end + 1])) for end in range(len(lead)))
        if deed and before not in _NOUN_AFTER and not negated:
            found.append(deed)
        before = word[0]
    return found


def _verb(word: str) -> Deed | None:
    stems = [word] + [word.removesuffix(end) for end in ("s", "es", "ing", "ed", "d")]
    return next((_DEED_OF[stem] for stem in stems if stem in _DEED_OF), None)


def _first_sentence(text: str) -> str:
    found = _FIRST_SENTENCE.match(text)
    return found[0] if found else text


def _retold(text: str) -> str:
    sentence = _first_sentence(text)
    if sentence.endswith("?") or not sentence.isascii() or _odd(sentence):
        return ""
    words = sentence.split()
    first = words[0].casefold().strip(".,!") if words else ""
    if first in ("let's", "lets") and len(words) > 1:
        sentence = f"I {' '.join(words[1:])}"
    elif first in _DEED_OF and first not in ("hello", "hi", "no"):
        sentence = f"I {sentence[0].lower()}{sentence[1:]}"
    elif not _FIRST_PERSON.match(sentence) or len(words) < 2:
        return ""
    short = _shortened(sentence.rstrip(".! ,;:-"))
    ends = "" if short.endswith("…") else "."
    told = _CERTAIN.sub(r"You mean to \1", capital(_swapped(short)))
    return told + ends if len(short) > 3 else ""


def _odd(sentence: str) -> bool:
    """Whether turning it round would give nonsense: talk to the teller, code, a broken quotation."""
    outside = _QUOTED.sub(" ", sentence)
    return bool(
        _SECOND_PERSON.search(outside) or re.search(r"[\"“”\\_=#*/:;@&%$~^+]|\w['’]\w['’]", outside)
    )


def _shortened(sentence: str) -> str:
    if len(sentence) <= MAX_ECHO:
        return sentence
    head = cut_at_word(sentence, MAX_ECHO)
    clause = max(head.rfind(mark) for mark in (", ", " and ", " then ", " while ", " because "))
    if clause > MAX_ECHO // 3 and '"' not in head:
        return head[:clause]
    return head.replace('"', "") + "…"


def _swapped(sentence: str) -> str:
    """First person to second, outside quotations; straight quotation marks become curly."""
    pieces = _QUOTED.split(sentence)
    told = [_turned(pieces[0])]
    for at in range(1, len(pieces), 3):
        told.append(f"“{pieces[at] or pieces[at + 1] or ''}”")
        told.append(_turned(pieces[at + 2]))
    return "".join(told)


def _turned(text: str) -> str:
    return _WORD.sub(lambda word: _SWAPS.get(word[0].casefold().replace("’", "'"), word[0]), text)


def _spoken(text: str) -> str:
    bare = re.sub(r"[\"“”«»„]", "", text).strip()
    if not _WORD.search(bare):
        return ""
    sentence = _first_sentence(bare)
    short = cut_at_word(sentence, MAX_ECHO)
    if len(short) < len(sentence):
        return short + "…"
    return capital(short.rstrip(" .,;:-–—…"))
