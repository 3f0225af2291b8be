"""Dials other agents with this device's keys."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from cellmind_agent.network.connection import Connection
from cellmind_agent.network.curve import new_context
from cellmind_agent.network.link import Link
from cellmind_agent.network.reception import Reception
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.limits import DIAL_SECONDS, LINGER_SECONDS
from cellmind_agent.protocol.messages import Outcome
from cellmind_agent.trust.identity import CurveKeys


class Dialler:
    """Makes connections; requests that arrive over them are handed to `reception`."""

    def __init__(self, keys: CurveKeys, reception: Reception) -> None:
        self._keys, self._reception = keys, reception
        self._context = new_context()

    async def dial(self, address: Address, server_key: bytes, seconds: float = DIAL_SECONDS) -> Link:
        """A link to the agent with this key at this address. Raises UnreachableError, NotPairedError."""
        connection = Connection(self._context, self._keys, address, server_key, self._reception.hear)
        try:
            await connection.open(seconds)
        except BaseException:
            connection.cut()
            raise
        return Link(connection)

    async def dial_first(self, addresses: Sequence[Address], server_key: bytes) -> Link | None:
        """Dial all addresses at once; the first link to the agent with this key, or None if no address leads to it."""
        dialling = {asyncio.create_task(self.dial(address, server_key)) for address in addresses}
        first: Link | None = None
        try:
            while dialling and first is None:
                done, dialling = await asyncio.wait(dialling, return_when=asyncio.FIRST_COMPLETED)
                for link in (task.result() for task in done if task.exception() is None):
                    if first is None:
                        first = link
                    else:
                        link.channel.close()
        except asyncio.CancelledError:
            if first:
                first.channel.close()
            raise
        finally:
            for task in dialling:
                task.cancel()
            # A cancelled task may have got its link already.
            for result in await asyncio.gather(*dialling, return_exceptions=True):
                if isinstance(result, Link):
                    result.channel.close()
        return first

    async def try_dial(self, address: Address, server_key: bytes) -> Outcome:
        """How dialling ends, tried on a connection that is closed afterwards."""
        connection = Connection(self._context, self._keys, address, server_key, self._reception.hear)
        try:
            await connection.open(DIAL_SECONDS)
        except CellmindError:
            pass  # `outcome` says how it ended
        finally:
            connection.cut()
        return connection.outcome

    def close(self) -> None:
        """End every connection that was dialled."""
        self._context.destroy(linger=int(LINGER_SECONDS * 1000))
