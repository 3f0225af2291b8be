"""Our safetensors files are the library's, byte for byte; damaged ones are refused, and never read beyond their end."""

import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save
from torch import Tensor

from model.tensor_file import encode, load

TENSORS = {
    "두 번째": torch.randn(3, 70),
    "a.half": torch.randn(5).bfloat16(),
    "steps": torch.arange(9),
    "one": torch.tensor(2.5),
    "mask": torch.tensor([True, False, True]),
    "none": torch.empty(0, 4),
    "b.half": torch.randn(3).half(),
    "bytes": torch.arange(7, dtype=torch.uint8),
}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        tensor.dtype == other[name].dtype and torch.equal(tensor, other[name]) for name, tensor in one.items()
    )


def test_the_library_writes_the_same_bytes_and_reads_ours(tmp_path: Path) -> None:
    ours = encode(TENSORS)
    assert ours == save(TENSORS, {"format": "pt"})
    (tmp_path / "ours").write_bytes(ours)
    assert same(load_file(tmp_path / "ours"), TENSORS)
    assert same(load(tmp_path / "ours"), TENSORS)


def test_a_tensor_that_is_no_continuous_memory_is_written_as_it_reads(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(encode({"turned": TENSORS["두 번째"].T}))
    assert torch.equal(load(tmp_path / "file")["turned"], TENSORS["두 번째"].T)


@settings(deadline=None, max_examples=300)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 300))
def test_a_damaged_file_is_refused_or_read_as_the_library_reads_it(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int, cut: int
) -> None:
    data = bytearray(encode(TENSORS))
    data[place % len(data)] = byte
    path = tmp_path_factory.getbasetemp() / "damaged"
    path.write_bytes(data[: len(data) - cut])
    try:
        found = load(path)
    except ValueError:
        return
    expected = load_file(path)
    assert {name: (tensor.dtype, tensor.shape) for name, tensor in found.items()} == {
        name: (tensor.dtype, tensor.shape) for name, tensor in expected.items()
    }


def of(header: object, data: bytes = bytes(8)) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


ENTRY = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"torch",
        struct.pack("<Q", 2**63),
        of([]),
        of({"a": None}),
        of({"a": {**ENTRY, "shape": [2**62]}}),
        of({"a": {**ENTRY, "shape": [-2]}}),
        of({"a": {**ENTRY, "shape": [True, 2]}}),
        of({"a": {**ENTRY, "shape": [2.0]}}),
        of({"a": {**ENTRY, "dtype": "F128"}}),
        of({"a": {**ENTRY, "data_offsets": [8, 0]}}),
        of({"a": {**ENTRY, "data_offsets": [0, 8, 9]}}),
        of({"a": {**ENTRY, "data_offsets": [4, 12]}}, bytes(12)),  # a gap
        of({"a": ENTRY, "b": ENTRY}),  # an overlap
        of({"a": ENTRY}, bytes(9)),
        of({"a": ENTRY}, bytes(7)),
        of(f'{{"a": {json.dumps(ENTRY)}, "a": {json.dumps(ENTRY)}}}'.encode()),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, file: bytes) -> None:
    (tmp_path / "file").write_bytes(file)
    with pytest.raises(ValueError):  # noqa: PT011 of json as well as ours
        load(tmp_path / "file")
