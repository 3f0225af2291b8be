"""What a trainer keeps of its states: the best weights in memory, and checkpoints on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

from torch import Tensor

from model.arithmetic.state import TrainingState, state_hash
from model.checkpoint import State, save_best, save_checkpoint
from model.config import Config
from model.config_file import to_plain
from model.continuing import HeldOutPrompts
from model.evaluation import Losses
from model.line.held_out import served_loss
from model.line.training import CheckpointWritten, WriteCheckpoint
from tokenizer.sharding.manifest import Manifest


class Keeper:
    """Keeps and saves one training state. `losses` are those of its last evaluation."""

    def __init__(self, config: Config, manifest: Manifest, state: TrainingState) -> None:
        self._config, self._manifest, self._state = config, manifest, state
        self._best: dict[str, Tensor] | None = None  # weights that are not on the disk yet

    def keep_best(self, losses: Losses) -> None:
        """Keep a copy of the weights that were evaluated last: of the live or the averaged ones, which are better."""
        self._best = {name: tensor.detach().clone() for name, tensor in self._better_weights(losses).items()}

    def forget_best(self) -> None:
        """The best weights are those of another state now."""
        self._best = None

    def save(
        self, folder: Path, run: str, call: WriteCheckpoint, losses: Losses, prompts: HeldOutPrompts | None
    ) -> CheckpointWritten:
        """Write a checkpoint under `folder`, and the best weights if they are new. Raises OSError."""
        digest, best, record = state_hash(self._state.model.state_dict()), self._best, call.held_out
        state = State(
            run=run,
            step=call.step,
            tokens=call.tokens,
            config=to_plain(self._config),
            vocab_size=self._manifest.vocab_size,
            tokenizer=self._manifest.tokenizer,
            state_hash=digest,
            val_loss=call.val_loss,
            held_out=asdict(record),
        )
        path = save_checkpoint(folder, self._state, state)
        texts = prompts.continued_by(self._better_weights(losses)) if prompts else ()
        loss = served_loss(*losses)
        written = CheckpointWritten(name=path.name, state_hash=digest, continuations=texts, served_loss=loss)
        if best is None:
            return written
        best_digest = state_hash(best)
        of_best = replace(state, step=record.best_step, val_loss=record.best_loss, state_hash=best_digest)
        written = replace(written, best=save_best(folder, best, of_best).name, best_state_hash=best_digest)
        self._best = None  # it is on the disk now
        return written

    def _better_weights(self, losses: Losses) -> Mapping[str, Tensor]:
        """The live or the averaged weights: those that had the lower loss at the last evaluation. Not copied."""
        live, average = losses
        is_average_better = average is not None and (live is None or average < live)
        return self._state.average.weights() if is_average_better else self._state.model.state_dict()
