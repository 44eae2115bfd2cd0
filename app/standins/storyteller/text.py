"""English text: articles, plurals, sentences, and cleaning text of other people."""

import re
import unicodedata
from itertools import product

from app.core.quotation import quoted_whole

_SENTENCE_END = re.compile(r"(?<=[.!?…])[”’]?\s+")
_SPECIAL = str.maketrans(dict.fromkeys("{}[]<>|\\`", " "))
_CONSONANT_SOUND = ("uni", "eu", "one", "use")


def sentences(text: str) -> list[str]:
    return [sentence for sentence in _SENTENCE_END.split(text) if sentence]


def capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def uncapitalised(text: str) -> str:
    return text[:1].lower() + text[1:]


def with_article(noun: str) -> str:
    low = noun.casefold()
    vowel = low.startswith(tuple("aeiou")) and not low.startswith(_CONSONANT_SOUND)
    return f"{'an' if vowel or low.startswith(('hour', 'honest', 'heir')) else 'a'} {noun}"


def joined(parts: list[str]) -> str:
    """“a”, “a and b”, “a, b and c”."""
    return " and ".join(part for part in (", ".join(parts[:-1]), parts[-1]) if part)


def within(name: str) -> str:
    """A name inside a sentence: its article is not capitalised."""
    return f"the {name[4:]}" if name.startswith("The ") else name


def quote_slots(words: str) -> dict[str, str]:
    """Placeholders for a quotation and the punctuation that follows it."""
    loud = words[-1] in "?!…"
    return {"words": words, "comma": "" if loud else ",", "stop": "" if loud else "."}


def cleaned(text: str, limit: int) -> str:
    """Text of a player or model made fit for a sentence.

    At most `limit` characters on one line, cut at a word; no controls, no invisible characters,
    no brackets.
    """
    kept = "".join(
        " " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char
        for char in text[: 20 * limit].translate(_SPECIAL)
        if unicodedata.category(char) not in ("Cf", "Cs", "Co", "Cn")
    )
    return cut_at_word(" ".join(kept.split()), limit)


def cut_at_word(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    head, space, _ = text[: limit + 1].rpartition(" ")
    # Writing without spaces has no better place to be cut.
    return head.rstrip(" ,;:-–—") if space and len(head) > limit // 2 else text[:limit]


def abridged(text: str, narrative: str) -> str:
    """The text by its ends, "first words…last words", where the narrative has it word for word."""
    words = text.split()
    if text[1:] not in narrative:
        return text
    for head, tail in product(range(2, 6), range(1, 4)):
        short = f"{' '.join(words[:head])}…{' '.join(words[-tail:])}"
        if len(short) < len(text) and quoted_whole(short, narrative) == text:
            return short
    return text
