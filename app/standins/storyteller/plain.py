"""Answers to prompts that are no scene: deterministic, and in the shape that their schema asks for."""

import json
import random
from collections.abc import Mapping
from typing import Any

from app.core.messages import Prompt
from app.standins.storyteller.library import library


def plain_answer(prompt: Prompt, seed: str) -> str:
    """The same text for the same messages, schema and seed."""
    rng = random.Random(json.dumps([seed, prompt.messages]))
    if prompt.schema is None:
        return " ".join(rng.sample(library().phrases["plain.sentences"], 3))
    return json.dumps(_value(prompt.schema.schema, rng), ensure_ascii=False)


def _value(schema: Mapping[str, Any], rng: random.Random) -> Any:
    if "enum" in schema:
        return rng.choice(schema["enum"])
    if "anyOf" in schema:
        return _value(schema["anyOf"][0], rng)
    kind = schema.get("type", "string")
    match kind[0] if isinstance(kind, list) else kind:
        case "object":
            return {name: _value(part, rng) for name, part in schema["properties"].items()}
        case "array":
            return [_value(schema["items"], rng) for _ in range(max(schema.get("minItems", 2), 1))]
        case "integer":
            return rng.randint(schema.get("minimum", 1), schema.get("maximum", 10))
        case "number":
            return round(rng.uniform(schema.get("minimum", 0), schema.get("maximum", 1)), 2)
        case "boolean":
            return rng.random() < 0.5
        case "null":
            return None
        case _:
            phrases = library().phrases
            return (
                f"{rng.choice(phrases['plain.sentences'])} ({rng.choice(phrases['plain.words'])})"
            )
