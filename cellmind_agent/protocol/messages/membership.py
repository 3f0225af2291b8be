"""Who belongs to the cell: comparing keyrings, joining by a code, forgetting a device."""

from __future__ import annotations

from typing import Literal

from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages.declarations import Request, StreamRequest, message, request
from cellmind_agent.protocol.messages.endings import Done

Role = Literal["owner", "member"]


# -- keyring -----------------------------------------------------------------------------------------------------------


@message
class Keyring:
    entries: tuple[bytes, ...]


@request(asked_by="member", size="small")
class GetKeyring(Request[Keyring]):
    """Send the entries of your keyring."""


@request(asked_by="member", size="large")
class OfferKeyring(Request[Done]):
    """Merge these entries of my keyring into yours."""

    entries: tuple[bytes, ...]


# -- joining: `trust/invitation` explains the fields -------------------------------------------------------------------


@message
class JoinBegun:
    session: bytes
    pake: bytes


@request(asked_by="stranger", size="small")
class BeginJoin(Request[JoinBegun]):
    """Begin a try with a join code."""

    nonce: bytes
    pake: bytes


@message
class JoinAccepted:
    mac: bytes
    box: bytes


@request(asked_by="stranger", size="small")
class ProveJoin(Request[JoinAccepted]):
    """Prove that this device knows the code, and ask for the keyring with this device in it."""

    session: bytes
    mac: bytes
    box: bytes


# -- what users ask their own agent ------------------------------------------------------------------------------------


@message
class InvitationOpened:
    """A code, and how long it is valid."""

    code: str
    seconds: float
    addresses: tuple[str, ...]  # each with this agent's key: enough for `join --at` where mDNS does not reach


@message
class DeviceJoined:
    device: DeviceId
    name: str
    role: Role


@request(asked_by="local", size="small")
class OpenInvitation(StreamRequest[InvitationOpened | DeviceJoined]):
    """Make a join code that is valid for `seconds`; the stream ends when a device has joined."""

    role: Role
    seconds: float


@message
class CellJoined:
    inviter: str
    members: tuple[str, ...]


@request(asked_by="local", size="small")
class JoinCell(Request[CellJoined]):
    """Join the cell of the device that made this code, at the address `at` or where mDNS finds it."""

    code: str
    at: str | None = None


@message
class DeviceForgotten:
    """A device is no longer in the keyring. `told` are the names of the devices that know it already."""

    device: DeviceId
    name: str
    told: tuple[str, ...]


@request(asked_by="local", size="small")
class ForgetDevice(Request[DeviceForgotten]):
    """Remove a device from the keyring and close its connections, with the recovery code if it is given."""

    device: DeviceId
    recovery: str = ""


@message
class RecoveryShown:
    code: str


@request(asked_by="local", size="small")
class ShowRecovery(Request[RecoveryShown]):
    """Show the recovery code of your cell, if it is still on this device."""


@request(asked_by="local", size="small")
class EraseRecovery(Request[Done]):
    """Erase the recovery code: somebody has written it down."""
