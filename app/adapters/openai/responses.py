"""Parsing the events of Responses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import msgspec

from app.adapters.openai.parsers import (
    ResponseParser,
    cut_off,
    filtered,
    is_document,
    read_usage,
    text_of,
    unusable,
)
from app.core.results import Usage
from app.ports.model import FailureKind, ModelEnd, ModelFailed

_FINAL: Final = frozenset({"final_answer", "final"})


class _Event(msgspec.Struct, gc=False):
    type: str = ""
    delta: Any = None
    output_index: int | None = None
    content_index: int | None = None
    item: Any = None
    part: Any = None
    text: Any = None
    response: Any = None
    error: Any = None
    code: Any = None
    message: Any = None
    detail: Any = None


@dataclass(slots=True)
class _Habits:
    """The use of phases by a model's server: it names them, or sends only null."""

    named: bool = False
    null: bool = False


class ResponsesParser(ResponseParser):
    """Only final messages are text: not reasoning, not commentary, not tool calls.

    A message whose phase may be known later is held until then: one that began with a null phase, or
    with none where the server names phases. `habits` is shared by the answers of one model. A server that
    names a phase only at an item's end is not known before it has done so once, and holding every first
    answer back would cost most servers their first stream: that one answer is taken back, and fails.
    """

    Habits: ClassVar = _Habits
    events = msgspec.json.Decoder(list[_Event])

    def __init__(self, model: str, habits: _Habits | None = None) -> None:
        self._model = model
        self._habits = habits or _Habits()
        self._usage: Usage | None = None
        self._asides: set[int | None] = set()
        self._held: dict[int | None, list[str]] = {}
        self._quiet: set[int | None] = set()  # asides and what is held
        self._streamed: set[int | None] = set()
        self._done: set[tuple[int | None, int | None]] = set()  # parts sent by `…done` events
        self._elsewhere: list[str] = []
        self.finished = False

    def _event(self, fields: Mapping[str, Any]) -> _Event:
        known: dict[str, Any] = {name: fields.get(name) for name in _Event.__struct_fields__}
        known["type"] = str(known["type"] or "")
        return _Event(**known)

    def _read(self, events: Iterable[_Event], deltas: list[str]) -> None:
        shown: Any = ()  # the item of the delta before, if that was text: no item has this index
        for event in events:
            if event.type == "response.output_text.delta":
                if not (delta := event.delta):
                    continue
                if event.output_index == shown:
                    deltas.append(delta)
                elif event.output_index not in self._quiet:
                    self.heard = True
                    shown = event.output_index
                    self._streamed.add(shown)
                    deltas.append(delta)
                else:
                    self.aside += 1
                    if event.output_index in self._held:
                        self._held[event.output_index].append(delta)
                continue
            shown = ()
            if text := self._other(event):
                self.heard = True
                deltas.append(text)
            if self.closed:
                return

    def _other(self, event: _Event) -> str:
        """Everything but text deltas; a text only where none was sent before."""
        match event.type:
            case "response.output_item.added":
                self._begun(event.output_index, event.item)
            case "response.output_text.done":
                return self._part_done(event, event.text)
            case "response.content_part.done":
                return self._part_done(event, text_of(event.part))
            case "response.output_item.done":
                return self._item_done(event.output_index, event.item)
            case "response.refusal.delta" | "response.refusal.done":
                raise unusable("The model refused to answer")
            case "response.completed":
                return self.whole(event.response or {})
            case "response.incomplete":
                return self.whole({"status": "incomplete", **(event.response or {})})
            case "response.failed":
                raise self.error((event.response or {}).get("error"))
            case kind if kind.startswith("response.") and kind.endswith(".delta"):
                self.aside += 1
            case "error":
                raise self.error(event.error or {"code": event.code, "message": event.message})
            case kind if not kind.startswith("response."):
                words = event.error or event.message or event.detail
                if words:
                    known = {"message": event.message or event.detail, "code": event.code}
                    raise self.error(event.error or known)
        return ""

    # -- items ------------------------------------------------------------------------------------

    def _begun(self, index: int | None, item: Any) -> None:
        if not isinstance(item, Mapping) or item.get("type", "message") != "message":
            return
        phase, habits = item.get("phase"), self._habits
        if phase in _FINAL:
            habits.named = True
        elif phase == "commentary":
            habits.named = True
            self._asides.add(index)
            self._quiet.add(index)
        elif habits.named or phase is not None or ("phase" in item and not habits.null):
            self._held[index] = []
            self._quiet.add(index)

    def _part_done(self, event: _Event, text: Any) -> str:
        key = event.output_index, event.content_index
        if key[0] in self._quiet or key[0] in self._streamed or key in self._done:
            return ""
        self._done.add(key)
        return text if isinstance(text, str) else ""

    def _item_done(self, index: int | None, item: Any) -> str:
        if not isinstance(item, Mapping):
            return ""
        if item.get("type", "message") != "message":
            self._keep(item)
            return ""
        phase, held = item.get("phase"), self._held.pop(index, None)
        self._habits.named |= phase is not None
        self._habits.null |= "phase" in item and phase is None
        shown = index in self._streamed or any(known == index for known, _ in self._done)
        if shown and phase == "commentary" and _may_be_a_draft(item):
            raise ModelFailed("The model took back what it had written", FailureKind.RETRACTED)
        if phase == "commentary" or index in self._asides or shown:
            return ""
        self._quiet.discard(index)
        self._streamed.add(index)
        return "".join(held or ()) or _text(item)

    def _keep(self, item: Mapping[str, Any]) -> None:
        """Keep the texts of an item that may turn out to be the answer."""
        if isinstance(arguments := item.get("arguments"), str):
            self._elsewhere.append(arguments)
        if item.get("type") == "reasoning" and isinstance(parts := item.get("content"), list):
            texts = [part.get("text") for part in parts if isinstance(part, Mapping)]
            self._elsewhere.append("".join(text for text in texts if isinstance(text, str)))

    def elsewhere(self) -> str:
        if self.heard:
            return ""
        if held := "".join(text for texts in self._held.values() for text in texts):
            return held
        return next((text for text in self._elsewhere if is_document(text)), "")

    # -- the end ----------------------------------------------------------------------------------

    def whole(self, response: Mapping[str, Any]) -> str:
        """The text of a complete response object, unless text was heard already."""
        status = response.get("status")
        flat = response.get("message") or response.get("detail")
        if error := response.get("error") or ("output" not in response and flat):
            raise self.error(error if response.get("error") else response)
        if status in ("failed", "cancelled"):
            raise self.error({"code": status})
        self._model = response.get("model") or self._model
        if usage := response.get("usage"):
            self._usage = read_usage(usage, "input_tokens", "output_tokens", self._model)
        if status == "incomplete":
            reason = (response.get("incomplete_details") or {}).get("reason")
            raise (filtered if reason == "content_filter" else cut_off)(self._usage)
        text = "" if self.heard else self._output_text(response.get("output") or [])
        self.finished = self.closed = True
        return text

    def _output_text(self, output: Iterable[Mapping[str, Any]]) -> str:
        found: list[str] = []
        for item in output:
            if item.get("type") != "message":
                self._keep(item)
            elif item.get("phase") != "commentary":
                found.append(_text(item))
        return "".join(found) or self.elsewhere()

    def known_end(self) -> ModelEnd:
        return ModelEnd(self._usage, self._model)


def _may_be_a_draft(item: Mapping[str, Any]) -> bool:
    """Prose is none: nobody is shown what stands before a document."""
    text = _text(item)
    return not text or "{" in text


def _text(item: Mapping[str, Any]) -> str:
    parts = item.get("content") or []
    if any(isinstance(part, Mapping) and part.get("type") == "refusal" for part in parts):
        raise unusable("The model refused to answer")
    return text_of(parts)
