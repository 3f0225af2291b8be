"""`cellmindctl paths`: show where CellMind keeps its files on this device."""

from __future__ import annotations

from cellmind_agent.protocol.home import control_path, log_path
from cellmind_agent.words import t
from cellmind_ctl.help import print_pairs
from cellmind_ctl.session import Session, command


@command("paths")
def command_(session: Session) -> None:
    """Show where CellMind keeps its files on this device."""
    home = session.home.absolute()
    paths = {
        "home": home,
        "keyring": home / "keyring.json",
        "control": control_path(home),
        "blobs": home / "blobs",
        "models": home / "models",
        "runs": home / "runs",
        "prepared": home / "prepared",
        "log": log_path(home),
    }
    if session.is_json:
        session.emit("paths", {name: str(path) for name, path in paths.items()})
        return
    print_pairs({t(name): str(path) for name, path in paths.items()})
