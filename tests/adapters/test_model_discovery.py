"""The model of a server that no setting names."""

from __future__ import annotations

import json
import ssl
from typing import Any

import pytest
from app.adapters.openai.listing import ServerModel, read_models
from app.bootstrap import load_settings
from app.bootstrap.discovery import with_discovered_model
from app.settings import BadSetting

from fakes.model import MODEL, FakeModel
from fakes.server import Connection, FakeServer, Request, to_json
from serving import Served

TLS = ssl.create_default_context()

LISTS: dict[str, tuple[Any, list[ServerModel]]] = {
    "ollama": (
        {
            "object": "list",
            "data": [{"id": "llama3.1:latest", "object": "model", "owned_by": "library"}],
        },
        [ServerModel("llama3.1:latest")],
    ),
    "vllm": (
        {"data": [{"id": "Qwen/Qwen3-8B", "owned_by": "vllm", "max_model_len": 40960}]},
        [ServerModel("Qwen/Qwen3-8B", 40960)],
    ),
    "llama.cpp": (
        {
            "models": [{"name": "smollm2.gguf"}],
            "data": [{"id": "smollm2.gguf", "meta": {"n_ctx": 8192, "n_ctx_train": 8192}}],
        },
        [ServerModel("smollm2.gguf", 8192)],
    ),
    "lm studio": (
        {
            "data": [
                {"id": "gemma-3-4b", "type": "llm", "loaded_context_length": 4096},
                {"id": "nomic-text", "type": "embeddings"},
            ]
        },
        [ServerModel("gemma-3-4b", 4096)],
    ),
    "several": (
        {"data": [{"id": "a"}, {"id": "b"}, {"id": "a"}]},
        [ServerModel("a"), ServerModel("b")],
    ),
    "embeddings": ({"data": [{"id": "nomic-embed-text"}]}, []),
    "strange": (
        {"data": [7, {"id": 5}, {"id": " "}, {"object": "x"}, {"id": "a", "meta": 3}]},
        [ServerModel("a")],
    ),
    "tiny context": ({"data": [{"id": "a", "max_model_len": 12}]}, [ServerModel("a")]),
    "no list": ({"error": "no"}, []),
    "text": ("no", []),
    "null": (None, []),
}


@pytest.mark.parametrize("name", LISTS)
def test_lists_of_servers_are_read_in_their_own_form(name: str) -> None:
    listed, models = LISTS[name]
    assert read_models(json.loads(json.dumps(listed))) == models


class Listing(FakeServer):
    """Answers every GET with its list."""

    def __init__(self, listed: bytes, status: int = 200) -> None:
        super().__init__()
        self._listed, self._status = listed, status

    async def respond(self, request: Request, connection: Connection) -> None:
        connection.reply(self._status, self._listed)


def discovered(server: FakeServer, **settings: Any) -> dict[str, Any]:
    known = load_settings(
        _env_file=None, openai_base_url=f"{server.url}/v1", openai_api_key="sk-x", **settings
    )
    return with_discovered_model(known, TLS)


def test_the_only_model_is_taken_with_its_context() -> None:
    listed, _ = LISTS["vllm"]
    with Listing(to_json(listed)) as server:
        assert discovered(server) == {"openai_model": "Qwen/Qwen3-8B", "llm_context_tokens": 40960}
        assert discovered(server, llm_context_tokens=9_000)["llm_context_tokens"] == 9_000
        assert discovered(server, openai_model="mine") == {}
        (first, _) = server.requests
        assert (first.method, first.path) == ("GET", "/v1/models")
        assert first.headers["authorization"] == "Bearer sk-x"


def test_several_models_stop_the_start_and_are_named() -> None:
    with (
        Listing(to_json(LISTS["several"][0])) as server,
        pytest.raises(BadSetting, match=r"^OPENAI_MODEL: .*: a, b$"),
    ):
        discovered(server)


@pytest.mark.parametrize(
    ("body", "status"), [(b"{}", 200), (b"<html>", 200), (b"{}", 404), (b"", 500)]
)
def test_without_a_list_the_usual_name_is_sent(body: bytes, status: int) -> None:
    with Listing(body, status) as server:
        assert discovered(server) == {}


def test_nobody_is_asked_without_a_base_url_or_when_it_cannot_be_reached() -> None:
    assert with_discovered_model(load_settings(_env_file=None, openai_api_key="sk-x"), TLS) == {}
    gone = load_settings(_env_file=None, openai_base_url="http://127.0.0.1:9/v1")
    assert with_discovered_model(gone, TLS) == {}


def test_the_service_plays_with_the_model_it_found(tmp_path: Any, model: FakeModel) -> None:
    settings: dict[str, Any] = {
        "store_url": f"sqlite:///{tmp_path}/store.db",
        "openai_base_url": model.base_url,
        "openai_model": None,
    }
    with Served(**settings) as service:
        assert service.call("GET", "/health").json()["model"] == MODEL
        service.call("POST", "/chat", {"username": "ann", "message": "hi"})
        assert model.calls[-1]["model"] == MODEL
