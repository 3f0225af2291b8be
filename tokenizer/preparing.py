"""From text to what a trainer needs: documents, a tokenizer and token shards.

    raw files -> cleaned documents -> tokenizer (trained if there is none) -> packed shards

Each result is kept in a folder and used again for the same data. This file knows no command line and no configuration
file; it reports to its caller by notices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tokenizer.byte_ranges import ByteRange
from tokenizer.corpus.input.sources import find_sources
from tokenizer.corpus.prepare import prepare
from tokenizer.corpus.prepared.jsonl import read_ranges
from tokenizer.corpus.prepared.split import Split, is_prepared, prepared_split
from tokenizer.corpus.prepared.stats import read_stats
from tokenizer.corpus.prepared_files import STATS
from tokenizer.errors import VocabularyTooSmallError
from tokenizer.sharding.manifest import Manifest
from tokenizer.sharding.writing import ReportProgress, write_shards
from tokenizer.vocabulary.encoding import Encoder
from tokenizer.vocabulary.leaks import Leaks, find_leaks
from tokenizer.vocabulary.training import TokenizerSettings, sample, train_tokenizer, write_tokenizer
from tokenizer.vocabulary_size import USUAL_VOCAB_SIZE, suggest_vocab_size


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingDataOptions:
    """What to train on, and how to encode it.

    `data` are folders of prepared text and JSONL files, or raw files; a prepared folder cannot be mixed with raw
    files. With `only_new` only the last batch of prepared text is trained on. `tokenizer_path` is the model file of the
    tokenizer; if it does not exist, a trained tokenizer is written to it. A `vocab_size` of 0 depends on the size of
    the text.
    """

    data: tuple[Path, ...]
    seq_len: int
    tokenizer_path: Path | None = None
    vocab_size: int = 0
    only_new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """The result. `tokenizer` is the contents of a model file; `shards` are the files of the manifest, in its order."""

    tokenizer: bytes
    manifest: Manifest
    shards: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class TokenizerTrainingStarted:
    """The training of a tokenizer begins, which may take minutes."""


@dataclass(frozen=True, slots=True)
class VocabularyTooLarge:
    """The text yielded only `actual` pieces of the `requested` ones."""

    actual: int
    requested: int


@dataclass(frozen=True, slots=True)
class TokenizerLeaks:
    """The new tokenizer has pieces that spell hidden names or private data."""

    leaks: Leaks


@dataclass(frozen=True, slots=True)
class TokenizerWritten:
    """The new tokenizer was written to `tokenizer_path`."""

    path: Path


Notice = TokenizerTrainingStarted | VocabularyTooLarge | TokenizerLeaks | TokenizerWritten


def prepare_training_data(
    options: TrainingDataOptions,
    cache: Path,
    notify: Callable[[Notice], None],
    report_progress: ReportProgress,
) -> TrainingData:
    """Prepare what `cache` does not have yet. `report_progress` gets the encoded and the total bytes of text.

    Raises TextError, and OSError if the disk fails or is full.
    """
    kept = cache / _cache_key(options.data)
    # 1. Documents: prepared text as it is, anything else cleaned first.
    data = options.data
    if not all(is_prepared(path) for path in data):
        assert not any(path.is_dir() and is_prepared(path) for path in data), (
            "prepared folders are mixed with raw files"
        )
        if not is_prepared(kept / "data"):
            prepare(data, kept / "data")
        data = (kept / "data",)
    # 2. The tokenizer: the given one, or one trained on all documents, so that it stays when text is added.
    split = prepared_split(data)
    tokenizer = _find_tokenizer(options, kept) or _train_tokenizer(options, split, kept, notify)
    # 3. Shards, packed for this sequence length.
    folder = kept / f"shards-{options.seq_len}-{hashlib.sha256(tokenizer).hexdigest()[:12]}"
    if options.only_new:  # after step 2, which needs all documents
        split = prepared_split(data, only_new=True)
    manifest = write_shards(split, tokenizer, options.seq_len, folder, report_progress)
    files = (*manifest.train.files, *manifest.held_out.files)
    return TrainingData(tokenizer=tokenizer, manifest=manifest, shards=tuple(folder / file.name for file in files))


def _cache_key(data: Sequence[Path]) -> str:
    """A name for what is made of the data.

    Prepared folders count by their identity, which stays when text is added, so that tokenizer and shards are used
    again. Other files count by name, size and time of change. Raises TextError.
    """
    digest = hashlib.sha256(b"prepared-3")  # with a new number, all text is prepared again
    for path in data:
        if (path / STATS).exists():
            digest.update(f"{read_stats(path).id}\0".encode())
            continue
        for source in find_sources([path])[0]:
            digest.update(f"{source.identity}\0".encode())
    return digest.hexdigest()[:16]


def _find_tokenizer(options: TrainingDataOptions, kept: Path) -> bytes | None:
    """The model file that was given, or trained before."""
    for path in (options.tokenizer_path, _kept_tokenizer(options, kept)):
        if path and path.exists():
            return path.read_bytes()
    return None


def _train_tokenizer(options: TrainingDataOptions, split: Split, kept: Path, notify: Callable[[Notice], None]) -> bytes:
    ranges = tuple(split.train.values())
    size = sum(part.size for part in ranges)
    notify(TokenizerTrainingStarted())
    model = _train_model(ranges, size, options.vocab_size)
    encoder = Encoder(model)
    if encoder.vocab_size < options.vocab_size:
        notify(VocabularyTooLarge(encoder.vocab_size, options.vocab_size))
    leaks = find_leaks(encoder, {part.path.parent for part in ranges})
    if leaks.names or leaks.private:
        notify(TokenizerLeaks(leaks))
    write_tokenizer(model, kept, _kept_tokenizer(options, kept).stem)
    if options.tokenizer_path:
        write_tokenizer(model, options.tokenizer_path.parent, options.tokenizer_path.stem)
        notify(TokenizerWritten(options.tokenizer_path))
    return model


def _train_model(ranges: Sequence[ByteRange], size: int, vocab_size: int) -> bytes:
    """A tokenizer of `vocab_size` pieces. For 0: of the suggested number, or of more if the characters need them."""
    if not vocab_size:
        try:
            return _train_model(ranges, size, suggest_vocab_size(size))
        except VocabularyTooSmallError:
            vocab_size = USUAL_VOCAB_SIZE
    return train_tokenizer(sample(read_ranges(ranges), size), TokenizerSettings(vocab_size=vocab_size))


def _kept_tokenizer(options: TrainingDataOptions, kept: Path) -> Path:
    return kept / f"tokenizer-{options.vocab_size or 'suggested'}.model"
