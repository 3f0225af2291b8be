"""The service files pass the system's own checks, and the agent does what Type=notify requires."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path, PurePosixPath

import pytest

from cellmind_agent.service.units import Program, systemd_system_unit, systemd_user_hardening, systemd_user_unit
from tests.agents import ENVIRONMENT

ROOT = Path(__file__).parents[2]
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


def installed(folder: Path, name: str) -> Path:
    """The unit as it would be installed, with a program that exists on this machine."""
    text = (ROOT / "systemd" / name).read_text()
    lines = ["ExecStart=/bin/true" if line.startswith("ExecStart=") else line for line in text.splitlines()]
    path = folder / "cellmind-agent.service"
    path.write_text("\n".join(lines) + "\n")
    return path


@needs_systemd
@pytest.mark.parametrize(
    ("name", "scope"), [("cellmind-agent.user.service", "--user"), ("cellmind-agent.service", "--system")]
)
def test_units_verify_without_a_warning(tmp_path: Path, name: str, scope: str) -> None:
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    command = ["systemd-analyze", "verify", scope, "--man=no", str(installed(tmp_path, name))]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    ours = [line for line in done.stderr.splitlines() if "cellmind" in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize(
    ("is_system", "has_gpu", "most"), [(True, False, 12), (True, True, 14), (False, False, 17), (False, True, 19)]
)
def test_the_units_are_hardened(tmp_path: Path, is_system: bool, has_gpu: bool, most: int) -> None:
    """`most` is the exposure in tenths. A user's unit counts with its drop-in."""
    program = Program(PurePosixPath("/bin/true"))
    path = tmp_path / "cellmind-agent.service"
    path.write_text(systemd_system_unit(program, has_gpu) if is_system else systemd_user_unit(program))
    if not is_system:
        with path.open("a") as unit:
            unit.write(systemd_user_hardening(PurePosixPath("/home/mina/data"), has_gpu))
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={most}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("path", ["install", "setup.sh", "check", "demo", "termux/install.sh"])
def test_scripts_parse(path: str) -> None:
    subprocess.run(["bash", "-n", str(ROOT / path)], check=True, timeout=20)


def test_the_agent_reports_ready_when_it_serves_and_stops_cleanly(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        agent = subprocess.Popen(
            [sys.executable, "-m", "cellmind_agent.main", "--home", str(tmp_path / "home"), "--no-mdns",
             "--listen", "127.0.0.1:0", "--log-format", "journal"],
            env={**ENVIRONMENT, "NOTIFY_SOCKET": str(tmp_path / "notify")},
            stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        assert manager.recv(100) == b"READY=1"
        assert (tmp_path / "home" / "agent.json").exists()
        agent.send_signal(signal.SIGTERM)
        assert manager.recv(100) == b"STOPPING=1"
        _, err = agent.communicate(timeout=15)
    assert agent.returncode == 0
    assert all(line.startswith("<") for line in err.splitlines())
    assert not (tmp_path / "home" / "agent.json").exists()


def test_a_port_in_use_is_a_clear_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "cellmind_agent.main",
                "--home",
                str(tmp_path),
                "--no-mdns",
                "--listen",
                f"127.0.0.1:{port}",
            ],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert done.returncode == 1
    assert f"error: 127.0.0.1:{port} is taken by another program" in done.stderr
    assert "hint: choose another: cellmind-agent --listen" in done.stderr
