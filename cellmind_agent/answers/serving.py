"""This device's own answers: one warm process holds one model, and ends when nobody has asked for a while."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator

from cellmind_agent.network.reception import Handler
from cellmind_agent.network.transfer import Transfer
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, ProtocolError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import MAX_PROMPT_CHARACTERS, PREPARE_SECONDS, SERVE_IDLE_SECONDS
from cellmind_agent.runs.process import ChildProcess, serve_nothing, start_child
from cellmind_agent.storage.blobs import BlobStore
from cellmind_agent.storage.checkpoints import checkpoint_on_disk
from cellmind_agent.storage.files import private_folder
from cellmind_agent.storage.journal import Journal
from cellmind_agent.trust.permissions import Caller
from model.line.answering import GenerateText, LoadModel, TextGenerated, TextPiece
from model.line.declare import Event

_log = logging.getLogger(__name__)


class Serving:
    """Answers with the models that this device holds, one prompt after the other."""

    def __init__(self, device: DeviceId, name: str, store: BlobStore, journal: Journal, transfer: Transfer) -> None:
        self._device, self._name = device, name
        self._store, self._journal, self._transfer = store, journal, transfer
        self._child: ChildProcess | None = None
        self._loaded: str | None = None
        self._pieces: asyncio.Queue[TextPiece] = asyncio.Queue()
        self._turn = asyncio.Lock()
        self._used_at = time.monotonic()

    def handlers(self) -> dict[type, Handler]:
        return {
            m.Answer: self.answer,
            m.ListModels: self._list,
            m.KeepModel: self._keep,
            m.RemoveModel: self._remove,
        }

    async def close(self) -> None:
        if self._child:
            await self._child.stop()
            self._child = self._loaded = None

    async def release_when_idle(self) -> None:
        """End a process that nobody has asked for SERVE_IDLE_SECONDS; runs until cancelled."""
        while True:
            idle_seconds = time.monotonic() - self._used_at
            if idle_seconds >= SERVE_IDLE_SECONDS and not self._turn.locked():
                async with self._turn:
                    await self.close()
                idle_seconds = 0.0
            await asyncio.sleep(max(1.0, SERVE_IDLE_SECONDS - idle_seconds))

    async def answer(self, request: m.Answer, caller: Caller) -> AsyncIterator[m.AnswerEvent]:
        """Answer with the model that the request names, after any answer that is under way."""
        if len(request.prompt) + len(request.so_far) > MAX_PROMPT_CHARACTERS:
            raise ProtocolError(
                "the prompt has more than {most} characters",
                "shorten the prompt",
                most=MAX_PROMPT_CHARACTERS,
            )
        async with self._turn:
            self._used_at = time.monotonic()
            child = await self._load(request.model)
            yield m.AnswerStarted(
                device=self._device, name=self._name, model=request.model.model, step=request.model.step
            )
            self._pieces = asyncio.Queue()  # the last answer may have been cut off and have left some
            generate = GenerateText(
                prompt=request.prompt,
                so_far=request.so_far,
                max_tokens=request.max_tokens,
                sampling=request.sampling,
            )
            call = asyncio.create_task(child.call(generate, PREPARE_SECONDS))
            try:
                async for piece in self._follow(call):
                    yield piece
                ended = call.result()
                yield m.AnswerEnded(num_tokens=ended.num_tokens, seconds=ended.seconds, reason=ended.reason)
            finally:
                self._used_at = time.monotonic()
                if not call.done():  # the asker left, and a process can only be stopped as a whole
                    call.cancel()
                    await self.close()

    async def _follow(self, call: asyncio.Task[TextGenerated]) -> AsyncIterator[m.AnswerPiece]:
        while True:
            piece = asyncio.create_task(self._pieces.get())
            try:
                await asyncio.wait({piece, call}, return_when=asyncio.FIRST_COMPLETED)
                if piece.done():  # first, because pieces may still wait when the call has ended
                    yield m.AnswerPiece(text=piece.result().text, num_tokens=piece.result().num_tokens)
                elif call.done():
                    return
            finally:
                piece.cancel()

    async def _load(self, model: m.ModelView) -> ChildProcess:
        """The warm process with this model in it."""
        if self._child and self._child.is_running and self._loaded == model.state_hash:
            return self._child
        await self.close()
        checkpoint = checkpoint_on_disk(self._store, model)
        folder = private_folder(self._store.root.parent / "work")
        self._child = await start_child("serve", folder, serve_nothing, self._hear)
        try:
            load = LoadModel(checkpoint=checkpoint, tokenizer=str(self._store.path(model.tokenizer)))
            await self._child.call(load, PREPARE_SECONDS)
        except CellmindError:
            await self.close()
            raise
        self._loaded = model.state_hash
        return self._child

    def _hear(self, event: Event) -> None:
        if isinstance(event, TextPiece):
            self._pieces.put_nowait(event)

    # -- models ----------------------------------------------------------------------------------------------------

    def held_models(self) -> list[m.ModelView]:
        """Every checkpoint of which this device holds all files, oldest first."""
        return [
            model
            for model in self._journal.models()
            if all(self._store.has(ref) for ref in (model.tokenizer, *model.files.values()))
        ]

    async def _list(self, request: m.ListModels, caller: Caller) -> m.ModelList:
        return m.ModelList(models=tuple(self.held_models()))

    async def _keep(self, request: m.KeepModel, caller: Caller) -> m.Done:
        model = request.model
        await self._transfer.fetch([model.tokenizer, *model.files.values()], preferred=caller.device)
        self._store.remove(self._journal.save_model(model))
        return m.Done()

    async def _remove(self, request: m.RemoveModel, caller: Caller) -> m.Done:
        before = self._journal.wanted_blobs()
        self._journal.remove_model(request.model)
        self._store.remove(before - self._journal.wanted_blobs())
        return m.Done()
