"""Makes the plan of a run from what the agents report, and shows it to people and scripts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence, Set
from dataclasses import asdict, replace

from cellmind_agent.planning.backends import AUTO, choose_backend, needs_probe
from cellmind_agent.planning.mode import ModeChoice, Work, choose_mode
from cellmind_agent.planning.roster import RunPlan, find_device, plan, seat, seat_of
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import PROBE_SECONDS, RATE_ANSWER_SECONDS
from cellmind_agent.protocol.messages import PeerView
from cellmind_agent.protocol.plain import to_json
from cellmind_agent.words import t
from cellmind_ctl.client import Client
from cellmind_ctl.discover import list_peers
from cellmind_ctl.figures import number
from cellmind_ctl.help import paired, width_of
from cellmind_ctl.project import FEW_HELD_OUT, MIN_HELD_OUT, Bundle
from cellmind_ctl.session import Session
from model.config import Config
from model.line.sentence import Sentence
from model.recipe import Recipe
from tokenizer.sharding.manifest import Manifest

HEADERS = ("rank", "name", "share", "tok/s")
RIGHT = ("rank", "share", "tok/s")


def make_plan(
    client: Client,
    bundle: Bundle,
    devices: str | None,
    mode: ModeChoice,
    backend: str,
    lost: Set[DeviceId] = frozenset(),
) -> RunPlan:
    """The plan for this bundle; a `backend` other than `auto` overrides the configuration's.

    `devices` is the value of --devices: names with commas between them, or None for all. Those in `lost` count as gone:
    the cell may need seconds to notice what this command knows.

    Raises UnknownNameError when a device is unknown or none can train, UsageError when the choice is impossible.
    """
    config = bundle.recipe.config
    chosen = backend_choice(config, backend)
    peers = [replace(peer, state="gone") if peer.id in lost else peer for peer in list_peers(client)]
    weights = config.model.num_weights(bundle.manifest.vocab_size)
    work = Work(weights=weights, step_tokens=config.training.batch_size * bundle.manifest.seq_len)

    def choose(members: Sequence[PeerView]) -> tuple[m.RunMode, Sentence]:
        roster = [seat_of(peer) for peer in members]
        is_measured = mode == "auto" and len({member.host for member in roster}) > 1
        return choose_mode(mode, roster, work, slowest_rate(client, roster) if is_measured else None)

    return plan_run(
        client, peers, config.training.batch_size, choose, names_in(devices), chosen, config.distributed.trusted_lan
    )


def slowest_rate(client: Client, roster: Sequence[m.RosterMember]) -> float | None:
    """What the slowest member sends to the next one of the ring while all send, in bytes a second: a network whose air
    all share shows here. None if a member could not measure it."""
    following = (*roster[1:], roster[0])
    requests = {member.device: m.ProbeRate(device=to.device) for member, to in zip(roster, following, strict=True)}
    answers = client.request_all(requests, RATE_ANSWER_SECONDS).values()
    rates = [answer.bytes_per_second for answer in answers if isinstance(answer, m.RateProbed)]
    return min(rates) if len(rates) == len(roster) else None


def backend_choice(config: Config, backend: str) -> str:
    """What the person has chosen: the option --backend, or else the configuration's."""
    return config.distributed.backend if backend == AUTO else backend


def names_in(devices: str | None) -> tuple[str, ...]:
    """The names in the value of --devices."""
    return tuple(devices.split(",")) if devices else ()


def devices_named(peers: Sequence[PeerView], devices: str | None) -> tuple[DeviceId, ...]:
    """The ids of the devices in the value of --devices. Raises UnknownNameError."""
    return tuple(dict.fromkeys(find_device(peers, name).id for name in names_in(devices)))


def plan_run(
    client: Client,
    peers: Sequence[PeerView],
    batch_samples: int,
    choose: Callable[[Sequence[PeerView]], tuple[m.RunMode, Sentence]],
    names: Sequence[str] = (),
    backend: str = AUTO,
    trusts_lan: bool = False,
) -> RunPlan:
    """The plan for those of `peers` that are online, and have one of these `names`, if there are any.

    `choose` gives the mode for those that take part. Raises as `make_plan`.

    `trusts_lan` (NCCL may leave a machine in clear) counts only on an owner's device.
    """
    is_lan_trusted = trusts_lan and any(peer.is_self and peer.role == "owner" for peer in peers)
    seating = seat(peers, batch_samples, names)
    faults = _gloo_faults(client, seating.seated) if needs_probe(seating.seated, backend, is_lan_trusted) else {}
    chosen = choose_backend(seating.seated, backend, faults, is_lan_trusted)
    return plan(seating, batch_samples, chosen, choose(seating.seated))


def _gloo_faults(client: Client, members: Sequence[PeerView]) -> dict[DeviceId, Sentence]:
    """Have all members try gloo at once. Returns the devices on which it does not work, and why.

    A member that does not answer counts as one on which gloo does not work.
    """
    answers = client.request_all({peer.id: m.ProbeGloo() for peer in members}, PROBE_SECONDS)
    faults = {
        device: answer.fault if isinstance(answer, m.GlooProbed) else answer.message
        for device, answer in answers.items()
    }
    return {device: fault for device, fault in faults.items() if fault is not None}


def plan_json(made: RunPlan, bundle: Bundle) -> dict[str, object]:
    """The plan as scripts read it."""
    training = bundle.recipe.config.training
    return {
        **to_json(made),
        "batch_size": training.batch_size,
        "epochs": training.epochs,
        "recipe": [asdict(choice) for choice in bundle.recipe.choices],
        "data": _data_json(bundle),
    }


def _data_json(bundle: Bundle) -> dict[str, object]:
    """Counts of documents, rows (of `seq_len` tokens) and tokens."""
    manifest = bundle.manifest
    return {
        "documents": manifest.train.documents,
        "held_out_documents": manifest.held_out.documents,
        "tokens": manifest.train.tokens,
        "rows": manifest.train.rows,
        "seq_len": manifest.seq_len,
        "vocab_size": manifest.vocab_size,
        "padding_tokens": manifest.train.padding,
        "padding_tokens_if_padded": manifest.train.padding_if_padded,
    }


def describe_recipe(recipe: Recipe) -> list[str]:
    """What was chosen and why: one line for each reason, and one for the size of the model."""
    values_by_why: dict[str, list[str]] = {}
    for choice in recipe.choices:
        values_by_why.setdefault(choice.why, []).append(f"{choice.key.rpartition('.')[2]} {choice.value:g}")
    return [f"{', '.join(values)} ({t(why)})" for why, values in values_by_why.items()]


def show_plan(made: RunPlan, bundle: Bundle, session: Session) -> None:
    """Show the plan to a person, on stderr: stdout is for the answer, which is the run."""
    from cellmind_ctl.render import print_table

    rows = seat_rows(made)
    print_table(session.color, HEADERS, rows, RIGHT, to_stderr=True)
    for line in paired(plan_lines(made, bundle.recipe, bundle.manifest), width_of(sys.stderr)):
        session.notice(line)


def seat_rows(made: RunPlan) -> list[list[str]]:
    """The cells of each member of the roster, in the order of HEADERS."""
    return [
        [str(rank), member.name, f"{share}/{sum(made.shares)}", number(member.tokens_per_second)]
        for rank, (member, share) in enumerate(zip(made.roster, made.shares, strict=True))
    ]


def plan_lines(made: RunPlan, recipe: Recipe, manifest: Manifest) -> Iterator[tuple[str, str]]:
    """What stands below the roster: a title and a text each."""
    yield t("mode"), f"{made.mode} ({t(made.mode_reason)})"
    yield t("backend"), f"{made.backend} ({t(made.backend_reason)})"
    train = manifest.train
    text = (
        "{documents} documents and {held_out} held out, {tokens} tokens in {rows} rows of {seq_len}, "
        "vocabulary {vocab_size}"
    )
    counts = {
        "documents": train.documents,
        "held_out": manifest.held_out.documents,
        "tokens": train.tokens,
        "rows": train.rows,
        "seq_len": manifest.seq_len,
        "vocab_size": manifest.vocab_size,
    }
    yield t("data"), t(text, **{name: f"{count:,}" for name, count in counts.items()})
    text = "{padding} padding tokens ({unpacked} if no two documents shared a row)"
    yield t("packing"), t(text, padding=f"{train.padding:,}", unpacked=f"{train.padding_if_padded:,}")
    if manifest.held_out.documents < MIN_HELD_OUT:
        yield t("warning"), t(FEW_HELD_OUT, count=manifest.held_out.documents)
    for line in describe_recipe(recipe):
        yield t("recipe"), line
    for out in made.left_out:
        yield t("without"), f"{out.name}: {t(out.why)}"
    if not made.left_out and len(made.roster) == 1:
        yield t("without"), t("other devices: only this one is online")
