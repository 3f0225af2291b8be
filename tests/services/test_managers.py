"""Services: the files are right for each system, and a real service's command line starts a real agent."""

import os
import plistlib
import shlex
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.service.managers import Machine, service_for
from cellmind_agent.service.units import (
    Program,
    launchd_plist,
    systemd_system_unit,
    systemd_user_hardening,
    systemd_user_unit,
)
from tests.agents import ENVIRONMENT

ROOT = Path(__file__).parents[2]
AGENT = Program(PurePosixPath("/opt/cellmind/bin/cellmind-agent"))
FAKE = '#!/bin/sh\necho "$(basename "$0") $*" >>"$CALLS"\ncase "$*" in *is-active*) exit "${STATE:-0}" ;; esac\n'


def a_machine(platform: str, **environ: str) -> Machine:
    return Machine(platform=platform, environ={"HOME": "/home/mina", **environ}, user_id=1000)


def test_the_units_of_the_repository_are_the_generated_ones() -> None:
    texts = {
        "cellmind-agent.user.service": systemd_user_unit(Program(PurePosixPath("%h/.local/bin/cellmind-agent"))),
        "cellmind-agent.user.hardening.conf": systemd_user_hardening(PurePosixPath("%h/.local/share/cellmind"), False),
        "cellmind-agent.service": systemd_system_unit(Program(AGENT.path, ("--home", "/var/lib/cellmind"))),
    }
    for name, text in texts.items():
        lines = (ROOT / "systemd" / name).read_text().splitlines()
        assert [line for line in lines if not line.startswith("#")] == text.replace("%%h", "%h").splitlines()


def test_words_are_quoted_as_systemd_reads_them() -> None:
    unit = systemd_user_unit(Program(PurePosixPath("/home/김 민/bin/cellmind-agent"), ("--name", '50% "내" $PC')))
    (line,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
    assert line == ('ExecStart="/home/김 민/bin/cellmind-agent" --name "50%% \\"내\\" $$PC" --log-format journal')


def test_the_hardening_names_the_agents_home_and_the_devices_of_a_gpu() -> None:
    path = PurePosixPath("/home/김 민/100% $PC")
    lines = systemd_user_hardening(path, has_gpu=False).splitlines()
    assert 'ReadWritePaths="/home/김 민/100%% $PC"' in lines
    assert ("PrivateDevices=yes" in lines, "DeviceAllow=char-nvidia* rw" in lines) == (True, False)
    lines = systemd_user_hardening(path, has_gpu=True).splitlines()
    assert ("PrivateDevices=yes" in lines, "DeviceAllow=char-nvidia* rw" in lines) == (False, True)


def test_a_property_list_of_macos_names_the_program_and_its_options() -> None:
    plain = plistlib.loads(launchd_plist(Program(AGENT.path, ("--name", "A & B")), Path("/x/agent.log")).encode())
    assert plain["ProgramArguments"] == [str(AGENT.path), "--name", "A & B"]
    assert plain["KeepAlive"] == {"SuccessfulExit": False}


@pytest.mark.parametrize(
    ("machine", "path", "first"),
    [
        (a_machine("linux"), "/home/mina/.config/systemd/user/cellmind-agent.service", "systemctl"),
        (a_machine("linux", XDG_CONFIG_HOME="/c"), "/c/systemd/user/cellmind-agent.service", "systemctl"),
        (a_machine("darwin"), "/home/mina/Library/LaunchAgents/app.cellmind.agent.plist", "launchctl"),
        (a_machine("android", PREFIX="/p"), "/home/mina/.termux/boot/cellmind", "/p/bin/sh"),
    ],
)
def test_each_system_has_its_file_and_commands(machine: Machine, path: str, first: str) -> None:
    service = service_for(machine, AGENT, Path("/home/mina/data"))
    assert [str(file.path) for file in service.files] == [path]
    assert service.start[0][0] == first


def test_termux_services_are_used_where_they_are_installed() -> None:
    machine = Machine(platform="android", environ={"PREFIX": "/p"}, user_id=1, has_termux_services=True)
    service = service_for(machine, AGENT, Path("/home/mina/data"))
    assert [str(file.path) for file in service.files] == ["/p/var/service/cellmind-agent/run"]
    assert service.start == (("sv-enable", "cellmind-agent"), ("sv", "up", "cellmind-agent"))


def test_what_a_system_cannot_do_is_an_error() -> None:
    with pytest.raises(UsageError, match="win32"):
        service_for(a_machine("win32"), AGENT, Path("/home/mina/data"))
    with pytest.raises(UsageError, match="root"):
        service_for(a_machine("linux"), AGENT, Path("/home/mina/data"), is_system=True)


@pytest.fixture
def fake_system(tmp_path: Path) -> dict[str, str]:
    """An environment in which systemctl and loginctl only note how they were called."""
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("systemctl", "loginctl"):
        (tools / name).write_text(FAKE)
        (tools / name).chmod(0o755)
    return {
        **ENVIRONMENT,
        "HOME": str(tmp_path / "새 집"),
        "PATH": f"{tools}:{os.environ['PATH']}",
        "CALLS": str(tmp_path / "calls"),
        "XDG_CONFIG_HOME": "",
        "PREFIX": "",
    }


def agent(environment: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cellmind_agent.main", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(sys.platform != "linux", reason="the service of this test is one of systemd")
def test_an_installed_service_starts_as_its_unit_says(tmp_path: Path, fake_system: dict[str, str]) -> None:
    home = tmp_path / "집"
    options = ("--home", str(home), "--no-mdns", "--listen", "127.0.0.1:0", "--resume-on-boot")
    done = agent(fake_system, *options, "service", "install")
    assert done.returncode == 0, done.stderr
    unit = Path(fake_system["HOME"]) / ".config/systemd/user/cellmind-agent.service"
    assert stat.S_IMODE(unit.stat().st_mode) == 0o644
    hardening = unit.with_name("cellmind-agent.service.d") / "hardening.conf"
    assert f"ReadWritePaths={home}" in hardening.read_text().splitlines()
    assert Path(fake_system["CALLS"]).read_text().splitlines()[:3] == [
        "systemctl --user daemon-reload",
        "systemctl --user enable cellmind-agent",
        "systemctl --user restart cellmind-agent",
    ]
    (line,) = (line for line in unit.read_text().splitlines() if line.startswith("ExecStart="))
    assert "--resume-on-boot" in shlex.split(line)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        environment = {**fake_system, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        running = subprocess.Popen(shlex.split(line.partition("=")[2]), env=environment, stderr=subprocess.DEVNULL)
        try:
            assert manager.recv(100) == b"READY=1"
            assert (home / "agent.json").exists()
        finally:
            running.send_signal(signal.SIGTERM)
            assert running.wait(15) == 0
    # -- its state, and its end
    assert agent(fake_system, "service", "status").returncode == 0
    assert agent({**fake_system, "STATE": "3"}, "service", "status").returncode == 3
    assert agent(fake_system, "service", "uninstall").returncode == 0
    assert (unit.exists(), hardening.parent.exists()) == (False, False)
    none = agent({**fake_system, "CELLMIND_LANG": "ko"}, "service", "status")
    assert (none.returncode, "설치된 서비스가 없습니다" in none.stdout) == (3, True)


@pytest.mark.skipif(sys.platform != "linux", reason="the service of this test is one of systemd")
def test_an_agent_that_does_not_start_with_all_restrictions_starts_with_fewer(
    tmp_path: Path, fake_system: dict[str, str]
) -> None:
    unit = Path(fake_system["HOME"]) / ".config/systemd/user/cellmind-agent.service"
    hardening = unit.with_name("cellmind-agent.service.d") / "hardening.conf"
    refusal = f'case "$*" in *restart*) test ! -e "{hardening}" ;; esac\n'
    (tmp_path / "tools" / "systemctl").write_text(FAKE + refusal)
    done = agent(fake_system, "--home", str(tmp_path / "home"), "service", "install")
    assert (done.returncode, "so it runs with fewer" in done.stdout) == (0, True), done.stderr
    assert (unit.exists(), hardening.parent.exists()) == (True, False)
    calls = [line for line in Path(fake_system["CALLS"]).read_text().splitlines() if line.startswith("systemctl")]
    verbs = [line.split()[2] for line in calls]
    assert verbs == ["daemon-reload", "enable", "restart", "daemon-reload", "enable", "restart"]


def test_a_manager_that_fails_is_an_error_with_a_way_out(tmp_path: Path, fake_system: dict[str, str]) -> None:
    systemctl = tmp_path / "tools" / "systemctl"
    systemctl.write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    done = agent(fake_system, "service", "install")
    assert done.returncode == 1
    assert "Failed to connect to bus" in done.stderr
    assert "hint: start the agent yourself: cellmind-agent" in done.stderr
    assert "fewer" not in done.stdout


@pytest.mark.parametrize("words", [["service"], ["service", "start"], ["serve"], ["service", "install", "now"]])
def test_other_words_are_a_usage_error(fake_system: dict[str, str], words: list[str]) -> None:
    done = agent(fake_system, *words)
    assert done.returncode == 2
    assert "cellmind-agent service install" in done.stderr
