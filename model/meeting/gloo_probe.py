"""Does gloo work on this device? Two ranks of one process meet on loopback, sum, and publish addresses that parse.

Run it in a process of its own: Android denies gloo some files, and a failed probe may crash or hang. The layout of the
published addresses is no documented interface.
"""

from __future__ import annotations

import datetime
import threading
from typing import Any

import torch
import torch.distributed as dist
from torch._C._distributed_c10d import HashStore

from model.meeting.gloo import GlooAddress, is_gloo_address, loopback_gloo

_PROBE_SECONDS = 20.0
_NUM_RANKS = 2


class _RecordingStore(dist.Store):  # type: ignore[name-defined, misc] # torch has it only where built with distributed
    """A store in memory that records the addresses which gloo publishes. HashStore takes text, so values are in hex."""

    def __init__(self, values: HashStore, published: list[bytes]) -> None:
        super().__init__()
        self._values, self._published = values, published

    def set(self, key: str, value: str | bytes) -> None:
        data = value.encode() if isinstance(value, str) else value
        if is_gloo_address(key, data):
            self._published.append(data)
        self._values.set(key, data.hex())

    def get(self, key: str) -> bytes:
        return bytes.fromhex(self._values.get(key).decode())

    def wait(self, keys: list[str], timeout: datetime.timedelta | None = None) -> None:
        self._values.wait(list(keys), timeout or datetime.timedelta(seconds=_PROBE_SECONDS))

    def check(self, keys: list[str]) -> bool:
        return bool(self._values.check(list(keys)))

    def add(self, key: str, value: int) -> int:
        return int(self._values.add(key, value))

    def set_timeout(self, timeout: datetime.timedelta) -> None:
        self._values.set_timeout(timeout)

    def has_extended_api(self) -> bool:
        return False


def probe_gloo() -> None:
    """Raises whatever goes wrong: an error of gloo's, RuntimeError (a wrong sum), ValueError (an unknown layout)."""
    published: list[bytes] = []
    sums = _sum_on_all_ranks(HashStore(), published)
    if sums != [float(sum(range(1, _NUM_RANKS + 1)))] * _NUM_RANKS:
        raise RuntimeError(f"{_NUM_RANKS} ranks on loopback summed to {sums}")
    for address in published:
        GlooAddress.parse(address)
    if len(published) != _NUM_RANKS:
        raise RuntimeError(f"{len(published)} addresses were published by {_NUM_RANKS} ranks")


def _sum_on_all_ranks(values: HashStore, published: list[bytes]) -> list[float]:
    """Each rank's sum over all ranks of its number from 1 on. Raises the first error of a rank."""
    sums: list[float] = []
    errors: list[Exception] = []

    def run_rank(rank: int) -> None:
        try:
            limit = datetime.timedelta(seconds=_PROBE_SECONDS)
            group: Any = loopback_gloo(_RecordingStore(values, published), rank, _NUM_RANKS, limit)
            tensor = torch.tensor([float(rank + 1)])
            group.allreduce([tensor]).wait()  # the stubs do not know it
            sums.append(tensor.item())
        except Exception as error:
            errors.append(error)

    ranks = [threading.Thread(target=run_rank, args=(rank,), daemon=True) for rank in range(_NUM_RANKS)]
    for thread in ranks:
        thread.start()
    for thread in ranks:
        thread.join(_PROBE_SECONDS)
    if errors:
        raise errors[0]
    return sums
