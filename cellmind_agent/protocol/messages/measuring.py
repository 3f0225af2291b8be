"""Before a run: how fast devices compute and send, and whether gloo works on them."""

from __future__ import annotations

from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages.declarations import Request, message, request, value
from cellmind_agent.protocol.messages.endings import Done
from model.line.sentence import Sentence


@message
class SpeedProbed:
    """Tokens a second that the device trains on; None: it is not known. `is_measured`: now, and not remembered."""

    tokens_per_second: float | None = None
    is_measured: bool = False


@request(asked_by="member", size="small")
class ProbeSpeed(Request[SpeedProbed]):
    """Say how fast you train a network: as remembered from the last day, or else measured now, for about `seconds`;
    with 0 nothing is measured. `config` describes the network and its steps; of `size` members `members_here` are on
    your machine, and with `is_divided` they divide each step. Refused with `busy` during a run.
    """

    config: bytes
    vocab_size: int
    size: int
    members_here: int
    is_divided: bool
    seconds: float


@message
class RateProbed:
    bytes_per_second: float


@request(asked_by="member", size="small")
class ProbeRate(Request[RateProbed]):
    """Send to this device for so many seconds, 2 at most, as fast as it takes the bytes."""

    device: DeviceId
    seconds: float = 1.0


@request(asked_by="member", size="large")
class TakeBytes(Request[Done]):
    """Take these bytes, and keep none: the asker measures how fast they get here."""

    data: bytes


@message
class GlooProbed:
    """Why gloo does not work on the device; None if it works."""

    fault: Sentence | None = None


@request(asked_by="member", size="small")
class ProbeGloo(Request[GlooProbed]):
    """Try gloo in a process of its own, once for each version of torch."""


@value
class MemberForecast:
    """What a device was expected to train alone, in tokens a second."""

    device: DeviceId
    name: str
    tokens_per_second: float


@value
class RunForecast:
    """What was expected of a run before it began: all its members together, in tokens a second."""

    tokens_per_second: float
    members: tuple[MemberForecast, ...]
