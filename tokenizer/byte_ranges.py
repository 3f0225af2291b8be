"""A part of a file, named by two offsets: what one process passes to another instead of the text itself."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tokenizer.errors import TextError, UnreadableFileError


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes of `path` from offset `start` up to, and without, offset `stop`."""

    path: Path
    start: int
    stop: int

    @property
    def size(self) -> int:
        """The length in bytes."""
        return self.stop - self.start

    def read(self) -> bytes:
        """The bytes; fewer than `size` if the file has become shorter. Raises TextError."""
        try:
            with open(self.path, "rb") as file:
                file.seek(self.start)
                return file.read(self.size)
        except OSError as error:
            raise unreadable(self.path, error) from error


def file_size(path: Path) -> int:
    """The size of a file in bytes. Raises TextError."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: OSError) -> TextError:
    """The error for a file of prepared text that the system does not let us read."""
    return UnreadableFileError(
        "{path} cannot be read: {strerror}", "cellmindctl data prepare", path=path, strerror=error.strerror
    )
