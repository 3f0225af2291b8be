"""Which device answers a prompt: the fastest online one that holds the model, and the next one if that one dies.

The next holder receives the prompt and the answer so far, and continues it: sampling draws its randomness from the
seed and the position alone, so nothing else needs to be handed over.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

from cellmind_agent.answers.serving import Serving
from cellmind_agent.network.peers import Peers
from cellmind_agent.network.reception import Handler
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    CellmindError,
    DegradedError,
    JobFailedError,
    LinkLostError,
    NotAllowedError,
    TimedOutError,
    UnknownNameError,
    UnreachableError,
)
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.limits import LIST_MODELS_SECONDS
from cellmind_agent.trust.permissions import Caller

_log = logging.getLogger(__name__)
_Holders = list[tuple[DeviceId, list[m.ModelView]]]


class Asking:
    """The asking side, on the device of the person who asks."""

    def __init__(
        self, device: DeviceId, peers: Peers, serving: Serving, own_vitals: Callable[[], m.Vitals | None]
    ) -> None:
        self._device, self._peers, self._serving, self._own_vitals = device, peers, serving, own_vitals
        self._myself = Caller(kind="local", curve_key=b"", device=device, host="")

    def handlers(self) -> dict[type, Handler]:
        return {m.Ask: self._ask}

    async def _ask(self, request: m.Ask, caller: Caller) -> AsyncIterator[m.AnswerEvent]:
        holders = await self._holders()
        model = newest([model for _, models in holders for model in models], request.model)
        # Devices may hold different checkpoints of the same weights: a run that is resumed and stopped writes one more.
        able = {device: held for device, models in holders for held in models if held.state_hash == model.state_hash}
        if request.device is not None:
            if request.device not in able:
                raise UnknownNameError(
                    "{name} does not hold {model}",
                    "cellmindctl sync",
                    name=self._peers.name(request.device),
                    model=model.model,
                )
            able = {request.device: able[request.device]}
        so_far, num_tokens = "", 0
        for device in sorted(able, key=self._preference):
            answer = m.Answer(
                model=able[device],
                prompt=request.prompt,
                so_far=so_far,
                max_tokens=request.max_tokens - num_tokens,
                sampling=request.sampling,
            )
            before = num_tokens
            try:
                async for event in self._stream(device, answer):
                    if isinstance(event, m.AnswerPiece):
                        so_far, num_tokens = so_far + event.text, before + event.num_tokens
                    yield event
                return
            except (UnreachableError, JobFailedError, TimedOutError, NotAllowedError) as error:
                _log.warning("%s did not answer to the end: %s", self._peers.name(device), error)
        raise DegradedError("every device that holds {model} went away", "cellmindctl peers", model=model.model)

    async def _stream(self, device: DeviceId, answer: m.Answer) -> AsyncIterator[m.AnswerEvent]:
        if device == self._device:
            async for event in self._serving.answer(answer, self._myself):
                yield event
            return
        stream = self._peers.link(device).stream(answer)
        absent = asyncio.create_task(self._peers.until_absent(device))
        try:
            while True:
                remote_event = await self._next_event(stream, absent)
                if remote_event is None:
                    return
                yield remote_event
        finally:
            absent.cancel()

    async def _next_event(
        self, stream: AsyncIterator[m.AnswerEvent], absent: asyncio.Task[None]
    ) -> m.AnswerEvent | None:
        """None at the end of the stream. Raises LinkLostError when the answering device falls silent."""
        waiting = asyncio.ensure_future(anext(stream, None))
        try:
            await asyncio.wait({waiting, absent}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                raise LinkLostError("the answering device fell silent")
        finally:
            if not waiting.done():
                waiting.cancel()
                await asyncio.gather(waiting, return_exceptions=True)
        return waiting.result()

    async def _holders(self) -> _Holders:
        """Every online device, this one first, with the models that it holds."""
        online = self._peers.online()
        calls = [self._peers.link(device).request(m.ListModels(), LIST_MODELS_SECONDS) for device in online]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        found: _Holders = [(self._device, self._serving.held_models())]
        for device, answer in zip(online, answers, strict=True):
            if isinstance(answer, m.ModelList):
                found.append((device, list(answer.models)))
            elif not isinstance(answer, CellmindError):
                _log.error("cannot list the models of %s: %r", self._peers.name(device), answer)
        return found

    def _preference(self, device: DeviceId) -> tuple[bool, bool, float, bool]:
        """Smaller is better: not busy training, an accelerator, measured speed, and here rather than elsewhere."""
        vitals = next((view.vitals for view in self._peers.views() if view.id == device), None)
        if device == self._device:
            vitals = self._own_vitals()
        if vitals is None:
            return True, True, 0.0, True
        speed = vitals.tokens_per_second.value if vitals.tokens_per_second else 0.0
        # Speeds are rounded to hundreds, so that a small difference sends no prompt away from here.
        return vitals.run is not None, vitals.accelerator is None, -round(speed, -2), device != self._device


def newest(models: list[m.ModelView], wanted: RunId | None) -> m.ModelView:
    """The best checkpoint of the newest model, or of the one whose name is or begins with `wanted`; without a best one
    its last. Raises UnknownNameError.
    """
    fitting = [model for model in models if model.model == wanted]
    fitting = fitting or [model for model in models if wanted is None or model.model.startswith(wanted)]
    if not fitting:
        if wanted:
            raise UnknownNameError("no model is called {name}", "cellmindctl models", name=f"{wanted!r:.60}")
        raise UnknownNameError("there is no model yet", "train one first: cellmindctl train")
    if wanted and len({model.model for model in fitting}) > 1:
        raise UnknownNameError("several models begin with {wanted}", "cellmindctl models", wanted=f"{wanted!r:.60}")
    latest = max(fitting, key=lambda model: (model.created, model.step))
    best = [model for model in fitting if model.is_best and model.model == latest.model]
    return max(best, key=lambda model: (model.created, model.step), default=latest)
