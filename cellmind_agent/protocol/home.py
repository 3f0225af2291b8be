"""Where things lie in a home, and the file by which an agent lets its own people in. Pure: paths and values only.

home/
  identity.json   secret keys (0600)          agent.json   how the running agent is reached (0600)
  keyring.json    who belongs to the cell     lock         held by the running agent
  addresses.json  where peers were            speed.json   measured training speed
  blobs/ runs/ models/ logs/ work/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlFile:
    """What `agent.json` holds: a key pair made anew at each start, known to nobody but this home's owner."""

    address: str
    server_key: str
    client_public_key: str
    client_secret_key: str
    device: str
    name: str
    pid: int


def default_home(environ: Mapping[str, str], platform: str) -> Path:
    """`CELLMIND_HOME`, or the platform's folder for a program's data."""
    if environ.get("CELLMIND_HOME"):
        return Path(environ["CELLMIND_HOME"])
    person = Path(environ.get("HOME") or environ.get("USERPROFILE") or ".")
    if platform == "darwin":
        return person / "Library" / "Application Support" / "cellmind"
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or person / "AppData" / "Local") / "cellmind"
    return Path(environ.get("XDG_DATA_HOME") or person / ".local" / "share") / "cellmind"


def control_path(home: Path) -> Path:
    return home / "agent.json"


def log_path(home: Path) -> Path:
    return home / "logs" / "agent.log"
