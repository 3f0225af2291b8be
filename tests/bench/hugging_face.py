"""Hugging Face's `Trainer` on the CPU, with the settings that are fastest there: the peer of the product's trainer.

`transformers` and `accelerate` come with `pip install -c constraints.txt ".[bench]"`.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from tests.bench.plain_gpt import PlainGPT
from tests.bench.shards import Shape

os.environ["HF_HUB_OFFLINE"] = "1"  # nothing here needs a network

try:
    from transformers import Qwen3Config, Qwen3ForCausalLM, Trainer, TrainerCallback, TrainingArguments
    from transformers.utils import logging
except ImportError as error:
    raise SystemExit('transformers is missing: pip install -c constraints.txt ".[bench]"') from error


class RowsDataset(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Packed rows with their targets, under the names that the model takes them by."""

    def __init__(
        self, inputs: npt.NDArray[np.int64], targets: npt.NDArray[np.int64], target_names: tuple[str, ...]
    ) -> None:
        self._inputs, self._targets = torch.from_numpy(inputs), torch.from_numpy(targets)
        self._names = target_names

    def __len__(self) -> int:
        return len(self._inputs)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self._inputs[index], **dict.fromkeys(self._names, self._targets[index])}


def qwen3(shape: Shape) -> nn.Module:
    """The same network as transformers has it."""
    config = Qwen3Config(
        vocab_size=shape.vocab_size,
        hidden_size=shape.d_model,
        intermediate_size=shape.feed_forward_width,
        num_hidden_layers=shape.num_layers,
        num_attention_heads=shape.nhead,
        num_key_value_heads=shape.nhead,
        head_dim=shape.head_width,
        max_position_embeddings=shape.seq_len,
        tie_word_embeddings=True,
        use_cache=False,
    )
    return Qwen3ForCausalLM(config)


def train(
    model: nn.Module,
    rows: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    shape: Shape,
    folder: Path,
    on_step: Callable[[int, float], bool],
    **settings: Any,
) -> None:
    """Train in bf16 with fused AdamW. `on_step(steps, loss so far)` says whether to stop.

    `settings` are those of `TrainingArguments` that differ. The loss is that of the last logged step, NaN before.
    """
    arguments = TrainingArguments(
        **{
            "output_dir": str(folder),
            "use_cpu": True,
            "bf16": True,
            "optim": "adamw_torch_fused",
            "per_device_train_batch_size": shape.batch_size,
            "adam_beta2": 0.95,
            "weight_decay": 0.1,
            "logging_strategy": "no",
            "save_strategy": "no",
            "report_to": [],
            "disable_tqdm": True,
            "remove_unused_columns": False,
            **settings,
        }
    )
    logging.set_verbosity_error()
    names = ("labels",) if isinstance(model, PlainGPT) else ("labels", "shift_labels")
    trainer = Trainer(model=model, args=arguments, train_dataset=RowsDataset(*rows, names))
    trainer.add_callback(_OnStep(on_step))
    trainer.train()


class _OnStep(TrainerCallback):
    def __init__(self, on_step: Callable[[int, float], bool]) -> None:
        self._on_step = on_step

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        control.should_training_stop |= self._on_step(state.global_step, losses[-1] if losses else float("nan"))
