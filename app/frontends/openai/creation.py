"""A character from the first words of a chat."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from app.core.text import has_visible

MAX_FIELD: Final = 64
MAX_WORDS: Final = 5  # of a name, a race or a class that carries no label
MAX_SPOKEN: Final = 10_000  # characters of a message that are looked at
FIELDS: Final = ("name", "race", "class")
_LABEL: Final = r"[^\w\n]{0,8}(name|race|class|adventure)[^\w\n]{0,4}[:=]"
_NEXT: Final = _LABEL.replace("(", "(?:", 1)
_LABELLED: Final = re.compile(rf"(?im)(?:^|[,;]){_LABEL}[^\w\n]{{0,8}}(.+?)(?=$|[,;]{_NEXT})")
_GREETING: Final = re.compile(
    r"(?i)^(?:hi|hello|hey|greetings|good (?:morning|day|afternoon|evening))(?: there)?[\s,.;!]+"
)
_INTRODUCTION: Final = re.compile(r"(?i)^(?:i am|i['’]m|my name is|call me)\s+")
_BETWEEN: Final = re.compile(r"[,;\n]|\s[/|–—-]\s")
_SENTENCE: Final = re.compile(r"[.!]\s")
_ARTICLE: Final = re.compile(r"(?i)^an?\s+")


class Sheet(NamedTuple):
    """`wish`: how the story is to begin. `complete_at`: place of the message that filled the last
    field; None while one is missing."""

    name: str = ""
    race: str = ""
    class_name: str = ""
    wish: str = ""
    complete_at: int | None = None

    @property
    def missing(self) -> list[str]:
        return [name for name, value in zip(FIELDS, self[:3], strict=True) if not value]


def sheet_from(messages: Sequence[str]) -> Sheet:
    """From what the player said, oldest first: `name, race, class, adventure` in one line or more, or
    lines such as `Race: elf`. Later messages fill what is missing."""
    known: dict[str, str] = {}
    for place, text in enumerate(messages):
        _fill(known, text[:MAX_SPOKEN], asked=place > 0)
        if all(name in known for name in FIELDS):
            return _sheet(known, place)
    return _sheet(known, None)


def _sheet(known: dict[str, str], complete_at: int | None) -> Sheet:
    name, race, class_name, wish = (known.get(one, "") for one in (*FIELDS, "adventure"))
    return Sheet(name, race, class_name, wish, complete_at)


def _fill(known: dict[str, str], text: str, *, asked: bool) -> None:
    """`asked`: the player was asked for it. Otherwise one word, or a question, may be a greeting."""
    labelled = _LABELLED.findall(text)
    for name, value in labelled:
        if _fits(name.lower(), value.strip()):
            known.setdefault(name.lower(), value.strip())
    parts = _parts(_GREETING.sub("", text))
    if labelled or any("?" in part for part in parts[:3]) or (len(parts) == 1 and not asked):
        return
    for part in filter(has_visible, _spoken(parts) if not known else parts):
        name = next((one for one in FIELDS if one not in known), "adventure")
        if not _fits(name, part):
            return  # nobody can say what those behind it are
        known.setdefault(name, part)


def _parts(text: str) -> list[str]:
    """Up to four; sentences only where the player introduces the character in some."""
    parts = _BETWEEN.split(text, maxsplit=3)
    if len(parts) == 1 and _INTRODUCTION.match(text):
        parts = _SENTENCE.split(text, maxsplit=3)
    return [part.strip() for part in parts]


def _spoken(parts: list[str]) -> list[str]:
    """ "I am Maren, a human ranger" as name, race and class: the last word is the class."""
    name, race, rest = _INTRODUCTION.sub("", parts[0]), parts[1:2], parts[2:]
    words = _ARTICLE.sub("", _INTRODUCTION.sub("", race[0])).split() if race else []
    if not rest and 2 <= len(words) <= MAX_WORDS:
        return [name, " ".join(words[:-1]), words[-1].rstrip(".!")]
    return [name, *(_ARTICLE.sub("", part) for part in race), *rest]


def _fits(name: str, value: str) -> bool:
    return name == "adventure" or (len(value) <= MAX_FIELD and len(value.split()) <= MAX_WORDS)


def question(missing: Sequence[str]) -> str:
    """The question to the player for missing details."""
    if len(missing) == len(FIELDS):
        return (
            "Who are you? Tell me name, race and class in one line, separated by commas, and after "
            "them, if you like, how the story begins: `Maren Ashdown, human, ranger, a lighthouse "
            "burns black`."
        )
    return f"And your {' and '.join(missing)}?"
