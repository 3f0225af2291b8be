"""Documents on disk, between the workers that clean them and the collection that adds them. Only entries are ever in
memory.
"""

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

from tokenizer.corpus.conversations.documents import ENTRY, Entries, PackedDocuments


class Spool:
    """Lines of JSON in one file, texts in a second, entries in a third; and counts of the messages they came from."""

    def __init__(self, folder: Path, lines: BinaryIO, texts: BinaryIO, entries: BinaryIO) -> None:
        self.folder = folder
        self._lines, self._texts, self._entries = lines, texts, entries
        self.documents = self.messages = self.empty = 0
        self.replaced: Counter[str] = Counter()
        self.samples: list[tuple[str, str]] = []

    def count(self, messages: int, empty: int, replaced: Counter[str]) -> None:
        """Add a block's counts: its messages, those without text after cleaning, replacements by placeholder."""
        self.messages += messages
        self.empty += empty
        self.replaced.update(replaced)

    def put(self, packed: PackedDocuments) -> None:
        """Append documents. Raises OSError."""
        self._lines.write(packed.lines)
        self._texts.write(packed.texts)
        self._entries.write(packed.entries.tobytes())
        self.documents += len(packed.entries)

    def read(self) -> tuple[BinaryIO, BinaryIO, Entries]:
        """The files of lines and texts, rewound, and all entries."""
        for file in (self._lines, self._texts, self._entries):
            file.flush()
            file.seek(0)
        return self._lines, self._texts, np.frombuffer(self._entries.read(), dtype=ENTRY)


@contextmanager
def open_spool(out: Path) -> Iterator[Spool]:
    """Yield a spool in a temporary folder beside `out`, which is deleted after the block.

    Also deletes the spools of processes that were killed, because they hold private text. Raises OSError.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    for old in out.parent.glob(f".{glob.escape(out.name)}.*-spool-*"):
        if not _is_alive(old.name.split(".")[-1].split("-")[0]):
            shutil.rmtree(old, ignore_errors=True)
    with (
        tempfile.TemporaryDirectory(prefix=f".{out.name}.{os.getpid()}-spool-", dir=out.parent) as name,
        open(Path(name, "lines"), "w+b") as lines,
        open(Path(name, "texts"), "w+b") as texts,
        open(Path(name, "entries"), "w+b") as entries,
    ):
        yield Spool(Path(name), lines, texts, entries)


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)  # signal 0 only tests whether the process exists
    except ProcessLookupError:
        return False
    except (PermissionError, ValueError):
        pass
    return True
