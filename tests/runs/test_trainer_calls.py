"""What a trainer asks of its agent ends with the process group for which it asked."""

import asyncio
from typing import Any

import pytest

from cellmind_agent.planning.ledger import first_view
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import NotAllowedError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.runs.participation import GroupPlace, Participation
from cellmind_agent.runs.rendezvous import Stores
from cellmind_agent.runs.trainer_calls import TrainerCalls
from model.line.meeting import StoreGet, StoreSet, StoreValue
from tests.protocol.examples import SPEC

ME, OTHER = DeviceId("b" * 32), DeviceId("c" * 32)
ROSTER = tuple(m.RosterMember(device=device, name=device[:1]) for device in (ME, OTHER))
TERM = m.Term(number=1, leader=ME)


def leading_part() -> Participation:
    """This device leads, and has called both members to the group of term 1."""
    part = Participation(
        spec=SPEC,
        start=None,
        view=first_view(SPEC, ROSTER, None, TERM),
        term=TERM,
        followed=TERM,
        roster=ROSTER,
        leader=ME,
        channel=None,
        last=None,
        newest_term=1,
        sent_bytes_before=0,
    )
    part.group = GroupPlace(term=1, rank=0, roster=ROSTER)
    return part


def test_a_trainer_that_waits_for_another_waits_no_longer_when_its_device_leaves_the_group() -> None:
    async def run() -> None:
        nothing: Any = None
        part, stores = leading_part(), Stores()
        calls = TrainerCalls(ME, nothing, nothing, stores)
        await stores.open(SPEC.run, 1)
        await calls.serve(part, StoreSet(key="0/0", data=b"here"))
        assert await calls.serve(part, StoreGet(keys=("0/0",), seconds=60.0)) == StoreValue(data=b"here")
        waiting = asyncio.create_task(calls.serve(part, StoreGet(keys=("0/1",), seconds=60.0)))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        part.group = None
        part.touch()
        with pytest.raises(NotAllowedError, match="between two process groups"):
            async with asyncio.timeout(5):
                await waiting

    asyncio.run(run())
