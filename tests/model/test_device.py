"""The device and the threads of trainer and answerer: what people set in the environment counts for both."""

import pytest
import torch

from model.device import choose_device, choose_threads


def test_the_environment_names_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_DEVICE", "meta")
    assert choose_device() == torch.device("meta")
    assert choose_device("cpu") == torch.device("cpu")


def test_without_a_gpu_the_device_is_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELLMIND_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device() == torch.device("cpu")


def test_ranks_of_one_machine_take_its_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELLMIND_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert [choose_device(rank=rank).index for rank in range(3)] == [0, 1, 0]


def test_an_unknown_device_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="abacus"):
        choose_device("abacus")


def test_members_of_one_host_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert choose_threads(1) == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert choose_threads(1000) == 1
    assert choose_threads(1) >= choose_threads(2) >= 1
