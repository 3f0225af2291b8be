"""What a leader writes down between two commits, and sends with the next one: every member keeps the run's history."""

from __future__ import annotations

import time

from cellmind_agent.planning.run_actions import Commit
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.runs.figures import RunFigures


class CommitBook:
    """The commit that is under way, and who has come and gone since the one before it."""

    def __init__(self, spec: m.RunSpec, leader: DeviceId) -> None:
        self._spec, self._leader = spec, leader
        self.last: m.LastCommit | None = None
        self._request: m.CommitRound | None = None
        self._checkpoint: m.ModelView | None = None
        self._joined: list[m.MemberJoined] = []
        self._lost: list[m.MemberLost] = []

    def note(self, event: m.MemberJoined | m.MemberLost) -> None:
        """Somebody came or went."""
        if isinstance(event, m.MemberJoined):
            self._joined.append(event)
        else:
            self._lost.append(event)

    def request(
        self, action: Commit, figures: RunFigures, seats: tuple[m.RosterMember, ...], now: float
    ) -> m.CommitRound:
        """What the members must write down. `now` is on the clock of the figures."""
        event = figures.commit_round(action, now)
        last = m.LastCommit(
            term=m.Term(number=action.term, leader=self._leader),
            round=action.round,
            step=action.step,
            tokens=action.result.tokens,
            state_hash=action.result.state_hash,
            roster=seats,
            held_out=action.held_out,
            val_loss=figures.val_loss,
        )
        self._checkpoint = None
        self._request = m.CommitRound(
            run=self._spec.run,
            last=last,
            event=event,
            joined=tuple(self._joined),
            lost=tuple(self._lost),
            checkpoint=action.is_checkpoint,
            time=time.time(),
            is_best=action.is_best,
        )
        return self._request

    def note_answer(self, request: m.CommitRound, answer: m.MemberCommitted) -> None:
        """A member has committed. A dropped one may answer when the next round is being committed."""
        if request is self._request:
            self._checkpoint = answer.checkpoint or self._checkpoint

    def close(self) -> tuple[m.RoundCommitted, m.ModelView | None]:
        """All have committed: the round, and its checkpoint."""
        assert self._request
        self.last = self._request.last
        # Those who came or went while the others committed stand in the next request.
        del self._joined[: len(self._request.joined)], self._lost[: len(self._request.lost)]
        return self._request.event, self._checkpoint
