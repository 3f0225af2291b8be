"""The portable group: every rank gets the same bits, close to gloo's result, and a lost rank is an error at once."""

import contextlib
import datetime
import multiprocessing
import os
import socket
import struct
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from model.meeting.errors import MemberGoneError
from model.meeting.gloo import loopback_gloo
from model.meeting.portable.group import PortableGroup
from model.meeting.process_group import register

LIMIT = datetime.timedelta(seconds=30)


class Store:
    """The store of ranks on one machine, in a file."""

    def __init__(self, folder: str, rank: int) -> None:
        self._store, self._rank = dist.FileStore(f"{folder}/meeting"), rank
        self._store.set_timeout(LIMIT)

    def set(self, key: str, value: bytes) -> None:
        self._store.set(key, value.decode())

    def get(self, key: str) -> bytes:
        return bytes(self._store.get(key))

    def expose(self, port: int) -> None:
        self.set(f"port/{self._rank}", str(port).encode())

    def forwarder(self, rank: int) -> int:
        return int(self.get(f"port/{rank}"))


def meet(rank: int, size: int, folder: str, backend: str = "portable") -> None:
    torch.set_num_threads(1)
    register("portable", lambda _, *place: PortableGroup(Store(folder, rank), *place))
    register("loopback", loopback_gloo)
    store = dist.FileStore(f"{folder}/{backend}", size)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=LIMIT)


def run_ranks(target: Any, size: int, folder: Path, *arguments: Any) -> None:
    """Run each rank in its own process. All must exit with 0."""
    context = multiprocessing.get_context("spawn")
    ranks = [context.Process(target=target, args=(rank, size, str(folder), *arguments)) for rank in range(size)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(90)
    codes = [rank.exitcode for rank in ranks]
    for rank in ranks:
        rank.kill()
        rank.join()
    assert codes == [0] * size


def same_everywhere(tensor: torch.Tensor, size: int) -> bool:
    gathered = [torch.empty_like(tensor) for _ in range(size)]
    dist.all_gather(gathered, tensor)
    return all(torch.equal(gathered[0].view(torch.uint8), other.view(torch.uint8)) for other in gathered)


def every_collective(rank: int, size: int, folder: str) -> None:
    meet(rank, size, folder)
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.int8, torch.int64):
        for count in (0, 1, 7, 200_003):
            values = [(torch.arange(count) % 5 + other).to(dtype) for other in range(size)]
            tensor = values[rank].clone()
            dist.all_reduce(tensor)
            assert torch.equal(tensor, sum(values[1:], values[0])), (dtype, count)
    for operation, expected in ((dist.ReduceOp.MAX, size), (dist.ReduceOp.MIN, 1), (dist.ReduceOp.AVG, (size + 1) / 2)):
        tensor = torch.full((50_000,), rank + 1.0)
        dist.all_reduce(tensor, op=operation)
        assert tensor.unique().tolist() == [expected]
    noise = torch.randn(100_001, generator=torch.Generator().manual_seed(rank))
    dist.all_reduce(noise)
    assert same_everywhere(noise, size)
    columns = torch.ones(4, 6).t() * (rank + 1)  # not contiguous
    dist.all_reduce(columns)
    assert columns.unique().tolist() == [size * (size + 1) / 2]
    tensor = torch.full((3,), rank)
    dist.broadcast(tensor, src=size - 1)
    assert tensor.tolist() == [size - 1] * 3
    part = torch.empty(4)
    dist.reduce_scatter(part, [torch.full((4,), other * 1.0) for other in range(size)])
    assert part.tolist() == [rank * size] * 4
    outputs = [torch.empty(2) for _ in range(size)]
    dist.all_to_all(outputs, [torch.full((2,), 10.0 * rank + other) for other in range(size)])
    assert [float(output[0]) for output in outputs] == [10.0 * other + rank for other in range(size)]
    works = [dist.all_reduce(torch.ones(100_000), async_op=True) for _ in range(5)]
    for work in works:
        work.wait()
        assert work.is_completed()
    dist.barrier()
    dist.destroy_process_group()


@pytest.mark.parametrize("size", [2, 3])
def test_every_collective(tmp_path: Path, size: int) -> None:
    run_ranks(every_collective, size, tmp_path)


def send_messages(rank: int, size: int, folder: str) -> None:
    """Messages between pairs of ranks, also between collectives, of any size and stride."""
    meet(rank, size, folder)
    amounts = (1, 3_000_001, 0, 7)
    if rank == 0:
        works = [dist.isend(torch.full((amount,), 10.0 + number), 1) for number, amount in enumerate(amounts)]
        works += [dist.isend(torch.arange(6).view(2, 3).t(), 2)]
    elif rank == 1:
        found = [torch.empty(amount) for amount in amounts]
        works = [dist.irecv(tensor, 0) for tensor in found]
    else:
        columns = torch.zeros(2, 3, dtype=torch.int64).t()
        works = [dist.irecv(columns, 0)]
    for work in works:
        assert work is not None
        work.wait()
    if rank == 1:
        assert [tensor.tolist() for tensor in found] == [[10.0 + n] * amount for n, amount in enumerate(amounts)]
    if rank == 2:
        assert columns.tolist() == [[0, 3], [1, 4], [2, 5]]
    total = torch.ones(1)
    dist.all_reduce(total)
    assert total.item() == size
    if rank == 2:
        dist.send(torch.tensor([5.0]), 1)
    if rank == 1:
        answer = torch.zeros(1)
        dist.recv(answer, 2)
        assert answer.item() == 5
    dist.barrier()
    # A message of another length than expected breaks the group of the receiver.
    if rank == 0:
        dist.send(torch.zeros(2), 1)
    if rank == 1:
        with pytest.raises(
            MemberGoneError, match="message number 5 of 8 bytes instead of message number 5 of 12 bytes"
        ):
            dist.recv(torch.zeros(3), 0)
    os._exit(0)


def test_messages_reach_one_rank(tmp_path: Path) -> None:
    run_ranks(send_messages, 3, tmp_path)


def ddp_on_both(rank: int, size: int, folder: str) -> None:
    """The same training on gloo, then on ours: nearly the same weights, and the same bits on all ranks."""
    weights = []
    for backend in ("loopback", "portable"):
        meet(rank, size, folder, backend)
        torch.manual_seed(5)
        model = DistributedDataParallel(nn.Sequential(nn.Linear(300, 200), nn.Tanh(), nn.Linear(200, 10)))
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        torch.manual_seed(100 + rank)
        for _ in range(3):
            optimizer.zero_grad()
            model(torch.randn(16, 300)).pow(2).mean().backward()
            optimizer.step()
        flat = nn.utils.parameters_to_vector(model.parameters()).detach()
        assert same_everywhere(flat, size)
        weights.append(flat)
        dist.barrier()
        dist.destroy_process_group()
    torch.testing.assert_close(weights[0], weights[1], rtol=1e-5, atol=1e-6)


def test_ddp_trains_on_it_as_on_gloo(tmp_path: Path) -> None:
    run_ranks(ddp_on_both, 3, tmp_path)


def one_dies(rank: int, size: int, folder: str) -> None:
    meet(rank, size, folder)
    dist.barrier()
    if rank == 1:
        os._exit(0)
    for tensor in (torch.ones(1), torch.ones(1_000_000), torch.ones(1)):
        try:
            dist.all_reduce(tensor)
            dist.all_reduce(tensor)
        except MemberGoneError:
            continue
        raise AssertionError("a member is gone, and nobody noticed")
    os._exit(0)


def test_after_a_member_dies_every_operation_fails_at_once(tmp_path: Path) -> None:
    run_ranks(one_dies, 3, tmp_path)


def meet_wrongly(folder: Path, introduction: bytes) -> None:
    """Make the group of rank 0 where the store has this introduction of rank 1."""
    Store(str(folder), 1).set("portable/1", introduction)
    with pytest.raises(MemberGoneError) as found:
        PortableGroup(Store(str(folder), 0), 0, 2, datetime.timedelta(seconds=5))
    assert "portable is 2 there and 1 here" in str(found.value) or b"portable" not in introduction


@pytest.mark.parametrize("introduction", [b'{"portable": 2, "byteorder": "little", "size": 2}', b"[]", b"not JSON"])
def test_a_rank_of_another_version_is_an_error_that_says_so(tmp_path: Path, introduction: bytes) -> None:
    meet_wrongly(tmp_path, introduction)


@pytest.mark.parametrize("garbage", [struct.pack("<I", 1 << 30), struct.pack("<I", 2) + b"{]", b"GET / HTTP/1.1\r\n"])
def test_a_connection_that_sends_garbage_is_refused(tmp_path: Path, garbage: bytes) -> None:
    store = Store(str(tmp_path), 0)
    Store(str(tmp_path), 1).set("portable/1", b'{"portable": 1, "byteorder": "little", "size": 2}')

    def intrude() -> None:
        port = int(store.get("port/0"))
        # The group may reset the connection before each of these calls; `shutdown` raises a bare OSError then.
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)) as line:
            line.sendall(garbage)
            line.shutdown(socket.SHUT_WR)
            line.recv(1)

    intruder = threading.Thread(target=intrude)
    intruder.start()
    with pytest.raises((MemberGoneError, OSError)):
        PortableGroup(store, 0, 2, datetime.timedelta(seconds=5))
    intruder.join()
