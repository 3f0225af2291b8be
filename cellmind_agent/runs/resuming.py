"""After the start of an agent, an interrupted run is resumed if nobody else leads it (`--resume-on-boot`)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from cellmind_agent.network.peers import Peers
from cellmind_agent.planning.backends import choose_backend, needs_probe
from cellmind_agent.planning.ledger import ledger_of
from cellmind_agent.planning.recruits import as_allowed, may_take_part
from cellmind_agent.planning.resuming import (
    interrupted_run,
    is_under_way,
    is_worth_waiting,
    may_go_on,
    newest_checkpoint,
)
from cellmind_agent.planning.roster import Seating, plan, seat, within_batch
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, UnknownNameError
from cellmind_agent.protocol.ids import DeviceId, RunId, short
from cellmind_agent.protocol.limits import PROBE_SECONDS, RESUME_FIRST_SECONDS, RESUME_RETRY_SECONDS, RESUME_TRIES
from cellmind_agent.storage.journal import Journal
from model.line.sentence import Sentence

_log = logging.getLogger(__name__)
A = TypeVar("A")


class Resuming:
    """Resumes the newest run of the journal, if it was interrupted when the device went down."""

    def __init__(
        self,
        device: DeviceId,
        peers: Peers,
        journal: Journal,
        views: Callable[[], Sequence[m.PeerView]],
        start: Callable[[m.StartRun], None],
        gloo_fault: Callable[[], Awaitable[Sentence | None]],
    ) -> None:
        """`views` gives all devices of the cell, this one included. `start` and `gloo_fault` do on this device what
        StartRun and ProbeGloo ask of another one."""
        self._device, self._peers, self._journal = device, peers, journal
        self._views, self._start, self._gloo_fault = views, start, gloo_fault

    async def serve(self) -> None:
        """Try until the run is under way with this device, or has an end that stays, RESUME_TRIES times at most."""
        interrupted = interrupted_run(self._journal.runs())
        if interrupted is None:
            return
        run = interrupted[0].run
        await asyncio.sleep(RESUME_FIRST_SECONDS)
        for number in range(RESUME_TRIES):
            try:
                if await self._try(run, is_first_try=number == 0):
                    return
            except (CellmindError, OSError, ValueError) as error:  # such as busy: another device resumes it too
                _log.info("%s cannot be resumed now: %s", run, error)
            await asyncio.sleep(RESUME_RETRY_SECONDS)

    async def _try(self, run: RunId, is_first_try: bool) -> bool:
        """Whether there is nothing left to do. Raises CellmindError, OSError, ValueError (a run of impossible size)."""
        # 1. Is the run still interrupted? The leader of a run that is under way admits this device by itself.
        interrupted = interrupted_run(self._journal.runs())
        if interrupted is None or interrupted[0].run != run or self._is_busy():
            return True
        spec, own = interrupted
        lists = await self._ask_all(m.ListRuns())
        known = {device: view for device, answer in lists.items() for view in answer.runs if view.run == run}
        if any(map(is_under_way, known.values())):
            return False
        if not may_go_on([own, *known.values()]):
            return True
        # 2. The devices of the last round hold the newest checkpoint, and may be stronger: some time for them to start.
        if is_first_try and is_worth_waiting(self._views(), self._journal.last_commit(run)):
            return False
        # 3. The newest checkpoint of all devices that are online.
        checkpoint, spec = await self._newest(run), await self._latest_spec(spec, own.term, known)
        if checkpoint.step >= ledger_of(spec).total_steps:
            return True
        spec = as_allowed(spec, self._views())
        allowed = [peer for peer in self._views() if may_take_part(peer.id, spec)]
        seating = within_batch(seat(allowed), spec.batch_samples, spec.mode)
        faults = await self._gloo_faults(seating) if needs_probe(seating.seated, spec.backend) else {}
        made = plan(
            seating,
            spec.batch_samples,
            choose_backend(seating.seated, spec.backend, faults),
            (spec.mode, Sentence("as before")),
        )
        # 4. Have the first of them lead the run, unless another device was faster.
        if self._is_busy():
            return True
        names = ", ".join(member.name for member in made.roster)
        _log.info("%s is resumed from step %d on %s", run, checkpoint.step, names)
        await self._start_on(
            made.roster[0].device,
            m.StartRun(
                spec=spec,
                roster=made.roster,
                backend=made.backend,
                start=checkpoint,
                newest_term=max(view.term for view in (own, *known.values())),
            ),
        )
        return True

    async def _newest(self, run: RunId) -> m.ModelView:
        """Raises UnknownNameError when no device that is online has a checkpoint."""
        models = {device: answer.models for device, answer in (await self._ask_all(m.ListModels())).items()}
        models[self._device] = tuple(self._journal.models())
        newest = newest_checkpoint(run, models.items())
        if newest is None:
            raise UnknownNameError("no device that is online has a checkpoint of {run}", run=run)
        return newest[1]

    async def _latest_spec(self, own: m.RunSpec, own_term: int, known: Mapping[DeviceId, m.RunView]) -> m.RunSpec:
        """A person may have resumed the run with other devices while this one was off. Raises CellmindError."""
        latest = max(known, key=lambda device: known[device].term, default=None)
        if latest is None or known[latest].term <= own_term:
            return own
        return (await self._peers.link(latest).request(m.GetRun(run=own.run))).spec

    def _is_busy(self) -> bool:
        """Whether this device takes part in a run."""
        return any(peer.is_self and peer.vitals and peer.vitals.run for peer in self._views())

    async def _start_on(self, device: DeviceId, request: m.StartRun) -> None:
        if device == self._device:
            self._start(request)
        else:
            await self._peers.link(device).request(request)

    async def _ask_all(self, request: m.Request[A]) -> dict[DeviceId, A]:
        """The answers of the other members that are online."""

        async def ask(device: DeviceId) -> tuple[DeviceId, A] | None:
            try:
                return device, await self._peers.link(device).request(request)
            except CellmindError as error:
                _log.info("%s does not answer: %s", short(device), error.message)
                return None

        answers = await asyncio.gather(*map(ask, self._peers.online()))
        return dict(answer for answer in answers if answer is not None)

    async def _gloo_faults(self, seating: Seating) -> dict[DeviceId, Sentence]:
        """Where gloo does not work, and why. A device that does not answer counts as such."""

        async def ask(device: DeviceId) -> Sentence | None:
            if device == self._device:
                return await self._gloo_fault()
            try:
                return (await self._peers.link(device).request(m.ProbeGloo(), PROBE_SECONDS)).fault
            except CellmindError as error:
                return error.message

        devices = [peer.id for peer in seating.seated]
        faults = await asyncio.gather(*map(ask, devices))
        return {device: fault for device, fault in zip(devices, faults, strict=True) if fault is not None}
