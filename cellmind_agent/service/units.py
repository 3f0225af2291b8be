"""The text of each service file, for the program and the home that are really installed. Pure.

Not used in the systemd units, on purpose: MemoryDenyWriteExecute (torch compiles code), PrivateDevices where there is a
GPU (would hide it), ProcSubset=pid (psutil reads /proc/meminfo and /proc/stat), IPAddressDeny (homes and schools with
public addresses), a filter of @resources (training lowers its own priority).
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePath
from xml.sax.saxutils import escape

LABEL = "cellmind-agent"
LAUNCHD_LABEL = "app.cellmind.agent"


@dataclass(frozen=True, slots=True)
class Program:
    """How the agent is started: the installed program and its options."""

    path: PurePath
    options: tuple[str, ...] = ()

    @property
    def words(self) -> tuple[str, ...]:
        """The command line."""
        return (str(self.path), *self.options)


# What needs no privilege and no user namespace, so that a user's own systemd honours it everywhere.
_USER_HARDENING = """\
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @obsolete
SystemCallErrorNumber=EPERM
"""

# What needs root, or else a user namespace.
_SANDBOX = """\
CapabilityBoundingSet=
ProtectSystem=strict
PrivateMounts=yes
PrivateTmp=yes
PrivateUsers=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
ProtectProc=invisible
RemoveIPC=yes
DevicePolicy=closed
"""
_OWN_USER = """\
DynamicUser=yes
StateDirectory=cellmind
StateDirectoryMode=0700
AmbientCapabilities=
ProtectHome=yes
"""
_GPU_DEVICES = "DeviceAllow=char-nvidia* rw\nDeviceAllow=char-nvidia-uvm rw\n"
_NO_DEVICES = "PrivateDevices=yes\n"


def systemd_user_unit(program: Program) -> str:
    """The unit of one person's laptop or desktop."""
    return _systemd(program, "", _USER_HARDENING, "default.target")


def systemd_user_hardening(home: PurePath, has_gpu: bool) -> str:
    """The drop-in that restricts the user unit further, where people may make user namespaces. The agent then writes to
    `home` only; the person's other files can be read, so that the program can be anywhere."""
    devices = _GPU_DEVICES if has_gpu else _NO_DEVICES
    return f"[Service]\nProtectHome=read-only\nReadWritePaths={_systemd_path(home)}\n{_SANDBOX}{devices}"


def systemd_system_unit(program: Program, has_gpu: bool = True) -> str:
    """The unit of a machine that nobody sits at: a user of its own, which sees no home folder."""
    network = "Wants=network-online.target\n"
    hardening = _OWN_USER + _SANDBOX + (_GPU_DEVICES if has_gpu else _NO_DEVICES) + _USER_HARDENING
    return _systemd(program, network, hardening, "multi-user.target")


def launchd_plist(program: Program, log: PurePath) -> str:
    """The property list of a launch agent of macOS."""
    words = "".join(f"    <string>{escape(word)}</string>\n" for word in program.words)
    return f"""\
<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
<dict>
  <key>Label</key>
  <string>{LAUNCHD_LABEL}</string>
  <key>ProgramArguments</key>
  <array>
{words}  </array>
  <key>RunAtLoad</key>
  <true/>
  <key>KeepAlive</key>
  <dict>
    <key>SuccessfulExit</key>
    <false/>
  </dict>
  <key>StandardErrorPath</key>
  <string>{escape(str(log))}</string>
</dict>
</plist>
"""


def termux_boot_script(program: Program, shell: PurePath) -> str:
    """What Termux:Boot runs after a reboot. (It must be a file: a folder there stops every later script.)"""
    return f"#!{shell}\ntermux-wake-lock\nexec {shlex.join(program.words)} >/dev/null 2>&1\n"


def termux_run_script(program: Program, shell: PurePath) -> str:
    """The run file of termux-services (runit)."""
    return f"#!{shell}\ntermux-wake-lock\nexec {shlex.join(program.words)} 2>&1\n"


def _systemd(program: Program, before: str, hardening: str, target: str) -> str:
    return f"""\
[Unit]
Description=CellMind agent
{before}After=network-online.target

[Service]
Type=notify
NotifyAccess=main
ExecStart={_systemd_line((*program.words, "--log-format", "journal"))}
Restart=on-failure
RestartSec=5
TimeoutStopSec=15
KillMode=mixed
{hardening}
[Install]
WantedBy={target}
"""


def _systemd_line(words: Sequence[str]) -> str:
    """A command line in systemd's quoting (systemd.service(5)): `%` and `$` are special even inside quotes."""
    return " ".join(_systemd_word(word) for word in words)


def _systemd_word(word: str) -> str:
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(character in word for character in " \t\"'\\;") else escaped


def _systemd_path(path: PurePath) -> str:
    """A path as a value, where systemd replaces `%` and leaves `$` alone."""
    return _systemd_word(str(path)).replace("$$", "$")
