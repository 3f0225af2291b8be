"""Who may ask what. Denied unless it stands here; a message type that is in no row reaches no handler."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import DeviceId

Standing = Literal["stranger", "member", "local"]

STRANGER: frozenset[type] = frozenset({m.BeginJoin, m.ProveJoin})
MEMBER: frozenset[type] = frozenset(
    {
        m.Hello, m.TellAddresses, m.Ping, m.Goodbye, m.Woke, m.GetKeyring, m.OfferKeyring, m.WatchVitals, m.ReadLog,
        m.FindBlobs, m.FindChunks, m.HashChunks, m.ReadBlob, m.WriteBlob,
        m.StartRun, m.StopRun, m.ListRuns, m.GetRun, m.WatchRun,
        m.PrepareMember, m.TrainRound, m.CommitRound, m.DismissMember,
        m.ProbeGloo, m.ProbeReach, m.OpenTunnel, m.DialTunnel,
        m.StoreSet, m.StoreGet, m.StoreAdd, m.StoreCompareSet, m.StoreCheck, m.StoreDelete,
        m.ListModels, m.KeepModel, m.RemoveModel, m.Answer,
        m.ListPeers, m.RunChecks, m.Ask,
    }
)  # fmt: skip
LOCAL: frozenset[type] = frozenset(
    {
        m.Relay, m.OpenInvitation, m.JoinCell, m.ForgetDevice, m.ConnectAddress,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who sent a message, as CURVE proved it. `device` is None for a stranger; `channel` is the connection it came by,
    whose nature only the network knows."""

    standing: Standing
    curve_key: bytes
    device: DeviceId | None
    host: str
    channel: object = None


def may_ask(caller: Caller, message_type: type) -> bool:
    """A device's own people may do all that a member may, and what is theirs alone."""
    if caller.standing == "stranger":
        return message_type in STRANGER
    if caller.standing == "local":
        return message_type in LOCAL or message_type in MEMBER
    return message_type in MEMBER
