"""From text to what a trainer needs: documents, a tokenizer and token shards.

    raw files -> cleaned documents -> tokenizer (trained if there is none) -> packed shards

Each result is kept in a folder and used again for the same data. This file knows no command line and no configuration
file; it reports to its caller by notices.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from tokenizer.byte_ranges import ByteRange
from tokenizer.corpus.input.sources import find_sources
from tokenizer.corpus.prepare import prepare
from tokenizer.corpus.prepared.jsonl import read_ranges
from tokenizer.corpus.prepared.split import Split, is_prepared, prepared_split
from tokenizer.corpus.prepared.stats import read_stats
from tokenizer.corpus.prepared_files import STATS
from tokenizer.errors import VocabularyTooSmallError
from tokenizer.files import write_whole
from tokenizer.sharding.manifest import Manifest
from tokenizer.sharding.writing import ReportProgress, write_shards
from tokenizer.text_size import USUAL_VOCAB_SIZE, suggest_seq_len, suggest_vocab_size
from tokenizer.vocabulary.encoding import Encoder
from tokenizer.vocabulary.leaks import Leaks, find_leaks
from tokenizer.vocabulary.training import TokenizerSettings, sample, train_tokenizer, write_tokenizer


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingDataOptions:
    """What to train on, and how to encode it.

    `data` are folders of prepared text and JSONL files, or raw files; a prepared folder cannot be mixed with raw
    files. With `only_new` only the last batch of prepared text is trained on. `tokenizer_path` is the model file of the
    project's tokenizer; `continues` says that a model which was trained with it is trained further. A `seq_len` (tokens
    in a row) or `vocab_size` of 0 depends on the size of the text.
    """

    data: tuple[Path, ...]
    seq_len: int = 0
    tokenizer_path: Path | None = None
    continues: bool = False
    vocab_size: int = 0
    only_new: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenizerOrigin:
    """What a tokenizer was made from: the identity of the text, and the size that was asked for."""

    text: str
    vocab_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingData:
    """The result. `tokenizer` is the contents of a model file; `shards` are the files of the manifest, in its order."""

    tokenizer: bytes
    origin: TokenizerOrigin
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
class TokenizerOfOtherText:
    """The project's tokenizer was trained on another text. It is used all the same (`is_kept`), or a new one is."""

    path: Path
    is_kept: bool


Notice = TokenizerTrainingStarted | VocabularyTooLarge | TokenizerLeaks | TokenizerOfOtherText


def prepare_training_data(
    options: TrainingDataOptions,
    cache: Path,
    notify: Callable[[Notice], None],
    report_progress: ReportProgress,
) -> TrainingData:
    """Prepare what `cache` does not have yet, and write nowhere else. `report_progress` gets the encoded and the total
    bytes of text.

    Raises TextError, and OSError if the disk fails or is full.
    """
    key = _cache_key(options.data)
    kept = cache / key
    # 1. Documents: prepared text as it is, anything else cleaned first.
    data = options.data
    if not all(is_prepared(path) for path in data):
        assert not any(path.is_dir() and is_prepared(path) for path in data), (
            "prepared folders are mixed with raw files"
        )
        if not is_prepared(kept / "data"):
            prepare(data, kept / "data")
        data = (kept / "data",)
    # 2. The tokenizer: the project's, or one trained on all documents, so that it stays when text is added.
    split = prepared_split(data)
    origin = TokenizerOrigin(text=key, vocab_size=options.vocab_size)
    tokenizer = _project_tokenizer(options, origin, notify)
    if tokenizer is None:
        path = _kept_tokenizer(options, kept)
        tokenizer = path.read_bytes() if path.exists() else _train_tokenizer(options, split, path, notify)
    # 3. Shards, packed in rows that suit all of the text.
    seq_len = options.seq_len or suggest_seq_len(_size(split))
    folder = kept / f"shards-{seq_len}-{hashlib.sha256(tokenizer).hexdigest()[:12]}"
    if options.only_new:  # after step 2, which needs all documents
        split = prepared_split(data, only_new=True)
    manifest = write_shards(split, tokenizer, seq_len, folder, report_progress)
    files = (*manifest.train.files, *manifest.held_out.files)
    return TrainingData(
        tokenizer=tokenizer,
        origin=origin,
        manifest=manifest,
        shards=tuple(folder / file.name for file in files),
    )


def keep_tokenizer(path: Path, data: TrainingData) -> bool:
    """Write the tokenizer to the project's `path`, with a note beside it of the text that it was trained on. Returns
    False if that file holds it already. Raises OSError.

    Called when a run has started, so that a plan or a failed command leaves nothing in the project.
    """
    if path.exists() and path.read_bytes() == data.tokenizer:
        return False
    write_tokenizer(data.tokenizer, path.parent, path.stem)
    note = {"tokenizer": hashlib.sha256(data.tokenizer).hexdigest(), **asdict(data.origin)}
    write_whole(_note_path(path), json.dumps(note, indent=1).encode())
    return True


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


def _project_tokenizer(
    options: TrainingDataOptions, origin: TokenizerOrigin, notify: Callable[[Notice], None]
) -> bytes | None:
    """The tokenizer in the project, if it is to be used.

    One without a note was made by a person, who is obeyed. One of another text is used only for a model that knows it.
    """
    path = options.tokenizer_path
    if path is None or not path.exists():
        return None
    model = path.read_bytes()
    of_other_text = _read_origin(path, model) not in (None, origin)
    if of_other_text:
        notify(TokenizerOfOtherText(path, is_kept=options.continues))
    return None if of_other_text and not options.continues else model


def _read_origin(path: Path, model: bytes) -> TokenizerOrigin | None:
    """What the note beside a tokenizer says; None if there is none, or if it is about another tokenizer."""
    try:
        note = json.loads(_note_path(path).read_bytes())
        if note["tokenizer"] != hashlib.sha256(model).hexdigest():
            return None
        return TokenizerOrigin(text=str(note["text"]), vocab_size=int(note["vocab_size"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _note_path(tokenizer: Path) -> Path:
    return tokenizer.with_suffix(".text.json")


def _train_tokenizer(options: TrainingDataOptions, split: Split, path: Path, notify: Callable[[Notice], None]) -> bytes:
    ranges = tuple(split.train.values())
    size = _size(split)
    notify(TokenizerTrainingStarted())
    model = _train_model(ranges, size, options.vocab_size)
    encoder = Encoder(model)
    if encoder.vocab_size < options.vocab_size:
        notify(VocabularyTooLarge(encoder.vocab_size, options.vocab_size))
    leaks = find_leaks(encoder, {part.path.parent for part in ranges})
    if leaks.names or leaks.private:
        notify(TokenizerLeaks(leaks))
    write_tokenizer(model, path.parent, path.stem)
    return model


def _size(split: Split) -> int:
    """The bytes of the text to train on."""
    return sum(part.size for part in split.train.values())


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
