"""Hears from systemd-logind that this machine is about to sleep, in time to say so to the other devices.

logind (Linux) announces every sleep, and waits for the holders of a "delay" lock, five seconds at most
(https://systemd.io/INHIBITOR_LOCKS). Where there is no logind the other devices notice the silence instead.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from cellmind_agent.protocol.limits import BUS_SECONDS, SUSPEND_SECONDS

if TYPE_CHECKING:  # installed on Linux only
    from jeepney import Message
    from jeepney.fds import FileDescriptor
    from jeepney.io.blocking import DBusConnection

_log = logging.getLogger(__name__)
_LOGIND = "org.freedesktop.login1"
_PATH = "/org/freedesktop/login1"
_MANAGER = "org.freedesktop.login1.Manager"
_SIGNAL = "PrepareForSleep"


async def watch_for_suspend(suspends: Callable[[], Awaitable[None]], resumes: Callable[[], None]) -> None:
    """Await `suspends()` before each sleep of this machine, and call `resumes()` after it, until cancelled.

    Returns where nothing announces sleep, and when the connection to logind is lost.
    """
    if sys.platform != "linux":
        return
    try:
        logind = await asyncio.to_thread(Logind)
    except Exception as error:  # no bus, no logind, or a container that forbids it: jeepney raises errors of many kinds
        _log.debug("no sleep of this machine will be announced: %s", error)
        return
    try:
        await _follow(logind, suspends, resumes)
    except (OSError, RuntimeError) as error:
        _log.warning("no sleep of this machine will be announced any more: %s", error)
    finally:
        logind.close()


async def _follow(logind: Logind, suspends: Callable[[], Awaitable[None]], resumes: Callable[[], None]) -> None:
    while True:
        with await asyncio.to_thread(logind.take_lock) as lock:
            while not await logind.announcement():
                pass  # the end of a sleep that was announced before
            await _sleep(logind, lock, suspends, resumes)


async def _sleep(
    logind: Logind, lock: FileDescriptor, suspends: Callable[[], Awaitable[None]], resumes: Callable[[], None]
) -> None:
    """From the announcement of a sleep to its end. The machine may sleep when the lock is closed."""
    try:
        _log.info("a sleep of this device is announced")
        await suspends()
        lock.close()  # from now on the machine may sleep
        # The event loop's clock stops during the sleep, so this limit counts the time awake.
        async with asyncio.timeout(SUSPEND_SECONDS):
            while await logind.announcement():
                pass
    except TimeoutError:
        _log.warning("this device did not sleep, although a sleep was announced")
    finally:
        resumes()


class Logind:
    """A connection to the system's bus. Construct it, and take the lock, outside the event loop: both wait."""

    def __init__(self) -> None:
        """Raises OSError (no bus), and errors of jeepney (no logind)."""
        from jeepney import MatchRule, message_bus
        from jeepney.io.blocking import Proxy, open_dbus_connection

        rule = MatchRule(type="signal", sender=_LOGIND, interface=_MANAGER, member=_SIGNAL, path=_PATH)
        self._bus: DBusConnection = open_dbus_connection("SYSTEM", enable_fds=True, auth_timeout=BUS_SECONDS)
        try:
            Proxy(message_bus, self._bus, timeout=BUS_SECONDS).AddMatch(rule)
            # The bus writes the sender's unique name into each signal, so the filter cannot name it.
            here = MatchRule(type="signal", interface=_MANAGER, member=_SIGNAL, path=_PATH)
            self._heard: deque[Message] = deque()
            self._bus.filter(here, queue=self._heard)
            self.take_lock().close()
        except BaseException:
            self._bus.close()
            raise

    def take_lock(self) -> FileDescriptor:
        """While it is open, logind delays a sleep. Raises OSError, RuntimeError (logind refused)."""
        from jeepney import DBusAddress, DBusErrorResponse, new_method_call
        from jeepney.wrappers import unwrap_msg

        manager = DBusAddress(_PATH, _LOGIND, _MANAGER)
        words = ("sleep", "CellMind", "to let the other devices know", "delay")
        call = new_method_call(manager, "Inhibit", "ssss", words)
        try:
            (lock,) = unwrap_msg(self._bus.send_and_get_reply(call, timeout=BUS_SECONDS))
        except DBusErrorResponse as error:
            raise RuntimeError(str(error)) from error
        return lock

    async def announcement(self) -> bool:
        """The next announcement: True before a sleep, False after it. Raises OSError."""
        loop, readable = asyncio.get_running_loop(), asyncio.Event()
        loop.add_reader(self._bus.sock, readable.set)
        try:
            while True:
                self._read()
                if self._heard:
                    return bool(self._heard.popleft().body[0])
                readable.clear()
                await readable.wait()
        finally:
            loop.remove_reader(self._bus.sock)

    def _read(self) -> None:
        """Take in what has arrived, without waiting."""
        try:
            while True:
                self._bus.recv_messages(timeout=0)
        except TimeoutError:
            return

    def close(self) -> None:
        self._bus.close()
