"""What a home knows of its runs: their state, their history, and what a power cut leaves of both."""

import hashlib
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from cellmind_agent.planning.lineage import Noted
from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.errors import UnknownNameError
from cellmind_agent.protocol.ids import BlobId, RunId
from cellmind_agent.storage import journal as journal_module
from cellmind_agent.storage.journal import Journal
from tests.protocol.examples import COMMITTED, EXAMPLES, LAST, MODEL, SPEC, STORY, VIEW


def ref_of(data: bytes) -> BlobRef:
    return BlobRef(id=BlobId(hashlib.sha256(data).hexdigest()), size=len(data))


def test_the_journal_remembers_runs_and_two_checkpoints(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.save_run(SPEC, VIEW)
    assert journal.load_run(SPEC.run) == (SPEC, VIEW)
    with pytest.raises(UnknownNameError):
        journal.load_run(RunId("run-none"))
    refs = [ref_of(bytes([i])) for i in range(3)]
    dropped = [journal.save_model(replace(MODEL, step=i, files={"model.safetensors": refs[i]})) for i in range(3)]
    assert dropped == [set(), set(), {refs[0].id}]
    assert [model.step for model in journal.models()] == [1, 2]
    assert {refs[1].id, refs[2].id, SPEC.config.id} <= journal.wanted_blobs()
    journal.remove_model(SPEC.run)
    assert journal.models() == []
    assert journal.wanted_blobs() == set()


def test_a_checkpoint_of_a_run_that_went_back_is_kept_beside_the_one_with_the_most_steps(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for step in (8, 9, 3, 4):
        journal.save_model(replace(MODEL, step=step))
    assert sorted(model.step for model in journal.models()) == [4, 9]


def test_what_the_model_wrote_is_private_and_goes_with_the_model(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.save_run(SPEC, VIEW)
    assert journal.checkpoint_stories(SPEC.run) == ()
    for step in (2, 40):
        journal.save_checkpoint_story(SPEC.run, replace(STORY, step=step))
    assert [story.step for story in journal.checkpoint_stories(SPEC.run)] == [2, 40]
    path = tmp_path / "runs" / SPEC.run / "checkpoints.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    with pytest.raises(UnknownNameError):  # this device led the run, and holds no checkpoint of it any more
        journal.remove_model(SPEC.run)
    assert not path.exists()
    journal.save_checkpoint_story(SPEC.run, STORY)
    journal.save_model(MODEL)
    journal.remove_model(SPEC.run)
    assert not path.exists()
    assert journal.load_run(SPEC.run) == (SPEC, VIEW)


def test_the_last_commit_is_kept_beside_the_state(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert (journal.last_commit(SPEC.run), journal.last_term(SPEC.run)) == (None, 0)
    journal.save_run(SPEC, VIEW)
    assert (journal.last_commit(SPEC.run), journal.last_term(SPEC.run)) == (None, VIEW.term)
    journal.save_run(SPEC, VIEW, LAST)
    assert Journal(tmp_path).last_commit(SPEC.run) == LAST
    assert journal.has_state(SPEC.run, LAST.state_hash)


def test_a_run_of_an_older_version_is_still_known(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.save_run(SPEC, VIEW)
    path = journal.run_folder(SPEC.run) / "run.json"
    plain = json.loads(path.read_text())
    del plain["last"], plain["view"]["term"], plain["spec"]["devices"], plain["spec"]["round_seconds"]
    plain["spec"] |= {"roster": [{"device": "a", "name": "b"}], "backend_reason": "no GPU", "resume_from": None}
    path.write_text(json.dumps(plain))
    spec, view = journal.load_run(SPEC.run)
    assert (spec.num_samples, spec.devices, view.step) == (SPEC.num_samples, (), VIEW.step)
    assert (journal.last_commit(SPEC.run), journal.last_term(SPEC.run)) == (None, 0)


def test_the_history_is_read_from_the_log_of_events(tmp_path: Path) -> None:
    journal = Journal(tmp_path, clock=lambda: 12.5)
    assert list(journal.story_events(SPEC.run)) == []
    names = ("MemberJoined", "RoundStarted", "RoundCommitted", "MemberLost", "LeaderChanged", "CheckpointSaved")
    events = [EXAMPLES[name] for name in names]
    for event in events:
        journal.append_event(SPEC.run, type(event).__name__, event)
    with open(tmp_path / "runs" / SPEC.run / "events.jsonl", "a") as file:
        file.write('{"event": "RoundCommitted", "run": 3}\n[]\n{"event": "RoundSta')
    assert list(journal.story_events(SPEC.run)) == [Noted(event=event, time=12.5) for event in events[:5]]


def test_the_committed_rounds_are_those_that_count(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    steps = [(0, 0), (0, 2), (2, 5), (2, 4), (4, 6)]
    rounds = [
        replace(COMMITTED, round=number, first_step=first, step=last, state_hash=f"state {number}", term=number)
        for number, (first, last) in enumerate(steps)
    ]
    for event in rounds:
        journal.append_event(SPEC.run, "RoundCommitted", event)
    assert journal.committed_rounds(SPEC.run) == (rounds[0], rounds[1], rounds[3], rounds[4])
    assert all(journal.has_state(SPEC.run, one.state_hash) for one in rounds)
    assert not journal.has_state(SPEC.run, "state 9")
    assert not journal.has_state(RunId("run-none"), "state 1")
    assert journal.committed_rounds(RunId("run-none")) == ()


@pytest.mark.parametrize("torn", [b'{"event": "RoundCom', b"\x00\x00\x00", '{"event": "가'.encode()[:-1]])
def test_after_a_power_cut_in_a_write_the_next_event_has_a_line_of_its_own(tmp_path: Path, torn: bytes) -> None:
    journal = Journal(tmp_path)
    path = journal.run_folder(SPEC.run) / "events.jsonl"
    journal.append_event(SPEC.run, "RoundCommitted", COMMITTED)
    path.write_bytes(path.read_bytes() + torn)
    later = replace(COMMITTED, first_step=COMMITTED.step, step=COMMITTED.step + 2)
    journal.append_event(SPEC.run, "RoundCommitted", later)
    assert journal.committed_rounds(SPEC.run) == (COMMITTED, later)
    assert path.read_bytes().count(b"\n") == 3


def test_a_committed_round_is_on_the_disk_with_all_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal, synced = Journal(tmp_path), []
    monkeypatch.setattr(journal_module.os, "fsync", lambda handle: synced.append(os.fstat(handle).st_size))
    journal.append_event(SPEC.run, "MemberLost", EXAMPLES["MemberLost"])
    assert synced == []
    journal.append_event(SPEC.run, "RoundCommitted", COMMITTED)
    assert synced == [(tmp_path / "runs" / SPEC.run / "events.jsonl").stat().st_size]


def test_damaged_texts_of_checkpoints_are_no_texts(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for damaged in ("{", "7", '[{"step": "two"}]', '{"step": 1}'):
        (journal.run_folder(SPEC.run) / "checkpoints.json").write_text(damaged)
        assert journal.checkpoint_stories(SPEC.run) == ()


def test_a_torn_journal_file_is_skipped(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.save_run(SPEC, VIEW)
    (tmp_path / "runs" / SPEC.run / "run.json").write_text('{"spec": {')
    journal.save_model(MODEL)
    (tmp_path / "models" / MODEL.model / "000000121.json").write_text("")
    assert journal.runs() == []
    assert journal.models() == [MODEL]
