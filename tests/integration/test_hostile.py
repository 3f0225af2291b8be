"""A hostile guest, a full disk, a removed device: the agents serve on, and nothing is lost."""

import asyncio
import hashlib
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cellmind_agent.network.connection import Connection
from cellmind_agent.network.curve import key_from_text, new_context
from cellmind_agent.network.link import Link
from cellmind_agent.network.reception import Reception
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.errors import CellmindError, NotPairedError
from cellmind_agent.protocol.ids import BlobId
from cellmind_agent.trust.identity import CurveKeys, load_identity, new_curve_keys
from cellmind_agent.trust.permissions import Caller
from tests.agents import Cell, Device, states, wait_for
from tests.integration.test_run import CONFIG, make_project
from tests.protocol.examples import EXAMPLES, MODEL


def ask_as(keys: CurveKeys, device: Device, message: object) -> object:
    """What `device` answers to this key. Raises what it refuses with."""

    async def play() -> object:
        context = new_context()
        connection = Connection(
            context,
            keys,
            Address(host="127.0.0.1", port=device.port),
            key_from_text(device.control["server_key"]),
            Reception(lambda channel: Caller(kind="stranger", curve_key=b"", device=None, host="")).hear,
        )
        try:
            await connection.open(5)
            link = Link(connection)
            try:
                async with asyncio.timeout(10):
                    async for answer in link.forward(message):
                        return answer
                return m.Done()
            finally:
                link.channel.close()
        finally:
            connection.close()
            context.destroy(linger=0)

    return asyncio.run(play())


def test_garbage_on_the_port_of_a_live_agent_changes_nothing(cell: Cell) -> None:
    one, _ = cell.of("one", "two")
    guests = [socket.create_connection(("127.0.0.1", one.port)) for _ in range(50)]
    for number, guest in enumerate(guests):
        guest.sendall(os.urandom(2000) if number % 2 else b"GET / HTTP/1.1\r\n\r\n")
    assert states(one) == {"one": "online", "two": "online"}
    for guest in guests:
        guest.close()


def test_a_stranger_gets_in_only_to_join_and_only_while_invited(cell: Cell) -> None:
    one = cell.device("one")
    stranger = new_curve_keys()
    with pytest.raises(NotPairedError):
        ask_as(stranger, one, m.Ping())
    inviting = one.start_ctl("invite", "--json")
    assert inviting.stdout
    inviting.stdout.readline()
    for name, message in EXAMPLES.items():
        if name in ("BeginJoin", "ProveJoin", "Cancel"):
            continue
        with pytest.raises(NotPairedError):
            ask_as(stranger, one, message)
    inviting.terminate()
    inviting.communicate()


def test_a_removed_device_changes_nothing_with_its_old_keys(cell: Cell) -> None:
    """I5."""
    one, two = cell.of("one", "two")
    keys = load_identity(two.home).curve
    assert ask_as(keys, one, m.Ping()) == m.Done()
    two.kill()
    assert one.ctl("forget", "two").code == 0
    for message in (m.Ping(), m.GetKeyring(), m.ListModels(), m.OfferKeyring(entries=())):
        with pytest.raises(NotPairedError):
            ask_as(keys, one, message)


def test_a_member_cannot_read_what_is_not_a_blob_or_direct_a_run_it_does_not_lead(cell: Cell) -> None:
    one, two = cell.of("one", "two")
    keys = load_identity(two.home).curve
    no_blob = BlobRef(id=BlobId("ab" * 32), size=10)
    for message in (
        m.ReadBlob(ref=no_blob, offset=0, length=10),
        m.WriteBlob(ref=no_blob, offset=0, data=b"0123456789"),
        EXAMPLES["PrepareMember"],
        EXAMPLES["TrainRound"],
        EXAMPLES["StartRun"],
        EXAMPLES["StoreSet"],
        m.KeepModel(model=MODEL),
        EXAMPLES["Answer"],
        m.ForgetDevice(device=one.control["device"]),
        m.Relay(device=one.control["device"], body=b""),
    ):
        with pytest.raises(CellmindError):
            ask_as(keys, one, message)
    assert states(one) == {"one": "online", "two": "online"}
    assert list((one.home / "models").iterdir()) == []


def test_a_quota_refuses_the_bundle_and_the_agent_serves_on(cell: Cell) -> None:
    one = cell.device("one", "--no-mdns", "--quota", "0")
    answer = one.ctl("train", "--json", "--yes", cwd=make_project(cell.folder / "project", CONFIG))
    assert (answer.code, answer.error["code"]) == (1, "storage_full")
    assert "models rm" in answer.error["hint"]
    assert states(one) == {"one": "online"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB, where this machine lets us have one."""
    place = tmp_path / "disk"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "tmpfs", str(place)], capture_output=True)
    if made.returncode:
        pytest.skip("no right to mount a small file system here")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk_loses_nothing_and_the_agent_serves_on(tmp_path: Path, small_disk: Path) -> None:
    cell = Cell(small_disk)
    try:
        one = cell.device("one")
        keyring = (one.home / "keyring.json").read_bytes()
        with open(small_disk / "filler", "wb", buffering=0) as filler:
            while shutil.disk_usage(small_disk).free:
                filler.write(bytes(4096))
        project = make_project(tmp_path / "project", CONFIG)
        answer = one.ctl("train", "--json", "--yes", cwd=project)
        assert answer.code == 1
        assert json.loads(answer.out.splitlines()[-1])["error"]["code"] in ("storage_full", "failed")
        assert "disk" in answer.error["message"] or "free" in answer.error["message"]
        assert states(one) == {"one": "online"}
        assert (one.home / "keyring.json").read_bytes() == keyring
        (small_disk / "filler").unlink()
        one.kill()
        one.start()
        assert states(one) == {"one": "online"}
    finally:
        cell.close()


def test_an_agent_killed_in_the_middle_of_a_push_takes_the_rest_later(cell: Cell) -> None:
    one, two = cell.of("one", "two")
    keys = load_identity(two.home).curve
    data = os.urandom(600_000)
    ref = BlobRef(id=BlobId(hashlib.sha256(data).hexdigest()), size=len(data))
    assert ask_as(keys, one, m.WriteBlob(ref=ref, offset=0, data=data[:250_000])) == m.BlobsFound(present=(250_000,))
    one.kill()
    one.start()
    wait_for(lambda: states(two)["one"] == "online", 15, "two to see one again")
    assert ask_as(keys, one, m.FindBlobs(refs=(ref,))) == m.BlobsFound(present=(250_000,))
    for start in range(250_000, 600_000, 175_000):
        ask_as(keys, one, m.WriteBlob(ref=ref, offset=start, data=data[start : start + 175_000]))
    assert ask_as(keys, one, m.ReadBlob(ref=ref, offset=599_990, length=10)) == m.BlobData(data=data[-10:])
