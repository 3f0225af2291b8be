"""CellMind's own runs in `tests.bench.wifi`, started and stopped by the command line, judged by their checkpoints."""

import json
import statistics
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from torch import Tensor

from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.journal import Journal
from model.line.checkpoint import OPTIMIZER_FILE, WEIGHTS_FILE
from model.tensor_file import load
from tests.agents import states, wait_for
from tests.bench.small_run import small_config
from tests.bench.wifi.run import START_SECONDS, Plan, sent_by
from tests.bench.wifi.ways import SHAPE, OurWay, Reached
from tests.lab.home import LabDevice, peers_of
from tests.watcher import Event, Watcher, has_trained, start_training

TOKENIZER = "tokenizer.model"
_POLL_SECONDS = 0.5


def train_cellmind(devices: Sequence[LabDevice], project: Path, way: OurWay, lr: float, plan: Plan) -> Reached:
    """One run of CellMind; the clock starts when all have met, and ends with the round nearest to the plan's seconds.

    Raises AssertionError if the run fails.
    """
    write_config(project, way, lr, plan.seed)
    switch_on(devices)
    chosen = devices[:1] if way.is_alone else devices
    words = ("--devices", ",".join(device.name for device in chosen), "--mode", way.mode)
    with start_training(devices[0], project, *words) as watcher:
        started, sent = watcher.wait_for_kind("round_committed", START_SECONDS).at, sent_by(devices)
        reached = follow(watcher, devices[0], started, plan)
        devices[0].ctl("stop", watcher.run, timeout=START_SECONDS)
        finished = watcher.wait_for_kind("finished", START_SECONDS)
        sent = sent_by(devices) - sent
        last = [event for event in watcher.of_kind("round_committed") if has_trained(event)][-1]
        live, average = newest_weights(devices[0], finished["run"])
    reached = last.at if reached is None and plan.is_reached(live) else reached
    live_loss = plan.judge.nats_per_token(live)
    return Reached(
        lr=lr,
        seconds=last.at - started,
        tokens=finished["tokens"],
        sent_bytes=sent,
        val_loss=live_loss,
        kept_loss=min(live_loss, plan.judge.nats_per_token(average)) if average else live_loss,
        idle=statistics.mean(member["idle_fraction"] for member in last["members"]),
        seconds_to_target=None if reached is None else reached - started,
    )


def write_config(project: Path, way: OurWay, lr: float, seed: int, round_seconds: float | None = None) -> None:
    """The configuration of this way, for the project's text and tokenizer."""
    config = small_config(SHAPE, lr=lr, seed=seed, optimizer=way.optimizer)
    if round_seconds is not None:
        config["distributed"] = {"round_seconds": round_seconds}
    config["tokenizer"] = {"model_path": TOKENIZER}
    (project / "cellmind.json").write_text(json.dumps(config), encoding="utf-8")


def follow(watcher: Watcher, device: LabDevice, started: float, plan: Plan) -> float | None:
    """Returns when the present round is the one that ends nearest to the plan's seconds, or when the target is reached:
    then with the time at which it was."""
    num_judged = 0
    while True:
        if watcher.is_over:
            raise AssertionError(f"the run ended: {watcher.errors}")
        saved = watcher.of_kind("checkpoint") if plan.target is not None else []
        if plan.target is not None and len(saved) > num_judged:
            num_judged = len(saved)
            live, _ = newest_weights(device, watcher.run)
            if plan.is_reached(live):
                return committed_at(watcher.of_kind("round_committed"), saved[-1]["step"])
        rounds = [event.at for event in watcher.of_kind("round_committed")]
        if is_last_round(rounds, time.monotonic(), started + plan.seconds):
            return None
        time.sleep(_POLL_SECONDS)


def is_last_round(ends: Sequence[float], now: float, end: float) -> bool:
    """Whether the present round probably ends nearest to `end`: later by half a round, or sooner by less.

    `ends` are the times at which rounds ended.
    """
    length = ends[-1] - ends[-2] if len(ends) > 1 else 0.0
    return now >= end or (len(ends) > 1 and ends[-1] + 1.5 * length >= end)


def committed_at(rounds: Sequence[Event], step: int) -> float:
    """When that step was committed."""
    return next(event.at for event in rounds if event["step"] == step)


def newest_weights(device: LabDevice, run: str) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
    """The live and the averaged weights of the newest checkpoint on the device; none of the latter if it has none."""
    models = [one for one in Journal(device.home).models() if one.model == run and not one.is_best]
    model = max(models, key=lambda one: one.step)
    store, suffix = BlobStore(root=device.home / "blobs"), ".average"
    beside = load(store.path(model.files[OPTIMIZER_FILE])) if OPTIMIZER_FILE in model.files else {}
    average = {name.removesuffix(suffix): tensor for name, tensor in beside.items() if name.endswith(suffix)}
    return load(store.path(model.files[WEIGHTS_FILE])), average


def switch_on(devices: Sequence[LabDevice]) -> None:
    """Start the agents that do not run, and wait until all know each other and are free."""
    for device in devices:
        if device.process is None or device.process.poll() is not None:
            device.start()
    names = {device.name for device in devices}
    for device in devices:
        wait_for(lambda device=device: _is_at_rest(device, names), 120, f"{device.name} to see all")  # type: ignore[misc]


def switch_off(devices: Sequence[LabDevice]) -> None:
    """Stop the agents: a peer has its devices for itself."""
    for device in devices:
        if device.process and device.process.poll() is None:
            device.stop()


def _is_at_rest(device: LabDevice, names: set[str]) -> bool:
    return states(device) == dict.fromkeys(names, "online") and all(
        peer["run"] is None for peer in peers_of(device).values()
    )
