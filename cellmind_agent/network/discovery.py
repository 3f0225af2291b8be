"""mDNS: say that we are here, hear who else says so. The only zeroconf import. Only ever a source of hints.

The service instance is the beginning of the device id, never the hostname. Handlers run in the loop and must not block.
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

from zeroconf import IPVersion, NonUniqueNameException, ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from cellmind_agent.network.interfaces import choose_interfaces, read_interfaces
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.announce import Announcement, from_txt, to_txt
from cellmind_agent.protocol.errors import ProtocolError
from cellmind_agent.protocol.limits import INTERFACE_POLL_SECONDS, SERVICE_TYPE, UNICAST_SECONDS

_log = logging.getLogger(__name__)
_RESOLVE_MILLISECONDS = 3000
_INSTANCE_LENGTH = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What somebody on the network announced. Nothing of it is proved."""

    announcement: Announcement
    addresses: tuple[Address, ...]
    how: Literal["mdns", "unicast"] = "mdns"  # unicast: a host that was known was asked alone


class Discovery:
    """One per process. `heard` is called for each sighting, `lost` with the beginning of a device's id when it says
    goodbye; both in the loop."""

    def __init__(
        self, interfaces: Sequence[str], heard: Callable[[Sighting], None], lost: Callable[[str], None]
    ) -> None:
        self._wanted, self._heard, self._lost = interfaces, heard, lost
        self._zeroconf: AsyncZeroconf | None = None
        self._browser: AsyncServiceBrowser | None = None
        self._info: ServiceInfo | None = None
        self._announcement: Announcement | None = None
        self._port = 0
        self._addresses: tuple[str, ...] = ()
        self._resolving: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()

    async def serve(self, announcement: Announcement, port: int) -> None:
        """Announce and browse until cancelled; follows the machine from network to network."""
        self._announcement, self._port = announcement, port
        try:
            while True:
                addresses = tuple(i.address for i in choose_interfaces(read_interfaces(), self._wanted))
                if addresses != self._addresses:
                    async with self._turn:
                        await self._stop()
                        await self._start(addresses)
                await asyncio.sleep(INTERFACE_POLL_SECONDS)
        finally:
            async with self._turn:
                await self._stop()

    async def announce(self, announcement: Announcement) -> None:
        """Say something new of ourselves (another cell, an open invitation)."""
        self._announcement = announcement
        async with self._turn:
            if self._zeroconf and self._info:
                self._info = self._service_info(self._addresses)
                with contextlib.suppress(OSError):
                    await self._zeroconf.async_update_service(self._info)

    async def ask(self, hosts: Iterable[str] = ()) -> None:
        """Ask from a port of our own, so that answers come back to us alone: for where multicast is not received, as on
        phones, or does not get through, but a host is known. Takes UNICAST_SECONDS."""
        near = [i.address for i in choose_interfaces(read_interfaces(), self._wanted)]
        targets: list[str | None] = [None, *dict.fromkeys(hosts)] if near else list(dict.fromkeys(hosts))
        asker: AsyncZeroconf | None = None
        browsers: list[AsyncServiceBrowser] = []
        try:
            asker = AsyncZeroconf(interfaces=near or ["127.0.0.1"], ip_version=IPVersion.V4Only, unicast=True)
            for host in targets:
                heard = functools.partial(self._answered, host)
                browsers.append(AsyncServiceBrowser(asker.zeroconf, SERVICE_TYPE, handlers=[heard], addr=host))
            await asyncio.sleep(UNICAST_SECONDS)
        except OSError as error:
            _log.debug("cannot ask by unicast: %s", error)
        finally:
            for browser in browsers:
                await browser.async_cancel()
            if asker:
                await asker.async_close()

    def _answered(
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
            self._browser = AsyncServiceBrowser(self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._changed])
            self._info = self._service_info(addresses)
            await (await self._zeroconf.async_register_service(self._info))
            _log.info("mDNS on %s", ", ".join(addresses))
        except NonUniqueNameException:
            _log.error("another device announces this device's id: was this home copied to a second machine?")
        except OSError as error:
            _log.warning("mDNS does not work here (%s); known addresses and --peer still work", error)

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

    def _changed(self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if self._info and name == self._info.name:
            return
        if state_change is ServiceStateChange.Removed:
            self._lost(name.partition(".")[0])
            return
        self._resolve_soon(zeroconf, name, None)

    def _resolve_soon(self, zeroconf: Zeroconf, name: str, host: str | None) -> None:
        task = asyncio.get_running_loop().create_task(self._resolve(zeroconf, name, host))
        self._resolving.add(task)
        task.add_done_callback(self._resolving.discard)

    async def _resolve(self, zeroconf: Zeroconf, name: str, asked: str | None) -> None:
        info = AsyncServiceInfo(SERVICE_TYPE, name)
        if not await info.async_request(zeroconf, _RESOLVE_MILLISECONDS, addr=asked) or not info.port:
            return
        try:
            announcement = from_txt(info.properties)
        except ProtocolError as error:
            _log.debug("%s: %s", name, error)
            return
        addresses = tuple(Address(host=host, port=info.port) for host in info.parsed_addresses(IPVersion.V4Only)[:8])
        if self._announcement and announcement.device != self._announcement.device:
            how: Literal["mdns", "unicast"] = "unicast" if asked else "mdns"
            self._heard(Sighting(announcement=announcement, addresses=addresses, how=how))
