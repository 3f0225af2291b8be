"""What a person named (a configuration, text, a model to continue), and the bundle of files that a run needs from it.

It imports no torch and touches no network.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cellmind_agent.planning.backends import BACKEND_CHOICES
from cellmind_agent.protocol.errors import CellmindError, UsageError
from cellmind_agent.words import t
from cellmind_ctl.session import Session
from model.config import Config, ModelConfig, TokenizerConfig
from model.config_file import load_config, to_json
from model.errors import ConfigError
from model.recipe import ROW_KEY, Recipe, TextSize, choose_recipe
from tokenizer.sharding.manifest import Manifest
from tokenizer.sharding.manifest import to_json as manifest_to_json

if TYPE_CHECKING:  # what prepares text takes long to import, and `train --help` must not wait for it
    from tokenizer.preparing import Notice, TrainingData

MIN_HELD_OUT = 3  # of fewer documents the held-out loss says nothing
FEW_HELD_OUT = (
    "{count} documents are held out: too few to see whether the model learns or only repeats. With more text the "
    "held-out loss becomes meaningful"
)
_MIN_REPORTED_BYTES = 100_000_000  # the encoding of less text is done before a person would wonder
CONFIG_NAME = "cellmind.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A configuration, the folder where its relative paths begin, and the text to train on."""

    config: Config
    folder: Path
    data: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StartingModel:
    """A model that the training continues: `model.checkpoint` of the configuration.

    `tokenizer` is the SHA-256 of the tokenizer that it was trained with.
    """

    weights: Path
    state: Path
    step: int
    tokenizer: str
    shape: ModelConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Everything that the members of a run need, as files of this device. `recipe` has the configuration."""

    recipe: Recipe
    config_bytes: bytes
    tokenizer: bytes
    manifest: Manifest
    manifest_bytes: bytes
    shards: tuple[Path, ...]
    start: StartingModel | None
    data: TrainingData


def open_project(config_path: Path | None, data: Sequence[Path], session: Session) -> Project:
    """The configuration (default: cellmind.json here) with the text that it or `data` names.

    Writes nothing. Raises ConfigError, and UsageError if there is no text.
    """
    if config_path is None and Path(CONFIG_NAME).exists():
        config_path = Path(CONFIG_NAME)
    config = load_config(config_path, BACKEND_CHOICES) if config_path else Config()
    folder = config_path.absolute().parent if config_path else Path.cwd()
    if config.ignored:
        session.notice(t("note: ignored, because they are no longer needed: {keys}", keys=", ".join(config.ignored)))
    if not data:
        if not config.training.dataset.path:
            raise UsageError("there is nothing to train on", "cellmindctl train --data chat.csv")
        data = [find_path(folder, config.training.dataset.path)]
    return Project(config=config, folder=folder, data=tuple(data))


def make_bundle(project: Project, session: Session, only_new: bool = False) -> Bundle:
    """Prepare what is not prepared yet, and collect the files of a run.

    `only_new` trains on the last batch of prepared text alone. Raises TextError, UsageError, CellmindError.
    """
    from tokenizer.preparing import TrainingDataOptions, prepare_training_data

    # 1. Documents, tokenizer and shards, kept in the home and used again for the same files.
    _check_data(project.data, only_new)
    config = project.config
    start = read_starting_model(project)
    options = TrainingDataOptions(
        data=project.data,
        seq_len=config.training.dataset.seq_len if ROW_KEY in config.given else 0,
        tokenizer_path=tokenizer_path(project),
        continues=start is not None,
        vocab_size=config.tokenizer.vocab_size,
        only_new=only_new,
    )
    cache = session.home.absolute() / "prepared"
    data = prepare_training_data(
        options, cache, lambda notice: session.notice(_describe(notice)), _progress_reporter(session)
    )
    # 2. The model to continue, if there is one, must know the same tokenizer.
    if start and start.tokenizer != data.manifest.tokenizer:
        raise CellmindError(
            "the tokenizer does not match the checkpoint {weights}",
            "use the tokenizer that it was trained with (tokenizer.model_path), or another model.checkpoint",
            weights=start.weights,
        )
    # 3. The configuration without gaps, and with the vocabulary that the tokenizer really has.
    config = replace(config, tokenizer=TokenizerConfig(model_path="", vocab_size=data.manifest.vocab_size))
    train = data.manifest.train
    text = TextSize(tokens=train.tokens, rows=train.rows, seq_len=data.manifest.seq_len)
    recipe = choose_recipe(config, text, start.shape if start else None)
    return Bundle(
        recipe=recipe,
        config_bytes=to_json(recipe.config).encode(),
        tokenizer=data.tokenizer,
        manifest=data.manifest,
        manifest_bytes=manifest_to_json(data.manifest),
        shards=data.shards,
        start=start,
        data=data,
    )


def tokenizer_path(project: Project) -> Path | None:
    """The file of the project's tokenizer; None if the configuration names none."""
    model_path = project.config.tokenizer.model_path
    return find_path(project.folder, model_path) if model_path else None


def checkpoint_paths(project: Project) -> tuple[Path, Path] | None:
    """The paths of weights and state of `model.checkpoint`; None if the configuration names none.

    A name of an older version, such as `latest.pt`, means `latest.safetensors`.
    """
    name = project.config.model.checkpoint
    if not name:
        return None
    path = find_path(project.folder, name)
    return path.with_suffix(".safetensors"), path.with_suffix(".json")


def find_path(folder: Path, name: str) -> Path:
    """A path that the configuration names: relative to the working folder, or else to the configuration's folder."""
    here = Path(name)
    return here if here.is_absolute() or here.exists() else folder / name


def read_starting_model(project: Project) -> StartingModel | None:
    """The model to continue; None if the configuration names none, or it does not exist yet.

    Raises CellmindError for a pickle, and for a damaged state.
    """
    paths = checkpoint_paths(project)
    if paths is None:
        return None
    weights, state = paths
    old = find_path(project.folder, project.config.model.checkpoint)
    if old.suffix != weights.suffix and old.exists() and not weights.exists():
        raise CellmindError(
            "{old} is a pickle, and pickles can run any code: it is not loaded",
            "convert it to {weights} where you trust it, or name another model.checkpoint",
            old=old,
            weights=weights.name,
        )
    if not weights.exists():
        return None
    try:
        plain = json.loads(state.read_bytes())
        return StartingModel(
            weights=weights,
            state=state,
            step=int(plain["step"]),
            tokenizer=str(plain["tokenizer"]),
            shape=ModelConfig(**plain["config"]["model"]),
        )
    except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
        raise CellmindError(
            "{weights} has no readable state beside it ({state})",
            "name another model.checkpoint",
            weights=weights,
            state=state.name,
        ) from error


def _check_data(data: Sequence[Path], only_new: bool) -> None:
    """Raises UsageError if prepared text is mixed with raw text, or if --only-new does not apply."""
    from tokenizer.corpus.prepared.split import is_prepared

    if all(is_prepared(path) for path in data):
        return
    if only_new:
        raise UsageError("--only-new needs prepared text", "cellmindctl data prepare FILE --append --out FOLDER")
    prepared = next((path for path in data if path.is_dir() and is_prepared(path)), None)
    if prepared:
        hint = "add the rest to it: cellmindctl data prepare FILE --append --out {prepared}"
        raise UsageError("{prepared} is prepared text, and the rest is not", hint, prepared=prepared)


def _describe(notice: Notice) -> str:
    """A notice in the user's language."""
    from tokenizer import preparing
    from tokenizer.vocabulary.leaks import describe_leaks

    match notice:
        case preparing.TokenizerTrainingStarted():
            return t("training a tokenizer on the text")
        case preparing.VocabularyTooLarge(actual, requested):
            words = t(
                "the text allows {have} pieces, not the {vocab_size} asked for", have=actual, vocab_size=requested
            )
            return t("warning: {what}", what=words)
        case preparing.TokenizerLeaks(leaks):
            return t("warning: {what}", what=describe_leaks(leaks, t))
        case preparing.TokenizerOfOtherText(path, is_kept):
            if is_kept:
                return t("{path} was trained on another text; the model to continue needs it, so it is used", path=path)
            return t("{path} was trained on another text, so a tokenizer is trained on this one", path=path)


def _progress_reporter(session: Session) -> Callable[[int, int], None]:
    """A function that reports the encoding of a large text in steps of a tenth."""
    reported_tenths = 0

    def report(done_bytes: int, total_bytes: int) -> None:
        nonlocal reported_tenths
        tenths = done_bytes * 10 // max(1, total_bytes)
        if tenths > reported_tenths and total_bytes > _MIN_REPORTED_BYTES:
            reported_tenths = tenths
            session.notice(
                t("encoded {percent} % of {megabytes} MB", percent=tenths * 10, megabytes=total_bytes // 10**6)
            )

    return report
