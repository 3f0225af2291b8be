"""Between an agent and its trainer: the agent calls, the trainer reports progress."""

from __future__ import annotations

from dataclasses import field

from model.line.checkpoint import CheckpointPaths
from model.line.continuation import Continuation
from model.line.declare import Call, Done, Event, line_message, line_value
from model.line.held_out import NO_EVALUATION, HeldOutRecord
from model.line.sentence import Sentence


@line_value
class Span:
    """This member's samples of one step: positions [start, stop) of the epoch's order."""

    epoch: int
    start: int
    stop: int


@line_message
class TrainerReady:
    """The trainer holds the state to start from, and can join a process group."""

    device_kind: str
    tuning: Sentence = Sentence("")  # how it computes, in one line for people
    state_hash: str = ""  # of the weights that it starts from


@line_message
class PrepareTrainer(Call[TrainerReady]):
    """Load configuration and data, measure, take the state to start from. Paths are of this device.

    `size` members are expected, `members_here` of them on this machine; this one is number `rank`, from 0. `mode` is a
    key of MODES (`model/rounds/modes.py`).
    """

    run: str
    rank: int
    size: int
    members_here: int
    total_steps: int
    config: str
    tokenizer: str
    manifest: str
    shards: tuple[str, ...]
    folder: str  # where metrics and checkpoints are written
    tuning: str  # the file in which this device remembers how it computes fastest
    mode: str = "ddp"
    resume_from: CheckpointPaths | None = None


@line_message
class JoinGroup(Call[Done]):
    """Leave the process group, if there is one, and join another with the state after `step` steps of the run.

    The `holders`, which are ranks, have it: it is their present state, or the one before the last round, which was not
    committed. They send it to the other ranks, each a part of it. The trainer answers this call again after a member
    was lost; it refuses it with `peer_lost` if a rank does not come in time.
    """

    rank: int
    size: int
    backend: str
    step: int
    holders: tuple[int, ...]  # never empty
    near: tuple[int, ...]  # ranks on the same loopback: no agent carries bytes to them
    rendezvous_seconds: float  # how long a rank waits for the others to come
    patience_seconds: float = 60.0  # and later in an exchange
    keeps_steps: bool = False  # in a local round: the steps taken since the last commit count, and nobody sends a state


@line_message
class GroupOver(Event):
    """From the agent: the process group is over. Whatever waits in it for another rank fails now."""


@line_message
class StepsTrained:
    """The state after a round; losses in nats a token."""

    state_hash: str
    tokens: int
    loss: float | None = None
    val_loss: float | None = None
    val_bits_per_byte: float | None = None
    average_val_loss: float | None = None  # of the averaged weights
    # After the last step of all, until they had the same weights. Two rounds with equal results may differ in it.
    exchange_seconds: float = field(default=0.0, compare=False)


@line_message
class TrainSteps(Call[StepsTrained]):
    """Take one step for each span together with all members, then make the weights equal."""

    first_step: int
    spans: tuple[Span, ...]
    evaluate: bool


@line_message
class StepsTaken:
    """So many of the steps were taken, the first ones, and their targets. `StopSteps` leaves at least one, if it is not
    `at_once`."""

    count: int
    tokens: int


@line_message
class TakeSteps(Call[StepsTaken]):
    """Take these steps of a local round without the other members: one for each span, from `first_step` on.

    `round_step` steps of the run were committed before the round. `AverageWeights` ends it.
    """

    round_step: int
    first_step: int
    spans: tuple[Span, ...]


@line_message
class StopSteps(Event):
    """From the agent: end the call that takes steps from `first_step` on, after the step that is under way; with
    `at_once` in the middle of it, and then that step is not taken."""

    first_step: int
    at_once: bool = False


@line_message
class AverageWeights(Call[StepsTrained]):
    """End a local round of `num_steps` steps, each of which a member of the group has taken: all take the mean of their
    changes. May be called again, in another group, if it was refused with `peer_lost`.
    """

    round_step: int
    num_steps: int
    evaluate: bool
    center: int | None = None  # the rank that averages for all; None: each averages a part


@line_message
class KeepBest(Call[Done]):
    """Keep a copy of the weights that were evaluated last: of the live or the averaged ones, which are better."""


@line_message
class CheckpointWritten:
    """Folders inside the run's folder of checkpoints: `name` has the whole checkpoint, `best` the best weights.

    `best` is None if they are the same as at the last checkpoint. Rank 0 also sends what the weights write: of the live
    and the averaged ones those that were better at the last evaluation, where their held-out loss was `served_loss`.
    """

    name: str
    state_hash: str
    best: str | None = None
    best_state_hash: str | None = None
    continuations: tuple[Continuation, ...] = ()
    served_loss: float | None = None


@line_message
class WriteCheckpoint(Call[CheckpointWritten]):
    step: int
    tokens: int
    val_loss: float | None = None
    held_out: HeldOutRecord = NO_EVALUATION


@line_message
class StepsProgressed(Event):
    """The last step's loss (nats a token), tokens of the whole run, and this member's own speed."""

    step: int
    loss: float
    tokens: int
    compute_tokens_per_second: float
    idle_fraction: float
