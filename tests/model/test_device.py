"""The device and the threads of trainer and answerer: what people set in the environment counts for both."""

import importlib.util

import pytest
import torch

from model.device import can_compile, choose_devices, choose_threads, has_bfloat16


@pytest.fixture(autouse=True)
def nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CELLMIND_DEVICE", raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


def have_gpus(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(names))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: names[getattr(device, "index", device)])


def indices(devices: tuple[torch.device, ...]) -> list[int]:
    return [device.index for device in devices]


def test_the_environment_names_the_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_DEVICE", "meta")
    assert choose_devices() == (torch.device("meta"),)
    monkeypatch.setenv("CELLMIND_DEVICE", "cuda:0, cuda:2")
    assert indices(choose_devices()) == [0, 2]


def test_without_a_gpu_the_device_is_the_cpu() -> None:
    assert choose_devices() == (torch.device("cpu"),)


def test_a_member_that_is_alone_on_its_machine_takes_all_equal_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    have_gpus(monkeypatch, "A", "B", "A")
    assert indices(choose_devices(rank=1, size=2)) == [0, 2]


def test_members_of_one_machine_take_its_gpus_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    have_gpus(monkeypatch, "A", "A")
    assert [indices(choose_devices(rank, 3, members_on_this_host=3)) for rank in range(3)] == [[0], [1], [0]]


def test_apples_gpu_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_devices() == (torch.device("mps"),)
    assert choose_devices(size=2) == (torch.device("cpu"),)


def test_an_unknown_device_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_DEVICE", "abacus")
    with pytest.raises(RuntimeError, match="abacus"):
        choose_devices()


def test_capabilities_are_probed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert has_bfloat16(torch.device("cpu"))
    assert not can_compile(torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (6, 1))
    assert not can_compile(torch.device("cuda"))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert not can_compile(torch.device("cuda"))


def test_members_of_one_host_share_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert choose_threads(1) == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert choose_threads(1000) == 1
    assert choose_threads(1) >= choose_threads(2) >= 1
