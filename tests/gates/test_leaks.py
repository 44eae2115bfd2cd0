"""The listener that hears the logs of every test."""

from __future__ import annotations

import pytest

from fakes.model import NARRATIVE
from leaks import Listening, leaks
from passes import SECRET, token
from serving import Served, turn_body

SECRETS = {
    "a token": token(),
    "the secret": SECRET,
    "the key": "sk-test-key",
    "a ticket": f"1790000000.bWFyYQ.{'0a' * 32}",
    "an action": turn_body("")["user_action"],
    "a story": NARRATIVE,
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_forbidden_text_in_the_log_is_detected(secret: str) -> None:
    assert leaks(f'{{"event": "x"}}\n{{"event": "said {secret} aloud"}}\n')
    assert not leaks('{"event": "request", "path": "/turn", "duration_ms": 1790000000.25}\n')


def test_the_logs_of_tests_are_listened_to(
    logs: Listening, service: Served, character: str
) -> None:
    before = logs.lines
    assert service.turn(character).last["type"] == "complete"
    service.wait_for(lambda: logs.lines > before)
