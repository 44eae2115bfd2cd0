"""Every setting: its default, its bounds, and what is said of a bad value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from app.bootstrap import Settings, load_settings
from app.settings import BadSetting

DEFAULTS: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 8080,
    "auth_mode": "off",
    "allow_anonymous": False,
    "allowed_hosts": ("localhost", "127.0.0.1", "[::1]"),
    "allowed_origins": (),
    "journey_log_base_url": None,
    "journey_log_timeout": 30,
    "journey_log_recent_n": 20,
    "journey_log_max_retries": 3,
    "journey_log_retry_delay_base": 0.5,
    "journey_log_retry_delay_max": 10,
    "openai_api_key": None,
    "openai_base_url": None,
    "openai_model": "gpt-5.1",
    "openai_timeout": 60,
    "openai_stub_mode": False,
    "llm_api": "auto",
    "llm_streaming": True,
    "llm_max_retries": 3,
    "max_concurrent_llm_calls": 200,
    "storyteller_tokens_per_second": 40,
    "quest_trigger_prob": 0.3,
    "quest_cooldown_turns": 5,
    "poi_trigger_prob": 0.2,
    "poi_cooldown_turns": 3,
    "memory_spark_probability": 0.2,
    "quest_poi_reference_probability": 0.1,
    "rng_seed": None,
    "poi_memory_spark_enabled": False,
    "poi_memory_spark_count": 3,
    "policy_config_file": None,
    "store_url": "sqlite:///data/dungeon-master.db",
    "max_narrative_bytes": 50_000,
    "turn_events_ttl_seconds": 86_400,
    "turn_storage_ttl_seconds": 3_600,
    "turn_storage_max_size": 10_000,
    "max_streams": 1_000,
    "max_streams_per_client": 20,
    "shutdown_grace_seconds": 30,
    "enable_metrics": True,
    "enable_debug_endpoints": False,
    "admin_endpoints_enabled": False,
    "health_check_journey_log": False,
    "turn_log_sampling_rate": 1,
    "log_level": "INFO",
    "log_json_format": False,
}
BOUNDS: dict[str, tuple[float, float]] = {
    "PORT": (0, 65_535),
    "JOURNEY_LOG_TIMEOUT": (1, 300),
    "JOURNEY_LOG_RECENT_N": (1, 100),
    "JOURNEY_LOG_MAX_RETRIES": (0, 10),
    "JOURNEY_LOG_RETRY_DELAY_BASE": (0.1, 10),
    "JOURNEY_LOG_RETRY_DELAY_MAX": (1, 300),
    "OPENAI_TIMEOUT": (1, 600),
    "LLM_MAX_RETRIES": (0, 10),
    "LLM_RETRY_DELAY_BASE": (0.1, 10),
    "LLM_RETRY_DELAY_MAX": (1, 300),
    "MAX_CONCURRENT_LLM_CALLS": (1, 10_000),
    "QUEST_TRIGGER_PROB": (0, 1),
    "POI_TRIGGER_PROB": (0, 1),
    "MEMORY_SPARK_PROBABILITY": (0, 1),
    "QUEST_POI_REFERENCE_PROBABILITY": (0, 1),
    "POI_MEMORY_SPARK_COUNT": (1, 20),
    "TURN_LOG_SAMPLING_RATE": (0, 1),
    "TURN_STORAGE_TTL_SECONDS": (60, 86_400),
    "TURN_STORAGE_MAX_SIZE": (100, 100_000),
}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", DEFAULTS)
def test_a_setting_has_its_default(name: str) -> None:
    assert getattr(load_settings(), name) == DEFAULTS[name]


@pytest.mark.parametrize("name", BOUNDS)
def test_the_bounds_of_a_setting_are_taken_and_what_is_beyond_is_not(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    low, high = BOUNDS[name]
    for value in (low, high):
        monkeypatch.setenv(name, str(value))
        assert getattr(load_settings(), name.lower()) == value
    for beyond in (low - 1, high + 1):
        monkeypatch.setenv(name, str(beyond))
        with pytest.raises(BadSetting):
            load_settings()


BAD = [
    ("PORT", "eighty"),
    ("AUTH_MODE", "maybe"),
    ("LLM_API", "carrier-pigeon"),
    ("LLM_STREAMING", "perhaps"),
    ("QUEST_TRIGGER_PROB", "nan"),
    ("LOG_LEVEL", "LOUD"),
    ("JOURNEY_LOG_BASE_URL", "ftp://secret-host"),
    ("JOURNEY_LOG_BASE_URL", "secret-host"),
    ("OPENAI_BASE_URL", "http://user:secret@host"),
    ("OPENAI_BASE_URL", "http://host/?key=secret"),
    ("STORE_URL", "sqlite:secret.db"),
    ("STORE_URL", "mysql://secret"),
    ("OPENAI_MODEL", "m" * 201),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_one_line_that_names_the_setting_and_not_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting) as refusal:
        load_settings()
    told = str(refusal.value)
    assert told.startswith(f"{name}: ")
    assert "\n" not in told
    assert value not in told
    assert "secret" not in told


@pytest.mark.parametrize("name", [name for name in DEFAULTS if name != "rng_seed"])
def test_a_blank_setting_has_its_default(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name.upper(), "")
    assert getattr(load_settings(), name) == DEFAULTS[name]


def test_a_file_may_hold_settings_and_the_environment_beats_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("PORT=1234\nOPENAI_MODEL=from-the-file\nUNKNOWN=1\n")
    monkeypatch.setenv("PORT", "4321")
    settings = load_settings()
    assert (settings.port, settings.openai_model) == (4321, "from-the-file")


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "game.example"])
def test_an_open_host_without_authentication_is_refused_unless_it_is_wanted(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HOST", host)
    with pytest.raises(BadSetting) as refusal:
        load_settings()
    assert "HOST" in str(refusal.value)
    assert "ALLOW_ANONYMOUS" in str(refusal.value)
    monkeypatch.setenv("ALLOW_ANONYMOUS", "true")
    assert load_settings().host == host


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "localhost", "::1"])
def test_a_host_on_loopback_is_open_to_nobody_else(
    monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    monkeypatch.setenv("HOST", host)
    assert load_settings().on_loopback


@pytest.mark.parametrize(
    ("key", "base_url", "stub", "offline"),
    [
        ("", "", "", True),
        ("sk-1", "", "", False),
        ("", "http://localhost:1234/v1", "", False),
        ("sk-1", "http://localhost:1234/v1", "1", True),
    ],
)
def test_without_a_key_and_a_base_url_the_storyteller_is_offline(
    monkeypatch: pytest.MonkeyPatch, key: str, base_url: str, stub: str, offline: bool
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", key)
    monkeypatch.setenv("OPENAI_BASE_URL", base_url)
    monkeypatch.setenv("OPENAI_STUB_MODE", stub)
    assert load_settings().offline is offline


@pytest.mark.parametrize(
    ("base_url", "chosen", "api"),
    [
        ("", "auto", "responses"),
        ("https://api.openai.com/v1", "auto", "responses"),
        ("http://localhost:1234/v1", "auto", "chat"),
        ("https://api.openai.com.evil.example/v1", "auto", "chat"),
        ("http://localhost:1234/v1", "responses", "responses"),
        ("", "chat", "chat"),
    ],
)
def test_the_api_follows_the_base_url_unless_it_is_chosen(
    monkeypatch: pytest.MonkeyPatch, base_url: str, chosen: str, api: str
) -> None:
    monkeypatch.setenv("OPENAI_BASE_URL", base_url)
    monkeypatch.setenv("LLM_API", chosen)
    assert load_settings().resolved_llm_api == api


def test_a_secret_is_not_shown() -> None:
    settings = load_settings(openai_api_key="sk-live-hunter2")
    assert "hunter2" not in f"{settings!r} {settings} {settings.model_dump()}"


def test_a_store_needs_a_path() -> None:
    with pytest.raises(BadSetting, match=r"^STORE_URL: "):
        load_settings(store_url="sqlite:///")


def test_lists_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", " a.example ,b.example,, ")
    assert load_settings().allowed_hosts == ("a.example", "b.example")
