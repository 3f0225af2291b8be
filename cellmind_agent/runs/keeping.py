"""The files that a trainer has written become blobs and models of this device, the same on every member."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.limits import MAX_CONTINUATION_CHARACTERS
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.journal import Journal
from model.line.continuation import NUM_PROMPTS, Continuation
from model.line.training import CheckpointWritten


def keep_checkpoint(
    store: BlobStore, journal: Journal, spec: m.RunSpec, written: CheckpointWritten, request: m.CommitRound
) -> m.MemberCommitted:
    """Keep the checkpoint, the best weights if they are new, and what the model wrote. Raises StorageFullError."""
    folder, last = journal.run_folder(spec.run) / "checkpoints", request.last
    files = _adopt(store, folder / written.name)
    checkpoint = _view(spec.run, spec, last, written.state_hash, files, request.time)
    best = None
    if written.best and written.best_state_hash:
        best = replace(
            checkpoint,
            step=last.held_out.best_step,
            val_loss=last.held_out.best_loss,
            state_hash=written.best_state_hash,
            files=_adopt(store, folder / written.best),
            is_best=True,
        )
    for model in (checkpoint, best):
        if model:
            store.remove(journal.save_model(model))
    if written.continuations:  # by rank 0's trainer alone
        with contextlib.suppress(CellmindError, OSError):  # a full disk must not end a run that can go on
            journal.save_checkpoint_story(spec.run, _story(written, request))
    return m.MemberCommitted(checkpoint=checkpoint, best=best)


def keep_aside(
    store: BlobStore, journal: Journal, spec: m.RunSpec, written: CheckpointWritten, last: m.LastCommit, name: RunId
) -> None:
    """Keep a checkpoint whose steps do not count for its run, as a model of its own. Raises StorageFullError."""
    files = _adopt(store, journal.run_folder(spec.run) / "checkpoints" / written.name)
    store.remove(journal.save_model(_view(name, spec, last, written.state_hash, files, time.time())))


def _view(
    name: RunId, spec: m.RunSpec, last: m.LastCommit, state_hash: str, files: dict[str, BlobRef], created: float
) -> m.ModelView:
    return m.ModelView(
        model=name,
        step=last.step,
        tokens=last.tokens,
        val_loss=last.val_loss,
        state_hash=state_hash,
        files=files,
        tokenizer=spec.tokenizer,
        created=created,
        held_out=last.held_out,
    )


def _story(written: CheckpointWritten, request: m.CommitRound) -> m.CheckpointStory:
    found = [
        Continuation(prompt=one.prompt[:MAX_CONTINUATION_CHARACTERS], text=one.text[:MAX_CONTINUATION_CHARACTERS])
        for one in written.continuations[:NUM_PROMPTS]
    ]
    return m.CheckpointStory(
        step=request.last.step, time=request.time, val_loss=written.served_loss, continuations=tuple(found)
    )


def _adopt(store: BlobStore, folder: Path) -> dict[str, BlobRef]:
    return {path.name: store.adopt(path) for path in sorted(folder.iterdir())}
