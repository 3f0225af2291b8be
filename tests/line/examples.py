"""One value of every type that the line can carry."""

from model.line.answering import GenerateText, LoadModel, TextGenerated, TextPiece
from model.line.checkpoint import CheckpointPaths
from model.line.codec import AnswerFrame, CallFrame, EventFrame, Frame, RefusalFrame, StopFrame
from model.line.continuation import Continuation
from model.line.declare import Call, Done, Event
from model.line.failure import Failure
from model.line.held_out import HeldOutRecord
from model.line.meeting import (
    ExposePort,
    ForwarderOpened,
    OpenForwarder,
    StoreAdd,
    StoreCheck,
    StoreCompareSet,
    StoreDelete,
    StoreGet,
    StoreNumber,
    StoreSet,
    StoreValue,
)
from model.line.pace import PaceChanged
from model.line.probing import MeasureSpeed, SpeedMeasured, TryGloo
from model.line.sampling import Sampling
from model.line.training import (
    AverageWeights,
    CheckpointWritten,
    GroupOver,
    JoinGroup,
    KeepBest,
    PrepareTrainer,
    Span,
    StepsProgressed,
    StepsTaken,
    StepsTrained,
    StopSteps,
    TakeSteps,
    TrainerReady,
    TrainSteps,
    WriteCheckpoint,
)

PATHS = CheckpointPaths(weights="/h/w.safetensors", state="/h/s.json", optimizer="/h/o.safetensors")

VALUES: list[object] = [
    Done(),
    PrepareTrainer(
        run="run-1", rank=1, size=3, members_here=2, total_steps=100, config="/h/c", tokenizer="/h/t",
        manifest="/h/m", shards=("/h/a", "/h/b"), folder="/h/runs/run-1", tuning="/h/tuning.json", resume_from=PATHS,
    ),
    JoinGroup(rank=1, size=3, backend="gloo", step=40, holders=(0, 2), near=(0,), rendezvous_seconds=60.0),
    TrainerReady(device_kind="cpu", tuning="bf16, 2 threads", state_hash="abab"),
    TrainSteps(first_step=4, spans=(Span(epoch=0, start=8, stop=12), Span(epoch=1, start=0, stop=3)), evaluate=True),
    StepsTrained(
        state_hash="ab" * 32, tokens=1234, loss=3.5, val_loss=3.25, val_bits_per_byte=1.5, average_val_loss=3.125
    ),
    TakeSteps(round_step=4, first_step=6, spans=(Span(epoch=0, start=8, stop=12),)),
    StepsTaken(count=1, tokens=480),
    AverageWeights(round_step=4, num_steps=20, evaluate=False, center=1),
    KeepBest(),
    WriteCheckpoint(
        step=12, tokens=1234, val_loss=3.25, held_out=HeldOutRecord(best_loss=3.0, best_step=9, num_worse=1)
    ),
    CheckpointWritten(
        name="step-000000012", state_hash="ab" * 32, best="best-000000009", best_state_hash="cd" * 32,
        continuations=(Continuation(prompt="오늘 점심은", text=" 뭐 먹지"),), served_loss=3.125,
    ),
    GroupOver(),
    StopSteps(first_step=6, at_once=True),
    StepsProgressed(step=5, loss=3.75, tokens=640, compute_tokens_per_second=1000.5, idle_fraction=0.25),
    PaceChanged(threads=1, rest_seconds=20.0, memory_bytes=2 << 30),
    LoadModel(checkpoint=CheckpointPaths(weights="/h/w", state="/h/s"), tokenizer="/h/t"),
    GenerateText(
        prompt="안녕", so_far="", max_tokens=20, sampling=Sampling(temperature=0.5, top_k=40, top_p=0.9, seed=7)
    ),
    TextGenerated(num_tokens=20, seconds=0.5, reason="length"),
    TextPiece(text="하세요\n", num_tokens=3),
    TryGloo(),
    MeasureSpeed(
        config="/a.json",
        vocab_size=4000,
        size=3,
        members_here=1,
        is_divided=True,
        tuning="/b.json",
        seconds=6,
        memory_bytes=2 << 30,
    ),
    SpeedMeasured(tokens_per_second=4541.0),
    StoreSet(key="k", data=b"\0\xff"),
    StoreGet(keys=("a", "b"), seconds=2.5),
    StoreValue(data=b"\0\xff"),
    StoreAdd(key="n", amount=2),
    StoreNumber(number=4),
    StoreCompareSet(key="c", expected=b"", desired=b"1"),
    StoreCheck(keys=("a",)),
    StoreDelete(key="a"),
    ExposePort(port=40000),
    OpenForwarder(rank=0, ports=(50000, 50001)),
    ForwarderOpened(port=50000),
]  # fmt: skip


def frame_of(value: object) -> Frame:
    """The frame that carries a value."""
    match value:
        case Call():
            return CallFrame(number=7, call=value)
        case Event():
            return EventFrame(event=value)
    return AnswerFrame(number=7, answer=value)


FRAMES: dict[str, Frame] = {
    **{type(value).__name__: frame_of(value) for value in VALUES},
    "(refusal)": RefusalFrame(number=7, failure=Failure(code="peer_lost", message="connection closed")),
    "(stop)": StopFrame(),
}
