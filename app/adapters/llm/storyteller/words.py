"""Reading what the player does: the deed, and their words made fit to be woven into the story."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from app.adapters.llm.storyteller.grammar import capital, cleaned, cut_at_word

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

_HELP = re.compile(
    r"^(help|hints?)\b|\bhelp me\W*$|\bwhat (should|can|could|shall|do|must) i\b|\bwhat now\b"
    r"|\bi('m| am) (lost|stuck)\b|\b(a|any) hints?\b|\bwhere (should|do|can) i go\b|\bmy options\b"
)
_ABANDON = re.compile(
    r"\babandon(ing)?\b|\b(give|giving) up\b|\bquit\b"
    r"|\b(forget|drop) (about )?(the|this|that) (quest|task|job|errand|whole thing)\b"
)
_ACCEPT = re.compile(
    r"^\W*(yes|yeah|yep|aye|ok|okay|sure|agreed|gladly|of course|very well|deal|let'?s do it)\b"
    r"|\b(i|we) (\w+ )?(accept|agree)\b|^\W*accept\b|\bi('ll| will) (do|take) it\b|\bcount me in\b"
)
_REFUSE = re.compile(
    r"^\W*(no|nope|nah|never)\b|\b(refuse|decline)\b|\bnot interested\b|\bno thanks?\b"
)
_VERBS: dict[Deed, str] = {
    "attack": "attack fight hit shoot strike stab slash kill slay punch ambush",
    "flee": "flee run escape retreat withdraw",
    "talk": "talk ask greet speak say tell hello hi hail shout call question whisper persuade thank"
    " answer introduce listen_to",
    "look": "look search examine inspect explore investigate study watch listen read check observe"
    " peer scout find track seek sniff",
    "take": "take grab pick steal collect gather loot pocket buy",
    "use": "use open light drink eat cast throw pull push unlock break put give play sing pray touch"
    " tie dig repair build cook write draw knock dance jump",
    "rest": "rest sleep camp wait sit nap meditate heal relax",
    "leave": "leave exit return",
    "move": "go walk enter head travel follow climb cross approach step continue move sneak crawl"
    " swim ride descend run wander march hurry keep press",
}
_IRREGULAR = {
    "went": "move",
    "hitting": "attack",
    "shot": "attack",
    "fought": "attack",
    "asking": "talk",
    "spoke": "talk",
    "took": "take",
    "slept": "rest",
    "sat": "rest",
    "left": "leave",
    "ran": "flee",
    "running": "flee",
}
_DEED_OF: dict[str, Deed] = {
    verb: deed for deed, verbs in _VERBS.items() for verb in verbs.split()
}
_DEED_OF.update({word: deed for word, deed in _IRREGULAR.items() if deed in _VERBS})  # type: ignore[misc]
