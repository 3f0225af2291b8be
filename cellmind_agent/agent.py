"""The composition root: builds the parts, ties them together, runs them until told to stop. Decides nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import AsyncIterator
from dataclasses import replace

from cellmind_agent.answers.asking import Asking
from cellmind_agent.answers.serving import Serving
from cellmind_agent.cell.checks import Circumstances, run_checks
from cellmind_agent.cell.logs import LogReader
from cellmind_agent.cell.membership import Membership
from cellmind_agent.config import AgentConfig
from cellmind_agent.device.clocks import read_clocks
from cellmind_agent.device.vitals import Situation, local_versions, read_vitals, really_differ
from cellmind_agent.network.acquaintance import Greeting
from cellmind_agent.network.discovery import Discovery
from cellmind_agent.network.interfaces import choose_interfaces, read_interfaces
from cellmind_agent.network.link import Link
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.probes import Probes
from cellmind_agent.network.reception import Handler, Reception
from cellmind_agent.network.transfer import Transfer
from cellmind_agent.network.tunnels import Tunnels
from cellmind_agent.network.wire import Channel, Listener, key_to_text
from cellmind_agent.planning.liveness import seconds_away
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address, parse_address
from cellmind_agent.protocol.announce import Announcement, cell_tag
from cellmind_agent.protocol.codec import Envelope, decode
from cellmind_agent.protocol.errors import CellmindError, NotAllowedError
from cellmind_agent.protocol.home import ControlFile, control_path
from cellmind_agent.protocol.ids import DeviceId, short
from cellmind_agent.protocol.limits import (
    AWAY_SECONDS,
    CLIMB_FIRST_SECONDS,
    CLIMB_LAST_SECONDS,
    CLOCKS_SECONDS,
    VITALS_SECONDS,
)
from cellmind_agent.protocol.plain import to_plain
from cellmind_agent.runs.conductor import Conductor
from cellmind_agent.runs.member import RunMember
from cellmind_agent.runs.probe import GlooProbe
from cellmind_agent.runs.rendezvous import Stores
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.files import HomeLock, private_folder, read_json, write_json
from cellmind_agent.storage.journal import Journal
from cellmind_agent.trust.identity import load_identity, new_curve_keys
from cellmind_agent.trust.permissions import Caller, may_ask
from cellmind_agent.trust.ringfile import load_keyring

_log = logging.getLogger(__name__)
_GARBAGE_SECONDS = 3600.0


class Agent:
    """One device's agent. Make it inside a running loop."""

    def __init__(self, config: AgentConfig) -> None:
        """Raises HomeLockedError, CellmindError (a damaged home)."""
        self._config, home = config, private_folder(config.home)
        self._lock = HomeLock(home)
        self._identity = load_identity(home)
        self._people = new_curve_keys()
        keyring = load_keyring(home, self._identity, config.name, time.time())
        store = BlobStore(root=home / "blobs", quota_bytes=config.quota_bytes)
        store.prepare()
        journal = Journal(home)
        device = self.device = self._identity.device
        self._store, self._journal = store, journal
        self._reception = Reception(self._recognise)
        greeting = Greeting(
            hello=self._hello,
            welcomed=self._welcomed,
            fell_silent=lambda device: self._tunnels.cut(device),
            is_in_run=self._is_in_run,
        )
        self._peers = Peers(home, self._identity.curve, greeting, self._reception)
        self._tunnels = Tunnels(self._peers)
        self._probes = Probes(self.device, self._peers)
        self._membership = Membership(home, self._identity, config.name, keyring, self._peers)
        self._membership.changed = self._keyring_changed
        self._membership.listening_on = self._dial_addresses
        self._membership.look_at = self._ask_host
        self._transfer = Transfer(device, store, self._peers)
        stores = Stores()
        self._desk = RunMember(
            device, self._peers, self._transfer, self._tunnels, store, journal, stores, self._measured
        )
        self._conductor = Conductor(device, self._peers, self._desk, stores, journal)
        self._serving = Serving(device, config.name, store, journal, self._transfer)
        asking = Asking(device, self._peers, self._serving, lambda: self._vitals)
        self._listener = Listener(self._identity.curve, self._admits, self._reception.hear)
        parts = (
            self._membership,
            self._transfer,
            self._tunnels,
            self._probes,
            self._desk,
            self._conductor,
            self._serving,
            asking,
            GlooProbe(home, local_versions()),
            LogReader(home),
            self,
        )
        for part in parts:
            self._reception.add_handlers(part.handlers())
        self._discovery = Discovery(config.interfaces, self._peers.sighted, self._peers.unsighted)
        self._speed = self._load_speed()
        self._vitals = read_vitals(home, self._situation())
        self._vitals_changed = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def handlers(self) -> dict[type, Handler]:
        return {
            m.Hello: self._serve_hello,
            m.TellAddresses: self._serve_addresses,
            m.Ping: self._serve_ping,
            m.Goodbye: self._serve_goodbye,
            m.Woke: self._serve_woke,
            m.WatchVitals: self._serve_vitals,
            m.ListPeers: self._serve_peers,
            m.ConnectAddress: self._serve_connect,
            m.RunChecks: self._serve_checks,
            m.Relay: self._serve_relay,
        }

    async def run(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """1. Prove the gate, open the port. 2. Let our people in. 3. Look for the others. 4. Serve until `stop`."""
        config = self._config
        try:
            await self._listener.open(config.listen.host, config.listen.port)
            self._write_control_file()
            self._peers.set_members(self._membership.others())
            for address in config.peers:
                self._peers.try_everywhere(address)
            _log.info("%s (%s) serves on port %d", config.name, short(self.device), self._listener.port)
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._listener.serve(), name="gate"),
                    group.create_task(self._keep_awake(), name="clocks"),
                    group.create_task(self._keep_vitals(), name="vitals"),
                    group.create_task(self._keep_house(), name="house"),
                    group.create_task(self._climb(), name="ladder"),
                ]
                if config.uses_mdns:
                    tasks.append(
                        group.create_task(self._discovery.serve(self._announcement(), self._listener.port), name="mdns")
                    )
                ready.set()
                await stop.wait()
                await self._conductor.close()
                await self._serving.close()
                await self._peers.say_goodbye("stopping")
                await self._reception.drop(lambda key: True)
                for task in tasks:
                    task.cancel()
        finally:
            for task in self._tasks:
                task.cancel()
            await self._tunnels.close()
            await self._peers.close()
            await self._listener.close()
            control_path(config.home).unlink(missing_ok=True)
            self._lock.release()

    # -- who is who ------------------------------------------------------------------------------------------------

    def _admits(self, key: bytes) -> bool:
        """May this key open a connection at all?"""
        known = key == self._people.public or self._membership.keyring.by_curve_key(key) is not None
        return known or self._membership.admits_strangers()

    def _recognise(self, channel: Channel) -> Caller:
        """Asked for every message: a device that was removed a moment ago is a stranger now (I5)."""
        kind: m.CallerKind = "stranger"
        device: DeviceId | None = None
        member = self._membership.keyring.by_curve_key(channel.curve_key)
        if channel.curve_key == self._people.public:
            kind, device = "local", self.device
        elif member is not None and member.device != self.device:
            kind, device = "member", member.device
        return Caller(kind=kind, curve_key=channel.curve_key, device=device, host=channel.host, channel=channel)

    async def _keyring_changed(self, out: frozenset[DeviceId]) -> None:
        """`out` are the devices that are no longer in: their connections end now, and nobody else's."""
        self._peers.set_members(self._membership.others())
        if out or not self._membership.admits_strangers():
            await self._reception.drop(lambda key: not self._admits(key))
            self._listener.cut(lambda key: not self._admits(key))
        if self._config.uses_mdns:
            self._do(self._discovery.announce(self._announcement()))

    def _announcement(self) -> Announcement:
        return Announcement(
            device=self.device,
            curve_key=key_to_text(self._identity.curve.public),
            cell_tag=cell_tag(self._membership.keyring.cell),
            nameplate=self._membership.open_nameplate(),
        )

    def _dial_addresses(self) -> tuple[Address, ...]:
        """Where this agent can be dialled, each with its key."""
        host, key = self._config.listen.host, self._identity.curve.public
        if host in ("0.0.0.0", "::"):
            hosts = [i.address for i in choose_interfaces(read_interfaces(), self._config.interfaces)]
        else:
            hosts = [host]
        return tuple(Address(host=host, port=self._listener.port, key=key) for host in hosts or ["127.0.0.1"])

    # -- acquaintance ----------------------------------------------------------------------------------------------

    def _hello(self) -> m.Hello:
        keyring = self._membership.keyring
        return m.Hello(
            device=self.device,
            name=self._config.name,
            port=self._listener.port,
            keyring_length=len(keyring.entries),
            keyring_head=keyring.head,
            versions=local_versions(),
        )

    def _welcomed(self, device: DeviceId, link: Link, welcome: m.Welcome) -> None:
        self._peers.told(welcome.addresses)
        self._do(self._membership.compare(link, welcome))
        self._do(self._tell_addresses())

    async def _tell_addresses(self) -> None:
        """Two devices that joined at nearly the same time learn of each other from whoever knows both."""
        message = m.TellAddresses(addresses=self._peers.addresses())
        links = [self._peers.link(device) for device in self._peers.online()]
        await asyncio.gather(*(link.request(message) for link in links), return_exceptions=True)

    async def _serve_addresses(self, request: m.TellAddresses, caller: Caller) -> m.Done:
        self._peers.told(request.addresses)
        return m.Done()

    async def _serve_hello(self, request: m.Hello, caller: Caller) -> m.Welcome:
        if caller.device is not None and request.device == caller.device and isinstance(caller.channel, Channel):
            is_port = 0 < request.port < 65536
            address = Address(host=caller.host, port=request.port) if is_port else None
            self._peers.called(caller.device, caller.channel, address)
        hello = self._hello()
        return m.Welcome(
            device=hello.device,
            name=hello.name,
            port=hello.port,
            keyring_length=hello.keyring_length,
            keyring_head=hello.keyring_head,
            versions=hello.versions,
            addresses=self._peers.addresses(),
        )

    async def _serve_ping(self, request: m.Ping, caller: Caller) -> m.Done:
        return m.Done()  # that it came is all there is to it

    async def _serve_goodbye(self, request: m.Goodbye, caller: Caller) -> m.Done:
        if caller.device is not None:
            self._peers.said_goodbye(caller.device, request.why)
        return m.Done()

    async def _serve_woke(self, request: m.Woke, caller: Caller) -> m.Done:
        if caller.device is not None:
            self._peers.said_woken(caller.device, request.seconds)
        return m.Done()

    async def _ask_host(self, host: str) -> None:
        await self._discovery.ask([host])

    def _is_in_run(self) -> bool:
        return self._conductor.is_busy or self._desk.run is not None

    async def _climb(self) -> None:
        """While a member is missing, ask beyond multicast too: less and less often."""
        pause = CLIMB_FIRST_SECONDS
        while True:
            await asyncio.sleep(pause)
            hosts = self._peers.missing_hosts()
            if hosts is None or not self._config.uses_mdns:
                pause = CLIMB_FIRST_SECONDS
                continue
            await self._discovery.ask(hosts)
            pause = min(2 * pause, CLIMB_LAST_SECONDS)

    async def _keep_awake(self) -> None:
        """Notice that this machine slept, or that this agent was stopped: then every link is made anew."""
        while True:
            before = read_clocks()
            await asyncio.sleep(CLOCKS_SECONDS)
            seconds = seconds_away(before, read_clocks(), CLOCKS_SECONDS)
            if seconds > AWAY_SECONDS:
                _log.warning("this device was asleep for %.0f s", seconds)
                self._peers.woke(seconds)

    # -- vitals ----------------------------------------------------------------------------------------------------

    def _situation(self) -> Situation:
        return Situation(name=self._config.name, run=self._desk.run, tokens_per_second=self._speed)

    async def _keep_vitals(self) -> None:
        while True:
            fresh = read_vitals(self._config.home, self._situation())
            if really_differ(self._vitals, fresh):
                async with self._vitals_changed:
                    self._vitals = fresh
                    self._vitals_changed.notify_all()
            await asyncio.sleep(VITALS_SECONDS if self._desk.run is None else 1.0)

    async def _serve_vitals(self, request: m.WatchVitals, caller: Caller) -> AsyncIterator[m.VitalsChanged]:
        while True:
            sent = self._vitals
            yield m.VitalsChanged(vitals=sent)
            async with self._vitals_changed:
                await self._vitals_changed.wait_for(lambda sent=sent: self._vitals is not sent)  # type: ignore[misc]

    def _measured(self, tokens_per_second: float) -> None:
        self._speed = m.Figure(value=tokens_per_second, source="run")
        with contextlib.suppress(CellmindError, OSError):  # a figure lost to a full disk is measured again
            write_json(self._config.home / "speed.json", to_plain(self._speed))

    def _load_speed(self) -> m.Figure | None:
        plain = read_json(self._config.home / "speed.json")
        try:
            return m.Figure(value=float(plain["value"]), source=str(plain["source"]))
        except (TypeError, KeyError, ValueError):
            return None

    # -- our own people --------------------------------------------------------------------------------------------

    def _views(self) -> tuple[m.PeerView, ...]:
        me = self._membership.me
        myself = m.PeerView(
            id=self.device,
            name=self._config.name,
            role=me.role,
            paired=True,
            state="online",
            is_self=True,
            addresses=tuple(str(address) for address in self._dial_addresses()),
            seen_seconds=0.0,
            how="local",
            vitals=replace(self._vitals, run=self._desk.run, tokens_per_second=self._speed),
        )
        carried = self._tunnels.carried_bytes()
        return (myself, *(replace(view, carried_bytes=carried.get(view.id, 0)) for view in self._peers.views()))

    async def _serve_peers(self, request: m.ListPeers, caller: Caller) -> m.PeerList:
        return m.PeerList(peers=self._views())

    async def _serve_connect(self, request: m.ConnectAddress, caller: Caller) -> m.AddressConnected:
        device, name = await self._peers.connect(parse_address(request.address))
        return m.AddressConnected(device=device, name=name)

    async def _serve_checks(self, request: m.RunChecks, caller: Caller) -> m.ChecksRun:
        about = Circumstances(
            home=self._config.home,
            port=self._listener.port,
            uses_mdns=self._config.uses_mdns,
            interfaces=self._config.interfaces,
            versions=local_versions(),
            peers=self._views(),
        )
        reaches = await self._probes.probe_pairs()
        return m.ChecksRun(checks=await asyncio.to_thread(run_checks, about, reaches))

    async def _serve_relay(self, request: m.Relay, caller: Caller) -> AsyncIterator[object]:
        """The command line speaks to its own agent alone; what is meant for another device goes over that link."""
        envelope: Envelope = decode(request.body)
        as_member = Caller(kind="member", curve_key=b"", device=self.device, host="")
        if not may_ask(as_member, type(envelope.message)):
            raise NotAllowedError(f"{type(envelope.message).__name__} is not for another device")
        async for answer in self._peers.link(request.device).forward(envelope.message):
            yield answer

    # -- house -----------------------------------------------------------------------------------------------------

    async def _keep_house(self) -> None:
        collected_at = 0.0
        while True:
            now = asyncio.get_running_loop().time()
            is_busy = self._is_in_run()
            if now - collected_at > _GARBAGE_SECONDS and not is_busy:
                collected_at = now
                wanted = self._journal.wanted_blobs()
                await asyncio.to_thread(self._store.collect, wanted, time.time() - _GARBAGE_SECONDS)
            await self._serving.let_idle_go()
            await asyncio.sleep(1.0)

    def _write_control_file(self) -> None:
        host = self._config.listen.host
        local = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        control = ControlFile(
            address=str(Address(host=local, port=self._listener.port)),
            server_key=key_to_text(self._identity.curve.public),
            client_public_key=key_to_text(self._people.public),
            client_secret_key=key_to_text(self._people.secret),
            device=self.device,
            name=self._config.name,
            pid=os.getpid(),
        )
        write_json(control_path(self._config.home), to_plain(control))

    def _do(self, work: object) -> None:
        task: asyncio.Task[None] = asyncio.create_task(work)  # type: ignore[arg-type]
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
