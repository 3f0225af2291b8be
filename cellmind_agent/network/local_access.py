"""How this device's user reaches the agent: a key pair made at each start, in a file that only that user can read."""

from __future__ import annotations

import os
from pathlib import Path

from cellmind_agent.network.curve import key_to_text
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.home import ControlFile, control_path
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.plain import to_plain
from cellmind_agent.storage.files import write_json
from cellmind_agent.trust.identity import new_curve_keys


class LocalAccess:
    """The control file `agent.json`, and the key in it."""

    def __init__(self, home: Path, device: DeviceId, name: str, server_key: bytes) -> None:
        self._home, self._device, self._name, self._server_key = home, device, name, server_key
        self._keys = new_curve_keys()

    @property
    def key(self) -> bytes:
        """The public key by which the agent knows this device's user."""
        return self._keys.public

    def publish(self, address: Address) -> None:
        """Write the control file. Raises CellmindError, OSError."""
        control = ControlFile(
            address=str(address),
            server_key=key_to_text(self._server_key),
            client_public_key=key_to_text(self._keys.public),
            client_secret_key=key_to_text(self._keys.secret),
            device=self._device,
            name=self._name,
            pid=os.getpid(),
        )
        write_json(control_path(self._home), to_plain(control))

    def withdraw(self) -> None:
        """Remove the control file: nobody can reach the agent any more."""
        control_path(self._home).unlink(missing_ok=True)
