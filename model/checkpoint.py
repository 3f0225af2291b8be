"""Checkpoints: safetensors and one JSON state, written whole or not at all. The last two are kept. Never a pickle.

    step-000000120/
      model.safetensors        weights
      optimizer.safetensors    what the next step needs beside them: the optimiser's state, the averaged weights
      state.json               everything else that a run needs to continue exactly
    best-000000090/            the weights with the lowest held-out loss, live or averaged, and their state

No random state is saved: randomness depends on seed, step and rank alone. So every member writes the same files.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from torch import Tensor, nn

from model.arithmetic.state import TrainingState
from model.errors import CheckpointError
from model.line.checkpoint import OPTIMIZER_FILE, STATE_FILE, WEIGHTS_FILE
from model.tensor_file import encode, load

KEPT = 2  # a newer checkpoint may turn out to be unusable


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything besides tensors that a run needs to continue."""

    run: str
    step: int
    tokens: int  # targets trained on so far
    config: dict[str, object]  # the whole configuration, as JSON values
    vocab_size: int
    tokenizer: str  # its SHA-256
    state_hash: str
    val_loss: float | None = None  # in nats a token
    held_out: dict[str, object] = field(default_factory=dict)  # the fields of a HeldOutRecord


def save_checkpoint(folder: Path, training: TrainingState, state: State) -> Path:
    """Write `folder/step-N` whole or not at all, and remove all but the last two. Returns its path.

    Raises OSError, for instance on a full disk; then the folder is as before.
    """
    files = {
        WEIGHTS_FILE: encode(training.model.state_dict()),
        OPTIMIZER_FILE: encode(training.tensors_beside_weights()),
        STATE_FILE: _state_bytes(state),
    }
    path = _write_folder(folder / f"step-{state.step:09d}", files)
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)
    return path


def save_best(folder: Path, weights: Mapping[str, Tensor], state: State) -> Path:
    """Write the best weights as `folder/best-N` whole or not at all, and remove older ones. Raises OSError."""
    files = {WEIGHTS_FILE: encode(weights), STATE_FILE: _state_bytes(state)}
    path = _write_folder(folder / f"best-{state.step:09d}", files)
    for old in folder.glob("best-*"):
        if old != path:
            shutil.rmtree(old)
    return path


def _write_folder(path: Path, files: Mapping[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir()
        for name, data in files.items():
            _write(temporary / name, data)
        shutil.rmtree(path, ignore_errors=True)  # a run that was resumed may reach the same step again
        os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return path


def read_state(path: Path) -> State:
    """The state in a `state.json`. Raises CheckpointError."""
    try:
        return State(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError) as error:
        raise CheckpointError(
            "{path} is no checkpoint state", "use an older checkpoint: cellmindctl models", path=path
        ) from error


def load_weights(path: Path, model: nn.Module) -> None:
    """Load a `model.safetensors` into `model`. Raises CheckpointError: not safetensors, or other names or shapes."""
    tensors = _read(path)
    expected = {name: tensor.shape for name, tensor in model.state_dict().items()}
    found = {name: tensor.shape for name, tensor in tensors.items()}
    if expected != found:
        name, _ = min(set(expected.items()) ^ set(found.items()))
        raise CheckpointError(
            "the checkpoint does not fit the configuration ({name} is {shape} there)",
            "use the configuration and tokenizer that it was trained with",
            name=name,
            shape=tuple(found.get(name, ())),
        )
    model.load_state_dict(tensors)


def load_beside_weights(path: Path, training: TrainingState) -> None:
    """Load an `optimizer.safetensors`. Raises CheckpointError: not safetensors, or another optimiser or model."""
    try:
        training.load_beside_weights(_read(path))
    except ValueError as error:
        raise CheckpointError(
            "{path} does not fit the optimiser or the model ({error})",
            "start a new run from its weights",
            path=path,
            error=error,
        ) from error


def _read(path: Path) -> dict[str, Tensor]:
    try:
        return load(path)
    except (OSError, ValueError) as error:
        raise CheckpointError(
            "{path} is no safetensors file: {error}", "pickles are never loaded", path=path, error=error
        ) from error


def _state_bytes(state: State) -> bytes:
    return json.dumps(asdict(state), indent=1, sort_keys=True).encode()


def _write(path: Path, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
