"""A message becomes bytes and comes back the same; any other bytes are refused."""

import dataclasses
import json
import typing
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.codec import Envelope, correlation_of, decode, encode
from cellmind_agent.protocol.errors import ProtocolError, VersionMismatchError
from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.limits import MAX_FRAME_BYTES, PROTOCOL_VERSION
from tests.protocol.examples import EXAMPLES

GOLDEN = Path(__file__).parent / "golden.json"


def test_every_message_type_has_an_example() -> None:
    assert set(EXAMPLES) == set(m.MESSAGE_TYPES)


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_message_survives_the_wire(name: str) -> None:
    envelope = Envelope(kind="request", correlation=7, message=EXAMPLES[name])
    assert decode(encode(envelope)) == envelope


def test_a_message_prints_as_the_call_that_makes_it() -> None:
    assert repr(m.StopRun(run=RunId("run-1"))) == "StopRun(run='run-1')"
    assert repr(m.Figure(value=1.5, source="run")) == "Figure(value=1.5, source='run')"


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_bytes_on_the_wire_are_the_golden_ones(name: str) -> None:
    golden = json.loads(GOLDEN.read_text())
    envelope = Envelope(kind="request", correlation=7, message=EXAMPLES[name])
    assert encode(envelope).hex() == golden[name]
    assert decode(bytes.fromhex(golden[name])) == envelope


@given(st.binary(max_size=300))
def test_any_bytes_are_a_message_or_a_protocol_error(data: bytes) -> None:
    try:
        decode(data)
    except ProtocolError:
        pass


@given(st.recursive(st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text() | st.binary(), st.lists))
def test_any_msgpack_is_a_message_or_a_protocol_error(plain: object) -> None:
    data = msgpack.packb([PROTOCOL_VERSION, 0, 1, "Hello", plain])
    with pytest.raises(ProtocolError):
        decode(data)


@given(st.sampled_from(sorted(EXAMPLES)), st.data())
def test_a_damaged_message_is_refused_or_another_message(name: str, draw: st.DataObject) -> None:
    data = bytearray(encode(Envelope(kind="request", correlation=7, message=EXAMPLES[name])))
    place = draw.draw(st.integers(0, len(data) - 1))
    data[place] ^= draw.draw(st.integers(1, 255))
    try:
        decode(bytes(data))
    except ProtocolError:
        pass


def test_another_version_is_refused_as_such() -> None:
    data = msgpack.packb([PROTOCOL_VERSION + 1, "all else", "may differ"])
    with pytest.raises(VersionMismatchError, match=f"speaks protocol {PROTOCOL_VERSION + 1}"):
        decode(data)


def test_correlation_of_a_refused_message_is_found() -> None:
    assert correlation_of(msgpack.packb([PROTOCOL_VERSION + 1, 0, 42, "New", {}])) == 42
    assert correlation_of(b"\xff\xff") is None


def test_unknown_fields_of_a_newer_peer_are_ignored() -> None:
    data = msgpack.packb([PROTOCOL_VERSION, 0, 1, "StopRun", {"run": "run-1", "reason": "new in version 9"}])
    assert decode(data).message == m.StopRun(run=typing.cast("m.RunId", "run-1"))


@pytest.mark.parametrize("fields", [{}, {"run": 5}, {"run": None}, [], "run"])
def test_missing_or_mistyped_fields_are_refused(fields: object) -> None:
    with pytest.raises(ProtocolError):
        decode(msgpack.packb([PROTOCOL_VERSION, 0, 1, "StopRun", fields]))


def test_a_blob_name_that_is_a_path_is_refused() -> None:
    ref = {"id": "../../etc/passwd", "size": 1}
    with pytest.raises(ProtocolError):
        decode(msgpack.packb([PROTOCOL_VERSION, 0, 1, "ReadBlob", {"ref": ref, "offset": 0, "length": 1}]))


def test_a_frame_that_is_too_large_is_neither_encoded_nor_decoded() -> None:
    with pytest.raises(ProtocolError):
        encode(Envelope(kind="answer", correlation=1, message=m.BlobData(data=bytes(MAX_FRAME_BYTES))))
    with pytest.raises(ProtocolError):
        decode(bytes(MAX_FRAME_BYTES + 1))


def test_messages_are_frozen() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        EXAMPLES["Goodbye"].why = "sleeping"
