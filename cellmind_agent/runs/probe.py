"""What is tried in a child process before a run: does gloo work on this device, and how fast does it train? Both are
remembered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

from cellmind_agent.config import Politeness
from cellmind_agent.device.speed import MeasuredSpeeds
from cellmind_agent.network.reception import Handler
from cellmind_agent.planning.forecast import name_of_work
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import BusyError, CellmindError
from cellmind_agent.protocol.limits import MAX_SPEED_PROBE_SECONDS, PROBE_SECONDS
from cellmind_agent.runs.environment import trainer_environment
from cellmind_agent.runs.process import serve_nothing, start_child
from cellmind_agent.storage.files import read_json, write_file, write_json
from cellmind_agent.trust.permissions import Caller
from model.line.probing import MeasureSpeed, TryGloo
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


class SpeedProbe:
    """How fast this device trains a network, within what its person allows. `tuning_file` is the trainer's memory of
    how it computes fastest; `why_not` says why this device cannot train at the moment."""

    def __init__(
        self,
        home: Path,
        tuning_file: Path,
        speeds: MeasuredSpeeds,
        settings: Politeness,
        why_not: Callable[[], Sentence | None],
    ) -> None:
        self._home, self._tuning_file, self._speeds = home, tuning_file, speeds
        self._settings, self._why_not = settings, why_not
        self._turn = asyncio.Lock()

    def handlers(self) -> dict[type, Handler]:
        return {m.ProbeSpeed: self._probe}

    async def _probe(self, request: m.ProbeSpeed, caller: Caller) -> m.SpeedProbed:
        """Raises BusyError, StorageFullError, CellmindError (the child process failed)."""
        work = name_of_work(request.config, request.vocab_size)
        known = self._speeds.of(work)
        if known is not None or not request.seconds > 0:
            return m.SpeedProbed(tokens_per_second=known)
        why_not = self._why_not()
        if why_not or self._turn.locked():
            raise BusyError("no speed is measured now: {why}", why=why_not or Sentence("it is being measured already"))
        async with self._turn:
            speed = await self._measure(request)
        self._speeds.record(work, speed)
        return m.SpeedProbed(tokens_per_second=speed, is_measured=True)

    async def _measure(self, request: m.ProbeSpeed) -> float:
        config = self._home / "speed-probe.json"
        write_file(config, request.config)
        call = MeasureSpeed(
            config=str(config),
            vocab_size=request.vocab_size,
            size=request.size,
            members_here=request.members_here,
            is_divided=request.is_divided,
            tuning=str(self._tuning_file),
            seconds=min(MAX_SPEED_PROBE_SECONDS, request.seconds),
            memory_bytes=self._settings.max_memory_bytes,
        )
        child = await start_child(
            "probe", self._home, serve_nothing, lambda event: None, self._environment(), self._settings.nice
        )
        try:
            return (await child.call(call, PROBE_SECONDS)).tokens_per_second
        finally:
            await child.stop()

    def _environment(self) -> dict[str, str]:
        """As a trainer's, with no more threads than a trainer may have."""
        environment = trainer_environment(os.environ, sys.platform)
        most, present = self._settings.max_threads, os.environ.get("OMP_NUM_THREADS", "")
        if most is not None and not (present.isdigit() and 0 < int(present) <= most):
            environment["OMP_NUM_THREADS"] = str(most)
        return environment
