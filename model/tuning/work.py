"""What a device is tuned for. Values only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Rows of `seq_len` tokens, `own_rows` of them a step on each device of this member. `is_long`: compiling, which
    takes about a minute, would be repaid."""

    seq_len: int
    own_rows: int
    is_long: bool = False
