"""Unpaired devices nearby: bounded in number, found by nameplate, and a new one wakes everybody who waits."""

import asyncio

from cellmind_agent.network.discovery import Sighting
from cellmind_agent.network.strangers import Strangers
from cellmind_agent.protocol.announce import Announcement
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import MAX_STRANGERS_SEEN


def sighting(device: str, nameplate: str | None = None) -> Sighting:
    announcement = Announcement(device=DeviceId(device), curve_key="k" * 40, cell_tag="", nameplate=nameplate)
    return Sighting(announcement=announcement, addresses=())


def test_an_inviter_is_found_by_its_nameplate_until_it_is_gone() -> None:
    strangers = Strangers()
    for seen in (sighting("aa1", "41"), sighting("aa2"), sighting("bb1", "41")):
        strangers.add(seen)
    assert [seen.announcement.device for seen in strangers.inviting("41")] == ["aa1", "bb1"]
    strangers.remove("aa")
    assert list(strangers) == [sighting("bb1", "41")]
    assert strangers.pop(DeviceId("bb1")) == sighting("bb1", "41")
    assert strangers.pop(DeviceId("bb1")) is None


def test_forged_announcements_fill_no_memory_and_known_devices_are_updated() -> None:
    strangers = Strangers()
    for number in range(2 * MAX_STRANGERS_SEEN):
        strangers.add(sighting(str(number)))
    assert len(list(strangers)) == MAX_STRANGERS_SEEN
    strangers.add(sighting("0", "41"))
    assert strangers.inviting("41") == [sighting("0", "41")]


def test_a_new_sighting_wakes_everybody_who_waits() -> None:
    async def play() -> None:
        strangers = Strangers()
        waiting = [asyncio.create_task(strangers.changed()) for _ in range(2)]
        await asyncio.sleep(0)
        strangers.add(sighting("aa"))
        async with asyncio.timeout(1):
            await asyncio.gather(*waiting)

    asyncio.run(play())
