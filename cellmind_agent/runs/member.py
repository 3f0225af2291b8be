"""Taking part in a run: fetch what is missing, start the trainer, follow the leader, keep the checkpoints.

One run at a time. A device takes part until it is dismissed, its trainer ends, or no leader is left; leaders come and
go meanwhile (`runs/succession`), and each may direct it only while it follows that one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.network.tunnels import Tunnels
from cellmind_agent.planning.ledger import first_view
from cellmind_agent.planning.succession import term_order
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    BusyError,
    CellmindError,
    NotAllowedError,
    ProtocolError,
    SupersededError,
    UnknownNameError,
)
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.runs.member_rounds import MemberRounds
from cellmind_agent.runs.participation import Participation
from cellmind_agent.runs.process import ChildProcess
from cellmind_agent.runs.reporting import reports
from cellmind_agent.runs.succession import Succession
from cellmind_agent.runs.taking_part import TakingPart
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.journal import Journal
from cellmind_agent.trust.permissions import Caller

_log = logging.getLogger(__name__)


class RunMember:
    """This device as a member of a run."""

    def __init__(
        self,
        device: DeviceId,
        peers: Peers,
        tunnels: Tunnels,
        store: BlobStore,
        journal: Journal,
        succession: Succession,
        trainer: TakingPart,
    ) -> None:
        self._device, self._peers, self._tunnels = device, peers, tunnels
        self._journal = journal
        self.succession, self._trainer = succession, trainer
        self.rounds = MemberRounds(device, tunnels, store, journal, trainer, self._own_trainer)
        self._part: Participation | None = None
        self._life: asyncio.Task[None] | None = None

    def handlers(self) -> dict[type, Handler]:
        return {
            m.PrepareMember: self.prepare,
            **self.rounds.handlers(),
            m.QuestionMember: self.question,
            m.ReplaceLeader: self.replace_leader,
            m.DismissMember: self.dismiss,
        }

    @property
    def run(self) -> RunId | None:
        """The run that this device takes part in now."""
        return self._part.spec.run if self._part else None

    async def close(self) -> None:
        """The agent shuts down: the trainer ends, and the journal says that the run was cut off."""
        if self._life:
            self._life.cancel()
            await asyncio.wait({self._life})

    # -- what the leader asks ------------------------------------------------------------------------------------------

    async def prepare(self, request: m.PrepareMember, caller: Caller) -> AsyncIterator[m.MemberEvent]:
        """The stream lasts as long as this device follows the asker in this run."""
        part = await self._follow(request, caller)
        async with contextlib.aclosing(reports(part, request.term)) as stream:
            async for report in stream:
                yield report

    async def question(self, request: m.QuestionMember, caller: Caller) -> m.Done:
        """The answer is that this device still takes part. Raises as `_own_trainer`."""
        _, child = self._own_trainer(request.run, caller)
        if not child.is_running:
            raise UnknownNameError("the trainer of {run} does not run here", "cellmindctl runs", run=request.run)
        return m.Done()

    async def replace_leader(self, request: m.ReplaceLeader, caller: Caller) -> m.Done:
        """Follow another leader as soon as it comes. Raises as `_own_part`."""
        part = self._own_part(request.run, caller)
        part.leader, part.expected_leader, part.has_leader_left = None, request.leader, True
        part.touch()
        return m.Done()

    async def dismiss(self, request: m.DismissMember, caller: Caller) -> m.Done:
        """Stop the trainer, if it has started, and record how the run ended. Raises as `_own_part`."""
        part = self._own_part(request.run, caller)
        part.is_dismissed = True
        self._trainer.update(part, state=request.state, error=request.error)
        part.touch()
        await part.until(lambda: part.is_over)
        return m.Done()

    async def set_aside(self, run: RunId, name: RunId) -> bool:
        """Keep the committed state as a checkpoint of another model. Returns False if the trainer has lost it.

        Raises CellmindError.
        """
        part = self._part
        return part is not None and part.spec.run == run and await self._trainer.set_aside(part, name)

    # -- whom this device follows --------------------------------------------------------------------------------------

    async def _follow(self, request: m.PrepareMember, caller: Caller) -> Participation:
        """Take part, or follow another leader.

        Raises BusyError, NotAllowedError, ProtocolError, SupersededError, CellmindError (the run has finished here).
        """
        part, term = self._part, request.term
        if part is not None and part.spec.run != request.spec.run:
            raise BusyError("this device takes part in {run} already", run=part.spec.run)
        if caller.device is None or caller.device != term.leader:
            raise NotAllowedError("a device may lead only in a term of its own")
        if self._device not in [member.device for member in request.roster]:
            raise ProtocolError("this device is not in the roster of {run}", run=request.spec.run)
        if part is None:
            self._check_unfinished(request)
            part = self._part = Participation(
                spec=request.spec,
                start=request.start,
                view=first_view(request.spec, request.roster, request.start, term),
                term=term,
                followed=term,
                roster=request.roster,
                leader=term.leader,
                channel=caller.channel,
                last=request.last,
                newest_term=self._journal.last_term(request.spec.run),
                sent_bytes_before=self._tunnels.sent_bytes(),
            )
            self._life = asyncio.create_task(
                self._trainer.take_part(part, self._forget), name=f"take part in {part.spec.run}"
            )
            return part
        self._check_claim(part, term)
        if term.leader != self._device:
            _log.info("%s: %s leads in term %d", part.spec.run, self._peers.name(term.leader), term.number)
        part.term = part.followed = term
        part.leader, part.channel, part.expected_leader = term.leader, caller.channel, None
        part.has_leader_left = False
        part.roster = request.roster
        # People look for the leader before its first commit.
        self._trainer.update(part, leader=term.leader, term=term.number)
        await self._trainer.leave_group(part)
        part.touch()
        return part

    def _check_claim(self, part: Participation, term: m.Term) -> None:
        """Whether this device, which takes part already, may follow that leader. Raises BusyError, SupersededError."""
        if part.is_dismissed or part.problem:
            raise BusyError("this device is just leaving {run}", run=part.spec.run)
        is_expected = part.leader is None and part.expected_leader == term.leader
        is_back = part.leader is None and term == part.term  # the same leader, in the same term: this device slept
        if not (is_expected or is_back) and term_order(term) <= term_order(part.term):
            raise SupersededError("term {term} of {run} is over", term=term.number, run=part.spec.run)
        if part.leader not in (None, term.leader) and self.succession.is_present(part.leader):
            raise SupersededError("{name} still leads {run}", name=self._peers.name(part.leader), run=part.spec.run)

    def _check_unfinished(self, request: m.PrepareMember) -> None:
        """Raises CellmindError if this device knows the run's end: its leader was away, and has fewer steps."""
        try:
            _, view = self._journal.load_run(request.spec.run)
        except UnknownNameError:
            return
        at = request.last or request.start
        if view.state == "finished" and (at.step if at else 0) < view.step:
            raise CellmindError("{run} has finished at step {step}", run=view.run, step=view.step)

    def _forget(self) -> None:
        self._part = None

    def _own_part(self, run: RunId, caller: Caller) -> Participation:
        """Raises UnknownNameError, SupersededError."""
        part = self._part
        if part is None or part.spec.run != run:
            raise UnknownNameError("this device takes no part in {run}", "cellmindctl runs", run=f"{run!r:.60}")
        # A leader that ends its stream still dismisses this device.
        if caller.device is None or caller.device != (part.leader or part.followed.leader):
            raise SupersededError("only the leader of a run may direct it")
        return part

    def _own_trainer(self, run: RunId, caller: Caller) -> tuple[Participation, ChildProcess]:
        """Raises UnknownNameError (also before the trainer has started), SupersededError."""
        part = self._own_part(run, caller)
        if part.leader is None:
            raise SupersededError("only the leader of a run may direct it")
        if part.child is None or part.is_over:
            raise UnknownNameError("the trainer of {run} does not run here", "cellmindctl runs", run=run)
        return part, part.child
