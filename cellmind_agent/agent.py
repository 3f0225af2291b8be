"""The composition root: builds the parts of an agent in the order in which they need each other, and runs them."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine, Iterator
from pathlib import Path

from cellmind_agent.answers.asking import Asking
from cellmind_agent.answers.serving import Serving
from cellmind_agent.cell.admission import Admission
from cellmind_agent.cell.doctor import Doctor
from cellmind_agent.cell.log_reader import LogReader
from cellmind_agent.cell.membership import Membership
from cellmind_agent.cell.overview import Overview
from cellmind_agent.config import AgentConfig
from cellmind_agent.device.power import PowerReader
from cellmind_agent.device.sleep import watch_for_sleep
from cellmind_agent.device.speed import MeasuredSpeeds
from cellmind_agent.device.suspend import watch_for_suspend
from cellmind_agent.device.vitals import local_versions
from cellmind_agent.device.vitals_monitor import VitalsMonitor
from cellmind_agent.network.discovery import Discovery
from cellmind_agent.network.discovery_ladder import widen_discovery
from cellmind_agent.network.greeter import Greeter
from cellmind_agent.network.listener import Listener
from cellmind_agent.network.local_access import LocalAccess
from cellmind_agent.network.local_requests import LocalRequests
from cellmind_agent.network.own_addresses import OwnAddresses
from cellmind_agent.network.peer_session import SessionEvents
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.probes import Probes
from cellmind_agent.network.rates import Rates
from cellmind_agent.network.reception import Handler, Reception
from cellmind_agent.network.transfer import Transfer
from cellmind_agent.network.tunnels import Tunnels
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.ids import DeviceId, short
from cellmind_agent.runs.conductor import Conductor
from cellmind_agent.runs.member import RunMember
from cellmind_agent.runs.membership import Views
from cellmind_agent.runs.pacing import Pacing
from cellmind_agent.runs.probe import GlooProbe, SpeedProbe
from cellmind_agent.runs.rendezvous import Stores
from cellmind_agent.runs.resuming import Resuming
from cellmind_agent.runs.succession import Succession
from cellmind_agent.runs.taking_part import TakingPart
from cellmind_agent.runs.trainer_calls import TrainerCalls
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.files import HomeLock, private_folder
from cellmind_agent.storage.garbage import collect_garbage
from cellmind_agent.storage.journal import Journal
from cellmind_agent.trust.identity import load_identity
from cellmind_agent.trust.ringfile import load_keyring, load_left
from model.line.sentence import Sentence

_log = logging.getLogger(__name__)


class Agent:
    """One device's agent. Construct it inside a running event loop."""

    def __init__(self, config: AgentConfig) -> None:
        """Raises HomeLockedError, CellmindError (a damaged home)."""
        home, name = private_folder(config.home), config.name
        self._config, self._lock = config, HomeLock(home)
        identity = load_identity(home)
        keyring = load_keyring(home, identity, name, time.time())
        device, keys = identity.device, identity.curve

        # 1. The port, and who is let in.
        self._local_access = LocalAccess(home, device, name, keys.public)
        self._admission = Admission(identity, keyring, load_left(home), self._local_access.key)
        self._reception = Reception(self._admission.recognise)
        self._listener = Listener(keys, self._admission.admits, self._reception.hear)
        self._own_addresses = OwnAddresses(self._listener, config.listen.host, keys.public, config.announced_interfaces)

        # 2. The other devices, and who belongs to the cell.
        self._peers = Peers(home, keys, self._reception, config.peers)
        self._discovery = Discovery(config.announced_interfaces, self._peers.add_sighting, self._peers.remove_sighting)
        self.membership = Membership(
            home,
            identity,
            name,
            admission=self._admission,
            reception=self._reception,
            listener=self._listener,
            own_addresses=self._own_addresses,
            peers=self._peers,
            discovery=self._discovery,
        )
        hello = self.membership.introduction.hello
        self._greeter = Greeter(self._peers, hello, self.membership.sync.compare)

        # 3. What the devices do together, and what this one shows of itself.
        self._work = _Work(config, home, device, self._peers, lambda: self._overview.views())
        self._overview = Overview(
            self._admission, self._work.vitals, self._peers, self._work.tunnels, self._own_addresses.current
        )

        # 4. The one cycle: sessions with peers notify parts that need peers themselves.
        self._peers.wire(
            SessionEvents(
                hello=hello,
                linked=self._greeter.linked,
                fell_silent=self._work.tunnels.cut,
                is_in_run=self._work.is_in_run,
            )
        )
        for handlers in self._all_handlers(home, device):
            self._reception.add_handlers(handlers)

    @property
    def name(self) -> str:
        """The name that people see."""
        return self._config.name

    @property
    def short_id(self) -> str:
        """The beginning of the device id, as people read it."""
        return short(self._admission.me.device)

    @property
    def addresses(self) -> tuple[Address, ...]:
        """Where other devices can reach it, while it runs."""
        return self._own_addresses.current()

    @property
    def other_members(self) -> tuple[str, ...]:
        """The names of the other members of its cell."""
        return tuple(member.name for member in self._admission.others())

    async def run(self, stop: asyncio.Event, ready: asyncio.Event) -> None:
        """1. Prove the gate, open the port. 2. Let our user in. 3. Find the members. 4. Serve until `stop`."""
        config = self._config
        try:
            await self._listener.open(config.listen.host, config.listen.port)
            self._local_access.publish(self._own_addresses.local())
            self._peers.set_members(self._admission.others())
            _log.info("%s (%s) serves on port %d", config.name, short(self._admission.me.device), self._listener.port)
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work, name=name) for name, work in self._services().items()]
                ready.set()
                await stop.wait()
                await self._work.conductor.close()
                await self._work.member.close()
                await self._work.serving.close()
                await self._peers.say_goodbye("stopping")
                await self._reception.drop(lambda key: True)
                for task in tasks:
                    task.cancel()
        finally:
            self._greeter.close()
            self.membership.sync.close()
            await self._work.tunnels.close()
            await self._peers.close()
            await self._listener.close()
            self._local_access.withdraw()
            self._lock.release()

    def _all_handlers(self, home: Path, device: DeviceId) -> Iterator[dict[type, Handler]]:
        config, probes = self._config, Probes(device, self._peers)
        doctor = Doctor(
            home,
            config.uses_mdns,
            config.announced_interfaces,
            self._listener,
            probes,
            self._overview.views,
            self._admission,
            self.membership.recovering,
            config.unseen_seconds,
        )
        yield self._greeter.handlers()
        yield self.membership.handlers()
        yield self._overview.handlers()
        yield probes.handlers()
        yield Rates(self._peers).handlers()
        yield doctor.handlers()
        yield LogReader(home).handlers()
        yield LocalRequests(device, self._peers).handlers()
        yield from self._work.all_handlers()

    def _services(self) -> dict[str, Coroutine[None, None, None]]:
        """What runs as long as the agent does, by name."""
        services = {
            "gate": self._listener.serve(),
            "sleep": watch_for_sleep(self._peers.reset_after_sleep),
            "suspend": watch_for_suspend(self._peers.suspend, self._peers.wakefulness.resume),
            **self._work.services(),
        }
        if self._config.uses_mdns:
            announcement = self.membership.introduction.announcement()
            services["mdns"] = self._discovery.serve(announcement, self._listener.port)
            services["discovery ladder"] = widen_discovery(self._peers, self._discovery)
        return services


class _Work:
    """What the devices of a cell do together (move blobs, train, answer), and this device's vitals."""

    def __init__(self, config: AgentConfig, home: Path, device: DeviceId, peers: Peers, views: Views) -> None:
        """`views` gives all devices of the cell, this one included, once the agent is complete."""
        self._home = home
        self._store = BlobStore(root=home / "blobs", quota_bytes=config.quota_bytes)
        self._store.prepare()
        self._journal = Journal(home)
        speeds = MeasuredSpeeds(home)
        self._transfer = Transfer(device, self._store, peers)
        self.tunnels = Tunnels(peers)
        stores = Stores()  # the conductor opens one for each run, in which the trainers find each other
        self._power = PowerReader(sys.platform)
        pacing = Pacing(config.politeness, self._power.current)
        succession = Succession(device, peers)
        trainer = TakingPart(
            device,
            succession,
            self._transfer,
            self.tunnels,
            self._store,
            self._journal,
            TrainerCalls(device, peers, self.tunnels, stores),
            speeds.record_run,
            pacing,
            views,
        )
        self.member = RunMember(device, peers, self.tunnels, self._store, self._journal, succession, trainer)
        self.conductor = Conductor(device, peers, self.member, stores, self._journal, views)
        self._probe = GlooProbe(home, local_versions())
        self._pacing = pacing
        self._speed_probe = SpeedProbe(home, self._journal.tuning_file, speeds, config.politeness, self._why_not_train)
        self._resuming = None
        if config.resume_on_boot:
            self._resuming = Resuming(device, peers, self._journal, views, self.conductor.start, self._probe.fault)
        self.vitals = VitalsMonitor(
            home, config.name, speeds, self._power.current, lambda: self.member.run, pacing.limit
        )
        self.serving = Serving(device, config.name, self._store, self._journal, self._transfer)
        self._asking = Asking(device, peers, self.serving, self.vitals.current)

    def is_in_run(self) -> bool:
        """True while this device leads a run or takes part in one."""
        return self.conductor.is_busy or self.member.run is not None

    def _why_not_train(self) -> Sentence | None:
        if self.is_in_run():
            return Sentence("this device is training")
        limit = self._pacing.limit(self._power.current())
        return limit.why if limit and limit.is_paused else None

    def all_handlers(self) -> Iterator[dict[type, Handler]]:
        """The handlers of each part."""
        yield self._transfer.handlers()
        yield self.tunnels.handlers()
        yield self.member.handlers()
        yield self.conductor.handlers()
        yield self.serving.handlers()
        yield self._asking.handlers()
        yield self._probe.handlers()
        yield self._speed_probe.handlers()

    def services(self) -> dict[str, Coroutine[None, None, None]]:
        """What runs as long as the agent does, by name."""
        services = {
            "power": self._power.serve(),
            "vitals": self.vitals.serve(),
            "garbage": collect_garbage(self._store, self._journal, self.is_in_run),
            "idle answers": self.serving.release_when_idle(),
        }
        if self._resuming:
            services["resuming"] = self._resuming.serve()
        return services
