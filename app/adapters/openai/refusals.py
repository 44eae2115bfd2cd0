"""Reading the refusals of model servers, in whatever form they are worded.

Nothing here is shown to clients but a status, a code of letters and a hint of our own.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any, Final

MAX_WORDS: Final = 2_000

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_ECHO = re.compile(r"input_value=.*", re.DOTALL)  # pydantic repeats the request
_NUMBER = re.compile(r"(?<![\w.-])\d{1,9}(?![\w-]|\.\d)")
_CONTEXT_CODES: Final = ("context_length_exceeded", "exceed_context_size_error")
_CONTEXT = re.compile(
    r"context[ _-]?(length|size|window|limit)|maximum context|n_ctx|too many (input |prompt )?tokens"
    r"|(prompt|input|request) (is |was )?too (long|large)|reduce the length"
    r"|input token count|maximum (prompt|input|sequence) length|exceeds? .{0,40}\btokens?\b",
    re.IGNORECASE,
)
_RATE = re.compile(r"per[ _-]?(min|minute|day|hour)\b|\b[rt]pm\b|rate.?limit", re.IGNORECASE)
_WINDOW = re.compile(
    r"(?:context (?:length|size|window|limit)|maximum context|n_ctx)\D{0,40}?(\d{3,9})"
    r"|(\d{3,9})[- ]tokens? context|exceeds? .{0,40}?(\d{3,9}) tokens",
    re.IGNORECASE,
)
_PROMPT = re.compile(
    r"(\d{2,9}) (?:tokens? )?in (?:the|your) (?:messages|prompt|input)|(\d{2,9}) (?:input|prompt) tokens"
    r"|(?:n_prompt_tokens|prompt_tokens)\D{0,5}(\d{2,9})|\((\d{2,9}) tokens\)"
    r"|requested (?:tokens )?\(?(\d{2,9})",
    re.IGNORECASE,
)
_UNKNOWN_FIELD = re.compile(
    r"unsupported|unknown|unrecogni[sz]ed|not supported|not permitted|unexpected|extra (field|input)"
    r"|not allowed|instead",
    re.IGNORECASE,
)
_UNKNOWN_MODEL = re.compile(
    r"model[^.]{0,120}(not found|does ?n.t exist|does not exist|not exist|is not (available|loaded))"
    r"|(no such|unknown|invalid) model|not a valid model|no models? loaded",
    re.IGNORECASE | re.DOTALL,
)
_UNKNOWN_MODEL_CODES: Final = ("model_not_found", "DeploymentNotFound", "invalid_model")
_NO_PATH = re.compile(
    r"^\s*<|^(error: )?(404 )?(page )?not found\.?$|no such route|cannot (post|get) /|invalid url|no route",
    re.IGNORECASE,
)
_WAIT = re.compile(
    r"(?:retry|try again) (?:in|after) (?:(\d{1,4})m)?(\d{1,6}(?:\.\d{1,9})?)(ms|s)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """`status` is None for an error inside an answer that began with 200. `words`: the server's own."""

    status: int | None
    code: str | None
    words: str
    retry_after: float | None = None

    @property
    def exhausted(self) -> bool:
        """Whether the account has nothing left, which no waiting mends."""
        return self.code == "insufficient_quota" or self.status == 402

    @property
    def unknown_model(self) -> bool:
        if self.code in _UNKNOWN_MODEL_CODES:
            return True
        return self.status in (None, 400, 404, 422) and bool(_UNKNOWN_MODEL.search(self.words))

    @property
    def no_such_path(self) -> bool:
        """A 404 of the web server and not of the model's: nothing names what is missing."""
        return self.status in (404, 405) and (not self.words or bool(_NO_PATH.search(self.words)))

    @property
    def context_full(self) -> bool:
        if self.code in _CONTEXT_CODES:
            return True
        if self.status in (401, 403, 408, 429) or _RATE.search(self.words):
            return False
        return bool(_CONTEXT.search(self.words))

    @property
    def window(self) -> int | None:
        """The context window in tokens, where it is named."""
        return _first_number(_WINDOW, self.words)

    @property
    def prompt_tokens(self) -> int | None:
        """The length of the prompt in tokens that the refusal names; None where it names none."""
        return _first_number(_PROMPT, self.words)

    def bound_for(self, name: str, bound: int) -> int | None:
        """The bound on output tokens to send instead of `bound`, which was sent as `name`: 0 for none
        at all; None where the refusal is not about its value."""
        words = self.words.lower()
        if name not in words and "max_tokens" not in words and "in the completion" not in words:
            return None
        if _CONTEXT.search(words):
            # what is left of the window depends on each prompt; a small bound fits behind a shorter one
            return None if bound <= (self.window or 0) // 4 else 0
        lower = [int(found) for found in _NUMBER.findall(words) if 0 < int(found) < bound]
        if lower:
            return max(lower)
        return None if _UNKNOWN_FIELD.search(words) else 0


def read_refusal(
    status: int | None, body: Any, headers: Mapping[str, str] | None = None
) -> Refusal:
    """`body`: the error as it was decoded, or text."""
    error = _error_object(body)
    words = _words(error, body)
    return Refusal(status, _code(error), words, _retry_after(error, words, headers or {}))


def _error_object(body: Any) -> Mapping[str, Any]:
    if isinstance(body, list) and body:
        body = body[0]
    if not isinstance(body, Mapping):
        return {"message": body} if isinstance(body, str) else {}
    inner = body.get("error")
    if isinstance(inner, str):
        return {**body, "message": inner}
    return inner if isinstance(inner, Mapping) else body


def _words(error: Mapping[str, Any], body: Any) -> str:
    parts = [error.get(name) for name in ("message", "msg", "detail", "error_description")]
    said = [_sentence(part) for part in parts if part]
    named = [
        f"{name} {error[name]}" for name in ("param", "n_ctx", "n_prompt_tokens") if error.get(name)
    ]
    if not said and not named:
        said = [str(body)] if body else []
    return _ECHO.sub("", " ".join([*said, *named]))[:MAX_WORDS].strip()


def _sentence(part: Any) -> str:
    """A message, or FastAPI's list of them, which repeats the request beside them."""
    if isinstance(part, list):
        return "; ".join(_sentence(row) for row in part[:20])
    if isinstance(part, Mapping):
        where = part.get("loc")
        path = ".".join(map(str, where)) if isinstance(where, (list, tuple)) else ""
        return f"{path} {part.get('msg') or part.get('message') or ''}".strip()
    return str(part)


def _code(error: Mapping[str, Any]) -> str | None:
    for name in ("code", "type", "status"):
        found = error.get(name)
        if isinstance(found, str) and _CODE.fullmatch(found):
            return found
    return None


def _first_number(pattern: re.Pattern[str], words: str) -> int | None:
    found = pattern.search(words)
    return int(next(filter(None, found.groups()))) if found else None


# -- when to come again ---------------------------------------------------------------------------


def _retry_after(error: Mapping[str, Any], words: str, headers: Mapping[str, str]) -> float | None:
    """Seconds."""
    for seconds in (
        _number(headers.get("retry-after-ms"), 1000),
        _number(headers.get("retry-after"), 1),
        _date(headers.get("retry-after")),
        _retry_info(error),
        _in_words(words),
    ):
        if seconds is not None:
            return max(0.0, seconds)
    return None


def _number(value: str | None, unit: float) -> float | None:
    try:
        seconds = float(value or "") / unit
    except ValueError:
        return None
    return seconds if abs(seconds) < 1e9 else None  # neither nan nor inf


def _date(value: str | None) -> float | None:
    try:
        return parsedate_to_datetime(value or "").timestamp() - time.time()
    except (ValueError, TypeError, OverflowError):
        return None


def _retry_info(error: Mapping[str, Any]) -> float | None:
    """Google's `google.rpc.RetryInfo`."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        delay = detail.get("retryDelay") if isinstance(detail, Mapping) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return _number(delay[:-1], 1)
        if isinstance(delay, Mapping):
            return _number(str(delay.get("seconds", "")), 1)
    return None


def _in_words(words: str) -> float | None:
    found = _WAIT.search(words)
    if found is None:
        return None
    minutes, amount, unit = found.groups()
    return int(minutes or 0) * 60 + float(amount) / (1000 if unit.lower() == "ms" else 1)
