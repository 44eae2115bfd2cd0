"""Every setting: its default, its bounds, and what is said of a bad value."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from app.bootstrap import Settings, load_settings, unknown_names
from app.settings import BadSetting

DEFAULTS: dict[str, Any] = {
    "host": "127.0.0.1",
    "port": 8080,
    "auth_mode": "off",
    "allow_anonymous": False,
    "allowed_hosts": ("localhost", "127.0.0.1", "[::1]"),
    "allowed_origins": (),
    "dialect_stop": "ignore",
    "journey_log_base_url": None,
    "journey_log_timeout": 30,
    "journey_log_recent_n": 20,
    "journey_log_max_retries": 3,
    "journey_log_retry_delay_base": 0.5,
    "journey_log_retry_delay_max": 10,
    "openai_api_key": None,
    "openai_base_url": None,
    "openai_model": None,
    "openai_timeout": 60,
    "llm_idle_timeout": 30,
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
    "LLM_IDLE_TIMEOUT": (1, 600),
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
def test_values_at_the_bounds_of_a_setting_are_accepted_and_others_refused(
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
    ("HOST", "http://secret"),
    ("HOST", "secret:8080"),
    ("HOST", "a secret"),
    ("ALLOWED_HOSTS", "https://secret"),
    ("ALLOWED_HOSTS", "game.example,secret:8080"),
    ("ALLOWED_HOSTS", "*.secret"),
    ("ALLOWED_HOSTS", "secret/path"),
    ("ALLOWED_HOSTS", "häuser.secret"),
    ("ALLOWED_HOSTS", " , "),
    ("ALLOWED_ORIGINS", "secret"),
    ("ALLOWED_ORIGINS", "secret.example:3000"),
    ("ALLOWED_ORIGINS", "https://secret/path"),
    ("ALLOWED_ORIGINS", "https://a.example,https://*.secret"),
    ("ALLOWED_ORIGINS", "https://user@secret"),
    ("ALLOWED_ORIGINS", "https://secret:port"),
    ("ALLOWED_ORIGINS", "https://secret:70000"),
    ("ALLOWED_ORIGINS", "wss://secret"),
    ("ALLOWED_ORIGINS", "https://sécret.example"),
    ("JOURNEY_LOG_BASE_URL", "http://secret:70000"),
    ("JOURNEY_LOG_BASE_URL", "http://[secret"),
    ("JOURNEY_LOG_BASE_URL", "http://secret/a path"),
]


@pytest.mark.parametrize(("name", "value"), BAD)
def test_a_bad_value_is_one_line_that_names_the_setting_and_not_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting) as refusal:
        load_settings()
    message = str(refusal.value)
    assert message.startswith(f"{name}: ")
    assert "\n" not in message
    assert value not in message
    assert "secret" not in message


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "eighty", "PORT: must be a whole number from 0 to 65535"),
        ("PORT", "1.5", "PORT: must be a whole number from 0 to 65535"),
        ("PORT", "70000", "PORT: must be a whole number from 0 to 65535"),
        ("QUEST_TRIGGER_PROB", "nan", "QUEST_TRIGGER_PROB: must be a number from 0 to 1"),
        ("JOURNEY_LOG_RETRY_DELAY_BASE", "0", "must be a number from 0.1 to 10"),
        ("TOKENS_PER_USER_PER_DAY", "-1", "must be a whole number of at least 0"),
        ("STORE_MAX_BYTES", "1", "must be a whole number of at least 10000000"),
        ("LLM_STREAMING", "perhaps", "LLM_STREAMING: must be true or false"),
        ("LLM_API", "pigeon", "LLM_API: must be one of auto, responses, chat"),
        ("LOG_LEVEL", "LOUD", "must be one of DEBUG, INFO, WARNING, ERROR, CRITICAL"),
        ("OPENAI_MODEL", "m" * 201, "OPENAI_MODEL: must be text of 1 to 200 characters"),
        ("JWT_SECRET", "short", "JWT_SECRET: must be text of at least 32 characters"),
        ("LLM_CONTEXT_TOKENS", "7", "must be a whole number from 1000 to 100000000"),
    ],
)
def test_message_states_the_valid_values(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, message: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(BadSetting, match=re.escape(message)):
        load_settings()


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_no_setting_s_message_is_pydantic_s(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for value in ("\x7f", "-1e999", "x" * 300, "[1"):
        monkeypatch.setenv(name.upper(), value)
        try:
            load_settings()
        except BadSetting as refusal:
            message = str(refusal)
            assert message.startswith((f"{name.upper()}: must ", "HOST: AUTH_MODE=off ")), message
            assert "nput" not in message


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("https://Game.Example/", "https://game.example"),
        ("https://game.example:443", "https://game.example"),
        ("http://game.example:80", "http://game.example"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://[0:0::1]:3000", "http://[::1]:3000"),
        ("chrome-extension://abcdefgh", "chrome-extension://abcdefgh"),
        ("capacitor://localhost", "capacitor://localhost"),
        ("null", "null"),
        ("*", "*"),
    ],
)
def test_origins_are_kept_as_browsers_send_them(
    monkeypatch: pytest.MonkeyPatch, given: str, kept: str
) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", given)
    assert load_settings().allowed_origins == (kept,)


@pytest.mark.parametrize(
    ("given", "kept"),
    [("Game.Example", "game.example"), ("::1", "[::1]"), ("[0::1]", "[::1]"), ("*", "*")],
)
def test_hosts_are_kept_as_clients_name_them(
    monkeypatch: pytest.MonkeyPatch, given: str, kept: str
) -> None:
    monkeypatch.setenv("ALLOWED_HOSTS", given)
    assert load_settings().allowed_hosts == (kept,)


@pytest.mark.parametrize(
    ("written", "nearest"),
    [
        ("OPENAI_BASEURL", "OPENAI_BASE_URL"),
        ("AUTHMODE", "AUTH_MODE"),
        ("ALLOWED_ORIGIN", "ALLOWED_ORIGINS"),
        ("STORE_URI", "STORE_URL"),
        ("LLM_STREAM", "LLM_STREAMING"),
        ("TZ", None),
    ],
)
def test_an_unknown_name_in_the_file_is_found_with_its_nearest_setting(
    tmp_path: Path, written: str, nearest: str | None
) -> None:
    (tmp_path / ".env").write_text(f"PORT=1\n# NO=1\nexport {written}='x'\n")
    assert unknown_names() == [(written, nearest)]


def test_a_name_in_the_environment_is_found_only_next_to_one_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_BASEURL", "x")
    monkeypatch.setenv("HOSTNAME", "x")
    monkeypatch.setenv("OPENAI_API_TYPE", "x")
    assert unknown_names() == [("OPENAI_BASEURL", "OPENAI_BASE_URL")]


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
