"""Between an agent and a probing process, which tries what a run needs before it begins."""

from __future__ import annotations

from model.line.declare import Call, Done, line_message


@line_message
class SpeedMeasured:
    tokens_per_second: float


@line_message
class MeasureSpeed(Call[SpeedMeasured]):
    """Train a network of this configuration on made-up rows for about so many seconds, as one of `size` members of a
    run, `members_here` of them on this machine; with `is_divided` they divide each step. `tuning` is the file in which
    this device remembers how it computes fastest. Refused when the process takes more memory than a trainer may.
    """

    config: str
    vocab_size: int
    size: int
    members_here: int
    is_divided: bool
    tuning: str
    seconds: float
    memory_bytes: int | None  # None: any amount


@line_message
class TryGloo(Call[Done]):
    """Let two ranks meet by gloo on loopback. Refused, with the reason, where that does not work."""
