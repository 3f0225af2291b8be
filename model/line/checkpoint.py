"""The files of a checkpoint: their names on disk, which every device uses, and their paths on this one."""

from __future__ import annotations

from collections.abc import Mapping

from model.line.declare import line_value

WEIGHTS_FILE = "model.safetensors"
STATE_FILE = "state.json"
OPTIMIZER_FILE = "optimizer.safetensors"


@line_value
class CheckpointPaths:
    """Where a checkpoint's files are on this device. Without `optimizer`, training starts from the weights alone."""

    weights: str
    state: str
    optimizer: str | None = None


def checkpoint_paths(path_by_name: Mapping[str, str]) -> CheckpointPaths:
    """The paths of a checkpoint's files, from a mapping of file name to path. Raises KeyError: a file is missing."""
    return CheckpointPaths(
        weights=path_by_name[WEIGHTS_FILE],
        state=path_by_name[STATE_FILE],
        optimizer=path_by_name.get(OPTIMIZER_FILE),
    )
