"""What a member reports to the leader that it follows, as long as it takes part."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import SupersededError
from cellmind_agent.runs.participation import Participation


async def reports(part: Participation, term: m.Term) -> AsyncGenerator[m.MemberEvent, None]:
    """That the trainer is ready, its progress, and why this device leaves; until it is dismissed.

    Raises SupersededError when this device follows another leader than that of `term`, or none.
    """
    try:
        await part.until(lambda: bool(part.ready) or part.is_over or part.term != term)
        async with part.turn:  # what the trainer did for another leader is over then
            _check_followed(part, term)
            if part.ready:
                yield m.MemberReady(
                    device_kind=part.ready.device_kind,
                    tuning=part.ready.tuning,
                    held_states=part.held_states,
                    last=part.last,
                    term=part.newest_term,
                )
        async for progress in _progress(part, term):
            yield progress
        if part.is_dismissed:
            return
        if part.problem:
            yield m.MemberFailed(why=part.problem)
        else:
            _check_followed(part, term)
    finally:
        part.end_following(term)


async def _progress(part: Participation, term: m.Term) -> AsyncIterator[m.MemberProgressed]:
    """The trainer's progress, until this device is dismissed, leaves, or follows another leader."""
    ended = asyncio.create_task(
        part.until(lambda: part.problem is not None or part.is_dismissed or part.leader != term.leader)
    )
    try:
        while not ended.done():
            progress = asyncio.create_task(part.progress.get())
            try:
                await asyncio.wait({progress, ended}, return_when=asyncio.FIRST_COMPLETED)
                if progress.done():
                    yield progress.result()
            finally:
                progress.cancel()
    finally:
        ended.cancel()


def _check_followed(part: Participation, term: m.Term) -> None:
    """Raises SupersededError if this device follows another leader by now, or none."""
    if part.leader != term.leader:
        raise SupersededError("this device does not follow that leader of {run} any more", run=part.spec.run)
