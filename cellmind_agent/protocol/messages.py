"""What is said: frozen values. Requests are imperative, answers and events past tense or nouns. Knows no bytes.

Every message class is registered under its own name, which is its name on the wire (PROTOCOL.md lists them all).
A request gets one answer, or, where it is marked as a stream, answers until an end.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, TypeVar, dataclass_transform

from cellmind_agent.protocol.blobs import BlobRef
from cellmind_agent.protocol.ids import DeviceId, RunId

C = TypeVar("C")
Role = Literal["owner", "member"]
State = Literal["online", "asleep", "gone"]
Backend = Literal["gloo", "nccl", "portable"]
# Of a dial: nobody answers at all; nothing listens; another device is there; it is there and does not know the dialler.
Outcome = Literal["reached", "silent", "refused", "other", "unknown"]
RunState = Literal["preparing", "training", "finished", "stopped", "failed"]

MESSAGE_TYPES: dict[str, type[Any]] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True)
def value(cls: type[C]) -> type[C]:
    """A frozen value that is part of messages."""
    return dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)


@dataclass_transform(frozen_default=True, kw_only_default=True)
def message(cls: type[C]) -> type[C]:
    """A value that travels by itself."""
    built = dataclasses.dataclass(frozen=True, slots=True, kw_only=True)(cls)
    MESSAGE_TYPES[cls.__name__] = built
    return built


# -- values ----------------------------------------------------------------------------------------------------------


@value
class Figure:
    """One measured figure and where it comes from (`psutil`, `sysinfo`, `nvidia-smi`, `run`, ...)."""

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
    plugged: bool
    source: str


@value
class Versions:
    cellmind: str
    python: str
    torch: str | None = None


@value
class Vitals:
    """What an agent reports of its device. Every figure may be missing: an honest `-` rather than a false 0."""

    name: str
    host: str  # the same for two agents on one machine; says nothing else
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


@value
class PeerView:
    """A device as the asked agent sees it."""

    id: DeviceId
    name: str
    role: Role | None
    paired: bool
    state: State
    is_self: bool
    addresses: tuple[str, ...] = ()
    seen_seconds: float | None = None
    how: str | None = None  # which rung of the discovery ladder reached it
    is_announced: bool = False  # multicast DNS hears it now
    carried_bytes: int = 0  # in tunnels to and from it, since the asked agent started
    vitals: Vitals | None = None


@value
class RosterMember:
    device: DeviceId
    name: str
    host: str = ""  # as in Vitals: members of one machine share its processors
    tokens_per_second: float | None = None


@value
class ModelView:
    """One checkpoint: its files are blobs, the same on every device that holds it."""

    model: RunId
    step: int
    tokens: int
    state_hash: str
    files: Mapping[str, BlobRef]
    tokenizer: BlobRef
    created: float
    val_loss: float | None = None


@value
class RunSpec:
    """All that a run is: what to train on what, and who. The agents read the counts, the trainers read the blobs."""

    run: RunId
    roster: tuple[RosterMember, ...]
    backend: Backend
    backend_reason: str
    config: BlobRef
    tokenizer: BlobRef
    manifest: BlobRef
    shards: tuple[BlobRef, ...]
    num_samples: int
    batch_samples: int
    epochs: int
    max_steps: int | None = None
    resume_from: ModelView | None = None
    created: float = 0.0


@value
class MemberProgress:
    name: str
    tokens: int
    tokens_per_second: float
    idle_fraction: float
    share: int


@value
class RunView:
    run: RunId
    state: RunState
    roster: tuple[str, ...]
    leader: DeviceId
    step: int
    total_steps: int
    tokens: int
    created: float
    loss: float | None = None
    val_loss: float | None = None
    error: str | None = None


@value
class Check:
    """One of doctor's checks."""

    id: str
    verdict: Literal["ok", "warning", "error", "skipped"]
    detail: str
    fix: str | None = None


# -- answers that fit many requests ----------------------------------------------------------------------------------


@message
class Done:
    pass


@message
class Refused:
    """An error, in wire form."""

    code: str
    message: str
    hint: str


@message
class Cancel:
    """The asker no longer wants the stream with the same correlation number."""


# -- acquaintance ------------------------------------------------------------------------------------------------------


@message
class Hello:
    device: DeviceId
    name: str
    port: int
    keyring_length: int
    keyring_head: bytes
    versions: Versions


@message
class Welcome:
    device: DeviceId
    name: str
    port: int
    keyring_length: int
    keyring_head: bytes
    versions: Versions
    addresses: Mapping[DeviceId, str]  # where the others were last reached


@message
class TellAddresses:
    """Where the others were last reached: said to everybody whenever a new link stands."""

    addresses: Mapping[DeviceId, str]


@message
class Ping:
    pass


@message
class Goodbye:
    """The agent is going down, or the device to sleep: no need to wait for silence."""

    why: Literal["stopping", "sleeping"]


@message
class Woke:
    """The asker's machine was asleep, or its agent stopped, for so long."""

    seconds: float


@message
class GetKeyring:
    pass


@message
class Keyring:
    entries: tuple[bytes, ...]


@message
class OfferKeyring:
    entries: tuple[bytes, ...]


@message
class WatchVitals:
    """Stream of VitalsChanged: one at once, then whenever a figure really changes."""


@message
class VitalsChanged:
    vitals: Vitals


# -- joining -----------------------------------------------------------------------------------------------------------


@message
class BeginJoin:
    nonce: bytes
    pake: bytes


@message
class JoinBegun:
    session: bytes
    pake: bytes


@message
class ProveJoin:
    session: bytes
    mac: bytes
    box: bytes


@message
class JoinAccepted:
    mac: bytes
    box: bytes


# -- what only this device's own people may ask ----------------------------------------------------------------------


@message
class Relay:
    """Pass `body` (an encoded request) to `device`, and its answers back. Stream."""

    device: DeviceId
    body: bytes


@message
class ListPeers:
    pass


@message
class PeerList:
    peers: tuple[PeerView, ...]


@message
class OpenInvitation:
    """Stream of InvitationOpened, then DeviceJoined."""

    role: Role
    seconds: float


@message
class InvitationOpened:
    code: str
    seconds: float
    addresses: tuple[str, ...]  # each with this agent's key: enough for `join --at` where mDNS does not reach


@message
class DeviceJoined:
    device: DeviceId
    name: str
    role: Role


@message
class JoinCell:
    code: str
    at: str | None = None


@message
class CellJoined:
    inviter: str
    members: tuple[str, ...]


@message
class ForgetDevice:
    device: DeviceId


@message
class DeviceForgotten:
    device: DeviceId
    name: str
    told: tuple[str, ...]


@message
class ConnectAddress:
    address: str


@message
class AddressConnected:
    device: DeviceId
    name: str


@message
class RunChecks:
    pass


@message
class ChecksRun:
    checks: tuple[Check, ...]


@message
class ReadLog:
    """Stream of LogLines."""

    tail: int
    since_seconds: float | None = None
    follow: bool = False


@message
class LogLines:
    lines: tuple[str, ...]


# -- blobs -------------------------------------------------------------------------------------------------------------


@message
class FindBlobs:
    refs: tuple[BlobRef, ...]


@message
class BlobsFound:
    """Bytes already there of each asked blob, in the order asked; `size` when whole."""

    present: tuple[int, ...]


@message
class FindChunks:
    """Which chunks of a blob are there, also while it is still on its way in?"""

    ref: BlobRef


@message
class ChunksFound:
    chunks: bytes  # a bit for each, the lowest first
    is_fetching: bool = False


@message
class HashChunks:
    ref: BlobRef


@message
class ChunkHashes:
    """SHA-256 of each chunk of a blob that is whole here."""

    hashes: bytes


@message
class ReadBlob:
    ref: BlobRef
    offset: int
    length: int


@message
class BlobData:
    data: bytes


@message
class WriteBlob:
    ref: BlobRef
    offset: int
    data: bytes


# -- runs: asked by people ---------------------------------------------------------------------------------------------


@message
class StartRun:
    spec: RunSpec


@message
class StopRun:
    run: RunId


@message
class ListRuns:
    pass


@message
class RunList:
    runs: tuple[RunView, ...]


@message
class GetRun:
    run: RunId


@message
class RunFound:
    spec: RunSpec
    view: RunView


@message
class WatchRun:
    """Stream of run events, from the last plan on, until the run ends."""

    run: RunId


# -- runs: events ------------------------------------------------------------------------------------------------------


@message
class RoundStarted:
    run: RunId
    round: int
    step: int
    num_steps: int
    total_steps: int


@message
class Progressed:
    run: RunId
    round: int
    step: int
    total_steps: int
    tokens: int
    loss: float
    tokens_per_second: float
    members: tuple[MemberProgress, ...]
    wire_bytes: int
    eta_seconds: float | None = None


@message
class RoundCommitted:
    run: RunId
    round: int
    step: int
    total_steps: int
    tokens: int
    loss: float | None
    tokens_per_second: float
    members: tuple[MemberProgress, ...]
    wire_bytes: int
    state_hash: str
    val_loss: float | None = None
    val_bits_per_byte: float | None = None


@message
class CheckpointSaved:
    run: RunId
    step: int
    state_hash: str
    members: tuple[str, ...]


@message
class MemberLost:
    run: RunId
    name: str
    why: str


@message
class RunFinished:
    run: RunId
    step: int
    tokens: int
    seconds: float
    stopped: bool
    val_loss: float | None = None


@message
class RunFailed:
    run: RunId
    why: str
    hint: str


# -- runs: leader to members -------------------------------------------------------------------------------------------


@message
class PrepareMember:
    """Fetch the blobs, start the trainer. Stream of MemberReady, then MemberProgressed, then MemberFailed or an end."""

    spec: RunSpec
    rank: int
    term: int


@message
class MemberReady:
    device_kind: str


@message
class MemberProgressed:
    step: int
    loss: float
    tokens: int
    compute_tokens_per_second: float
    idle_fraction: float
    wire_bytes: int


@message
class MemberFailed:
    why: str
    lost_peer: bool  # the trainer fell because another one went away: look there for the cause


@message
class TrainRound:
    run: RunId
    round: int
    first_step: int
    num_steps: int
    shares: tuple[int, ...]
    evaluate: bool


@message
class RoundTrained:
    state_hash: str
    tokens: int
    loss: float | None
    val_loss: float | None = None
    val_bits_per_byte: float | None = None


@message
class CommitRound:
    run: RunId
    round: int
    step: int
    tokens: int
    checkpoint: bool
    time: float  # the leader's clock, so that a checkpoint is the same everywhere
    val_loss: float | None = None


@message
class MemberCommitted:
    checkpoint: ModelView | None = None


@message
class DismissMember:
    run: RunId
    state: RunState
    error: str | None = None


# -- what a member can do ----------------------------------------------------------------------------------------------


@message
class ProbeGloo:
    """Does gloo work on the asked device? Tried in a process of its own, once for each version of torch."""


@message
class GlooProbed:
    fault: str | None = None


@message
class ProbeReach:
    """Can the asked device dial this one? Tried on a fresh connection, at every address that it knows."""

    device: DeviceId


@message
class ReachProbed:
    """The best outcome of all addresses, and the asked device's clock."""

    outcome: Outcome | None  # None: it knows no address
    address: str | None
    seconds: float
    time: float


# -- tunnels between trainers ------------------------------------------------------------------------------------------


@message
class OpenTunnel:
    """The connection that this comes by carries a stream to the asked device's trainer from now on; with a `number`, it
    is the one that was to be dialled, and the stream is opened the other way."""

    run: RunId
    term: int
    number: int | None = None


@message
class DialTunnel:
    """Dial the asker, who cannot dial, and send OpenTunnel with this number there."""

    run: RunId
    term: int
    number: int


# -- rendezvous: a trainer's store, served by the leader's agent -------------------------------------------------------


@message
class StoreSet:
    run: RunId
    term: int
    key: str
    data: bytes


@message
class StoreGet:
    """Waits until every key is there; answers with the value of the first."""

    run: RunId
    term: int
    keys: tuple[str, ...]
    seconds: float


@message
class StoreAdd:
    run: RunId
    term: int
    key: str
    amount: int


@message
class StoreCompareSet:
    run: RunId
    term: int
    key: str
    expected: bytes
    desired: bytes


@message
class StoreCheck:
    run: RunId
    term: int
    keys: tuple[str, ...]


@message
class StoreDelete:
    run: RunId
    term: int
    key: str


@message
class StoreValue:
    data: bytes


@message
class StoreNumber:
    number: int


# -- models and answers ------------------------------------------------------------------------------------------------


@message
class ListModels:
    pass


@message
class ModelList:
    models: tuple[ModelView, ...]


@message
class KeepModel:
    """Fetch this checkpoint from whoever holds it, and keep it."""

    model: ModelView


@message
class RemoveModel:
    model: RunId


@message
class Ask:
    """Stream of AnswerStarted, AnswerPiece..., AnswerEnded: from `device`, or else from the best holder."""

    prompt: str
    model: RunId | None = None
    device: DeviceId | None = None
    max_tokens: int = 200
    temperature: float = 0.8
    top_k: int = 0
    top_p: float = 0.95
    seed: int | None = None


@message
class Answer:
    """As Ask, but answered by the asked device itself, which goes on after `so_far`. Stream."""

    model: ModelView
    prompt: str
    so_far: str
    max_tokens: int
    temperature: float
    top_k: int
    top_p: float
    seed: int


@message
class AnswerStarted:
    device: DeviceId
    name: str
    model: RunId
    step: int


@message
class AnswerPiece:
    text: str
    num_tokens: int


@message
class AnswerEnded:
    num_tokens: int
    seconds: float
    reason: Literal["end", "length"]
