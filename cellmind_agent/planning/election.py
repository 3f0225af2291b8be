"""Elects rank 0 by a total order over the candidates, so all devices with the same figures elect the same one.

Order: accelerator before none, more accelerator memory, higher measured speed, more memory, mains power before battery,
then the smaller device id. Memory and speed are compared in coarse steps: a browser tab does not change the leader.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import PeerView

ElectionKey = tuple[int, int, int, int, int, DeviceId]


def elect(candidates: Iterable[PeerView]) -> tuple[PeerView, ...]:
    """The candidates in roster order; the first is rank 0."""
    return tuple(sorted(candidates, key=election_key))


def election_key(peer: PeerView) -> ElectionKey:
    """The sort key of a device in the total order."""
    vitals = peer.vitals
    accelerator = vitals.accelerator if vitals else None
    speed = vitals.tokens_per_second.value if vitals and vitals.tokens_per_second else 0.0
    memory = vitals.ram_total_bytes.value if vitals and vitals.ram_total_bytes else 0.0
    on_battery = bool(vitals and vitals.battery and not vitals.battery.plugged)
    return (
        0 if accelerator else 1,
        -(accelerator.memory_bytes >> 30) if accelerator else 0,
        -_speed_step(speed),
        -int(memory / 2**30),
        1 if on_battery else 0,
        peer.id,
    )


def _speed_step(speed: float) -> int:
    """Speeds in tokens per second within about 20 % of each other give the same step."""
    return round(math.log(speed, 1.2)) if speed > 1.0 else 0
