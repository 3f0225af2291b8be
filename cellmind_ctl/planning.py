"""Makes the plan of a run from what the agents report, and shows it to people and scripts."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence, Set
from dataclasses import asdict, replace

from cellmind_agent.planning.backends import AUTO, choose_backend, needs_probe
from cellmind_agent.planning.exchange import best_averaging
from cellmind_agent.planning.forecast import INT8, Forecast, forecast
from cellmind_agent.planning.mode import ModeChoice, choose_mode, possible_modes
from cellmind_agent.planning.roster import (
    RunPlan,
    Seating,
    find_device,
    plan,
    seat,
    seat_of,
    within_batch,
    without_idlers,
)
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.ids import BackendName, DeviceId
from cellmind_agent.protocol.limits import PROBE_SECONDS
from cellmind_agent.protocol.messages import PeerView
from cellmind_agent.protocol.plain import to_json
from cellmind_agent.words import t
from cellmind_ctl.client import Client
from cellmind_ctl.closing import exact_duration
from cellmind_ctl.discover import list_peers
from cellmind_ctl.figures import number
from cellmind_ctl.help import paired, width_of
from cellmind_ctl.measuring import is_worth_measuring, measure_network, with_speeds, work_of
from cellmind_ctl.project import FEW_HELD_OUT, MIN_HELD_OUT, Bundle
from cellmind_ctl.session import Session
from model.config import Config
from model.line.sentence import Sentence
from model.recipe import Recipe
from tokenizer.sharding.manifest import Manifest

HEADERS = ("rank", "name", "share", "tok/s")
RIGHT = ("rank", "share", "tok/s")


def make_plan(
    session: Session,
    bundle: Bundle,
    devices: str | None,
    mode: ModeChoice,
    backend: str,
    lost: Set[DeviceId] = frozenset(),
    takes_all: bool = False,
    is_trial: bool = False,
) -> RunPlan:
    """The plan for this bundle; a `backend` other than `auto` overrides the configuration's.

    `devices` is the value of --devices: names with commas between them, or None for all. Those in `lost` count as gone:
    the cell may need seconds to notice what this command knows. With `takes_all` nobody is left out because it is slow.
    With `is_trial` nothing is started: speeds are measured even if they would not change the plan.

    Raises UnknownNameError when a device is unknown or none can train, UsageError when the choice is impossible.
    """
    # 1. Who can train, and how fast?
    client, config, names = session.client, bundle.recipe.config, names_in(devices)
    batch_samples = config.training.batch_size
    peers = [replace(peer, state="gone") if peer.id in lost else peer for peer in list_peers(client)]
    able = seat(peers, names).seated
    has_network = len({seat_of(peer).host for peer in able}) > 1
    is_chosen = has_network and not names and not takes_all
    is_open = is_chosen or (has_network and mode == "auto") or (is_trial and not takes_all)
    is_measured = is_open and is_worth_measuring(bundle) and not lost
    found, is_known = with_speeds(session, able, bundle, mode, is_measured)
    known = {peer.id: peer for peer in found}
    seating = seat([known.get(peer.id, peer) for peer in peers], names)
    # 2. Who helps, over this network? A device for which the person has asked takes part.
    work, roster = work_of(bundle), [seat_of(peer) for peer in seating.seated]
    network = measure_network(client, roster, work) if mode != "ddp" or is_chosen else None
    subsets: tuple[Forecast, ...] = ()
    if network:
        chosen, subsets = without_idlers(seating, possible_modes(mode, roster), work, network)
        seating = chosen if is_chosen and is_known else seating
    # 3. How they train together.
    chosen_mode = choose_mode(mode, [seat_of(peer) for peer in seating.seated], work, network)
    seating = within_batch(seating, batch_samples, chosen_mode[0])
    roster = [seat_of(peer) for peer in seating.seated]
    is_apart = network and chosen_mode[0] == "local" and len(roster) > 1
    made = forecast(chosen_mode[0], roster, work, network) if network else None
    averaging = best_averaging(roster, INT8 * work.weights, network) if network and is_apart else None
    averaging = made.averaging if made and is_apart else averaging
    trusts_lan = config.distributed.trusted_lan and any(peer.is_self and peer.role == "owner" for peer in peers)
    chosen_backend = _backend_of(client, seating, backend_choice(config, backend), trusts_lan)
    return plan(seating, batch_samples, chosen_backend, chosen_mode, averaging, made, subsets)


def plan_again(client: Client, spec: m.RunSpec, peers: Sequence[PeerView], names: Sequence[str]) -> RunPlan:
    """The plan to go on with a run, on those of `peers` that have one of these names, if there are any. Raises as
    `make_plan`."""
    seating = within_batch(seat(peers, names), spec.batch_samples, spec.mode)
    backend = _backend_of(client, seating, spec.backend, is_lan_trusted=False)
    return plan(seating, spec.batch_samples, backend, (spec.mode, Sentence("as before")))


def backend_choice(config: Config, backend: str) -> str:
    """What the person has chosen: the option --backend, or else the configuration's."""
    return config.distributed.backend if backend == AUTO else backend


def names_in(devices: str | None) -> tuple[str, ...]:
    """The names in the value of --devices."""
    return tuple(devices.split(",")) if devices else ()


def devices_named(peers: Sequence[PeerView], devices: str | None) -> tuple[DeviceId, ...]:
    """The ids of the devices in the value of --devices. Raises UnknownNameError."""
    return tuple(dict.fromkeys(find_device(peers, name).id for name in names_in(devices)))


def _backend_of(client: Client, seating: Seating, backend: str, is_lan_trusted: bool) -> tuple[BackendName, Sentence]:
    """The process group, and why. NCCL may leave a machine in clear only if an owner trusts the network."""
    faults = _gloo_faults(client, seating.seated) if needs_probe(seating.seated, backend, is_lan_trusted) else {}
    return choose_backend(seating.seated, backend, faults, is_lan_trusted)


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
        **to_json(replace(made, averaging=None, forecast=None, subsets=())),
        "center": made.averaging.center.name if made.averaging and made.averaging.center else None,
        "forecast": {
            "plan": _forecast_json(made.forecast) if made.forecast else None,
            "subsets": [_forecast_json(one) for one in made.subsets],
        },
        "batch_size": training.batch_size,
        "epochs": training.epochs,
        "recipe": [asdict(choice) for choice in bundle.recipe.choices],
        "data": _data_json(bundle),
    }


def _forecast_json(made: Forecast) -> dict[str, object]:
    """Seconds and tokens a second of one set of devices. `center` averages for all; null: each averages a part."""
    center = made.averaging.center if made.averaging else None
    return {
        "devices": [member.name for member in made.members],
        "mode": made.mode,
        "tokens_per_second": made.tokens_per_second,
        "useful_tokens_per_second": made.useful_speed,
        "exchange_seconds": made.exchange_seconds,
        "center": center.name if center else None,
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
    yield from _forecast_lines(made)
    if made.forecast:
        training = recipe.config.training
        tokens = manifest.train.tokens * training.epochs
        if training.max_steps is not None:
            tokens = min(tokens, training.max_steps * training.batch_size * manifest.seq_len)
        text = "about {duration} for {epochs} epochs, or less if it learns nothing more"
        yield (
            t("time"),
            t(text, duration=exact_duration(tokens / made.forecast.tokens_per_second), epochs=training.epochs),
        )
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


def _forecast_lines(made: RunPlan) -> Iterator[tuple[str, str]]:
    """What was forecast for this plan, and for other sets of devices."""
    if made.averaging:
        seconds, center = f"{made.averaging.seconds:.2g}", made.averaging.center
        text = "{seconds} s a round; each member averages a part"
        if center:
            text = "{seconds} s a round, through {name}, which is connected best"
        yield t("averages"), t(text, seconds=seconds, name=center.name if center else "")
    for one in made.subsets if len(made.subsets) > 1 else (made.forecast,) if made.forecast else ():
        text = "{names}: {speed} tokens/s"
        if one.mode == "local" and len(one.members) > 1:
            text = "{names}: {speed} tokens/s, worth {useful} of one device"
        names = ", ".join(member.name for member in one.members)
        yield t("forecast"), t(text, names=names, speed=number(one.tokens_per_second), useful=number(one.useful_speed))
