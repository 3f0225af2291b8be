"""From a configuration and text to what a run needs: configuration, tokenizer and token shards, as blobs. No torch.

    raw files -> cleaned documents -> tokenizer (trained if there is none) -> packed shards -> blobs at the leader

What was prepared from the same files is kept in the home and used again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cellmind_agent.planning.backends import BACKEND_CHOICES
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.blobs import BlobRef, chunks
from cellmind_agent.protocol.errors import CellmindError, UsageError
from cellmind_agent.protocol.ids import BlobId, DeviceId
from cellmind_ctl.client import Client
from cellmind_ctl.session import Session
from cellmind_ctl.words import t
from model.config import Config, TokenizerConfig, load_config, to_json
from tokenizer.clean.sources import find_sources
from tokenizer.encoding import Encoder
from tokenizer.metrics import say_survivors, survivors
from tokenizer.prepare import prepare
from tokenizer.sharding import write_shards
from tokenizer.shards import Manifest
from tokenizer.shards import to_json as manifest_json
from tokenizer.stats import STATS, read_stats
from tokenizer.suggest import sample, suggest_vocab_size
from tokenizer.texts import Stretch, is_prepared, prepared_sides, read_stretches
from tokenizer.training import TokenizerSettings, train_tokenizer, write_tokenizer

_PUSH_SECONDS = 60.0
_WORTH_TELLING = 100_000_000  # bytes of text
CONFIG_NAME = "cellmind.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What a person named: a configuration and where its relative paths begin."""

    config: Config
    folder: Path
    data: tuple[Path, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A model that training takes up: `model.checkpoint` of the configuration."""

    weights: Path
    state: Path
    step: int
    tokenizer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundle:
    """Everything that members need, as files of this device."""

    config: bytes
    tokenizer: bytes
    manifest: Manifest
    manifest_bytes: bytes
    shards: tuple[Path, ...]
    start: Start | None


def open_project(config_path: Path | None, data: Sequence[Path], session: Session) -> Project:
    """Raises ConfigError, UsageError. Touches no network and writes nothing."""
    if config_path is None and Path(CONFIG_NAME).exists():
        config_path = Path(CONFIG_NAME)
    config = load_config(config_path, BACKEND_CHOICES) if config_path else Config()
    folder = config_path.absolute().parent if config_path else Path.cwd()
    if config.ignored:
        session.notice(
            "note: " + t("ignored, because they are no longer needed: {keys}", keys=", ".join(config.ignored))
        )
    if not data:
        if not config.training.dataset.path:
            raise UsageError("there is nothing to train on", "cellmindctl train --data chat.csv")
        data = [find_path(folder, config.training.dataset.path)]
    return Project(config=config, folder=folder, data=tuple(data))


def make_bundle(project: Project, session: Session, only_new: bool = False) -> Bundle:
    """Prepare what is not prepared yet. `only_new`: train on the last batch of prepared text alone. Raises TextError,
    CellmindError."""
    config = project.config
    kept = session.home.absolute() / "prepared" / _key(project)
    # 1. Documents: prepared JSONL as it is, anything else cleaned first.
    data = project.data
    if not all(is_prepared(path) for path in data):
        if only_new:
            raise UsageError("--only-new needs prepared text", "cellmindctl data prepare FILE --append --out FOLDER")
        mixed = next((path for path in data if path.is_dir() and is_prepared(path)), None)
        if mixed:
            hint = f"add the rest to it: cellmindctl data prepare FILE --append --out {mixed}"
            raise UsageError(f"{mixed} is prepared text, and the rest is not", hint)
        if not is_prepared(kept / "data"):
            prepare(data, kept / "data")
        data = (kept / "data",)
    # 2. The tokenizer: the configured one, or one trained on this text.
    sides = prepared_sides(data)
    tokenizer = _tokenizer(project, sides.train, kept, session)
    encoder = Encoder(tokenizer)
    # 3. Shards, packed for this sequence length.
    seq_len = config.training.dataset.seq_len
    folder = kept / f"shards-{seq_len}-{encoder.digest[:12]}"
    if only_new:
        sides = prepared_sides(data, only_new)
    manifest = write_shards(sides, tokenizer, seq_len, folder, _Encoding(session))
    names = [file.name for file in (*manifest.train.files, *manifest.held_out.files)]
    # 4. The configuration as it really is, and the model to take up, if there is one.
    config = replace(config, tokenizer=TokenizerConfig(model_path="", vocab_size=encoder.vocab_size))
    start = _start(project)
    if start and start.tokenizer != encoder.digest:
        raise CellmindError(
            f"the tokenizer does not match the checkpoint {start.weights}",
            "use the tokenizer that it was trained with (tokenizer.model_path), or another model.checkpoint",
        )
    return Bundle(
        config=to_json(config).encode(),
        tokenizer=tokenizer,
        manifest=manifest,
        manifest_bytes=manifest_json(manifest),
        shards=tuple(folder / name for name in names),
        start=start,
    )


def refs(bundle: Bundle) -> dict[str, BlobRef]:
    """The references of the three small blobs."""
    small = {"config": bundle.config, "tokenizer": bundle.tokenizer, "manifest": bundle.manifest_bytes}
    return {name: _ref(data) for name, data in small.items()}


def shard_refs(bundle: Bundle) -> tuple[BlobRef, ...]:
    files = (*bundle.manifest.train.files, *bundle.manifest.held_out.files)
    return tuple(BlobRef(id=BlobId(file.sha256), size=file.size) for file in files)


def push(bundle: Bundle, client: Client, leader: DeviceId, session: Session) -> int:
    """Put the blobs that the leader lacks there; the bytes that were sent."""
    sources: list[tuple[BlobRef, bytes | Path]] = [
        (_ref(data), data) for data in (bundle.config, bundle.tokenizer, bundle.manifest_bytes)
    ]
    sources += list(zip(shard_refs(bundle), bundle.shards, strict=True))
    if bundle.start:
        sources += [(_ref_of(path), path) for path in (bundle.start.weights, bundle.start.state)]
    asked = m.FindBlobs(refs=tuple(ref for ref, _ in sources))
    present = client.request(asked, device=leader).present
    missing = sum(ref.size - have for (ref, _), have in zip(sources, present, strict=True))
    if missing > 1_000_000:
        session.notice(t("pushing {megabytes} MB", megabytes=f"{missing / 1e6:.1f}"))
    for (ref, source), have in zip(sources, present, strict=True):
        _push_one(client, leader, ref, source, have)
    return missing


def start_view(bundle: Bundle, run: str) -> m.ModelView | None:
    """The model to take up, as a checkpoint at step 0 that has weights and no optimiser."""
    if bundle.start is None:
        return None
    from cellmind_agent.protocol.ids import parse_run_id

    return m.ModelView(
        model=parse_run_id(run),
        step=0,
        tokens=0,
        state_hash="",
        files={"model.safetensors": _ref_of(bundle.start.weights), "state.json": _ref_of(bundle.start.state)},
        tokenizer=_ref(bundle.tokenizer),
        created=0.0,
    )


def checkpoint_paths(project: Project) -> tuple[Path, Path] | None:
    """Where `model.checkpoint` keeps weights and state: `latest.pt` of old files means `latest.safetensors`."""
    name = project.config.model.checkpoint
    if not name:
        return None
    path = find_path(project.folder, name)
    return path.with_suffix(".safetensors"), path.with_suffix(".json")


def find_path(folder: Path, name: str) -> Path:
    """A path of the configuration: from the working folder, or else from the configuration's own."""
    here = Path(name)
    return here if here.is_absolute() or here.exists() else folder / name


def _start(project: Project) -> Start | None:
    """Raises CellmindError for a pickle, or a state that is damaged."""
    paths = checkpoint_paths(project)
    if paths is None:
        return None
    weights, state = paths
    old = find_path(project.folder, project.config.model.checkpoint)
    if old.suffix != weights.suffix and old.exists() and not weights.exists():
        raise CellmindError(
            f"{old} is a pickle, and pickles can run any code: it is not loaded",
            f"convert it to {weights.name} where you trust it, or name another model.checkpoint",
        )
    if not weights.exists():
        return None
    try:
        plain = json.loads(state.read_bytes())
        return Start(weights=weights, state=state, step=int(plain["step"]), tokenizer=str(plain["tokenizer"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CellmindError(
            f"{weights} has no readable state beside it ({state.name})", "name another model.checkpoint"
        ) from error


def _tokenizer(project: Project, documents: Sequence[Stretch], kept: Path, session: Session) -> bytes:
    wish = project.config.tokenizer
    if wish.model_path:
        path = find_path(project.folder, wish.model_path)
        if path.exists():
            return path.read_bytes()
    size = sum(stretch.size for stretch in documents)
    wanted = wish.vocab_size or suggest_vocab_size(size)
    kept_model = kept / f"tokenizer-{wish.vocab_size or 'suggested'}.model"
    if kept_model.exists():
        return kept_model.read_bytes()
    session.notice(t("training a tokenizer on the text"))
    model = train_tokenizer(sample(read_stretches(documents), size), TokenizerSettings(vocab_size=wanted))
    encoder = Encoder(model)
    have = encoder.vocab_size
    if have < wish.vocab_size:
        session.notice(
            "warning: "
            + t("the text allows {have} pieces, not the {asked} asked for", have=have, asked=wish.vocab_size)
        )
    warning = say_survivors(survivors(encoder, {stretch.path.parent for stretch in documents}))
    if warning:
        session.notice(f"warning: {warning}")
    write_tokenizer(model, kept, kept_model.stem)
    if wish.model_path:
        path = find_path(project.folder, wish.model_path)
        write_tokenizer(model, path.parent, path.stem)
        session.notice(t("written: {path}", path=path))
    return model


def _key(project: Project) -> str:
    """Names what was made of the data: prepared folders by their identity, which stays when text is added, so that
    tokenizer and shards are used again; other files by name, size and time of change."""
    digest = hashlib.sha256(b"prepared-3")
    for path in project.data:
        if (path / STATS).exists():
            digest.update(f"{read_stats(path).id}\0".encode())
            continue
        for source in find_sources([path])[0]:
            digest.update(f"{source.identity}\0".encode())
    return digest.hexdigest()[:16]


class _Encoding:
    """Tells how far the encoding is, in tenths, when it takes long."""

    def __init__(self, session: Session) -> None:
        self._session, self._told = session, 0

    def __call__(self, done: int, total: int) -> None:
        tenths = done * 10 // max(1, total)
        if tenths > self._told and total > _WORTH_TELLING:
            self._told = tenths
            self._session.notice(
                t("encoded {percent} % of {megabytes} MB", percent=tenths * 10, megabytes=total // 10**6)
            )


def _push_one(client: Client, leader: DeviceId, ref: BlobRef, source: bytes | Path, have: int) -> None:
    if have == ref.size and ref.size:
        return
    if ref.size == 0:
        client.request(m.WriteBlob(ref=ref, offset=0, data=b""), device=leader)
    for offset, data in _pieces(ref, source, have):
        client.request(m.WriteBlob(ref=ref, offset=offset, data=data), device=leader, seconds=_PUSH_SECONDS)


def _pieces(ref: BlobRef, source: bytes | Path, start: int) -> Iterator[tuple[int, bytes]]:
    if isinstance(source, bytes):
        for chunk in chunks(ref.size, start):
            yield chunk.offset, source[chunk.offset : chunk.offset + chunk.length]
        return
    with open(source, "rb") as file:
        file.seek(start)
        for chunk in chunks(ref.size, start):
            yield chunk.offset, file.read(chunk.length)


def _ref(data: bytes) -> BlobRef:
    return BlobRef(id=BlobId(hashlib.sha256(data).hexdigest()), size=len(data))


def _ref_of(path: Path) -> BlobRef:
    with open(path, "rb") as file:
        return BlobRef(id=BlobId(hashlib.file_digest(file, "sha256").hexdigest()), size=path.stat().st_size)
