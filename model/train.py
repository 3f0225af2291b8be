"""The training program: `python -P -m model.train`, started by an agent.

It serves `PrepareTrainer` and `JoinGroup`, then `TrainSteps`, or `TakeSteps` and `AverageWeights`, and
`WriteCheckpoint` as often as the leader asks. It reports progress. It survives the loss or fault of another member: it
leaves the group, and waits for the next `JoinGroup`. A fault of its own ends it.
"""

from __future__ import annotations

import functools
import gc
import logging
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from model.agent_link import AgentLink
from model.line.checkpoint import CheckpointPaths
from model.line.declare import Call, Done, Event
from model.line.failure import Failure
from model.line.training import (
    AverageWeights,
    CheckpointWritten,
    GroupOver,
    JoinGroup,
    KeepBest,
    PrepareTrainer,
    StepsTaken,
    StepsTrained,
    TakeSteps,
    TrainerReady,
    TrainSteps,
    WriteCheckpoint,
)
from model.meeting.cutting import cut_connections
from model.pace import Pace
from model.tuning.watch import SpeedWatch

if TYPE_CHECKING:
    from model.config import Config
    from model.continuing import HeldOutPrompts
    from model.data import PackedData
    from model.metrics import Metrics
    from model.trainer import Trainer
    from model.tuning.tune import Tuner
    from tokenizer.sharding.manifest import Manifest

_AnyCall: TypeAlias = Call[Any]
_log = logging.getLogger(__name__)


def main() -> int:
    pace = Pace()
    link = AgentLink(lambda event: _hear(pace, event))  # before torch is imported: this process must end with its agent
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    program = _Program(link, pace)
    for number, call in link.calls():
        failure = _failure_to_serve(program, link, number, call)
        if failure is None:
            continue
        print(failure.advice, file=sys.stderr, flush=True)
        link.refuse(number, failure)
        if failure.code == "peer_lost":
            program.leave_group()  # at once, so that ranks which wait for this one fail too
            continue
        program.close()
        sys.stderr.flush()
        os._exit(1)  # a normal exit waits for the other members
    return 0


def _hear(pace: Pace, event: Event) -> None:
    """Take an event of the agent, while the trainer may be waiting for another rank."""
    pace.hear(event)
    if isinstance(event, GroupOver):
        cut_connections()


def _failure_to_serve(program: _Program, link: AgentLink, number: int, call: _AnyCall) -> Failure | None:
    """Answer a call, or return why not. The error itself ends here: its frames keep the process group alive."""
    try:
        link.answer(number, program.serve(call))
    except Exception as error:
        from model.errors import failure_of

        _log.debug("failed", exc_info=error)
        return failure_of(error)
    return None


class _Program:
    """The state of one training process."""

    def __init__(self, link: AgentLink, pace: Pace) -> None:
        self._link, self._pace = link, pace
        self._trainer: Trainer | None = None
        self._metrics: Metrics | None = None
        self._prompts: HeldOutPrompts | None = None
        self._make_prompts: Callable[[], HeldOutPrompts | None] = lambda: None
        self._parameters: PrepareTrainer | None = None
        self._tuner: Tuner | None = None
        self._watch: SpeedWatch | None = None

    def serve(self, call: _AnyCall) -> TrainerReady | StepsTaken | StepsTrained | CheckpointWritten | Done:
        """Raises ModelError, TextError, OSError, ValueError (a call that this program does not serve)."""
        match call:
            case PrepareTrainer():
                return self._prepare(call)
            case JoinGroup():
                return self._join(call)
            case TrainSteps():
                self._pace.begin_round()
                self._tune_again_if_slow()
                return self._prepared()[0].train_round(call.first_step, call.spans, call.evaluate)
            case TakeSteps():
                self._pace.begin_round()
                self._tune_again_if_slow()
                return self._take_steps(call)
            case AverageWeights():
                return self._prepared()[0].average_weights(call.round_step, call.num_steps, call.evaluate, call.center)
            case KeepBest():
                self._prepared()[0].keep_best()
                return Done()
            case WriteCheckpoint():
                return self._write_checkpoint(call)
        raise ValueError(f"the training program does not serve {type(call).__name__}")

    def leave_group(self) -> None:
        """Close the connections to the other members, and wait for nothing."""
        if self._trainer:
            self._trainer.leave()

    def close(self) -> None:
        if self._metrics:
            self._metrics.close()

    def _prepare(self, call: PrepareTrainer) -> TrainerReady:
        """1. Configuration and data. 2. Device and tuning. 3. Take the state to start from."""
        import torch
        import torch._dynamo  # torch's optimizers import it later, when its objects would not be frozen any more

        from model.config_file import load_config
        from model.data import PackedData
        from model.device import choose_devices
        from model.meeting.group import Group
        from model.rounds.modes import MODES
        from model.trainer import Trainer
        from model.tuning.tune import Tuner
        from tokenizer.sharding.manifest import read_manifest

        # `Group.leave` collects garbage, while the other members wait. The 300,000 objects of torch's modules are none.
        gc.freeze()
        config = load_config(Path(call.config))
        manifest = read_manifest(Path(call.manifest))
        data = PackedData(manifest, [Path(path) for path in call.shards], config.training.seed)
        torch.set_float32_matmul_precision("high")
        devices = choose_devices(call.rank, call.size, call.members_here)
        mode = MODES[call.mode]
        own_steps, step_members = (
            (call.total_steps, call.size) if mode.divides_steps else (call.total_steps // call.size, 1)
        )
        self._tuner = Tuner(
            config, manifest.vocab_size, devices, Path(call.tuning), own_steps, step_members, call.members_here
        )
        tuning, device = self._tuner.tune(), devices[0]
        self._watch = SpeedWatch(tuning.tokens_per_second * tuning.num_devices)
        self._parameters = call
        self._make_prompts = functools.partial(_prompts, call, config, manifest, data)
        self._trainer = Trainer(
            config,
            manifest,
            data,
            Group(0, 1, device),
            call.total_steps,
            report=self._link.report,
            tuning=tuning,
            mode=mode,
            pace=self._pace.apply,
        )
        if call.resume_from:
            self._resume(self._trainer, call.resume_from)
        return TrainerReady(device_kind=device.type, tuning=tuning.describe(), state_hash=self._trainer.state_hash)

    def _join(self, call: JoinGroup) -> Done:
        """1. Leave the old group. 2. Go back to the state after the given step, if this rank holds it, or keep what it
        has done since. 3. Meet the others. 4. Send the state to those that lack it, or receive it."""
        from model.meeting.group import join

        if not call.holders or not set(call.holders) <= set(range(call.size)):
            raise ValueError(f"of {call.size} ranks, {call.holders} hold the state")
        trainer, parameters = self._prepared()
        self._pace.begin_group()
        trainer.leave()
        if call.keeps_steps:
            trainer.continue_round(call.step)
        elif call.rank in call.holders:
            trainer.return_to(call.step)
        if call.rank == 0:
            self._prepare_rank_zero(Path(parameters.folder))
        device, seconds, patience = trainer.device, call.rendezvous_seconds, call.patience_seconds
        group = join(call.backend, call.rank, call.size, self._link, device, seconds, call.near, patience)
        of_rank_zero = (self._metrics, self._prompts) if call.rank == 0 else (None, None)
        trainer.regroup(group, call.step, call.holders, *of_rank_zero)
        return Done()

    def _take_steps(self, call: TakeSteps) -> StepsTaken:
        from model.rounds.round import Ending

        first = call.first_step
        ending = Ending(functools.partial(self._pace.is_stopped, first), functools.partial(self._pace.is_cut, first))
        try:
            return self._prepared()[0].take_steps(call.round_step, first, call.spans, ending)
        finally:
            self._pace.end_steps()

    def _prepare_rank_zero(self, folder: Path) -> None:
        """The figures and texts cover all members, so one of them writes them."""
        from model.metrics import Metrics

        if self._metrics is None:
            self._metrics, self._prompts = Metrics(folder), self._make_prompts()

    def _tune_again_if_slow(self) -> None:
        """Another program may have taken processors for good: fewer threads are faster then."""
        trainer = self._prepared()[0]
        if self._tuner is None or self._watch is None or self._pace.is_limited:
            return
        if self._watch.has_dropped(trainer.tokens_per_second, time.monotonic()):
            tuning = self._tuner.tune_again()
            trainer.adopt(tuning)
            self._pace.allow_threads(tuning.threads)
            self._watch.begin_again(tuning.tokens_per_second * tuning.num_devices)
            _log.info("this device has become slow, so it computes otherwise now: %s", tuning.describe())

    def _resume(self, trainer: Trainer, paths: CheckpointPaths) -> None:
        optimizer = Path(paths.optimizer) if paths.optimizer else None
        trainer.resume(Path(paths.weights), Path(paths.state), optimizer)

    def _write_checkpoint(self, call: WriteCheckpoint) -> CheckpointWritten:
        trainer, parameters = self._prepared()
        return trainer.save(Path(parameters.folder) / "checkpoints", parameters.run, call)

    def _prepared(self) -> tuple[Trainer, PrepareTrainer]:
        """Raises ValueError before `PrepareTrainer`."""
        if self._trainer is None or self._parameters is None:
            raise ValueError("the trainer is not prepared yet")
        return self._trainer, self._parameters


def _prompts(call: PrepareTrainer, config: Config, manifest: Manifest, data: PackedData) -> HeldOutPrompts | None:
    """What the model continues at each checkpoint. None if the tokenizer cannot be read: the run can do without."""
    from model.continuing import HeldOutPrompts
    from tokenizer.errors import TextError
    from tokenizer.vocabulary.encoding import load_encoder

    try:
        return HeldOutPrompts(config, manifest, data, load_encoder(Path(call.tokenizer)))
    except TextError as error:
        _log.warning("the model writes no texts at checkpoints: %s", error)
        return None


if __name__ == "__main__":
    sys.exit(main())
