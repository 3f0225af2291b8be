"""A lost member ends no run: the others go back to the last state, meet without it, and train on in their processes."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn.parallel import DistributedDataParallel

from model.errors import StateLostError
from model.meeting.group import Group
from tests.model.fake_agents import FileAgent
from tests.model.programs import NOTICE_SECONDS, ROUND, Member, compute_on_one_thread, join_call
from tests.model.test_portable import run_ranks
from tests.model.test_training import CONFIG, make_trainer, steps


def train_on_as_two(member: Member, group: str, rank: int, folder: str) -> list[torch.Tensor]:
    """Two rounds in a new group of two. The first begins after step 3."""
    assert member.join(group, rank, 2, ROUND) is None
    assert member.train(ROUND, 2) is None
    Path(folder, f"{group}-{rank}").write_text(member.trained(2 * ROUND, 2).state_hash)
    return member.state()


def begin_as_three(rank: int, folder: str, backend: str, name: str) -> Member:
    member = Member(rank, folder, backend, name)
    assert member.join(name, rank, 3, 0) is None
    assert member.train(0, 3) is None
    return member


def lose(member: Member) -> None:
    """Train until a member is lost; then leave. The loss is noticed soon, and every connection is closed."""
    member.leave_soon(lambda: member.train(ROUND, 3))
    deadline = time.monotonic() + NOTICE_SECONDS
    while num_sockets() and time.monotonic() < deadline:  # the forwarders' sockets lie in this process too
        time.sleep(0.05)
    assert num_sockets() == 0
    assert all(parameter.grad is None for parameter in member.trainer.model.parameters())


def num_sockets() -> int:
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return found


def train_through_losses(rank: int, size: int, folder: str, backend: str) -> None:
    compute_on_one_thread()
    # 1. Without a loss: what the two must reach.
    member = begin_as_three(rank, folder, backend, "straight")
    expected = train_on_as_two(member, "straight two", rank, folder) if rank < 2 else []
    member.program.leave_group()
    # 2. The agent refuses the store of a group that is over. Then rank 2 is cut off in the middle of a round.
    member = Member(rank, folder, backend, "cut")
    if rank == 1:
        member.agent.begin("over", 1)
        member.agent.is_over = True
        failure = member.call(join_call(1, 3, 0, backend=backend))
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
    """Gradients of the same model in a second group equal those of a model that was never wrapped before, and those
    that torch's own averaging yields."""
    torch.set_num_threads(1)
    agent = FileAgent(folder)
    gradients = []
    for number, models in enumerate((["first"], ["first", "fresh", "torch"])):
        for name in models:
            agent.begin(f"{number} {name}", rank)
            group = train_group(agent, rank, size, backend)
            if name != "first" or number == 0:
                torch.manual_seed(1)
                model = torch.nn.Sequential(torch.nn.Linear(40, 30), torch.nn.Tanh(), torch.nn.Linear(30, 5))
            wrapped = DistributedDataParallel(model) if name == "torch" else group.wrap(model)
            torch.manual_seed(10 * number + rank)
            wrapped(torch.randn(8, 40)).square().sum().backward()
            gradients.append([parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None])
            for parameter in model.parameters():
                parameter.grad = None
            del wrapped
            group.leave()
    assert all(map(torch.equal, gradients[1], gradients[2]))
    assert all(map(torch.equal, gradients[1], gradients[3]))
    assert not torch.equal(gradients[0][0], gradients[1][0])
    os._exit(0)


def end_after_first_step(rank: int, size: int, folder: str, backend: str) -> None:
    compute_on_one_thread()
    member = Member(rank, folder, backend, "short")
    assert member.join("short", rank, 2, 0) is None
    if rank == 1:
        member.pace.steps_left, member.pace.hook = 1, lambda: os._exit(0)
    member.leave_soon(lambda: member.train(0, 2))
    os._exit(0)


def test_a_member_that_ends_after_the_first_step_of_a_group_is_a_lost_peer(tmp_path: Path) -> None:
    """DDP exchanges the order of its buckets then."""
    run_ranks(end_after_first_step, 2, tmp_path, "gloo")


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

    def wrap(self, model: torch.nn.Module, watch: object = None, travels_in: object = None) -> torch.nn.Module:
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
