"""Watchers see a run from its beginning to its end, and nothing after it."""

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

from cellmind_agent.runs.audience import Audience
from cellmind_agent.storage.journal import Journal
from tests.protocol.examples import EXAMPLES, RUN

STARTED, PROGRESSED, COMMITTED, FAILED, FINISHED = (
    EXAMPLES[name] for name in ("RoundStarted", "Progressed", "RoundCommitted", "RunFailed", "RunFinished")
)


def test_a_late_watcher_sees_everything_but_old_progress(tmp_path: Path) -> None:
    async def play() -> list[Any]:
        audience = Audience(RUN, Journal(tmp_path))
        for event in (STARTED, PROGRESSED, replace(PROGRESSED, step=2), COMMITTED):
            audience.publish(event)
        watching = asyncio.create_task(collect(audience))
        await asyncio.sleep(0)
        audience.publish(FAILED)
        audience.publish(FINISHED)
        assert audience.is_over
        assert await collect(audience) == await watching
        return await watching

    assert asyncio.run(play()) == [STARTED, replace(PROGRESSED, step=2), COMMITTED, FAILED]
    written = (tmp_path / "runs" / RUN / "events.jsonl").read_text().splitlines()
    assert "RoundStarted" in written[0]
    assert "RunFailed" in written[1]  # members write down what they commit
    assert len(written) == 2


async def collect(audience: Audience) -> list[Any]:
    return [event async for event in audience.watch()]
