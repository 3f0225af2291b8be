"""Documents on their way from the workers to the collection: on disk, with only entries ever in memory."""

from __future__ import annotations

import glob
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from tokenizer.clean.documents import ENTRY, Entries, Packed


class Spool:
    """Lines in one file, texts in another, entries in a third."""

    def __init__(self, folder: Path, lines: BinaryIO, texts: BinaryIO, entries: BinaryIO) -> None:
        self.folder = folder
        self._lines, self._texts, self._entries = lines, texts, entries
        self.documents = self.messages = self.empty = 0
        self.replaced: Counter[str] = Counter()
        self.samples: list[tuple[str, str]] = []

    def count(self, messages: int, empty: int, replaced: Counter[str]) -> None:
        self.messages += messages
        self.empty += empty
        self.replaced.update(replaced)

    def put(self, packed: Packed) -> None:
        self._lines.write(packed.lines)
        self._texts.write(packed.texts)
        self._entries.write(packed.entries.tobytes())
        self.documents += len(packed.entries)

    def read(self) -> tuple[BinaryIO, BinaryIO, Entries]:
        """The lines and the texts, to be read from anywhere, and all entries."""
        for file in (self._lines, self._texts, self._entries):
            file.flush()
            file.seek(0)
        return self._lines, self._texts, np.frombuffer(self._entries.read(), dtype=ENTRY)


@contextmanager
def open_spool(out: Path) -> Iterator[Spool]:
    """In a folder of its own beside `out`, which goes with it; one that a process left behind when it was killed goes
    now, for there is private text in it."""
    out.parent.mkdir(parents=True, exist_ok=True)
    for left in out.parent.glob(f".{glob.escape(out.name)}.*-spool-*"):
        if not _is_alive(left.name.split(".")[-1].split("-")[0]):
            shutil.rmtree(left, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{out.name}.{os.getpid()}-spool-", dir=out.parent) as name,
        open(Path(name, "lines"), "w+b") as lines,
        open(Path(name, "texts"), "w+b") as texts,
        open(Path(name, "entries"), "w+b") as entries,
    ):
        yield Spool(Path(name), lines, texts, entries)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)  # asks, and ends nothing
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        pass
    return True
