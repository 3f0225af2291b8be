"""Samples for training: packed rows from shards (what runs use), or the lines of a JSONL file, padded.

`prefetched` reads the next batch while the present one is computed.

The order of the rows depends on the seed and the epoch alone. It is the same on every device and version, because it is
our own arithmetic and not a library's random generator.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from model.arithmetic.gpt import IGNORED
from model.line.training import Span
from tokenizer.errors import TextError
from tokenizer.sharding.manifest import Manifest
from tokenizer.sharding.rows import Rows
from tokenizer.vocabulary.encoding import Encoder


def epoch_order(num_samples: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A permutation (num_samples,) of range(num_samples): sorted by SplitMix64 (Steele et al. 2014) of index, seed and
    epoch."""
    with np.errstate(over="ignore"):
        stream = np.uint64((seed * 0x9E3779B97F4A7C15 + epoch * 0xD1B54A32D192ED03) & 0xFFFFFFFFFFFFFFFF)
        x = np.arange(num_samples, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + stream
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    order: npt.NDArray[np.int64] = np.argsort(x, kind="stable")
    return order


@dataclass(frozen=True, slots=True)
class Batch:
    """Inputs and targets (B, seq_len). `num_targets` counts those that are not IGNORED."""

    inputs: Tensor
    targets: Tensor
    num_targets: int

    def split(self, rows: int) -> list[tuple[Tensor, Tensor]]:
        """Inputs and targets of at most `rows` rows each; an empty batch yields one empty part."""
        return list(zip(torch.split(self.inputs, rows), torch.split(self.targets, rows), strict=True))

    def to(self, device: torch.device) -> Batch:
        """This batch on another device. For CUDA the copy is started from pinned memory, and not waited for."""
        if device.type != "cuda":
            return Batch(self.inputs.to(device), self.targets.to(device), self.num_targets)
        inputs, targets = self.inputs.pin_memory(), self.targets.pin_memory()
        return Batch(inputs.to(device, non_blocking=True), targets.to(device, non_blocking=True), self.num_targets)


class PackedData:
    """The rows of a run's shards: `train` and `held_out`, as batches."""

    def __init__(self, manifest: Manifest, shards: Sequence[Path], seed: int) -> None:
        """`shards` are the manifest's files in its order, train first. Raises TextError when they do not fit it."""
        if len(shards) != len(manifest.train.files) + len(manifest.held_out.files):
            raise TextError("the shards do not belong to the manifest", "prepare the data again")
        self._manifest, self._seed = manifest, seed
        width, num_train = manifest.seq_len + 1, len(manifest.train.files)
        self.train = Rows(shards[:num_train], manifest.dtype, width)
        self.held_out = Rows(shards[num_train:], manifest.dtype, width)
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def batch(self, span: Span) -> Batch:
        """The training rows [start, stop) in the order of an epoch."""
        return self._batch([self.train[i] for i in self._positions(span)])

    def num_targets(self, span: Span) -> int:
        """The targets of that batch, without building it."""
        return sum(int(self._is_target(self.train[i][1:]).sum()) for i in self._positions(span))

    def held_out_batch(self, start: int, stop: int) -> Batch:
        """The held-out rows [start, stop)."""
        return self._batch([self.held_out[i] for i in range(start, stop)])

    def _positions(self, span: Span) -> list[int]:
        if span.epoch != self._epoch:
            self._epoch, self._order = span.epoch, epoch_order(len(self.train), self._seed, span.epoch)
        positions: list[int] = self._order[span.start : span.stop].tolist()
        return positions

    def _batch(self, rows: list[npt.NDArray[np.int64]]) -> Batch:
        width = self._manifest.seq_len + 1
        tokens = np.stack(rows) if rows else np.empty((0, width), dtype=np.int64)  # (B, T + 1)
        is_target = self._is_target(tokens[:, 1:])  # (B, T)
        targets = np.where(is_target, tokens[:, 1:], IGNORED)  # (B, T)
        return Batch(torch.from_numpy(tokens[:, :-1].copy()), torch.from_numpy(targets), int(is_target.sum()))

    def _is_target(self, tokens: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Padding is no text, and the start of the next document does not follow from the end of this one."""
        found: npt.NDArray[np.bool_] = (tokens != self._manifest.pad_id) & (tokens != self._manifest.start_id)
        return found


def prefetched(data: PackedData, spans: Sequence[Span], device: torch.device) -> Iterator[Batch]:
    """The batch of each span on `device`, in order; another thread reads the next one meanwhile."""
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as reader:
        coming = [reader.submit(data.batch, span) for span in spans[:1]]
        for number in range(len(spans)):
            batch = coming.pop().result()
            if number + 1 < len(spans):
                coming.append(reader.submit(data.batch, spans[number + 1]))
            yield batch.to(device)


class TextDataset(Dataset[Tensor]):
    """The documents of a JSONL file, one `{"text": ...}` a line. Each begins with `<|start|>`, ends with
    `<|endoftext|>`, and is cut after seq_len + 1 ids."""

    def __init__(self, path: Path, encoder: Encoder, seq_len: int) -> None:
        """Keeps only where each line begins. Raises TextError when there are no lines, or no file."""
        self._path, self._encoder, self._seq_len = path, encoder, seq_len
        self._offsets = []  # in bytes
        offset = 0
        try:
            with open(path, "rb") as file:
                for line in file:
                    if line.strip():
                        self._offsets.append(offset)
                    offset += len(line)
        except OSError as error:
            raise TextError(
                "{path} cannot be read: {strerror}", "cellmindctl data prepare", path=path, strerror=error.strerror
            ) from error
        if not self._offsets:
            raise TextError("{path} is empty", "cellmindctl data prepare", path=path)

    def __len__(self) -> int:
        return len(self._offsets)

    def __getitem__(self, index: int) -> Tensor:
        with open(self._path, "rb") as file:
            file.seek(self._offsets[index])
            text = json.loads(file.readline())["text"]
        return torch.tensor(self._encoder.encode_document(text)[: self._seq_len + 1])


def collate_fn(documents: Sequence[Tensor], pad_id: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs and targets (B, T) of documents with up to T + 1 ids; inputs are padded with `pad_id`, targets with
    IGNORED (-100)."""
    T = max(len(document) for document in documents) - 1
    inputs = torch.full((len(documents), T), pad_id)  # (B, T)
    targets = torch.full((len(documents), T), IGNORED)  # (B, T)
    for row, document in enumerate(documents):
        inputs[row, : len(document) - 1] = document[:-1]
        targets[row, : len(document) - 1] = document[1:]
    return inputs, targets
