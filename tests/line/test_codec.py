"""Frames survive the line, any other text is refused, and the shared package imports the standard library alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.line.codec import CallFrame, LineError, decode_frame, encode_frame
from model.line.declare import LINE_TYPES, Call, Done, answer_type
from model.line.meeting import StoreAdd, StoreNumber, StoreSet
from model.line.sampling import Sampling
from tests.line.examples import FRAMES, VALUES

GOLDEN = Path(__file__).parent / "golden.json"


def test_every_type_of_the_line_has_an_example() -> None:
    declared = {name for name, kind in LINE_TYPES.items() if kind.__module__.startswith("model.line")}
    assert declared == {type(value).__name__ for value in VALUES}


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_a_frame_survives_the_line(name: str) -> None:
    line = encode_frame(FRAMES[name])
    assert "\n" not in line
    assert decode_frame(line) == FRAMES[name]
    assert decode_frame(line.encode()) == FRAMES[name]


@pytest.mark.parametrize("name", sorted(FRAMES))
def test_the_text_of_a_frame_is_the_golden_one(name: str) -> None:
    assert json.loads(encode_frame(FRAMES[name])) == json.loads(GOLDEN.read_text())[name]


@given(st.text() | st.binary())
def test_other_text_is_a_line_error(text: str | bytes) -> None:
    with pytest.raises(LineError):
        decode_frame(text)


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)))
def test_fields_that_do_not_fit_are_a_line_error(fields: object) -> None:
    with pytest.raises(LineError):
        decode_frame(json.dumps({"call": 1, "name": "StoreAdd", "fields": fields}))


@pytest.mark.parametrize(
    "plain",
    [
        {"call": 1, "name": "Done", "fields": {}},  # an answer is not a call
        {"call": 1, "name": "os.system", "fields": {}},
        {"event": "StoreAdd", "fields": {"key": "k", "amount": 1}},  # a call is not an event
        {"call": 1, "name": "StoreSet", "fields": {"key": "k", "data": "text, not bytes"}},
        {"call": 1, "name": "StoreSet", "fields": {"key": "k", "data": {"base64": "?"}}},
        {"refusal": 1, "fields": {"code": "unheard_of", "message": ""}},
        {"call": "1", "name": "TryGloo", "fields": {}},
        [],
    ],
)
def test_a_frame_that_makes_no_sense_is_a_line_error(plain: object) -> None:
    with pytest.raises(LineError):
        decode_frame(json.dumps(plain))


def test_a_call_knows_the_type_of_its_answer() -> None:
    calls = [kind for kind in LINE_TYPES.values() if issubclass(kind, Call)]
    assert len(calls) >= 14
    assert answer_type(StoreAdd(key="n", amount=1)) is StoreNumber
    assert answer_type(StoreSet(key="k", data=b"")) is Done


@given(st.binary(max_size=2000))
def test_bytes_of_any_kind_survive_in_a_field(data: bytes) -> None:
    frame = CallFrame(number=1, call=StoreSet(key="k", data=data))
    assert decode_frame(encode_frame(frame)) == frame


def test_sampling_refuses_what_cannot_be_drawn() -> None:
    for values in ({"temperature": -1.0}, {"temperature": float("nan")}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.5}):
        with pytest.raises(ValueError, match="temperature"):
            Sampling(**values)  # type: ignore[arg-type]


def test_the_line_imports_neither_torch_nor_the_agent() -> None:
    script = (
        "import sys, model.line.codec; "
        "print([n for n in ('torch', 'numpy', 'msgpack', 'zmq', 'cellmind_agent', 'tokenizer') if n in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"
