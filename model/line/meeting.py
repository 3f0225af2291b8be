"""What a trainer asks of its agent so that ranks can meet: the process group's store, and ways to the other ranks."""

from __future__ import annotations

from model.line.declare import Call, Done, line_message


@line_message
class StoreValue:
    data: bytes


@line_message
class StoreNumber:
    number: int


@line_message
class StoreSet(Call[Done]):
    key: str
    data: bytes


@line_message
class StoreGet(Call[StoreValue]):
    """Wait until every key is set; the answer is the value of the first."""

    keys: tuple[str, ...]
    seconds: float


@line_message
class StoreAdd(Call[StoreNumber]):
    """Add to a counter that starts at 0; the answer is the sum."""

    key: str
    amount: int


@line_message
class StoreCompareSet(Call[StoreValue]):
    """Set the key if it holds `expected`; the answer is its value afterwards."""

    key: str
    expected: bytes
    desired: bytes


@line_message
class StoreCheck(Call[StoreNumber]):
    """1 if every key is set, else 0."""

    keys: tuple[str, ...]


@line_message
class StoreDelete(Call[StoreNumber]):
    """1 if the key was set, else 0."""

    key: str


@line_message
class ExposePort(Call[Done]):
    """Other ranks' connections arrive at this loopback port."""

    port: int


@line_message
class ForwarderOpened:
    port: int


@line_message
class OpenForwarder(Call[ForwarderOpened]):
    """Open a loopback port, for one connection, that leads to the port which `rank` exposed.

    The agent takes the first free one of `ports`; without any, the operating system chooses.
    """

    rank: int
    ports: tuple[int, ...] = ()


StoreCall = StoreSet | StoreGet | StoreAdd | StoreCompareSet | StoreCheck | StoreDelete
