"""Where text comes from: files, folders and zips of them, in whatever encoding. Everything is read as a stream.

A zip's names are labels and never paths; what unpacks to far more than chats do is left alone.
"""

from __future__ import annotations

import codecs
import io
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from tokenizer.errors import TextError

PREPARED: Final = ("stats.json", "index.bin")  # in a folder of prepared text
SAMPLE_BYTES: Final = 1 << 16
_SUFFIXES: Final = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".log", ".md", ".text", "")
_MOST_TIMES: Final = 200  # a chat packs to a twentieth; a bomb to a thousandth
_SURELY_SMALL: Final = 16 << 20
_FEW_ERRORS: Final = 0.01
_CONTROLS: Final = re.compile("[\x00-\x08\x0e-\x1a\x7f]")


@dataclass(frozen=True, slots=True)
class Source:
    """A file to read. `identity` changes when the file does; `path` is None for a member of a zip."""

    name: str
    size: int
    identity: str
    open: Callable[[], BinaryIO]
    path: Path | None = None

    def sample(self) -> bytes:
        """The beginning. Raises OSError, zipfile.BadZipFile."""
        with self.open() as file:
            return file.read(SAMPLE_BYTES)


@dataclass(frozen=True, slots=True)
class Skipped:
    """A file that was left alone, and why."""

    name: str
    why: str


def find_sources(paths: Sequence[Path]) -> tuple[list[Source], list[Skipped]]:
    """Every file that may be text, folders and zips opened, in the order given and then by name.

    Raises TextError for a path that does not exist or cannot be read.
    """
    sources: list[Source] = []
    skipped: list[Skipped] = []
    for path in paths:
        for found in _walk(path):
            (sources if isinstance(found, Source) else skipped).append(found)  # type: ignore[arg-type]  # by its kind
    return sources, skipped


def detect_encoding(sample: bytes) -> str | None:
    """By the mark at its beginning, or by trial: UTF-8, UTF-16, CP949. None: this is no text."""
    for mark, encoding in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if sample.startswith(mark):
            return encoding
    if b"\0" in sample:
        return _utf16_without_mark(sample)
    for encoding in ("utf-8", "cp949"):
        if _errors(sample, encoding) == 0:
            return encoding
    few = len(sample) * _FEW_ERRORS
    errors = {encoding: _errors(sample, encoding) for encoding in ("utf-8", "cp949")}
    best = min(errors, key=errors.__getitem__)
    return best if errors[best] <= few else None


def open_text(source: Source, encoding: str) -> io.TextIOWrapper:
    """As text with `\\n` line ends. What cannot be decoded becomes U+FFFD, which the cleaning counts."""
    return io.TextIOWrapper(source.open(), encoding=encoding, errors="replace", newline=None)


def _walk(path: Path) -> Iterator[Source | Skipped]:
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise TextError(f"{path} does not exist", "check the name; the example is data/raw/chat.csv") from error
    except OSError as error:
        raise TextError(f"{path} cannot be read: {error.strerror}", "check its permissions") from error
    if stat.S_ISDIR(status.st_mode):
        yield from _walk_folder(path)
    elif not stat.S_ISREG(status.st_mode):
        raise TextError(f"{path} is no file", "give a file, a folder or a zip")
    elif path.suffix.lower() == ".zip":
        yield from _walk_zip(path, status)
    else:
        if not os.access(path, os.R_OK):
            raise TextError(f"{path} cannot be read: permission denied", "check its permissions")
        identity = _identity(path, status)
        yield Source(str(path), status.st_size, identity, lambda: open(path, "rb"), path)  # noqa: SIM115


def _walk_folder(folder: Path) -> Iterator[Source | Skipped]:
    """Links are not followed: a folder that a friend packed may point anywhere."""
    for place, folders, names in os.walk(folder):
        folders.sort()
        if set(PREPARED) <= set(names):
            folders.clear()
            yield Skipped(place, "it holds text that was prepared already")
            continue
        for name in sorted(names):
            path = Path(place, name)
            if path.is_symlink() or not path.is_file():
                yield Skipped(str(path), "a link, or no file")
            elif path.suffix.lower() not in (*_SUFFIXES, ".zip"):
                yield Skipped(str(path), f"no text by its name ({path.suffix})")
            else:
                yield from _walk(path)


def _walk_zip(path: Path, status: os.stat_result) -> Iterator[Source | Skipped]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise TextError(f"{path} is no readable zip: {error}", "export it again, or unpack it yourself") from error
    for member in members:
        name = f"{path}:{member.filename}"
        suffix = Path(member.filename).suffix.lower()
        if member.is_dir():
            continue
        if member.flag_bits & 1:
            yield Skipped(name, "it has a password: unpack it yourself")
        elif suffix == ".zip":
            yield Skipped(name, "a zip in a zip: unpack it yourself")
        elif suffix not in _SUFFIXES:
            yield Skipped(name, f"no text by its name ({suffix})")
        elif member.file_size > max(_SURELY_SMALL, _MOST_TIMES * member.compress_size):
            yield Skipped(name, f"{member.compress_size:,} bytes that unpack to {member.file_size:,}: no chat does")
        else:
            identity = f"{_identity(path, status)}\0{member.filename}\0{member.CRC}"
            yield Source(name, member.file_size, identity, _opener(path, member))


def _opener(path: Path, member: zipfile.ZipInfo) -> Callable[[], BinaryIO]:
    def open_member() -> BinaryIO:
        return cast(BinaryIO, _Member(path, member))

    return open_member


class _Member(io.RawIOBase):
    """A member of a zip, which closes the zip with itself and never gives more than it said."""

    def __init__(self, path: Path, member: zipfile.ZipInfo) -> None:
        self._archive = zipfile.ZipFile(path)
        self._file = self._archive.open(member)
        self._left = member.file_size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]  # what TextIOWrapper and ijson give
        data = self._file.read(min(len(buffer), self._left))
        self._left -= len(data)
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


def _errors(sample: bytes, encoding: str) -> int:
    """Characters that are none in this encoding; one cut at the sample's end does not count."""
    decoder = codecs.getincrementaldecoder(encoding)("replace")
    return decoder.decode(sample, final=len(sample) < SAMPLE_BYTES).count("\ufffd") - sample.count("\ufffd".encode())


def _utf16_without_mark(sample: bytes) -> str | None:
    """Text has spaces and line ends: their zero bytes are all on one side, and nothing else has any."""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    for encoding, zeros, others in (("utf-16-le", odd, even), ("utf-16-be", even, odd)):
        whole = sample[: len(sample) // 2 * 2]
        if others == 0 and zeros * 50 > len(sample) and _errors(whole, encoding) == 0:
            text = whole.decode(encoding, "ignore")
            if any(sign in text for sign in " \n") and not _CONTROLS.search(text):
                return encoding
    return None
