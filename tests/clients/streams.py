"""Streams of the recorded turns and of any legal ones, for `schemas.mjs`: JSON lines on the output."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from app.core.events import Entry  # noqa: E402
from app.web.dialects.ag_ui import AG_UI  # noqa: E402
from app.web.dialects.ai_sdk import AI_SDK  # noqa: E402
from app.web.dialects.dialect import Message, Rendering  # noqa: E402

from logs_of_turns import CHARACTER, RECORDED, TURN, legal_logs  # noqa: E402


def show(log: Sequence[Entry]) -> None:
    """One line for each dialect and version of its protocol."""
    for dialect, protocol in ((AG_UI, None), (AG_UI, "1.0"), (AI_SDK, None)):
        begun = {"character_id": CHARACTER, "protocol": protocol}
        folded = Rendering[object](dialect, TURN, 0, begun).messages(log)  # type: ignore[arg-type]
        messages = [json.loads(one.data) for one in folded if isinstance(one, Message)]
        print(json.dumps({"dialect": dialect.name, "messages": messages}))


def main() -> None:
    for log in RECORDED.values():
        show(log)
    seed(7)(
        settings(
            max_examples=300,
            phases=[Phase.generate],
            deadline=None,
            suppress_health_check=list(HealthCheck),
        )(given(legal_logs)(show))
    )()


if __name__ == "__main__":
    main()
