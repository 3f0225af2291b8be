"""`cellmindctl config`: what a configuration means."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from cellmind_ctl.bundle import CONFIG_NAME
from cellmind_ctl.session import Group, Session, pass_session
from cellmind_ctl.words import t
from model.config import Config, load_config, strip_comments


@click.group("config", cls=Group)
def command_() -> None:
    """What a configuration file means."""


@command_.command("show")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--origin", is_flag=True, help="Say where each value comes from.")
@pass_session
def show_(session: Session, config: Path | None, origin: bool) -> None:
    """Every setting of CONFIG (default: cellmind.json here, or none), defaults filled in."""
    path = config or (Path(CONFIG_NAME) if Path(CONFIG_NAME).exists() else None)
    loaded = load_config(path) if path else Config()
    plain = asdict(loaded)
    ignored = plain.pop("ignored")
    written = json.loads(strip_comments(path.read_text(encoding="utf-8-sig"))) if path else {}
    if session.is_json:
        data: dict[str, Any] = {"config": plain, "ignored": list(ignored)}
        if origin:
            data["origin"] = {key: _origin(key, written, path) for key, _ in _flat(plain)}
        session.emit("config.show", data)
        return
    for key, value in _flat(plain):
        note = f"  # {_origin(key, written, path)}" if origin else ""
        print(f"{key} = {json.dumps(value, ensure_ascii=False)}{note}")
    if ignored:
        session.tell("note: " + t("not needed any more and ignored: {keys}", keys=", ".join(ignored)))


def _flat(plain: dict[str, Any], where: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in plain.items():
        place = f"{where}.{key}" if where else key
        found += _flat(value, place) if isinstance(value, dict) else [(place, value)]
    return found


def _origin(key: str, written: dict[str, Any], path: Path | None) -> str:
    at: Any = written
    for part in key.split("."):
        at = at.get(part) if isinstance(at, dict) and part in at else None
        if at is None:
            return "default"
    return str(path)
