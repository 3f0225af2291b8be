"""Agents of one machine for ranks in real processes: a store in a file for each group, forwarders that can be cut."""

import contextlib
import datetime
import socket
import threading
from typing import Any

import torch.distributed as dist

from model.line.declare import Call, Done
from model.line.failure import CallFailedError, Failure
from model.line.meeting import (
    ExposePort,
    ForwarderOpened,
    OpenForwarder,
    StoreAdd,
    StoreCheck,
    StoreDelete,
    StoreGet,
    StoreNumber,
    StoreSet,
    StoreValue,
)
from model.line.sentence import Sentence


class FileAgent:
    """The agent of one rank, and its end of the line. `begin` starts another group, `cut` ends all connections."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._store: Any = None
        self._rank = 0
        self._sockets: list[socket.socket] = []
        self.answers: list[object] = []
        self.is_over = False

    def begin(self, group: str, rank: int) -> None:
        self._store, self._rank, self.is_over = dist.FileStore(f"{self._folder}/{group}"), rank, False  # type: ignore[attr-defined]

    def cut(self) -> None:
        for stream in self._sockets:
            with contextlib.suppress(OSError):
                stream.shutdown(socket.SHUT_RDWR)
        self._sockets.clear()

    def report(self, event: object) -> None: ...

    def answer(self, number: int, answer: object) -> None:
        self.answers.append(answer)

    def ask(self, call: Call[Any], seconds: float) -> Any:
        match call:
            case StoreGet() if self.is_over:
                raise CallFailedError(Failure(code="failed", message=Sentence("that group is over")))
            case StoreSet(key=key, data=data):
                self._store.set(key, data.hex())
            case StoreGet(keys=keys, seconds=limit):
                self._store.wait(list(keys), datetime.timedelta(seconds=limit))
                return StoreValue(data=bytes.fromhex(self._store.get(keys[0]).decode()))
            case StoreAdd(key=key, amount=amount):
                return StoreNumber(number=self._store.add(key, amount))
            case StoreCheck(keys=keys):
                return StoreNumber(number=self._store.check(list(keys)))
            case StoreDelete(key=key):
                return StoreNumber(number=self._store.delete_key(key))
            case ExposePort(port=port):
                self._store.set(f"exposed/{self._rank}", str(port))
            case OpenForwarder(rank=rank, ports=ports):
                return ForwarderOpened(port=self._forward(int(self._store.get(f"exposed/{rank}")), ports))
            case _:
                raise AssertionError(call)
        return Done()

    def _forward(self, target: int, ports: tuple[int, ...]) -> int:
        for port in ports or (0,):
            with contextlib.suppress(OSError):
                listener = socket.create_server(("127.0.0.1", port))
                threading.Thread(target=self._carry, args=(listener, target), daemon=True).start()
                return int(listener.getsockname()[1])
        raise AssertionError("no port is free")

    def _carry(self, listener: socket.socket, target: int) -> None:
        with listener:
            near, _ = listener.accept()
        far = socket.create_connection(("127.0.0.1", target))
        for stream in (near, far):
            stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # as an agent does: else each exchange waits
        self._sockets += [near, far]
        back = threading.Thread(target=_pump, args=(far, near), daemon=True)
        back.start()
        _pump(near, far)
        back.join()
        near.close()
        far.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for stream in (source, sink):
        with contextlib.suppress(OSError):
            stream.shutdown(socket.SHUT_RDWR)
