"""One other member of the cell: dialled patiently, linked, asked whether it is there, and given up when silent.

The link that counts is one that we dialled; where dialling fails, one that it dialled. Anything that it says is a sign
of life.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from cellmind_agent.network.addresses import AddressBook, Rung
from cellmind_agent.network.link import Link
from cellmind_agent.network.reception import Reception
from cellmind_agent.network.wire import Channel, Connection, new_context
from cellmind_agent.planning.liveness import REMEMBERED_ROUND_TRIPS, liveness, patience
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.errors import CellmindError, UnreachableError
from cellmind_agent.protocol.ids import DeviceId, short
from cellmind_agent.protocol.limits import (
    DIAL_SECONDS,
    HEARTBEAT_SECONDS,
    REDIAL_FIRST_SECONDS,
    REDIAL_LAST_SECONDS,
    REQUEST_SECONDS,
    RUN_HEARTBEAT_SECONDS,
)
from cellmind_agent.trust.identity import CurveKeys
from cellmind_agent.trust.keyring import Member

How = Rung | Literal["called"]  # `called`: over a connection that it dialled
_log = logging.getLogger(__name__)
_MAX_DIALS = 8
_EAGER_DIALS = 5  # then no waking makes us dial more often than every REDIAL_FIRST_SECONDS
_CALLED_SECONDS = 0.3  # a connection that it dialled stands: how much longer ours may take
_GLANCE_SECONDS = 0.25  # how often a silence is measured


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What the agent says of itself when a link stands, whom it tells about it, and about a silence."""

    hello: Callable[[], m.Hello]
    welcomed: Callable[[DeviceId, Link, m.Welcome], None]
    fell_silent: Callable[[DeviceId], None]
    is_in_run: Callable[[], bool]


class Dialler:
    """Makes connections in this device's name."""

    def __init__(self, keys: CurveKeys, reception: Reception) -> None:
        self._keys, self._reception = keys, reception
        self._context = new_context()

    async def dial(self, address: Address, server_key: bytes, seconds: float = DIAL_SECONDS) -> Link:
        """A link to the agent with this key at this address. Raises UnreachableError."""
        connection = Connection(self._context, self._keys, address, server_key, self._reception.hear)
        try:
            await connection.open(seconds)
        except BaseException:
            connection.cut()
            raise
        return Link(connection)

    async def try_dial(self, address: Address, server_key: bytes) -> m.Outcome:
        """How dialling ends, on a connection that serves nothing else."""
        connection = Connection(self._context, self._keys, address, server_key, self._reception.hear)
        with contextlib.suppress(CellmindError):
            await connection.open(DIAL_SECONDS)
        connection.cut()
        return connection.outcome

    def close(self) -> None:
        self._context.destroy(linger=200)


class Acquaintance:
    """Lives in a task of its own from `begin` to `end`."""

    def __init__(
        self, member: Member, book: AddressBook, dialler: Dialler, reception: Reception, greeting: Greeting
    ) -> None:
        self.member = member
        self.link: Link | None = None
        self.how: How | None = None
        self.vitals: m.Vitals | None = None
        self.goodbye: Literal["stopping", "sleeping"] | None = None
        self.is_announced = False  # mDNS hears it now
        self.slept: float | None = None  # seconds that this machine slept, which the other has not been told yet
        self._book, self._dialler, self._reception, self._greeting = book, dialler, reception, greeting
        self._called: Link | None = None  # over a connection that it dialled
        self._has_called = asyncio.Event()
        self._wake = asyncio.Event()
        self._round_trips: deque[float] = deque(maxlen=REMEMBERED_ROUND_TRIPS)
        self._task: asyncio.Task[None] | None = None

    def begin(self) -> None:
        self._task = asyncio.create_task(self._keep(), name=f"peer {short(self.member.device)}")

    async def end(self) -> None:
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})

    def drop(self) -> None:
        """It is no member any more, or we are going down."""
        if self._task:
            self._task.cancel()
        self.cut()

    def wake(self) -> None:
        """Something may have changed: dial again soon."""
        self._wake.set()

    def called(self, channel: Channel) -> None:
        """It said Hello to us on this channel."""
        self.goodbye = None
        if channel.answers is None:  # else it is the one that we dialled
            link = self._called = Link(channel)
            link.when_lost(lambda: self._uncalled(link))
            self._has_called.set()
            self._wake.set()

    def cut(self) -> None:
        """Nothing of it is to be waited for any longer: gloo must fail now, not in half an hour."""
        for link in (self.link, self._called):
            if link:
                link.channel.cut()
        self._greeting.fell_silent(self.member.device)

    def learn(self, addresses: Iterable[Address], rung: Rung) -> None:
        if self._book.learn(self.member.device, addresses, rung) or self.link is None:
            self._wake.set()

    def state(self) -> m.State:
        return liveness(
            self.link is not None and not self.link.is_lost,
            self.seen_seconds(),
            self.goodbye is not None,
            self.goodbye == "sleeping",
        )

    def seen_seconds(self) -> float | None:
        """Since it last said anything; None before its first word."""
        heard_at = self._heard_at()
        return None if heard_at is None else _now() - heard_at

    async def _keep(self) -> None:
        pause, failures = REDIAL_FIRST_SECONDS, 0
        while True:
            self._wake.clear()
            try:
                link = await self._first_link()
                pause, failures = REDIAL_FIRST_SECONDS, 0
                await self._live(link)
            except CellmindError as error:
                _log.debug("%s: %s", self.member.name, error)
            finally:
                self.link = None
            failures += 1
            if failures > _EAGER_DIALS:  # whoever wakes us, and however often
                await asyncio.sleep(REDIAL_FIRST_SECONDS)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()
                    pause = REDIAL_FIRST_SECONDS
            pause = min(pause * 2, REDIAL_LAST_SECONDS)

    async def _first_link(self) -> Link:
        """One that we dial, or else one that it dialled. Raises UnreachableError."""
        dialling = asyncio.create_task(self._dial_any())
        calling = asyncio.create_task(self._has_called.wait())
        try:
            await asyncio.wait({dialling, calling}, return_when=asyncio.FIRST_COMPLETED)
            if calling.done():
                await asyncio.wait({dialling}, timeout=_CALLED_SECONDS)
            if (not dialling.done() or dialling.exception()) and self._called is not None:
                return self._called
            return await dialling
        finally:
            calling.cancel()
            if not dialling.done():
                dialling.cancel()
                await asyncio.wait({dialling})

    async def _dial_any(self) -> Link:
        """The first address that answers with the member's key, all tried at once. Raises UnreachableError."""
        addresses = list(self._book.of(self.member.device))[:_MAX_DIALS]
        waiting = {asyncio.create_task(self._dialler.dial(address, self.member.curve_key)) for address in addresses}
        won: Link | None = None
        try:
            while waiting and won is None:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    if task.exception() is not None:
                        continue
                    if won is None:
                        won = task.result()
                    else:
                        task.result().channel.close()
        except asyncio.CancelledError:
            if won:
                won.channel.close()
            raise
        finally:
            for task in waiting:
                task.cancel()
            for result in await asyncio.gather(*waiting, return_exceptions=True):
                if isinstance(result, Link):
                    result.channel.close()
        if won is None:
            raise UnreachableError(f"{self.member.name} answers at none of {len(addresses)} addresses")
        return won

    async def _live(self, link: Link) -> None:
        """From the first word to the loss of the link."""
        device, channel = self.member.device, link.channel
        try:
            asked_at = _now()
            welcome = await link.request(self._greeting.hello())
            if welcome.device != device:
                raise UnreachableError(f"{channel.name} is another device")
            self._round_trips.append(_now() - asked_at)
            self.link, self.goodbye = link, None
            if isinstance(channel, Connection):
                self.how = self._book.of(device).get(channel.address)
                self._book.prefer(device, channel.address)
            else:
                self.how = "called"
            _log.info("linked with %s at %s", self.member.name, channel.name)
            self._greeting.welcomed(device, link, welcome)
            if self.slept is not None:
                await link.request(m.Woke(seconds=self.slept))
                self.slept = None
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat(link))
                group.create_task(self._watch(link))
        except* CellmindError as errors:
            _log.info("lost %s: %s", self.member.name, errors.exceptions[0])
        finally:
            if isinstance(channel, Connection):
                channel.close()

    async def _beat(self, link: Link) -> None:
        """Ask again and again. Raises UnreachableError when it falls silent."""
        while True:
            await asyncio.sleep(RUN_HEARTBEAT_SECONDS if self._greeting.is_in_run() else HEARTBEAT_SECONDS)
            asked_at = _now()
            ping = asyncio.create_task(link.request(m.Ping(), seconds=10 * REQUEST_SECONDS))
            try:
                await self._wait_patiently(ping)
                await ping
            finally:
                ping.cancel()
            self._round_trips.append(_now() - asked_at)

    async def _wait_patiently(self, ping: asyncio.Task[m.Done]) -> None:
        """Whatever comes from it counts as a sign of life, and our own standing still is not its silence."""
        limit, silent_since = patience(self._round_trips), _now()
        while True:
            glanced_at = _now()
            await asyncio.wait({ping}, timeout=_GLANCE_SECONDS)
            if ping.done():
                return
            if _now() - glanced_at > 2 * _GLANCE_SECONDS:
                silent_since = _now()
            silent_since = max(silent_since, self._heard_at() or 0.0)
            if _now() - silent_since > limit:
                self.cut()
                raise UnreachableError(f"silent for {limit:.1f} s")

    async def _watch(self, link: Link) -> None:
        async for event in link.stream(m.WatchVitals()):
            if isinstance(event, m.VitalsChanged):
                self.vitals = event.vitals
        raise UnreachableError(f"{self.member.name} stopped reporting")

    def _uncalled(self, link: Link) -> None:
        if self._called is link:
            self._called = None
            self._has_called.clear()

    def _heard_at(self) -> float | None:
        return self._reception.heard_at.get(self.member.curve_key)


def _now() -> float:
    return asyncio.get_running_loop().time()
