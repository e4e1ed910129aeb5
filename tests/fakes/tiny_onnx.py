"""An ONNX detector of a few hundred bytes that sees the same objects in every image.

Written by hand in protobuf's wire format, so that no test needs weights or the `onnx` package.
"""

import struct
from collections.abc import Sequence

FLOAT, TENSOR = 1, 4
OPSET = 13


def _varint(value: int) -> bytes:
    out = b""
    while True:
        value, low = value >> 7, value & 0x7F
        out += bytes([low | (0x80 if value else 0)])
        if not value:
            return out


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(data)) + data


def _value_info(name: str, shape: Sequence[int]) -> bytes:
    dimensions = b"".join(_bytes(1, _number(1, size)) for size in shape)
    tensor = _number(1, FLOAT) + _bytes(2, dimensions)
    return _bytes(1, name) + _bytes(2, _bytes(1, tensor))


def constant_detector(
    output: Sequence[Sequence[float]], *, side: int = 64, names: str = "{0: 'cat', 1: 'dog'}"
) -> bytes:
    """A model from (1, 3, side, side) to (1, *shape of output), whose output is ``output``."""
    rows, columns = len(output), len(output[0])
    raw = b"".join(struct.pack("<f", value) for row in output for value in row)
    sizes = b"".join(_number(1, size) for size in (1, rows, columns))
    tensor = sizes + _number(2, FLOAT) + _bytes(9, raw)
    attribute = _bytes(1, "value") + _bytes(5, tensor) + _number(20, TENSOR)
    node = _bytes(2, "output0") + _bytes(4, "Constant") + _bytes(5, attribute)
    graph = (
        _bytes(1, node)
        + _bytes(2, "constant")
        + _bytes(11, _value_info("images", (1, 3, side, side)))
        + _bytes(12, _value_info("output0", (1, rows, columns)))
    )
    metadata = _bytes(1, "names") + _bytes(2, names)
    opset = _bytes(1, "") + _number(2, OPSET)
    return _number(1, 8) + _bytes(7, graph) + _bytes(8, opset) + _bytes(14, metadata)
