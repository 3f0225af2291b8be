"""The table of backends: the process groups over which members can exchange gradients.

A new backend takes one row here, one file in `model/meeting/`, and one line in `model/meeting/group.py` (and its layer
in pyproject.toml).
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from cellmind_agent.protocol.errors import UsageError
from cellmind_agent.protocol.ids import BackendName, DeviceId
from cellmind_agent.protocol.messages import PeerView
from model.line.sentence import Sentence

AUTO = "auto"  # the choice that leaves the backend to the table


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """What the choice depends on. `faults` has, for each device on which gloo was tried in vain, the reason."""

    members: Sequence[PeerView]
    is_lan_trusted: bool = False
    faults: Mapping[DeviceId, Sentence] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One row: what a process group requires of the members of a run, in words for people and as a function.

    `requirement` is a clause, and the reason for choosing it when nothing better was refused. `why_not` returns the
    reason for refusing it under some conditions, or None. With `is_probed` each member first tries it in a child.
    """

    name: BackendName
    requirement: Sentence
    why_not: Callable[[Conditions], Sentence | None]
    is_probed: bool = False


def choose_backend(
    members: Sequence[PeerView],
    choice: str = AUTO,
    faults: Mapping[DeviceId, Sentence] | None = None,
    is_lan_trusted: bool = False,
) -> tuple[BackendName, Sentence]:
    """The backend for these members, and the reason in words: the first in the table that can be used, or `choice`.

    Raises UsageError for a `choice` that is unknown or cannot be used.
    """
    conditions = Conditions(members=members, is_lan_trusted=is_lan_trusted, faults=faults or {})
    if choice != AUTO:
        backend = _named(choice)
        why_not = backend.why_not(conditions)
        if why_not:
            raise UsageError(
                "backend {choice} cannot be used: {why_not}",
                "cellmindctl train --backend auto",
                choice=choice,
                why_not=why_not,
            )
        return backend.name, Sentence("asked for")
    usable, better_ones_fault = _first_usable(conditions)
    return usable.name, better_ones_fault or usable.requirement


def backend_with(
    present: BackendName,
    members: Sequence[PeerView],
    choice: str,
    faults: Mapping[DeviceId, Sentence],
    is_lan_trusted: bool,
) -> BackendName:
    """The backend of a group that others have joined. Raises as `choose_backend`.

    `portable` has been chosen with a reason, and works with all: it stays.
    """
    if present == BACKENDS[-1].name:
        return present
    return choose_backend(members, choice, faults, is_lan_trusted)[0]


def needs_probe(members: Sequence[PeerView], choice: str = AUTO, is_lan_trusted: bool = False) -> bool:
    """Whether the members must probe gloo before `choose_backend` can decide. Raises UsageError (unknown `choice`)."""
    if len(members) < 2:
        return False
    if choice != AUTO:
        return _named(choice).is_probed
    usable, _ = _first_usable(Conditions(members=members, is_lan_trusted=is_lan_trusted))
    return usable.is_probed


def _first_usable(conditions: Conditions) -> tuple[Backend, Sentence | None]:
    """The first backend that can be used, and why the one before it cannot."""
    why_not = None
    for backend in BACKENDS:
        better_ones_fault, why_not = why_not, backend.why_not(conditions)
        if why_not is None:
            return backend, better_ones_fault
    raise UsageError("no backend can be used: {why_not}", "cellmindctl peers --wide", why_not=why_not)


def _named(choice: str) -> Backend:
    for backend in BACKENDS:
        if backend.name == choice:
            return backend
    close = difflib.get_close_matches(choice, BACKEND_CHOICES, n=1)
    hint = "did you mean {close}?" if close else "one of: {known}"
    known = ", ".join(BACKEND_CHOICES)
    raise UsageError("no backend is called {choice}", hint, choice=repr(choice), close="".join(close), known=known)


def _why_not_nccl(conditions: Conditions) -> Sentence | None:
    members = conditions.members
    gpus = [peer.vitals.accelerator for peer in members if peer.vitals and peer.vitals.accelerator]
    cuda = [gpu.uuid for gpu in gpus if gpu.kind == "cuda"]
    if not cuda:
        return Sentence("no member has a CUDA GPU")
    if len(cuda) != len(members) or len(set(cuda)) != len(cuda):
        return Sentence("not every member has a CUDA GPU of its own")
    hosts = {peer.vitals.host if peer.vitals else peer.id for peer in members}
    if len(hosts) > 1 and not conditions.is_lan_trusted:
        return Sentence(
            "NCCL sends unencrypted, and the owner has not said that the network is trusted (distributed.trusted_lan)"
        )
    return None


def _why_not_gloo(conditions: Conditions) -> Sentence | None:
    """gloo's bytes differ between Linux or Android (TCP) and macOS or Windows (libuv), and between torch versions."""
    members = conditions.members
    systems = {peer.name: peer.vitals.os for peer in members if peer.vitals}
    if len({system in ("linux", "android") for system in systems.values()}) > 1:
        named = ", ".join(f"{name} {system}" for name, system in systems.items())
        return Sentence("gloo does not work between these systems: {named}", named=named)
    versions = {peer.name: (peer.vitals.versions.torch or "none") for peer in members if peer.vitals}
    # Major and minor version count: 2.10.1+cu128 is as good as 2.10.0.
    if len({version.split("+")[0].rpartition(".")[0] for version in versions.values()}) > 1:
        named = ", ".join(f"{name} {version}" for name, version in versions.items())
        return Sentence("gloo needs the same torch everywhere: {named}", named=named)
    faults = conditions.faults if len(members) > 1 else {}
    faulty = [peer for peer in members if peer.id in faults]
    if not faulty:
        return None
    named = ", ".join(peer.name for peer in faulty)
    return Sentence("gloo does not work on {named} ({why})", named=named, why=faults[faulty[0].id])


# In the order of preference. One of them works everywhere.
BACKENDS = (
    Backend(
        name=BackendName("nccl"),
        requirement=Sentence("every member has a CUDA GPU of its own"),
        why_not=_why_not_nccl,
    ),
    Backend(
        name=BackendName("gloo"),
        requirement=Sentence("every member runs the same kind of system and the same torch"),
        why_not=_why_not_gloo,
        is_probed=True,
    ),
    Backend(
        name=BackendName("portable"),
        requirement=Sentence("members may differ in any way"),
        why_not=lambda conditions: None,
    ),
)
BACKEND_CHOICES: tuple[str, ...] = (AUTO, *(backend.name for backend in BACKENDS))
BACKEND_HELP = "Process group. " + " ".join(f"{backend.name}: {backend.requirement}." for backend in BACKENDS)
