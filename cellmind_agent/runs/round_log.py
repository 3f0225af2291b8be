"""What every member writes down of a round, so that its history does not depend on one device."""

from __future__ import annotations

import contextlib

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.runs.participation import Participation
from cellmind_agent.storage.journal import Journal


def note_started(
    journal: Journal, part: Participation, round_number: int, step: int, num_steps: int, device: DeviceId
) -> None:
    """A round that is never committed is part of the story too, even if its leader does not come back."""
    if part.leader == device:  # it has written it down
        return
    started = m.RoundStarted(
        run=part.spec.run,
        round=round_number,
        step=step,
        num_steps=num_steps,
        total_steps=part.view.total_steps,
    )
    with contextlib.suppress(CellmindError):  # on a full disk the commit fails, and says so
        journal.append_event(part.spec.run, "RoundStarted", started)


def note_committed(journal: Journal, part: Participation, request: m.CommitRound, device: DeviceId) -> None:
    """The round is on the disk when this returns. Raises StorageFullError."""
    # The leader has written down already who came and went.
    others = () if part.leader == device else (*request.joined, *request.lost)
    for event in (*others, request.event):
        journal.append_event(request.run, type(event).__name__, event)
