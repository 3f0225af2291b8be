"""A run whose held-out loss rises, over two real agents: it ends early, and the best weights are kept and answer."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from tests.agents import Cell, Device
from tests.integration.test_run import of_kind

SYLLABLES = "가나다라마바사아자차카타파하거너더러머버서어저처"
CONFIG: dict[str, Any] = {
    "model": {"d_model": 64, "nhead": 2, "num_layers": 2, "dropout": 0.0},
    "tokenizer": {"model_path": "tokenizer.model", "vocab_size": 300},
    "training": {"batch_size": 8, "epochs": 1000, "lr": 0.01, "dataset": {"path": "train.jsonl", "seq_len": 32}},
}


def make_project(folder: Path) -> Path:
    """Text without any rule: it can only be learnt by heart, so the loss on other text of its kind soon rises."""
    folder.mkdir(parents=True)
    chance = random.Random(1)
    texts = ["".join(chance.choices(SYLLABLES, k=30)) for _ in range(80)]
    (folder / "train.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (folder / "cellmind.json").write_text(json.dumps(CONFIG))
    return folder


def best_of(device: Device, run: str) -> dict[str, Any]:
    found = [model for model in device.ctl("models", "--json").data if model["model"] == run and model["is_best"]]
    assert len(found) == 1
    return found[0]


@pytest.mark.timeout(240)
def test_a_run_that_learns_by_heart_ends_early_and_its_best_weights_answer(cell: Cell) -> None:
    devices = cell.of("하나", "둘")
    project = make_project(cell.folder / "project")
    trained = devices[0].ctl("train", "--json", "--yes", cwd=project, timeout=180)
    assert trained.code == 0, trained.out + trained.err
    committed, finished = of_kind(trained.events, "round_committed"), of_kind(trained.events, "finished")[0]
    run = committed[0]["run"]
    # 1. It ended after two evaluations that were worse than the best.
    assert finished["early"]
    assert not finished["stopped"]
    assert finished["step"] < committed[0]["total_steps"]
    losses = {
        event["step"]: min(event["val_loss"], event["average_val_loss"])
        for event in committed
        if event["val_loss"] is not None
    }
    assert finished["best_step"] == min(losses, key=lambda step: losses[step])
    assert finished["best_val_loss"] == pytest.approx(min(losses.values()))
    assert [step for step in losses if step > finished["best_step"]] == sorted(losses)[-2:]
    # 2. Both devices hold the same best weights, and answer with them.
    bests = [best_of(device, run) for device in devices]
    assert {best["step"] for best in bests} == {finished["best_step"]}
    assert len({best["state_hash"] for best in bests}) == 1
    for device in devices:
        asked = devices[0].ctl("ask", "가나", "--json", "-n", "4", "--device", device.name)
        assert asked.code == 0, asked.out + asked.err
        assert of_kind(asked.events, "started")[0]["step"] == finished["best_step"]
    # 3. A resumed run goes on from the last step, not from the best one, and remembers what was best.
    resumed = devices[1].ctl("resume", run, "--json", cwd=project, timeout=120)
    assert resumed.code == 0, resumed.out + resumed.err
    assert of_kind(resumed.events, "plan")[0]["step"] == finished["step"]
    again = of_kind(resumed.events, "finished")[0]
    assert again["early"]
    assert again["best_step"] == finished["best_step"]
    assert best_of(devices[1], run)["step"] == finished["best_step"]
