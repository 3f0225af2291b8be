"""Values that are not finite: whose they are first decides whether a member is at fault, or the run has diverged."""

import math
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from model.errors import DivergedError, ModelError, NotFiniteError, PeerLostError
from model.line.failure import Failure
from model.line.training import TrainSteps
from model.meeting.group import Group
from model.rounds.finiteness import OwnGradients, check_steps, first_not_finite
from tests.agents import wait_for
from tests.model.programs import ROUND, Member, compute_on_one_thread
from tests.model.test_portable import run_ranks

FINE = (-1.0, 1.0)
CPU = torch.device("cpu")


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_first_value_that_is_not_finite_counts(bad: float) -> None:
    losses, gradients, norms = [1.0] * 4, [FINE] * 4, [1.0] * 4
    spoilt = [1.0, 1.0, bad, bad]
    assert first_not_finite(losses, gradients, norms) == 0
    assert first_not_finite(spoilt, gradients, norms) == 4
    assert first_not_finite(losses, [FINE, FINE, (-1.0, bad), FINE], spoilt) == 4
    assert first_not_finite(losses, gradients, spoilt) == 3
    assert first_not_finite(spoilt, gradients, [1.0, bad, bad, bad]) == 5
    assert first_not_finite(losses, gradients, [1.0, 1.0, 1.0, bad]) == 1
    assert first_not_finite([bad, 1.0, 1.0, 1.0], gradients, norms) == 8


def test_own_gradients_are_watched_bucket_by_bucket() -> None:
    own = OwnGradients()
    assert own.end_step().tolist() == [0, 0]
    own.watch(torch.tensor([1.0, -3.0]))
    own.watch(torch.tensor([2.0]))
    assert own.end_step().tolist() == [-3, 2]
    for bad in (math.nan, math.inf, -math.inf):
        own.watch(torch.tensor([1.0, bad]))
        own.watch(torch.tensor([2.0]))
        assert not own.end_step().isfinite().all()
    own.watch(torch.tensor([2.0]))
    assert own.end_step().isfinite().all()


# Three members in a round of three steps from step 10; in the last step only two of them have targets.
@pytest.mark.parametrize(
    ("numbers", "to_blame", "step"),
    [
        ([0, 6, 0], [1], 10),
        ([5, 6, 5], [1], 10),  # the others have it from the first
        ([4, 2, 4], [0, 2], 11),
        ([6, 6, 6], [], 10),
        ([1, 2, 1], [1], 12),
        ([2, 0, 2], [], 12),  # both that had a part of the step
        ([3, 3, 0], [0, 1], 11),  # the averaged gradient must be that of all
        ([5, 5, 5], [], 10),  # finite gradients whose sum is not
    ],
)
def test_a_member_is_to_blame_unless_all_are_affected_alike(numbers: list[int], to_blame: list[int], step: int) -> None:
    for rank in range(3):
        with pytest.raises(ModelError, match=f"at step {step}") as found:
            check_steps(Group(rank, 3, CPU), 10, [1.0, 1.0, 1.0], numbers, [3, 3, 2], 1e-3)
        expected = DivergedError if not to_blame else NotFiniteError if rank in to_blame else PeerLostError
        assert type(found.value) is expected
        assert not to_blame or f"only rank {', '.join(map(str, to_blame))} had" in str(found.value)


def test_finite_steps_pass() -> None:
    check_steps(Group(0, 3, CPU), 10, [1.0, 1.0], [0, 0, 0], [3, 3], 1e-3)


# -- real members ------------------------------------------------------------------------------------------------------


def spoil_gradient(member: Member) -> None:
    weight = member.trainer.model.embed_tokens.weight
    weight.register_hook(lambda gradient: gradient * torch.nan)  # type: ignore[no-untyped-call]


def spoil_loss(member: Member) -> None:
    member.trainer.model.register_forward_hook(lambda model, inputs, loss: loss + torch.inf)


def blamed(member: Member, call: Callable[[], Failure | None], message: str) -> None:
    """Rank 1 is at fault, and the others leave the group."""
    if member.rank == 1:
        failure = call()
        assert failure is not None
        assert failure.code == "failed"
        member.program.leave_group()  # its process would end
    else:
        failure = member.leave_soon(call)
    assert message in failure.message, failure


def begin(rank: int, folder: str, name: str) -> Member:
    member = Member(rank, folder, "gloo", name)
    assert member.join(name, rank, 3, 0) is None
    assert member.train(0, 3) is None
    return member


def go_on_as_two(member: Member, name: str) -> list[torch.Tensor]:
    assert member.join(name, min(member.rank, 1), 2, ROUND, holders=(0, 1)) is None
    assert member.train(ROUND, 2) is None
    assert member.train(2 * ROUND, 2) is None
    return member.state()


def train_beside_faulty_member(rank: int, size: int, folder: str) -> None:
    compute_on_one_thread()
    # 1. Without rank 1: what the two others must reach.
    member = begin(rank, folder, "straight")
    expected = go_on_as_two(member, "straight two") if rank != 1 else []
    member.program.leave_group()
    # 2. One value of rank 1 is not finite, in the first or the last step of the round.
    for spoil, number in ((spoil_loss, 0), (spoil_gradient, ROUND - 1)):
        name = f"{spoil.__name__} {number}"
        member = begin(rank, folder, name)
        if rank == 1:
            member.pace.steps_left, member.pace.hook = number, lambda member=member, spoil=spoil: spoil(member)
        message = f"only rank 1 had a loss or gradient that is not finite at step {ROUND + number}"
        blamed(member, lambda member=member: member.train(ROUND, 3), message)
        if rank != 1:
            assert all(map(torch.equal, go_on_as_two(member, f"{name} two"), expected))
            member.program.leave_group()
    # 3. The weights of rank 1 are spoilt behind its back.
    member = begin(rank, folder, "weights")
    if rank == 1:
        with torch.no_grad():
            member.trainer.model.norm.weight[0] = torch.nan
    no_steps = TrainSteps(first_step=ROUND, spans=(), evaluate=False)
    blamed(member, lambda: member.call(no_steps), "the training state of rank 1 has values that are not finite")
    # 4. The loss of all is spoilt: that is the fault of none.
    member = begin(rank, folder, "all")
    spoil_loss(member)
    failure = member.train(ROUND, 3)
    assert failure is not None
    assert (failure.code, f"the loss became inf at step {ROUND}" in failure.message) == ("diverged", True), failure
    Path(folder, f"done-{rank}").touch()
    # A rank that ends earlier closes connections on which another one may still be reading.
    wait_for(lambda: all(Path(folder, f"done-{other}").exists() for other in range(size)), 60, "the other ranks")
    os._exit(0)


def test_the_others_do_a_round_again_without_the_member_that_spoilt_it(tmp_path: Path) -> None:
    """It equals, to the bit, the round of a group in which that member never was."""
    run_ranks(train_beside_faulty_member, 3, tmp_path)
    assert all((tmp_path / f"done-{rank}").exists() for rank in range(3))
