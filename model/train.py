"""The training program: `python -P -m model.train`, started by an agent and speaking JSON lines with it.

Calls: `prepare`, then `train_round` and `save_checkpoint` as the leader says. Events: `progress`.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from model.link import AgentLink


def main() -> int:
    link = AgentLink()  # before torch is imported: an agent that goes away meanwhile must end us
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    program = _Program(link)
    for number, method, params in link.calls():
        try:
            link.answer(number, program.serve(method, params))
        except Exception as error:
            words = _words(error)
            logging.getLogger(__name__).debug("failed", exc_info=error)
            print(words, file=sys.stderr, flush=True)
            link.refuse(number, words)
            program.close()
            sys.stderr.flush()
            os._exit(1)  # a process group whose member is gone may take its time over being torn down
    return 0


class _Program:
    def __init__(self, link: AgentLink) -> None:
        self._link = link
        self._trainer: Any = None
        self._metrics: Any = None
        self._orders: dict[str, Any] = {}

    def serve(self, method: str, params: dict[str, Any]) -> Any:
        match method:
            case "prepare":
                return self._prepare(params)
            case "train_round":
                return self._train_round(params)
            case "save_checkpoint":
                return self._save_checkpoint(params)
        raise ValueError(f"unknown call {method}")

    def close(self) -> None:
        if self._metrics:
            self._metrics.close()

    def _prepare(self, orders: dict[str, Any]) -> dict[str, Any]:
        """1. Configuration and data. 2. Threads and device. 3. Meet the others. 4. The state to start from."""
        import torch

        from model.config import load_config
        from model.data import PackedData
        from model.groups import join
        from model.metrics import Metrics
        from model.trainer import Trainer, choose_device, choose_threads
        from tokenizer.shards import read_manifest

        self._orders = orders
        rank, size = orders["rank"], orders["size"]
        config = load_config(Path(orders["config"]))
        manifest = read_manifest(Path(orders["manifest"]))
        data = PackedData(manifest, [Path(path) for path in orders["shards"]], config.training.seed)
        torch.set_num_threads(choose_threads(len(orders["near"]) + 1))
        torch.set_float32_matmul_precision("high")
        device = choose_device(os.environ.get("CELLMIND_DEVICE"), rank)
        seconds = float(orders["rendezvous_seconds"])
        group = join(orders["backend"], rank, size, self._link, device, seconds, orders["near"])
        if rank == 0:
            self._metrics = Metrics(Path(orders["folder"]))
        self._trainer = Trainer(config, manifest, data, group, orders["total_steps"], self._metrics, self._link.tell)
        start = orders["resume"]
        if start:
            moments = start.get("optimizer.safetensors")
            self._trainer.resume(
                Path(start["model.safetensors"]), Path(start["state.json"]), Path(moments) if moments else None
            )
        return {"device_kind": device.type, "threads": torch.get_num_threads()}

    def _train_round(self, orders: dict[str, Any]) -> dict[str, Any]:
        from model.trainer import Span

        spans = [Span(epoch=epoch, start=start, stop=stop) for epoch, start, stop in orders["spans"]]
        return asdict(self._trainer.train_round(orders["first_step"], spans, orders["evaluate"]))

    def _save_checkpoint(self, orders: dict[str, Any]) -> dict[str, Any]:
        folder = Path(self._orders["folder"]) / "checkpoints"
        path, digest = self._trainer.save(
            folder, self._orders["run"], orders["step"], orders["tokens"], orders["val_loss"]
        )
        return {"name": path.name, "state_hash": digest}


def _words(error: Exception) -> str:
    """One line that a person can use."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    message = getattr(error, "message", None) or str(error).strip() or type(error).__name__
    hint = getattr(error, "hint", None)
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:400] + (f" ({hint})" if hint else "")


if __name__ == "__main__":
    sys.exit(main())
