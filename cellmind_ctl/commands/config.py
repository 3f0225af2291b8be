"""`cellmindctl config`: explain a configuration file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import click

from cellmind_agent.planning.backends import BACKEND_CHOICES
from cellmind_agent.words import t
from cellmind_ctl.project import CONFIG_NAME
from cellmind_ctl.session import Group, Session, pass_session
from model.config import Config
from model.config_file import load_config, to_plain
from model.recipe import CHOSEN_KEYS


@click.group("config", cls=Group)
def command_() -> None:
    """Explain a configuration file."""


@command_.command("show")
@click.argument("config", required=False, type=click.Path(path_type=Path))
@click.option("--origin", is_flag=True, help="Show where each value comes from.")
@pass_session
def show_(session: Session, config: Path | None, origin: bool) -> None:
    """Show every setting of CONFIG, with defaults filled in.

    Without CONFIG, cellmind.json of the working folder is shown, or else the defaults.
    """
    path = config or (Path(CONFIG_NAME) if Path(CONFIG_NAME).exists() else None)
    loaded = load_config(path, BACKEND_CHOICES) if path else Config()
    plain, ignored = to_plain(loaded), loaded.ignored
    if session.is_json:
        data: dict[str, object] = {"config": plain, "ignored": list(ignored)}
        if origin:
            data["origin"] = {key: _origin(key, loaded, path) for key, _ in _flat(plain)}
        session.emit("config.show", data)
        return
    for key, value in _flat(plain):
        note = f"  # {t(_origin(key, loaded, path))}" if origin else ""
        print(f"{key} = {json.dumps(value, ensure_ascii=False)}{note}")
    if ignored:
        session.notice(t("note: ignored, because they are no longer needed: {keys}", keys=", ".join(ignored)))


def _flat(settings: Mapping[str, object], section: str = "") -> list[tuple[str, object]]:
    """Each setting as `section.key` and its value."""
    found: list[tuple[str, object]] = []
    for key, value in settings.items():
        full_key = f"{section}.{key}" if section else key
        found += _flat(value, full_key) if isinstance(value, dict) else [(full_key, value)]
    return found


def _origin(full_key: str, config: Config, path: Path | None) -> str:
    """The file that sets this key; `auto`, if the text will decide; or else `default`."""
    if full_key in config.given:
        return str(path)
    return "auto" if full_key in CHOSEN_KEYS else "default"
