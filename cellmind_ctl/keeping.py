"""A checkpoint of the cell as files of a project: safetensors with its state beside it, whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef, chunks
from cellmind_agent.protocol.errors import UnknownNameError
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_ctl.session import Session
from cellmind_ctl.words import t


def keep_checkpoint(session: Session, run: RunId, holder: DeviceId, weights: Path, state: Path) -> None:
    """Fetch the newest checkpoint of `run` from `holder` into these two files."""
    models = session.client.request(m.ListModels(), m.ModelList, device=holder).models
    found = [model for model in models if model.model == run]
    if not found:
        raise UnknownNameError(f"{run} has no checkpoint", "cellmindctl models")
    weights.parent.mkdir(parents=True, exist_ok=True)
    files = found[-1].files
    _fetch(session, holder, files["model.safetensors"], weights)
    _fetch(session, holder, files["state.json"], state)
    session.tell(t("written: {path}", path=weights))


def _fetch(session: Session, holder: DeviceId, ref: BlobRef, path: Path) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(temporary, "wb") as file:
            for chunk in chunks(ref.size):
                ask = m.ReadBlob(ref=ref, offset=chunk.offset, length=chunk.length)
                file.write(session.client.request(ask, m.BlobData, device=holder).data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
