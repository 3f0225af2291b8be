"""A simulated phone: Termux's folders and commands, and an environment whose Python believes to be on Android."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_COMMANDS = {
    "pkg": 'echo "$@" >> "$PREFIX/asked-of-pkg"',
    "termux-wake-lock": 'echo held >> "$PREFIX/wake-lock"',
    "termux-battery-status": 'cat "$PREFIX/battery.json"',
}


@dataclass(frozen=True)
class Termux:
    """The file system of one phone, below `root`."""

    root: Path

    @property
    def prefix(self) -> Path:
        return self.root / "data/data/com.termux/files/usr"

    @property
    def home(self) -> Path:
        return self.root / "data/data/com.termux/files/home"

    @property
    def python(self) -> Path:
        return self.home / ".local/share/cellmind-environment/bin/python"

    @property
    def environment(self) -> dict[str, str]:
        """Of every program on the phone."""
        kept = {name: value for name, value in os.environ.items() if name.startswith(("PIP_", "SSL_", "PYENV_"))}
        pythons = Path(sys.base_prefix) / "bin"
        path = f"{self.prefix}/bin:{pythons}:/usr/local/bin:/usr/sbin:/usr/bin:/bin"
        words = {"HOME": str(self.home), "PREFIX": str(self.prefix), "PATH": path}
        return {**kept, **words, "CELLMIND_LANG": "ko", "LANG": "ko_KR.UTF-8", "OMP_NUM_THREADS": "1"}

    def make(self) -> None:
        """The folders, and the commands of Termux and Termux:API."""
        (self.prefix / "bin").mkdir(parents=True)
        self.home.mkdir(parents=True)
        (self.prefix / "bin/sh").symlink_to("/bin/sh")
        for name, body in _COMMANDS.items():
            path = self.prefix / "bin" / name
            path.write_text(f"#!/bin/sh\n{body}\n")
            path.chmod(0o755)
        self.set_battery(percent=80, is_plugged=True)

    def set_battery(self, percent: int, is_plugged: bool, celsius: float = 28.0) -> None:
        """What Termux:API reports from now on."""
        found = {
            "health": "GOOD",
            "percentage": percent,
            "plugged": "PLUGGED_AC" if is_plugged else "UNPLUGGED",
            "status": "CHARGING" if is_plugged else "DISCHARGING",
            "temperature": celsius,
            "current": 250000,
        }
        new = self.prefix / "battery.new"
        new.write_text(json.dumps(found))
        new.replace(self.prefix / "battery.json")

    def install(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ./install as on a phone. What `pkg` would have installed beside it is lent by this machine afterwards."""
        done = subprocess.run(
            ["bash", str(ROOT / "termux/install.sh"), *words],
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
        )
        if done.returncode == 0:
            packages = next((self.python.parents[1] / "lib").glob("python*/site-packages"))
            shutil.copy(ROOT / "tests/phone/android.py", packages / "become_android.py")
            lent = f"{sysconfig.get_path('purelib')}\nimport become_android\n"
            (packages / "phone.pth").write_text(lent)
        return done
