"""Hints for an operator whose model server refuses."""

from __future__ import annotations

from typing import Final
from urllib.parse import quote, urlsplit

from app.adapters.openai.refusals import Refusal

_QUOTE = 24  # characters of a prompt that a complaint may not repeat
_PIECE = 8  # characters of a key


def hint_for(refusal: Refusal, base_url: str, api: str, model: str = "MODEL") -> str | None:
    """One sentence naming the setting; None where no setting helps."""
    status = refusal.status
    if refusal.exhausted:
        return "The account behind OPENAI_API_KEY has no quota left."
    if status in (401, 403):
        return "The model server refused the key; check OPENAI_API_KEY and OPENAI_BASE_URL."
    if refusal.context_full:
        return (
            "The context is full: give the model server a larger one, "
            "or use a model with one in OPENAI_MODEL."
        )
    if refusal.unknown_model:
        getting = how_to_get(base_url, model)
        return f"The model server does not know this model: check OPENAI_MODEL{getting}."
    if status in (404, 405):
        return _address_hint(base_url, api)
    if status is not None and 300 <= status < 400:
        return "The model server redirects: OPENAI_BASE_URL must be its final address."
    if status in (400, 415, 422, 500):
        return (
            "The model server refuses the request in every form; its words are in the log "
            "(model_refused)."
        )
    return None


_GETTING: Final = {
    11434: ", or fetch it with `ollama pull {0}`",
    1234: ", or fetch and load it in LM Studio (`lms get {0}`, `lms load {0}`)",
    8000: ", or start the server with it (vLLM: `vllm serve {0}`)",
    8080: ", or install it (LocalAI: `local-ai models install {0}`)",
}
"""By the server's default port."""


def how_to_get(base_url: str, model: str) -> str:
    """The rest of a sentence: how a server of that kind comes to have the model; empty where its port does
    not show the kind."""
    try:
        return _GETTING.get(urlsplit(base_url).port or 0, "").format(model)
    except ValueError:  # the port is no number
        return ""


def _address_hint(base_url: str, api: str) -> str:
    if not urlsplit(base_url).path.rstrip("/"):
        return "There is no such address at the model server: OPENAI_BASE_URL mostly ends in /v1."
    if api == "responses":
        return "There is no such address at the model server: set LLM_API=chat, or check OPENAI_BASE_URL."
    return "There is no such address at the model server: check OPENAI_BASE_URL and OPENAI_MODEL."


def complaint_for_log(words: str, key: str, asked: str) -> str:
    """A server's words without the key and without what they repeat of the prompt."""
    said = _without(_without(words, key), quote(key, safe=""))[:500]
    for at in range(0, max(len(said) - _QUOTE + 1, 0)):
        if said[at : at + _QUOTE] in asked:
            return said[:at] + "…"
    return said


def _without(words: str, secret: str) -> str:
    """Without the secret and its longer parts: servers mask a key, cut it or drop its prefix."""
    size = min(len(secret), _PIECE)
    if size <= 4:
        return words
    pieces = {secret[at : at + size] for at in range(len(secret) - size + 1)}
    kept, at = list[str](), 0
    while at < len(words):
        end = at + size
        if words[at:end] not in pieces:
            kept.append(words[at])
            at += 1
            continue
        while words[end + 1 - size : end + 1] in pieces:
            end += 1
        kept.append("***")
        at = end
    return "".join(kept)
