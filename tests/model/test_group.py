"""Joining: every backend of the agent's table can be joined, and another one is an error that names it."""

import os
import time
from typing import Any

import pytest
import torch
import torch.distributed as dist

from cellmind_agent.planning.backends import BACKENDS
from model.errors import PeerLostError
from model.line.meeting import StoreSet
from model.meeting import process_group
from model.meeting.group import JOIN_BY_BACKEND, join
from tests.model.fake_agents import FileAgent
from tests.model.test_training import end, spawn

CPU = torch.device("cpu")
NO_LINK: Any = None  # a group of one asks no agent for anything


def test_every_backend_that_an_agent_may_choose_can_be_joined() -> None:
    assert JOIN_BY_BACKEND.keys() == {backend.name for backend in BACKENDS}


def test_an_unknown_backend_is_named_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'semaphore' is not known.*gloo"):
        join("semaphore", 0, 2, NO_LINK, CPU, 1.0)


def test_a_group_of_one_sums_and_agrees_alone() -> None:
    group = join("gloo", 0, 1, NO_LINK, CPU, 1.0)
    assert group.sum([1.5, 2.0]) == [1.5, 2.0]
    assert group.agree(b"digest")
    model = torch.nn.Linear(1, 1)
    assert group.wrap(model) is model
    group.leave()


def meet_and_wait(rank: int, size: int, folder: str) -> None:
    agent: Any = FileAgent(folder)
    agent.begin("group", rank)
    near = tuple(other for other in range(size) if other != rank)
    group = join("gloo", rank, size, agent, CPU, 30.0, near, patience_seconds=77.0)
    backend: Any = dist.distributed_c10d._get_default_group()._get_backend(CPU)
    torch.save({"seconds": backend.options._timeout.total_seconds()}, f"{folder}/result-{rank}")
    end(group)


def test_an_exchange_may_take_longer_than_the_meeting() -> None:
    assert [result["seconds"] for result in spawn(meet_and_wait, 2)] == [77.0, 77.0]


def leave_in_an_exchange(rank: int, size: int, folder: str) -> None:
    """Each waits for what the other would send. Then an exchange with a third one fails, and they leave."""
    agent: Any = FileAgent(folder)
    agent.begin("group", rank)
    group = join("gloo", rank, size, agent, CPU, 60.0, (1 - rank,))
    group.sum([1.0])
    dist.broadcast(torch.ones(1000), src=1 - rank, async_op=True)
    with pytest.raises(PeerLostError), group.communicating():
        raise RuntimeError("connection closed by peer")
    started = time.monotonic()
    group.leave()
    torch.save({"seconds": time.monotonic() - started}, f"{folder}/result-{rank}")
    os._exit(0)


def test_leaving_waits_for_no_exchange_that_is_under_way() -> None:
    """When a member is lost, the others may be left in exchanges with each other."""
    assert max(result["seconds"] for result in spawn(leave_in_an_exchange, 2)) < 30


def meet_nobody(rank: int, size: int, folder: str) -> None:
    """The other rank arrives, and never connects."""
    agent: Any = FileAgent(folder)
    agent.begin("group", rank)
    agent.ask(StoreSet(key="arrived/1", data=b"1"), 5.0)
    process_group._CONNECT_SECONDS = 1.0
    started = time.monotonic()
    with pytest.raises(PeerLostError):
        join("gloo", rank, 2, agent, CPU, 60.0, (1,), patience_seconds=300.0)
    torch.save({"seconds": time.monotonic() - started}, f"{folder}/result-{rank}")
    os._exit(0)


def test_a_rank_that_comes_and_never_connects_is_not_waited_for_long() -> None:
    assert spawn(meet_nobody, 1)[0]["seconds"] < 30
