"""The training program: it tunes, trains, and tunes again when this device has become slow for long."""

import asyncio
import gc
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cellmind_agent.runs.process import ChildFailedError, serve_nothing, start_child
from model import train
from model.line.checkpoint import CheckpointPaths
from model.line.declare import Done, Event
from model.line.pace import PaceChanged
from model.line.training import StepsTrained, TrainerReady, TrainSteps, WriteCheckpoint
from model.pace import Pace
from model.tuning.choice import PLAIN
from model.tuning.tune import Tuner
from model.tuning.watch import SpeedWatch
from tests.model.programs import join_call, prepare_call
from tests.model.test_training import make_trainer, steps


class NoAgent:
    """A link on which nobody listens."""

    def report(self, event: Event) -> None: ...


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)
    gc.unfreeze()


def prepared(folder: Path, pace: Pace) -> train._Program:
    program = train._Program(NoAgent(), pace)  # type: ignore[arg-type]
    ready = program.serve(prepare_call(folder, total_steps=8))
    assert isinstance(ready, TrainerReady)
    assert ready.tuning.endswith("x plain fp32")
    assert len(ready.state_hash) == 64
    assert program.serve(join_call(0, 1, 0)) == Done()
    return program


def trained(program: train._Program, first: int) -> StepsTrained:
    result = program.serve(TrainSteps(first_step=first, spans=tuple(steps(first, 2)), evaluate=False))
    assert isinstance(result, StepsTrained)
    return result


def test_a_device_that_became_slow_is_tuned_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pace = Pace()
    program = prepared(tmp_path, pace)
    speeds, tunings = [], []

    def has_dropped(watch: SpeedWatch, speed: float, now: float) -> bool:
        speeds.append(speed)
        return len(speeds) == 2

    def tune_again(tuner: Tuner) -> object:
        tunings.append(tuner)
        torch.set_num_threads(1)
        return PLAIN

    monkeypatch.setattr(SpeedWatch, "has_dropped", has_dropped)
    monkeypatch.setattr(Tuner, "tune_again", tune_again)
    trained(program, 0)
    trained(program, 2)
    assert speeds[0] == 0
    assert speeds[1] > 0
    assert len(tunings) == 1
    pace.hear(PaceChanged(threads=8))  # an upper limit above the trainer's own number
    assert trained(program, 4).loss is not None
    assert torch.get_num_threads() == 1
    assert len(speeds) == 2  # a device that may take less than it could is not judged
    program.close()


def test_leaving_a_group_searches_no_module_of_torch_for_garbage(tmp_path: Path) -> None:
    """The other members wait meanwhile: 0.3 s on a fast machine, 4 s on one that other programs use."""
    gc.unfreeze()
    program = prepared(tmp_path, Pace())
    num_frozen = gc.get_freeze_count()
    seen_by_the_collector = {id(thing) for thing in gc.get_objects()}
    modules = [module for name, module in sys.modules.items() if name.partition(".")[0] in ("torch", "sympy")]
    assert len(modules) > 1000
    assert not [module for module in modules if id(module.__dict__) in seen_by_the_collector]
    assert num_frozen > 100_000
    program.close()


def test_a_trainer_holds_the_state_of_the_checkpoint_that_it_resumes(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "before")
    trainer.train_round(0, steps(0, 2), evaluate=False)
    folder = trainer.save(tmp_path, "run-1", WriteCheckpoint(step=2, tokens=trainer.tokens)).name
    weights, optimizer, state = (
        str(tmp_path / folder / name) for name in ("model.safetensors", "optimizer.safetensors", "state.json")
    )
    for beside_weights, held_step in ((optimizer, 2), (None, 0)):  # without it a new run starts from the model
        program = train._Program(NoAgent(), Pace())  # type: ignore[arg-type]
        paths = CheckpointPaths(weights=weights, state=state, optimizer=beside_weights)
        ready = program.serve(replace(prepare_call(tmp_path), resume_from=paths))
        assert isinstance(ready, TrainerReady)
        assert ready.state_hash == trainer.state_hash
        assert program.serve(join_call(0, 1, held_step)) == Done()
        program.close()


def test_a_call_names_the_ranks_that_hold_the_state(tmp_path: Path) -> None:
    program = train._Program(NoAgent(), Pace())  # type: ignore[arg-type]
    program.serve(prepare_call(tmp_path))
    for holders in ((), (1,), (-1,)):
        with pytest.raises(ValueError, match="of 1 ranks"):
            program.serve(replace(join_call(0, 1, 0), holders=holders))


def test_the_process_survives_a_member_that_does_not_come_but_not_a_lost_state(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = await start_child("train", tmp_path, serve_nothing, lambda event: None)
        try:
            await child.call(prepare_call(tmp_path, total_steps=8), 60.0)
            for _ in range(2):
                with pytest.raises(ChildFailedError) as absent:
                    await child.call(join_call(0, 2, 0, rendezvous_seconds=1.0), 60.0)
                assert absent.value.failure.code == "peer_lost"
            await child.call(join_call(0, 1, 0), 60.0)
            result = await child.call(TrainSteps(first_step=0, spans=tuple(steps(0, 2)), evaluate=False), 60.0)
            assert result.loss is not None
            with pytest.raises(ChildFailedError, match="does not hold the state after step 7"):
                await child.call(join_call(0, 1, 7), 60.0)
            assert (await child.ended()).code == "failed"
        finally:
            await child.stop()

    asyncio.run(scenario())
