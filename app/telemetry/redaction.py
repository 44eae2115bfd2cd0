"""Redaction of log lines: control characters and secrets.

Both functions are pure and linear in the length of the text, also for hostile text.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

HIDDEN: Final = "***"
# Longer text is cut before anything else looks at it.
MAX_SCANNED: Final = 8_192
SHORT: Final = 64  # characters up to which what became of a text is remembered

_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}[@-~]"  # CSI: colours, cursor movement
    r"|\x1b\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)"  # OSC: window titles, links
    r"|\x1b[@-Z\\-_]"
)


def sanitize_for_log(value: object, limit: int = 200) -> str:
    """`value` as one printable line of at most `limit` characters, cut with `…`.

    Line and paragraph separators become spaces. Control, format (bidi, zero-width), unassigned and
    surrogate code points become U+FFFD; whole ANSI sequences vanish.
    """
    return _cut(printable(_text(value)), limit)


def safe_text(value: object, limit: int = 200) -> str:
    """Sanitised, then without secrets, then cut: a cut secret could not be recognised."""
    text = value if type(value) is str else _text(value)
    safe = _safe_short(text) if len(text) <= SHORT else _safe(text)
    return safe if len(safe) <= limit else _cut(safe, limit)


def _safe(text: str) -> str:
    return redact_secrets(printable(_scannable(text)))


# Ids, phases and logger names come again and again, several times in every turn.
_safe_short = lru_cache(maxsize=4_096)(_safe)


def printable(text: str) -> str:
    if text.isprintable():
        return text
    return "".join(_printable(char) for char in _ANSI.sub("", text))


def _printable(char: str) -> str:
    if char.isprintable():
        return char
    return " " if char.isspace() else "\ufffd"


def _text(value: object) -> str:
    try:
        return str(value)
    except Exception:  # a broken __str__ must not cost the log line
        return f"<{type(value).__name__}>"


def _scannable(text: str) -> str:
    if len(text) <= MAX_SCANNED:
        return text
    # Without its last word, which may be the first half of a secret.
    return text[:MAX_SCANNED].rpartition(" ")[0] + "…"


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: max(limit - 1, 0)] + "…"


# -- secrets --------------------------------------------------------------------------------------

_I = re.IGNORECASE
# Every pattern below needs one of these; most values have none and are done here. It looks at
# small letters: with IGNORECASE it would take ten times as long. That is left to texts in which other
# letters than ASCII's may count as one of them.
_SIGNS = (
    r"sk-|rk-|pk-|eyj|bearer|basic|authori[sz]ation|key|token|secret|pass|pwd|credential|signature"
    r"|cookie|jwt|session|://|gh[pousr]_|xox|akia|aiza|gsk_|hf_|glpat-|whsec_"
)
_SUSPICIOUS, _SUSPICIOUS_ANYWAY = re.compile(_SIGNS), re.compile(_SIGNS, _I)
_NAMES = (
    r"key|token|secret|password|passwd|passphrase|pwd|credentials?|signature|cookie|jwt"
    r"|session[_-]?id|authori[sz]ation"
)
_VALUE = (
    r"\\\"[^\"\\]{0,2000}\\\""  # \"…\": JSON inside a JSON string
    r"|\"(?:[^\"\\]|\\.){0,2000}\""
    r"|'(?:[^'\\]|\\.){0,2000}'"
    r"|[^\s&]+"
)
_PATTERNS: Final = (
    # user:pass@ in a URL; a password may hold an unescaped slash, but then host:port is no user
    (re.compile(r"://[^\s/:@?#]{0,256}:(?!\d{1,5}(?:[/\s]|$))[^\s\"'<>]{1,512}@"), "://***@"),
    (re.compile(r"://[^\s/?#\"'<>]{1,512}@"), "://***@"),
    (re.compile(r"\b(bearer)[\s:=]{1,8}[^\s\"',]+", _I), r"\1 ***"),
    (re.compile(r"\b(basic)\s{1,8}[A-Za-z0-9+/=_-]{8,}", _I), r"\1 ***"),
    (
        re.compile(r"(authori[sz]ation)[^A-Za-z0-9]{1,12}(?:b['\"])?[A-Za-z0-9+/=_.~-]{12,}", _I),
        r"\1 ***",
    ),
    (re.compile(r"(?<![A-Za-z0-9])(sk|rk|pk)-[A-Za-z0-9_*.-]{6,}", _I), r"\1-***"),
    (
        re.compile(
            r"(?<![A-Za-z0-9])(gh[pousr]_|xox[abeprs]-|AKIA|AIza|gsk_|hf_|glpat-|whsec_)"
            r"[A-Za-z0-9_-]{10,}"
        ),
        r"\1***",
    ),
    (re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*){1,4}"), HIDDEN),
    (
        re.compile(rf"({_NAMES})([\\\"']{{0,3}}\s{{0,3}}[=:]\s{{0,3}})(?:{_VALUE})", _I),
        r"\1\2***",
    ),
)
_SECRET_FIELD = re.compile(
    r"(?:^|_)(?:authori[sz]ation|password|passwd|secret|api_?key|token|cookies?|jwt|credentials?)$",
    _I,
)


def redact_secrets(text: str) -> str:
    """`text` with API keys, tokens, passwords and credentials in URLs replaced by `***`.

    It rather hides too much: `key:` in prose hides the word behind it.
    """
    plain = text.isascii()
    if (_SUSPICIOUS.search(text.lower()) if plain else _SUSPICIOUS_ANYWAY.search(text)) is None:
        return text
    for pattern, replacement in _PATTERNS:
        text = pattern.sub(replacement, text)
    return text


def names_a_secret(field: str) -> bool:
    """Whether a field of this name holds a secret, whatever its value looks like."""
    return _SECRET_FIELD.search(field.replace("-", "_")) is not None
