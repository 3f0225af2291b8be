"""A lost peer is recognised by where the error was raised, whatever words the process group uses."""

import multiprocessing as standard_multiprocessing
import os
import tempfile
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing

from model.errors import PeerLostError, failure_of
from model.line.failure import CallFailedError, Failure
from model.line.sentence import Sentence
from model.meeting.gloo import loopback_gloo
from model.meeting.group import Group
from model.meeting.process_group import register


def _rank(rank: int, folder: str, where: str) -> None:
    register("loopback", loopback_gloo)
    dist.init_process_group("loopback", store=dist.FileStore(f"{folder}/store", 2), rank=rank, world_size=2)
    group = Group(rank, 2, torch.device("cpu"))
    model = group.wrap(torch.nn.Linear(64, 64))
    group.sum([1.0])
    if rank == 1:
        os._exit(1)
    try:
        while True:
            match where:
                case "sum":
                    group.sum([1.0])
                case "send":
                    group.finish(group.start_sending(torch.ones(64), 1))
                case "receive":
                    group.finish(group.start_receiving(torch.ones(64), 1))
                case "backward":
                    with group.communicating():
                        model(torch.ones(2, 64)).sum().backward()
    except PeerLostError as error:
        Path(folder, "failure").write_text(failure_of(error).code)
    os._exit(0)


@pytest.mark.parametrize("where", ["sum", "send", "receive", "backward"])
def test_a_rank_that_ends_is_a_lost_peer_to_the_other(where: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        context = multiprocessing.get_context("spawn")
        ranks = [context.Process(target=_rank, args=(rank, folder, where)) for rank in range(2)]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join(60)
            assert not process.is_alive()
        assert Path(folder, "failure").read_text() == "peer_lost"
    assert not standard_multiprocessing.active_children()


def test_an_error_of_a_group_of_one_is_its_own() -> None:
    with pytest.raises(RuntimeError, match="shapes"), Group(0, 1, torch.device("cpu")).communicating():
        raise RuntimeError("shapes differ")


@pytest.mark.parametrize("error", [TimeoutError("timed out"), ConnectionResetError("reset"), RuntimeError("gloo")])
def test_an_error_of_a_connection_is_a_lost_peer(error: Exception) -> None:
    with pytest.raises(PeerLostError), Group(0, 2, torch.device("cpu")).communicating():
        raise error


def test_memory_that_runs_out_is_no_lost_peer() -> None:
    with pytest.raises(torch.OutOfMemoryError) as error, Group(0, 2, torch.device("cpu")).communicating():
        raise torch.OutOfMemoryError("CUDA out of memory")
    assert failure_of(error.value).code == "out_of_memory"


def test_a_meeting_that_the_agent_refuses_ends_a_group_and_no_trainer() -> None:
    refused = CallFailedError(Failure(code="failed", message=Sentence("this device is between two process groups")))
    assert failure_of(refused).code == "peer_lost"
