"""Fixed data of the screens that tests store: the rows come from the commands' own code."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_ctl import watching
from cellmind_ctl.commands import peers, runs


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """A table as a command would show it."""

    headers: Sequence[str]
    rows: Sequence[Sequence[str]]
    right: Sequence[str] = ()
    less: Sequence[str] = ()
    title: str = ""


def peers_view() -> View:
    """A laptop, a desktop with much to show, and a phone that is gone."""
    found = [peer("거실에 있는 오래된 노트북", is_self=True), peer("desktop"), peer("phone", state="gone")]
    rows = [peers.row(one, wide=False) for one in found]
    return View(headers=peers.HEADERS, rows=rows, right=peers.RIGHT, less=peers.LESS)


def runs_view() -> View:
    """A run that trains, and one that is finished."""
    found = [run("run-1125-6ae30a", "training", 40, 4.06), run("run-1124-1ef075", "finished", 124, 3.97)]
    rows = [runs.row(one, now=one.created + 300) for one in found]
    return View(headers=runs.HEADERS, rows=rows, right=runs.RIGHT, less=runs.LESS)


def live_view() -> View:
    """The middle of a run of two members."""
    members = tuple(
        m.MemberProgress(name=name, tokens=9000, tokens_per_second=3210.5, idle_fraction=0.04, share=3)
        for name in ("거실에 있는 오래된 노트북", "desktop")
    )
    event = m.Progressed(
        run=RunId("run-1125-6ae30a"),
        round=2,
        step=40,
        total_steps=124,
        tokens=18000,
        loss=4.0621,
        tokens_per_second=6421.0,
        members=members,
        wire_bytes=0,
        eta_seconds=300.0,
    )
    rows = watching.member_rows(event.members)
    return View(headers=watching.HEADERS, rows=rows, right=watching.HEADERS[1:], title=watching.title(event))


def peer(name: str, is_self: bool = False, state: Literal["online", "gone"] = "online") -> m.PeerView:
    """A paired device without vitals."""
    return m.PeerView(
        id=DeviceId("a" * 52),
        name=name,
        role="owner" if is_self else "member",
        paired=True,
        state=state,
        is_self=is_self,
        addresses=("192.168.0.12:7420",),
        seen_seconds=1.0 if state == "online" else 7200.0,
    )


def run(name: str, state: m.RunState, step: int, val_loss: float) -> m.RunView:
    """A run of three devices."""
    return m.RunView(
        run=RunId(name),
        state=state,
        roster=("laptop", "desktop", "phone"),
        leader=DeviceId("a" * 52),
        step=step,
        total_steps=124,
        tokens=0,
        created=1_764_000_000.0,
        val_loss=val_loss,
    )


SCREENS: dict[str, Callable[[], View]] = {"peers": peers_view, "runs": runs_view, "live": live_view}
