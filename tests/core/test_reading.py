"""Answers as models really write them: which document counts, and what of it players see and when."""

from __future__ import annotations

import json

import pytest
from app.core.narrative import NarrativeBuffer
from app.core.outcome import InvalidOutcome, parse_outcome
from app.core.prose import SpoiledNarrative
from documents import DRAFT, THOUGHT_MARKS
from hypothesis import given
from hypothesis import strategies as st

FINAL = '{"narrative": "The door opens.", "intents": {"meta": {"player_mood": "calm"}}}'
STORY = "The door opens."


def shown(text: str, size: int = 1) -> str:
    buffer = NarrativeBuffer()
    return "".join(buffer.feed(text[at : at + size]) for at in range(0, len(text), size))


AT_ONCE = {
    "plain": FINAL,
    "fence": f"```json\n{FINAL}\n```",
    "fence without a language": f"```\n{FINAL}\n```",
    "blank lines": f"\n\n {FINAL}\n\n",
    "byte order mark": f"\ufeff{FINAL}",
    "list around": f"[{FINAL}]",
    "list in a fence": f"```json\n[\n{FINAL}\n]\n```",
    "answer tag": f"<answer>\n{FINAL}\n</answer>",
    "output tag": f"<output>{FINAL}</output>",
    "template tokens": f"<|start_header_id|>assistant<|end_header_id|>\n\n{FINAL}<|eot_id|>",
    "end of text": f"{FINAL}</s>",
    "empty thought": f"<think>\n\n</think>\n\n{FINAL}",
    "self-closed thought": f"<think/>{FINAL}",
    "lone end of thought": f"</think>\n{FINAL}",
    "harmony final only": f"<|channel|>final<|message|>{FINAL}<|return|>",
    "full-width bars": f"<\uff5cbegin\u2581of\u2581thinking\uff5c>{DRAFT}"
    f"<\uff5cend\u2581of\u2581thinking\uff5c>{FINAL}",
    "two thoughts": f"<think>a</think><think>{DRAFT}</think>{FINAL}",
    "nested thoughts": f"<think>a<think>b</think>{DRAFT}</think>{FINAL}",
    "brace in a thought": f"<think>a {{ b</think>{FINAL}",
    "chatter behind": f"{FINAL}\n\nShall we go on? {{yes}} <think>",
    "blanks behind": FINAL + "\n" * 500,
    "trailing comma": '{"narrative": "The door opens.", "intents": {"meta": {"player_mood": "calm",},},}',
    "comment": '{\n// what "they" read\n"narrative": "The door opens.", /* {"} */ "intents": {}}',
    "hash comment": '{ # {"narrative": "no"}\n"narrative": "The door opens.", "intents": {}}',
    "missing last brace": FINAL[:-1],
    "missing last brace in a fence": f"```json\n{FINAL[:-1]}\n```",
    "missing comma": '{"narrative": "The door opens." "intents": {}}',
    "bare keys": '{narrative_note: 1, "narrative": "The door opens.", intents: {}}',
    "literals of Python": '{"narrative": "The door opens.", "intents": {"poi_intent": None}}',
    "intents first": '{"intents": {"meta": {"player_mood": "calm"}}, "narrative": "The door opens."}',
    "thought inside": '{"narrative": "<think>{\\"a\\": 1}</think>The door opens.", "intents": {}}',
    "escaped thought inside": '{"narrative": "The \\u003cthink\\u003eno</think>door opens.",'
    ' "intents": {}}',
    "thought inside that never ends": '{"narrative": "The door opens.<think>and", "intents": {}}',
    "encoded twice": json.dumps({"narrative": FINAL, "intents": {}}),
    "encoded twice in a list": json.dumps({"narrative": f"[{FINAL}]", "intents": {}}),
    "encoded twice in a list in a fence": json.dumps(
        {"narrative": f"```json\n[\n{FINAL}]\n```", "intents": {}}
    ),
    "intents encoded once more": json.dumps({"narrative": STORY, "intents": '{"meta": null}'}),
    "encoded twice in a fence": json.dumps({"narrative": f"```json\n{FINAL}\n```", "intents": {}}),
}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 100_000])
@pytest.mark.parametrize("name", list(AT_ONCE))
def test_answer_with_a_known_beginning_is_shown_while_it_streams(name: str, size: int) -> None:
    text = AT_ONCE[name]
    assert shown(text, size) == STORY
    assert parse_outcome(text).narrative == STORY


AT_THE_END = {
    "prose before": f"Sure, here it is:\n{FINAL}",
    "braces in the prose": f"I use {{x}} and {{y: 1}}. {FINAL}",
    "brace as the first character": f"{{x}} is the plan. {FINAL}",
    "another document before": f'{{"thoughts": "I plan {{"}} {FINAL}',
    "unopened thought": f"So a plan, {DRAFT} </think> {FINAL}",
    "unopened thought of another name": f"So a plan, {DRAFT} </my_plan>\n{FINAL}",
    "unopened bracket": f"Plan: {DRAFT} [/THINK] {FINAL}",
    "unopened diamond": f"Plan: {DRAFT} \u25c1/think\u25b7 {FINAL}",
    "unknown tag": f"<foo_bar>{DRAFT}</foo_bar>{FINAL}",
    "opened twice, ended once": f"<think>a <think>b {DRAFT}</think>{FINAL}",
    "draft and final": f"Draft: {DRAFT}\nFinal: {FINAL}",
    "harmony without its tokens": f"analysisWe plan {DRAFT}assistantfinal{FINAL}",
    "prose, then a thought": f"Hm. <think>{DRAFT}</think> {FINAL}",
    "tags of HTML in the story": 'Here: {"narrative": "The <i>door</i> opens.", "intents": {}}',
    "envelope": f'{{"outcome": {FINAL}}}',
    "envelope of an envelope": f'{{"response": {{"outcome": {FINAL}}}}}',
    "envelope with a string": json.dumps({"result": FINAL}),
    "a tool's call as text": f'<tool_call>{{"name": "outcome", "arguments": {FINAL}}}</tool_call>',
    "a tool's call with encoded arguments": json.dumps({"name": "tell", "parameters": FINAL}),
    "thoughts beside": f'{{"thinking": {{"narrative": "draft"}}, "status": 1, "response": {FINAL}}}',
    "keys in another case": '{"Narrative": "The door opens.", "INTENTS": {}}',
    "thoughts in a fence": f"```thinking\n{DRAFT}\n```\n{FINAL}",
    "thoughts in a fence, prose": f"```reasoning\nA plan: {DRAFT}\n```\nSo:\n```json\n{FINAL}\n```",
    "a draft in a fence behind prose": f"Hm.\n```draft\n{DRAFT}\n```\n{FINAL}",
    "single quotes": "{'narrative': 'The door opens.', 'intents': {}}",
    "quoted": json.dumps(FINAL),
    "missing last brace": f"Sure: {FINAL[:-1]}",
}


@pytest.mark.parametrize("name", list(AT_THE_END))
def test_answer_with_an_unknown_beginning_is_read_at_its_end(name: str) -> None:
    text = AT_THE_END[name]
    assert shown(text) == ""
    assert parse_outcome(text).narrative in (STORY, "The <i>door</i> opens.")


NEVER = {
    "only a draft": f"So a plan, {DRAFT} </think>",
    "a thought that never ends": f"<think>maybe {DRAFT}",
    "prose and a thought that never ends": f"Sure! <think>maybe {DRAFT}",
    "an unknown tag around all": f"<foo_bar>{DRAFT}</foo_bar>",
    "only analysis": f"<|channel|>analysis<|message|>{DRAFT}<|end|>",
    "analysis without its tokens": f"analysisWe plan {DRAFT}",
    "a draft in a fence": f"```thinking\n{DRAFT}\n```",
    "a fence of thoughts that never ends": f"```thoughts\n{DRAFT}",
    "a draft under its name": f'{{"draft": {DRAFT}}}',
    "two documents side by side": f'{{"a": {DRAFT}, "b": {FINAL}}}',
    "no document": "The door opens.",
    "a string": '"The door opens."',
    "another document": '{"story": "The door opens."}',
    "blank": '{"narrative": " \\n\\u00a0", "intents": {}}',
    "zero width": '{"narrative": "\\u200b\\u2060", "intents": {}}',
    "NUL": '{"narrative": "\\u0000", "intents": {}}',
    "blank letters": '{"narrative": "\\u3164\\u2800", "intents": {}}',
    "a document as the narrative": json.dumps({"narrative": '{"a": "b"}', "intents": {}}),
    "encoded three times": json.dumps(
        {"narrative": json.dumps({"narrative": FINAL, "intents": {}}), "intents": {}}
    ),
    "no intents": '{"narrative": "x"}',
}


@pytest.mark.parametrize("name", list(NEVER))
def test_answer_that_may_be_a_draft_is_refused_and_nothing_is_shown(name: str) -> None:
    with pytest.raises(InvalidOutcome):
        parse_outcome(NEVER[name])
    if name not in ("no intents", "encoded three times"):
        assert shown(NEVER[name]) == ""


@pytest.mark.parametrize("end", sorted({end for _, end in THOUGHT_MARKS}))
def test_an_end_of_reasoning_inside_the_narrative_spoils_it(end: str) -> None:
    text = json.dumps({"narrative": f"A plan. {end}The door opens.", "intents": {}})
    with pytest.raises(SpoiledNarrative):
        shown(text)
    with pytest.raises(InvalidOutcome):
        parse_outcome(text)


@pytest.mark.parametrize(
    "prose",
    [
        'She whispers "run" and goes.',
        '"Halt", he says.',
        'He said "Halt!".',
        "The sign [closed] hangs < 3 feet up.",
        "<b>Boom</b> & <i>hush</i> [2] [/2] <3",
        "{The inscription is worn}",
        "a <",
        "[",
        "He picks <left> or [right]: think!",
    ],
)
def test_prose_with_quotes_and_brackets_is_shown_as_it_is(prose: str) -> None:
    careless = f'{{"narrative": "{prose}", "intents": {{"meta": {{"player_mood": "x"}}}}}}'
    for text in (careless, json.dumps({"narrative": prose, "intents": {}})):
        assert shown(text) == prose
        assert parse_outcome(text).narrative == prose


@pytest.mark.parametrize("name", [name for name in AT_ONCE if "missing last" not in name])
def test_the_closed_document_is_the_answer(name: str) -> None:
    buffer = NarrativeBuffer()
    text = AT_ONCE[name]
    end = next(at for at in range(len(text)) if buffer.feed(text[at]) is not None and buffer.closed)
    assert parse_outcome(text[: end + 1]).narrative == STORY


@given(st.sampled_from([*AT_ONCE.values(), *AT_THE_END.values(), *NEVER.values()]), st.data())
def test_no_character_of_a_draft_is_shown_wherever_the_answer_is_cut(
    text: str, data: st.DataObject
) -> None:
    part = text[: data.draw(st.integers(0, len(text)))]
    assert "draft" not in shown(part, data.draw(st.integers(1, 9)))
