"""`cellmind-agent service`: writes the service file for what is installed here, and has the system start it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.limits import SERVICE_COMMAND_SECONDS
from cellmind_agent.service.managers import Machine, Service, ServiceFile, service_for
from cellmind_agent.service.units import Program
from cellmind_agent.words import t

Verb = Literal["install", "uninstall", "status"]
VERBS: tuple[Verb, ...] = get_args(Verb)
_NOT_RUNNING = 3  # as `systemctl is-active` and the contract say: no agent


def run_service_command(verb: Verb, options: Sequence[str], home: Path, is_system: bool) -> int:
    """Carry out one of the verbs, and return the exit code. `options` are the agent's, which the service keeps.

    Raises UsageError, and CellmindError if the manager does not do what it is asked.
    """
    program = Program(_installed_agent(), tuple(options))
    service = service_for(_this_machine(), program, home, is_system)
    match verb:
        case "install":
            return _install(service, home)
        case "uninstall":
            return _uninstall(service)
        case "status":
            return _status(service)


def _install(service: Service, home: Path) -> int:
    for file in service.files:
        _write(file)
    if service.manager == "launchd":  # it refuses to start what it has loaded already
        _run(service.stop[0])
    if not _starts_hardened(service, home):
        for command in service.start:
            _check(command)
        if service.hardening:
            print(t("systemd cannot start the agent with all restrictions here, so it runs with fewer"))
    print(t("the agent runs, and starts with this device ({path})", path=service.files[0].path))
    if service.can_linger and _lingering() == "no":
        print(t("it ends when you log out; so that it goes on: {command}", command="loginctl enable-linger"))
    return 0


def _starts_hardened(service: Service, home: Path) -> bool:
    """Start the agent with all restrictions, or remove the drop-in again. Raises CellmindError if it cannot write."""
    if service.hardening is None:
        return False
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)  # systemd refuses to start if this folder is missing
    except OSError:
        return False
    _write(service.hardening)
    *prepare, start = service.start
    for command in prepare:
        if _run(command).returncode:  # the manager itself does not work
            _remove_hardening(service)
            return False
    if _run(start).returncode == 0:
        return True
    _remove_hardening(service)
    return False


def _remove_hardening(service: Service) -> None:
    if service.hardening:
        service.hardening.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # a person's own drop-ins stay
            service.hardening.path.parent.rmdir()


def _uninstall(service: Service) -> int:
    for command in service.stop:
        _run(command)  # an agent that does not run is no error
    for file in service.files:
        file.path.unlink(missing_ok=True)
    _remove_hardening(service)
    for command in service.reload:
        _run(command)
    print(t("the agent no longer starts with this device"))
    return 0


def _status(service: Service) -> int:
    is_installed = all(file.path.exists() for file in service.files)
    is_running = is_installed and _run(service.status).returncode == 0
    if not is_installed:
        print(t("no service is installed; install it: cellmind-agent service install"))
    elif is_running:
        print(t("the agent runs as a service of {manager}", manager=service.manager))
    else:
        print(t("the service is installed, and does not run ({path})", path=service.files[0].path))
    return 0 if is_running else _NOT_RUNNING


def _installed_agent() -> Path:
    """The program beside this Python, which is there in every kind of environment. Raises CellmindError."""
    path = Path(sys.executable).parent / "cellmind-agent"
    if not path.exists():
        raise CellmindError("cellmind-agent is not installed beside {python}", "./install", python=sys.executable)
    # A link to it stays when a newer version is installed into another folder.
    for folder in (Path.home() / ".local" / "bin", Path(os.environ.get("PREFIX") or "/nonexistent") / "bin"):
        link = folder / "cellmind-agent"
        if link.is_symlink() and link.resolve() == path.resolve():
            return link
    return path


def _this_machine() -> Machine:
    prefix = Path(os.environ.get("PREFIX") or "/nonexistent")
    return Machine(
        platform=sys.platform,
        environ=os.environ,
        user_id=os.getuid() if hasattr(os, "getuid") else 0,
        has_termux_services=(prefix / "bin" / "sv-enable").exists(),
        has_gpu=any(Path(device).exists() for device in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/kfd")),
    )


def _write(file: ServiceFile) -> None:
    """Replace the file; a reader sees the old text or the new one. Raises CellmindError."""
    temporary = file.path.with_name(f".{file.path.name}.new")
    try:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(file.text, encoding="utf-8")
        temporary.chmod(0o700 if file.is_script else 0o644)
        temporary.replace(file.path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        hint = "check the folder's permissions"
        raise CellmindError("cannot write {path}: {why}", hint, path=file.path, why=error.strerror) from error


def _check(command: Sequence[str]) -> None:
    """Raises CellmindError if the command fails."""
    done = _run(command)
    if done.returncode:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise CellmindError(
            "`{command}` failed: {said}",
            "start the agent yourself: cellmind-agent",
            command=" ".join(command),
            said=said,
        )


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=SERVICE_COMMAND_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 127, "", str(error))


def _lingering() -> str:
    """`yes`, `no`, or nothing where loginctl does not say."""
    done = _run(("loginctl", "show-user", str(os.getuid()), "--property=Linger"))
    return done.stdout.strip().rpartition("=")[2] if done.returncode == 0 else ""
