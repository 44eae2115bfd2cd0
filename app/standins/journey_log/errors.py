"""
Refusals of the contract.

Refused        error body A: raised by a rule of the service
SchemaInvalid  error body B: the query, the headers or the body do not fit their schema
"""

from typing import Any

from pydantic import ValidationError

ErrorRow = dict[str, Any]


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class SchemaInvalid(Exception):
    """`errors` holds rows of `loc`, `msg`, `type` and perhaps `ctx`, all of them JSON."""

    def __init__(self, errors: list[ErrorRow]) -> None:
        super().__init__(f"{len(errors)} schema errors")
        self.errors = errors


def schema_rows(place: str, invalid: ValidationError) -> list[ErrorRow]:
    found = invalid.errors(include_url=False, include_input=False)
    return [_row(place, dict(error)) for error in found]


def _row(place: str, error: ErrorRow) -> ErrorRow:
    row = {"loc": [place, *error["loc"]], "msg": error["msg"], "type": error["type"]}
    if "ctx" in error:
        # A validator of ours puts the exception itself here, which is not JSON.
        row["ctx"] = {key: _plain(value) for key, value in error["ctx"].items()}
    return row


def _plain(value: object) -> object:
    return value if isinstance(value, str | int | float | None) else str(value)
