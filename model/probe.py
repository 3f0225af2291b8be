"""The probing program: does gloo work on this device? `python -P -m model.probe`, started by an agent.

In a process of its own, since what is probed may crash or hang: Android denies gloo some files, and its way to
publish addresses is not a documented interface.
"""

from __future__ import annotations

import datetime
import sys
import threading
from typing import Any

from model.agent_link import AgentLink
from model.line.declare import Done
from model.line.probing import TryGloo

_SECONDS = 20.0


def main() -> int:
    link = AgentLink()
    for number, call in link.calls():
        try:
            if not isinstance(call, TryGloo):
                raise ValueError(f"the probing program does not serve {type(call).__name__}")
            probe_gloo()
            link.answer(number, Done())
        except Exception as error:
            from model.errors import failure_of

            link.refuse(number, failure_of(error))
    return 0


def probe_gloo() -> None:
    """Two ranks meet on loopback and sum, and what they publish can be understood. Raises whatever goes wrong."""
    import torch
    import torch.distributed as dist
    from torch._C._distributed_c10d import HashStore

    from model.meeting.gloo import GlooAddress, is_gloo_address, loopback_gloo

    book = HashStore()
    published: list[bytes] = []

    class Reading(dist.Store):  # type: ignore[name-defined, misc]
        """Lets through, and remembers what gloo publishes."""

        def set(self, key: str, value: str | bytes) -> None:
            if is_gloo_address(key, value):
                assert isinstance(value, bytes)
                published.append(value)
            book.set(key, value.hex() if isinstance(value, bytes) else value.encode().hex())

        def get(self, key: str) -> bytes:
            return bytes.fromhex(book.get(key).decode())

        def wait(self, keys: list[str], timeout: datetime.timedelta | None = None) -> None:
            book.wait(list(keys), timeout or limit)

        def check(self, keys: list[str]) -> bool:
            return bool(book.check(list(keys)))

        def add(self, key: str, value: int) -> int:
            return int(book.add(key, value))

        def set_timeout(self, timeout: datetime.timedelta) -> None:
            book.set_timeout(timeout)

        def has_extended_api(self) -> bool:
            return False

    limit = datetime.timedelta(seconds=_SECONDS)
    sums: list[Any] = []

    def meet(rank: int) -> None:
        try:
            group: Any = loopback_gloo(Reading(), rank, 2, limit)
            tensor = torch.full((3,), float(rank + 1))
            group.allreduce([tensor]).wait()
            sums.append(tensor.tolist())
        except Exception as error:
            sums.append(error)

    ranks = [threading.Thread(target=meet, args=(rank,), daemon=True) for rank in range(2)]
    for thread in ranks:
        thread.start()
    for thread in ranks:
        thread.join(_SECONDS)
    for found in sums:
        if isinstance(found, Exception):
            raise found
    if sums != [[3.0] * 3] * 2:
        raise RuntimeError(f"two ranks on loopback came to {sums}")
    for value in published:
        GlooAddress.parse(value)
    if len(published) != 2:
        raise RuntimeError(f"{len(published)} addresses were published where 2 were due")


if __name__ == "__main__":
    sys.exit(main())
