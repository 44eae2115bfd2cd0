"""Topics that a table keeps out of its story. One without a word of its own would keep out every text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import Final

# Of several languages, but none that means something by itself in another one of them, as "die", "war" or
# "sin" do: what somebody may have meant is kept out.
_WORDS: Final = """
a about above after against all also although am an and another any are aren't as at be because been
before being between both but by can't cannot could couldn't did didn't do does doesn't doing don't done
each either else even ever every for from further had has have haven't having he her here hers herself
him himself his how however i i'm i've if in instead into is isn't it it's its itself just maybe me must
my myself neither nor not now of often oh ok okay on once only or other others our ours perhaps quite
rather really shall she should since so some such than that that's the their theirs them then there
there's these they they're this those though to too until up upon us very was wasn't we we're were what
whatever what's when where whether which while who whom whose why with within without won't would yes
yet you you're your yours yourself aber als auch auf aus bei das dass dem der des du durch ein eine
einem einen einer eines er es für ich ihm ihn ihr ihre im ist mein mit nach nein nicht noch nur oder
sich sie sind um und uns unser vom von wenn wer wie wir zu zum zur über au aux avec ce ces cet cette
dans de elle elles en est et eux il ils je la le les leur leurs lui mais ne nos notre nous ou où pas que
qui sa ses si sont sur te tes toi tu un une vos votre vous à été être al cuando del el ellos ese eso
esta este esto ha las lo los mi mis muy más ni no o para pero por porque se ser sobre soy su sus también
una unas unos y ya agli ai alla alle anche che chi ci da dal dalla degli dei della delle e gli io l'un
lei loro ma mio nei nel nella non per più quella quello questa questo sono sua suo ti tra uno vi voi è
ao aos com dela dele dos ela elas ele eles em essa esse eu isso mas meu minha na nas nem não nós pela
pelo seu são também tem uma você aan bij dan dat deze dit een geen het hij ik jij maar mij mijn naar
niet nog om onze ook op uit voor waar wat wel wij ze zich zij zijn
"""
_FUNCTION_WORDS: Final = frozenset(_WORDS.split())
_PIECES: Final = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")


def is_topic(text: str) -> bool:
    """Whether it has anything but function words and marks: a picture is something."""
    pieces = _PIECES.findall(unicodedata.normalize("NFKC", text).casefold())
    return any(map(_means_something, pieces))


def topics_of(texts: Iterable[str]) -> tuple[str, ...]:
    """Without those that are none."""
    return tuple(filter(is_topic, texts))


def _means_something(piece: str) -> bool:
    if piece[0].isalnum() or piece[0] == "_":
        return piece.replace("\u2019", "'") not in _FUNCTION_WORDS
    return unicodedata.category(piece) == "So"
