"""Finds the files that may be text: single files, and those in folders and zips. It opens them as streams.

A name inside a zip is a label and never a path. A file that unpacks to far more than a chat could is skipped.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from tokenizer.corpus.input.encodings import SAMPLE_BYTES
from tokenizer.corpus.prepared_files import MARKERS
from tokenizer.errors import TextError, UnreadableFileError

_TEXT_SUFFIXES: Final = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".log", ".md", ".text", "")
_MAX_UNPACKED_RATIO: Final = 200  # a chat compresses to a twentieth, a zip bomb to a thousandth
_SMALL_BYTES: Final = 16 << 20  # harmless at any ratio
# Reasons in `SkippedFile.why`.
_NOT_TEXT: Final = "no text by its name ({suffix})"
_BOMB: Final = "{packed} bytes that unpack to {unpacked}: no chat does"


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read, of `size` bytes. `identity` changes if the file does. `path` is None for a member of a zip."""

    name: str
    size: int
    identity: str
    open: Callable[[], BinaryIO]
    path: Path | None = None

    def sample(self) -> bytes:
        """The first SAMPLE_BYTES. Raises OSError, and for a damaged zip zipfile.BadZipFile or zlib.error."""
        with self.open() as file:
            return file.read(SAMPLE_BYTES)


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that was not read, and why."""

    name: str
    why: str


def find_sources(paths: Sequence[Path]) -> tuple[list[Source], list[SkippedFile]]:
    """Every file that may be text, and the others, in the order of `paths` and then by name.

    Raises TextError for a path that does not exist or cannot be read.
    """
    sources: list[Source] = []
    skipped: list[SkippedFile] = []
    for path in paths:
        for found in _walk(path):
            if isinstance(found, Source):
                sources.append(found)
            else:
                skipped.append(found)
    return sources, skipped


def open_text(source: Source, encoding: str) -> io.TextIOWrapper:
    """The source as text with `\\n` line ends. U+FFFD replaces undecodable bytes; the cleaning counts these.

    Raises OSError, zipfile.BadZipFile.
    """
    return io.TextIOWrapper(source.open(), encoding=encoding, errors="replace", newline=None)


def _walk(path: Path) -> Iterator[Source | SkippedFile]:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise UnreadableFileError(
            "{path} does not exist", "check the name; the example is data/raw/chat.csv", path=path
        ) from error
    except OSError as error:
        raise UnreadableFileError(
            "{path} cannot be read: {strerror}", "check its permissions", path=path, strerror=error.strerror
        ) from error
    if stat.S_ISDIR(status.st_mode):
        yield from _walk_folder(path)
    elif not stat.S_ISREG(status.st_mode):
        raise UnreadableFileError("{path} is not a file", "give a file, a folder or a zip", path=path)
    elif path.suffix.lower() == ".zip":
        yield from _walk_zip(path, status)
    else:
        if not os.access(path, os.R_OK):
            raise UnreadableFileError("{path} cannot be read: permission denied", "check its permissions", path=path)
        identity = _identity(path, status)
        yield Source(str(path), status.st_size, identity, lambda: open(path, "rb"), path)  # noqa: SIM115  # the caller closes it


def _walk_folder(folder: Path) -> Iterator[Source | SkippedFile]:
    # Links are not followed: in a folder that somebody else packed they may point anywhere.
    for place, folders, names in os.walk(folder):
        folders.sort()
        if set(MARKERS) <= set(names):  # else the text would be read a second time
            folders.clear()
            yield SkippedFile(place, "it holds text that was prepared already")
            continue
        for name in sorted(names):
            path = Path(place, name)
            if path.is_symlink() or not path.is_file():
                yield SkippedFile(str(path), "a link, or no file")
            elif path.suffix.lower() not in (*_TEXT_SUFFIXES, ".zip"):
                yield SkippedFile(str(path), _NOT_TEXT.format(suffix=path.suffix))
            else:
                yield from _walk(path)


def _walk_zip(path: Path, status: os.stat_result) -> Iterator[Source | SkippedFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise TextError(
            "{path} is no readable zip: {error}", "export it again, or unpack it yourself", path=path, error=error
        ) from error
    for member in members:
        name = f"{path}:{member.filename}"
        suffix = Path(member.filename).suffix.lower()
        if member.is_dir():
            continue
        if member.flag_bits & 1:  # encrypted (APPNOTE 4.4.4)
            yield SkippedFile(name, "it has a password: unpack it yourself")
        elif suffix == ".zip":
            yield SkippedFile(name, "a zip in a zip: unpack it yourself")
        elif suffix not in _TEXT_SUFFIXES:
            yield SkippedFile(name, _NOT_TEXT.format(suffix=suffix))
        elif member.file_size > max(_SMALL_BYTES, _MAX_UNPACKED_RATIO * member.compress_size):
            sizes = {"packed": f"{member.compress_size:,}", "unpacked": f"{member.file_size:,}"}
            yield SkippedFile(name, _BOMB.format(**sizes))
        else:
            identity = f"{_identity(path, status)}\0{member.filename}\0{member.CRC}"
            yield Source(name, member.file_size, identity, _member_opener(path, member))


def _member_opener(path: Path, member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def open_member() -> BinaryIO:
        return cast(BinaryIO, _ZipMember(path, member))

    return open_member


class _ZipMember(io.RawIOBase):
    """A member of a zip. Closing it closes the zip, and it never yields more bytes than the zip's index says."""

    def __init__(self, path: Path, member: zipfile.ZipInfo) -> None:
        self._archive = zipfile.ZipFile(path)
        self._file = self._archive.open(member)
        self._bytes_left = member.file_size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # TextIOWrapper and ijson pass memoryviews
        data = self._file.read(min(len(buffer), self._bytes_left))
        self._bytes_left -= len(data)
        buffer[: len(data)] = data
        return len(data)

    def read1(self, size: int = -1) -> bytes:
        return self.read(size if size > 0 else SAMPLE_BYTES) or b""

    def close(self) -> None:
        if not self.closed:
            self._file.close()
            self._archive.close()
        super().close()


def _identity(path: Path, status: os.stat_result) -> str:
    return f"{path.absolute()}\0{status.st_size}\0{status.st_mtime_ns}"
