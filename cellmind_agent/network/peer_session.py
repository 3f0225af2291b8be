"""The session with one other member: dialled patiently, linked, checked by heartbeat, and given up when silent.

    dialling --greeted--> linked --link lost, or silent--> pausing (ever longer) --> dialling

The session uses a link that this device dialled. Only where dialling fails it uses one that the member dialled. Any
message of the member is a sign of life.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from cellmind_agent.network.address_book import AddressBook, AddressSource
from cellmind_agent.network.channel import Channel
from cellmind_agent.network.connection import Connection
from cellmind_agent.network.dialler import Dialler
from cellmind_agent.network.heartbeat import Heartbeat, SilentError
from cellmind_agent.network.last_seen import LastSeen
from cellmind_agent.network.link import Link
from cellmind_agent.network.reception import Reception
from cellmind_agent.planning.liveness import liveness
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.errors import CellmindError, UnreachableError
from cellmind_agent.protocol.ids import DeviceId, short
from cellmind_agent.protocol.limits import (
    MAX_DIALS,
    MAX_EAGER_DIALS,
    MIN_WAIT_SECONDS,
    OWN_DIAL_GRACE_SECONDS,
    PATIENCE_FLOOR_SECONDS,
    REDIAL_FIRST_SECONDS,
    REDIAL_LAST_SECONDS,
)
from cellmind_agent.trust.entries import Member

LinkSource = AddressSource | Literal["called"]  # called: over a connection that the member dialled
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionEvents:
    """What a session asks of this device (`hello`, `is_in_run`), and the parts that it notifies."""

    hello: Callable[[], m.Hello]  # this device's greeting
    linked: Callable[[Link, m.Welcome], None]  # the member has answered our greeting
    fell_silent: Callable[[DeviceId], None]  # nobody may wait for this member's bytes any more
    is_in_run: Callable[[], bool]


class PeerSession:
    """Runs in a task from `begin` to `end`."""

    def __init__(
        self,
        member: Member,
        book: AddressBook,
        last_seen: LastSeen,
        dialler: Dialler,
        reception: Reception,
        events: SessionEvents,
        link_changed: Callable[[], None],
        until_awake: Callable[[], Awaitable[None]],
    ) -> None:
        """`book` must be open for the member; `link_changed` is called after `link` has changed."""
        self.member = member
        self.link: Link | None = None
        self.source: LinkSource | None = None  # of the last link
        self.vitals: m.Vitals | None = None
        self.goodbye: Literal["stopping", "sleeping"] | None = None
        self.is_announced = False  # multicast DNS hears it now
        self._unreported_sleep_seconds: float | None = None
        self._is_cancelled = False
        self._presence_changed = asyncio.Event()
        self._book, self._last_seen, self._dialler, self._reception = book, last_seen, dialler, reception
        self._events, self._link_changed, self._until_awake = events, link_changed, until_awake
        self._inbound: Link | None = None  # over a connection that the member dialled
        self._has_inbound, self._wake = asyncio.Event(), asyncio.Event()
        self._heartbeat = Heartbeat(self._heard_at, events.is_in_run)
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Start to dial."""
        self._task = asyncio.create_task(self._keep_linked(), name=f"peer {short(self.member.device)}")

    def cancel(self) -> None:
        """End the session: the device is no member any more, or this agent stops."""
        if self._task:
            self._task.cancel()
        self._is_cancelled = True
        self._presence_changed.set()
        self.cut()

    async def ended(self) -> None:
        """Return when a cancelled session has ended."""
        if self._task:
            await asyncio.wait({self._task})

    def wake(self) -> None:
        """Dial soon: something may have changed."""
        self._wake.set()

    def greet_on(self, channel: Channel) -> None:
        """The member has sent its Hello on this channel."""
        self.goodbye = None
        if channel.answers is not None:  # we dialled this connection: it is `link` already
            return
        link = self._inbound = Link(channel)
        link.when_lost(lambda: self._forget_inbound(link))
        self._has_inbound.set()
        self._wake.set()

    def note_goodbye(self, why: Literal["stopping", "sleeping"]) -> None:
        """The member has announced that it leaves."""
        self.goodbye = why
        self._presence_changed.set()

    def reset_after_sleep(self, seconds: float) -> None:
        """This machine slept: the link may be dead without a sign. Dial again, and report the sleep."""
        self._unreported_sleep_seconds = seconds
        self.cut()
        self.wake()

    def cut(self) -> None:
        """Close the link, and let everyone who waits for the member fail now."""
        for link in (self.link, self._inbound):
            if link:
                link.channel.cut()
        self._events.fell_silent(self.member.device)

    def learn(self, addresses: Iterable[Address], source: AddressSource) -> None:
        """Add addresses, and dial soon if that may help."""
        if self._book.learn(self.member.device, addresses, source) or self.link is None:
            self._wake.set()

    def state(self) -> m.State:
        """Whether the member is there, by links, silence and goodbyes."""
        if self._is_cancelled:
            return "gone"
        is_linked = self.link is not None and not self.link.is_lost
        return liveness(is_linked, self.seconds_since_heard(), self.goodbye is not None, self.goodbye == "sleeping")

    def seconds_since_heard(self) -> float | None:
        """Seconds since the member's last message; None before its first."""
        heard_at = self._heard_at()
        return None if heard_at is None else _now() - heard_at

    def seen_seconds(self) -> float | None:
        """Seconds since the member was last here, also before this agent's start."""
        heard = self.seconds_since_heard()
        return self._last_seen.seconds_since(self.member.device) if heard is None else heard

    async def until_absent(self) -> None:
        """Return when the member is not online: it said goodbye, or it is silent since its link was lost."""
        while self.state() == "online":
            self._presence_changed.clear()
            patience_left = max(PATIENCE_FLOOR_SECONDS - (self.seconds_since_heard() or 0.0), MIN_WAIT_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if self.link else patience_left):
                    await self._presence_changed.wait()

    async def _keep_linked(self) -> None:
        pause_seconds, failures = REDIAL_FIRST_SECONDS, 0
        while True:
            await self._until_awake()
            self._wake.clear()
            try:
                link = await self._first_link()
                pause_seconds, failures = REDIAL_FIRST_SECONDS, 0
                await self._use(link)
            except CellmindError as error:
                _log.debug("%s: %s", self.member.name, error)
            except Exception:  # a bug must not end the session, which nobody would begin again
                _log.exception("the session with %s failed, and dials again", self.member.name)
            finally:
                self._set_link(None)
            # A group of tasks raises the errors of its tasks, and drops a cancellation that came with them.
            if self._is_cancelled:
                return
            failures += 1
            if failures > MAX_EAGER_DIALS:  # forged announcements could wake us many times a second
                await asyncio.sleep(REDIAL_FIRST_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause_seconds):
                    await self._wake.wait()
                    pause_seconds = REDIAL_FIRST_SECONDS
            pause_seconds = min(pause_seconds * 2, REDIAL_LAST_SECONDS)

    async def _first_link(self) -> Link:
        """A link that we dial, or else one that the member dialled. Raises UnreachableError."""
        dialling = asyncio.create_task(self._dial())
        inbound = asyncio.create_task(self._has_inbound.wait())
        link: Link | None = None
        try:
            await asyncio.wait({dialling, inbound}, return_when=asyncio.FIRST_COMPLETED)
            # Only a link that we dialled can open second connections, for tunnels: so ours gets a moment more.
            if inbound.done():
                await asyncio.wait({dialling}, timeout=OWN_DIAL_GRACE_SECONDS)
            if (not dialling.done() or dialling.exception()) and self._inbound is not None:
                link = self._inbound
            else:
                link = await dialling
            return link
        finally:
            inbound.cancel()
            if not dialling.done():
                dialling.cancel()
                await asyncio.wait({dialling})
            if not dialling.cancelled() and not dialling.exception() and dialling.result() is not link:
                dialling.result().channel.close()

    async def _dial(self) -> Link:
        """Dial the best addresses. Raises UnreachableError."""
        addresses = list(self._book.of(self.member.device))[:MAX_DIALS]
        link = await self._dialler.dial_first(addresses, self.member.curve_key)
        if link is None:
            raise UnreachableError(
                "{member} answers at none of {count} addresses",
                member=self.member.name,
                count=len(addresses),
            )
        return link

    async def _use(self, link: Link) -> None:
        """From the greeting to the loss of the link."""
        try:
            await self._greet(link)
            if self._unreported_sleep_seconds is not None:
                await link.request(m.Woke(seconds=self._unreported_sleep_seconds))
                self._unreported_sleep_seconds = None
            async with asyncio.TaskGroup() as group:
                group.create_task(self._check_alive(link))
                group.create_task(self._watch_vitals(link))
        except* CellmindError as errors:
            _log.info("lost %s: %s", self.member.name, errors.exceptions[0])
        finally:
            if isinstance(link.channel, Connection):
                link.channel.close()

    async def _greet(self, link: Link) -> None:
        """Exchange Hello and Welcome. Raises CellmindError."""
        device, channel = self.member.device, link.channel
        sent_at = _now()
        welcome = await link.request(self._events.hello())
        if welcome.device != device:
            raise UnreachableError("another device answers at {channel}", channel=channel.name)
        self._heartbeat.note_round_trip(_now() - sent_at)
        self.goodbye = None
        self._set_link(link)
        if isinstance(channel, Connection):
            self.source = self._book.of(device).get(channel.address)
            self._book.prefer(device, channel.address)
        else:
            self.source = "called"
        _log.info("linked with %s at %s", self.member.name, channel.name)
        self._events.linked(link, welcome)

    async def _check_alive(self, link: Link) -> None:
        """Send heartbeats. Raises UnreachableError when the member falls silent; its link is cut then."""
        try:
            await self._heartbeat.run(link)
        except SilentError:
            self.cut()
            raise

    async def _watch_vitals(self, link: Link) -> None:
        async for event in link.stream(m.WatchVitals()):
            self.vitals = event.vitals
        raise UnreachableError("{member} stopped reporting", member=self.member.name)

    def _set_link(self, link: Link | None) -> None:
        if link or self.link:
            self._last_seen.note(self.member.device)
        self.link = link
        self._presence_changed.set()
        self._link_changed()

    def _forget_inbound(self, link: Link) -> None:
        if self._inbound is link:
            self._inbound = None
            self._has_inbound.clear()

    def _heard_at(self) -> float | None:
        return self._reception.heard_at.get(self.member.curve_key)


def _now() -> float:
    return asyncio.get_running_loop().time()
