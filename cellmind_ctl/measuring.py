"""Measures devices and network before a run: how fast each device trains this network, and how fast it sends."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace

from cellmind_agent.planning.exchange import MeasuredNetwork, best_averaging, is_shared_medium
from cellmind_agent.planning.forecast import INT8, Work, name_of_work
from cellmind_agent.planning.mode import ModeChoice
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import (
    MAX_MEASURED_PAIRS,
    PAIR_PROBE_SECONDS,
    PROBE_SECONDS,
    RATE_ANSWER_SECONDS,
    RATE_PROBE_SECONDS,
    SPEED_PROBE_SECONDS,
)
from cellmind_agent.protocol.messages import PeerView, RosterMember
from cellmind_agent.words import t
from cellmind_ctl.client import Client
from cellmind_ctl.project import Bundle
from cellmind_ctl.session import Session

_SHORT_FLOP = 3e12  # about a minute of a laptop: measuring would take longer than it saves
_SHORT_SECONDS = 0.2  # of an average: the way that it takes does not matter

_Pair = tuple[RosterMember, RosterMember]


def work_of(bundle: Bundle) -> Work:
    """What a run needs of its members, as a forecast takes it."""
    config = bundle.recipe.config
    return Work(
        weights=config.model.num_weights(bundle.manifest.vocab_size),
        step_tokens=config.training.batch_size * bundle.manifest.seq_len,
        batch_samples=config.training.batch_size,
        round_seconds=config.distributed.round_seconds,
        exchange=config.distributed.exchange,
    )


def is_worth_measuring(bundle: Bundle) -> bool:
    """Whether the run takes so long that it matters which devices take part, and how."""
    tokens = bundle.manifest.train.tokens * bundle.recipe.config.training.epochs
    return 6 * work_of(bundle).weights * tokens > _SHORT_FLOP


def work_named(bundle: Bundle) -> str:
    """By this name devices remember how fast they train such a network."""
    return name_of_work(_config_of_work(bundle), bundle.manifest.vocab_size)


def _config_of_work(bundle: Bundle) -> bytes:
    """A configuration file with what a step's time depends on."""
    model, training = bundle.recipe.config.model, bundle.recipe.config.training
    kept = {
        "model": {
            "d_model": model.d_model,
            "nhead": model.nhead,
            "num_layers": model.num_layers,
            "dropout": model.dropout,
            "tie_embeddings": model.tie_embeddings,
        },
        "training": {
            "batch_size": training.batch_size,
            "optimizer": training.optimizer,
            "dataset": {"seq_len": bundle.manifest.seq_len},
        },
    }
    return json.dumps(kept, sort_keys=True).encode()


def with_speeds(
    session: Session, members: Sequence[PeerView], bundle: Bundle, mode: ModeChoice, is_measured: bool
) -> tuple[list[PeerView], bool]:
    """These devices with the speeds at which they train this network, and whether any knows its own. Those that do not
    measure it, if it `is_measured`; what is still not known then is None. If no device knows, all keep the speed of
    their last run, which may have been of another network."""
    hosts = [peer.vitals.host if peer.vitals else peer.id for peer in members]
    requests = {
        peer.id: m.ProbeSpeed(
            config=_config_of_work(bundle),
            vocab_size=bundle.manifest.vocab_size,
            size=len(members),
            members_here=hosts.count(host),
            is_divided=mode == "ddp",
            seconds=0.0,
        )
        for peer, host in zip(members, hosts, strict=True)
    }
    speeds = _speeds(session.client, requests, session.client.timeout)
    unknown = [peer for peer in members if peer.id not in speeds]
    if is_measured and unknown:
        names = ", ".join(peer.name for peer in unknown)
        session.notice(t("measuring how fast {names} can train this network, about ten seconds", names=names))
        measuring = {peer.id: replace(requests[peer.id], seconds=SPEED_PROBE_SECONDS) for peer in unknown}
        speeds |= _speeds(session.client, measuring, PROBE_SECONDS)
    if not speeds:
        return list(members), False
    return [_with_speed(peer, speeds.get(peer.id)) for peer in members], True


def _speeds(client: Client, requests: dict[DeviceId, m.ProbeSpeed], seconds: float) -> dict[DeviceId, float]:
    answers = client.request_all(requests, seconds)
    return {
        device: answer.tokens_per_second
        for device, answer in answers.items()
        if isinstance(answer, m.SpeedProbed) and answer.tokens_per_second
    }


def _with_speed(peer: PeerView, speed: float | None) -> PeerView:
    if peer.vitals is None:
        return peer
    figure = None if speed is None else m.Figure(value=speed, source="run")
    return replace(peer, vitals=replace(peer.vitals, tokens_per_second=figure))


def measure_network(client: Client, roster: Sequence[RosterMember], work: Work) -> MeasuredNetwork | None:
    """The rates between the members. None if one of them could not be measured.

    First all send at once. Only where an average would take long, each device then sends to each other one alone: that
    shows whether all share one medium, and which of them has a cable.
    """
    hosts = list(_first_of_hosts(roster).values())
    if len(hosts) < 2:
        return MeasuredNetwork(rates={})
    ring = list(zip(hosts, (*hosts[1:], hosts[0]), strict=True))
    at_once = _rates(client, ring, RATE_PROBE_SECONDS)
    if at_once is None:
        return None
    simple = _network(roster, at_once, is_shared=False)
    averaging = best_averaging(roster, INT8 * work.weights, simple, centers=())
    if len(hosts) == 2 or (averaging and averaging.seconds < _SHORT_SECONDS):
        return simple
    pairs = [(one, other) for one in hosts for other in hosts if one is not other]
    alone = _rates_alone(client, pairs if len(pairs) <= MAX_MEASURED_PAIRS else ring)
    if alone is None:  # what all reached at once is still known
        return simple
    keys = [(one.device, other.device) for one, other in ring]
    is_shared = is_shared_medium([alone[key] for key in keys], [at_once[key] for key in keys])
    return _network(roster, alone, is_shared)


def _first_of_hosts(roster: Sequence[RosterMember]) -> dict[str, RosterMember]:
    """One member of each machine."""
    found: dict[str, RosterMember] = {}
    for member in roster:
        found.setdefault(member.host, member)
    return found


def _network(
    roster: Sequence[RosterMember], rates: dict[tuple[DeviceId, DeviceId], float], is_shared: bool
) -> MeasuredNetwork:
    """The members of one machine have the rates of the one that was measured; what was not measured is as slow as the
    slowest."""
    measured = {host: member.device for host, member in _first_of_hosts(roster).items()}
    slowest = min(rates.values())
    found = {}
    for one in roster:
        for other in roster:
            if one.host != other.host:
                found[one.device, other.device] = rates.get((measured[one.host], measured[other.host]), slowest)
    return MeasuredNetwork(rates=found, is_shared=is_shared)


def _rates(client: Client, pairs: Sequence[_Pair], seconds: float) -> dict[tuple[DeviceId, DeviceId], float] | None:
    """What these devices send at once, each to one other; None if one of them could not be measured."""
    requests = {one.device: m.ProbeRate(device=other.device, seconds=seconds) for one, other in pairs}
    answers = client.request_all(requests, RATE_ANSWER_SECONDS)
    found = {}
    for one, other in pairs:
        answer = answers[one.device]
        if not isinstance(answer, m.RateProbed) or not answer.bytes_per_second > 0:
            return None
        found[one.device, other.device] = answer.bytes_per_second
    return found


def _rates_alone(client: Client, pairs: Sequence[_Pair]) -> dict[tuple[DeviceId, DeviceId], float] | None:
    """The same, one after the other."""
    found: dict[tuple[DeviceId, DeviceId], float] = {}
    for pair in pairs:
        rate = _rates(client, (pair,), PAIR_PROBE_SECONDS)
        if rate is None:
            return None
        found |= rate
    return found
