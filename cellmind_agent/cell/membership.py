"""The parts that change who belongs to the cell, put together: introducing, inviting, joining, forgetting, syncing."""

from __future__ import annotations

from pathlib import Path

from cellmind_agent.cell.admission import Admission
from cellmind_agent.cell.forgetting import Forgetting
from cellmind_agent.cell.introduction import Introduction
from cellmind_agent.cell.inviting import Inviting
from cellmind_agent.cell.joining import Joining
from cellmind_agent.cell.keyring_keeper import KeyringKeeper
from cellmind_agent.cell.keyring_sync import KeyringSync
from cellmind_agent.cell.recovering import Recovering
from cellmind_agent.network.discovery import Discovery
from cellmind_agent.network.listener import Listener
from cellmind_agent.network.own_addresses import OwnAddresses
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler, Reception
from cellmind_agent.trust.identity import Identity


class Membership:
    """Builds the parts and collects their handlers; decides nothing."""

    def __init__(
        self,
        home: Path,
        identity: Identity,
        name: str,
        *,
        admission: Admission,
        reception: Reception,
        listener: Listener,
        own_addresses: OwnAddresses,
        peers: Peers,
        discovery: Discovery,
    ) -> None:
        """`name` is this device's."""
        self.introduction = Introduction(identity, name, admission, listener)
        keeper = KeyringKeeper(
            home, identity, name, admission, self.introduction, peers, reception, listener, discovery
        )
        self.sync = KeyringSync(identity, admission, keeper, peers)
        self._inviting = Inviting(identity, admission, keeper, self.sync, own_addresses.current)
        self._joining = Joining(identity, name, admission, keeper, peers, discovery)
        self._forgetting = Forgetting(identity, admission, keeper, self.sync, peers)
        self.recovering = Recovering(home, admission)

    def handlers(self) -> dict[type, Handler]:
        """All requests that concern who belongs to the cell."""
        return {
            **self.sync.handlers(),
            **self._inviting.handlers(),
            **self._joining.handlers(),
            **self._forgetting.handlers(),
            **self.recovering.handlers(),
        }
