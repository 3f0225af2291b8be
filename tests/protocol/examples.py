"""One example of every message. The golden file holds their bytes: a released message is never edited."""

from dataclasses import replace
from typing import Any

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.ids import BackendName, BlobId, DeviceId, RunId
from model.line.continuation import Continuation
from model.line.held_out import HeldOutRecord
from model.line.sampling import Sampling
from model.line.sentence import Sentence

DEVICE = DeviceId("a" * 32)
RUN = RunId("run-0102-abcdef")
REF = BlobRef(id=BlobId("ab" * 32), size=1234)
VERSIONS = m.Versions(cellmind="0.1.0", python="3.11.7", torch="2.13.0")
FIGURE = m.Figure(value=12.5, source="psutil")
VITALS = m.Vitals(
    name="노트북",
    host="0123456789abcdef",
    os="linux",
    arch="x86_64",
    versions=VERSIONS,
    cpu_count=2,
    cpu_percent=FIGURE,
    ram_total_bytes=m.Figure(value=8e9, source="psutil"),
    accelerator=m.Accelerator(kind="cuda", name="H100", uuid="GPU-1", memory_bytes=1 << 36),
    battery=m.Battery(percent=80.0, plugged=False, source="psutil"),
    run=RUN,
    training_limit=m.TrainingLimit(why="at most 1 of 2 threads: --train-threads"),
)
PEER = m.PeerView(
    id=DEVICE, name="노트북", role="owner", paired=True, state="online", is_self=False,
    addresses=("10.0.0.1:7420",), seen_seconds=1.5, how="mdns", vitals=VITALS,
)  # fmt: skip
MODEL = m.ModelView(
    model=RUN, step=120, tokens=5000, state_hash="cd" * 32, files={"model.safetensors": REF}, tokenizer=REF,
    created=1767312000.0, val_loss=3.25, held_out=HeldOutRecord(best_loss=3.125, best_step=90, num_worse=1),
)  # fmt: skip
BEST = replace(MODEL, step=90, val_loss=3.125, is_best=True)
ROSTER = (m.RosterMember(device=DEVICE, name="노트북", host="0123", tokens_per_second=100.0),)
TERM = m.Term(number=3, leader=DEVICE)
LAST = m.LastCommit(
    term=TERM, round=9, step=10, tokens=999, state_hash="cd" * 32, roster=ROSTER,
    held_out=HeldOutRecord(best_loss=5.5, best_step=7, num_worse=1), val_loss=5.75,
)  # fmt: skip
SPEC = m.RunSpec(
    run=RUN, config=REF, tokenizer=REF, manifest=REF, shards=(REF, REF), num_samples=100, batch_samples=16, epochs=3,
    max_steps=20, evaluate_every=7, patience=2, created=1767312000.0, devices=(DEVICE,), backend="gloo",
    round_seconds=5.0, mode="local", work="cd" * 32, center=DEVICE,
    left_out=(DEVICE,),
    forecast=m.RunForecast(
        tokens_per_second=12.5, members=(m.MemberForecast(device=DEVICE, name="노트북", tokens_per_second=7.5),)
    ),
)  # fmt: skip
VIEW = m.RunView(
    run=RUN, state="failed", roster=("노트북",), leader=DEVICE, step=10, total_steps=20, tokens=999,
    created=1767312000.0, loss=4.5, val_loss=5.75, error=Sentence("it left"), term=3,
)  # fmt: skip
STORY = m.CheckpointStory(
    step=2, time=1767312000.0, val_loss=5.25, continuations=(Continuation(prompt="오늘 점심은", text=" 뭐 먹지"),)
)
MEMBERS = (
    m.MemberProgress(
        name="노트북", tokens=10, tokens_per_second=5.0, idle_fraction=0.25, share=4, steps=((0, 3), (7, 8))
    ),
)
COMMITTED = m.RoundCommitted(
    run=RUN, round=1, first_step=0, step=2, total_steps=21, tokens=20, loss=5.25, tokens_per_second=20.0,
    members=MEMBERS, wire_bytes=100, state_hash="cd" * 32, val_loss=5.5, val_bits_per_byte=2.5,
    average_val_loss=5.25, term=3,
)  # fmt: skip
JOINED = m.MemberJoined(run=RUN, name="노트북", device_kind="cpu", tuning=Sentence("bf16, 2 threads"))
LOST = m.MemberLost(run=RUN, name="노트북", why=Sentence("it left"))
HELLO: dict[str, Any] = {
    "device": DEVICE, "name": "노트북", "port": 7420, "keyring_length": 3, "keyring_head": bytes(32),
    "versions": VERSIONS,
}  # fmt: skip

_ALL = [
    m.Done(),
    m.Refused(
        code="not_paired",
        message=Sentence("{name} is not paired", name="노트북"),
        hint=Sentence("{what}, then try again", what=Sentence("join")),
    ),
    m.Cancel(),
    m.Hello(**HELLO),
    m.Welcome(**HELLO, addresses={DEVICE: "10.0.0.1:7420"}),
    m.TellAddresses(addresses={DEVICE: "10.0.0.1:7420"}),
    m.Ping(),
    m.Goodbye(why="stopping"),
    m.Woke(seconds=312.0),
    m.GetKeyring(),
    m.Keyring(entries=(b"{}", b"[]")),
    m.OfferKeyring(entries=(b"{}",)),
    m.WatchVitals(),
    m.VitalsChanged(vitals=VITALS),
    m.BeginJoin(nonce=bytes(16), pake=bytes(33)),
    m.JoinBegun(session=bytes(16), pake=bytes(33)),
    m.ProveJoin(session=bytes(16), mac=bytes(32), box=b"box"),
    m.JoinAccepted(mac=bytes(32), box=b"box"),
    m.Relay(device=DEVICE, body=b"body"),
    m.ListPeers(),
    m.PeerList(peers=(PEER,), alarms=(Sentence("{name} has changed the keyring", name="폰"),)),
    m.OpenInvitation(role="member", seconds=600.0),
    m.InvitationOpened(code="41-amber-falcon-river", seconds=600.0, addresses=("10.0.0.1:7420/key",)),
    m.DeviceJoined(device=DEVICE, name="노트북", role="member"),
    m.JoinCell(code="41-amber-falcon-river", at="10.0.0.1"),
    m.CellJoined(inviter="데스크톱", members=("데스크톱",)),
    m.ForgetDevice(device=DEVICE, recovery="acorn album alder"),
    m.ShowRecovery(),
    m.RecoveryShown(code="acorn album alder"),
    m.EraseRecovery(),
    m.DeviceForgotten(device=DEVICE, name="노트북", told=("폰",)),
    m.ConnectAddress(address="10.0.0.1:7420"),
    m.AddressConnected(device=DEVICE, name="노트북"),
    m.RunChecks(),
    m.ChecksRun(checks=(m.Check(id="disk", verdict="warning", detail="1 MB free", fix="free some"),)),
    m.ReadLog(tail=10, since_seconds=60.0, follow=True),
    m.LogLines(lines=("한 줄",)),
    m.FindBlobs(refs=(REF,)),
    m.BlobsFound(present=(1234,)),
    m.FindChunks(ref=REF),
    m.ChunksFound(chunks=b"\x07"),
    m.HashChunks(ref=REF),
    m.ChunkHashes(hashes=bytes(32)),
    m.ReadBlob(ref=REF, offset=0, length=1234),
    m.BlobData(data=b"data"),
    m.WriteBlob(ref=REF, offset=0, data=b"data"),
    m.StartRun(spec=SPEC, roster=ROSTER, backend=BackendName("gloo"), start=MODEL, newest_term=3),
    m.StopRun(run=RUN),
    m.ListRuns(),
    m.RunList(runs=(VIEW,)),
    m.GetRun(run=RUN),
    m.RunFound(spec=SPEC, view=VIEW),
    m.GetRunStory(run=RUN),
    m.RunStory(
        run=RUN, seconds=12.5, contributions=(m.Contribution(name="노트북", tokens=999),), checkpoints=(STORY,),
        redone_tokens=20, redone_seconds=0.5, best_step=14, best_val_loss=3.25,
        changes=(m.RosterChange(kind="left", name="휴대폰", step=7, why=Sentence("it left")),),
        periods=(
            m.Period(
                term=3, first_step=7, step=14, members=(m.Contribution(name="노트북", tokens=999),), seconds=12.0,
                left=(m.Departure(name="휴대폰", why=Sentence("it left")),), redone_tokens=20, redone_seconds=0.5,
            ),
        ),
        audit=m.SamplesAudit(
            num_samples=100, batch_samples=16, num_epochs=3, epoch=2, num_counted=0, num_missing=100,
            faults=(Sentence("epoch {epoch} used {count} samples twice", epoch=2, count=5),),
        ),
        speeds=(m.SpeedComparison(name="노트북", forecast=7.5, measured=7.25),),
    ),
    m.WatchRun(run=RUN),
    m.RoundStarted(run=RUN, round=1, step=0, num_steps=2, total_steps=21),
    m.Progressed(
        run=RUN, round=1, step=1, total_steps=21, tokens=10, loss=5.5, tokens_per_second=20.0, members=MEMBERS,
        wire_bytes=100, eta_seconds=9.5,
    ),
    COMMITTED,
    JOINED,
    m.CheckpointSaved(run=RUN, step=2, state_hash="cd" * 32, members=("노트북",)),
    LOST,
    m.LeaderChanged(
        run=RUN, name="노트북", leader=DEVICE, term=3,
        why=Sentence("the leader, {name}, went away", name="휴대폰"),
    ),
    m.RunFinished(
        run=RUN, step=21, tokens=999, seconds=12.5, stopped=False, val_loss=3.5, early=True, best_step=14,
        best_val_loss=3.25,
    ),
    m.RunFailed(run=RUN, why="it left", hint="resume"),
    m.PrepareMember(spec=SPEC, term=TERM, roster=ROSTER, start=MODEL, last=LAST),
    m.FormGroup(
        run=RUN, term=3, roster=ROSTER, backend=BackendName("gloo"), step=10, state_hash="cd" * 32, holders=(0,),
        last=LAST,
    ),
    m.QuestionMember(run=RUN, term=3),
    m.ReplaceLeader(run=RUN, why=Sentence("it left"), leader=DEVICE),
    m.MemberReady(device_kind="cpu", tuning="bf16, 2 threads", held_states=("cd" * 32,), last=LAST, term=3),
    m.MemberProgressed(
        step=1, loss=5.5, tokens=10, compute_tokens_per_second=20.0, idle_fraction=0.5, wire_bytes=100
    ),
    m.MemberFailed(why="it fell"),
    m.TrainRound(run=RUN, term=2, round=1, first_step=0, num_steps=2, shares=(8, 8), evaluate=True),
    m.DealSteps(run=RUN, term=2, round=3, round_step=8, num_steps=20, first_step=12, stop=15),
    m.StepsDone(count=2, tokens=960),
    m.CallBackSteps(run=RUN, term=2, first_step=12, at_once=True),
    m.AverageRound(run=RUN, term=2, round=3, round_step=8, num_steps=20, evaluate=True),
    m.RoundTrained(state_hash="cd" * 32, tokens=20, loss=5.25, val_loss=None, average_val_loss=5.5),
    m.CommitRound(
        run=RUN, last=LAST, event=COMMITTED, joined=(JOINED,), lost=(LOST,), checkpoint=True, time=1767312000.0,
        is_best=True,
    ),
    m.MemberCommitted(checkpoint=MODEL, best=BEST),
    m.DismissMember(run=RUN, state="failed", error="it left"),
    m.CompareRun(run=RUN, term=TERM, last=LAST),
    m.RunCompared(leads_on=True),
    m.HasState(run=RUN, state_hash="cd" * 32),
    m.StateKnown(is_known=True),
    m.ProbeGloo(),
    m.ProbeSpeed(config=b"{}", vocab_size=4000, size=3, members_here=1, is_divided=True, seconds=6.0),
    m.SpeedProbed(tokens_per_second=4541.0, is_measured=True),
    m.GlooProbed(fault="it crashed"),
    m.ProbeReach(device=DEVICE),
    m.ProbeRate(device=DEVICE),
    m.RateProbed(bytes_per_second=4375000.0),
    m.TakeBytes(data=b"bytes"),
    m.ReachProbed(outcome="silent", address="10.0.0.1:7420", seconds=2.5, time=1767312000.0),
    m.OpenTunnel(run=RUN, term=1, number=5),
    m.DialTunnel(run=RUN, term=1, number=5),
    m.StoreSet(run=RUN, term=1, key="0//cpu//0/1", data=b"address"),
    m.StoreGet(run=RUN, term=1, keys=("0//cpu//0/1",), seconds=30.0),
    m.StoreAdd(run=RUN, term=1, key="count", amount=1),
    m.StoreCompareSet(run=RUN, term=1, key="count", expected=b"", desired=b"1"),
    m.StoreCheck(run=RUN, term=1, keys=("count",)),
    m.StoreDelete(run=RUN, term=1, key="count"),
    m.StoreValue(data=b"1"),
    m.StoreNumber(number=1),
    m.ListModels(),
    m.ModelList(models=(MODEL,)),
    m.KeepModel(model=MODEL),
    m.RemoveModel(model=RUN),
    m.Ask(prompt="안녕", model=RUN, sampling=Sampling(seed=1)),
    m.Answer(
        model=MODEL, prompt="안녕", so_far="하", max_tokens=10,
        sampling=Sampling(temperature=0.5, top_k=5, top_p=0.5, seed=1),
    ),
    m.AnswerStarted(device=DEVICE, name="노트북", model=RUN, step=120),
    m.AnswerPiece(text="하세요", num_tokens=3),
    m.AnswerEnded(num_tokens=3, seconds=0.5, reason="end"),
]  # fmt: skip

EXAMPLES: dict[str, Any] = {type(example).__name__: example for example in _ALL}
