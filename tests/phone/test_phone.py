"""The way of a phone, from ./install under Termux to training and answers, on a simulated Android: no multicast is
received, `/proc/stat` is denied, gloo fails, and there is no sentencepiece, safetensors or matplotlib."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.agents import Device, wait_for
from tests.integration.test_run import CONFIG, LONG, make_project, of_kind
from tests.lab.home import Home, LabDevice, peers_of
from tests.phone.termux import Termux
from tests.watcher import Watcher

QUESTION = ("나는 밥을", "--json", "-n", "12", "--seed", "1")


class Phone:
    """A phone of a simulated home. Everything on it runs from its own installation."""

    def __init__(self, termux: Termux, host: LabDevice) -> None:
        self.termux, self.host = termux, host

    def run(self, *words: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.host.prefix, *words],
            env=self.termux.environment,
            cwd=self.termux.home,
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def data(self, *words: str) -> Any:
        """What `cellmindctl WORDS --json` answers."""
        done = self.run("cellmindctl", *words, "--json")
        assert done.returncode == 0, done
        return json.loads(done.stdout)["data"]

    def itself(self) -> dict[str, Any]:
        """How its `peers` shows it."""
        return next(peer for peer in self.data("peers") if peer["is_self"])


def installed(tmp_path: Path) -> Termux:
    """A phone after ./install."""
    termux = Termux(tmp_path / "phone")
    termux.make()
    done = termux.install("--no-service")
    if "No matching distribution" in done.stderr or "Connection" in done.stderr:
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    return termux


def seen_by(device: Device, name: str) -> dict[str, Any]:
    """How `peers` of this device shows the device with that name, or nothing."""
    found: dict[str, Any] = peers_of(device).get(name, {})
    return found


@pytest.mark.timeout(400)
def test_a_phone_is_installed_joins_keeps_answers_trains_and_resumes(home: Home, tmp_path: Path) -> None:
    laptop = home.device("laptop")
    termux = installed(tmp_path)
    phone = Phone(termux, home.device("phone", is_running=False))
    home.network.mute_multicast("phone")
    name = start_and_join(phone, laptop)
    project = make_project(tmp_path / "project", CONFIG)
    alone = laptop.ctl("train", "--json", "--yes", "--devices", "laptop", cwd=project, timeout=120)
    assert alone.code == 0, alone
    keep_and_answer(phone, laptop)
    train_together(laptop, name, project)
    stop_and_resume(laptop, make_project(tmp_path / "long", LONG))
    what_needs_a_computer_is_refused_clearly(phone)
    on_battery_it_stays_out(phone, laptop, name, project)
    assert "Traceback" not in (phone.termux.home / ".local/share/cellmind/logs/agent.log").read_text()


def start_and_join(phone: Phone, laptop: LabDevice) -> str:
    """The boot script starts the agent; a bare code is enough to join. Returns the phone's name."""
    done = phone.run("cellmind-agent", "service", "install")
    assert done.returncode == 0, done
    boot = phone.termux.home / ".termux/boot"
    assert [path.name for path in boot.iterdir()] == ["cellmind"], "a folder there would stop every later boot script"
    wait_for((phone.termux.prefix / "wake-lock").exists, 20, "the boot script to hold the wake lock")
    wait_for(lambda: phone.run("cellmindctl", "peers", "--json").returncode == 0, 30, "the phone to serve")
    me = phone.itself()
    assert me["name"].startswith("android-"), "every phone is called localhost, so it is named by its id"
    assert (me["os"], me["cpu_percent"], me["load"]) == ("android", None, None)
    assert me["ram_available_bytes"] > 0
    wait_for(lambda: phone.itself()["battery"], 20, "Termux:API to be read")
    assert phone.itself()["battery"] == {
        "percent": 80.0, "plugged": True, "source": "termux", "temperature_celsius": 28.0
    }  # fmt: skip
    inviting = laptop.start_ctl("invite", "--json")
    assert inviting.stdout
    code = json.loads(inviting.stdout.readline())["data"]["code"]
    joined = phone.run("cellmindctl", "join", code)
    inviting.communicate(timeout=20)
    assert joined.returncode == 0, joined
    wait_for(lambda: seen_by(laptop, me["name"]).get("state") == "online", 20, "the laptop to see the phone")
    return str(me["name"])


def keep_and_answer(phone: Phone, laptop: LabDevice) -> None:
    """The phone copies the model that the laptop has trained, and answers with it as the laptop does."""
    assert set(phone.data("sync")["devices"].values()) <= {"had it", "fetched it"}
    answers = []
    for done in (
        phone.run("cellmindctl", "ask", *QUESTION, "--device", "laptop"),
        phone.run("cellmindctl", "ask", *QUESTION, "--device", phone.itself()["name"]),
    ):
        assert done.returncode == 0, done
        events = [json.loads(line) for line in done.stdout.splitlines()]
        answers.append("".join(event["text"] for event in of_kind(events, "piece")))
    assert answers[0] == answers[1]
    assert answers[0]


def train_together(laptop: LabDevice, name: str, project: Path) -> None:
    """gloo fails on the phone, so both use the portable group, and end with the same weights."""
    done = laptop.ctl("train", "--json", "--yes", cwd=project, timeout=200)
    assert done.code == 0, done
    (plan,) = of_kind(done.events, "plan")
    assert {member["name"] for member in plan["roster"]} == {"laptop", name}
    assert plan["backend"] == "portable"
    assert "/sys/bus/pci/devices" in plan["backend_reason"]
    assert of_kind(done.events, "checkpoint")[-1]["members"] == [member["name"] for member in plan["roster"]]


def stop_and_resume(laptop: LabDevice, project: Path) -> None:
    watcher = laptop.start_ctl("train", "--json", "--yes", cwd=project)
    assert watcher.stdout
    for line in watcher.stdout:
        event = json.loads(line)
        if event["event"] == "checkpoint":
            break
    stopped = laptop.ctl("stop", event["run"], "--json")
    assert stopped.code == 0, stopped
    watcher.communicate(timeout=60)
    with Watcher(laptop.start_ctl("resume", event["run"], "--json")) as resumed:
        assert resumed.wait_for_kind("round_committed", 90)["step"] > 0
        resumed.wait_for_members(2, 90)  # the phone may have been busy with the end of the run before
        laptop.ctl("stop", event["run"])
        resumed.wait_for_kind("finished")


def what_needs_a_computer_is_refused_clearly(phone: Phone) -> None:
    """A phone prepares text, and cannot train a tokenizer: there is no sentencepiece."""
    lines = [f"2026-11-25 10:{minute:02}:00,민아,오늘 저녁 {minute}시에 먹자" for minute in range(60)]
    (phone.termux.home / "chat.csv").write_text("\n".join(["Date,User,Message", *lines]), encoding="utf-8")
    assert phone.run("cellmindctl", "data", "prepare", "chat.csv", "--out", "prepared").returncode == 0
    refused = phone.run("cellmindctl", "train", "--data", "prepared")
    assert refused.returncode == 1
    assert re.search("sentencepiece.+여기에 설치되어 있지 않습니다", refused.stderr), refused
    assert "버그" not in refused.stderr


def on_battery_it_stays_out(phone: Phone, laptop: LabDevice, name: str, project: Path) -> None:
    """Unplugged, it is shown as resting, and the plan goes on without it."""
    phone.termux.set_battery(percent=79, is_plugged=False)
    wait_for(lambda: seen_by(laptop, name).get("training_limit"), 20, "the laptop to see that the phone rests")
    assert seen_by(laptop, name)["training_limit"] == {"why": "it does not charge", "is_paused": True}
    shown = phone.run("cellmindctl", "peers")
    assert f"{name}: 지금은 학습하지 않음 (충전 중이 아님)" in shown.stderr, shown
    plan = laptop.ctl("plan", "--json", cwd=project).data
    assert [(out["name"], out["why"]) for out in plan["left_out"]] == [(name, "it does not charge")]
    phone.termux.set_battery(percent=79, is_plugged=True)
    wait_for(lambda: seen_by(laptop, name).get("training_limit") is None, 20, "the phone to train again")
