"""Waiting for a member's absence ends with a goodbye, a removal, or a silence after the loss of its link."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from cellmind_agent.network.channel import Channel
from cellmind_agent.network.peer_session import PeerSession, SessionEvents
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.codec import Envelope, decode
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import PATIENCE_FLOOR_SECONDS
from cellmind_agent.trust.entries import Member

DEVICE = DeviceId("b" * 32)
MEMBER = Member(device=DEVICE, name="phone", role="member", signing_key=b"", curve_key=b"key")
VERSIONS = m.Versions(cellmind="0", python="3")
HELLO = m.Hello(device=DEVICE, name="x", port=1, keyring_length=1, keyring_head=b"", versions=VERSIONS)
WELCOME = m.Welcome(
    device=DEVICE, name="x", port=1, keyring_length=1, keyring_head=b"", versions=VERSIONS, addresses={}
)


class FakeChannel(Channel):
    """A connection that the member dialled; the member answers a Hello, and nothing else."""

    def __init__(self) -> None:
        super().__init__(MEMBER.curve_key, "10.0.0.2", "phone")

    def try_send(self, frames: Sequence[bytes | memoryview]) -> bool:
        request = decode(bytes(frames[0]))
        if isinstance(request.message, m.Hello):
            assert self.answers
            self.answers(Envelope(kind="end", correlation=request.correlation, message=WELCOME))
        return True

    def cut(self) -> None:
        self.mark_lost()


class FakeBook:
    def of(self, device: DeviceId) -> dict[object, object]:
        return {}


class FakeLastSeen:
    def note(self, device: DeviceId) -> None: ...


class FakeDialler:
    async def dial_first(self, addresses: Sequence[object], key: bytes) -> None:
        return None


async def at_once() -> None:
    """This machine is awake."""


class FakeReception:
    def __init__(self) -> None:
        self.heard_at: dict[bytes, float] = {}


def while_linked(
    play: Callable[[PeerSession, FakeChannel, FakeReception, "asyncio.Task[None]"], Awaitable[None]],
) -> None:
    """Run `play` with a linked session and a task that waits for the member's absence."""

    async def run() -> None:
        linked, reception, channel = asyncio.Event(), FakeReception(), FakeChannel()
        events = SessionEvents(
            hello=lambda: HELLO,
            linked=lambda link, welcome: linked.set(),
            fell_silent=lambda device: None,
            is_in_run=lambda: True,
        )
        session = PeerSession(
            MEMBER, FakeBook(), FakeLastSeen(), FakeDialler(), reception, events, lambda: None, at_once
        )  # type: ignore[arg-type]
        session.begin()
        session.greet_on(channel)
        async with asyncio.timeout(5):
            await linked.wait()
        absent = asyncio.create_task(session.until_absent())
        await asyncio.sleep(0.05)
        assert not absent.done()
        try:
            await play(session, channel, reception, absent)
            async with asyncio.timeout(5):
                await absent
            assert session.state() != "online"
        finally:
            absent.cancel()
            session.cancel()
            await session.ended()

    asyncio.run(run())


@pytest.mark.parametrize("why", ["stopping", "sleeping"])
def test_a_goodbye_is_absence_at_once(why: str) -> None:
    async def play(session: PeerSession, *_: object) -> None:
        session.note_goodbye(why)  # type: ignore[arg-type]

    while_linked(play)


def test_a_removed_member_is_absent_at_once() -> None:
    async def play(session: PeerSession, *_: object) -> None:
        session.cancel()
        assert session.state() == "gone"

    while_linked(play)


def test_a_lost_link_is_absence_only_after_a_silence() -> None:
    async def play(
        session: PeerSession, channel: FakeChannel, reception: FakeReception, absent: "asyncio.Task[None]"
    ) -> None:
        reception.heard_at[MEMBER.curve_key] = asyncio.get_running_loop().time() - PATIENCE_FLOOR_SECONDS + 0.4
        channel.mark_lost()
        await asyncio.sleep(0.1)
        assert session.state() == "online"  # it may be back in a moment
        assert not absent.done()

    while_linked(play)


@pytest.mark.parametrize("turns", range(6))
def test_a_session_that_is_cancelled_while_its_link_is_being_lost_ends(turns: int) -> None:
    """As when several agents stop at once: each loses its links, and ends its sessions, in the same moment."""

    async def play(session: PeerSession, channel: FakeChannel, *_: object) -> None:
        channel.mark_lost()
        for _turn in range(turns):
            await asyncio.sleep(0)
        session.cancel()
        async with asyncio.timeout(2):
            await session.ended()

    while_linked(play)
