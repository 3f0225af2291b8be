"""The gate: libzmq's ZAP handler, which decides about each key that connects. Proved to hold before a port opens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias

import zmq
import zmq.asyncio
from zmq.auth.base import Authenticator
from zmq.utils import z85

from cellmind_agent.network.curve import (
    ZAP_DOMAIN,
    Context,
    configure_client,
    configure_server,
    endpoint_port,
    monitor_event,
)
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.limits import GATE_PROOF_SECONDS, LINGER_SECONDS
from cellmind_agent.trust.identity import CurveKeys, new_curve_keys

Admits: TypeAlias = Callable[[bytes], bool]
_log = logging.getLogger(__name__)


class _KeyAuthenticator(Authenticator):
    """pyzmq's ZAP protocol, with our decision about keys."""

    def __init__(self, context: zmq.asyncio.Context, admits: Admits) -> None:
        super().__init__(context)
        self._admits = admits
        self.configure_curve_callback(ZAP_DOMAIN.decode(), self)

    def callback(self, domain: str, key: bytes) -> bool:
        return self._admits(z85.decode(key))

    async def serve(self) -> None:
        # Nobody notices when pyzmq's own task ends by an error; this one is watched by `Gate.ended`.
        poller = zmq.asyncio.Poller()
        poller.register(self.zap_socket, zmq.POLLIN)
        while True:
            await poller.poll()
            await self.handle_zap_message(self.zap_socket.recv_multipart())


class Gate:
    """Guards every CURVE server of its context. When the gate has ended, nothing may be served."""

    def __init__(self, keys: CurveKeys, admits: Admits) -> None:
        """`admits(key)` is asked for each handshake."""
        self._keys = keys
        self._asyncio_context = zmq.asyncio.Context()
        self.context: Context = zmq.Context.shadow(self._asyncio_context.underlying)
        self._authenticator = _KeyAuthenticator(self._asyncio_context, admits)
        self._task: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """True while keys are checked."""
        return self._task is not None and not self._task.done()

    async def open(self) -> None:
        """Start to check keys. Raises CellmindError when a random key gets in."""
        self._authenticator.start()
        self._task = asyncio.create_task(self._authenticator.serve(), name="zap gate")
        await self._prove()

    async def ended(self) -> None:
        """Return when keys are no longer checked, for whatever reason."""
        assert self._task
        await asyncio.wait({self._task})

    async def close(self) -> None:
        """End the gate and its context."""
        if self._task:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                _log.error("the gate ended by itself", exc_info=self._task.exception())
            self._authenticator.stop()
        self._asyncio_context.destroy(linger=int(LINGER_SECONDS * 1000))

    async def _prove(self) -> None:
        """A stranger must be turned away at a private endpoint before the real port opens."""
        router = self.context.socket(zmq.ROUTER)
        configure_server(router, self._keys)
        router.bind("tcp://127.0.0.1:*")
        stranger = self._asyncio_context.socket(zmq.DEALER)
        configure_client(stranger, new_curve_keys(), self._keys.public)
        monitor = stranger.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_HANDSHAKE_FAILED_AUTH)
        try:
            stranger.connect(f"tcp://127.0.0.1:{endpoint_port(router)}")
            async with asyncio.timeout(GATE_PROOF_SECONDS):
                kind, _ = monitor_event(await monitor.recv_multipart())
            if kind != zmq.EVENT_HANDSHAKE_FAILED_AUTH:
                raise CellmindError(
                    "the gate lets strangers in", "this installation of libzmq is unsafe: pip install -U pyzmq"
                )
        except TimeoutError as error:
            raise CellmindError("the gate does not answer", "pip install --upgrade pyzmq") from error
        finally:
            stranger.disable_monitor()
            monitor.close(linger=0)
            stranger.close(linger=0)
            router.close(linger=0)
