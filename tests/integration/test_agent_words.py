"""An agent in a terminal says who it is and what to do next; as a service it says nothing. `--listen` is believed."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from tests.agents import ENVIRONMENT, Cell, states, wait_for


def screen_of_an_agent(home: Path, language: str, seconds: float = 20.0) -> str:
    """What an agent that is started in a terminal shows until it has said how to stop it."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "cellmind_agent.main", "--home", str(home), "--name", "서재", "--no-mdns"]
    agent = subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"],
        stdout=theirs,
        stderr=theirs,
        env={**ENVIRONMENT, "CELLMIND_LANG": language},
    )
    os.close(theirs)
    shown, deadline = b"", time.monotonic() + seconds
    while b"Ctrl-C" not in shown and time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            shown += os.read(ours, 4096)
    agent.send_signal(signal.SIGINT)
    assert agent.wait(15) == 0
    os.close(ours)
    return shown.decode()


def test_an_agent_in_a_terminal_says_who_it_is_and_what_to_do_next(tmp_path: Path) -> None:
    english = screen_of_an_agent(tmp_path / "home", "en")
    assert "서재 (" in english
    assert "listens on 127.0.0.1:" in english
    assert "cellmindctl invite" in english
    korean = screen_of_an_agent(tmp_path / "home", "ko")
    assert "아직 셀에 없습니다" in korean


def test_an_agent_without_a_terminal_greets_nobody(cell: Cell) -> None:
    one = cell.device("one")
    assert "Ctrl-C" not in (one.home / "screen.txt").read_text()


# Root may read everything, so this runs as nobody, who may not read Python's files: all are imported before.
AS_NOBODY = """
import os, sys
from cellmind_agent.main import main
from cellmind_agent.words import korean, particles
if os.geteuid() == 0:
    os.setuid(65534)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("what", ["home", "home/identity.json", "home/logs", "home/lock"])
def test_an_agent_refuses_the_home_or_file_of_another_user_in_two_lines(what: str) -> None:
    """Files of another user stay in one's own home after `sudo cellmind-agent`."""
    with tempfile.TemporaryDirectory() as folder:  # nobody may not enter the folder of tmp_path
        os.chmod(folder, 0o755)
        home, theirs = Path(folder, "home"), Path(folder, what)
        (home / "logs").mkdir(parents=True)
        theirs.touch()
        if os.geteuid() == 0:
            for own in {home, home / "logs"} - {theirs}:
                os.chown(own, 65534, -1)
        theirs.chmod(0)
        command = [sys.executable, "-c", AS_NOBODY, "--home", home, "--name", "서재", "--no-mdns"]
        done = subprocess.run(
            [*command, "--listen", "127.0.0.1:0"], capture_output=True, encoding="utf-8", env=ENVIRONMENT, timeout=30
        )
        theirs.chmod(0o700)
    assert done.returncode == 4, done.stderr
    error, hint = [line for line in done.stderr.splitlines() if line[:1].isalpha()]
    assert error.startswith(f"error: this user may not use {theirs}")
    assert hint.startswith("hint: choose another folder")


def test_an_agent_that_listens_on_loopback_is_found_there(cell: Cell) -> None:
    """Its mDNS names the address that it listens on and no other, so joining by HOST:PORT alone works."""
    devices = [cell.device(name, "--name", name) for name in ("one", "two")]  # no --interface, no --no-mdns
    wait_for(lambda: "unpaired" in states(devices[1]).values(), 30, "two to discover one")
    port = devices[0].port
    found = next(p for p in devices[1].ctl("peers", "--json").data if any(str(port) in a for a in p["addresses"]))
    assert {address.rpartition(":")[0] for address in found["addresses"]} == {"127.0.0.1"}
    inviting = devices[0].start_ctl("invite", "--json")
    assert inviting.stdout
    opened = json.loads(inviting.stdout.readline())["data"]
    joined = devices[1].ctl("join", opened["code"], "--at", f"127.0.0.1:{port}", "--json")
    inviting.communicate(timeout=15)
    assert joined.code == 0, joined
    assert all(place.startswith("127.0.0.1:") for place in opened["addresses"])
    for device in devices:  # each gave the other no address but this one
        listed = [place for peer in device.ctl("peers", "--json").data for place in peer["addresses"]]
        assert {place.rpartition(":")[0] for place in listed} == {"127.0.0.1"}
