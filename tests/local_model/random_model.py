"""A model with random weights, in the file format of llama.cpp (GGUF, version 3).

It writes nonsense at a thousand tokens a second, which shows what the service does with a server that takes
every form and with a model that follows nothing. The same seed gives the same file.
"""

from __future__ import annotations

import random
import struct
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

CONTEXT: Final = 12_288
"""Tokens; a token is a character or a byte, so that a prompt has as many tokens as bytes."""
_WIDTH, _HEADS, _LAYERS, _INNER = 64, 2, 2, 128
_ALIGNMENT: Final = 32
_UINT32, _INT32, _FLOAT32, _STRING, _ARRAY = 4, 5, 6, 8, 9
_F32_TENSOR: Final = 0
_NORMAL, _UNKNOWN, _CONTROL, _BYTE = 1, 2, 3, 6
_TEMPLATE: Final = (
    "{% for message in messages %}<s>{{ message['role'] }}\n{{ message['content'] }}</s>\n{% endfor %}"
    "{% if add_generation_prompt %}<s>assistant\n{% endif %}"
)
Tensor = tuple[str, tuple[int, ...]]


def write_model(file: Path, seed: int = 7) -> None:
    """Some 600 KB."""
    rng, tensors = random.Random(seed), list(_tensors(len(_tokens())))
    with file.open("wb") as out:
        metadata = list(_metadata())
        out.write(b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata)))
        out.writelines(metadata)
        offset = 0
        for name, shape in tensors:
            out.write(_text(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape))
            out.write(struct.pack("<IQ", _F32_TENSOR, offset))
            offset += _padded(4 * _size(shape))
        out.write(bytes(_padded(out.tell()) - out.tell()))
        for name, shape in tensors:
            weights = array("f", _weights(rng, name, _size(shape))).tobytes()
            out.write(weights + bytes(_padded(len(weights)) - len(weights)))


def _weights(rng: random.Random, name: str, size: int) -> list[float]:
    if name.endswith("norm.weight"):
        return [1.0] * size
    return [rng.gauss(0, 0.1) for _ in range(size)]


def _tensors(words: int) -> Iterator[Tensor]:
    yield "token_embd.weight", (_WIDTH, words)
    yield "output_norm.weight", (_WIDTH,)
    yield "output.weight", (_WIDTH, words)
    for layer in range(_LAYERS):
        for part in ("attn_norm", "ffn_norm"):
            yield f"blk.{layer}.{part}.weight", (_WIDTH,)
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            yield f"blk.{layer}.{part}.weight", (_WIDTH, _WIDTH)
        for part in ("ffn_gate", "ffn_up"):
            yield f"blk.{layer}.{part}.weight", (_WIDTH, _INNER)
        yield f"blk.{layer}.ffn_down.weight", (_INNER, _WIDTH)


def _tokens() -> list[tuple[str, int]]:
    """Three of control, every byte, the printable letters of ASCII, and small letters before a quotation
    mark, without which a string would seldom end; with their kinds."""
    control = [("<unk>", _UNKNOWN), ("<s>", _CONTROL), ("</s>", _CONTROL)]
    every_byte = [(f"<0x{number:02X}>", _BYTE) for number in range(256)]
    letters = [(chr(number), _NORMAL) for number in range(33, 127)]
    ends = [(chr(number) + '"', _NORMAL) for number in range(ord("a"), ord("z") + 1)]
    return [*control, *every_byte, ("▁", _NORMAL), *letters, *ends]


def _metadata() -> Iterator[bytes]:
    tokens = _tokens()
    yield _key("general.architecture", _STRING) + _text("llama")
    yield _key("general.name", _STRING) + _text("random")
    numbers = {
        "context_length": CONTEXT,
        "embedding_length": _WIDTH,
        "block_count": _LAYERS,
        "feed_forward_length": _INNER,
        "attention.head_count": _HEADS,
        "rope.dimension_count": _WIDTH // _HEADS,
    }
    for name, number in numbers.items():
        yield _key(f"llama.{name}", _UINT32) + struct.pack("<I", number)
    epsilon = struct.pack("<f", 1e-5)
    yield _key("llama.attention.layer_norm_rms_epsilon", _FLOAT32) + epsilon
    yield _key("tokenizer.ggml.model", _STRING) + _text("llama")
    yield _list("tokenizer.ggml.tokens", _STRING, [_text(text) for text, _ in tokens])
    scores = [struct.pack("<f", 0.0 if kind == _NORMAL else -1.0) for _, kind in tokens]
    yield _list("tokenizer.ggml.scores", _FLOAT32, scores)
    kinds = [struct.pack("<i", kind) for _, kind in tokens]
    yield _list("tokenizer.ggml.token_type", _INT32, kinds)
    for name, number in {"unknown": 0, "bos": 1, "eos": 2}.items():
        yield _key(f"tokenizer.ggml.{name}_token_id", _UINT32) + struct.pack("<I", number)
    yield _key("tokenizer.chat_template", _STRING) + _text(_TEMPLATE)


def _key(name: str, kind: int) -> bytes:
    return _text(name) + struct.pack("<I", kind)


def _list(name: str, kind: int, values: Sequence[bytes]) -> bytes:
    return _key(name, _ARRAY) + struct.pack("<IQ", kind, len(values)) + b"".join(values)


def _text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def _size(shape: Sequence[int]) -> int:
    total = 1
    for one in shape:
        total *= one
    return total


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT
