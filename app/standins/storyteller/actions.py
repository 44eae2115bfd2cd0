"""Parsing a player's action: its kind, and its words made fit for a narrative."""

import re
from typing import Final, NamedTuple

from app.standins.storyteller.schema import ActionKind, Actions
from app.standins.storyteller.text import capital, cleaned, cut_at_word

MAX_READ: Final = 600
MAX_ECHO: Final = 110

_DETERMINERS: Final = frozenset(
    ["a", "an", "the", "my", "your", "his", "her", "their", "this", "that", "some", "of", "no"]
)
_NEGATION: Final = re.compile(r"(n['’]?t|not|never|refuse to|stop|avoid|without|instead of)$")
_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_FIRST_SENTENCE: Final = re.compile(r".+?[.!?…](?=\s|$)")
_FIRST_PERSON: Final = re.compile(r"(i|i['’](m|ve|ll|d))\s", re.IGNORECASE)
_I_WAS: Final = re.compile(r"\bI was\b", re.IGNORECASE)
_QUOTED: Final = re.compile(r"\"([^\"]*)\"|“([^”]*)”")
# The player may try these; the story decides whether they succeed.
_CERTAIN: Final = re.compile(r"^You (kill|slay|win|defeat|destroy|murder)\b")
_SECOND_PERSON: Final = re.compile(r"\byou(r|rs|rself)?\b", re.IGNORECASE)
# “Tell me” is addressed to somebody else; “we” and “mine” have no form in the second person.
_ME: Final = re.compile(r"\bme\b", re.IGNORECASE)
_PLURAL: Final = re.compile(
    r"\b(we|us|ours?|ourselves|we['’]\w+)\b|(?<!the )(?<!a )(?<!this )(?<!that )\bmine\b",
    re.IGNORECASE,
)
_ODD: Final = re.compile(r"[\"“”\\_=#*/:;@&%$~^+]|\w['’]\w['’]")
# As a table words a roll: “rolls 1d20+2 (stealth): 17.”
_ROLL: Final = re.compile(r"rolls (\d*d[0-9a-z!+-]{1,20}) \([^()]*\): (-?\d+)\.", re.IGNORECASE)
_SWAPS: Final = {
    "i": "you",
    "i'm": "you’re",
    "i've": "you’ve",
    "i'll": "you’ll",
    "i'd": "you’d",
    "am": "are",
    "my": "your",
    "me": "you",
    "myself": "yourself",
}


class ParsedAction(NamedTuple):
    """`retold`: the action as a sentence about “you”, or empty. `quote`: the words as a quotation
    without its marks and final stop, or empty when there are no words. `text`: lower case."""

    kind: ActionKind
    moving: bool
    text: str
    retold: str
    quote: str


class ActionParser:
    """Recognises actions by the verbs and patterns of the data files."""

    def __init__(self, actions: Actions) -> None:
        self._patterns = [(p.kind, re.compile("|".join(p.any))) for p in actions.patterns]
        verbs = actions.verbs.items()
        self._kinds = {verb: kind for kind, line in verbs for verb in line.split()}
        self._common = frozenset(actions.common_words.split())

    def parse(self, action: str) -> ParsedAction:
        text = cleaned(action, MAX_READ)
        low = text.casefold().replace("’", "'")
        kinds = self._kinds_in(low)
        return ParsedAction(
            kind=self._kind(low, kinds),
            moving="move" in kinds or "leave" in kinds,
            text=low,
            retold=self._retold(text),
            quote=_quote(text),
        )

    def _kind(self, low: str, kinds: list[ActionKind]) -> ActionKind:
        for kind, pattern in self._patterns:
            if pattern.search(low):
                return kind
        for urgent in ("attack", "flee"):
            if urgent in kinds:
                return urgent
        if low.startswith(('"', "“")):
            return "talk"
        # “I walk to the door and open it” is about the door.
        specific = [kind for kind in kinds if kind != "move"]
        if specific:
            return specific[0]
        if kinds:
            return "move"
        if low.endswith("?"):
            return "talk"
        return "nonsense" if self._is_nonsense(low) else "other"

    def _is_nonsense(self, low: str) -> bool:
        """Whether no word of an ASCII text is known; other languages may be anything."""
        words = _WORD.findall(low)
        known = any(word in self._common or self._kind_of_word(word) for word in words)
        return bool(words) and low.isascii() and not known

    def _kinds_in(self, low: str) -> list[ActionKind]:
        """The kinds of the verbs in order, without nouns and negated verbs."""
        found: list[ActionKind] = []
        before = ""
        for word in _WORD.finditer(low):
            kind = self._kind_of_word(word[0])
            lead = low[: word.start()].split()[-3:]
            negated = any(_NEGATION.search(" ".join(lead[: end + 1])) for end in range(len(lead)))
            if kind and before not in _DETERMINERS and not negated:
                found.append(kind)
            before = word[0]
        return found

    def _kind_of_word(self, word: str) -> ActionKind | None:
        stems = [word] + [word.removesuffix(end) for end in ("s", "es", "ing", "ed", "d")]
        return next((self._kinds[stem] for stem in stems if stem in self._kinds), None)

    def _retold(self, text: str) -> str:
        if roll := _ROLL.match(text):
            return f"You roll {roll[1]}, and it comes to {roll[2]}."
        sentence = _first_sentence(text)
        if sentence.endswith("?") or not sentence.isascii() or _is_odd(sentence):
            return ""
        words = sentence.split()
        first = words[0].casefold().strip(".!") if words else ""
        if first in ("let's", "lets") and len(words) > 1:
            sentence = f"I {' '.join(words[1:])}"
        elif first in self._kinds and first not in ("hello", "hi", "hail"):
            if _ME.search(sentence):
                return ""
            sentence = f"I {sentence[0].lower()}{sentence[1:]}"
        elif not _FIRST_PERSON.match(sentence) or len(words) < 2:
            return ""
        short = _shortened(sentence.rstrip(".! ,;:-"))
        retold = _CERTAIN.sub(r"You mean to \1", capital(_in_second_person(short)))
        return retold + ("" if short.endswith("…") else ".") if len(short) > 3 else ""


def _first_sentence(text: str) -> str:
    found = _FIRST_SENTENCE.match(text)
    return found[0] if found else text


def _is_odd(sentence: str) -> bool:
    """Whether retelling would fail: “you” or “we” inside, code, or a broken quotation."""
    outside = _QUOTED.sub(" ", sentence)
    return any(pattern.search(outside) for pattern in (_SECOND_PERSON, _PLURAL, _ODD))


def _shortened(sentence: str) -> str:
    if len(sentence) <= MAX_ECHO:
        return sentence
    head = cut_at_word(sentence, MAX_ECHO)
    clause = max(head.rfind(mark) for mark in (", ", " and ", " then ", " while ", " because "))
    if clause > MAX_ECHO // 3 and '"' not in head:
        return head[:clause]
    return head.replace('"', "") + "…"


def _in_second_person(sentence: str) -> str:
    """First person to second, outside quotations; straight quotation marks become curly."""
    pieces = _QUOTED.split(sentence)
    parts = [_swapped(pieces[0])]
    for at in range(1, len(pieces), 3):
        parts.append(f"“{pieces[at] or pieces[at + 1] or ''}”")
        parts.append(_swapped(pieces[at + 2]))
    return "".join(parts)


def _swapped(text: str) -> str:
    text = _I_WAS.sub("you were", text)
    return _WORD.sub(lambda word: _SWAPS.get(word[0].casefold().replace("’", "'"), word[0]), text)


def _quote(text: str) -> str:
    bare = re.sub(r"[\"“”«»„]", "", text).strip()
    if not _WORD.search(bare):
        return ""
    sentence = _first_sentence(bare)
    short = cut_at_word(sentence, MAX_ECHO)
    if len(short) < len(sentence):
        return short + "…"
    return capital(short.rstrip(" .,;:-–—…"))
