"""What a request declares is what the codec and the agent enforce."""

import asyncio
import inspect
import types
import typing
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgpack
import pytest

from cellmind_agent.agent import Agent
from cellmind_agent.config import AgentConfig
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.codec import Envelope, decode, encode
from cellmind_agent.protocol.errors import ProtocolError
from cellmind_agent.protocol.limits import MAX_FRAME_BYTES, MAX_SMALL_REQUEST_BYTES, PROTOCOL_VERSION
from tests.protocol.examples import EXAMPLES


def test_a_declaration_names_its_class_and_answers() -> None:
    declared = m.REQUESTS[m.WatchRun]
    assert (declared.name, declared.is_stream, declared.asked_by) == ("WatchRun", True, "member")
    assert declared.answers == typing.get_args(m.RunEvent)
    assert (m.REQUESTS[m.Ping].answers, m.REQUESTS[m.Ping].is_stream) == ((m.Done,), False)
    assert all(m.MESSAGE_TYPES[declared.name] is kind for kind, declared in m.REQUESTS.items())


def test_every_request_says_what_it_asks_for() -> None:
    for kind in m.REQUESTS:
        assert kind.__doc__
        assert not kind.__doc__.startswith(f"{kind.__name__}("), f"{kind.__name__} has no docstring"


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_examples_are_far_below_their_limit(name: str) -> None:
    declared = m.REQUESTS.get(m.MESSAGE_TYPES[name])
    limit = declared.max_bytes if declared else MAX_FRAME_BYTES
    assert 20 * len(encode(Envelope(kind="request", correlation=1, message=EXAMPLES[name]))) < limit


def test_a_small_request_that_is_too_large_is_neither_encoded_nor_decoded() -> None:
    name = "x" * MAX_SMALL_REQUEST_BYTES
    with pytest.raises(ProtocolError, match=f"JoinCell of .* at most {MAX_SMALL_REQUEST_BYTES}"):
        encode(Envelope(kind="request", correlation=1, message=m.JoinCell(code=name)))
    with pytest.raises(ProtocolError, match="JoinCell of"):
        decode(msgpack.packb([PROTOCOL_VERSION, 0, 1, "JoinCell", {"code": name}]))


def test_a_large_request_and_any_answer_may_fill_a_frame() -> None:
    data = bytes(MAX_FRAME_BYTES - 1000)
    offer = Envelope(kind="request", correlation=1, message=m.OfferKeyring(entries=(data,)))
    answer = Envelope(kind="end", correlation=1, message=m.Keyring(entries=(data,)))
    assert decode(encode(offer)) == offer
    assert decode(encode(answer)) == answer


def handlers_of_an_agent(home: Path) -> dict[type, Handler]:
    async def build() -> dict[type, Handler]:
        config = AgentConfig(home=home, name="one", listen=Address(host="127.0.0.1", port=0), uses_mdns=False)
        agent = Agent(config)
        stop, ready = asyncio.Event(), asyncio.Event()
        serving = asyncio.create_task(agent.run(stop, ready))
        await ready.wait()
        stop.set()
        await serving
        return agent._reception.handlers

    return asyncio.run(build())


def answers_of(handler: Handler) -> tuple[set[Any], bool]:
    """The classes that a handler's annotations say it answers with, and whether it is a stream."""
    function: Callable[..., Any] = inspect.unwrap(handler)
    returned = typing.get_type_hints(function)["return"]
    is_stream = typing.get_origin(returned) is AsyncIterator
    if is_stream:
        (returned,) = typing.get_args(returned)
    is_union = typing.get_origin(returned) in (typing.Union, types.UnionType)
    return set(typing.get_args(returned) if is_union else (returned,)), is_stream


def test_every_request_has_one_handler_that_returns_its_declared_answer(tmp_path: Path) -> None:
    """`Reception.add_handlers` refuses a second handler. One function may serve several requests: then it returns the
    union of their answers."""
    handlers = handlers_of_an_agent(tmp_path)
    assert {kind.__name__ for kind in handlers} == {declared.name for declared in m.REQUESTS.values()}
    served = defaultdict(set)
    for kind, handler in handlers.items():
        served[handler].add(kind)
    for handler, kinds in served.items():
        answers = {answer for kind in kinds for answer in m.REQUESTS[kind].answers}
        (is_stream,) = {m.REQUESTS[kind].is_stream for kind in kinds}
        names = " ".join(sorted(kind.__name__ for kind in kinds))
        assert answers_of(handler) == (answers, is_stream), f"the handler of {names}"
