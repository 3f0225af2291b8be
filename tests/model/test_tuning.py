"""Tuning: the race picks what is fastest here, and is remembered until its conditions change."""

import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.arithmetic.gpt import GPT
from model.config import Config, DatasetConfig, ModelConfig, TrainingConfig
from model.tuning.choice import PLAIN, Tuning
from model.tuning.memory import recall, remember, tuning_key
from model.tuning.race import race
from model.tuning.tune import Tuner
from model.tuning.turns import turn
from model.tuning.watch import SpeedWatch
from model.tuning.work import Work

CONFIG = Config(
    model=ModelConfig(d_model=32, nhead=2, num_layers=1),
    training=TrainingConfig(batch_size=6, dataset=DatasetConfig(seq_len=32)),
)
CPU = torch.device("cpu")
WORK = Work(seq_len=32, own_rows=6)


@pytest.fixture(autouse=True)
def threads() -> object:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_race_leaves_the_weights_alone_and_uses_no_more_than_it_may() -> None:
    model = GPT(CONFIG.model, 100)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    tuning = race(model, WORK, max_threads=1)
    assert tuning.threads == 1
    assert 1 <= tuning.micro_batch <= 6
    assert tuning.gain >= 1
    assert tuning.tokens_per_second > 0
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_tuning_is_measured_once_and_remembered(tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    first = Tuner(CONFIG, 100, [CPU], path).tune()
    assert Tuner(CONFIG, 100, [CPU], path).tune() == first
    assert torch.get_num_threads() == first.threads
    assert [found.name for found in tmp_path.iterdir()] == ["tuning.json"]


def test_other_work_is_another_tuning(tmp_path: Path) -> None:
    keys = {
        tuning_key(CONFIG, 100, [CPU], WORK, 2),
        tuning_key(CONFIG, 101, [CPU], WORK, 2),
        tuning_key(CONFIG, 100, [CPU], replace(WORK, own_rows=3), 2),
        tuning_key(CONFIG, 100, [CPU], WORK, 1),
        tuning_key(replace(CONFIG, model=replace(CONFIG.model, d_model=64)), 100, [CPU], WORK, 2),
        tuning_key(CONFIG, 100, [torch.device("meta")], WORK, 2),
        tuning_key(CONFIG, 100, [torch.device("meta")], replace(WORK, is_long=True), 2),
    }
    assert len(keys) == 7


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


def test_a_device_that_became_slow_is_measured_again_now_and_at_the_next_run(tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    tuner = Tuner(CONFIG, 100, [CPU], path)
    tuner.tune()
    again = tuner.tune_again()
    assert torch.get_num_threads() == again.threads
    assert json.loads(path.read_text()) == {}


def test_a_file_that_cannot_be_written_does_not_stop_a_run(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "tuning.json"
    tuner = Tuner(CONFIG, 100, [CPU], path)
    assert tuner.tune().tokens_per_second > 0
    assert tuner.tune_again().tokens_per_second > 0


def test_further_devices_share_the_rows(tmp_path: Path) -> None:
    tuning = Tuner(CONFIG, 100, [CPU, CPU, CPU], tmp_path / "tuning.json").tune()
    assert tuning.further_devices == ("cpu", "cpu")
    assert tuning.micro_batch <= 2  # of the six rows of a step


def test_only_a_lasting_drop_of_the_speed_is_an_alarm_and_the_next_one_takes_longer() -> None:
    watch = SpeedWatch(1000.0, patience_seconds=30)
    assert not any(watch.has_dropped(speed, now) for now, speed in enumerate([0.0, 900, 500, 650, 500]))
    assert not watch.has_dropped(500, 33)  # slow since 4
    assert watch.has_dropped(500, 34)
    watch.begin_again(500)
    assert not watch.has_dropped(500, 1000)
    assert not watch.has_dropped(200, 1001)
    assert not watch.has_dropped(200, 1060)
    assert watch.has_dropped(200, 1061)


def test_processes_of_one_machine_tune_in_turn(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    hold = f"import time; from pathlib import Path; from model.tuning.turns import turn; t = turn(Path({str(path)!r}))"
    words = [sys.executable, "-P", "-c", f"{hold}; t.__enter__(); print(flush=True); input(); time.sleep(0.3)"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        other.stdout.readline()
        started = time.monotonic()
        with turn(path, patience_seconds=0.2):  # a turn that never comes is not waited for
            assert time.monotonic() - started >= 0.2
        other.stdin.close()
        with turn(path, patience_seconds=30):
            assert other.wait(1) is not None  # it had ended before


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "lock").symlink_to(tmp_path / "victim")
    with turn(tmp_path / "lock"):
        assert not (tmp_path / "victim").exists()


def test_a_tuning_describes_itself_in_one_line() -> None:
    tuning = Tuning(is_bfloat16=True, threads=2, micro_batch=8, gain=3.35)
    assert tuning.describe() == "bf16, 2 threads, 8 rows at a time: 3.4 x plain fp32"
    many = replace(tuning, is_compiled=True, further_devices=("cuda:1",))
    assert many.describe() == "bf16, 2 threads, 8 rows at a time, compiled, 2 devices: 3.4 x plain fp32"
