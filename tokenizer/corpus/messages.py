"""Messages as columns: what every format's parser returns and what cleaning and grouping work on."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

NO_TIME: Final = -1
SYSTEM: Final = "system lines"  # a reason in `skipped`: the messenger wrote the line, not a person


@dataclass(slots=True, kw_only=True)
class Messages:
    """The times, users and texts of some messages, one entry per message in each column.

    A time is in seconds since 1970 of the wall clock where the message was written, as if that were UTC (an export
    names no time zone), or NO_TIME. `skipped` counts records that are no messages, by reason.
    """

    times: list[int] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, time: int, user: str, text: str) -> None:
        """Append one message."""
        self.times.append(time)
        self.users.append(user)
        self.texts.append(text)

    def extend(self, other: Messages) -> None:
        """Append the messages of `other`, but not its `skipped` counts."""
        self.times += other.times
        self.users += other.users
        self.texts += other.texts

    def __len__(self) -> int:
        return len(self.texts)


def iso_time(time: int) -> str | None:
    """The time as ISO 8601 without a zone; None for NO_TIME."""
    return None if time == NO_TIME else datetime.fromtimestamp(time, UTC).replace(tzinfo=None).isoformat()
