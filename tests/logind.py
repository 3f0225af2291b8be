"""A bus of its own with a service that speaks as systemd-logind does, to announce the sleep of a machine in tests."""

import os
import shutil
import subprocess
import threading
from pathlib import Path
from types import TracebackType

import pytest

from tests.agents import wait_for

needs_bus = pytest.mark.skipif(shutil.which("dbus-daemon") is None, reason="needs dbus-daemon")
_NAME, _PATH, _MANAGER = "org.freedesktop.login1", "/org/freedesktop/login1", "org.freedesktop.login1.Manager"
_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type><listen>unix:path={socket}</listen><auth>EXTERNAL</auth>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""


class Logind:
    """Use as a context manager. `environment` leads programs to it, and `is_delayed` says whether a lock is held."""

    def __init__(self, folder: Path, has_service: bool = True) -> None:
        """Without the service there is only a bus."""
        self._has_service = has_service
        self._socket, self._file = folder / "bus", folder / "bus.conf"
        self.environment = {"DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self._socket}"}
        self.calls: list[tuple[str, ...]] = []
        self._locks: list[int] = []  # our ends of the pipes: readable at their end once the other end is closed

    def __enter__(self) -> "Logind":
        from jeepney.bus_messages import message_bus
        from jeepney.io.threading import DBusRouter, Proxy, open_dbus_connection

        self._file.write_text(_CONFIGURATION.format(socket=self._socket))
        self._daemon = subprocess.Popen(["dbus-daemon", f"--config-file={self._file}", "--nofork", "--nopidfile"])
        wait_for(self._socket.exists, 10, "the bus")
        self._bus = open_dbus_connection(f"unix:path={self._socket}", enable_fds=True)
        if self._has_service:
            with DBusRouter(self._bus) as router:
                Proxy(message_bus, router).RequestName(_NAME)
        self._server = threading.Thread(target=self._serve, daemon=True)
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.end()
        self._server.join(10)
        self._bus.close()
        for end in self._locks:
            os.close(end)

    def end(self) -> None:
        """The bus ends, as at a shutdown."""
        self._daemon.terminate()
        self._daemon.wait(10)

    def announce(self, sleeps: bool) -> None:
        from jeepney import DBusAddress, new_signal

        self._bus.send(new_signal(DBusAddress(_PATH, interface=_MANAGER), "PrepareForSleep", "b", (sleeps,)))

    @property
    def is_delayed(self) -> bool:
        """Whether somebody holds a lock."""
        for end in list(self._locks):
            try:
                os.read(end, 1)
            except BlockingIOError:
                continue
            self._locks.remove(end)
            os.close(end)
        return bool(self._locks)

    def _serve(self) -> None:
        from jeepney import HeaderFields, new_method_return

        while True:
            try:
                message = self._bus.receive()
            except (OSError, EOFError):
                return
            if message.header.fields.get(HeaderFields.member) == "Inhibit":
                self.calls.append(message.body)
                ours, theirs = os.pipe()
                os.set_blocking(ours, False)
                self._locks.append(ours)
                self._bus.send(new_method_return(message, "h", (theirs,)))
                os.close(theirs)
