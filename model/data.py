"""Samples for training: packed rows from shards (the default), or a JSONL file a line at a time, padded.

Which row is next follows from the seed and the epoch alone, and is the same on every device and version: the order is
our own arithmetic, not a library's random generator.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import Dataset

from model.gpt import IGNORED
from tokenizer.encoding import Encoder
from tokenizer.errors import TextError
from tokenizer.shards import Manifest, Rows


def epoch_order(num_samples: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """A permutation of range(num_samples): sorted by SplitMix64 (Steele et al. 2014) of index, seed and epoch."""
    with np.errstate(over="ignore"):
        stream = np.uint64((seed * 0x9E3779B97F4A7C15 + epoch * 0xD1B54A32D192ED03) & 0xFFFFFFFFFFFFFFFF)
        x = np.arange(num_samples, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + stream
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        x = x ^ (x >> np.uint64(31))
    order: npt.NDArray[np.int64] = np.argsort(x, kind="stable")
    return order


class PackedData:
    """The two sides of a run's shards."""

    def __init__(self, manifest: Manifest, shards: Sequence[Path], seed: int) -> None:
        """`shards` are the files in the manifest's order, train first. Raises TextError."""
        if len(shards) != len(manifest.train.files) + len(manifest.held_out.files):
            raise TextError("the shards do not belong to the manifest", "prepare the data again")
        self._manifest, self._seed = manifest, seed
        width, num_train = manifest.seq_len + 1, len(manifest.train.files)
        self.train = Rows(shards[:num_train], manifest.dtype, width)
        self.held_out = Rows(shards[num_train:], manifest.dtype, width)
        self._epoch = -1
        self._order: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)

    def batch(self, epoch: int, start: int, stop: int) -> tuple[Tensor, Tensor]:
        """Inputs and targets (stop - start, seq_len) of these places of the epoch's order."""
        if epoch != self._epoch:
            self._epoch, self._order = epoch, epoch_order(len(self.train), self._seed, epoch)
        return self._split([self.train[int(i)] for i in self._order[start:stop]])

    def held_out_batch(self, start: int, stop: int) -> tuple[Tensor, Tensor]:
        return self._split([self.held_out[i] for i in range(start, stop)])

    def _split(self, rows: list[npt.NDArray[np.int64]]) -> tuple[Tensor, Tensor]:
        width = self._manifest.seq_len + 1
        tokens = torch.from_numpy(np.stack(rows) if rows else np.empty((0, width), dtype=np.int64))
        targets = tokens[:, 1:].clone()
        # Where the next document begins there is nothing to predict; padding is nothing at all.
        targets[(targets == self._manifest.pad_id) | (targets == self._manifest.start_id)] = IGNORED
        return tokens[:, :-1], targets


class TextDataset(Dataset[Tensor]):
    """A JSONL file of `{"text": ...}` lines, each as `<|start|> ... <|endoftext|>`, cut to seq_len + 1 ids."""

    def __init__(self, path: Path, encoder: Encoder, seq_len: int) -> None:
        """Reads where the lines begin, not the lines. Raises TextError when there are none."""
        self._path, self._encoder, self._seq_len = path, encoder, seq_len
        self._places = []
        place = 0
        try:
            with open(path, "rb") as file:
                for line in file:
                    if line.strip():
                        self._places.append(place)
                    place += len(line)
        except OSError as error:
            raise TextError(f"{path} cannot be read: {error.strerror}", "cellmindctl data prepare") from error
        if not self._places:
            raise TextError(f"{path} is empty", "cellmindctl data prepare")

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Tensor:
        with open(self._path, "rb") as file:
            file.seek(self._places[index])
            text = json.loads(file.readline())["text"]
        return torch.tensor(self._encoder.encode_document(text)[: self._seq_len + 1])


def collate_fn(documents: Sequence[Tensor], pad_id: int = 0) -> tuple[Tensor, Tensor]:
    """Inputs and targets (B, longest - 1): inputs padded with `pad_id`, targets with IGNORED (-100)."""
    longest = max(len(document) for document in documents)
    inputs = torch.full((len(documents), longest - 1), pad_id)
    targets = torch.full((len(documents), longest - 1), IGNORED)
    for row, document in enumerate(documents):
        inputs[row, : len(document) - 1] = document[:-1]
        targets[row, : len(document) - 1] = document[1:]
    return inputs, targets
