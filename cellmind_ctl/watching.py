"""Follows a run for `train`, `resume` and `watch`, as JSON lines or as a live view. Knows nothing of how runs start."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import MemberLostError
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.plain import to_json
from cellmind_agent.words import t
from cellmind_ctl.attendance import Attendance
from cellmind_ctl.figures import UNKNOWN, choices, duration, number, percent
from cellmind_ctl.following import FollowedRun
from cellmind_ctl.session import Session

if TYPE_CHECKING:
    from cellmind_ctl.render import LiveView

JSON_NAMES: dict[type[m.RunEvent], str] = {
    m.MemberJoined: "member_joined",
    m.RoundStarted: "round_started",
    m.Progressed: "progress",
    m.RoundCommitted: "round_committed",
    m.CheckpointSaved: "checkpoint",
    m.MemberLost: "member_lost",
    m.LeaderChanged: "leader_changed",
    m.RunFinished: "finished",
    m.RunFailed: "failed",
}
_SECOND_CTRL_C_SECONDS = 3.0  # how long the command waits for a second Ctrl-C before it ends
HEADERS = ("name", "tok/s", "share", "idle")


def follow(session: Session, run: RunId, leader: DeviceId) -> m.RunFinished | None:
    """Show the run until it ends, and return its last event; None when the person leaves with Ctrl-C.

    When its leader goes away, the next one is followed. A second Ctrl-C within three seconds stops the run.
    Raises MemberLostError when the run fails.
    """
    followed = FollowedRun(session.client, run, leader)
    try:
        return _follow(session, followed)
    except KeyboardInterrupt:
        sentence = "the run continues; watch it again with: cellmindctl watch {run} (a second Ctrl-C stops it)"
        session.notice("\n" + t(sentence, run=run))
    try:
        time.sleep(_SECOND_CTRL_C_SECONDS)
        return None
    except KeyboardInterrupt:
        session.notice("\n" + t("stopping {run}", run=run))
        followed.stop()
        return _follow(session, followed)


def _follow(session: Session, followed: FollowedRun) -> m.RunFinished | None:
    from cellmind_ctl.render import LiveView  # rich would slow down `train --help`

    attendance = Attendance()
    with LiveView(session.color) as view:
        for event in followed.events():
            attendance.note(event, time.monotonic())
            _show(session, view, event, attendance)
            if isinstance(event, m.RunFinished):
                return event
            if isinstance(event, m.RunFailed):
                raise MemberLostError("{run} failed: {why}", event.hint, run=event.run, why=event.why)
    return None


def _show(session: Session, view: LiveView, event: m.RunEvent, attendance: Attendance) -> None:
    if session.is_json:
        session.emit_event(JSON_NAMES[type(event)], to_json(event))
    elif isinstance(event, m.Progressed | m.RoundCommitted):
        view.show(title(event), HEADERS, member_rows(event.members), right=HEADERS[1:], below=attendance.line())
        if isinstance(event, m.RoundCommitted):
            view.line(_committed(event))
    elif isinstance(event, m.MemberJoined):
        view.line(f"{event.name}: {event.device_kind}{', ' if event.tuning else ''}{t(event.tuning)}")
    elif isinstance(event, m.MemberLost):
        view.line(t(event.why))
    elif isinstance(event, m.LeaderChanged):
        view.line(t("{name} leads now ({why})", name=event.name, why=event.why))
    elif isinstance(event, m.CheckpointSaved):
        view.line(t("checkpoint at step {step} on {devices}", step=event.step, devices=", ".join(event.members)))


def member_rows(members: Sequence[m.MemberProgress]) -> list[list[str]]:
    """The cells of each member, in the order of HEADERS."""
    whole = sum(member.share for member in members) or 1
    return [
        [
            member.name,
            number(member.tokens_per_second),
            percent(100 * member.share / whole),
            percent(100 * member.idle_fraction),
        ]
        for member in members
    ]


def title(event: m.Progressed | m.RoundCommitted) -> str:
    """The line above the members: how far the run is."""
    eta = event.eta_seconds if isinstance(event, m.Progressed) else None
    return t(
        "step {step}/{total}  loss {loss}  {speed} tok/s  ETA {eta}",
        step=event.step,
        total=event.total_steps,
        loss=number(event.loss, 3),
        speed=number(event.tokens_per_second),
        eta=duration(eta),
    )


def _committed(event: m.RoundCommitted) -> str:
    held_out = UNKNOWN
    if event.val_loss is not None:
        bits = number(event.val_bits_per_byte, 2)
        held_out = t("{loss} ({bits} bits/byte)", loss=number(event.val_loss, 3), bits=bits)
        if event.average_val_loss is not None:
            held_out += t(", averaged {loss}", loss=number(event.average_val_loss, 3))
    return t(
        "round {round}  step {step}/{total}  loss {loss}  held-out {held_out}  {speed} tok/s  state {state}",
        round=event.round,
        step=event.step,
        total=event.total_steps,
        loss=number(event.loss, 3),
        held_out=held_out,
        speed=number(event.tokens_per_second),
        state=event.state_hash[:12],
    )


def summary(event: m.RunFinished) -> str:
    """The last lines of a run, for a person: how it ended, and what its held-out loss means."""
    found = choices(event.best_val_loss)
    if event.stopped or found is None:
        return _ending(event)
    meaning = t("it guesses the next piece of a word as if choosing among {choices}", choices=number(found))
    return f"{_ending(event)}\n{meaning}"


def _ending(event: m.RunFinished) -> str:
    if event.stopped:
        sentence = "stopped {run} at step {step}; continue with: cellmindctl resume {run}"
        return t(sentence, run=event.run, step=event.step)
    loss, seconds = number(event.best_val_loss, 3), f"{event.seconds:.0f}"
    figures = {"run": event.run, "step": event.step, "best": event.best_step, "loss": loss, "seconds": seconds}
    if event.early:
        sentence = "the held-out loss rose: {run} ends at step {step}; step {best} is best ({loss}, {seconds} s)"
        return t(sentence, **figures)
    return t("finished {run}: step {step}, held-out loss {loss} at step {best}, {seconds} s", **figures)
