"""When each member was last here, also before this agent's start. Kept on disk as `seen.json`. Knows no sockets."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from pathlib import Path

from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.storage.files import read_json, write_json


class LastSeen:
    """Moments in seconds since 1970, by the clock that it is given."""

    def __init__(self, home: Path, clock: Callable[[], float]) -> None:
        self._path, self._clock = home / "seen.json", clock
        self._seen = self._load()

    def keep(self, members: Iterable[DeviceId]) -> None:
        """Keep the moments of these members alone. A new one counts as seen now: it has just been added."""
        wanted = {device: self._seen.get(device, self._clock()) for device in members}
        if wanted != self._seen:
            self._seen = wanted
            self._save()

    def note(self, device: DeviceId) -> None:
        """The member is here now."""
        if device in self._seen:
            self._seen[device] = self._clock()
            self._save()

    def seconds_since(self, device: DeviceId) -> float | None:
        """Since the member was here; 0 if the clock was put back, None for a device that is no member."""
        moment = self._seen.get(device)
        return None if moment is None else max(0.0, self._clock() - moment)

    def _save(self) -> None:
        with contextlib.suppress(CellmindError, OSError):  # a full disk: the next link writes it again
            write_json(self._path, self._seen)

    def _load(self) -> dict[DeviceId, float]:
        plain = read_json(self._path)
        if not isinstance(plain, dict):
            return {}
        return {DeviceId(device): float(moment) for device, moment in plain.items() if isinstance(moment, int | float)}
