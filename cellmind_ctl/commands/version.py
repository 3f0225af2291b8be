"""`cellmindctl version`: show what is installed here."""

from __future__ import annotations

import importlib.metadata
import platform

from cellmind_agent import __version__
from cellmind_agent.protocol.limits import PROTOCOL_VERSION
from cellmind_agent.words import t
from cellmind_ctl.figures import UNKNOWN
from cellmind_ctl.help import print_pairs
from cellmind_ctl.session import Session, command

_LIBRARIES = ("torch", "sentencepiece", "pyzmq", "zeroconf", "msgpack")


@command("version")
def command_(session: Session) -> None:
    """Show the versions of CellMind, its protocol, Python and the libraries it uses."""
    found: dict[str, str | int | None] = {
        "cellmind": __version__,
        "protocol": PROTOCOL_VERSION,
        "python": platform.python_version(),
    }
    for name in _LIBRARIES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    if session.is_json:
        session.emit("version", found)
        return
    print_pairs({t(name): str(version or UNKNOWN) for name, version in found.items()})
