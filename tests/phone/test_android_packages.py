"""Every package that an agent needs can be had on an Android phone: from Termux, or as a wheel of the public index."""

import json
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
# The newest Python of Termux, and the wheels that its pip takes.
ANDROID = (
    "--platform=android_24_arm64_v8a", "--python-version=3.14", "--implementation=cp", "--abi=cp314", "--abi=abi3",
    "--abi=none", "--only-binary=:all:",
)  # fmt: skip
# No wheel for Android. Without Cython it is plain Python, so pip builds it there without a compiler.
PLAIN_WITHOUT_CYTHON = "zeroconf"


def needed(package: str = "cellmind") -> set[str]:
    """The names of all packages that this one needs, without extras."""
    found: set[str] = set()
    for text in requires(package) or ():
        requirement = Requirement(text)
        on_phone = {"extra": "", "sys_platform": "android", "python_version": "3.14"}
        if requirement.marker is None or requirement.marker.evaluate(on_phone):
            name = requirement.name.lower()
            found |= {name} if name in from_termux() else {name} | needed(name)
    return found


def from_termux() -> set[str]:
    """What ./install takes from Termux's own packages."""
    (line,) = re.findall(r"pkg install -y (python .*)", (ROOT / "install").read_text())
    return {word.removeprefix("python-") for word in line.split()}


@pytest.mark.timeout(180)
def test_every_package_that_an_agent_needs_exists_for_android(tmp_path: Path) -> None:
    wanted = needed() - from_termux() - {PLAIN_WITHOUT_CYTHON}
    assert {"pyzmq", "click", "rich", "ifaddr", "pygments"} <= wanted
    words = ("--dry-run", "--ignore-installed", "--no-deps", "--target", str(tmp_path), "--quiet", "--report", "-")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", *words, *ANDROID, *sorted(wanted)],
        capture_output=True,
        text=True,
        timeout=150,
    )
    if "Connection" in done.stderr or "No matching distribution found for click" in done.stderr:  # it runs anywhere
        pytest.skip("no package index can be reached")
    assert done.returncode == 0, done.stderr
    packages = json.loads(done.stdout)["install"]
    wheels = {package["metadata"]["name"].lower(): package["download_info"]["url"] for package in packages}
    assert wheels.keys() == wanted
    assert "android_24_arm64_v8a" in wheels["pyzmq"]


def test_zeroconf_is_installed_without_a_compiler() -> None:
    assert "SKIP_CYTHON=1" in (ROOT / "install").read_text()
