"""Opening words of empty sentences of assistants: about themselves, or about the message they answer.

The rule: a sentence at the start of an answer is dropped whole where it begins with one of these words;
the next sentence is then at the start. Nothing behind the first sentence that stays is ever dropped,
nor is a part of a sentence, nor what stands in quotation marks or code. The lists are short on purpose,
since persons of a story speak of themselves, too: `Let me show you`, `I have received a letter from the
king` and `My role is to guard this gate` are conversation.

Compared are letters in lower case, with straight apostrophes and single spaces.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from enum import Enum, auto
from typing import Final


class Opening(Enum):
    """The kind of a sentence, by its first words."""

    BOILERPLATE = auto()
    CONVERSATION = auto()
    UNDECIDED = auto()


def _each(*parts: str) -> list[str]:
    """All sentences of `a|b` parts, each one of its alternatives."""
    phrases = [""]
    for part in parts:
        phrases = [head + tail for head in phrases for tail in part.split("|")]
    return phrases


_LEAD: Final = (
    "|okay, |ok, |okay, so |okay so |ok, so |ok so |alright, |alright so |so, |so |well, |hmm, "
)
_FIRST: Final = "|first, |first |next, |next |then, |then |maybe |okay, |so "

RULES: Final[Mapping[str, tuple[str, ...]]] = {
    "en": (
        *_each(
            _LEAD, "the user |this user |the viewer ", "says|said|is saying|asks|asked|is asking"
        ),
        *_each(_LEAD, "the user |this user ", "wants|sent|has sent|has asked|just|greeted|greets"),
        *_each(_LEAD, "the user |this user ", "mentioned|wrote|is greeting|seems to|needs me"),
        *_each(
            _LEAD,
            "i |i've |i have |we |we have ",
            "just |",
            "received a |received the |got a new ",
            "message|question|greeting|prompt|query|request from",
        ),
        *_each(_FIRST, "i should |i need to |i have to ", "respond|reply"),
        *_each(
            _FIRST,
            "i should |i need to |i have to ",
            "answer |acknowledge |address |greet |figure out what |mention to ",
            "the user|their question|their message|the question|the message|this question|them",
        ),
        *_each(_FIRST, "i should |i need to ", "start by |start with a ", "greeting|friendly|warm"),
        *_each(_FIRST, "i should |i need to ", "start by ", "responding|answering|acknowledging"),
        *_each("maybe ", "start with a|respond with a|address the user"),
        *_each(
            _LEAD,
            "let me |let's ",
            "think about how to|think about what the user|think step|break this down",
        ),
        *_each("as a|as an|as the|as your", " ai| language model| large language model"),
        *_each("as a|as an|as the", " assistant,| virtual assistant| digital assistant"),
        *_each("as an artificial intelligence|as a text-based ai"),
        *_each("i'm |i am |i'm just |i am just ", "an ai |a large |a ", "language model"),
        *_each("i'm |i am ", "sorry, |sorry, but ", "as an ai|as a language model"),
        *_each(
            "my role is to |my task is to |my job is to ",
            "help|assist|respond|answer|provide|reply",
        ),
        *_each("my role as ", "an ai|an assistant|a co-host|the co-host"),
        *_each(
            "i don't have |i do not have |i can't have ",
            "feelings,|feelings.|feelings or|feelings like|feelings as|emotions,|emotions.|emotions or",
        ),
        *_each(
            "i don't have |i do not have |i can't have ",
            "personal |",
            "opinions|preferences|beliefs|feelings or|experiences like",
        ),
    ),
    "de": (
        *_each(
            "okay, |ok, |also, |gut, |", "der nutzer |die nutzerin |der benutzer ", "fragt|sagt"
        ),
        *_each(
            "okay, |ok, |also, |", "der nutzer |der benutzer ", "möchte|schreibt|hat gefragt|will"
        ),
        *_each("als |als eine ", "ki|künstliche intelligenz|sprachmodell|ki-assistent"),
        *_each("als ein |als großes ", "sprachmodell|ki-modell"),
        *_each("ich sollte |ich muss ", "antworten|darauf eingehen|kurz antworten"),
        *_each("ich habe keine ", "eigenen |persönlichen ", "gefühle|meinungen|erfahrungen"),
        *_each("ich habe keine ", "gefühle,|gefühle.|gefühle oder|gefühle wie|meinungen"),
    ),
    "fr": (
        *_each("bon, |d'accord, |alors, |", "l'utilisateur |l'utilisatrice ", "demande|dit|veut"),
        *_each("l'utilisateur ", "a demandé|a envoyé|souhaite|me demande"),
        *_each("en tant qu'", "ia|intelligence artificielle|assistant,|assistant virtuel"),
        *_each("en tant que ", "modèle de langage|grand modèle de langage|assistant,"),
        *_each("je dois |je devrais ", "répondre|commencer par saluer"),
    ),
    "es": (
        *_each("bien, |vale, |bueno, |", "el usuario |la usuaria ", "pregunta|dice|quiere|pide"),
        *_each("el usuario ", "ha preguntado|ha enviado|me pregunta"),
        *_each("como ", "ia|una ia|inteligencia artificial|modelo de lenguaje|asistente de ia"),
        *_each("como un ", "modelo de lenguaje|asistente de ia"),
        *_each("debo |debería |tengo que ", "responder|empezar por saludar"),
    ),
    "it": (
        *_each("ok, |allora, |bene, |", "l'utente ", "chiede|dice|vuole|ha chiesto|ha inviato"),
        *_each("come |in quanto |essendo un'", "ia|intelligenza artificiale|modello linguistico"),
        *_each("devo |dovrei ", "rispondere|iniziare con un saluto"),
    ),
    "pt": (
        *_each("ok, |bem, |certo, |", "o usuário |o utilizador ", "pergunta|diz|quer|perguntou"),
        *_each("como ", "uma ia|ia|inteligência artificial|modelo de linguagem"),
        *_each("como um ", "modelo de linguagem|assistente de ia"),
        *_each("devo |preciso ", "responder|começar por cumprimentar"),
    ),
    "nl": (
        *_each("oké, |ok, |", "de gebruiker ", "vraagt|zegt|wil|heeft gevraagd"),
        *_each("als ", "ai|een ai|taalmodel|een taalmodel|kunstmatige intelligentie"),
        *_each("ik moet |ik zou ", "antwoorden|moeten antwoorden|beginnen met een groet"),
    ),
}
"""The beginnings by language; they are tried all, since a model may answer in any."""

_PHRASES: Final = sorted({phrase for phrases in RULES.values() for phrase in phrases})
_LENGTHS: Final = sorted({len(phrase) for phrase in _PHRASES})
_KNOWN: Final = frozenset(_PHRASES)
LONGEST: Final = _LENGTHS[-1]
_SPACES = re.compile(r"\s+")


def opening_of(text: str, *, final: bool = False) -> Opening:
    """The kind of the sentence that begins with `text`. `final`: no more of it comes."""
    read = _SPACES.sub(" ", text[: LONGEST * 2].replace("’", "'").lower())
    for length in _LENGTHS:
        if length > len(read):
            break
        if read[:length] in _KNOWN:
            following = read[length : length + 1]
            if following and not following.isalnum():
                return Opening.BOILERPLATE
            if not following and final:
                return Opening.BOILERPLATE
    at = bisect_left(_PHRASES, read)
    begun = at < len(_PHRASES) and _PHRASES[at].startswith(read)
    return Opening.UNDECIDED if begun and not final else Opening.CONVERSATION
