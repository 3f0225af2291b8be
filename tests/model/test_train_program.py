"""The training program: it tunes, trains, and tunes again when this device has become slow for long."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from cellmind_agent.runs.process import ChildFailedError, serve_nothing, start_child
from model import train
from model.config_file import to_json
from model.line.declare import Done, Event
from model.line.pace import PaceChanged
from model.line.training import JoinGroup, PrepareTrainer, StepsTrained, TrainerReady, TrainSteps
from model.pace import Pace
from model.tuning.choice import PLAIN
from model.tuning.tune import Tuner
from model.tuning.watch import SpeedWatch
from tests.model.test_training import CONFIG, steps
from tests.tokenizer.test_shards import TEXTS, shards_of


class NoAgent:
    """A link on which nobody listens."""

    def report(self, event: Event) -> None: ...


@pytest.fixture(autouse=True)
def threads() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def prepared(folder: Path, pace: Pace) -> train._Program:
    program = train._Program(NoAgent(), pace)  # type: ignore[arg-type]
    ready = program.serve(prepare_call(folder))
    assert isinstance(ready, TrainerReady)
    assert ready.tuning.endswith("x plain fp32")
    assert program.serve(join_call(1, 0)) == Done()
    return program


def prepare_call(folder: Path) -> PrepareTrainer:
    manifest = shards_of(TEXTS, folder)
    (folder / "cellmind.json").write_text(to_json(CONFIG))
    return PrepareTrainer(
        run="run-1",
        rank=0,
        size=1,
        members_here=1,
        total_steps=8,
        config=str(folder / "cellmind.json"),
        tokenizer="",
        manifest=str(folder / "manifest.json"),
        shards=tuple(str(folder / file.name) for file in (*manifest.train.files, *manifest.held_out.files)),
        folder=str(folder),
        tuning=str(folder / "tuning.json"),
    )


def join_call(size: int, step: int) -> JoinGroup:
    return JoinGroup(rank=0, size=size, backend="gloo", step=step, near=(), rendezvous_seconds=1.0)


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


def test_the_process_survives_a_member_that_does_not_come_but_not_a_lost_state(tmp_path: Path) -> None:
    async def scenario() -> None:
        child = await start_child("train", tmp_path, serve_nothing, lambda event: None)
        try:
            await child.call(prepare_call(tmp_path), 60.0)
            for _ in range(2):
                with pytest.raises(ChildFailedError) as absent:
                    await child.call(join_call(2, 0), 60.0)
                assert absent.value.failure.code == "peer_lost"
            await child.call(join_call(1, 0), 60.0)
            result = await child.call(TrainSteps(first_step=0, spans=tuple(steps(0, 2)), evaluate=False), 60.0)
            assert result.loss is not None
            with pytest.raises(ChildFailedError, match="does not hold the state after step 7"):
                await child.call(join_call(1, 7), 60.0)
            assert (await child.ended()).code == "failed"
        finally:
            await child.stop()

    asyncio.run(scenario())
