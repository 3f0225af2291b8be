"""Answers reach the exchange that they belong to, in order, whatever arrives in between and however it ends."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.codec import Envelope, Kind, decode, encode
from cellmind_agent.protocol.conversation import Conversation, Exchange
from cellmind_agent.protocol.errors import CellmindError, LinkLostError, NotPairedError, ProtocolError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import MAX_WAITING_ANSWERS

OTHER = DeviceId("a" * 32)
REFUSED = m.Refused(code="not_paired", message="no", hint="join")
ENDS: tuple[object, ...] = (m.Done(), REFUSED, m.LogLines(lines=("last",)))


def frame(number: int, message: object, kind: Kind = "answer") -> bytes:
    return encode(Envelope(kind=kind, correlation=number, message=message))


def line(text: str) -> m.LogLines:
    return m.LogLines(lines=(text,))


def read_log(conversation: Conversation) -> Exchange[m.LogLines]:
    return conversation.ask(m.ReadLog(tail=1))


def taken(exchange: Exchange[m.LogLines]) -> Iterator[object]:
    """Every answer that is ready. The type of an error, or "end", is the last one."""
    while exchange.is_ready:
        try:
            answer = exchange.take()
        except CellmindError as error:
            yield type(error)
            return
        if answer is None:
            yield "end"
            return
        yield answer


def said_by(script: tuple[int, object]) -> list[object]:
    """What `taken` yields when the other side sends `script`: a number of lines, and the message that ends them."""
    count, end = script
    lines: list[object] = [line(str(place)) for place in range(count)]
    if isinstance(end, m.Refused):
        return [*lines, NotPairedError]
    return [*lines, "end"] if isinstance(end, m.Done) else [*lines, end, "end"]


@given(st.data())
def test_answers_in_any_interleaving_reach_their_own_exchange(data: st.DataObject) -> None:
    scripts = data.draw(st.lists(st.tuples(st.integers(0, 4), st.sampled_from(ENDS)), min_size=1, max_size=5))
    conversation = Conversation()
    exchanges = [read_log(conversation) for _ in scripts]
    frames = [
        [*(frame(exchange.number, line(str(place))) for place in range(count)), frame(exchange.number, end, "end")]
        for exchange, (count, end) in zip(exchanges, scripts, strict=True)
    ]
    found: list[list[object]] = [[] for _ in scripts]
    while any(frames):
        chosen = data.draw(st.sampled_from([place for place, left in enumerate(frames) if left]))
        conversation.receive(frames[chosen].pop(0))
        if data.draw(st.booleans()):  # some read at once, some later
            found[chosen] += list(taken(exchanges[chosen]))
    for place, exchange in enumerate(exchanges):
        if found[place][-1:] != said_by(scripts[place])[-1:]:
            found[place] += list(taken(exchange))
    assert found == [said_by(script) for script in scripts]
    assert [conversation.leave(exchange) for exchange in exchanges] == [None] * len(exchanges)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from(ENDS), st.sampled_from(["answer", "end"])), max_size=20))
def test_answers_to_nobody_change_nothing(strays: list[tuple[int, object, Kind]]) -> None:
    conversation = Conversation()
    exchange = read_log(conversation)
    for number, message, kind in strays:
        if number != exchange.number:
            conversation.receive(frame(number, message, kind))
    assert not exchange.is_ready
    conversation.receive(frame(exchange.number, m.Done(), "end"))
    assert list(taken(exchange)) == ["end"]


@given(st.binary(max_size=100))
def test_bytes_that_are_no_message_change_nothing(data: bytes) -> None:
    conversation = Conversation()
    exchange = read_log(conversation)
    with pytest.raises(ProtocolError):
        conversation.receive(b"\xc1" + data)
    assert not exchange.is_ready


def test_requests_are_numbered_and_encoded() -> None:
    conversation = Conversation()
    exchanges = [conversation.ask(m.Ping()), conversation.ask(m.ListPeers())]
    sent = [decode(exchange.frame) for exchange in exchanges]
    assert [(e.kind, e.correlation, e.message) for e in sent] == [
        ("request", 1, m.Ping()),
        ("request", 2, m.ListPeers()),
    ]


def test_the_end_itself_answers_a_request_whose_answer_is_done() -> None:
    conversation = Conversation()
    exchange = conversation.ask(m.Ping())
    conversation.receive(frame(exchange.number, m.Done(), "end"))
    assert exchange.take_only() == m.Done()


def test_an_answer_that_was_not_declared_is_an_error() -> None:
    conversation = Conversation()
    exchange = conversation.ask(m.GetKeyring())
    conversation.receive(frame(exchange.number, line("x"), "end"))
    with pytest.raises(ProtocolError, match="GetKeyring was answered with LogLines"):
        exchange.take_only()


def test_an_end_without_the_declared_answer_is_an_error() -> None:
    conversation = Conversation()
    exchange = conversation.ask(m.GetKeyring())
    conversation.receive(frame(exchange.number, m.Done(), "end"))
    with pytest.raises(ProtocolError, match="GetKeyring was not answered"):
        exchange.take_only()


def test_leaving_cancels_once_what_the_other_side_still_works_on() -> None:
    conversation = Conversation()
    exchange = read_log(conversation)
    conversation.receive(frame(exchange.number, line("x")))
    cancel = conversation.leave(exchange)
    assert cancel is not None
    assert decode(cancel) == Envelope(kind="request", correlation=exchange.number, message=m.Cancel())
    assert conversation.leave(exchange) is None
    conversation.receive(frame(exchange.number, line("late")))
    assert list(taken(exchange)) == [line("x")]


def test_a_refusal_that_does_not_end_the_exchange_there_is_cancelled() -> None:
    conversation = Conversation()
    exchange = read_log(conversation)
    conversation.receive(frame(exchange.number, REFUSED))
    assert list(taken(exchange)) == [NotPairedError]
    assert conversation.leave(exchange) is not None


def test_a_lost_connection_fails_every_exchange_after_the_answers_that_came() -> None:
    conversation = Conversation()
    one, two = read_log(conversation), read_log(conversation)
    conversation.receive(frame(one.number, line("x")))
    conversation.lose(LinkLostError("lost"))
    assert (list(taken(one)), list(taken(two))) == ([line("x"), LinkLostError], [LinkLostError])
    assert (conversation.leave(one), conversation.leave(two)) == (None, None)


def test_answers_that_nobody_reads_fail_their_exchange_and_no_other() -> None:
    conversation = Conversation()
    flooded, quiet = read_log(conversation), read_log(conversation)
    data = frame(flooded.number, line("x"))
    for _ in range(MAX_WAITING_ANSWERS + 10):
        conversation.receive(data)
    found = list(taken(flooded))
    assert (len(found), found[-1]) == (MAX_WAITING_ANSWERS + 1, LinkLostError)
    assert conversation.leave(flooded) is not None
    assert not quiet.is_ready


def test_a_request_for_another_device_travels_in_a_relay_and_keeps_its_answer() -> None:
    conversation = Conversation()
    exchange = conversation.ask(m.ListModels(), relay_to=OTHER)
    relay = decode(exchange.frame).message
    assert isinstance(relay, m.Relay)
    assert (relay.device, decode(relay.body).message) == (OTHER, m.ListModels())
    conversation.receive(frame(exchange.number, m.ModelList(models=())))
    assert exchange.take_only() == m.ModelList(models=())


def test_a_forwarded_request_yields_any_answer_and_no_bare_end() -> None:
    conversation = Conversation()
    single, ended = conversation.forward(m.ListModels()), conversation.forward(m.Ping())
    conversation.receive(frame(single.number, line("whatever"), "end"))
    conversation.receive(frame(ended.number, m.Done(), "end"))
    assert (single.take(), single.take(), ended.take()) == (line("whatever"), None, None)
