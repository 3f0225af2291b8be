"""What the benchmarks of training train on: a network's shape, random rows written as real shards, and batches of rows.

It imports no torch, because the process that measures others stays small: on Linux a child's peak memory begins with
that of its parent.
"""

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from tokenizer.sharding.manifest import FORMAT, MANIFEST, Manifest, ShardFile, ShardSet, read_manifest, to_json

IGNORED = -100  # a target that adds nothing to the loss
_BLOCK_BYTES = 64 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """A network and its batch: one step trains `batch_size` rows of `seq_len` tokens. The default is the reference."""

    d_model: int = 512
    nhead: int = 8
    num_layers: int = 6
    vocab_size: int = 8000
    seq_len: int = 256
    batch_size: int = 32

    @property
    def head_width(self) -> int:
        return self.d_model // self.nhead

    @property
    def feed_forward_width(self) -> int:
        return -(-8 * self.d_model // 3 // 32) * 32

    @property
    def tokens_per_step(self) -> int:
        return self.batch_size * self.seq_len

    @property
    def matrix_weights(self) -> int:
        """The weights that multiply activations: each layer's, and once the table that is embedding and head."""
        layer = 4 * self.d_model**2 + 3 * self.d_model * self.feed_forward_width
        return self.num_layers * layer + self.vocab_size * self.d_model

    @property
    def flop_per_token(self) -> float:
        """6 for each weight of a matrix (2 forward, 4 backward), and attention: 12 * layers * seq_len * d_model, halved
        because a causal mask leaves half of the products."""
        return 6 * self.matrix_weights + 6 * self.num_layers * self.seq_len * self.d_model

    def matrix_shapes(self) -> dict[str, tuple[int, int, int]]:
        """(rows, inputs, outputs) of the matrix products of a forward pass, by name."""
        rows, width, inner = self.tokens_per_step, self.d_model, self.feed_forward_width
        return {
            "attention's projections": (rows, width, width),
            "feed-forward, up": (rows, width, inner),
            "feed-forward, down": (rows, inner, width),
            "head": (rows, width, self.vocab_size),
        }

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What a trainer needs, in one folder: configuration, tokenizer, manifest and shards."""

    folder: Path
    config: Path
    tokenizer: Path
    manifest: Path
    shards: tuple[Path, ...]


def write_random_project(folder: Path, shape: Shape, num_rows: int, epochs: int = 1, **training: object) -> Project:
    """A project of random tokens. The loss cannot fall, but every step costs what a step on text costs."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [_random_file(folder, "train-0-0-0000", shape, num_rows)]
    held_out = [_random_file(folder, "held-out-0-0-0000", shape, shape.batch_size)]
    manifest = Manifest(
        format=FORMAT,
        dtype="<u2",
        seq_len=shape.seq_len,
        vocab_size=shape.vocab_size,
        start_id=1,
        end_id=2,
        pad_id=0,
        tokenizer=hashlib.sha256(b"").hexdigest(),
        train=ShardSet(tuple(files)),
        held_out=ShardSet(tuple(held_out)),
    )
    (folder / MANIFEST).write_bytes(to_json(manifest))
    (folder / "tokenizer.model").write_bytes(b"")
    return write_config(folder, shape, epochs=epochs, **training)


def write_config(folder: Path, shape: Shape, **training: object) -> Project:
    """The project of the shards in `folder`, with a configuration for this shape."""
    config = {
        "model": {"d_model": shape.d_model, "nhead": shape.nhead, "num_layers": shape.num_layers},
        "training": {"batch_size": shape.batch_size, **training, "dataset": {"seq_len": shape.seq_len}},
    }
    (folder / "cellmind.json").write_text(json.dumps(config))
    return read_project(folder)


def read_project(folder: Path) -> Project:
    """The project in `folder`, in which the files have their usual names."""
    manifest = read_manifest(folder / MANIFEST)
    return Project(
        folder=folder,
        config=folder / "cellmind.json",
        tokenizer=folder / "tokenizer.model",
        manifest=folder / MANIFEST,
        shards=tuple(folder / file.name for file in (*manifest.train.files, *manifest.held_out.files)),
    )


def read_rows(manifest_path: Path, *, held_out: bool = False) -> npt.NDArray[np.uint16]:
    """All rows (rows, seq_len + 1) to train on, or those held out."""
    manifest = read_manifest(manifest_path)
    files = (manifest.held_out if held_out else manifest.train).files
    rows = [np.fromfile(manifest_path.parent / file.name, dtype=manifest.dtype) for file in files]
    return np.concatenate(rows).reshape(-1, manifest.seq_len + 1)


def with_targets(manifest: Manifest, rows: npt.NDArray[np.uint16]) -> tuple[npt.NDArray[np.int64], ...]:
    """Inputs and targets (B, seq_len). Padding and the start of the next document are no targets."""
    ids = rows.astype(np.int64)
    targets = ids[:, 1:].copy()
    targets[(targets == manifest.pad_id) | (targets == manifest.start_id)] = IGNORED
    return ids[:, :-1], targets


def epochs_of(num_rows: int, batch_size: int, epochs: int, seed: int) -> Iterator[npt.NDArray[np.int64]]:
    """The numbers of the rows of each step: every epoch in another order."""
    generator = np.random.default_rng(seed)
    for _ in range(epochs):
        order = generator.permutation(num_rows)
        for start in range(0, num_rows, batch_size):
            yield order[start : start + batch_size]


def _random_file(folder: Path, name: str, shape: Shape, num_rows: int) -> ShardFile:
    """A shard of random tokens. More than a block repeats the block, so that gigabytes take seconds."""
    width = shape.seq_len + 1
    block_rows = min(num_rows, _BLOCK_BYTES // (2 * width))
    generator = np.random.default_rng(len(name))
    block = generator.integers(3, shape.vocab_size, size=(block_rows, width), dtype=np.uint16).tobytes()
    path, left = folder / f"{name}.bin", 2 * width * num_rows
    with open(path, "wb") as file:
        while left > 0:
            left -= file.write(block[:left])
    return ShardFile(
        name=path.name,
        sha256="",  # the agent checks it when it fetches a blob; here nobody fetches
        size=path.stat().st_size,
        rows=num_rows,
        documents=num_rows,
        tokens=num_rows * shape.seq_len,
        utf8_bytes=num_rows * shape.seq_len * 4,
        padding=0,
        padding_if_padded=0,
    )
