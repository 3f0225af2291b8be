"""Links between agents: greeting, addresses, heartbeat, vitals, reach; and what users ask about peers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.protocol.messages.declarations import Request, StreamRequest, message, request, value
from cellmind_agent.protocol.messages.endings import Done
from cellmind_agent.protocol.messages.membership import Role
from model.line.sentence import Sentence

State = Literal["online", "asleep", "gone"]
# The result of dialling an address: the device answers; nothing answers; the port is closed; another device answers;
# the device answers and does not know the dialler's key.
Outcome = Literal["reached", "silent", "refused", "other", "unknown"]


# -- vitals ------------------------------------------------------------------------------------------------------------


@value
class Figure:
    """One measured figure and its source (`psutil`, `sysinfo`, `nvidia-smi`, `run`, ...)."""

    value: float
    source: str


@value
class Accelerator:
    kind: Literal["cuda", "mps"]
    name: str
    uuid: str
    memory_bytes: int


@value
class Battery:
    percent: float
    plugged: bool  # it charges, or is full
    source: str
    temperature_celsius: float | None = None


@value
class Versions:
    cellmind: str
    python: str
    torch: str | None = None


@value
class TrainingLimit:
    """Why training takes less than it could on a device now."""

    why: Sentence  # such as "at most 1 of 2 threads: other programs use the processor"
    is_paused: bool = False  # it rests before every step


@value
class Vitals:
    """What an agent reports of its device. A figure that cannot be read is None, never 0."""

    name: str
    host: str  # a random id, the same for two agents on one machine
    os: str
    arch: str
    versions: Versions
    cpu_count: int | None = None
    cpu_percent: Figure | None = None
    load: Figure | None = None
    ram_total_bytes: Figure | None = None
    ram_available_bytes: Figure | None = None
    disk_free_bytes: Figure | None = None
    temperature_celsius: Figure | None = None
    accelerator: Accelerator | None = None
    battery: Battery | None = None
    tokens_per_second: Figure | None = None
    run: RunId | None = None
    training_limit: TrainingLimit | None = None


@message
class VitalsChanged:
    vitals: Vitals


@request(asked_by="member", size="small")
class WatchVitals(StreamRequest[VitalsChanged]):
    """Send your vitals now, and again whenever a figure changes by more than noise."""


# -- greeting and addresses --------------------------------------------------------------------------------------------


@message
class Welcome:
    """The answerer's own greeting, and the addresses at which it last reached the other devices."""

    device: DeviceId
    name: str
    port: int
    keyring_length: int
    keyring_head: bytes
    versions: Versions
    addresses: Mapping[DeviceId, str]


@request(asked_by="member", size="small")
class Hello(Request[Welcome]):
    """Open a link: this is my name, the port I listen on, and the head of my keyring."""

    device: DeviceId
    name: str
    port: int
    keyring_length: int
    keyring_head: bytes
    versions: Versions


@request(asked_by="member", size="large")
class TellAddresses(Request[Done]):
    """Learn the addresses at which I last reached the other devices; sent to all whenever a link opens."""

    addresses: Mapping[DeviceId, str]


# -- heartbeat ---------------------------------------------------------------------------------------------------------


@request(asked_by="member", size="small")
class Ping(Request[Done]):
    """Show that you are alive."""


@request(asked_by="member", size="small")
class Goodbye(Request[Done]):
    """My agent is stopping, or my device is going to sleep: do not wait for me."""

    why: Literal["stopping", "sleeping"]


@request(asked_by="member", size="small")
class Woke(Request[Done]):
    """My device was asleep, or my agent suspended, for this long."""

    seconds: float


# -- reach -------------------------------------------------------------------------------------------------------------


@message
class ReachProbed:
    """The best outcome over all addresses, and the answerer's clock."""

    outcome: Outcome | None  # None: the answerer knows no address of the device
    address: str | None
    seconds: float
    time: float


@request(asked_by="member", size="small")
class ProbeReach(Request[ReachProbed]):
    """Dial this device on a fresh connection, at every address that you know."""

    device: DeviceId


# -- what users ask about peers ----------------------------------------------------------------------------------------


@value
class PeerView:
    """A device as the answering agent sees it."""

    id: DeviceId
    name: str
    role: Role | None
    paired: bool
    state: State
    is_self: bool
    addresses: tuple[str, ...] = ()
    seen_seconds: float | None = None  # since the last sign of life
    how: str | None = None  # the rung of the discovery ladder that reached it
    is_announced: bool = False  # multicast DNS announces it now
    carried_bytes: int = 0  # in tunnels to and from it, since the answering agent started
    vitals: Vitals | None = None


@message
class PeerList:
    peers: tuple[PeerView, ...]
    alarms: tuple[Sentence, ...] = ()  # about the keyring


@request(asked_by="member", size="small")
class ListPeers(Request[PeerList]):
    """List yourself and every device that you know or hear."""


@message
class AddressConnected:
    device: DeviceId
    name: str


@request(asked_by="local", size="small")
class ConnectAddress(Request[AddressConnected]):
    """Dial a member at this address, and remember the address."""

    address: str


@request(asked_by="local", size="large")
class Relay(StreamRequest[object]):
    """Pass the encoded request `body` on to `device`, and its answers back to me."""

    device: DeviceId
    body: bytes
