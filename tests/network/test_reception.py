"""The answering side refuses requests that are not declared, and lets no answer out that is not declared."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgpack
import pytest

from cellmind_agent.network.channel import Channel
from cellmind_agent.network.reception import Reception
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.codec import Envelope, decode, encode
from cellmind_agent.protocol.limits import MAX_SMALL_REQUEST_BYTES, PROTOCOL_VERSION
from cellmind_agent.trust.permissions import Caller


class FakeChannel(Channel):
    """Keeps what is sent to the other end."""

    def __init__(self) -> None:
        super().__init__(b"key", "10.0.0.1", "other")
        self.sent: list[Envelope] = []
        self.ended = asyncio.Event()

    def try_send(self, frames: Sequence[bytes | memoryview]) -> bool:
        self.sent.append(decode(bytes(frames[0])))
        if self.sent[-1].kind == "end":
            self.ended.set()
        return True


async def ping(request: m.Ping, caller: Caller) -> m.Done:
    return m.Done()


async def wrong_keyring(request: m.GetKeyring, caller: Caller) -> m.Done:
    return m.Done()


async def wrong_vitals(request: m.WatchVitals, caller: Caller) -> AsyncIterator[m.LogLines]:
    yield m.LogLines(lines=("a secret",))


async def log(request: m.ReadLog, caller: Caller) -> AsyncIterator[m.LogLines]:
    yield m.LogLines(lines=("one",))
    yield m.LogLines(lines=("two",))


HANDLERS = {m.Ping: ping, m.GetKeyring: wrong_keyring, m.WatchVitals: wrong_vitals, m.ReadLog: log}


def answers_to(frame: bytes, kind: m.CallerKind = "member") -> list[Envelope]:
    """Everything that is sent to the other end in answer to one frame."""

    async def play() -> list[Envelope]:
        channel = FakeChannel()
        reception = Reception(lambda c: Caller(kind=kind, curve_key=c.curve_key, device=None, host=c.host), HANDLERS)
        reception.hear(channel, [memoryview(frame)])
        async with asyncio.timeout(5):
            await channel.ended.wait()
        return channel.sent

    return asyncio.run(play())


def request(message: object) -> bytes:
    return encode(Envelope(kind="request", correlation=7, message=message))


def code(sent: list[Envelope]) -> str:
    """The code of a refusal, if nothing else was sent."""
    (envelope,) = sent
    assert isinstance(envelope.message, m.Refused)
    return envelope.message.code


def test_a_request_is_answered_by_its_end() -> None:
    assert answers_to(request(m.Ping())) == [Envelope(kind="end", correlation=7, message=m.Done())]


def test_a_stream_is_answered_item_by_item() -> None:
    sent = answers_to(request(m.ReadLog(tail=2)))
    assert [(e.kind, e.message) for e in sent] == [
        ("answer", m.LogLines(lines=("one",))),
        ("answer", m.LogLines(lines=("two",))),
        ("end", m.Done()),
    ]


@pytest.mark.parametrize("message", [m.GetKeyring(), m.WatchVitals()])
def test_an_answer_that_is_not_declared_does_not_go_out(message: object) -> None:
    assert code(answers_to(request(message))) == "failed"


@pytest.mark.parametrize("message", [m.Done(), m.Keyring(entries=()), m.ListModels(), m.JoinCell(code="x")])
def test_a_message_that_is_no_request_or_not_for_members_or_not_served_is_refused(message: object) -> None:
    assert code(answers_to(request(message))) == "not_allowed"


def test_a_stranger_is_refused_everything_but_joining() -> None:
    assert code(answers_to(request(m.Ping()), "stranger")) == "not_paired"


def test_local_people_may_ask_what_members_may() -> None:
    assert answers_to(request(m.Ping()), "local")[-1].message == m.Done()


def test_a_request_larger_than_its_size_class_is_refused() -> None:
    frame = msgpack.packb([PROTOCOL_VERSION, 0, 7, "Ping", {"more": bytes(MAX_SMALL_REQUEST_BYTES)}])
    assert code(answers_to(frame)) == "protocol"


def test_a_request_never_has_two_handlers_and_only_requests_have_one() -> None:
    reception = Reception(lambda channel: pytest.fail("nobody calls"))
    reception.add_handlers({m.Ping: ping})
    wrong: Any
    for wrong in ({m.Ping: ping}, {m.Done: ping}):
        with pytest.raises(AssertionError):
            reception.add_handlers(wrong)
    assert reception.handlers == {m.Ping: ping}
