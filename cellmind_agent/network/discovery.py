"""mDNS: announces this device and hears others. The only zeroconf import. All that it hears is only a hint.

The service instance is named by the beginning of the device id, never by the host name. zeroconf calls its handlers in
the event loop, so they must not block.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from zeroconf import (
    IPVersion,
    NonUniqueNameException,
    NotRunningException,
    ServiceInfo,
    ServiceStateChange,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from cellmind_agent.network.interfaces import choose_interfaces, read_interfaces
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.announce import Announcement, from_txt, to_txt
from cellmind_agent.protocol.errors import ProtocolError
from cellmind_agent.protocol.limits import (
    INTERFACE_POLL_SECONDS,
    MAX_ADDRESSES_PER_MEMBER,
    RESOLVE_SECONDS,
    SERVICE_TYPE,
    UNICAST_SECONDS,
)

_log = logging.getLogger(__name__)
_INSTANCE_LENGTH = 16  # of 32 characters: unique in any home, and short in other programs' lists


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one device on the network has announced. Nothing of it is proved."""

    announcement: Announcement
    addresses: tuple[Address, ...]
    how: Literal["mdns", "unicast"] = "mdns"  # unicast: it answered a query that went to its host alone


class Discovery:
    """One per process."""

    def __init__(
        self, interfaces: Sequence[str], on_sighting: Callable[[Sighting], None], on_removal: Callable[[str], None]
    ) -> None:
        """`on_removal` gets the beginning of a device's id when its announcement is withdrawn. Both callbacks are
        called in the event loop; `interfaces` are as in `choose_interfaces`."""
        self._interfaces, self._on_sighting, self._on_removal = interfaces, on_sighting, on_removal
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._info: ServiceInfo | None = None
        self._announcement: Announcement | None = None
        self._has_news = asyncio.Event()
        self._port = 0
        self._addresses: tuple[str, ...] = ()
        self._resolving: set[asyncio.Task[None]] = set()

    async def serve(self, announcement: Announcement, port: int) -> None:
        """Announce and browse until cancelled, also when the machine moves to another network."""
        self._announcement, self._port = announcement, port
        try:
            while True:
                addresses = tuple(i.address for i in choose_interfaces(read_interfaces(), self._interfaces))
                if addresses != self._addresses:
                    self._has_news.clear()
                    await self._stop()
                    await self._start(addresses)
                elif self._has_news.is_set():
                    self._has_news.clear()
                    await self._update()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(INTERFACE_POLL_SECONDS):
                        await self._has_news.wait()
        finally:
            await self._stop()

    def announce(self, announcement: Announcement) -> None:
        """Announce something new soon (another cell, an open invitation). Has no effect unless `serve` runs."""
        if self._announcement is not None:
            self._announcement = announcement
            self._has_news.set()

    async def query(self, hosts: Iterable[str] = ()) -> None:
        """Query the local network and each of `hosts` from a private port, to which the answers are sent.

        This finds devices where multicast is not received, as on phones. Takes UNICAST_SECONDS.
        """
        local_addresses = [i.address for i in choose_interfaces(read_interfaces(), self._interfaces)]
        # None is the multicast group.
        targets: list[str | None] = [None, *dict.fromkeys(hosts)] if local_addresses else list(dict.fromkeys(hosts))
        querier: AsyncZeroconf | None = None
        browsers: list[AsyncServiceBrowser] = []
        try:
            # `unicast` binds a private port instead of 5353.
            querier = AsyncZeroconf(
                interfaces=local_addresses or ["127.0.0.1"], ip_version=IPVersion.V4Only, unicast=True
            )
            for host in targets:
                answered = functools.partial(self._query_answered, host)
                browsers.append(AsyncServiceBrowser(querier.zeroconf, SERVICE_TYPE, handlers=[answered], addr=host))
            await asyncio.sleep(UNICAST_SECONDS)
        except OSError as error:
            _log.debug("cannot query by unicast: %s", error)
        finally:
            for browser in browsers:
                await browser.async_cancel()
            if querier:
                await querier.async_close()

    def _query_answered(
        self, host: str | None, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is not ServiceStateChange.Removed:
            self._resolve_soon(zeroconf, name, host)

    async def _start(self, addresses: tuple[str, ...]) -> None:
        self._addresses = addresses
        if not addresses:
            _log.warning("no network interface for mDNS; known addresses and --peer still work")
            return
        try:
            self._zeroconf = AsyncZeroconf(interfaces=list(addresses), ip_version=IPVersion.V4Only)
            self._browser = AsyncServiceBrowser(self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._heard])
            self._info = self._service_info(addresses)
            await (await self._zeroconf.async_register_service(self._info))  # the second await: until it is announced
            _log.info("mDNS on %s", ", ".join(addresses))
        except NonUniqueNameException:
            _log.error("another device announces this device's id: was this home copied to a second machine?")
        except OSError as error:
            _log.warning("mDNS does not work here (%s); known addresses and --peer still work", error)

    async def _update(self) -> None:
        if self._zeroconf and self._info:
            self._info = self._service_info(self._addresses)
            with contextlib.suppress(OSError):
                await self._zeroconf.async_update_service(self._info)

    async def _stop(self) -> None:
        for task in list(self._resolving):
            task.cancel()
        if self._browser:
            await self._browser.async_cancel()
        if self._zeroconf:
            await self._zeroconf.async_unregister_all_services()
            await self._zeroconf.async_close()
        self._browser = self._zeroconf = self._info = None
        self._addresses = ()

    def _service_info(self, addresses: tuple[str, ...]) -> ServiceInfo:
        assert self._announcement
        instance = self._announcement.device[:_INSTANCE_LENGTH]
        return ServiceInfo(
            SERVICE_TYPE,
            f"{instance}.{SERVICE_TYPE}",
            addresses=[socket.inet_aton(address) for address in addresses],
            port=self._port,
            server=f"{instance}.local.",
            properties=to_txt(self._announcement),
        )

    def _heard(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if self._info and name == self._info.name:
            return
        if state_change is ServiceStateChange.Removed:
            self._on_removal(name.partition(".")[0])
            return
        self._resolve_soon(zeroconf, name, None)

    def _resolve_soon(self, zeroconf: Zeroconf, name: str, host: str | None) -> None:
        task = asyncio.get_running_loop().create_task(self._resolve(zeroconf, name, host))
        self._resolving.add(task)
        task.add_done_callback(self._resolving.discard)

    async def _resolve(self, zeroconf: Zeroconf, name: str, host: str | None) -> None:
        """Read one announcement, from `host` alone if it is given."""
        info = AsyncServiceInfo(SERVICE_TYPE, name)
        try:
            is_found = await info.async_request(zeroconf, RESOLVE_SECONDS * 1000, addr=host)
        except NotRunningException:  # the query that heard of it has ended
            return
        if not is_found or not info.port:
            return
        try:
            announcement = from_txt(info.properties)
        except ProtocolError as error:
            _log.debug("%s: %s", name, error)
            return
        hosts = info.parsed_addresses(IPVersion.V4Only)[:MAX_ADDRESSES_PER_MEMBER]
        addresses = tuple(Address(host=found, port=info.port) for found in hosts)
        if self._announcement and announcement.device != self._announcement.device:
            self._on_sighting(
                Sighting(announcement=announcement, addresses=addresses, how="unicast" if host else "mdns")
            )
