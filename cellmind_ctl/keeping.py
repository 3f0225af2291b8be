"""Saves a checkpoint of the cell as two files of a project: weights (safetensors) and state (JSON)."""

from __future__ import annotations

import os
from pathlib import Path

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef, chunks
from cellmind_agent.protocol.errors import UnknownNameError
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.words import t
from cellmind_ctl.discover import held_models
from cellmind_ctl.session import Session
from model.line.checkpoint import STATE_FILE, WEIGHTS_FILE


def keep_checkpoint(session: Session, run: RunId, weights: Path, state: Path) -> None:
    """Fetch the best checkpoint of `run`, or else its newest, from a device that holds it into these two files.

    Raises UnknownNameError when no device that is online holds a checkpoint of the run.
    """
    found = [
        (model.is_best, model.created, model.step, peer.id, model.files)
        for peer, models in held_models(session.client)
        for model in models
        if model.model == run
    ]
    if not found:
        raise UnknownNameError("{run} has no checkpoint", "cellmindctl models", run=run)
    weights.parent.mkdir(parents=True, exist_ok=True)
    *_, holder, files = max(found, key=lambda held: held[:3])
    _fetch(session, holder, files[WEIGHTS_FILE], weights)
    _fetch(session, holder, files[STATE_FILE], state)
    session.notice(t("written: {path}", path=weights))


def _fetch(session: Session, holder: DeviceId, ref: BlobRef, path: Path) -> None:
    """Write under a temporary name and rename, so that `path` is never half a file."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            for chunk in chunks(ref.size):
                request = m.ReadBlob(ref=ref, offset=chunk.offset, length=chunk.length)
                file.write(session.client.request(request, device=holder).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
