"""How trainers meet: tunnels that carry their bytes, and the rendezvous store of their process group."""

from __future__ import annotations

from typing import TypeAlias

from cellmind_agent.protocol.ids import RunId
from cellmind_agent.protocol.messages.declarations import Request, message, request
from cellmind_agent.protocol.messages.endings import Done

# -- tunnels -----------------------------------------------------------------------------------------------------------


@request(asked_by="member", size="small")
class OpenTunnel(Request[Done]):
    """Turn this connection into a tunnel to your trainer; `number` is that of the DialTunnel that asked for it."""

    run: RunId
    term: int
    number: int | None = None


@request(asked_by="member", size="small")
class DialTunnel(Request[Done]):
    """Dial me, because I cannot dial you, and send OpenTunnel with this number."""

    run: RunId
    term: int
    number: int


# -- rendezvous store, with the meaning of `torch.distributed.Store` ---------------------------------------------------


@message
class StoreValue:
    data: bytes


@message
class StoreNumber:
    number: int


@request(asked_by="member", size="large")
class StoreSet(Request[Done]):
    """Set a key."""

    run: RunId
    term: int
    key: str
    data: bytes


@request(asked_by="member", size="small")
class StoreGet(Request[StoreValue]):
    """Wait at most `seconds` until every key is set; the answer is the value of the first."""

    run: RunId
    term: int
    keys: tuple[str, ...]
    seconds: float


@request(asked_by="member", size="small")
class StoreAdd(Request[StoreNumber]):
    """Add to a number, 0 if the key is not set; the answer is the sum."""

    run: RunId
    term: int
    key: str
    amount: int


@request(asked_by="member", size="large")
class StoreCompareSet(Request[StoreValue]):
    """Set a key if its value is the expected one; answered as torch's `compare_set` answers."""

    run: RunId
    term: int
    key: str
    expected: bytes
    desired: bytes


@request(asked_by="member", size="small")
class StoreCheck(Request[StoreNumber]):
    """Answer 1 if every key is set, else 0."""

    run: RunId
    term: int
    keys: tuple[str, ...]


@request(asked_by="member", size="small")
class StoreDelete(Request[StoreNumber]):
    """Delete a key; the answer is the number of deleted keys."""

    run: RunId
    term: int
    key: str


StoreRequest: TypeAlias = StoreSet | StoreGet | StoreAdd | StoreCompareSet | StoreCheck | StoreDelete
StoreAnswer: TypeAlias = StoreValue | StoreNumber | Done
