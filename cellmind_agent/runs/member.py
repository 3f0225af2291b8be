"""Taking part in a run: fetch what is missing, start the trainer, follow the leader, keep the checkpoints.

One run at a time. Only the leader that prepared this member may direct it. When the leader is lost, the trainer is
stopped and the last checkpoint stays.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import TypeVar

from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.network.transfer import Transfer
from cellmind_agent.network.tunnels import Tunnels
from cellmind_agent.planning.ledger import first_view
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    BusyError,
    CellmindError,
    GroupBrokenError,
    LinkLostError,
    NotAllowedError,
    ProtocolError,
    UnknownNameError,
)
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.limits import GROUP_SECONDS, PREPARE_SECONDS, ROUND_PATIENCE_SECONDS
from cellmind_agent.runs.keeping import keep_checkpoint
from cellmind_agent.runs.leader_watch import until_leader_lost
from cellmind_agent.runs.pacing import Pacing
from cellmind_agent.runs.participation import (
    Participation,
    joining,
    members_here,
    needed_blobs,
    own_spans,
    place_in,
    result_of,
    trainer_parameters,
)
from cellmind_agent.runs.process import ChildFailedError, ChildProcess
from cellmind_agent.runs.trainer_calls import TrainerCalls
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.checkpoints import checkpoint_on_disk
from cellmind_agent.storage.journal import Journal
from cellmind_agent.trust.permissions import Caller
from model.line.declare import Call, Event
from model.line.sentence import Sentence
from model.line.training import (
    KeepBest,
    StepsProgressed,
    TrainerReady,
    TrainSteps,
    WriteCheckpoint,
)

A = TypeVar("A")
_log = logging.getLogger(__name__)
_CUT_OFF = Sentence("the run was cut off")


class RunMember:
    """This device as a member of a run."""

    def __init__(
        self,
        device: DeviceId,
        peers: Peers,
        transfer: Transfer,
        tunnels: Tunnels,
        store: BlobStore,
        journal: Journal,
        trainer_calls: TrainerCalls,
        measured: Callable[[float], None],
        pacing: Pacing,
    ) -> None:
        """`measured` receives this device's training speed, in tokens a second, at the end of each run."""
        self._device, self._peers, self._transfer, self._tunnels = device, peers, transfer, tunnels
        self._store, self._journal = store, journal
        self._trainer_calls, self._measured, self._pacing = trainer_calls, measured, pacing
        self._part: Participation | None = None

    def handlers(self) -> dict[type, Handler]:
        return {
            m.PrepareMember: self.prepare,
            m.FormGroup: self.form_group,
            m.TrainRound: self.train_round,
            m.CommitRound: self.commit_round,
            m.DismissMember: self.dismiss,
        }

    @property
    def run(self) -> RunId | None:
        """The run that this device takes part in now."""
        return self._part.spec.run if self._part else None

    # -- what the leader asks ------------------------------------------------------------------------------------------

    async def prepare(
        self, request: m.PrepareMember, caller: Caller
    ) -> AsyncIterator[m.MemberReady | m.MemberProgressed | m.MemberFailed]:
        """The stream lasts as long as this device takes part."""
        if self._part is not None:
            raise BusyError("this device takes part in {run} already", run=self._part.spec.run)
        if caller.device is None or caller.device != request.spec.roster[0].device:
            raise NotAllowedError("only the first of a roster leads its run")
        if self._device not in [member.device for member in request.spec.roster]:
            raise ProtocolError("this device is not in the roster of {run}", run=request.spec.run)
        part = self._part = Participation(
            spec=request.spec,
            view=first_view(request.spec),
            leader=caller.device,
            sent_bytes_before=self._tunnels.sent_bytes(),
        )
        problem: Sentence | None = _CUT_OFF
        try:
            ready = await self._start_trainer(part)
            yield m.MemberReady(device_kind=ready.device_kind, tuning=ready.tuning)
            async for progress in self._follow(part, caller.channel):
                yield progress
            problem = None if part.is_dismissed else part.view.error
        except ChildFailedError as error:
            problem = error.message
            yield m.MemberFailed(why=error.message)
        except CellmindError as error:
            problem = error.message
            raise
        finally:
            await self._leave(part, problem)

    async def form_group(self, request: m.FormGroup, caller: Caller) -> m.Done:
        """Join the group of a new term. Raises GroupBrokenError, CellmindError (a failed trainer, a false leader)."""
        part, child = self._own_trainer(request.run, caller)
        place = place_in(request, self._device)
        part.newest_term = max(part.newest_term, place.term)
        self._leave_group(part)  # so that a trainer which waits for a lost rank does so no longer
        async with part.turn:
            if place.term < part.newest_term:  # another member was lost meanwhile
                raise GroupBrokenError("term {term} of {run} is over", term=place.term, run=request.run)
            part.group = place
            self._tunnels.begin(part.spec.run, place.term, frozenset(member.device for member in place.roster))
            await self._call(child, joining(place, part.spec.backend, request.step), GROUP_SECONDS)
        return m.Done()

    async def train_round(self, request: m.TrainRound, caller: Caller) -> m.RoundTrained:
        """Train this member's share of a round. Raises as `form_group`."""
        part, child = self._own_trainer(request.run, caller)
        async with part.turn:
            if part.group is None or part.group.term != request.term:
                raise GroupBrokenError("term {term} of {run} is over", term=request.term, run=request.run)
            spans = own_spans(part.spec, part.group.rank, request)
            call = TrainSteps(first_step=request.first_step, spans=spans, evaluate=request.evaluate)
            trained = await self._call(child, call, ROUND_PATIENCE_SECONDS)
        return result_of(trained)

    async def commit_round(self, request: m.CommitRound, caller: Caller) -> m.MemberCommitted:
        """Record a round that all members have trained, with a checkpoint if it is due. Raises as `train_round`."""
        part, child = self._own_trainer(request.run, caller)
        self._update(part, step=request.step, tokens=request.tokens, val_loss=request.val_loss)
        if request.is_best:
            await child.call(KeepBest(), ROUND_PATIENCE_SECONDS)
        if not request.checkpoint:
            return m.MemberCommitted()
        call = WriteCheckpoint(
            step=request.step, tokens=request.tokens, val_loss=request.val_loss, held_out=request.held_out
        )
        written = await child.call(call, ROUND_PATIENCE_SECONDS)
        return await asyncio.to_thread(keep_checkpoint, self._store, self._journal, part.spec, written, request)

    async def dismiss(self, request: m.DismissMember, caller: Caller) -> m.Done:
        """Stop the trainer, if it has started, and record how the run ended. Raises as `_own_part`."""
        part = self._own_part(request.run, caller)
        part.is_dismissed = True
        self._update(part, state=request.state, error=request.error)
        if part.child:
            await part.child.stop()
        return m.Done()

    async def _call(self, child: ChildProcess, call: Call[A], seconds: float) -> A:
        """The trainer's answer. Raises GroupBrokenError, ChildFailedError, TimedOutError."""
        try:
            return await child.call(call, seconds)
        except ChildFailedError as error:
            if error.failure.code == "peer_lost" and child.is_running:
                raise GroupBrokenError(error.message, error.hint) from error
            raise

    def _leave_group(self, part: Participation) -> None:
        """Whatever the trainer exchanges with the others fails now."""
        if part.group:
            self._tunnels.cut_term(part.spec.run, part.group.term)
        part.group = None

    def _own_part(self, run: RunId, caller: Caller) -> Participation:
        """Raises UnknownNameError, NotAllowedError."""
        part = self._part
        if part is None or part.spec.run != run:
            raise UnknownNameError("this device takes no part in {run}", "cellmindctl runs", run=f"{run!r:.60}")
        if caller.device != part.leader:
            raise NotAllowedError("only the leader of a run may direct it")
        return part

    def _own_trainer(self, run: RunId, caller: Caller) -> tuple[Participation, ChildProcess]:
        """Raises UnknownNameError (also before the trainer has started), NotAllowedError."""
        part = self._own_part(run, caller)
        if part.child is None:
            raise UnknownNameError("the trainer of {run} has not started here yet", "cellmindctl runs", run=run)
        return part, part.child

    # -- the trainer ---------------------------------------------------------------------------------------------------

    async def _start_trainer(self, part: Participation) -> TrainerReady:
        """What the trainer says about itself. Raises CellmindError."""
        spec = part.spec
        self._journal.save_run(spec, part.view)
        await self._transfer.fetch(needed_blobs(spec), preferred=part.leader)
        folder = self._journal.run_folder(spec.run)
        part.child = await self._pacing.start_trainer(
            folder,
            members_here(spec, self._device),
            serve=lambda call: self._trainer_calls.serve(part, call),
            hear=lambda event: self._hear_trainer(part, event),
        )
        resume_from = checkpoint_on_disk(self._store, spec.resume_from) if spec.resume_from else None
        parameters = trainer_parameters(
            part, self._device, self._store.path, folder, self._journal.tuning_file, resume_from
        )
        ready = await part.child.call(parameters, PREPARE_SECONDS)
        if not part.is_dismissed:  # a stop may have come meanwhile
            self._update(part, state="training")
        return ready

    async def _follow(self, part: Participation, channel: object) -> AsyncIterator[m.MemberProgressed]:
        """The trainer's progress until it ends. Raises ChildFailedError (the trainer ended), LinkLostError.

        `channel` is the connection on which the leader asked. When it is lost, the leader has given this member up,
        even if both are online again by another connection (after a sleep that nobody here has noticed).
        """
        assert part.child
        ended = asyncio.create_task(part.child.ended())
        leader_lost = asyncio.create_task(until_leader_lost(self._peers, self._device, part.leader, channel))
        try:
            while not part.is_dismissed:
                progress = asyncio.create_task(part.progress.get())
                try:
                    await asyncio.wait({progress, ended, leader_lost}, return_when=asyncio.FIRST_COMPLETED)
                    if progress.done():
                        yield progress.result()
                finally:
                    progress.cancel()
                if ended.done() and not part.is_dismissed:
                    raise ChildFailedError(ended.result())
                if leader_lost.done():
                    raise LinkLostError("the leader, {name}, went away", name=self._peers.name(part.leader))
        finally:
            ended.cancel()
            leader_lost.cancel()

    async def _leave(self, part: Participation, problem: str | None) -> None:
        try:
            if part.child:
                await part.child.stop()
        finally:
            if part.group:
                self._tunnels.end(part.spec.run, part.group.term)
            self._part = None
        if part.tokens_per_second:
            self._measured(part.tokens_per_second)
        if not part.is_dismissed:
            self._update(part, state="failed", error=problem or _CUT_OFF)

    def _hear_trainer(self, part: Participation, event: Event) -> None:
        if not isinstance(event, StepsProgressed):
            _log.warning("the trainer of %s sent an unexpected %s", part.spec.run, type(event).__name__)
            return
        part.tokens_per_second = event.compute_tokens_per_second
        part.progress.put_nowait(
            m.MemberProgressed(
                step=event.step,
                loss=event.loss,
                tokens=event.tokens,
                compute_tokens_per_second=event.compute_tokens_per_second,
                idle_fraction=event.idle_fraction,
                wire_bytes=self._tunnels.sent_bytes() - part.sent_bytes_before,
            )
        )

    def _update(self, part: Participation, **changes: object) -> None:
        part.view = replace(part.view, **changes)  # type: ignore[arg-type] # fields of RunView
        try:
            self._journal.save_run(part.spec, part.view)
        except CellmindError as error:
            _log.error("cannot write the state of %s: %s", part.spec.run, error)
