"""Formats numbers for people, and reads the durations that people write. Takes bytes and seconds only."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime

from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.words import t

UNKNOWN = "-"
_MAX_LOSS = 30.0  # nats: no vocabulary has so many pieces, so such a loss means nothing
_HARDLY_TRAINED = 0.1  # of the vocabulary; an untrained model chooses among all of it
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?")
_UNIT_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def ago(seconds: float | None) -> str:
    """How long ago, such as `5m ago`."""
    if seconds is None:
        return UNKNOWN
    return t("now") if seconds < 3 else t("{duration} ago", duration=duration(seconds))


def duration(seconds: float | None) -> str:
    """A length of time in its largest sensible unit, such as `12s` or `2h`."""
    if seconds is None:
        return UNKNOWN
    for template, size in (("{number}d", 86400), ("{number}h", 3600), ("{number}m", 60)):
        if seconds >= 2 * size:
            return t(template, number=f"{seconds / size:.0f}")
    return t("{number}s", number=f"{seconds:.0f}")


def size(num_bytes: float | None) -> str:
    """A size in decimal units, such as `1.2 MB`."""
    if num_bytes is None:
        return UNKNOWN
    for unit, scale in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if num_bytes >= scale:
            return f"{num_bytes / scale:.1f} {unit}"
    return f"{num_bytes:.0f} B"


def number(value: float | None, digits: int = 0) -> str:
    """A number with `digits` decimals and commas between thousands."""
    return UNKNOWN if value is None else f"{value:,.{digits}f}"


def percent(value: float | None) -> str:
    """A percentage (0 to 100) without decimals."""
    return UNKNOWN if value is None else f"{value:.0f}%"


def choices(val_loss: float | None) -> int | None:
    """The held-out loss (nats a token) as a number of choices: the perplexity.

    The model guesses the next piece of a word as if it chose among so many equally likely ones. None where the loss is
    unknown or no loss.
    """
    if val_loss is None or not 0 <= val_loss < _MAX_LOSS:
        return None
    return max(1, round(math.exp(val_loss)))


def is_hardly_trained(val_loss: float | None, vocab_size: int) -> bool:
    """Whether a model has learnt next to nothing: it still chooses among more than a tenth of its vocabulary."""
    found = choices(val_loss)
    return found is not None and found > vocab_size * _HARDLY_TRAINED


def rfc3339(seconds_since_1970: float | None) -> str | None:
    """A moment in UTC as JSON has it, such as `1970-01-01T00:00:00Z`; None stays None."""
    if seconds_since_1970 is None:
        return None
    return datetime.fromtimestamp(seconds_since_1970, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def parse_duration(text: str) -> float:
    """The seconds of `90`, `90s`, `10m`, `2h` or `1d`. Raises UsageError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise UsageError("{text} is not a length of time", "write it as 90s, 10m or 2h", text=repr(text))
    return float(match[1]) * _UNIT_SECONDS[match[2] or "s"]
