"""A lost member ends no run: the others go back to the last state, meet without it, and train on in their processes."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model import train
from model.config_file import to_json
from model.errors import StateLostError
from model.line.declare import Call
from model.line.failure import Failure
from model.line.training import JoinGroup, PrepareTrainer, Span, StepsTrained, TrainSteps
from model.meeting.group import Group
from model.pace import Pace
from model.tuning.choice import PLAIN
from model.tuning.tune import Tuner
from tests.model.fake_agents import FileAgent
from tests.model.test_portable import run_ranks
from tests.model.test_training import CONFIG, make_trainer, steps
from tests.tokenizer.test_shards import TEXTS, shards_of

ROUND = 3  # steps
NOTICE_SECONDS = 20.0  # on a busy machine; a group's own limit is 60 s


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
    """One rank's training program, with its agent."""

    def __init__(self, rank: int, folder: str, backend: str, name: str) -> None:
        self.rank, self.backend, self.pace = rank, backend, HookedPace()
        self.agent = FileAgent(folder)
        self.program = train._Program(self.agent, self.pace)  # type: ignore[arg-type]
        own = Path(folder, f"{name}-{rank}")
        own.mkdir()
        manifest = shards_of(TEXTS, own)
        (own / "cellmind.json").write_text(to_json(CONFIG))
        prepare = PrepareTrainer(
            run="run-1",
            rank=rank,
            size=3,
            members_here=3,
            total_steps=40,
            config=str(own / "cellmind.json"),
            tokenizer="",
            manifest=str(own / "manifest.json"),
            shards=tuple(str(own / file.name) for file in (*manifest.train.files, *manifest.held_out.files)),
            folder=str(own),
            tuning=str(own / "tuning.json"),
        )
        assert self.call(prepare) is None

    def call(self, call: Call[Any]) -> Failure | None:
        return train._failure_to_serve(self.program, self.agent, 1, call)  # type: ignore[arg-type]

    def join(self, group: str, rank: int, size: int, step: int) -> Failure | None:
        self.rank = rank
        self.agent.begin(group, rank)
        return self.call(
            JoinGroup(rank=rank, size=size, backend=self.backend, step=step, near=(), rendezvous_seconds=60.0)
        )

    def train(self, first: int, size: int) -> Failure | None:
        """A round in which each member of `size` takes its part of 12 samples a step."""
        part = 12 // size
        spans = [
            Span(epoch=0, start=step + part * self.rank, stop=step + part * (self.rank + 1))
            for step in range(first, first + ROUND)
        ]
        return self.call(TrainSteps(first_step=first, spans=tuple(spans), evaluate=True))

    def state(self) -> list[torch.Tensor]:
        trainer = self.program._prepared()[0]
        return [tensor.clone() for tensor in trainer.state.tensors()]


def train_on_as_two(member: Member, group: str, rank: int, folder: str) -> list[torch.Tensor]:
    """Two rounds in a new group of two. The first begins after step 3."""
    assert member.join(group, rank, 2, ROUND) is None
    assert member.train(ROUND, 2) is None
    assert member.train(2 * ROUND, 2) is None
    result = member.agent.answers[-1]
    assert isinstance(result, StepsTrained)
    Path(folder, f"{group}-{rank}").write_text(result.state_hash)
    return member.state()


def begin_as_three(rank: int, folder: str, backend: str, name: str) -> Member:
    member = Member(rank, folder, backend, name)
    assert member.join(name, rank, 3, 0) is None
    assert member.train(0, 3) is None
    return member


def lose(member: Member) -> None:
    """Train until a member is lost; then leave. The loss is noticed soon, and every connection is closed."""
    started = time.monotonic()
    failure = member.train(ROUND, 3)
    assert failure is not None
    assert failure.code == "peer_lost"
    member.program.leave_group()
    assert time.monotonic() - started < NOTICE_SECONDS
    deadline = time.monotonic() + NOTICE_SECONDS
    while num_sockets() and time.monotonic() < deadline:  # the forwarders' sockets lie in this process too
        time.sleep(0.05)
    assert num_sockets() == 0
    assert all(parameter.grad is None for parameter in member.program._prepared()[0].model.parameters())


def num_sockets() -> int:
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return found


def train_through_losses(rank: int, size: int, folder: str, backend: str) -> None:
    torch.set_num_threads(1)
    setattr(Tuner, "tune", lambda tuner: PLAIN)  # noqa: B010 # no measuring
    # 1. Without a loss: what the two must reach.
    member = begin_as_three(rank, folder, backend, "straight")
    expected = train_on_as_two(member, "straight two", rank, folder) if rank < 2 else []
    member.program.leave_group()
    # 2. The agent refuses the store of a group that is over. Then rank 2 is cut off in the middle of a round.
    member = Member(rank, folder, backend, "cut")
    if rank == 1:
        over = JoinGroup(rank=1, size=3, backend=backend, step=0, near=(), rendezvous_seconds=60.0)
        member.agent.begin("over", 1)
        member.agent.is_over = True
        failure = member.call(over)
        assert failure is not None
        assert failure.code == "peer_lost"
        member.program.leave_group()
    assert member.join("cut", rank, 3, 0) is None
    assert member.train(0, 3) is None
    if rank == 2:
        member.pace.steps_left, member.pace.hook = 1, member.agent.cut
    lose(member)
    if rank == 2:
        assert member.join("alone", 0, 1, ROUND) is None
        assert member.train(ROUND, 1) is None
    else:
        found = train_on_as_two(member, "cut two", rank, folder)
        assert all(map(torch.equal, found, expected))
    member.program.leave_group()
    # 3. Rank 0 ends in the middle of a round.
    member = begin_as_three(rank, folder, backend, "killed")
    if rank == 0:
        member.pace.steps_left, member.pace.hook = 1, lambda: os._exit(0)
    lose(member)
    found = train_on_as_two(member, "killed two", rank - 1, folder)
    assert rank == 2 or all(map(torch.equal, found, expected))
    os._exit(0)


@pytest.mark.parametrize("backend", ["gloo", "portable"])
def test_members_train_on_without_one_that_is_cut_off_or_killed(tmp_path: Path, backend: str) -> None:
    """A round that is trained again equals, to the bit, the one of the smaller group from the same state."""
    run_ranks(train_through_losses, 3, tmp_path, backend)
    names = [f"{name} two-{rank}" for name in ("straight", "cut", "killed") for rank in (0, 1)]
    assert len({(tmp_path / name).read_text() for name in names}) == 1


def wrap_twice(rank: int, size: int, folder: str, backend: str) -> None:
    """Gradients of the same model in a second group equal those of a model that was never wrapped before."""
    torch.set_num_threads(1)
    agent = FileAgent(folder)
    gradients = []
    for number, models in enumerate((["first"], ["first", "fresh"])):
        for name in models:
            agent.begin(f"{number} {name}", rank)
            group = train_group(agent, rank, size, backend)
            if name == "fresh" or number == 0:
                torch.manual_seed(1)
                model = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.Tanh(), torch.nn.Linear(30, 5))
            wrapped = group.wrap(model)
            torch.manual_seed(10 * number + rank)
            wrapped(torch.randn(8, 40)).square().sum().backward()
            gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
            for parameter in model.parameters():
                parameter.grad = None
            del wrapped
            group.leave()
    assert all(map(torch.equal, gradients[1], gradients[2]))
    assert not torch.equal(gradients[0][0], gradients[1][0])
    os._exit(0)


def train_group(agent: FileAgent, rank: int, size: int, backend: str) -> Group:
    from model.meeting.group import join

    return join(backend, rank, size, agent, torch.device("cpu"), 60.0)


@pytest.mark.parametrize("backend", ["gloo", "portable"])
def test_a_model_that_is_wrapped_again_has_exact_gradients(tmp_path: Path, backend: str) -> None:
    run_ranks(wrap_twice, 2, tmp_path, backend)


class GroupOfTwo(Group):
    """Claims two members, so that the trainer keeps its state; the other one has nothing to say."""

    def __init__(self) -> None:
        super().__init__(0, 2, torch.device("cpu"))

    def wrap(self, model: torch.nn.Module) -> torch.nn.Module:
        return model

    def sum(self, values: Any) -> list[float]:
        return list(values)

    def agree(self, digest: bytes) -> bool:
        return True


def failing(step: int) -> Callable[[], None]:
    """A pace that fails before step number `step`, counted from 1."""
    left = iter(range(step - 1))

    def pace() -> None:
        if next(left, None) is None:
            raise RuntimeError("lost")

    return pace


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_trainer_goes_back_to_the_bit(tmp_path: Path, optimizer: str) -> None:
    torch.set_num_threads(1)
    config = replace(CONFIG, training=replace(CONFIG.training, optimizer=optimizer))
    trainer = make_trainer(tmp_path, GroupOfTwo(), config, pace=failing(6))
    first = trainer.train_round(0, steps(0, 3), evaluate=True)
    before, memory = [tensor.clone() for tensor in trainer.state.tensors()], trainer._kept._tensors[0].data_ptr()
    with pytest.raises(RuntimeError, match="lost"):
        trainer.train_round(3, steps(3, 3), evaluate=False)
    assert not all(map(torch.equal, trainer.state.tensors(), before))
    with pytest.raises(StateLostError, match="after step 3"):
        trainer.train_round(3, steps(3, 3), evaluate=False)  # the state is that of no step
    for step in (0, 6):
        with pytest.raises(StateLostError, match=f"after step {step}"):
            trainer.return_to(step)
    trainer.leave()
    trainer.return_to(3)
    assert all(map(torch.equal, trainer.state.tensors(), before))
    assert trainer.tokens == first.tokens
    assert trainer._kept._tensors[0].data_ptr() == memory
    with pytest.raises(ValueError, match="in no group"):
        trainer.train_round(3, steps(3, 3), evaluate=False)


def test_a_lone_trainer_keeps_nothing(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    trainer.train_round(0, steps(0, 1), evaluate=False)
    assert trainer._kept.step is None
    assert not trainer._kept._tensors
    trainer.return_to(1)
    with pytest.raises(StateLostError):
        trainer.return_to(0)
