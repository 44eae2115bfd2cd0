"""The player's own words, woven in at the head of a turn."""

from __future__ import annotations

from app.standins.storyteller.draft import Draft

_SPOKEN = (
    "“{words}{comma}” you say, and [the air takes it in|nobody laughs|somewhere a door is closed"
    " softly|it sounds truer aloud than it did in your head].",
    "“{words}{stop}” The words are out before you have weighed them.",
    "“{words}{stop}” [You hear your own voice, and it is steadier than you feel.|Said like that, it"
    " sounds almost simple.]",
    "You have thought it over, and what you come out with is this: “{words}{stop}”",
)
_ASKED = (
    "“{words}” you ask, and [the question goes on ahead of you|for a moment nothing wants to"
    " answer|the silence turns it over].",
    "“{words}” It is a good question. [You can tell by how quiet it gets.|Good questions are"
    " dangerous here.]",
)
_WORDLESS = (
    "You do not say anything. [Sometimes that is the loudest thing to do.|Your hands say it for"
    " you.]",
    "There is no word for what you do next, but it is plain enough to anybody watching.",
    "You make a sign in the air that means something where you come from.",
)


def echo(draft: Draft) -> None:
    """Begin the turn with what the player does."""
    reading, voice = draft.setting.reading, draft.setting.voice
    if reading.retold:
        voice.bind(retold=reading.retold)
        draft.say("{retold}")
        return
    if not reading.spoken:
        draft.say(*_WORDLESS)
        return
    words = reading.spoken
    loud = words[-1] in "?!…"
    voice.bind(words=words, comma="" if loud else ",", stop="" if loud else ".")
    draft.say(*(_ASKED if words.endswith("?") else _SPOKEN))
