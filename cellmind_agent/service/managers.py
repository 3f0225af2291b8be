"""The service managers: which files each reads, and which commands start, stop and show the agent. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.protocol.home import log_path
from cellmind_agent.service.units import (
    LABEL,
    LAUNCHD_LABEL,
    Program,
    launchd_plist,
    systemd_system_unit,
    systemd_user_hardening,
    systemd_user_unit,
    termux_boot_script,
    termux_run_script,
)

Command = tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFile:
    """A file that the manager reads; scripts are executable."""

    path: Path
    text: str
    is_script: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """How one manager runs the agent. `status` exits with 0 if the agent runs. `reload` follows a removal."""

    manager: str
    files: tuple[ServiceFile, ...]
    hardening: ServiceFile | None = None  # kept only if the agent starts with it
    start: tuple[Command, ...]
    stop: tuple[Command, ...]
    status: Command
    reload: tuple[Command, ...] = ()
    can_linger: bool = False  # it ends with the person's session, unless that person's processes may linger


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What the choice of a manager depends on."""

    platform: str  # sys.platform
    environ: Mapping[str, str]
    user_id: int
    has_termux_services: bool = False
    has_gpu: bool = False

    @property
    def person(self) -> Path:
        """The person's home folder."""
        return Path(self.environ.get("HOME") or ".")

    @property
    def is_termux(self) -> bool:
        """Whether this is a phone."""
        return self.platform == "android" or "com.termux" in self.environ.get("PREFIX", "")


def service_for(machine: Machine, program: Program, home: Path, is_system: bool = False) -> Service:
    """The service of this machine. Raises UsageError where there is none, and for --system without root."""
    if machine.is_termux:
        return _termux(machine, program)
    if machine.platform == "darwin":
        return _launchd(machine, program, log_path(home))
    if machine.platform.startswith("linux"):
        return _systemd_system(machine, program) if is_system else _systemd_user(machine, program, home)
    raise UsageError(
        "there is no service for {platform}", "start the agent yourself: cellmind-agent", platform=machine.platform
    )


def _systemd_user(machine: Machine, program: Program, home: Path) -> Service:
    config = Path(machine.environ.get("XDG_CONFIG_HOME") or machine.person / ".config")
    unit = ServiceFile(path=config / "systemd" / "user" / f"{LABEL}.service", text=systemd_user_unit(program))
    hardening = ServiceFile(
        path=unit.path.with_name(f"{unit.path.name}.d") / "hardening.conf",
        text=systemd_user_hardening(home, machine.has_gpu),
    )
    return _systemd(unit, ("systemctl", "--user"), hardening)


def _systemd_system(machine: Machine, program: Program) -> Service:
    if machine.user_id != 0:
        raise UsageError("only root can install a system service", "sudo cellmind-agent service install --system")
    path = Path("/etc/systemd/system") / f"{LABEL}.service"
    return _systemd(ServiceFile(path=path, text=systemd_system_unit(program, machine.has_gpu)), ("systemctl",))


def _systemd(unit: ServiceFile, systemctl: Command, hardening: ServiceFile | None = None) -> Service:
    return Service(
        manager="systemd",
        files=(unit,),
        hardening=hardening,
        start=((*systemctl, "daemon-reload"), (*systemctl, "enable", LABEL), (*systemctl, "restart", LABEL)),
        stop=((*systemctl, "disable", "--now", LABEL),),
        status=(*systemctl, "is-active", LABEL),
        reload=((*systemctl, "daemon-reload"),),
        can_linger="--user" in systemctl,
    )


def _launchd(machine: Machine, program: Program, log: Path) -> Service:
    path = machine.person / "Library" / "LaunchAgents" / f"{LAUNCHD_LABEL}.plist"
    domain = f"gui/{machine.user_id}"
    return Service(
        manager="launchd",
        files=(ServiceFile(path=path, text=launchd_plist(program, log)),),
        start=(("launchctl", "bootstrap", domain, str(path)),),
        stop=(("launchctl", "bootout", f"{domain}/{LAUNCHD_LABEL}"),),
        status=("launchctl", "print", f"{domain}/{LAUNCHD_LABEL}"),
    )


def _termux(machine: Machine, program: Program) -> Service:
    prefix = Path(machine.environ.get("PREFIX") or "/data/data/com.termux/files/usr")
    shell = prefix / "bin" / "sh"
    boot_path = machine.person / ".termux" / "boot" / "cellmind"
    boot = ServiceFile(path=boot_path, text=termux_boot_script(program, shell), is_script=True)
    if machine.has_termux_services:
        path = prefix / "var" / "service" / LABEL / "run"
        return Service(
            manager="termux-services",
            files=(ServiceFile(path=path, text=termux_run_script(program, shell), is_script=True),),
            start=(("sv-enable", LABEL), ("sv", "up", LABEL)),
            stop=(("sv-disable", LABEL), ("sv", "down", LABEL)),
            status=("sv", "status", LABEL),
        )
    pattern = str(program.path)
    return Service(
        manager="Termux:Boot",
        files=(boot,),
        start=((str(shell), "-c", f"nohup {boot_path} >/dev/null 2>&1 &"),),
        stop=(("pkill", "-f", pattern),),
        status=("pgrep", "-f", pattern),
    )
