"""Taking part in a run: fetch what is missing, start the trainer, do as the leader says, keep the checkpoints.

One run at a time. Only the leader that prepared this member may go on with it. When the leader is gone, the trainer is
stopped and the last checkpoint stays.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.network.transfer import Transfer
from cellmind_agent.network.tunnels import Tunnels
from cellmind_agent.network.wire import Channel
from cellmind_agent.planning.ledger import first_view, ledger_of
from cellmind_agent.planning.shares import shares, spans
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    BusyError,
    CellmindError,
    JobFailedError,
    LinkLostError,
    NotAllowedError,
    ProtocolError,
    UnknownNameError,
)
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.limits import PREPARE_SECONDS, RENDEZVOUS_SECONDS, ROUND_PATIENCE_SECONDS
from cellmind_agent.runs.process import ChildProcess, start_child
from cellmind_agent.runs.rendezvous import store_answer, store_request
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.journal import Journal
from cellmind_agent.trust.permissions import Caller

_log = logging.getLogger(__name__)


@dataclass(slots=True, kw_only=True)
class _Part:
    """The run that this device takes part in now."""

    spec: m.RunSpec
    view: m.RunView
    rank: int
    term: int
    leader: DeviceId
    child: ChildProcess | None = None
    sent_before: int = 0  # bytes out in tunnels before this run
    speed: float | None = None
    is_dismissed: bool = False
    heard: asyncio.Queue[m.MemberProgressed] = field(default_factory=asyncio.Queue)


class MemberDesk:
    """This device's part in runs."""

    def __init__(
        self,
        device: DeviceId,
        peers: Peers,
        transfer: Transfer,
        tunnels: Tunnels,
        store: BlobStore,
        journal: Journal,
        measured: Callable[[float], None],
    ) -> None:
        """`measured` is told this device's training speed, tokens a second, whenever it is known anew."""
        self._device, self._peers, self._transfer, self._tunnels = device, peers, transfer, tunnels
        self._store, self._journal, self._measured = store, journal, measured
        self._part: _Part | None = None
        self.local_store: Callable[[Any], Any] | None = None  # the conductor's answer to a StoreX, when we lead

    def handlers(self) -> dict[type, Handler]:
        return {
            m.PrepareMember: self.prepare,
            m.TrainRound: self.train_round,
            m.CommitRound: self.commit_round,
            m.DismissMember: self.dismiss,
        }

    @property
    def run(self) -> RunId | None:
        return self._part.spec.run if self._part else None

    # -- what the leader asks --------------------------------------------------------------------------------------

    async def prepare(self, request: m.PrepareMember, caller: Caller) -> AsyncIterator[Any]:
        """Lives as long as this device takes part."""
        if self._part is not None:
            raise BusyError(f"takes part in {self._part.spec.run} already")
        if caller.device is None or caller.device != request.spec.roster[0].device:
            raise NotAllowedError("only the first of a roster leads its run")
        part = self._part = _Part(
            spec=request.spec,
            view=first_view(request.spec),
            rank=request.rank,
            term=request.term,
            leader=caller.device,
            sent_before=self._tunnels.sent_bytes(),
        )
        problem: str | None = "the run was cut off"
        members = frozenset(member.device for member in part.spec.roster)
        self._tunnels.begin(part.spec.run, part.term, members)
        try:
            self._journal.save_run(part.spec, part.view)
            await self._transfer.fetch(_bundle(part.spec), preferred=part.leader)
            part.child = await start_child(
                "train",
                self._journal.run_folder(part.spec.run),
                serve=lambda method, params: self._serve_trainer(part, method, params),
                hear=lambda name, fields: self._hear_trainer(part, name, fields),
            )
            ready = await part.child.call("prepare", self._trainer_orders(part), PREPARE_SECONDS)
            self._update(part, state="training")
            yield m.MemberReady(device_kind=str(ready["device_kind"]))
            async for progress in self._follow(part, caller.channel):
                yield progress
            problem = None if part.is_dismissed else part.view.error
        except JobFailedError as error:
            lost_peer = _blames_peer(error.message)
            problem = "another member of the run went away" if lost_peer else error.message
            yield m.MemberFailed(why=error.message, lost_peer=lost_peer)
        except CellmindError as error:
            problem = error.message
            raise
        finally:
            try:
                if part.child:
                    await part.child.stop()
            finally:
                self._tunnels.end(part.spec.run, part.term)
                self._part = None
            if part.speed:
                self._measured(part.speed)
            if not part.is_dismissed:
                self._update(part, state="failed", error=problem or "the run was cut off")

    async def train_round(self, request: m.TrainRound, caller: Caller) -> m.RoundTrained:
        part = self._mine(request.run, caller)
        orders = {
            "first_step": request.first_step,
            "spans": _my_spans(part.spec, part.rank, request),
            "evaluate": request.evaluate,
        }
        assert part.child
        trained = await part.child.call("train_round", orders, ROUND_PATIENCE_SECONDS)
        return m.RoundTrained(
            state_hash=trained["state_hash"],
            tokens=trained["tokens"],
            loss=trained["loss"],
            val_loss=trained["val_loss"],
            val_bits_per_byte=trained["val_bits_per_byte"],
        )

    async def commit_round(self, request: m.CommitRound, caller: Caller) -> m.MemberCommitted:
        part = self._mine(request.run, caller)
        assert part.child
        self._update(part, step=request.step, tokens=request.tokens, val_loss=request.val_loss)
        if not request.checkpoint:
            return m.MemberCommitted()
        orders = {"step": request.step, "tokens": request.tokens, "val_loss": request.val_loss}
        saved = await part.child.call("save_checkpoint", orders, ROUND_PATIENCE_SECONDS)
        model = await asyncio.to_thread(self._keep, part, saved, request)
        return m.MemberCommitted(checkpoint=model)

    async def dismiss(self, request: m.DismissMember, caller: Caller) -> m.Done:
        part = self._mine(request.run, caller)
        part.is_dismissed = True
        self._update(part, state=request.state, error=request.error)
        if part.child:
            await part.child.stop()
        return m.Done()

    def _mine(self, run: RunId, caller: Caller) -> _Part:
        part = self._part
        if part is None or part.spec.run != run or part.child is None:
            raise UnknownNameError(f"this device takes no part in {run!r:.60}", "cellmindctl runs")
        if caller.device != part.leader:
            raise NotAllowedError("only the leader of a run may direct it")
        return part

    # -- the trainer -----------------------------------------------------------------------------------------------

    def _trainer_orders(self, part: _Part) -> dict[str, Any]:
        """Everything the trainer needs, as paths of this home: a peer never names a path."""
        spec = part.spec
        resume = (
            {name: str(self._store.path(ref)) for name, ref in spec.resume_from.files.items()}
            if spec.resume_from
            else None
        )
        here = spec.roster[part.rank].host
        return {
            "run": spec.run,
            "rank": part.rank,
            "size": len(spec.roster),
            "near": [rank for rank, member in enumerate(spec.roster) if rank != part.rank and member.host == here],
            "total_steps": part.view.total_steps,
            "backend": spec.backend,
            "config": str(self._store.path(spec.config)),
            "tokenizer": str(self._store.path(spec.tokenizer)),
            "manifest": str(self._store.path(spec.manifest)),
            "shards": [str(self._store.path(ref)) for ref in spec.shards],
            "folder": str(self._journal.run_folder(spec.run)),
            "resume": resume,
            "rendezvous_seconds": RENDEZVOUS_SECONDS,
        }

    async def _follow(self, part: _Part, channel: object) -> AsyncIterator[m.MemberProgressed]:
        """The trainer's progress until it ends. Raises JobFailedError (its end), LinkLostError (the leader's).

        `channel` is the connection that the leader asked on: once it is lost, the leader has given this member up, also
        when it is online again by another one (after a sleep that nobody here has noticed).
        """
        assert part.child
        ended = asyncio.create_task(part.child.ended())
        try:
            while not part.is_dismissed:
                heard = asyncio.create_task(part.heard.get())
                try:
                    await asyncio.wait({heard, ended}, timeout=1.0, return_when=asyncio.FIRST_COMPLETED)
                    if heard.done():
                        yield heard.result()
                finally:
                    heard.cancel()
                if ended.done() and not part.is_dismissed:
                    raise JobFailedError(ended.result())
                is_given_up = isinstance(channel, Channel) and channel.is_lost
                if is_given_up or (part.leader != self._device and self._peers.state(part.leader) != "online"):
                    raise LinkLostError(f"the leader, {self._peers.name(part.leader)}, went away")
        finally:
            ended.cancel()

    async def _serve_trainer(self, part: _Part, method: str, params: dict[str, Any]) -> Any:
        """A trainer asks for the store, which the leader's agent has, and for ways to the other trainers."""
        if method.startswith("tunnel."):
            return await self._serve_tunnel(part, method, params)
        request = store_request(part.spec.run, part.term, method, params)
        if part.leader == self._device:
            assert self.local_store
            return store_answer(await self.local_store(request))
        link = self._peers.link(part.leader)
        async for answer in link.stream(request):
            return store_answer(answer)
        return None  # Done

    async def _serve_tunnel(self, part: _Part, method: str, params: dict[str, Any]) -> int | None:
        run, term, roster = part.spec.run, part.term, part.spec.roster
        match method:
            case "tunnel.expose":
                self._tunnels.expose(run, term, int(params["port"]))
                return None
            case "tunnel.forward":
                before = params.get("before")
                limit = 1 << 16 if before is None else network_order(int(before))
                device = roster[int(params["rank"])].device
                return await self._tunnels.forward(run, term, device, lambda port: network_order(port) < limit)
        raise ProtocolError(f"a trainer asked for {method!r:.60}")

    def _hear_trainer(self, part: _Part, name: str, fields: dict[str, Any]) -> None:
        if name != "progress":
            _log.warning("the trainer of %s said %r", part.spec.run, name)
            return
        part.speed = fields["compute_tokens_per_second"]
        part.heard.put_nowait(
            m.MemberProgressed(
                step=fields["step"],
                loss=fields["loss"],
                tokens=fields["tokens"],
                compute_tokens_per_second=fields["compute_tokens_per_second"],
                idle_fraction=fields["idle_fraction"],
                wire_bytes=self._tunnels.sent_bytes() - part.sent_before,
            )
        )

    def _keep(self, part: _Part, saved: dict[str, Any], request: m.CommitRound) -> m.ModelView:
        """The trainer's checkpoint files become blobs, the same on every member."""
        folder = Path(self._journal.run_folder(part.spec.run)) / "checkpoints" / saved["name"]
        model = m.ModelView(
            model=part.spec.run,
            step=request.step,
            tokens=request.tokens,
            val_loss=request.val_loss,
            state_hash=saved["state_hash"],
            files={path.name: self._store.adopt(path) for path in sorted(folder.iterdir())},
            tokenizer=part.spec.tokenizer,
            created=request.time,
        )
        self._store.remove(self._journal.save_model(model))
        return model

    def _update(self, part: _Part, **changes: Any) -> None:
        part.view = replace(part.view, **changes)
        try:
            self._journal.save_run(part.spec, part.view)
        except CellmindError as error:
            _log.error("cannot write down how %s stands: %s", part.spec.run, error)


def _bundle(spec: m.RunSpec) -> list[Any]:
    resumed = list(spec.resume_from.files.values()) if spec.resume_from else []
    return [spec.config, spec.tokenizer, spec.manifest, *spec.shards, *resumed]


def _my_spans(spec: m.RunSpec, rank: int, request: m.TrainRound) -> list[tuple[int, int, int]]:
    """This member's samples of each step of a round: (epoch, start, stop) in the epoch's order."""
    ledger = ledger_of(spec)
    found = []
    for step in range(request.first_step, request.first_step + request.num_steps):
        epoch, start, stop = ledger.batch(step)
        amounts = request.shares if stop - start == sum(request.shares) else shares(request.shares, stop - start)
        found.append((epoch, *spans(start, amounts)[rank]))
    return found


def network_order(port: int) -> int:
    """What comes out when a port is read as it lies in a socket address on this machine: gloo compares those."""
    return int.from_bytes(port.to_bytes(2, "big"), sys.byteorder)


def _blames_peer(words: str) -> bool:
    """Does the trainer's complaint point at another member? gloo's and NCCL's words for a cut connection."""
    lowered = words.lower()
    return any(
        sign in lowered for sign in ("connection closed", "connection reset", "broken pipe", "remote peer", "timed out")
    )
