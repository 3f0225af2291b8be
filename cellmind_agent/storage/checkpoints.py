"""A checkpoint that this device holds as blobs, as the paths that a child process reads."""

from __future__ import annotations

from cellmind_agent.protocol.errors import ProtocolError
from cellmind_agent.protocol.messages import ModelView
from cellmind_agent.storage.blobs import BlobStore
from model.line.checkpoint import CheckpointPaths, checkpoint_paths


def checkpoint_on_disk(store: BlobStore, model: ModelView) -> CheckpointPaths:
    """Raises ProtocolError (a checkpoint without weights or state), UnknownNameError (a blob is not here)."""
    path_by_name = {name: str(store.path(ref)) for name, ref in model.files.items()}
    try:
        return checkpoint_paths(path_by_name)
    except KeyError as error:
        raise ProtocolError("the checkpoint {model} has no file {file}", model=model.model, file=error) from error
