""".env.example lists every setting, with the default and the range it really has."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from app.bootstrap import Settings, load_settings

EXAMPLE = Path(__file__).parent.parent / ".env.example"
_SETTING = re.compile(r"# ([A-Z][A-Z0-9_]*)=(.*)")
_LIMITS = {"minimum", "maximum", "minLength", "maxLength"}


@cache
def listed() -> dict[str, tuple[str, str]]:
    """(value, comment above it) by setting."""
    found: dict[str, tuple[str, str]] = {}
    comment: list[str] = []
    for line in EXAMPLE.read_text("utf-8").splitlines():
        setting = _SETTING.fullmatch(line)
        if setting is None:
            comment = [*comment, line] if line else []
            continue
        assert setting[1] not in found, f"{setting[1]} is listed twice"
        found[setting[1]] = (setting[2], " ".join(comment))
        comment = []
    return found


def limits(schema: dict[str, Any]) -> list[float]:
    """The bounds of a field, also of one that may be unset."""
    forms = [schema, *schema.get("anyOf", [])]
    return [value for form in forms for name, value in form.items() if name in _LIMITS]


def test_every_setting_is_listed_and_nothing_else() -> None:
    assert set(listed()) == {name.upper() for name in Settings.model_fields}


def test_a_plain_copy_changes_nothing() -> None:
    lines = EXAMPLE.read_text("utf-8").splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == []


def test_the_values_listed_are_the_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    copy = tmp_path / ".env"
    copy.write_text("".join(f"{name}={value}\n" for name, (value, _) in listed().items()))
    assert load_settings(_env_file=copy) == load_settings(_env_file=None)


def test_only_settings_without_a_default_are_left_blank() -> None:
    blank = {name.lower() for name, (value, _) in listed().items() if not value}
    unset = {name for name, field in Settings.model_fields.items() if field.default in (None, ())}
    assert blank == unset


@cache
def schemas() -> dict[str, Any]:
    """Of each setting."""
    found: dict[str, Any] = Settings.model_json_schema()["properties"]
    return found


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_comment_of_a_setting_names_its_bounds(name: str) -> None:
    comment = listed()[name.upper()][1]
    stated = {float(number) for number in re.findall(r"(?<![\w.])\d+(?:\.\d+)?", comment)}
    assert set(limits(schemas()[name])) <= stated
