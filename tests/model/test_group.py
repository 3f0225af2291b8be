"""Joining: every backend of the agent's table can be joined, and another one is an error that names it."""

from typing import Any

import pytest
import torch

from cellmind_agent.planning.backends import BACKENDS
from model.meeting.group import JOIN_BY_BACKEND, join

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
