"""Who may ask what. A message that is not declared as a request reaches no handler."""

from __future__ import annotations

from dataclasses import dataclass

from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import REQUESTS, CallerKind, GetKeyring, Hello, OfferKeyring

# What members of a cell that has removed this device may ask: enough for it to learn that the removal does not count.
ASKED_BY_FORMER = frozenset({Hello, GetKeyring, OfferKeyring})


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a message, as CURVE proved it. `device` is None for a stranger. `channel` is the connection that the
    message came by; only `network` knows its type."""

    kind: CallerKind
    curve_key: bytes
    device: DeviceId | None
    host: str
    channel: object = None


def may_ask(caller: Caller, message_type: type) -> bool:
    """Whether the declaration of the request allows it. A local caller may also ask everything that members may."""
    declared = REQUESTS.get(message_type)
    if declared is None:
        return False
    if caller.kind == "former":
        return message_type in ASKED_BY_FORMER
    return declared.asked_by == caller.kind or (declared.asked_by == "member" and caller.kind == "local")
