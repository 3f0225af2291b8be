"""Training programs for tests, each with an agent of its own: as one rank's process has them, without the process."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from model import train
from model.config_file import to_json
from model.line.declare import Call
from model.line.failure import Failure
from model.line.training import JoinGroup, PrepareTrainer, Span, StepsTrained, TrainSteps
from model.pace import Pace
from model.trainer import Trainer
from model.tuning.choice import PLAIN
from model.tuning.tune import Tuner
from tests.model.fake_agents import FileAgent
from tests.model.test_training import CONFIG
from tests.tokenizer.test_shards import TEXTS, shards_of

ROUND = 3  # steps
NOTICE_SECONDS = 20.0  # on a busy machine; a group's own limit is 60 s
STEP_SAMPLES = 12  # of all members


def prepare_call(folder: Path, *, rank: int = 0, size: int = 1, total_steps: int = 40) -> PrepareTrainer:
    """Make configuration and data in `folder`, and the call that names them."""
    manifest = shards_of(TEXTS, folder)
    (folder / "cellmind.json").write_text(to_json(CONFIG))
    return PrepareTrainer(
        run="run-1",
        rank=rank,
        size=size,
        members_here=size,
        total_steps=total_steps,
        config=str(folder / "cellmind.json"),
        tokenizer="",
        manifest=str(folder / "manifest.json"),
        shards=tuple(str(folder / file.name) for file in (*manifest.train.files, *manifest.held_out.files)),
        folder=str(folder),
        tuning=str(folder / "tuning.json"),
    )


def join_call(
    rank: int,
    size: int,
    step: int,
    holders: tuple[int, ...] = (),
    *,
    backend: str = "gloo",
    rendezvous_seconds: float = 60.0,
) -> JoinGroup:
    """Without `holders` every rank holds the state."""
    return JoinGroup(
        rank=rank,
        size=size,
        backend=backend,
        step=step,
        holders=holders or tuple(range(size)),
        near=(),
        rendezvous_seconds=rendezvous_seconds,
    )


def compute_on_one_thread() -> None:
    """In the process of a rank: no tuning, and sums in one order."""
    torch.set_num_threads(1)
    setattr(Tuner, "tune", lambda tuner: PLAIN)  # noqa: B010 # no measuring


class HookedPace(Pace):
    """Calls `hook` before the step that it waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.steps_left = -1
        self.hook: Callable[[], object] = lambda: None

    def apply(self) -> None:
        if self.steps_left == 0:
            self.hook()
        self.steps_left -= 1


class Member:
    """One rank's training program, with its agent. Its files are in `folder`, in a folder that has its name."""

    def __init__(self, rank: int, folder: str, backend: str, name: str) -> None:
        self.rank, self.backend, self.pace = rank, backend, HookedPace()
        self.agent = FileAgent(folder)
        self.program = train._Program(self.agent, self.pace)  # type: ignore[arg-type]
        own = Path(folder, f"{name}-{rank}")
        own.mkdir()
        assert self.call(prepare_call(own, rank=rank, size=3)) is None

    @property
    def trainer(self) -> Trainer:
        return self.program._prepared()[0]

    def call(self, call: Call[Any]) -> Failure | None:
        return train._failure_to_serve(self.program, self.agent, 1, call)  # type: ignore[arg-type]

    def join(self, group: str, rank: int, size: int, step: int, holders: tuple[int, ...] = ()) -> Failure | None:
        """Without `holders` every rank holds the state."""
        self.rank = rank
        self.agent.begin(group, rank)
        return self.call(join_call(rank, size, step, holders, backend=self.backend))

    def train(self, first: int, size: int) -> Failure | None:
        """A round in which each member of `size` takes its part of STEP_SAMPLES samples a step."""
        part = STEP_SAMPLES // size
        spans = [
            Span(epoch=0, start=step + part * self.rank, stop=step + part * (self.rank + 1))
            for step in range(first, first + ROUND)
        ]
        return self.call(TrainSteps(first_step=first, spans=tuple(spans), evaluate=True))

    def trained(self, first: int, size: int) -> StepsTrained:
        """The result of a round that succeeds."""
        assert self.train(first, size) is None
        result = self.agent.answers[-1]
        assert isinstance(result, StepsTrained)
        return result

    def state(self) -> list[torch.Tensor]:
        return [tensor.clone() for tensor in self.trainer.state.tensors()]

    def leave_soon(self, call: Callable[[], Failure | None]) -> Failure:
        """A call that fails because of another member. Afterwards leave the group, as the program does."""
        started = time.monotonic()
        failure = call()
        assert failure is not None
        assert failure.code == "peer_lost", failure
        self.program.leave_group()
        assert time.monotonic() - started < NOTICE_SECONDS
        return failure
