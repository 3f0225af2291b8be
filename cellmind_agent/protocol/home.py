"""The files of a home, and the control file through which a user reaches the agent. Paths and values only; no I/O.

home/
  identity.json   secret keys (0600)          agent.json   how the running agent is reached (0600)
  keyring.json    members of the cell         lock         held by the running agent
  addresses.json  last addresses of peers     speed.json   measured training speed
  gloo.json       whether gloo works here     logs/        the agent's log
  blobs/ runs/ models/                        what the cell shares
  work/           the answering process       prepared/    what `cellmindctl` made of text
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlFile:
    """The contents of `agent.json`: address, and a key pair that is new at each start. Only the owner of the home can
    read the file, so the holder of the key is local."""

    address: str
    server_key: str
    client_public_key: str
    client_secret_key: str
    device: str
    name: str
    pid: int


def default_home(environ: Mapping[str, str], platform: str) -> Path:
    """`CELLMIND_HOME`, or the platform's folder for the data of programs."""
    if environ.get("CELLMIND_HOME"):
        return Path(environ["CELLMIND_HOME"])
    person = Path(environ.get("HOME") or environ.get("USERPROFILE") or ".")
    if platform == "darwin":
        return person / "Library" / "Application Support" / "cellmind"
    if platform == "win32":
        return Path(environ.get("LOCALAPPDATA") or person / "AppData" / "Local") / "cellmind"
    return Path(environ.get("XDG_DATA_HOME") or person / ".local" / "share") / "cellmind"


def control_path(home: Path) -> Path:
    """The control file of a home."""
    return home / "agent.json"


def log_path(home: Path) -> Path:
    """The log of the agent of a home."""
    return home / "logs" / "agent.log"
