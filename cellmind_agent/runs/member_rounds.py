"""What a member does in the rounds of its run, as the leader asks: join groups, take steps, average, commit."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import replace
from typing import TypeAlias

from cellmind_agent.network.reception import Handler
from cellmind_agent.network.tunnels import Tunnels
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import GroupBrokenError
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.limits import ROUND_PATIENCE_SECONDS
from cellmind_agent.runs.keeping import keep_checkpoint
from cellmind_agent.runs.participation import (
    GroupPlace,
    Participation,
    dealt_spans,
    joining,
    own_spans,
    place_in,
    result_of,
    seconds_to_join,
)
from cellmind_agent.runs.process import ChildFailedError, ChildProcess
from cellmind_agent.runs.round_log import note_committed, note_started
from cellmind_agent.runs.taking_part import TakingPart
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.journal import Journal
from cellmind_agent.trust.permissions import Caller
from model.line.training import AverageWeights, KeepBest, StopSteps, TakeSteps, TrainSteps

OwnTrainer: TypeAlias = Callable[[RunId, Caller], tuple[Participation, ChildProcess]]


class MemberRounds:
    """Serves the requests of the leader that need the trainer of this device."""

    def __init__(
        self,
        device: DeviceId,
        tunnels: Tunnels,
        store: BlobStore,
        journal: Journal,
        trainer: TakingPart,
        own_trainer: OwnTrainer,
    ) -> None:
        """`own_trainer` gives this device's part in the run, if the caller leads it. It raises UnknownNameError,
        SupersededError."""
        self._device, self._tunnels, self._store, self._journal = device, tunnels, store, journal
        self._trainer, self._own_trainer = trainer, own_trainer

    def handlers(self) -> dict[type, Handler]:
        return {
            m.FormGroup: self.form_group,
            m.TrainRound: self.train_round,
            m.DealSteps: self.take_steps,
            m.CallBackSteps: self.call_back,
            m.AverageRound: self.average,
            m.CommitRound: self.commit_round,
        }

    async def form_group(self, request: m.FormGroup, caller: Caller) -> m.Done:
        """Join the group of a new term. Raises GroupBrokenError, CellmindError (a failed trainer, a false leader)."""
        part, child = self._own_trainer(request.run, caller)
        place = place_in(request, self._device)
        part.newest_term = max(part.newest_term, place.term)
        if not request.keeps_steps or part.dealt is None:
            await self._trainer.leave_group(part)  # so that a trainer which waits for a lost rank does so no longer
        async with part.turn:
            self._own_trainer(request.run, caller)  # this device may follow another leader by now
            if place.term < part.newest_term:  # another member was lost meanwhile
                raise GroupBrokenError("term {term} of {run} is over", term=place.term, run=request.run)
            part.group, part.roster, part.backend = place, place.roster, request.backend
            part.term = replace(part.term, number=place.term)
            self._tunnels.begin(part.spec.run, place.term, frozenset(member.device for member in place.roster))
            if request.keeps_steps:
                if part.present_state != request.state_hash:  # the result of an average that is done again
                    part.present_state = None
            else:
                is_holder = place.rank in request.holders
                part.present_state, part.kept_state = (request.state_hash if is_holder else None), None
            await self._trainer.call(child, joining(place, request, part.spec.mode), seconds_to_join(request))
            if not request.keeps_steps:
                part.present_state = request.state_hash
            if request.last and part.last != request.last:  # a newcomer: it can lead from here on
                part.last = request.last
                self._trainer.update(part, step=request.step)
        return m.Done()

    async def train_round(self, request: m.TrainRound, caller: Caller) -> m.RoundTrained:
        """Train this member's share of a round. Raises as `form_group`."""
        part, child = self._own_trainer(request.run, caller)
        async with part.turn:
            place = _place(part, request.term)
            spans = own_spans(part.spec, place.rank, request)
            call = TrainSteps(first_step=request.first_step, spans=spans, evaluate=request.evaluate)
            self._begin_round(part, request.round, request.first_step, request.num_steps)
            trained = await self._trainer.call(child, call, ROUND_PATIENCE_SECONDS)
            part.present_state = trained.state_hash
        return result_of(trained)

    async def take_steps(self, request: m.DealSteps, caller: Caller) -> m.StepsDone:
        """Take steps of a local round alone. Raises as `form_group`."""
        part, child = self._own_trainer(request.run, caller)
        async with part.turn:
            _place(part, request.term)
            call = TakeSteps(
                round_step=request.round_step, first_step=request.first_step, spans=dealt_spans(part.spec, request)
            )
            self._begin_round(part, request.round, request.round_step, request.num_steps)
            part.dealt = request.first_step
            try:
                taken = await self._trainer.call(child, call, ROUND_PATIENCE_SECONDS)
            finally:
                part.dealt = None
        return m.StepsDone(count=taken.count, tokens=taken.tokens)

    async def call_back(self, request: m.CallBackSteps, caller: Caller) -> m.Done:
        """End what this device was dealt, if it has not ended yet. Raises as `_own_trainer`."""
        part, child = self._own_trainer(request.run, caller)
        if part.dealt == request.first_step and part.group and part.group.term == request.term:
            with contextlib.suppress(ChildFailedError):
                await child.report(StopSteps(first_step=request.first_step, at_once=request.at_once))
        return m.Done()

    async def average(self, request: m.AverageRound, caller: Caller) -> m.RoundTrained:
        """End a local round. Raises as `form_group`."""
        part, child = self._own_trainer(request.run, caller)
        async with part.turn:
            place = _place(part, request.term)
            call = AverageWeights(
                round_step=request.round_step,
                num_steps=request.num_steps,
                evaluate=request.evaluate,
                center=place.rank_of(part.spec.center),
            )
            self._begin_round(part, request.round, request.round_step, request.num_steps)
            trained = await self._trainer.call(child, call, ROUND_PATIENCE_SECONDS)
            part.present_state = trained.state_hash
        return result_of(trained)

    async def commit_round(self, request: m.CommitRound, caller: Caller) -> m.MemberCommitted:
        """Record a round that all members have trained, with a checkpoint if it is due. Raises as `train_round`."""
        part, child = self._own_trainer(request.run, caller)
        if request.is_best:
            await child.call(KeepBest(), ROUND_PATIENCE_SECONDS)
        answer = m.MemberCommitted()
        if request.checkpoint:
            written = await self._trainer.write_checkpoint(child, request.last)
            answer = await asyncio.to_thread(keep_checkpoint, self._store, self._journal, part.spec, written, request)
        note_committed(self._journal, part, request, self._device)
        part.last = last = request.last
        part.view = replace(
            part.view,
            step=last.step,
            tokens=last.tokens,
            val_loss=last.val_loss,
            leader=last.term.leader,
            term=last.term.number,
            roster=tuple(member.name for member in last.roster),
        )
        self._journal.save_run(part.spec, part.view, part.last)
        return answer

    def _begin_round(self, part: Participation, number: int, step: int, num_steps: int) -> None:
        """Unless the trainer is in the middle of the round already: write it down. The trainer changes its state then,
        and alone it keeps no copy."""
        if part.present_state is None:
            return
        note_started(self._journal, part, number, step, num_steps, self._device)
        is_alone = part.group is not None and len(part.group.roster) == 1
        part.kept_state, part.present_state = (None if is_alone else part.present_state), None


def _place(part: Participation, term: int) -> GroupPlace:
    """This device's place in the group of that term. Raises GroupBrokenError."""
    if part.group is None or part.group.term != term:
        raise GroupBrokenError("term {term} of {run} is over", term=term, run=part.spec.run)
    return part.group
