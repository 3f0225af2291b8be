"""`cellmindctl train`: plan a run, start it on its leader, and watch it."""

from __future__ import annotations

import secrets
import sys
import time
from pathlib import Path
from typing import get_args

import click

from cellmind_agent.planning.backends import AUTO, BACKEND_CHOICES, BACKEND_HELP
from cellmind_agent.planning.ledger import Ledger, evaluation_interval
from cellmind_agent.planning.mode import ModeChoice
from cellmind_agent.planning.roster import RunPlan, promised
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import UnreachableError
from cellmind_agent.protocol.ids import DeviceId, parse_run_id
from cellmind_agent.words import t
from cellmind_ctl.discover import list_peers
from cellmind_ctl.keeping import keep_checkpoint
from cellmind_ctl.measuring import work_named
from cellmind_ctl.planning import backend_choice, devices_named, make_plan, plan_json, show_plan
from cellmind_ctl.project import Bundle, checkpoint_paths, make_bundle, open_project, tokenizer_path
from cellmind_ctl.push import push, refs, shard_refs, start_view
from cellmind_ctl.session import Session, command
from cellmind_ctl.story import print_contributors
from cellmind_ctl.watching import follow, summary


@command("train")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--data", multiple=True, type=click.Path(path_type=Path), help="Text to train on (repeatable).")
@click.option("--only-new", is_flag=True, help="Train only on the text that the last `data prepare --append` added.")
@click.option("--devices", metavar="NAME,...", help="Train on these devices only.")
@click.option("--all", "takes_all", is_flag=True, help="Every device takes part, also if it slows the run down.")
@click.option("--mode", type=click.Choice(get_args(ModeChoice)), default="auto", help="How the members train together.")
@click.option("--backend", type=click.Choice(BACKEND_CHOICES), default=AUTO, help=BACKEND_HELP)
@click.option("--detach", is_flag=True, help="Start the run, and do not watch it.")
@click.option("--yes", is_flag=True, help="Start without a question.")
def command_(
    session: Session,
    config: Path | None,
    data: tuple[Path, ...],
    only_new: bool,
    devices: str | None,
    takes_all: bool,
    mode: ModeChoice,
    backend: str,
    detach: bool,
    yes: bool,
) -> int:
    """Train one model together, on the text that CONFIG or --data names."""
    from tokenizer.preparing import keep_tokenizer

    # 1. Check the configuration and prepare the data, before the network is used.
    project = open_project(config, data, session)
    bundle = make_bundle(project, session, only_new)
    if only_new and bundle.start is None:
        session.warn(t("no earlier model was found, so this model learns the new text alone"))
    # 2. Plan: who takes part, who leads, and each member's share of the batch.
    # 3. Push the blobs that the leader lacks. The members fetch them from the leader.
    made = _plan_and_push(bundle, session, devices, takes_all, mode, backend, yes)
    if made is None:
        session.notice(t("no run was started"))
        return 0
    leader = made.roster[0].device
    # 4. Start the run. From here on the leader drives it, and this command only watches.
    spec = _spec(bundle, devices_named(list_peers(session.client), devices), backend, made)
    start = start_view(bundle, spec.run)
    session.client.request(m.StartRun(spec=spec, roster=made.roster, backend=made.backend, start=start), device=leader)
    tokenizer = tokenizer_path(project)
    if tokenizer and keep_tokenizer(tokenizer, bundle.data):
        session.notice(t("written: {path}", path=tokenizer))
    if detach:
        _show_detached(session, spec.run)
        return 0
    finished = follow(session, spec.run, leader)
    # 5. Print the result, and save the model where the configuration names a checkpoint.
    if finished and not session.is_json:
        print(summary(finished))
        print_contributors(session, finished.run)
    paths = checkpoint_paths(project)
    if finished and paths:
        keep_checkpoint(session, spec.run, *paths)
    return 0


def _plan_and_push(
    bundle: Bundle,
    session: Session,
    devices: str | None,
    takes_all: bool,
    mode: ModeChoice,
    backend: str,
    yes: bool,
) -> RunPlan | None:
    """The plan, when its leader has all blobs; None if the person does not agree.

    If the leader is lost meanwhile, the plan is made again without it. The person has agreed to more already.
    """
    lost: set[DeviceId] = set()
    while True:
        made = make_plan(session, bundle, devices, mode, backend, lost, takes_all)
        if not _is_agreed(made, bundle, session, yes or bool(lost)):
            return None
        leader = made.roster[0]
        try:
            sent = push(bundle, session.client, leader.device, session)
        except UnreachableError as error:
            lost.add(leader.device)
            session.warn(t("{name} went away ({why}); planning without it", name=leader.name, why=error))
            continue
        if session.is_json:
            session.emit_event("pushed", {"bytes": sent})
        return made


def _is_agreed(made: RunPlan, bundle: Bundle, session: Session, yes: bool) -> bool:
    """Show the plan. A person at a terminal is asked, unless they said `yes` before."""
    if session.is_json:
        session.emit_event("plan", plan_json(made, bundle))
        return True
    show_plan(made, bundle, session)
    if bundle.start:
        session.notice(t("starts from {path} (step {step})", path=bundle.start.weights, step=bundle.start.step))
    if yes or not sys.stdin.isatty():
        return True
    return input(t("start? [Y/n] ")).strip().lower() in ("", "y", "yes", "ㅛ", "네", "예")


def _spec(bundle: Bundle, devices: tuple[DeviceId, ...], backend: str, made: RunPlan) -> m.RunSpec:
    """The run that the leader is to start, under a new name. Only `devices` may take part, if there are any."""
    run = parse_run_id(f"run-{time.strftime('%m%d')}-{secrets.token_hex(3)}")
    config, ref_by_name = bundle.recipe.config, refs(bundle)
    training = config.training
    return m.RunSpec(
        run=run,
        config=ref_by_name["config"],
        tokenizer=ref_by_name["tokenizer"],
        manifest=ref_by_name["manifest"],
        shards=shard_refs(bundle),
        num_samples=bundle.manifest.train.rows,
        batch_samples=training.batch_size,
        epochs=training.epochs,
        max_steps=training.max_steps,
        evaluate_every=_evaluate_every(bundle),
        patience=training.patience,
        created=time.time(),
        devices=devices,
        backend=backend_choice(config, backend),
        round_seconds=config.distributed.round_seconds,
        mode=made.mode,
        work=work_named(bundle),
        center=made.center,
        left_out=made.idlers,
        forecast=promised(made),
    )


def _evaluate_every(bundle: Bundle) -> int:
    training, manifest = bundle.recipe.config.training, bundle.manifest
    ledger = Ledger(
        num_samples=manifest.train.rows,
        batch_samples=training.batch_size,
        epochs=training.epochs,
        max_steps=training.max_steps,
    )
    return evaluation_interval(ledger.total_steps, training.batch_size, manifest.held_out.rows)


def _show_detached(session: Session, run: str) -> None:
    if session.is_json:
        session.emit_event("detached", {"run": run})
    else:
        print(run)
