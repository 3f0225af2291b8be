"""The user unit under a real systemd of a user without privileges: restricted, and where that is refused."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MANAGER = Path(__file__).with_name("user_manager.sh")
NAMESPACES = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--cgroup", "--propagation", "private")
INSTALL = """
agent service install
systemctl --user show cellmind-agent -p ActiveState -p PrivateUsers
ctl peers --json
"""
PROVE_AND_TRAIN = """
main=$(systemctl --user show cellmind-agent -p MainPID --value)
inside() { nsenter -t "$main" --user --mount --preserve-credentials "$@"; }
inside touch /home/mina/.local/share/cellmind/ours && echo 'writes to its home'
inside touch /home/mina/.bashrc 2>&1 || true
/run/cellmind/.venv/bin/python -c 'from pathlib import Path; from tests.integration.test_run import CONFIG, make_project
make_project(Path("project"), CONFIG)'
cd project
ctl train --yes --json | grep -o '"event": "finished"'
agent service uninstall
systemctl --user is-active cellmind-agent || true
"""


def why_not_here() -> str | None:
    """Why this machine cannot start a systemd for a user, or None."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "a systemd of another user needs Linux and root"
    missing = [tool for tool in ("systemctl", "unshare", "setpriv", "nsenter") if shutil.which(tool) is None]
    if missing:
        return f"a systemd of another user needs {', '.join(missing)}"
    if Path(sys.prefix) != ROOT / ".venv":
        return "the user reaches the agent in .venv only"
    mounting = (
        "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && mkdir /sys/fs/cgroup/cellmind-probe"
    )
    probe = [*NAMESPACES, "sh", "-c", f"{mounting} && rmdir /sys/fs/cgroup/cellmind-probe"]
    done = subprocess.run(probe, capture_output=True, text=True, timeout=20)
    return f"control groups cannot be delegated here: {done.stderr.strip()}" if done.returncode else None


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    reason = why_not_here()
    if reason:
        pytest.skip(reason)


def as_a_user(commands: str, **environment: str) -> str:
    done = subprocess.run(
        [*NAMESPACES, str(MANAGER), str(ROOT), str(ROOT / ".venv/bin/python"), commands],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.full
@pytest.mark.timeout(240)
def test_the_agent_serves_and_trains_with_all_restrictions() -> None:
    out = as_a_user(INSTALL + PROVE_AND_TRAIN)
    assert "fewer" not in out
    assert {"ActiveState=active", "PrivateUsers=yes", "writes to its home", "inactive"} <= set(out.splitlines())
    assert '"is_self": true' in out
    assert "'/home/mina/.bashrc': Read-only file system" in out
    assert '"event": "finished"' in out


@pytest.mark.full
@pytest.mark.timeout(240)
def test_the_agent_serves_where_a_sandbox_is_refused() -> None:
    out = as_a_user(INSTALL, BROKEN_SANDBOX="1")
    assert "systemd cannot start the agent with all restrictions here, so it runs with fewer" in out
    assert {"ActiveState=active", "PrivateUsers=no"} <= set(out.splitlines())
    assert '"is_self": true' in out
