"""safetensors files: named tensors behind a JSON header. The library has no wheel for Android, so phones need this.

The format is https://github.com/huggingface/safetensors#format: eight bytes of header length (little-endian), the
header, then the tensors without gaps. What `encode` writes equals what the library writes, byte for byte.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

# In the order in which the library writes them: the widest first, so that every tensor is aligned.
_NAMES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
_ORDER = {dtype: number for number, dtype in enumerate(_NAMES)}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}
_LENGTH = struct.Struct("<Q")
_MAX_HEADER_BYTES = 100_000_000  # as in the library
_ALIGNMENT = 8
_METADATA = "__metadata__"


def encode(tensors: Mapping[str, Tensor]) -> bytes:
    """The file of these tensors, of any device and layout."""
    header: dict[str, object] = {_METADATA: {"format": "pt"}}
    parts: list[bytes | memoryview] = []
    end = 0
    for name, tensor in sorted(tensors.items(), key=lambda item: (_ORDER[item[1].dtype], item[0])):
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data
        header[name] = {
            "dtype": _NAMES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [end, end + data.nbytes],
        }
        parts.append(data)
        end += data.nbytes
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % _ALIGNMENT)
    return b"".join([_LENGTH.pack(len(text)), text, *parts])


def load(path: Path) -> dict[str, Tensor]:
    """The tensors of a file, on the CPU. Raises OSError, and ValueError for anything but a whole safetensors file."""
    with open(path, "rb") as file:
        start = file.read(_LENGTH.size)
        length = _LENGTH.unpack(start)[0] if len(start) == _LENGTH.size else _MAX_HEADER_BYTES + 1
        if length > _MAX_HEADER_BYTES:
            raise ValueError("it has no header")
        header = json.loads(file.read(length), object_pairs_hook=_without_duplicates)
        data = bytearray(file.read())  # the tensors share it
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    header.pop(_METADATA, None)
    return _tensors(header, data)


def _tensors(header: Mapping[str, object], data: bytearray) -> dict[str, Tensor]:
    """Each byte belongs to one tensor: files with gaps or overlaps are refused, as in the library."""
    found = {}
    end = 0
    for name, (dtype, shape, begin, stop) in sorted(_entries(header), key=lambda entry: entry[1][2:]):
        num_bytes = math.prod(shape) * dtype.itemsize
        if begin != end or stop - begin != num_bytes or stop > len(data):
            raise ValueError(f"the bytes of {name:.60} are not where they belong")
        found[name] = (
            torch.frombuffer(data, dtype=dtype, count=math.prod(shape), offset=begin).reshape(shape)
            if num_bytes  # frombuffer refuses an empty part
            else torch.empty(shape, dtype=dtype)
        )
        end = stop
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes belong to no tensor")
    return found


def _entries(header: Mapping[str, object]) -> list[tuple[str, tuple[torch.dtype, list[int], int, int]]]:
    found = []
    for name, entry in header.items():
        match entry:
            case {"dtype": str(dtype), "shape": [*shape], "data_offsets": [begin, stop]} if dtype in _DTYPES:
                numbers = [*shape, begin, stop]
                if all(type(number) is int and number >= 0 for number in numbers):
                    found.append((name, (_DTYPES[dtype], shape, begin, stop)))
                    continue
        raise ValueError(f"it does not describe {name:.60} well")
    return found


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("two entries of its header have one name")
    return found
