"""State transfer: a newcomer trains on as if it had been there from the start, and a wrong state blames its owner."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.errors import ModelError, PeerLostError, StateRefusedError
from model.evaluation import Losses, from_figures, to_figures
from model.line.training import KeepBest
from model.meeting.group import Group
from model.meeting.state_transfer import agree_on_transfer, transfer_state
from tests.model.programs import NOTICE_SECONDS, ROUND, Member, compute_on_one_thread
from tests.model.test_portable import meet, run_ranks

CPU = torch.device("cpu")
BACKENDS = pytest.mark.parametrize("backend", ["gloo", "portable"])


# -- newcomers in a run ------------------------------------------------------------------------------------------------


def train_with_newcomers(rank: int, size: int, folder: str, backend: str) -> None:
    compute_on_one_thread()
    # 1. Always with the same members: what all must reach. A new group adds up in another order, so it is part of that.
    member = Member(rank, folder, backend, "straight")
    results = []
    for step in (0, ROUND, 2 * ROUND):
        assert member.join(f"straight {step}", rank, 3, step) is None
        results.append(member.trained(step, 3))
    expected = member.state()
    member.program.leave_group()
    # 2. Rank 2 trains a round with the others, and then on alone.
    member = Member(rank, folder, backend, "first")
    assert member.join("first", rank, 3, 0) is None
    assert member.trained(0, 3) == results[0]
    if rank == 2:
        assert member.join("alone", 0, 1, ROUND) is None
        member.trained(ROUND, 1)
        assert member.call(KeepBest()) is None
        returning = member
    # 3. A newcomer receives the state. No random state of its process counts.
    if rank == 2:
        member = Member(rank, folder, backend, "newcomer")
        torch.rand(1000)
    receive(member, rank, "with newcomer", ROUND)
    assert member.trained(ROUND, 3) == results[1]
    member.program.leave_group()
    # 4. In its place, the device that trained on alone comes back, and gives up what it has trained.
    if rank == 2:
        member = returning
    receive(member, rank, "with returned", 2 * ROUND)
    assert rank != 2 or (member.trainer._kept.step, member.trainer._keeper._best) == (None, None)
    assert member.trained(2 * ROUND, 3) == results[2]
    assert all(map(torch.equal, member.state(), expected))
    # 5. A round fails, and all go back to its beginning.
    if rank == 0:
        member.pace.steps_left, member.pace.hook = 1, lambda: os._exit(0)
    member.leave_soon(lambda: member.train(3 * ROUND, 3))
    assert not all(map(torch.equal, member.state(), expected))
    assert member.join("two", rank - 1, 2, 3 * ROUND) is None
    assert all(map(torch.equal, member.state(), expected))
    Path(folder, f"result-{rank}").write_text(member.trained(3 * ROUND, 2).state_hash)
    os._exit(0)


def receive(member: Member, rank: int, group: str, step: int) -> None:
    """Rank 2 receives the state, and only rank 2."""
    before = member.state()
    assert member.join(group, rank, 3, step, holders=(0, 1)) is None
    assert all(map(torch.equal, member.state(), before)) == (rank != 2)


@BACKENDS
def test_newcomers_train_on_to_the_bit_as_if_they_had_been_there(tmp_path: Path, backend: str) -> None:
    run_ranks(train_with_newcomers, 3, tmp_path, backend)
    assert (tmp_path / "result-1").read_text() == (tmp_path / "result-2").read_text()


@pytest.mark.parametrize("losses", [(None, None), (2.5, None), (None, 0.1), (3.0, 0.0)])
def test_figures_cross_unchanged(losses: Losses) -> None:
    figures = to_figures(123_456_789_012, losses)
    assert figures.isfinite().all()
    assert from_figures(figures) == (123_456_789_012, losses)


# -- states of any tensors ---------------------------------------------------------------------------------------------


def state_of(seed: int) -> dict[str, Tensor]:
    """Several pieces from each of two senders, in tensors of several types and odd sizes."""
    generator = torch.Generator().manual_seed(seed)
    return {
        "matrix": torch.randn(1201, 1001, generator=generator),
        "count": torch.tensor(float(seed)),
        "halves": torch.randn(777_777, generator=generator).to(torch.bfloat16),
        "integers": torch.randint(0, 99, (3, 5), generator=generator),
        "last": torch.randn(100_003, generator=generator, dtype=torch.float64),
    }


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(map(torch.equal, one.values(), other.values()))


def share(group: Group, tensors: dict[str, Tensor], holders: tuple[int, ...], change: float = 0.0) -> None:
    """Transfer the state of the holders; they add `change` to a value after they have agreed."""
    transfer = agree_on_transfer(group, "state", holders, tensors)
    if group.rank in transfer.senders:
        tensors["matrix"][600, 600] += change
    transfer_state(group, transfer, tensors)


def error_of(group: Group, share_wrongly: Callable[[], None], rank: int) -> str:
    """The message of the error, which is the fault of `rank`."""
    with pytest.raises(ModelError) as found:
        share_wrongly()
    assert type(found.value) is (StateRefusedError if group.rank == rank else PeerLostError)
    assert found.value.code == ("failed" if group.rank == rank else "peer_lost")
    return str(found.value)


def share_states(rank: int, size: int, folder: str, backend: str) -> None:
    meet(rank, size, folder, {"gloo": "loopback"}.get(backend, backend))
    group = Group(rank, size, CPU)
    # 1. Two holders send to rank 0.
    tensors = state_of(min(rank, 1))
    share(group, tensors, (1, 2))
    assert equal(tensors, state_of(1))
    # 2. One holder sends to two; the state of rank 2 has other bits, so it is no holder of the same state.
    tensors = state_of(rank)
    share(group, tensors, (0, 2))
    assert equal(tensors, state_of(0))
    # 3. Other tensors, types or steps, and a state that is not finite, are refused before a byte of it is sent.
    tensors = state_of(min(rank, 1))
    if rank == 0:
        tensors["halves"] = tensors["halves"].view(torch.float16)
    assert "rank 0 has other tensors, shapes or types than that of rank 1" in error_of(
        group, lambda: share(group, tensors, (1, 2)), 0
    )
    tensors = state_of(min(rank, 1))
    if rank == 2:
        tensors["matrix"][5, 5] = torch.nan
    assert "rank 2 has values that are not finite" in error_of(group, lambda: share(group, tensors, (1, 2)), 2)
    assert rank == 2 or equal(tensors, state_of(min(rank, 1)))
    # 4. What arrives is not what was sent.
    tensors = state_of(min(rank, 1))
    assert "rank 0 received another state" in error_of(group, lambda: share(group, tensors, (1, 2), change=1.0), 0)
    # 5. The group is whole after all that. Now a holder ends in the middle.
    tensors = state_of(min(rank, 1))
    transfer = agree_on_transfer(group, "state", (1, 2), tensors)
    if rank == 2:
        os._exit(0)
    started = time.monotonic()
    with pytest.raises(PeerLostError):
        transfer_state(group, transfer, tensors)
    group.leave()  # with exchanges under way
    assert time.monotonic() - started < NOTICE_SECONDS
    os._exit(0)


@BACKENDS
def test_states_reach_those_that_lack_them_or_blame_their_owner(tmp_path: Path, backend: str) -> None:
    run_ranks(share_states, 3, tmp_path, backend)
