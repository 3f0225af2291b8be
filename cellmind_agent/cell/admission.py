"""Who is let in, and as whom: members of the present keyring, this device's user, invited strangers, and members of a
cell that has removed this device, who may only compare keyrings.

Holds the present keyring and the open invitation; changes neither by itself.
"""

from __future__ import annotations

import time
from dataclasses import replace

from cellmind_agent.network.channel import Channel
from cellmind_agent.trust.entries import Member
from cellmind_agent.trust.identity import Identity
from cellmind_agent.trust.invitation import Invitation, nameplate
from cellmind_agent.trust.keyring import Keyring
from cellmind_agent.trust.permissions import Caller
from cellmind_agent.trust.ringfile import Left


class Admission:
    """`keyring` and `left` are replaced by the keyring keeper alone, `invitation` by the inviting side alone."""

    def __init__(self, identity: Identity, keyring: Keyring, left: Left | None, local_key: bytes) -> None:
        """`left` is the cell that has removed this device; `local_key` the public key of this device's user."""
        self._identity, self._local_key = identity, local_key
        self.keyring, self.left = keyring, left
        self.invitation: Invitation | None = None

    @property
    def me(self) -> Member:
        """This device's own entry in the keyring."""
        return self.keyring.members[self._identity.device]

    def others(self) -> list[Member]:
        """All other members of the cell."""
        return [member for device, member in self.keyring.members.items() if device != self._identity.device]

    def admits(self, key: bytes) -> bool:
        """True when this CURVE key may open a connection at all."""
        is_known = key == self._local_key or self.keyring.by_curve_key(key) is not None
        return is_known or self._is_former(key) or self.admits_strangers()

    def admits_strangers(self) -> bool:
        """True while an invitation is open: only then may an unknown key connect, and only to join."""
        return self.invitation is not None and self.invitation.is_open(time.monotonic())

    def open_nameplate(self) -> str | None:
        """The public number of the open invitation's code, if there is one."""
        return nameplate(self.invitation.code) if self.invitation and self.admits_strangers() else None

    def recognise(self, channel: Channel) -> Caller:
        """Who sends on this channel. Called for every message: a device removed a moment ago is a stranger (I5)."""
        stranger = Caller(kind="stranger", curve_key=channel.curve_key, device=None, host=channel.host, channel=channel)
        if channel.curve_key == self._local_key:
            return replace(stranger, kind="local", device=self._identity.device)
        member = self.keyring.by_curve_key(channel.curve_key)
        # This device's own key comes from a copy of this home, which is a stranger.
        if member is not None and member.device != self._identity.device:
            return replace(stranger, kind="member", device=member.device)
        return replace(stranger, kind="former") if self._is_former(channel.curve_key) else stranger

    def _is_former(self, key: bytes) -> bool:
        return self.left is not None and self.left.keyring.by_curve_key(key) is not None
