"""The texts of any files, uncleaned: for training a tokenizer on them directly (`python -m tokenizer`).

Prepared text is read as documents, plain text line by line, and every other format message by message.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizer.byte_ranges import file_size
from tokenizer.corpus.formats.detection import PLAIN
from tokenizer.corpus.input.blocks import parse_block, scan_block
from tokenizer.corpus.input.input_file import detect_file
from tokenizer.corpus.input.sources import find_sources, open_text
from tokenizer.corpus.prepared.jsonl import read_documents
from tokenizer.corpus.prepared.split import is_prepared
from tokenizer.corpus.prepared_files import TRAIN


def size_of(paths: Iterable[Path]) -> int:
    """About how many bytes of text `read_texts` will read. Raises TextError."""
    total = 0
    for path in paths:
        if is_prepared(path):
            total += file_size(path / TRAIN if path.is_dir() else path)
        else:
            total += sum(source.size for source in find_sources([path])[0])
    return total


def read_texts(paths: Iterable[Path]) -> Iterator[str]:
    """Yield the texts of all files. Raises TextError."""
    for path in paths:
        if is_prepared(path):
            yield from read_documents(path / TRAIN if path.is_dir() else path)
            continue
        sources, _ = find_sources([path])
        for file in map(detect_file, sources):
            if file.detected.name == PLAIN:
                with open_text(file.source, file.encoding) as stream:
                    yield from (line.rstrip("\n") for line in stream if not line.isspace())
                continue
            with tempfile.TemporaryDirectory() as folder:
                file.open(Path(folder))
                file.scans = [scan_block(block) for block in file.blocks()]
                for block in file.blocks():
                    yield from (text for text in parse_block(block).texts if text)
