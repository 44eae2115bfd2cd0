"""JSON encoding: every value is read back as it was written."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from app.core.encoding import dump, encode
from hypothesis import given
from hypothesis import strategies as st

texts = st.text(st.characters(codec=None, categories=None))  # halves of surrogate pairs, too
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=10,
)


@given(values)
def test_encoded_values_are_read_back(value: Any) -> None:
    assert json.loads(encode(value)) == json.loads(dump(value)) == value


@given(values)
def test_a_dump_is_ascii_on_one_line(value: Any) -> None:
    line = dump(value)
    assert line.isascii()
    assert "\n" not in line


def test_a_dump_escapes_as_json_does() -> None:
    assert dump({"a": "é\u2028\U0001f409"}) == '{"a":"\\u00e9\\u2028\\ud83d\\udc09"}'


def test_no_spaces_are_written() -> None:
    assert encode({"a": [1, 2]}) == b'{"a":[1,2]}'
    assert encode({"a": [1, 2**70]}) == b'{"a":[1,1180591620717411303424]}'


@pytest.mark.parametrize("value", [object(), {"a": object()}])
def test_values_without_a_json_form_are_refused(value: object) -> None:
    with pytest.raises(TypeError):
        encode(value)


@pytest.mark.parametrize("beside", ["", "é", "\ud800"])
def test_a_time_is_written_in_iso_8601(beside: str) -> None:
    value = json.loads(dump([datetime(2026, 1, 2, tzinfo=UTC), beside]))
    assert value == ["2026-01-02T00:00:00Z", beside]
