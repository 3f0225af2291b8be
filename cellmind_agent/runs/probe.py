"""Does gloo work on this device? Tried once in a child process for each version of torch, and remembered."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.limits import PROBE_SECONDS
from cellmind_agent.runs.process import serve_nothing, start_child
from cellmind_agent.storage.files import read_json, write_json
from cellmind_agent.trust.permissions import Caller
from model.line.probing import TryGloo
from model.line.sentence import Sentence

_SWITCH = "CELLMIND_NO_GLOO"  # for people whose gloo passes the probe and fails later, and for tests


class GlooProbe:
    """`versions` are this device's: another torch is another try."""

    def __init__(self, home: Path, versions: m.Versions) -> None:
        self._home, self._versions = home, versions
        self._turn = asyncio.Lock()

    def handlers(self) -> dict[type, Handler]:
        return {m.ProbeGloo: self._probe}

    async def _probe(self, request: m.ProbeGloo, caller: Caller) -> m.GlooProbed:
        return m.GlooProbed(fault=await self.fault())

    async def fault(self) -> Sentence | None:
        """Why gloo does not work on this device; None if it works."""
        if os.environ.get(_SWITCH):
            return Sentence("switched off by {name}", name=_SWITCH)
        if self._versions.torch is None:
            return Sentence("torch is not installed")
        async with self._turn:
            known = read_json(self._path)
            if isinstance(known, dict) and known.get("torch") == self._versions.torch and "fault" in known:
                return Sentence(known["fault"]) if isinstance(known["fault"], str) else None
            fault = await self._try()
            with contextlib.suppress(CellmindError, OSError):  # forgotten on a full disk, it is tried again
                write_json(self._path, {"torch": self._versions.torch, "fault": fault})
            return fault

    async def _try(self) -> Sentence | None:
        try:
            child = await start_child("probe", self._home, serve_nothing, lambda event: None)
            try:
                await child.call(TryGloo(), PROBE_SECONDS)
            finally:
                await child.stop()
        except CellmindError as error:
            return error.message
        return None

    @property
    def _path(self) -> Path:
        return self._home / "gloo.json"
