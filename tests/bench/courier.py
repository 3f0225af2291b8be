"""A small agent for `tests.bench.tunnels`: the real port, links, tunnels and child process, for one trainer.

    python -m tests.bench.courier RANK OWN OTHER KEYS COMMAND...

OWN and OTHER are addresses. KEYS is a folder where both couriers leave their public keys. COMMAND starts the trainer.
Rank 0 serves the store.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Any, cast

from cellmind_agent.network.channel import Channel
from cellmind_agent.network.connection import Connection
from cellmind_agent.network.curve import new_context
from cellmind_agent.network.link import Link
from cellmind_agent.network.listener import Listener
from cellmind_agent.network.reception import Reception
from cellmind_agent.network.tunnels import Tunnels
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.runs.process import ChildProcess
from cellmind_agent.runs.rendezvous import Rendezvous, store_answer, store_request
from cellmind_agent.trust.identity import new_curve_keys
from cellmind_agent.trust.permissions import Caller
from model.line.declare import Call, Done
from model.line.meeting import ExposePort, ForwarderOpened, OpenForwarder, StoreCall

PORT = 7420
RUN = RunId("run-0101-abcdef")
DEVICES = (DeviceId("a" * 32), DeviceId("b" * 32))


class Courier:
    """One of two devices. It also takes the place of `Peers`, with the few methods that tunnels call."""

    def __init__(self, rank: int, own: str, other: str, keys: Path) -> None:
        self.rank, self.own, self.other, self.folder = rank, own, other, keys
        self.keys, self.context = new_curve_keys(), new_context()
        self.tunnels = Tunnels(self)  # type: ignore[arg-type]
        self.rendezvous = Rendezvous(RUN, 1)
        store = (m.StoreSet, m.StoreGet, m.StoreAdd, m.StoreCompareSet, m.StoreCheck, m.StoreDelete)
        handlers: dict[type, Any] = {**self.tunnels.handlers(), **dict.fromkeys(store, self.serve_store)}
        self.reception = Reception(self.recognise, handlers)
        self.listener = Listener(self.keys, lambda key: key == self.other_key(), self.reception.hear)
        self.control: Link | None = None

    def other_key(self) -> bytes:
        path = self.folder / str(1 - self.rank)
        return path.read_bytes() if path.exists() else b""

    def recognise(self, channel: Channel) -> Caller:
        return Caller(
            kind="member",
            curve_key=channel.curve_key,
            device=DEVICES[1 - self.rank],
            host=channel.host,
            channel=channel,
        )

    def name(self, device: DeviceId) -> str:
        return device

    async def dial_again(self, device: DeviceId) -> Link:
        address = Address(host=self.other, port=PORT)
        connection = Connection(self.context, self.keys, address, self.other_key(), self.reception.hear)
        await connection.open(5.0)
        return Link(connection)

    async def serve_store(self, request: m.StoreRequest, caller: Caller) -> m.StoreAnswer:
        return await self.rendezvous.answer(request)

    async def serve_trainer(self, call: Call[Any]) -> object:
        match call:
            case ExposePort():
                self.tunnels.expose(RUN, 1, call.port)
                return Done()
            case OpenForwarder():
                port = await self.tunnels.forward(RUN, 1, DEVICES[call.rank], call.ports)
                return ForwarderOpened(port=port)
        request = store_request(RUN, 1, cast(StoreCall, call))
        if self.rank == 0:
            return store_answer(await self.rendezvous.answer(request))
        assert self.control
        async for answer in self.control.stream(request):
            return store_answer(answer)
        return Done()

    async def run(self, words: list[str]) -> int:
        await self.listener.open(self.own, PORT)
        (self.folder / str(self.rank)).write_bytes(self.keys.public)
        for _ in range(600):
            if self.other_key():
                break
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.5)
        self.control = await self.dial_again(DEVICES[1 - self.rank])
        self.tunnels.begin(RUN, 1, frozenset(DEVICES))
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(
            sys.executable, *words, stdin=pipe, stdout=pipe, stderr=pipe, limit=1 << 23, start_new_session=True
        )
        child = ChildProcess("rank", process, self.serve_trainer, lambda event: None)
        ended = await child.ended()
        await asyncio.sleep(0.5)
        if process.returncode:
            print(ended.message, file=sys.stderr)
        await self.tunnels.close()
        return process.returncode or 0


if __name__ == "__main__":
    number, here, there, folder = sys.argv[1:5]

    async def main() -> int:
        return await Courier(int(number), here, there, Path(folder)).run(sys.argv[5:])

    code = asyncio.run(main())
    sys.stderr.flush()
    os._exit(code)
