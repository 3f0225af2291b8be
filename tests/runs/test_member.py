"""Taking part in a run: how it ended is recorded as the leader says, at whatever moment the end comes."""

import asyncio
from pathlib import Path
from typing import Any

from cellmind_agent.config import Politeness
from cellmind_agent.device.power import Power
from cellmind_agent.protocol import messages as m
from cellmind_agent.runs.member import RunMember
from cellmind_agent.runs.pacing import Pacing
from cellmind_agent.storage.journal import Journal
from cellmind_agent.trust.permissions import Caller
from tests.protocol.examples import SPEC

LEADER = Caller(kind="member", curve_key=b"", device=SPEC.roster[0].device, host="")


class EndlessTransfer:
    """Stands in for Transfer, and never ends."""

    async def fetch(self, *_: Any, **__: Any) -> int:
        await asyncio.Event().wait()
        return 0


class NoTunnels:
    """Stands in for Tunnels, and carries nothing."""

    def begin(self, *_: object) -> None: ...
    def cut_term(self, *_: object) -> None: ...
    def end(self, *_: object) -> None: ...
    def sent_bytes(self) -> int:
        return 0


def test_a_run_that_is_stopped_while_blobs_are_fetched_is_stopped_and_not_failed(tmp_path: Path) -> None:
    async def play() -> None:
        journal = Journal(tmp_path)
        parts: Any = (None, EndlessTransfer(), NoTunnels(), None, journal, None)
        member = RunMember(SPEC.roster[0].device, *parts, lambda speed: None, Pacing(Politeness(), Power))
        preparing = asyncio.ensure_future(anext(member.prepare(m.PrepareMember(spec=SPEC), LEADER)))
        await asyncio.sleep(0.01)
        await member.dismiss(m.DismissMember(run=SPEC.run, state="stopped"), LEADER)
        preparing.cancel()
        await asyncio.wait({preparing})
        assert member.run is None
        assert journal.load_run(SPEC.run)[1].state == "stopped"

    asyncio.run(play())
