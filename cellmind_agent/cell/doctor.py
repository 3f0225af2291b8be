"""Runs the checks of `cellmindctl doctor`: gathers what they need, then calls them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path

from cellmind_agent.cell.admission import Admission
from cellmind_agent.cell.alarms import alarm_remedy, alarm_sentence
from cellmind_agent.cell.checks import CheckContext, run_checks
from cellmind_agent.cell.recovering import Recovering
from cellmind_agent.device.vitals import local_versions
from cellmind_agent.network.listener import Listener
from cellmind_agent.network.probes import Probes
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.trust.permissions import Caller


class Doctor:
    """Checks this device and the cell as seen from here."""

    def __init__(
        self,
        home: Path,
        uses_mdns: bool,
        interfaces: Sequence[str],
        listener: Listener,
        probes: Probes,
        views: Callable[[], tuple[m.PeerView, ...]],
        admission: Admission,
        recovering: Recovering,
        unseen_seconds: float,
    ) -> None:
        """`views` are the devices that this one sees, itself included. A member that has not been here for
        `unseen_seconds` is offered for removal."""
        self._home, self._uses_mdns, self._interfaces = home, uses_mdns, interfaces
        self._listener, self._probes, self._views = listener, probes, views
        self._admission, self._recovering, self._unseen_seconds = admission, recovering, unseen_seconds

    def handlers(self) -> dict[type, Handler]:
        """Its handlers, by type of request."""
        return {m.RunChecks: self._run_checks}

    async def _run_checks(self, request: m.RunChecks, caller: Caller) -> m.ChecksRun:
        keyring = self._admission.keyring
        context = CheckContext(
            home=self._home,
            port=self._listener.port,
            uses_mdns=self._uses_mdns,
            interfaces=self._interfaces,
            versions=local_versions(),
            peers=self._views(),
            alarms=[(alarm_sentence(one), alarm_remedy(one, one.device in keyring.members)) for one in keyring.alarms],
            unseen_seconds=self._unseen_seconds,
            is_recovery_due=self._recovering.is_due,
        )
        reaches = await self._probes.probe_pairs()
        return m.ChecksRun(checks=await asyncio.to_thread(run_checks, context, reaches))
