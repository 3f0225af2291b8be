"""Fixed data of the screens that tests store: the rows come from the commands' own code."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from cellmind_agent.planning.backends import choose_backend
from cellmind_agent.planning.exchange import MeasuredNetwork, best_averaging
from cellmind_agent.planning.forecast import INT8, Work, forecast
from cellmind_agent.planning.mode import choose_mode, possible_modes
from cellmind_agent.planning.roster import plan, seat, seat_of, within_batch, without_idlers
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.ids import BlobId, DeviceId, RunId
from cellmind_agent.words import t
from cellmind_ctl import planning, simulating, watching
from cellmind_ctl.attendance import Attendance
from cellmind_ctl.commands import models, peers, runs
from cellmind_ctl.story import SPEED_HEADERS, SPEED_RIGHT, speed_rows
from model.config import Config
from model.line.sentence import Sentence
from model.recipe import TextSize, choose_recipe
from tests.planning.peers import peer as device
from tokenizer.sharding.manifest import FORMAT, Manifest, ShardFile, ShardSet


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a command would show: a table, texts with labels, or both."""

    headers: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()
    right: Sequence[str] = ()
    less: Sequence[str] = ()
    title: str = ""
    below: str = ""
    pairs: Sequence[tuple[str, str]] = ()  # labels and texts below the table


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


def models_view() -> View:
    """The newest and the best checkpoint of a run, and an older model without an evaluation."""
    found = [held("run-1125-6ae30a", 124, 4.06), held("run-1125-6ae30a", 80, 3.97, is_best=True)]
    found.append(held("run-0830-1ef075", 12_000, None))
    rows = [models.row(one, now=one.model.created + 300) for one in found]
    return View(headers=models.HEADERS, rows=rows, right=models.RIGHT, less=models.LESS)


def model_view() -> View:
    """All details of a checkpoint."""
    shown = held("run-1125-6ae30a", 12_400, 3.97, is_best=True)
    by = (("거실에 있는 오래된 노트북", 3_000_000), ("desktop", 1_000_000))
    contributions = tuple(m.Contribution(name=name, tokens=tokens) for name, tokens in by)
    learnt = m.RunStory(run=shown.model.model, seconds=7800.0, contributions=contributions, checkpoints=())
    return View(pairs=models.details(shown, learnt))


def plan_view() -> View:
    """Two devices that train, and two that do not."""
    names = ("거실에 있는 오래된 노트북", "desktop", "부엌 태블릿")
    speeds = (m.Figure(value=3210.5 - 900 * place, source="test") for place in range(len(names)))
    seen = [device(name, tokens_per_second=speed) for name, speed in zip(names, speeds, strict=True)]
    seating = within_batch(seat([*seen, peer("phone", state="gone")]), 2, "ddp")
    made = plan(
        seating,
        2,
        choose_backend(seating.seated),
        ("ddp", Sentence("the members share one machine, so gradients are cheap to exchange")),
    )
    text = manifest()
    recipe = choose_recipe(Config(), TextSize(tokens=text.train.tokens, rows=text.train.rows, seq_len=text.seq_len))
    lines = list(planning.plan_lines(made, recipe, text))
    return View(headers=planning.HEADERS, rows=planning.seat_rows(made), right=planning.RIGHT, pairs=lines)


def forecast_view() -> View:
    """On Wi-Fi, where the desktop has a cable, and the phone would bring nothing."""
    speeds = {"거실에 있는 오래된 노트북": 7210.5, "desktop": 9000.0, "부엌 태블릿": 6600.0, "phone": 12.0}
    seen = [device(name, host=name, tokens_per_second=figure(speed)) for name, speed in speeds.items()]
    seating = seat(seen)
    roster = [seat_of(peer) for peer in seating.seated]
    work = Work(weights=4_000_000, step_tokens=2048, batch_samples=16)
    rates = {
        (one.device, other.device): 4e6 if "desktop" in (one.name, other.name) else 2e6
        for one in roster
        for other in roster
        if one != other
    }
    network = MeasuredNetwork(rates=rates, is_shared=True)
    seating, subsets = without_idlers(seating, possible_modes("auto", roster), work, network)
    roster = [seat_of(peer) for peer in seating.seated]
    made = plan(
        seating,
        16,
        choose_backend(seating.seated),
        choose_mode("auto", roster, work, network),
        best_averaging(roster, INT8 * work.weights, network),
        forecast("local", roster, work, network),
        subsets,
    )
    text = manifest()
    recipe = choose_recipe(Config(), TextSize(tokens=text.train.tokens, rows=text.train.rows, seq_len=text.seq_len))
    lines = list(planning.plan_lines(made, recipe, text))
    return View(headers=planning.HEADERS, rows=planning.seat_rows(made), right=planning.RIGHT, pairs=lines)


def simulated_view() -> View:
    """Laptops on Wi-Fi and a class with cables, as `plan --simulate` shows them."""
    found = [
        simulating.Outcome(
            home=name,
            devices=count,
            way=t(way),
            tokens_per_second=speed,
            efficiency=speed / (5400 * count),
            average_seconds=seconds,
            bytes_per_token=sent,
            links=count - 1,
            leader=leader,
        )
        for name, count, way, speed, seconds, sent, leader in (
            ("거실의 노트북 두 대", 2, "each step", 172.0, 11.7, 12_500.0, None),
            ("거실의 노트북 두 대", 2, "parts", 7960.0, 3.01, 62.0, 0.001),
            ("a class with cables", 1000, "cells", 3_937_590.0, 5.84, 37.0, 0.03),
        )
    ]
    return View(headers=simulating.HEADERS, rows=simulating.rows(found), right=simulating.RIGHT, less=simulating.LESS)


def speeds_view() -> View:
    """The forecast of a run beside what was measured, as `runs show` shows it."""
    speeds = (("", 8123.4, 7900.1), ("거실에 있는 오래된 노트북", 3210.5, 3100.0), ("desktop", 9000.0, 9400.0))
    story = m.RunStory(
        run=RunId("run-1"),
        seconds=1.0,
        contributions=(),
        checkpoints=(),
        speeds=tuple(m.SpeedComparison(name=name, forecast=one, measured=other) for name, one, other in speeds),
    )
    return View(headers=SPEED_HEADERS, rows=speed_rows(story), right=SPEED_RIGHT)


def figure(value: float) -> m.Figure:
    return m.Figure(value=value, source="test")


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


def churn_view() -> View:
    """A run whose first leader went away and came back, and which has lost a phone since."""
    names, run = ("거실에 있는 오래된 노트북", "desktop", "phone"), RunId("run-1125-6ae30a")

    def trained(*names: str) -> m.Progressed:
        members = tuple(
            m.MemberProgress(name=name, tokens=9000, tokens_per_second=3210.5, idle_fraction=0.04, share=3)
            for name in names
        )
        return m.Progressed(
            run=run, round=2, step=40, total_steps=124, tokens=18000, loss=4.0621, tokens_per_second=6421.0,
            members=members, wire_bytes=0, eta_seconds=300.0,
        )  # fmt: skip

    started = m.RoundStarted(run=run, round=2, step=38, num_steps=4, total_steps=124)
    gone = Sentence("the leader, {name}, went away", name=names[0])
    left = Sentence("{name} left the run: {why}", name="phone", why=Sentence("it fell silent"))
    events: list[tuple[float, m.RunEvent]] = [
        (0.0, started),
        (4.0, trained(*names)),
        (9.0, m.LeaderChanged(run=run, name="desktop", leader=DeviceId("a" * 52), term=2, why=gone)),
        (12.0, started),
        (14.0, trained("desktop", "phone")),
        (15.0, m.MemberJoined(run=run, name=names[0], device_kind="cpu", tuning=Sentence(""))),
        (16.0, m.MemberLost(run=run, name="phone", why=left)),
        (17.0, started),
        (18.0, trained("desktop", names[0])),
    ]
    attendance = Attendance()
    for now, event in events:
        attendance.note(event, now)
    last = trained("desktop", names[0])
    rows = watching.member_rows(last.members)
    return View(
        headers=watching.HEADERS,
        rows=rows,
        right=watching.HEADERS[1:],
        title=watching.title(last),
        below=attendance.line(),
    )


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


def held(name: str, step: int, val_loss: float | None, is_best: bool = False) -> models.HeldModel:
    """A checkpoint on three devices."""
    files = {
        file: BlobRef(id=BlobId(digit * 64), size=size)
        for file, digit, size in (("config", "1", 900), ("tokenizer", "2", 300_000), ("weights", "3", 21_000_000))
    }
    view = m.ModelView(
        model=RunId(name),
        step=step,
        tokens=step * 4096,
        state_hash="5" * 64,
        files=files,
        tokenizer=files["tokenizer"],
        created=1_764_000_000.0,
        val_loss=val_loss,
        is_best=is_best,
    )
    return models.HeldModel(model=view, devices=["거실에 있는 오래된 노트북", "desktop", "phone"])


def manifest() -> Manifest:
    """The shards of a small text with too few held-out documents."""

    def shards(documents: int, rows: int) -> ShardSet:
        counts = {"rows": rows, "documents": documents, "tokens": 230 * rows, "utf8_bytes": 600 * rows}
        return ShardSet((ShardFile(name="x", sha256="0", size=0, padding=218, padding_if_padded=14_000, **counts),))

    ids = {"start_id": 1, "end_id": 2, "pad_id": 3}
    train, held_out = shards(1_286, 1_600), shards(2, 4)
    return Manifest(
        format=FORMAT,
        dtype="uint16",
        seq_len=256,
        vocab_size=4_096,
        tokenizer="",
        train=train,
        held_out=held_out,
        **ids,
    )


SCREENS: dict[str, Callable[[], View]] = {
    "peers": peers_view,
    "runs": runs_view,
    "models": models_view,
    "model": model_view,
    "plan": plan_view,
    "forecast": forecast_view,
    "simulated": simulated_view,
    "speeds": speeds_view,
    "live": live_view,
    "churn": churn_view,
}
