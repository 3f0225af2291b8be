"""The trainer of this device in one run, from its first blob to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, TypeAlias, TypeVar

from cellmind_agent.network.transfer import Transfer
from cellmind_agent.network.tunnels import Tunnels
from cellmind_agent.planning.recruits import others_train_on
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, GroupBrokenError
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.limits import GROUP_SECONDS, PREPARE_SECONDS, PRESSURE_SECONDS, ROUND_PATIENCE_SECONDS
from cellmind_agent.runs.keeping import keep_aside
from cellmind_agent.runs.pacing import Pacing
from cellmind_agent.runs.participation import Participation, alone, members_here, needed_blobs, trainer_parameters
from cellmind_agent.runs.process import ChildFailedError, ChildProcess
from cellmind_agent.runs.succession import Succession
from cellmind_agent.runs.trainer_calls import TrainerCalls
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.checkpoints import checkpoint_on_disk
from cellmind_agent.storage.journal import Journal
from model.line.declare import Call, Event
from model.line.sentence import Sentence
from model.line.training import CheckpointWritten, GroupOver, StepsProgressed, WriteCheckpoint

A = TypeVar("A")
Views: TypeAlias = Callable[[], Sequence[m.PeerView]]
_log = logging.getLogger(__name__)
CUT_OFF: Final = Sentence("the run was cut off")


class TakingPart:
    """Starts, serves and ends the trainer; the leader's requests go to it by `RunMember`."""

    def __init__(
        self,
        device: DeviceId,
        succession: Succession,
        transfer: Transfer,
        tunnels: Tunnels,
        store: BlobStore,
        journal: Journal,
        trainer_calls: TrainerCalls,
        measured: Callable[[str, float], None],
        pacing: Pacing,
        views: Views,
    ) -> None:
        """`measured` receives at the end of each run what a step computed (`RunSpec.work`), and this device's speed, in
        tokens a second. `views` gives all devices of the cell."""
        self._device, self._succession, self._transfer, self._tunnels = device, succession, transfer, tunnels
        self._store, self._journal = store, journal
        self._trainer_calls, self._measured, self._pacing = trainer_calls, measured, pacing
        self._views = views

    async def take_part(self, part: Participation, left: Callable[[], None]) -> None:
        """From the first blob to the end of the trainer; `left` is called when this device is free for another run."""
        work = asyncio.create_task(self._work(part))
        leaderless = asyncio.create_task(self._succession.until_leaderless(part, lambda: self.leave_group(part)))
        resting = asyncio.create_task(self._until_better_without(part))
        dismissed = asyncio.create_task(part.until(lambda: part.is_dismissed))
        problem: Sentence | None = CUT_OFF
        try:
            await asyncio.wait({work, leaderless, resting, dismissed}, return_when=asyncio.FIRST_COMPLETED)
            ended = next((task for task in (leaderless, resting) if task.done()), work)
            problem = None if part.is_dismissed else ended.result()
        except CellmindError as error:
            problem = error.message
        except Exception:
            _log.exception("taking part in %s failed", part.spec.run)
        finally:
            tasks = (work, leaderless, resting, dismissed)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._leave(part, problem, left)

    async def _work(self, part: Participation) -> Sentence:
        """Start the trainer, and wait for its end. Raises CellmindError, such as ChildFailedError (why it ended)."""
        spec = part.spec
        self._journal.save_run(spec, part.view, part.last)
        await self._transfer.fetch(needed_blobs(spec, part.start), preferred=part.term.leader)
        folder = self._journal.run_folder(spec.run)
        part.child = child = await self._pacing.start_trainer(
            folder,
            members_here(part.roster, self._device),
            serve=lambda call: self._trainer_calls.serve(part, call),
            hear=lambda event: self._hear_trainer(part, event),
        )
        resume_from = checkpoint_on_disk(self._store, part.start) if part.start else None
        parameters = trainer_parameters(
            part, self._device, self._store.path, folder, self._journal.tuning_file, resume_from
        )
        ready = await child.call(parameters, PREPARE_SECONDS)
        part.ready, part.present_state = ready, ready.state_hash
        self.update(part, state="training")
        part.touch()
        return ChildFailedError(await child.ended()).message

    async def _until_better_without(self, part: Participation) -> Sentence:
        """Return when this device must rest and others train on, who would have to wait for it; the result says so.

        The last of the roster leaves first, so that not all leave at once.
        """
        num_looks = 0
        while True:
            await asyncio.sleep(PRESSURE_SECONDS)
            why, group = self._pacing.why_paused, part.group
            devices = [seat.device for seat in group.roster] if group else []
            if why is None or group is None or not others_train_on(self._device, devices, self._views()):
                num_looks = 0
                continue
            num_looks += 1
            if num_looks >= len(devices) - group.rank:
                return Sentence("it rests ({why})", why=why)

    async def _leave(self, part: Participation, problem: Sentence | None, left: Callable[[], None]) -> None:
        if not part.is_dismissed:
            part.problem = problem or CUT_OFF
            part.touch()  # the leader hears why before the trainer's calls fail
        try:
            if part.child:
                await part.child.stop()
        finally:
            if part.group:
                self._tunnels.end(part.spec.run, part.group.term)
            if part.problem and not part.is_dismissed:
                self.update(part, state="failed", error=part.problem)
            part.is_over = True
            left()
            part.touch()
        if part.tokens_per_second:
            self._measured(part.spec.work, part.tokens_per_second)

    async def call(self, child: ChildProcess, call: Call[A], seconds: float) -> A:
        """The trainer's answer. Raises GroupBrokenError, ChildFailedError, TimedOutError."""
        try:
            return await child.call(call, seconds)
        except ChildFailedError as error:
            if error.failure.code == "peer_lost" and child.is_running:
                raise GroupBrokenError(error.message, error.hint) from error
            raise

    async def write_checkpoint(self, child: ChildProcess, last: m.LastCommit) -> CheckpointWritten:
        call = WriteCheckpoint(step=last.step, tokens=last.tokens, val_loss=last.val_loss, held_out=last.held_out)
        return await child.call(call, ROUND_PATIENCE_SECONDS)

    async def set_aside(self, part: Participation, name: RunId) -> bool:
        """As `RunMember.set_aside`."""
        child, last = part.child, part.last
        if child is None or last is None:
            return False
        await self.leave_group(part)
        async with part.turn:
            if last.state_hash not in part.held_states:
                return False
            await self.call(child, alone(last), GROUP_SECONDS)
            part.present_state, part.kept_state = last.state_hash, None
            written = await self.write_checkpoint(child, last)
            await asyncio.to_thread(keep_aside, self._store, self._journal, part.spec, written, last, name)
        return True

    async def leave_group(self, part: Participation) -> None:
        """Whatever the trainer exchanges with the others fails now, also with those on this machine."""
        if part.group is None:
            return
        self._tunnels.cut_term(part.spec.run, part.group.term)
        part.group = None
        part.touch()
        if part.child and part.turn.locked():
            with contextlib.suppress(ChildFailedError):
                await part.child.report(GroupOver())

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

    def update(self, part: Participation, **changes: object) -> None:
        """Change the view of the run, and write it down if the disk allows it."""
        part.view = replace(part.view, **changes)  # type: ignore[arg-type] # fields of RunView
        try:
            self._journal.save_run(part.spec, part.view, part.last)
        except CellmindError as error:
            _log.error("cannot write the state of %s: %s", part.spec.run, error)
