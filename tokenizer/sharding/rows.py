"""The rows of token shards, memory-mapped, so that many GiB of data need no RAM."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tokenizer.errors import TextError


class Rows:
    """The rows of several shard files, in order: `rows[i]` has shape (width,), where `width` is seq_len + 1 ids."""

    def __init__(self, paths: Iterable[Path], dtype: str, width: int) -> None:
        """`dtype` is the manifest's. Raises TextError if the size of a file is no whole number of rows."""
        self._maps: list[npt.NDArray[Any]] = []
        for path in paths:
            flat = np.memmap(path, dtype=np.dtype(dtype), mode="r")
            if flat.size % width:
                raise TextError("{path} is cut short", "fetch the data again", path=path)
            self._maps.append(flat.reshape(-1, width))
        self._ends = np.cumsum([len(rows) for rows in self._maps])

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __getitem__(self, index: int) -> npt.NDArray[np.int64]:
        shard = int(np.searchsorted(self._ends, index, side="right"))
        start = int(self._ends[shard - 1]) if shard else 0
        row: npt.NDArray[np.int64] = self._maps[shard][index - start].astype(np.int64)
        return row
