"""Hints to an operator about a model that its server does not have."""

from __future__ import annotations

import pytest
from app.adapters.openai.hints import hint_for
from app.adapters.openai.refusals import Refusal

UNKNOWN = Refusal(404, "model_not_found", "model 'x' not found")


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("http://127.0.0.1:11434/v1", "`ollama pull qwen3`"),
        ("http://127.0.0.1:1234/v1", "`lms get qwen3`"),
        ("http://127.0.0.1:8000/v1", "`vllm serve qwen3`"),
        ("http://127.0.0.1:8080/v1", "`local-ai models install qwen3`"),
        ("http://127.0.0.1:9000/v1", "check OPENAI_MODEL."),
        ("https://api.openai.com/v1", "check OPENAI_MODEL."),
        ("http://127.0.0.1:port/v1", "check OPENAI_MODEL."),
    ],
)
def test_an_unknown_model_is_fetched_as_its_server_does(address: str, said: str) -> None:
    hint = hint_for(UNKNOWN, address, "chat", "qwen3")
    assert hint is not None
    assert said in hint
    assert "OPENAI_MODEL" in hint
