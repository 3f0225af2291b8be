"""The pace of a trainer: threads, rests that end, a cap on memory; all between two steps."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from model.errors import MemoryLimitError, PeerLostError, failure_of
from model.line.pace import PaceChanged
from model.line.training import GroupOver, StopSteps
from model.pace import Pace, peak_memory_bytes
from tests.model.test_training import make_trainer, steps


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def seconds_of(pace: Pace) -> float:
    started = time.monotonic()
    pace.apply()
    return time.monotonic() - started


def test_the_threads_follow_the_limit_and_return_to_the_trainers_own_number() -> None:
    pace = Pace()
    found = []
    for limit in (None, 1, 8, 1, None):
        pace.hear(PaceChanged(threads=limit))
        pace.apply()
        found.append(torch.get_num_threads())
    assert found == [2, 1, 2, 1, 2]


def test_a_rest_comes_before_each_step() -> None:
    pace = Pace()
    assert seconds_of(pace) < 0.1
    pace.hear(PaceChanged(rest_seconds=0.1))
    assert seconds_of(pace) >= 0.1
    assert seconds_of(pace) >= 0.1


def test_the_rests_of_a_round_are_bounded() -> None:
    """Otherwise the agents of the other members would take a round of many steps for one that is stuck."""
    pace = Pace(max_round_rest_seconds=0.2)
    pace.hear(PaceChanged(rest_seconds=0.15))
    assert seconds_of(pace) >= 0.15
    assert 0.04 < seconds_of(pace) < 0.15
    assert sum(seconds_of(pace) for _ in range(5)) < 0.1
    pace.begin_round()
    assert seconds_of(pace) >= 0.15


def test_a_rest_ends_when_it_is_no_longer_asked_for() -> None:
    pace = Pace()
    pace.hear(PaceChanged(rest_seconds=30.0))
    agent = threading.Timer(0.1, pace.hear, [PaceChanged(threads=1)])
    agent.start()
    assert seconds_of(pace) < 10
    assert torch.get_num_threads() == 1
    agent.join()


def test_too_much_memory_ends_training_with_a_reason() -> None:
    pace = Pace()
    pace.hear(PaceChanged(memory_bytes=2 * peak_memory_bytes()))
    pace.apply()
    pace.hear(PaceChanged(memory_bytes=64 << 20))
    with pytest.raises(MemoryLimitError, match=r"has taken \d+ MB, and may take 64 MB") as refused:
        pace.apply()
    assert failure_of(refused.value).code == "out_of_memory"


def test_the_trainer_asks_for_its_pace_before_each_step(tmp_path: Path) -> None:
    calls: list[int] = []
    trainer = make_trainer(tmp_path, pace=lambda: calls.append(1))
    trainer.train_round(0, [], evaluate=True)
    assert calls == []
    trainer.train_round(0, steps(0, 3), evaluate=False)
    assert calls == [1, 1, 1]


def test_a_limit_that_does_not_change_the_threads_changes_no_bit(tmp_path: Path) -> None:
    pace = Pace()
    pace.hear(PaceChanged(threads=2, rest_seconds=0.001))
    plain = make_trainer(tmp_path / "a").train_round(0, steps(0, 4), evaluate=False)
    paced = make_trainer(tmp_path / "b", pace=pace.apply).train_round(0, steps(0, 4), evaluate=False)
    assert paced == plain


def test_a_group_that_is_over_ends_a_rest_and_the_steps_until_the_next_group() -> None:
    pace = Pace()
    pace.hear(PaceChanged(rest_seconds=60.0))
    pace.begin_round()
    threading.Timer(0.1, lambda: pace.hear(GroupOver())).start()
    started = time.monotonic()
    for _ in range(2):
        with pytest.raises(PeerLostError):
            pace.apply()
    assert time.monotonic() - started < 30
    pace.begin_group()
    pace.hear(PaceChanged())
    pace.apply()


def test_a_call_hears_once_that_it_should_end() -> None:
    pace = Pace()
    pace.hear(StopSteps(first_step=7))
    assert not pace.is_stopped(5)
    assert pace.is_stopped(7)
    assert not pace.is_stopped(7)  # the same steps may be dealt again


def test_a_call_may_end_in_the_middle_of_a_step_and_the_next_one_does_not() -> None:
    pace = Pace()
    pace.hear(StopSteps(first_step=7))
    assert not pace.is_cut(7)
    pace.hear(StopSteps(first_step=7, at_once=True))
    assert not pace.is_cut(5)
    assert pace.is_cut(7)
    pace.end_steps()
    assert not pace.is_cut(7)  # the same steps may be dealt again
    assert not pace.is_stopped(7)


def test_a_rest_ends_when_the_others_wait_for_this_device() -> None:
    pace = Pace()
    pace.hear(PaceChanged(rest_seconds=60.0))
    cutting = threading.Timer(0.2, pace.hear, [StopSteps(first_step=7, at_once=True)])
    cutting.start()
    started = time.monotonic()
    pace.apply()
    assert time.monotonic() - started < 30
    cutting.join()
