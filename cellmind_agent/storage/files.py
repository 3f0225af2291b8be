"""Small files that are written whole or not at all (I8), and the lock of a home. Knows nothing of their contents."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cellmind_agent.protocol.errors import CellmindError, HomeLockedError, NotAllowedError, StorageFullError

if os.name == "posix":
    import fcntl


def private_folder(path: Path) -> Path:
    """Make `path`, if needed, a folder that only its owner may enter (0700); returns it.

    Raises CellmindError, such as NotAllowedError where it belongs to another user.
    """
    try:
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        # A folder that existed may have been open to others.
        path.chmod(0o700)
    except PermissionError as error:
        hint = "choose another folder: --home DIR"
        raise NotAllowedError("this user may not use {path}", hint, path=path) from error
    except OSError as error:
        raise CellmindError(
            "cannot use {path}: {strerror}", "choose another folder: --home DIR", path=path, strerror=error.strerror
        ) from error
    return path


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Write to a temporary name, fsync, rename. Raises StorageFullError; then the old file is still whole."""
    with translated_disk_errors():
        # In the same folder, because a rename must not cross file systems.
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                # Before the rename: after a power cut the new name must not lead to missing data.
                os.fsync(file.fileno())
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
            raise
        sync_folder(path.parent)


def write_json(path: Path, plain: object) -> None:
    """Write a value as JSON, as `write_file` does."""
    write_file(path, json.dumps(plain, ensure_ascii=False, indent=1, sort_keys=True).encode())


def read_json(path: Path) -> Any:
    """The file's value, or None when there is no such file or it is not JSON (our files are always JSON)."""
    try:
        return json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def sync_folder(path: Path) -> None:
    """Make a rename in `path` survive a power cut, where the platform allows it."""
    with contextlib.suppress(OSError):
        # Windows cannot open folders.
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def translated_disk_errors() -> Iterator[None]:
    """Raise StorageFullError where the block meets a full disk or a quota."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise StorageFullError("the disk is full: {path}", path=error.filename or error.strerror) from error
        raise


class HomeLock:
    """Held while the agent runs. The operating system releases it when the process ends, however it ends."""

    def __init__(self, home: Path) -> None:
        """Raises HomeLockedError when another agent holds it."""
        self._file = open(home / "lock", "a+b")  # noqa: SIM115 - held for the life of the agent
        # Windows has no flock: there, a second agent on one home is only noticed by its port.
        if os.name == "posix":
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                self._file.close()
                raise HomeLockedError("another agent already runs on {home}", home=home) from error

    def release(self) -> None:
        """Let another agent use the home."""
        self._file.close()
