"""How a run went: what each device knows of it, so that all together know the whole."""

from __future__ import annotations

from typing import Literal

from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.messages.declarations import Request, message, request, value
from model.line.continuation import Continuation
from model.line.sentence import Sentence


@value
class Contribution:
    """What a member did for a run: the tokens that it trained on, in rounds that counted."""

    name: str
    tokens: int


@value
class Departure:
    """A member was lost, and why."""

    name: str
    why: Sentence


@value
class Period:
    """Committed rounds in a row, of one term and so of one roster, and what happened before the first of them.

    `members` are in the order of the roster, so the first one led. Without rounds nobody is in it: those in `left` were
    lost after the last round that was committed.
    """

    term: int
    first_step: int
    step: int
    members: tuple[Contribution, ...]
    seconds: float
    left: tuple[Departure, ...] = ()
    redone_tokens: int = 0  # of rounds that were trained and do not count; those that broke are estimated
    redone_seconds: float = 0.0


@value
class RosterChange:
    """A member came or went after `step` steps of a run, or led from then on."""

    kind: Literal["joined", "left", "returned", "led"]
    name: str
    step: int
    why: Sentence | None = None  # it left


@value
class SamplesAudit:
    """How often the rounds that are known have used each of the run's samples.

    Each was counted once in every epoch before `epoch`, and `num_counted` of them in that one, none twice, unless some
    are `num_missing` or there are `faults`.
    """

    num_samples: int
    batch_samples: int
    num_epochs: int  # that the run should have
    epoch: int
    num_counted: int
    num_missing: int = 0  # before the last step, in no round that is known
    faults: tuple[Sentence, ...] = ()


@value
class CheckpointStory:
    """What the weights of a checkpoint wrote after the run's prompts, and their held-out loss (nats a token)."""

    step: int
    time: float  # seconds since 1970
    val_loss: float | None
    continuations: tuple[Continuation, ...]


@value
class SpeedComparison:
    """Tokens a second as forecast before the run, and as measured in its rounds. `name` is a member's, or empty for all
    together."""

    name: str
    forecast: float
    measured: float


@message
class RunStory:
    """How a run went, as far as one device knows it: it has none of the rounds of the time when it was away.

    `periods` are what the stories of several devices are merged by; all else but the texts follows from them.
    """

    run: RunId
    seconds: float  # of training, with the work that was done again
    contributions: tuple[Contribution, ...]
    checkpoints: tuple[CheckpointStory, ...]
    redone_tokens: int = 0
    redone_seconds: float = 0.0
    best_step: int | None = None
    best_val_loss: float | None = None
    changes: tuple[RosterChange, ...] = ()
    periods: tuple[Period, ...] = ()
    audit: SamplesAudit | None = None
    speeds: tuple[SpeedComparison, ...] = ()


@request(asked_by="member", size="small")
class GetRunStory(Request[RunStory]):
    """Send how a run went, as far as you know it: who took part when, and what the model wrote at its checkpoints."""

    run: RunId
