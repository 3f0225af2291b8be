"""`cellmindctl connect`: remember an address where multicast does not reach."""

from __future__ import annotations

import click

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.address import parse_address
from cellmind_agent.words import t
from cellmind_ctl.session import Session, command


@command("connect")
@click.argument("address", metavar="HOST:PORT")
def command_(session: Session, address: str) -> None:
    """Remember the address of a member of the cell. The member must answer there and prove who it is."""
    parsed = parse_address(address)
    connected = session.client.request(m.ConnectAddress(address=str(parsed)))
    if session.is_json:
        session.emit("connect", {"id": connected.device, "name": connected.name, "address": str(parsed)})
    else:
        print(t("{name} answers at {address}; the address is remembered", name=connected.name, address=parsed))
