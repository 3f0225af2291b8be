"""The recovery code of this device's cell, until a person has written it down."""

from __future__ import annotations

from pathlib import Path

from cellmind_agent.cell.admission import Admission
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import UnknownNameError
from cellmind_agent.trust.permissions import Caller
from cellmind_agent.trust.recovery import Recovery, forget_recovery, kept_recovery


class Recovering:
    """Shows the code to this device's user, and forgets it when it is on paper."""

    def __init__(self, home: Path, admission: Admission) -> None:
        self._home, self._admission = home, admission

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {m.ShowRecovery: self._show, m.EraseRecovery: self._erase}

    @property
    def is_due(self) -> bool:
        """Whether the code should be written down: other devices depend on it, and it is only here."""
        return bool(self._admission.others()) and self._kept() is not None

    def _kept(self) -> Recovery | None:
        """The code of this cell. A crash may leave that of another one on the disk. Raises CellmindError."""
        recovery = kept_recovery(self._home)
        return recovery if recovery and recovery.public == self._admission.keyring.recovery_key else None

    async def _show(self, request: m.ShowRecovery, caller: Caller) -> m.RecoveryShown:
        """Raises UnknownNameError, CellmindError (a damaged file)."""
        recovery = self._kept()
        if recovery is None:
            raise UnknownNameError(
                "the recovery code is not on this device",
                "it is on paper already, or on the device that founded the cell: run it there",
            )
        return m.RecoveryShown(code=recovery.code)

    async def _erase(self, request: m.EraseRecovery, caller: Caller) -> m.Done:
        forget_recovery(self._home)
        return m.Done()
