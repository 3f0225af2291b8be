"""A process group of our own, for members whose gloo cannot meet: any operating system, any torch, plain byte streams.

Every pair of ranks shares one TCP connection on loopback, which agents carry (the greater rank dials). All integers
are little-endian; a collective's piece is a header (magic, operation, sequence number, length in bytes) and the bytes
of a tensor as they lie in memory, of any dtype.

Large all_reduce: ring reduce-scatter, then ring all-gather (Patarasu and Yuan, "Bandwidth optimal all-reduce
algorithms for clusters of workstations", 2009): each element is summed in one place and copied to the others. Small
ones: everybody sends to everybody, and sums in the order of ranks. Either way all ranks hold the same bits.
"""

from __future__ import annotations

import datetime
import json
import queue
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol, cast

import torch
import torch.distributed as dist
from torch import Tensor
from torch.futures import Future

VERSION = 1
_MAGIC = 0x31504D43  # "CMP1"
_HEADER = struct.Struct("<IIQQ")
_LENGTH = struct.Struct("<I")
_MAX_HELLO_BYTES = 4096
_SMALL_BYTES = 32 * 1024  # fits into every system's socket buffers, so nobody waits for anybody's reading
_PIECE_BYTES = 1 << 20  # of a ring's segment: summing one while the next comes
_LOOPBACK = "127.0.0.1"
_OPERATIONS = {"all_reduce": 1, "broadcast": 2, "all_gather": 3, "reduce_scatter": 4, "all_to_all": 5, "barrier": 6}


class MemberGoneError(RuntimeError):
    """A rank's connection ended, or it is doing something else than we are."""


class MeetingStore(Protocol):
    """What the group needs to meet: a store, and ways to the others' loopbacks."""

    def set(self, key: str, value: bytes) -> None: ...
    def get(self, key: str) -> bytes: ...
    def expose(self, port: int) -> None: ...
    def forwarder(self, rank: int) -> int: ...


# torch's stubs declare overloads of which a backend serves one each, and leave out the base of Python's Works.
_ProcessGroup: Any = dist.ProcessGroup
_Work: Any = dist._Work  # type: ignore[attr-defined]


class PortableWork(_Work):  # type: ignore[misc] # see _Work
    """A collective under way."""

    def __init__(self) -> None:
        super().__init__()
        self.future: Future[list[Tensor]] = Future()

    def wait(self, timeout: datetime.timedelta | None = None) -> bool:
        """Raises MemberGoneError."""
        self.future.wait()
        return True

    def is_completed(self) -> bool:
        return self.future.done()

    def get_future(self) -> Future[list[Tensor]]:
        return self.future


class PortableGroup(_ProcessGroup):  # type: ignore[misc] # see _ProcessGroup
    """`torch.distributed` over byte streams. After an error it is of no more use: make a new one."""

    def __init__(self, store: MeetingStore, rank: int, size: int, timeout: datetime.timedelta) -> None:
        """Meets the others. Raises MemberGoneError with what differs, TimeoutError."""
        super().__init__(rank, size)
        self._peers = _meet(store, rank, size, timeout.total_seconds())
        self._senders = {peer: _Sender(line) for peer, line in self._peers.items()}
        self._sequence = 0
        self._broken: BaseException | None = None
        self._todo: queue.SimpleQueue[tuple[Callable[[], list[Tensor]], PortableWork] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="portable group", daemon=True)
        self._thread.start()

    # -- what torch.distributed calls --------------------------------------------------------------------------------

    def allreduce(self, tensors: list[Tensor], opts: Any = None) -> PortableWork:
        return self._do(lambda: self._all_reduce(tensors, _operation(opts)))

    def broadcast(self, tensors: list[Tensor], opts: Any) -> PortableWork:
        return self._do(lambda: self._broadcast(tensors, opts.rootRank))

    def allgather(self, outputs: list[list[Tensor]], inputs: list[Tensor], opts: Any = None) -> PortableWork:
        return self._do(lambda: self._all_gather(outputs, inputs))

    def _allgather_base(self, output: Tensor, input: Tensor, opts: Any = None) -> PortableWork:
        return self.allgather([list(output.view(-1).chunk(self.size()))], [input.view(-1)])

    def reduce_scatter(self, outputs: list[Tensor], inputs: list[list[Tensor]], opts: Any = None) -> PortableWork:
        return self._do(lambda: self._reduce_scatter(outputs, inputs, _operation(opts)))

    def _reduce_scatter_base(self, output: Tensor, input: Tensor, opts: Any = None) -> PortableWork:
        return self.reduce_scatter([output.view(-1)], [list(input.view(-1).chunk(self.size()))], opts)

    def alltoall(self, outputs: list[Tensor], inputs: list[Tensor], opts: Any = None) -> PortableWork:
        return self._do(lambda: self._all_to_all(outputs, inputs))

    def alltoall_base(
        self, output: Tensor, input: Tensor, output_sizes: list[int], input_sizes: list[int], opts: Any = None
    ) -> PortableWork:
        outputs = torch.split(output, output_sizes or output.shape[0] // self.size())
        inputs = torch.split(input, input_sizes or input.shape[0] // self.size())
        return self.alltoall(list(outputs), list(inputs))

    # torch calls the three of a single tensor by these names since 2.13
    all_gather_single = _allgather_base
    reduce_scatter_single = _reduce_scatter_base
    all_to_all_single = alltoall_base

    def barrier(self, opts: Any = None) -> PortableWork:
        return self._do(self._barrier)

    def getBackendName(self) -> str:
        return "portable"

    def close(self) -> None:
        """Say everything that is still to be said, then go."""
        self._todo.put(None)
        self._thread.join()
        for sender in self._senders.values():
            sender.close()
        for line in self._peers.values():
            line.close()

    def shutdown(self) -> None:
        self.close()

    # -- one after the other, in a thread of their own -----------------------------------------------------------------

    def _do(self, work: Callable[[], list[Tensor]]) -> PortableWork:
        handle = PortableWork()
        self._todo.put((work, handle))
        return handle

    def _run(self) -> None:
        while (item := self._todo.get()) is not None:
            work, handle = item
            try:
                if self._broken:
                    raise MemberGoneError(f"this group is broken: {self._broken}")
                self._sequence += 1
                handle.future.set_result(work())
            except Exception as error:
                self._broken = self._broken or error
                gone = error if isinstance(error, MemberGoneError) else MemberGoneError(f"connection closed: {error}")
                handle.future.set_exception(gone)  # type: ignore[arg-type] # its stub is wrong
            del item, work, handle  # the tensors are not ours to keep

    # -- collectives ---------------------------------------------------------------------------------------------------

    def _all_reduce(self, tensors: list[Tensor], reduce: _Reduce) -> list[Tensor]:
        for tensor in tensors:
            flat = _on_cpu(tensor)
            if self.size() == 1:
                pass
            elif flat.numel() * flat.element_size() <= _SMALL_BYTES:
                gathered = self._exchange("all_reduce", flat)
                for rank in range(1, self.size()):
                    reduce.join(gathered[0], gathered[rank])
                flat.copy_(gathered[0])
            else:
                self._ring("all_reduce", flat.tensor_split(self.size()), reduce, owned=self.rank(), is_gathered=True)
            reduce.finish(flat, self.size())
            _put_back(tensor, flat)
        return tensors

    def _broadcast(self, tensors: list[Tensor], root: int) -> list[Tensor]:
        for tensor in tensors:
            flat = _on_cpu(tensor)
            if self.rank() == root:
                self._send_all("broadcast", dict.fromkeys(self._peers, flat))
            else:
                self._receive("broadcast", root, flat)
                _put_back(tensor, flat)
        return tensors

    def _all_gather(self, outputs: list[list[Tensor]], inputs: list[Tensor]) -> list[Tensor]:
        for wanted, given in zip(outputs, inputs, strict=True):
            flat = _on_cpu(given)
            self._send_all("all_gather", dict.fromkeys(self._peers, flat), wait=False)
            for rank, output in enumerate(wanted):
                place = _on_cpu(output)
                if rank == self.rank():
                    place.copy_(flat)
                else:
                    self._receive("all_gather", rank, place)
                _put_back(output, place)
            self._flush()
        return [tensor for wanted in outputs for tensor in wanted]

    def _reduce_scatter(self, outputs: list[Tensor], inputs: list[list[Tensor]], reduce: _Reduce) -> list[Tensor]:
        for output, given in zip(outputs, inputs, strict=True):
            segments = [_on_cpu(tensor).clone() for tensor in given]
            if self.size() > 1:
                self._ring("reduce_scatter", segments, reduce, owned=self.rank(), is_gathered=False)
            mine = segments[self.rank()]
            reduce.finish(mine, self.size())
            _put_back(output, mine)
        return outputs

    def _all_to_all(self, outputs: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
        self._send_all("all_to_all", {peer: _on_cpu(inputs[peer]) for peer in self._peers}, wait=False)
        for rank, output in enumerate(outputs):
            place = _on_cpu(output)
            if rank == self.rank():
                place.copy_(_on_cpu(inputs[rank]))
            else:
                self._receive("all_to_all", rank, place)
            _put_back(output, place)
        self._flush()
        return outputs

    def _barrier(self) -> list[Tensor]:
        self._exchange("barrier", torch.zeros(1, dtype=torch.uint8))
        return []

    def _exchange(self, name: str, flat: Tensor) -> list[Tensor]:
        """Everybody's, in the order of ranks."""
        for peer in self._peers:
            self._send_now(name, peer, flat)
        found = []
        for rank in range(self.size()):
            place = torch.empty_like(flat)
            if rank == self.rank():
                place.copy_(flat)
            else:
                self._receive(name, rank, place)
            found.append(place)
        return found

    def _ring(self, name: str, segments: Sequence[Tensor], reduce: _Reduce, owned: int, is_gathered: bool) -> None:
        """Afterwards segment `owned` holds everybody's reduced, and all segments do if it `is_gathered`. `owned` is one
        apart from rank to rank.

        What has come is passed on piece by piece, so that the two phases overlap. A piece that waits to be sent is
        written again only with what follows from its having been received.
        """
        size, after, before = self.size(), (self.rank() + 1) % self.size(), (self.rank() - 1) % self.size()
        for piece in _pieces(segments[(owned - 1) % size]):
            self._send_on(name, after, piece)
        for step in range(2, size + 1):
            for piece in _pieces(segments[(owned - step) % size]):
                other = torch.empty_like(piece)
                self._receive(name, before, other)
                reduce.join(piece, other)
                if step < size or is_gathered:
                    self._send_on(name, after, piece)
        for step in range(1, size if is_gathered else 1):
            for piece in _pieces(segments[(owned - step) % size]):
                self._receive(name, before, piece)
                if step < size - 1:
                    self._send_on(name, after, piece)
        self._flush()

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def _header(self, name: str, flat: Tensor) -> bytes:
        return _HEADER.pack(_MAGIC, _OPERATIONS[name], self._sequence, flat.numel() * flat.element_size())

    def _send_on(self, name: str, peer: int, flat: Tensor) -> None:
        """Beside whatever else is going on; the tensor must not change before it is gone."""
        self._senders[peer].put(self._header(name, flat), flat)

    def _send_now(self, name: str, peer: int, flat: Tensor) -> None:
        self._peers[peer].sendall(self._header(name, flat) + bytes(_bytes(flat)))

    def _send_all(self, name: str, flat_by_peer: dict[int, Tensor], wait: bool = True) -> None:
        for peer, flat in flat_by_peer.items():
            self._send_on(name, peer, flat)
        if wait:
            self._flush()

    def _flush(self) -> None:
        for sender in self._senders.values():
            sender.flush()

    def _receive(self, name: str, peer: int, place: Tensor) -> None:
        """Raises MemberGoneError when the peer is gone, or sends anything else than this."""
        line = self._peers[peer]
        header = bytearray(_HEADER.size)
        _read_into(line, memoryview(header), peer)
        magic, operation, sequence, length = _HEADER.unpack(header)
        expected = (_MAGIC, _OPERATIONS[name], self._sequence, place.numel() * place.element_size())
        if (magic, operation, sequence, length) != expected:
            theirs = {number: name for name, number in _OPERATIONS.items()}.get(operation, "garbage")
            raise MemberGoneError(
                f"rank {peer} sent {theirs} number {sequence} of {length} bytes where {name} number {self._sequence} "
                f"of {expected[3]} bytes was due"
            )
        _read_into(line, _bytes(place), peer)


class _Sender:
    """Writes to one peer, beside the reading from another."""

    def __init__(self, line: socket.socket) -> None:
        self._line = line
        self._todo: queue.SimpleQueue[tuple[bytes, Tensor] | threading.Event | None] = queue.SimpleQueue()
        self._error: OSError | None = None
        self._is_idle = True
        self._thread = threading.Thread(target=self._run, name="portable sender", daemon=True)
        self._thread.start()

    def put(self, header: bytes, flat: Tensor) -> None:
        """The tensor must not change before `flush` has returned."""
        self._is_idle = False
        self._todo.put((header, flat))

    def flush(self) -> None:
        """Everything is on its way. Raises MemberGoneError."""
        if not self._is_idle:
            done = threading.Event()
            self._todo.put(done)
            done.wait()
            self._is_idle = True
        if self._error:
            raise MemberGoneError(f"connection closed: {self._error}") from self._error

    def close(self) -> None:
        self._todo.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (item := self._todo.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            elif self._error is None:
                try:
                    self._line.sendall(item[0])
                    self._line.sendall(_bytes(item[1]))
                except OSError as error:
                    self._error = error


class _Reduce:
    """What two members' values become."""

    def __init__(self, name: str, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        self._name, self._join = name, join

    def join(self, into: Tensor, other: Tensor) -> None:
        self._join(into, other)

    def finish(self, flat: Tensor, size: int) -> None:
        if self._name == "AVG":
            flat.div_(size)


_REDUCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "SUM": lambda into, other: into.add_(other),
    "AVG": lambda into, other: into.add_(other),
    "PRODUCT": lambda into, other: into.mul_(other),
    "MIN": lambda into, other: torch.minimum(into, other, out=into),
    "MAX": lambda into, other: torch.maximum(into, other, out=into),
}


def _operation(opts: Any) -> _Reduce:
    """Raises ValueError for what is not a sum, average, product, minimum or maximum."""
    wanted = dist.ReduceOp.SUM if opts is None else opts.reduceOp
    for name, join in _REDUCTIONS.items():
        if wanted == getattr(dist.ReduceOp, name):
            return _Reduce(name, join)
    raise ValueError(f"the portable group does not reduce by {wanted}")


# -- meeting -------------------------------------------------------------------------------------------------------


def _meet(store: MeetingStore, rank: int, size: int, seconds: float) -> dict[int, socket.socket]:
    """A connection to each other rank: we dial those below us, those above dial us."""
    hello = {"portable": VERSION, "byteorder": sys.byteorder, "size": size}
    lines: dict[int, socket.socket] = {}
    if sys.byteorder != "little":
        raise MemberGoneError("the portable group needs a little-endian machine")
    with socket.create_server((_LOOPBACK, 0)) as listener:
        store.expose(listener.getsockname()[1])
        store.set(f"portable/{rank}", json.dumps(hello).encode())
        for peer in range(size):
            if peer != rank:
                _compare(peer, hello, json.loads(store.get(f"portable/{peer}")))
        try:
            for peer in range(rank):
                line = socket.create_connection((_LOOPBACK, store.forwarder(peer)), seconds)
                lines[peer] = line
                _say(line, {"rank": rank})
            listener.settimeout(seconds)
            while len(lines) < size - 1:
                line, _ = listener.accept()
                lines[_caller(line, seconds, range(rank + 1, size), lines)] = line
        except BaseException:
            for line in lines.values():
                line.close()
            raise
    for line in lines.values():
        line.settimeout(seconds)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return lines


def _caller(line: socket.socket, seconds: float, ranks: range, met: Mapping[int, socket.socket]) -> int:
    """Which rank has dialled us. Raises MemberGoneError, OSError; then the line is closed."""
    try:
        line.settimeout(seconds)
        caller = _hear(line).get("rank")
        if not isinstance(caller, int) or caller not in ranks or caller in met:
            raise MemberGoneError(f"somebody connected as rank {caller!r:.20}")
        return caller
    except BaseException:
        line.close()
        raise


def _compare(peer: int, ours: dict[str, Any], theirs: Any) -> None:
    """Raises MemberGoneError that names what differs."""
    if not isinstance(theirs, dict):
        raise MemberGoneError(f"rank {peer} introduces itself with nonsense")
    differing = [
        f"{name} is {theirs.get(name)!r:.40} there and {value!r} here"
        for name, value in ours.items()
        if theirs.get(name) != value
    ]
    if differing:
        raise MemberGoneError(f"rank {peer} cannot work with us: {', '.join(differing)}; update CellMind on both")


def _say(line: socket.socket, plain: dict[str, Any]) -> None:
    data = json.dumps(plain).encode()
    line.sendall(_LENGTH.pack(len(data)) + data)


def _hear(line: socket.socket) -> dict[str, Any]:
    head = bytearray(_LENGTH.size)
    _read_into(line, memoryview(head), None)
    (length,) = _LENGTH.unpack(head)
    if length > _MAX_HELLO_BYTES:
        raise MemberGoneError("somebody introduces itself at too great length")
    body = bytearray(length)
    _read_into(line, memoryview(body), None)
    try:
        plain = json.loads(body)
    except ValueError as error:
        raise MemberGoneError("somebody introduces itself with nonsense") from error
    return plain if isinstance(plain, dict) else {}


def _read_into(line: socket.socket, place: memoryview, peer: int | None) -> None:
    while place:
        count = line.recv_into(place)
        if not count:
            raise MemberGoneError(f"connection closed by {'somebody' if peer is None else f'rank {peer}'}")
        place = place[count:]


# -- tensors as bytes ----------------------------------------------------------------------------------------------


def _on_cpu(tensor: Tensor) -> Tensor:
    """Flat and contiguous on the CPU: the tensor's own memory where that is so already."""
    return tensor.detach().cpu().contiguous().view(-1)


def _put_back(tensor: Tensor, flat: Tensor) -> None:
    if tensor.data_ptr() != flat.data_ptr():
        tensor.detach().copy_(flat.view(tensor.shape))


def _bytes(flat: Tensor) -> memoryview:
    return memoryview(cast(Any, flat.view(torch.uint8).numpy())).cast("B")


def _pieces(flat: Tensor) -> Iterable[Tensor]:
    return torch.split(flat, max(1, _PIECE_BYTES // flat.element_size())) if flat.numel() else ()
