"""Figures as people write them. JSON gets bytes, seconds and RFC 3339 times instead."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from cellmind_agent.protocol.errors import UsageError

UNKNOWN = "-"
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?")
_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def ago(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    return "now" if seconds < 3 else f"{duration(seconds)} ago"


def duration(seconds: float | None) -> str:
    if seconds is None:
        return UNKNOWN
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:.0f}s"


def size(num_bytes: float | None) -> str:
    if num_bytes is None:
        return UNKNOWN
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes:.0f} B"


def number(value: float | None, digits: int = 0) -> str:
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    return UNKNOWN if value is None else f"{value:.0f}%"


def rfc3339(seconds_since_1970: float | None) -> str | None:
    if seconds_since_1970 is None:
        return None
    return datetime.fromtimestamp(seconds_since_1970, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def parse_duration(text: str) -> float:
    """`90`, `90s`, `10m`, `2h`, `1d` in seconds. Raises UsageError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError(f"{text!r} is not a length of time", "write it such as 10m or 2h")
    return float(match[1]) * _UNIT_SECONDS[match[2] or "s"]
