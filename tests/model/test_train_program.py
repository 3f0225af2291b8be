"""The training program: it tunes, trains, and tunes again when this device has become slow for long."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from model import train
from model.config_file import to_json
from model.line.declare import Event
from model.line.pace import PaceChanged
from model.line.training import PrepareTrainer, StepsTrained, TrainerReady, TrainSteps
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
    manifest = shards_of(TEXTS, folder)
    (folder / "cellmind.json").write_text(to_json(CONFIG))
    program = train._Program(NoAgent(), pace)  # type: ignore[arg-type]
    ready = program.serve(
        PrepareTrainer(
            run="run-1",
            rank=0,
            size=1,
            near=(),
            total_steps=8,
            backend="gloo",
            config=str(folder / "cellmind.json"),
            tokenizer="",
            manifest=str(folder / "manifest.json"),
            shards=tuple(str(folder / file.name) for file in (*manifest.train.files, *manifest.held_out.files)),
            folder=str(folder),
            tuning=str(folder / "tuning.json"),
            rendezvous_seconds=1.0,
        )
    )
    assert isinstance(ready, TrainerReady)
    assert ready.tuning.endswith("x plain fp32")
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
