"""The figures of a run while it goes on: speeds, shares, tokens, losses. Turns them into the events that watchers see.

Clocks come in as arguments, so the arithmetic is pure.
"""

from __future__ import annotations

from collections.abc import Mapping

from cellmind_agent.planning.commits import local_round_seconds, round_seconds
from cellmind_agent.planning.ranges import Range
from cellmind_agent.planning.run_actions import Commit, OpenRound, Pace
from cellmind_agent.planning.run_life import Standing
from cellmind_agent.planning.shares import averaged, shares
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import DeviceId
from model.line.held_out import HeldOutRecord

_FORGIVING = 1.1  # how much faster a device counts after each round in which it got nothing to do


class RunFigures:
    """What the leader knows of its run. `now` is seconds on any one monotonic clock."""

    def __init__(self, spec: m.RunSpec, start: m.ModelView | None, total_steps: int, now: float) -> None:
        self._spec, self._total_steps = spec, total_steps
        self._seats: dict[DeviceId, m.RosterMember] = {}
        self._roster: tuple[DeviceId, ...] = ()  # of the round
        self._speeds: dict[DeviceId, float | None] = {}  # tokens a second, averaged
        self._progress: dict[DeviceId, m.MemberProgressed] = {}  # the latest
        self._started_at = self._round_opened_at = now
        self.step = start.step if start else 0
        self._tokens = self._round_first_token = start.tokens if start else 0
        self.val_loss: float | None = None
        self.held_out = start.held_out if start else HeldOutRecord()
        self.shares: tuple[int, ...] = ()  # of the members in each step; empty in a local round
        self._own_tokens: dict[DeviceId, int] = {}  # what each member has done in a local round
        self._busy_seconds: dict[DeviceId, float] = {}  # and how long that took
        self._seconds_per_step: float | None = None
        self._last_commit = 0.0, -1  # when all had trained the last round, and its term
        self._commit_seconds = 0.0  # from then to the start of the next round
        self._exchange_seconds = 0.0  # of the last local round
        self._num_lost = 0
        self._checkpoint_at: float | None = None
        self.has_checkpoint = start is not None  # from which `resume` can continue

    def seat(self, member: m.RosterMember) -> None:
        """This device takes part, for the first time or again."""
        self._seats[member.device] = member
        self._speeds.setdefault(member.device, member.tokens_per_second)

    def adopt(self, last: m.LastCommit) -> None:
        """Go on from a commit that another leader made. Whether it is in a checkpoint is not known here."""
        self.step, self._tokens, self.held_out, self.val_loss = last.step, last.tokens, last.held_out, last.val_loss
        self.has_checkpoint = self.has_checkpoint or last.step > 0

    def pace(self, now: float) -> Pace:
        """What the state machine of rounds needs to know of time."""
        since = None if self._checkpoint_at is None else now - self._checkpoint_at
        is_local = self._spec.mode == "local"
        seconds = round_seconds(
            self._spec.round_seconds,
            self._commit_seconds,
            now - self._started_at,
            self._num_lost,
            1 / max(1, len(self._roster)) if is_local else 1.0,  # a lost member's steps are dealt to others
        )
        return Pace(
            round_seconds=local_round_seconds(seconds, self._exchange_seconds) if is_local else seconds,
            seconds_per_step=self._seconds_per_step,
            seconds_since_checkpoint=since,
            first_steps=2 * max(1, len(self._seats) if is_local else 1),
            speeds=self._speeds,
        )

    def note_lost(self) -> None:
        """A device was lost: rounds become shorter, so that the next loss costs less."""
        self._num_lost += 1

    def open_round(self, action: OpenRound, now: float) -> m.RoundStarted:
        """Decide the shares of the round by the speeds known so far."""
        committed_at, term = self._last_commit
        if term == action.term:  # else a new group was formed meanwhile
            self._commit_seconds = now - committed_at
        self._roster = action.roster
        speeds = [self._speeds[device] for device in action.roster]
        self.shares = shares(speeds, self._spec.batch_samples) if action.is_together else ()
        self._own_tokens, self._busy_seconds = {}, {}
        self._round_opened_at, self._round_first_token, self.step = now, self._tokens, action.step
        return m.RoundStarted(
            run=self._spec.run,
            round=action.round,
            step=action.step,
            num_steps=action.num_steps,
            total_steps=self._total_steps,
        )

    def note_taken(self, device: DeviceId, tokens: int, seconds: float) -> None:
        """In a local round a member has taken steps with so many targets, so long after it was asked for them."""
        self._own_tokens[device] = self._own_tokens.get(device, 0) + tokens
        self._busy_seconds[device] = self._busy_seconds.get(device, 0.0) + seconds
        speed = self._speeds[device]
        if tokens > 0 and seconds > 0:
            self._speeds[device] = averaged(speed, tokens / seconds)
        elif speed:  # it was cut in its first step: it is slower than it seemed
            self._speeds[device] = speed / 2

    def commit_round(self, action: Commit, now: float) -> m.RoundCommitted:
        """The figures of the round that all members have trained and now commit."""
        result, seconds, first_step = action.result, now - self._round_opened_at, self.step
        self._last_commit = now, -1 if action.is_checkpoint else action.term
        if action.step > self.step:
            self._exchange_seconds = result.exchange_seconds if self._spec.mode == "local" else 0.0
            self._seconds_per_step = (seconds - self._exchange_seconds) / (action.step - self.step)
        if result.val_loss is not None:
            self.val_loss = result.val_loss
        self._note_speeds(action)
        if action.taken:  # without those that were lost in the round, whose steps others have taken
            self._roster = tuple(one for one in self._roster if one in action.roster or one in action.taken)
        self._tokens, self.step, self.held_out = result.tokens, action.step, action.held_out
        return m.RoundCommitted(
            run=self._spec.run,
            round=action.round,
            first_step=first_step,
            step=action.step,
            total_steps=self._total_steps,
            tokens=result.tokens,
            loss=result.loss,
            tokens_per_second=self._tokens_per_second(result.tokens, seconds),
            members=self._members(result.tokens, action.taken, seconds),
            wire_bytes=self._wire_bytes(),
            state_hash=result.state_hash,
            val_loss=result.val_loss,
            val_bits_per_byte=result.val_bits_per_byte,
            average_val_loss=result.average_val_loss,
            term=action.term,
        )

    def save_checkpoint(self, model: m.ModelView, names: tuple[str, ...], now: float) -> m.CheckpointSaved:
        self._checkpoint_at, self.has_checkpoint = now, True
        return m.CheckpointSaved(run=self._spec.run, step=model.step, state_hash=model.state_hash, members=names)

    def note_progress(self, device: DeviceId, progress: m.MemberProgressed) -> None:
        self._progress[device] = progress

    def progressed(self, standing: Standing, progress: m.MemberProgressed, now: float) -> m.Progressed:
        """How the run stands in the middle of a round, by what one member has just reported: rank 0, or in a local
        round any member, to which the others that are still there are added."""
        step, tokens = progress.step, progress.tokens
        if not self.shares:
            of_all = [self._progress[device] for device in standing.roster if device in self._progress]
            step = self.step + sum(max(0, one.step - self.step) for one in of_all)
            tokens = self._round_first_token + sum(max(0, one.tokens - self._round_first_token) for one in of_all)
        done, seconds = step - self.step, now - self._round_opened_at
        pace = seconds / done if done > 0 else self._seconds_per_step
        return m.Progressed(
            run=self._spec.run,
            round=standing.round,
            step=step,
            total_steps=self._total_steps,
            tokens=tokens,
            loss=progress.loss,
            tokens_per_second=self._tokens_per_second(tokens, seconds),
            members=self._members(tokens, {}, seconds),
            wire_bytes=self._wire_bytes(),
            eta_seconds=(self._total_steps - step) * pace if pace else None,
        )

    def finished(self, is_stopped: bool, is_early: bool, now: float) -> m.RunFinished:
        """The last event of a run that has not failed. A person ended it, or the held-out loss did (`is_early`)."""
        return m.RunFinished(
            run=self._spec.run,
            step=self.step,
            tokens=self._tokens,
            seconds=now - self._started_at,
            stopped=is_stopped,
            val_loss=self.val_loss,
            early=is_early,
            best_step=self.held_out.best_step if self.held_out.best_loss is not None else None,
            best_val_loss=self.held_out.best_loss,
        )

    def _tokens_per_second(self, tokens: int, seconds: float) -> float:
        return (tokens - self._round_first_token) / seconds if seconds > 0 else 0.0

    def _note_speeds(self, action: Commit) -> None:
        for device, share in zip(self._roster, self.shares, strict=bool(self.shares)):
            # A member without a step, or with one that does not count yet, has measured nothing.
            measured = self._progress[device].compute_tokens_per_second if device in self._progress else 0.0
            if share and measured > 0:
                self._speeds[device] = averaged(self._speeds[device], measured)
        for device in action.roster if action.taken else ():
            speed = self._speeds[device]
            if device not in action.taken and speed:  # too slow for a step, as it seems: it is tried again some time
                self._speeds[device] = speed * _FORGIVING

    def _members(
        self, tokens: int, taken: Mapping[DeviceId, tuple[Range, ...]], seconds: float
    ) -> tuple[m.MemberProgress, ...]:
        """Each member's part of the round, when the run as a whole has seen `tokens`, and who has `taken` which steps
        alone in these `seconds`: the time in which it took none is idle."""
        found, total = [], sum(self.shares)
        for rank, device in enumerate(self._roster):
            progress = self._progress.get(device)
            idle = progress.idle_fraction if progress else 0.0
            if self.shares:
                share = self.shares[rank]
                own = (tokens - self._round_first_token) * share // total
            elif taken:
                share = sum(stop - start for start, stop in taken.get(device, ()))
                own = self._own_tokens.get(device, 0)
                idle = max(0.0, 1 - self._busy_seconds.get(device, 0.0) / seconds) if seconds > 0 else 0.0
            else:
                share = max(0, progress.step - self.step) if progress else 0
                own = max(0, progress.tokens - self._round_first_token) if progress else 0
            found.append(
                m.MemberProgress(
                    name=self._seats[device].name,
                    tokens=own,
                    tokens_per_second=progress.compute_tokens_per_second if progress else 0.0,
                    idle_fraction=idle,
                    share=share,
                    steps=taken.get(device, ()),
                )
            )
        return tuple(found)

    def _wire_bytes(self) -> int:
        return sum(progress.wire_bytes for progress in self._progress.values())
