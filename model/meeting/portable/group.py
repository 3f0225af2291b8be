"""The portable process group as torch.distributed calls it: one thread runs its operations one after the other."""

from __future__ import annotations

import datetime
import queue
import threading
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.futures import Future

from model.meeting.errors import MemberGoneError
from model.meeting.portable.collectives import REDUCTIONS, Collectives
from model.meeting.portable.handshake import MeetingStore, connect
from model.meeting.portable.transport import Transport
from model.meeting.process_group import Meeting, init_process_group, register
from model.meeting.store import LinkStore

# torch's stubs declare overloads of which a backend serves one each, and omit the base class of works in Python.
_ProcessGroup: Any = dist.ProcessGroup
_Work: Any = dist._Work  # type: ignore[attr-defined]


def join(meeting: Meeting) -> None:
    """Meet the other ranks over byte streams. Raises MemberGoneError with what differs, OSError, TimeoutError."""
    store = LinkStore(meeting.agent, meeting.rank, meeting.timeout_seconds, meeting.near)
    register("portable", lambda _, *place: PortableGroup(store, *place))
    init_process_group("portable", store, meeting)


class PortableWork(_Work):  # type: ignore[misc] # see _Work
    """An operation that may still be running."""

    def __init__(self) -> None:
        super().__init__()
        self.future: Future[list[Tensor]] = Future()
        # An exception in a future from Python is a plain value to C++, and DDP would crash when it looks for tensors in
        # it. In the future of a callback that raises, it is an error to C++ too.
        self._future_for_torch: Future[list[Tensor]] = self.future.then(_value)

    def wait(self, timeout: datetime.timedelta | None = None) -> bool:
        """Return when the operation is done. Raises MemberGoneError."""
        self.future.wait()
        return True

    def is_completed(self) -> bool:
        """Whether the operation is done or has failed."""
        return self.future.done()

    def get_future(self) -> Future[list[Tensor]]:
        """The future of the operation's tensors: DDP chains its next work to it."""
        return self._future_for_torch


class PortableGroup(_ProcessGroup):  # type: ignore[misc] # see _ProcessGroup
    """`torch.distributed` over byte streams. After an error every operation fails: make a new group."""

    def __init__(self, store: MeetingStore, rank: int, size: int, timeout: datetime.timedelta) -> None:
        """Meet the other ranks. Raises MemberGoneError with what differs, OSError, TimeoutError."""
        super().__init__(rank, size)
        self._transport = Transport(rank, connect(store, rank, size, timeout.total_seconds()))
        self._collectives = Collectives(self._transport)
        self._error: BaseException | None = None
        self._queue: queue.SimpleQueue[tuple[Callable[[], None], list[Tensor], PortableWork] | None]
        self._queue = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="portable group", daemon=True)
        self._thread.start()

    def allreduce(self, tensors: list[Tensor], opts: dist.AllreduceOptions | None = None) -> PortableWork:
        """Replace each tensor by its reduction over all ranks."""
        reduction = _reduction(opts)
        return self._start(lambda: self._collectives.all_reduce(tensors, reduction), tensors)

    def broadcast(self, tensors: list[Tensor], opts: dist.BroadcastOptions) -> PortableWork:
        """Replace each tensor by that of the root rank."""
        root = opts.rootRank
        return self._start(lambda: self._collectives.broadcast(tensors, root), tensors)

    def allgather(self, outputs: list[list[Tensor]], inputs: list[Tensor], opts: object = None) -> PortableWork:
        """Fill `outputs[i][rank]` with `inputs[i]` of each rank."""
        flat = [tensor for tensors in outputs for tensor in tensors]
        return self._start(lambda: self._collectives.all_gather(outputs, inputs), flat)

    def _allgather_base(self, output: Tensor, input: Tensor, opts: object = None) -> PortableWork:
        return self.allgather([list(output.view(-1).chunk(self.size()))], [input.view(-1)])

    def reduce_scatter(
        self, outputs: list[Tensor], inputs: list[list[Tensor]], opts: dist.ReduceScatterOptions | None = None
    ) -> PortableWork:
        """Fill `outputs[i]` with the reduction of `inputs[i][rank]` over all ranks."""
        reduction = _reduction(opts)
        return self._start(lambda: self._collectives.reduce_scatter(outputs, inputs, reduction), outputs)

    def _reduce_scatter_base(
        self, output: Tensor, input: Tensor, opts: dist.ReduceScatterOptions | None = None
    ) -> PortableWork:
        return self.reduce_scatter([output.view(-1)], [list(input.view(-1).chunk(self.size()))], opts)

    def alltoall(self, outputs: list[Tensor], inputs: list[Tensor], opts: object = None) -> PortableWork:
        """Fill `outputs[rank]` with the input that each rank has for this one."""
        return self._start(lambda: self._collectives.all_to_all(outputs, inputs), outputs)

    def alltoall_base(
        self, output: Tensor, input: Tensor, output_sizes: list[int], input_sizes: list[int], opts: object = None
    ) -> PortableWork:
        """`alltoall` with the parts of one output and one input; without sizes the parts are equal."""
        outputs = torch.split(output, output_sizes or output.shape[0] // self.size())
        inputs = torch.split(input, input_sizes or input.shape[0] // self.size())
        return self.alltoall(list(outputs), list(inputs))

    # torch 2.13 and later call the three operations on a single tensor by these names
    all_gather_single = _allgather_base
    reduce_scatter_single = _reduce_scatter_base
    all_to_all_single = alltoall_base

    def barrier(self, opts: object = None) -> PortableWork:
        """Its work is done when every rank has called it."""
        return self._start(self._collectives.barrier, [])

    def send(self, tensors: list[Tensor], peer: int, tag: int = 0) -> PortableWork:
        """Send each tensor to one rank. Its work is done when the stream has taken them. `tag` is not sent.

        Operations run in the order of their calls: two ranks that both receive before they send wait for each other.
        """
        return self._queue_operation(lambda: self._collectives.send(tensors, peer), tensors)

    def recv(self, tensors: list[Tensor], peer: int, tag: int = 0) -> PortableWork:
        """Replace each tensor by the next one that `peer` sends."""
        return self._queue_operation(lambda: self._collectives.receive(tensors, peer), tensors)

    def getBackendName(self) -> str:
        """The name under which torch knows this group."""
        return "portable"

    def close(self) -> None:
        """Finish the operations that are queued, then close every stream. After an error none is finished."""
        if self._error:
            self._transport.cut()  # a peer that still lives may take nothing any more
        self._queue.put(None)
        self._thread.join()
        self._transport.close()

    def shutdown(self) -> None:
        """What torch calls at the end."""
        self.close()

    def _start(self, collective: Callable[[], None], results: list[Tensor]) -> PortableWork:
        def operation() -> None:
            self._transport.begin()
            collective()

        return self._queue_operation(operation, results)

    def _queue_operation(self, operation: Callable[[], None], results: list[Tensor]) -> PortableWork:
        work = PortableWork()
        self._queue.put((operation, results, work))
        return work

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            operation, results, work = item
            try:
                if self._error:
                    raise MemberGoneError(f"this group is broken: {self._error}")
                operation()
                work.future.set_result(results)
            except Exception as error:
                self._error = self._error or error
                gone = error if isinstance(error, MemberGoneError) else MemberGoneError(f"an operation failed: {error}")
                work.future.set_exception(gone)  # type: ignore[arg-type] # its stub is wrong
            del item, operation, results, work  # else this thread keeps the tensors alive until the next operation


def _value(future: Future[list[Tensor]]) -> list[Tensor]:
    return future.value()


def _reduction(opts: dist.AllreduceOptions | dist.ReduceScatterOptions | None) -> str:
    """The name of torch's reduction. Raises ValueError unless it is one of REDUCTIONS."""
    reduce_op = dist.ReduceOp.SUM if opts is None else opts.reduceOp
    for name in REDUCTIONS:
        if reduce_op == getattr(dist.ReduceOp, name):
            return name
    raise ValueError(f"the portable group does not reduce by {reduce_op}")
