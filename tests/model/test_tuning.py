"""Tuning: the race picks what is fastest here, and is remembered until its conditions change."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.arithmetic.gpt import GPT
from model.config import Config, DatasetConfig, ModelConfig, TrainingConfig
from model.tuning.choice import PLAIN, Tuning
from model.tuning.memory import recall, remember, tuning_key
from model.tuning.race import race
from model.tuning.tune import tune

CONFIG = Config(
    model=ModelConfig(d_model=32, nhead=2, num_layers=1),
    training=TrainingConfig(batch_size=6, dataset=DatasetConfig(seq_len=32)),
)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_race_leaves_the_weights_alone_and_uses_no_more_than_it_may() -> None:
    model = GPT(CONFIG.model, 100)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tuning = race(model, seq_len=32, own_rows=6, max_threads=1)
    assert tuning.threads == 1
    assert 1 <= tuning.micro_batch <= 6
    assert tuning.gain >= 1
    assert tuning.tokens_per_second > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_tuning_is_measured_once_and_remembered(tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    first = tune(CONFIG, 100, 1, 2, CPU, path)
    assert tune(CONFIG, 100, 1, 2, CPU, path) == first
    assert torch.get_num_threads() == first.threads
    assert [found.name for found in tmp_path.iterdir()] == ["tuning.json"]


def test_other_work_is_another_tuning(tmp_path: Path) -> None:
    keys = {
        tuning_key(CONFIG, 100, 6, 2),
        tuning_key(CONFIG, 101, 6, 2),
        tuning_key(CONFIG, 100, 3, 2),
        tuning_key(CONFIG, 100, 6, 1),
        tuning_key(replace(CONFIG, model=replace(CONFIG.model, d_model=64)), 100, 6, 2),
    }
    assert len(keys) == 5


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"key": 3}', '{"key": {"threads": 2}}'])
def test_a_damaged_memory_is_forgotten(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "tuning.json"
    path.write_text(damage)
    assert recall(path, "key") is None
    remember(path, "key", PLAIN)
    assert recall(path, "key") == PLAIN


def test_only_the_newest_tunings_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    for number in range(40):
        remember(path, f"key {number}", PLAIN)
    assert recall(path, "key 39") == PLAIN
    assert recall(path, "key 0") is None


def test_a_tuning_describes_itself_in_one_line() -> None:
    tuning = Tuning(is_bfloat16=True, threads=2, micro_batch=8, gain=3.35)
    assert tuning.describe() == "bf16, 2 threads, 8 rows at a time: 3.4 x plain fp32"
