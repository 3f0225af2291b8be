"""How this device introduces itself: to members by Hello, to the network by mDNS."""

from __future__ import annotations

from cellmind_agent.cell.admission import Admission
from cellmind_agent.device.vitals import local_versions
from cellmind_agent.network.curve import key_to_text
from cellmind_agent.network.listener import Listener
from cellmind_agent.protocol.announce import Announcement, cell_tag
from cellmind_agent.protocol.messages import Hello
from cellmind_agent.trust.identity import Identity


class Introduction:
    """Makes each greeting and announcement from the present keyring, invitation and port."""

    def __init__(self, identity: Identity, name: str, admission: Admission, listener: Listener) -> None:
        self._identity, self._name, self._admission, self._listener = identity, name, admission, listener

    def hello(self, of_left: bool = False) -> Hello:
        """What members learn first. `of_left`: members of the cell that has removed this device."""
        left = self._admission.left if of_left else None
        keyring = left.keyring if left else self._admission.keyring
        return Hello(
            device=self._identity.device,
            name=self._name,
            port=self._listener.port,
            keyring_length=len(keyring.entries),
            keyring_head=keyring.head,
            versions=local_versions(),
        )

    def announcement(self) -> Announcement:
        """What anybody on the network may read."""
        return Announcement(
            device=self._identity.device,
            curve_key=key_to_text(self._identity.curve.public),
            cell_tag=cell_tag(self._admission.keyring.cell),
            nameplate=self._admission.open_nameplate(),
        )
