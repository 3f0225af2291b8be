"""mDNS on loopback, and which interfaces may use it."""

import asyncio
import time
from pathlib import Path

import pytest

from cellmind_agent.network.discovery import Discovery, Sighting
from cellmind_agent.network.interfaces import Interface, choose_interfaces, read_interfaces
from cellmind_agent.protocol.announce import Announcement
from cellmind_agent.protocol.ids import device_id
from tests.agents import Cell, states, wait_for

FOUND = (
    Interface(name="lo", address="127.0.0.1"),
    Interface(name="wlan0", address="192.168.0.5"),
    Interface(name="eth0", address="10.0.0.5"),
    Interface(name="docker0", address="172.17.0.1"),
    Interface(name="br-1a2b", address="172.18.0.1"),
    Interface(name="veth99", address="169.254.1.1"),
    Interface(name="wg0", address="10.9.0.2"),
    Interface(name="awdl0", address="169.254.7.7"),
)


def test_only_interfaces_that_look_like_a_local_network_are_chosen() -> None:
    assert [i.name for i in choose_interfaces(FOUND, ())] == ["wlan0", "eth0"]


def test_interfaces_given_by_name_or_address_are_chosen() -> None:
    assert [i.name for i in choose_interfaces(FOUND, ("lo", "10.9.0.2"))] == ["lo", "wg0"]


def test_this_machine_has_a_loopback() -> None:
    assert "127.0.0.1" in {i.address for i in read_interfaces()}


def announcement(seed: bytes, nameplate: str | None = None) -> Announcement:
    device = device_id(seed * 32, seed * 32)
    return Announcement(device=device, curve_key="k" * 40, cell_tag="00000000", nameplate=nameplate)


def test_two_devices_sight_each_other_and_each_others_changes() -> None:
    async def play() -> None:
        seen: asyncio.Queue[Sighting] = asyncio.Queue()
        lost: asyncio.Queue[str] = asyncio.Queue()
        one = Discovery(("lo",), seen.put_nowait, lost.put_nowait)
        two = Discovery(("lo",), lambda _: None, lambda _: None)
        tasks = [
            asyncio.create_task(one.serve(announcement(b"1"), 7001)),
            asyncio.create_task(two.serve(announcement(b"2"), 7002)),
        ]
        try:
            async with asyncio.timeout(20):
                while (sighting := await seen.get()).announcement != announcement(b"2"):
                    pass
                assert [str(address) for address in sighting.addresses] == ["127.0.0.1:7002"]
                await asyncio.sleep(1.5)
                two.announce(announcement(b"2", "41"))
                while (await seen.get()).announcement.nameplate != "41":
                    pass
                tasks[1].cancel()
                await asyncio.wait({tasks[1]})
                assert announcement(b"2").device.startswith(await lost.get())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    asyncio.run(play())


@pytest.mark.timeout(90)
def test_join_and_meet_by_mdns_alone(tmp_path: Path) -> None:
    cell = Cell(tmp_path)
    try:
        one, two = (cell.device(name, "--interface", "lo") for name in ("one", "two"))
        wait_for(lambda: "unpaired" in states(one).values(), 20, "one to hear two")
        inviting = one.start_ctl("invite")
        assert inviting.stdout
        code = inviting.stdout.readline().split()[-1]
        started = time.monotonic()
        joined = two.ctl("join", code)
        assert joined.code == 0, joined
        assert time.monotonic() - started < 20
        inviting.communicate(timeout=15)
        wait_for(lambda: states(one) == states(two) == {"one": "online", "two": "online"}, 15, "both to be linked")
    finally:
        cell.close()
