"""Messages as columns: what every reader makes, and all that the cleaning needs to know of a chat."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

NO_TIME: Final = -1
SYSTEM: Final = "system lines"


@dataclass(slots=True, kw_only=True)
class Messages:
    """One entry a message in each column. Times are seconds of the wall clock where it was written, as if that were
    UTC (an export knows no zone), or NO_TIME. `skipped` counts what is no message, by reason."""

    times: list[int] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)

    def add(self, time: int, user: str, text: str) -> None:
        self.times.append(time)
        self.users.append(user)
        self.texts.append(text)

    def __len__(self) -> int:
        return len(self.texts)


def iso(time: int) -> str | None:
    """ISO 8601, as the guide wants times."""
    return None if time == NO_TIME else datetime.fromtimestamp(time, UTC).replace(tzinfo=None).isoformat()
