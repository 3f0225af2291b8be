"""The runs and models that a home knows, in small JSON files; each is written whole.

runs/<run>/run.json            the spec, the state of the run, and its last committed round
runs/<run>/events.jsonl        the log of the run's events: on every member the committed rounds, and who came and went
runs/<run>/checkpoints.json    what the model wrote at its checkpoints: private text (only the leader's device has it)
runs/<run>/checkpoints/        written by the trainer (two kept)
models/<run>/<step>.json       a checkpoint that this device holds: names of blobs (two kept)
models/<run>/best.json         the run's best weights, without an optimiser's state (one kept)
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

from cellmind_agent.planning.lineage import Noted, StoryEvent, lineage
from cellmind_agent.planning.story import with_checkpoint
from cellmind_agent.protocol.errors import BadIdError, ProtocolError, UnknownNameError
from cellmind_agent.protocol.ids import BlobId, RunId, parse_run_id
from cellmind_agent.protocol.limits import CHECKPOINTS_KEPT
from cellmind_agent.protocol.messages import (
    CheckpointStory,
    LastCommit,
    LeaderChanged,
    MemberJoined,
    MemberLost,
    ModelView,
    RoundCommitted,
    RoundStarted,
    RunSpec,
    RunView,
)
from cellmind_agent.protocol.plain import from_plain, to_plain
from cellmind_agent.storage.files import private_folder, read_json, translated_disk_errors, write_json

_STORIES = "checkpoints.json"


class Journal:
    """The runs and models of one home."""

    def __init__(self, home: Path, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock  # seconds since 1970
        self._runs = private_folder(home / "runs")
        self._models = private_folder(home / "models")
        self.tuning_file = home / "tuning.json"  # written by the trainer

    def run_folder(self, run: RunId) -> Path:
        """The folder of a run, made if needed. Raises BadIdError."""
        return private_folder(self._runs / parse_run_id(run))

    def save_run(self, spec: RunSpec, view: RunView, last: LastCommit | None = None) -> None:
        """Write a run's spec, its state, and the last round that was committed. Raises StorageFullError."""
        plain = {"spec": to_plain(spec), "view": to_plain(view), "last": to_plain(last)}
        write_json(self.run_folder(spec.run) / "run.json", plain)

    def load_run(self, run: RunId) -> tuple[RunSpec, RunView]:
        """A run's spec and its last state. Raises UnknownNameError."""
        plain = read_json(self._runs / parse_run_id(run) / "run.json")
        try:
            return from_plain(RunSpec, plain["spec"]), from_plain(RunView, plain["view"])
        except (TypeError, KeyError, ProtocolError) as error:
            raise UnknownNameError("no run is called {run} here", "cellmindctl runs", run=f"{run!r}") from error

    def last_commit(self, run: RunId) -> LastCommit | None:
        """The last committed round of a run; None before it, and for a run that is not known."""
        plain = read_json(self._runs / parse_run_id(run) / "run.json")
        try:
            return from_plain(LastCommit, plain["last"])
        except (TypeError, KeyError, ProtocolError):
            return None

    def last_term(self, run: RunId) -> int:
        """The number of the last term of a run that this device has seen; 0 for a run that is not known."""
        try:
            return self.load_run(run)[1].term
        except UnknownNameError:
            return 0

    def runs(self) -> list[tuple[RunSpec, RunView]]:
        """Every run that this device knows, the oldest first."""
        found = []
        for path in self._runs.glob("*/run.json"):
            try:
                found.append(self.load_run(RunId(path.parent.name)))
            except (UnknownNameError, BadIdError):  # damaged, or a folder that is not ours
                continue
        return sorted(found, key=lambda run: run[1].created)

    def append_event(self, run: RunId, name: str, event: object) -> None:
        """Add one line to a run's log of events. A committed round, and all lines before it, are on the disk when this
        returns. Raises StorageFullError."""
        plain = {"event": name, "time": self._clock(), **to_plain(event)}
        line = json.dumps(plain, ensure_ascii=False).encode() + b"\n"
        with translated_disk_errors(), open(self.run_folder(run) / "events.jsonl", "a+b") as file:
            file.write(b"\n" + line if _is_torn(file) else line)
            if isinstance(event, RoundCommitted):
                file.flush()
                os.fsync(file.fileno())

    def story_events(self, run: RunId) -> Iterator[Noted]:
        """The rounds of a run, and who came, went and led, from its log; damaged lines are skipped."""
        try:
            with open(self._runs / parse_run_id(run) / "events.jsonl", "rb") as file:
                for line in file:
                    noted = _noted(line)
                    if noted:
                        yield noted
        except FileNotFoundError:
            return

    def committed_rounds(self, run: RunId) -> tuple[RoundCommitted, ...]:
        """The rounds that count, as far as this device knows them: it has none of the time when it was away."""
        return lineage(self._rounds(run))

    def has_state(self, run: RunId, state_hash: str) -> bool:
        """Whether a committed round of the run has led to the state with this hash."""
        last = self.last_commit(run)
        is_last = last is not None and last.state_hash == state_hash
        return is_last or any(committed.state_hash == state_hash for committed in self._rounds(run))

    def _rounds(self, run: RunId) -> Iterator[RoundCommitted]:
        return (noted.event for noted in self.story_events(run) if isinstance(noted.event, RoundCommitted))

    def save_checkpoint_story(self, run: RunId, story: CheckpointStory) -> None:
        """Remember what the model wrote at a checkpoint. Raises StorageFullError."""
        kept = with_checkpoint(self.checkpoint_stories(run), story)
        write_json(self.run_folder(run) / _STORIES, to_plain(kept))

    def checkpoint_stories(self, run: RunId) -> tuple[CheckpointStory, ...]:
        """What the model wrote at its checkpoints, the oldest first; nothing for a run of an older version."""
        plain = read_json(self._runs / parse_run_id(run) / _STORIES)
        try:
            return tuple(from_plain(CheckpointStory, story) for story in plain or ())
        except (ProtocolError, TypeError):
            return ()

    def save_model(self, model: ModelView) -> set[BlobId]:
        """Remember a checkpoint whose blobs are here, and forget all but CHECKPOINTS_KEPT of its run: this one, and
        those with the most steps.

        Returns the blobs that are no longer referenced for that reason.
        """
        folder = private_folder(self._models / parse_run_id(model.model))
        before = self.wanted_blobs()
        written = folder / ("best.json" if model.is_best else f"{model.step:09d}.json")
        write_json(written, to_plain(model))
        # A run that was resumed from an older checkpoint has fewer steps than those of the work that does not count.
        others = sorted(path for path in folder.glob("[0-9]*.json") if path != written)
        for old in others[: -(CHECKPOINTS_KEPT - (not model.is_best))]:
            old.unlink()
        return before - self.wanted_blobs()

    def models(self) -> list[ModelView]:
        """Every checkpoint that this device holds, the oldest first."""
        return sorted(self._all_models(), key=lambda model: (model.created, model.step))

    def remove_model(self, run: RunId) -> None:
        """Forget a model's checkpoints, and delete its trainer's files and what it wrote. Raises UnknownNameError."""
        folder = self._models / parse_run_id(run)
        (self._runs / run / _STORIES).unlink(missing_ok=True)  # also on a device that holds no checkpoint any more
        if not folder.exists():
            raise UnknownNameError("no model is called {run} here", "cellmindctl models", run=f"{run!r}")
        # The run's history stays; `runs` still shows it.
        shutil.rmtree(folder)
        shutil.rmtree(self._runs / parse_run_id(run) / "checkpoints", ignore_errors=True)

    def wanted_blobs(self) -> set[BlobId]:
        """Every blob that is referenced by a model, or by the bundle of a run that is active or has a model."""
        referenced: set[BlobId] = set()
        with_models = set()
        for model in self._all_models():
            with_models.add(model.model)
            referenced |= {model.tokenizer.id, *(ref.id for ref in model.files.values())}
        for spec, view in self.runs():
            if spec.run in with_models or view.state in ("preparing", "training"):
                referenced |= {ref.id for ref in (spec.config, spec.tokenizer, spec.manifest, *spec.shards)}
        return referenced

    def _all_models(self) -> Iterator[ModelView]:
        for path in self._models.glob("*/*.json"):
            plain = read_json(path)
            try:
                yield from_plain(ModelView, plain)
            except ProtocolError:
                continue


def _is_torn(file: BinaryIO) -> bool:
    """Whether the last line has no end: a power cut or a full disk came in the middle of a write."""
    if file.seek(0, os.SEEK_END) == 0:
        return False
    file.seek(-1, os.SEEK_END)
    return file.read(1) != b"\n"


_STORY_EVENTS: Mapping[str, type[StoryEvent]] = {
    kind.__name__: kind for kind in (RoundStarted, RoundCommitted, MemberJoined, MemberLost, LeaderChanged)
}


def _noted(line: bytes) -> Noted | None:
    """The event of a line of `events.jsonl`, if it belongs to the story."""
    if not any(name.encode() in line[:40] for name in _STORY_EVENTS):  # most bytes are of other events
        return None
    try:
        plain = json.loads(line)
        kind = _STORY_EVENTS.get(plain.get("event"))
        time = plain.get("time")
        return Noted(event=from_plain(kind, plain), time=time if isinstance(time, float) else None) if kind else None
    except (ValueError, AttributeError, TypeError, ProtocolError):
        return None
