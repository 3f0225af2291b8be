"""Devices find, trust and forget each other: real agents, real processes, the real command line."""

import json
import os
import stat
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.trust.entries import removing_entry
from cellmind_agent.trust.identity import load_identity, new_identity
from cellmind_agent.trust.keyring import add_member, verify
from cellmind_agent.trust.ringfile import load_keyring, save_keyring
from tests.agents import Cell, Device, pair, states, wait_for
from tests.trust.members import member


def test_invite_join_and_see_each_other(cell: Cell) -> None:
    _, two, three = cell.of("one", "두 번째", "three")
    roles = {peer["name"]: peer["role"] for peer in three.ctl("peers", "--json").data}
    assert roles == {"one": "owner", "두 번째": "member", "three": "member"}
    assert all(peer["paired"] for peer in two.ctl("peers", "--json").data)


def test_vitals_arrive_with_their_figures(cell: Cell) -> None:
    one, _ = cell.of("one", "two")
    peer = next(p for p in one.ctl("peers", "--json").data if p["name"] == "two")
    assert peer["cpu_count"] >= 1
    assert peer["ram_total_bytes"] > peer["ram_available_bytes"] > 0
    assert peer["versions"]["python"].startswith("3.")
    assert peer["tokens_per_second"] is None
    assert peer["state"] == "online"


def test_a_wrong_code_is_refused_and_three_tries_void_the_invitation(cell: Cell) -> None:
    one, two = cell.device("one"), cell.device("two")
    inviting = one.start_ctl("invite", "--json")
    assert inviting.stdout
    opened = json.loads(inviting.stdout.readline())["data"]
    wrong = opened["code"].split("-")[0] + "-acorn-acorn-acorn"
    for _ in range(3):
        refused = two.ctl("join", wrong, "--at", opened["addresses"][0], "--json")
        assert (refused.code, refused.error["code"]) == (4, "join_refused")
    late = two.ctl("join", opened["code"], "--at", opened["addresses"][0], "--json")
    assert (late.code, late.error["code"]) == (4, "join_refused")
    out, _ = inviting.communicate(timeout=15)
    assert inviting.returncode == 4
    assert "void" in json.loads(out)["error"]["message"]
    assert states(two) == {"two": "online"}


def test_an_expired_code_is_refused(cell: Cell) -> None:
    one, two = cell.device("one"), cell.device("two")
    inviting = one.start_ctl("invite", "--json", "--expires", "1s")
    assert inviting.stdout
    opened = json.loads(inviting.stdout.readline())["data"]
    out, _ = inviting.communicate(timeout=15)
    assert (inviting.returncode, json.loads(out)["error"]["code"]) == (7, "timed_out")
    refused = two.ctl("join", opened["code"], "--at", opened["addresses"][0], "--json")
    assert (refused.code, refused.error["code"]) == (4, "join_refused")
    assert "out of date" in refused.error["message"]


def test_a_used_code_is_refused(cell: Cell) -> None:
    one, two, three = cell.device("one"), cell.device("two"), cell.device("three")
    inviting = one.start_ctl("invite", "--json")
    assert inviting.stdout
    opened = json.loads(inviting.stdout.readline())["data"]
    assert two.ctl("join", opened["code"], "--at", opened["addresses"][0]).code == 0
    inviting.communicate(timeout=15)
    refused = three.ctl("join", opened["code"], "--at", opened["addresses"][0], "--json")
    assert (refused.code, refused.error["code"]) == (4, "join_refused")


def test_the_code_is_read_from_standard_input(cell: Cell) -> None:
    one, two = cell.device("one"), cell.device("two")
    inviting = one.start_ctl("invite", "--json")
    assert inviting.stdout
    opened = json.loads(inviting.stdout.readline())["data"]
    spoken = opened["code"].replace("-", " ").upper() + "\n"
    assert two.ctl("join", "--at", opened["addresses"][0], stdin=spoken).code == 0
    inviting.communicate(timeout=15)


def test_a_member_may_not_invite_or_forget(cell: Cell) -> None:
    _, two = cell.of("one", "two")
    assert two.ctl("invite", "--json").code == 4
    refused = two.ctl("forget", "one", "--json")
    assert (refused.code, refused.error["code"]) == (4, "not_allowed")


def test_an_owner_by_invitation_may_invite(cell: Cell) -> None:
    one, two, three = cell.device("one"), cell.device("two"), cell.device("three")
    pair(one, two, "--role", "owner")
    pair(two, three)
    wait_for(lambda: states(one) == {"one": "online", "two": "online", "three": "online"}, 15, "one to see three")


def test_a_forgotten_device_is_removed_everywhere_at_once(cell: Cell) -> None:
    one, two, three = cell.of("one", "two", "three")
    forgotten = one.ctl("forget", "two", "--json")
    assert forgotten.code == 0
    assert forgotten.data["told"] == ["three"]
    assert states(one) == {"one": "online", "three": "online"}
    assert "two" not in states(three)
    wait_for(lambda: states(two) == {"two": "online"}, 10, "two to be alone")
    wait_for(lambda: states(three) == {"one": "online", "three": "online"}, 10, "three to be linked again")


def test_a_device_that_slept_through_its_removal_stays_out(cell: Cell) -> None:
    """I5: it returns with its old keyring, and nobody admits it."""
    one, two, three = cell.of("one", "two", "three")
    two.kill()
    assert one.ctl("forget", "two").code == 0
    two.start()
    wait_for(lambda: states(two) == {"two": "online", "one": "gone", "three": "gone"}, 15, "two to find nobody")
    assert "two" not in states(one)
    assert "two" not in states(three)


def test_a_device_that_nobody_has_seen_for_half_a_year_is_offered_for_removal(cell: Cell) -> None:
    one, two = cell.of("one", "two")
    two.kill()
    one.kill()
    seen = one.home / "seen.json"
    seen.write_text(
        json.dumps({device: moment - 200 * 86400 for device, moment in json.loads(seen.read_text()).items()})
    )
    one.start()
    (check,) = (check for check in one.ctl("doctor", "--json").data if check["id"] == "peer two")
    assert (check["verdict"], check["detail"]) == ("warning", "it has not been here for 200 days")
    assert check["fix"] == "if you do not have it any more: cellmindctl forget two"
    two.start()
    assert two.ctl("connect", address_of(one)).code == 0
    assert ("peer two", "ok") in verdicts(one)
    two.kill()
    one.kill()
    one.start()
    (seen_again,) = (peer["last_seen"] for peer in one.ctl("peers", "--json").data if peer["name"] == "two")
    assert datetime.fromisoformat(seen_again) > datetime.now(UTC) - timedelta(minutes=5)


def test_the_recovery_code_removes_a_stolen_founder(cell: Cell) -> None:
    one, two, three = cell.of("one", "two", "three")
    # 1. Until somebody has written the code down, `doctor` asks for that.
    assert ("keyring", "warning") in verdicts(one)
    assert ("keyring", "ok") in verdicts(two)
    code = one.ctl("recovery", "--json").data["code"]
    assert one.ctl("recovery").out.strip() == code
    assert one.ctl("recovery", "--yes").code == 0
    assert one.ctl("recovery", "--json").error["code"] == "unknown_name"
    assert two.ctl("recovery", "--json").code == 5
    assert ("keyring", "ok") in verdicts(one)
    # 2. A member that is no owner removes the founder with it, and is an owner from then on.
    words = code.split()
    refused = two.ctl("forget", "one", "--recovery", "--json", stdin=" ".join(words[:-1]) + "\n")
    assert (refused.code, refused.error["code"]) == (2, "usage")
    forgotten = two.ctl("forget", "one", "--recovery", "--json", stdin="-".join(words).upper() + "\n")
    assert (forgotten.code, forgotten.data["told"]) == (0, ["three"])
    wait_for(lambda: states(one) == {"one": "online"}, 10, "one to be alone")
    wait_for(lambda: states(three) == {"two": "online", "three": "online"}, 10, "three to stay")
    pair(two, one)
    wait_for(lambda: states(three) == dict.fromkeys(("one", "two", "three"), "online"), 15, "three to see one")


def test_an_owner_that_is_removed_wins_nothing_by_what_it_writes(cell: Cell) -> None:
    """It has its keys and its home, and tells a device that has not heard of its removal that this one is removed."""
    one, two, three = cell.device("one"), cell.device("two"), cell.device("three")
    pair(one, two, "--role", "owner")
    pair(one, three)
    wait_for(lambda: states(three) == dict.fromkeys(("one", "two", "three"), "online"), 15, "all to be linked")
    # 1. It is removed while it is switched off, and so is the third device.
    two.kill()
    three.kill()
    assert one.ctl("forget", "two").code == 0
    # 2. It adds guests and removes the founder, in a longer branch, and finds the third device first.
    identity = load_identity(two.home)
    keyring = load_keyring(two.home, identity, "two", 0.0)
    for guest in (new_identity() for _ in range(5)):
        keyring = add_member(keyring, identity, member(guest, name="guest"), 1.0)
    founder = keyring.members[DeviceId(one.control["device"])]
    forged = removing_entry(identity, keyring.heads, founder.device, [founder.entry], 1.0)
    save_keyring(two.home, verify((*keyring.entries, forged)))
    one.kill()
    two.start()
    three.start()
    assert two.ctl("connect", address_of(three)).code == 0
    wait_for(lambda: states(three).get("guest") is not None, 20, "the third device to hear of the guests")
    assert two.ctl("forget", "three").code == 0
    wait_for(lambda: states(three) == {"three": "online"}, 10, "the third device to be removed")
    three.kill()
    three.start()
    # 3. The founder is back.
    one.start()
    assert one.ctl("connect", address_of(three)).code == 0
    wait_for(lambda: states(three) == {"one": "online", "three": "online"}, 20, "the thief and its guests to be out")
    assert states(one) == {"one": "online", "three": "online"}
    for device in (one, three):
        assert "two has changed the keyring without the right" in device.ctl("peers").err
        assert ("keyring", "warning") in verdicts(device)


def address_of(device: Device) -> str:
    (address,) = (peer["addresses"][0] for peer in device.ctl("peers", "--json").data if peer["is_self"])
    return str(address)


def verdicts(device: Device) -> set[tuple[str, str]]:
    return {(check["id"], check["verdict"]) for check in device.ctl("doctor", "--json").data}


def test_a_forgotten_device_can_be_invited_again(cell: Cell) -> None:
    one, two = cell.of("one", "two")
    assert one.ctl("forget", "two").code == 0
    wait_for(lambda: states(two) == {"two": "online"}, 10, "two to be alone")
    pair(one, two)
    wait_for(lambda: states(one) == {"one": "online", "two": "online"}, 15, "one to see two")


def test_an_agent_killed_and_restarted_is_the_same_device(cell: Cell) -> None:
    one, two = cell.of("one", "two")
    device = two.control["device"]
    two.kill()
    wait_for(lambda: states(one)["two"] != "online", 15, "one to miss two")
    two.start()
    assert two.control["device"] == device
    wait_for(lambda: states(one)["two"] == "online", 15, "one to see two")
    wait_for(lambda: states(two)["one"] == "online", 15, "two to see one")


def test_a_goodbye_takes_effect_at_once(cell: Cell) -> None:
    one, two = cell.of("one", "two")
    assert two.stop() == 0
    wait_for(lambda: states(one)["two"] == "gone", 2, "one to hear the goodbye")


def test_a_second_agent_on_the_same_home_refuses(cell: Cell) -> None:
    one = cell.device("one")
    options = ["--home", str(one.home), "--no-mdns", "--listen", "127.0.0.1:0"]
    command = [sys.executable, "-m", "cellmind_agent.main", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert one.ctl("peers").code == 0
    assert done.returncode == 1
    assert "error: another agent already runs" in done.stderr
    assert "hint: " in done.stderr


def test_only_the_owner_can_read_secrets(cell: Cell) -> None:
    one = cell.device("one")
    assert stat.S_IMODE(os.stat(one.home).st_mode) == 0o700
    for name in ("identity.json", "keyring.json", "agent.json"):
        assert stat.S_IMODE(os.stat(one.home / name).st_mode) == 0o600


def test_connect_finds_a_member_that_moved(cell: Cell) -> None:
    one, two = cell.of("one", "two")
    one.kill()
    two.kill()
    for device in (one, two):
        (device.home / "addresses.json").unlink(missing_ok=True)
        device.start()
    assert states(one)["two"] == "gone"
    connected = one.ctl("connect", f"127.0.0.1:{two.port}", "--json")
    assert connected.data["name"] == "two"
    wait_for(lambda: states(one)["two"] == "online", 10, "one to see two")


def test_connect_to_a_stranger_or_nobody_exits_3(cell: Cell) -> None:
    one, _ = cell.of("one", "two")
    stranger = cell.device("stranger")
    assert one.ctl("connect", f"127.0.0.1:{stranger.port}", "--json").code == 3
    assert one.ctl("connect", "127.0.0.1:1", "--json").code == 3
    assert one.ctl("connect", "127.0.0.1:x", "--json").code == 2


def test_peer_option_is_a_first_address(cell: Cell) -> None:
    one, two = cell.of("one", "two")
    two.kill()
    (two.home / "addresses.json").unlink(missing_ok=True)
    two.options = ("--no-mdns", "--peer", f"127.0.0.1:{one.port}")
    one.kill()
    (one.home / "addresses.json").unlink(missing_ok=True)
    one.start()
    two.options = ("--no-mdns", "--peer", f"127.0.0.1:{one.port}")
    two.start()
    wait_for(lambda: states(two)["one"] == "online", 15, "two to find one")
    wait_for(lambda: states(one)["two"] == "online", 15, "one to learn of two")


def test_commands_without_an_agent_exit_3(tmp_path: Path) -> None:
    nobody = Device("nobody", tmp_path)
    for words in (["peers"], ["ask", "안녕"], ["runs"], ["invite"], ["models"]):
        answer = nobody.ctl(*words, "--json")
        assert (answer.code, answer.error["code"]) == (3, "no_agent")
        assert "cellmind-agent" in answer.error["hint"]


def test_logs_of_another_device_are_read_over_its_link(cell: Cell) -> None:
    one, _ = cell.of("one", "two")
    lines = one.ctl("logs", "two", "--tail", "5", "--json").events
    assert 0 < len(lines) <= 5
    assert all(line["event"] == "line" for line in lines)
    assert one.ctl("logs", "nobody", "--json").code == 5


def test_doctor_finds_nothing_wrong_with_two_devices(cell: Cell) -> None:
    one, _ = cell.of("one", "two")
    answer = one.ctl("doctor", "--json", "--report", str(cell.folder / "report.json"))
    assert answer.code == 0
    verdicts = {check["id"]: check["verdict"] for check in answer.data}
    assert verdicts["peer two"] == verdicts["home"] == verdicts["agent"] == "ok"
    assert json.loads((cell.folder / "report.json").read_text()) == answer.data


def test_agent_option_shows_the_view_of_another_member(cell: Cell) -> None:
    one, two = cell.of("one", "two")
    seen = one.ctl("--agent", f"127.0.0.1:{two.port}", "peers", "--json")
    assert {peer["name"]: peer["is_self"] for peer in seen.data} == {"one": False, "two": True}
    assert one.ctl("--agent", "127.0.0.1:1", "peers", "--json").code == 3


def test_a_waiting_command_ends_at_once_when_its_own_agent_dies(cell: Cell) -> None:
    one = cell.device("one")
    following = one.start_ctl("logs", "-f", "--json")
    assert following.stdout
    following.stdout.readline()
    one.kill()
    out, _ = following.communicate(timeout=10)
    assert following.returncode == 3
    assert json.loads(out.splitlines()[-1])["error"]["code"] == "link_lost"
