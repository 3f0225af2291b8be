"""The small projects of the benchmarks in which devices come and go."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.shards import Shape

ENDLESS_EPOCHS = 100_000


def small_config(shape: Shape, round_seconds: float = 0.0, **training: Any) -> dict[str, Any]:
    """A network without dropout, whose masks would depend on the ranks. The run never ends by itself unless `max_steps`
    is given. `round_seconds` 0 leaves that key out."""
    return {
        "model": {"d_model": shape.d_model, "nhead": shape.nhead, "num_layers": shape.num_layers, "dropout": 0.0},
        "tokenizer": {"vocab_size": shape.vocab_size},
        "training": {
            "batch_size": shape.batch_size,
            "epochs": ENDLESS_EPOCHS,
            "patience": 0,
            "lr": 0.003,
            "dataset": {"path": "train.jsonl", "seq_len": shape.seq_len},
            **training,
        },
        **({"distributed": {"round_seconds": round_seconds}} if round_seconds else {}),
    }


def random_texts(count: int, chance: random.Random) -> list[str]:
    """Documents of 128 random digits: enough text for a vocabulary of thousands, and nothing to learn."""
    return [f"{chance.getrandbits(512):0128x}" for _ in range(count)]


def write_text(folder: Path, texts: Sequence[str], config: dict[str, Any]) -> Path:
    """Write a project: each text is a document. Returns its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = "".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts)
    (folder / "train.jsonl").write_text(lines, encoding="utf-8")
    (folder / "cellmind.json").write_text(json.dumps(config), encoding="utf-8")
    return folder
