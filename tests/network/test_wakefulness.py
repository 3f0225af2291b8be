"""After a sleep of this machine it is not the others that fell silent."""

import asyncio

import pytest

from cellmind_agent.network import wakefulness
from cellmind_agent.network.wakefulness import Wakefulness


def test_a_machine_that_just_woke_explains_the_loss_of_its_links(monkeypatch: pytest.MonkeyPatch) -> None:
    moment = 100.0
    monkeypatch.setattr(wakefulness, "_now", lambda: moment)
    awake = Wakefulness()
    assert not awake.explains_losses
    awake.note_sleep()
    moment += wakefulness.PATIENCE_FLOOR_SECONDS - 0.1
    assert awake.explains_losses
    moment += 0.2
    assert not awake.explains_losses


def test_nothing_is_dialled_between_the_announcement_of_a_sleep_and_its_end() -> None:
    async def run() -> None:
        awake = Wakefulness()
        await awake.until_awake()
        awake.suspend()
        assert awake.is_suspending
        assert awake.explains_losses
        waiting = asyncio.create_task(awake.until_awake())
        await asyncio.sleep(0)
        assert not waiting.done()
        awake.resume()
        await waiting
        assert not awake.is_suspending

    asyncio.run(run())
