"""Training: k unequal members equal one device; a resumed run continues to the bit; checkpoints are whole and safe."""

import errno
import os
import pickle
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from hypothesis import given, settings
from hypothesis import strategies as st

from model import checkpoint as checkpoint_module
from model.arithmetic.gpt import GPT, IGNORED
from model.arithmetic.state import state_hash
from model.checkpoint import load_weights, read_state
from model.config import Config, DatasetConfig, ModelConfig, TrainingConfig
from model.data import PackedData
from model.errors import CheckpointError, DivergedError, failure_of
from model.line.declare import Event
from model.line.held_out import HeldOutRecord
from model.line.training import Span, StepsProgressed, WriteCheckpoint
from model.meeting.gloo import loopback_gloo
from model.meeting.group import Group
from model.meeting.process_group import register
from model.metrics import Metrics
from model.rounds.modes import DDP
from model.rounds.round import TO_THE_END, Ending, StepProgress, StepReport
from model.trainer import Trainer
from model.tuning.choice import PLAIN, Tuning
from tests.tokenizer.test_shards import ENCODER, TEXTS, shards_of

CPU = torch.device("cpu")
MODEL = ModelConfig(d_model=32, nhead=4, num_layers=2, dropout=0.1)
CONFIG = Config(model=MODEL, training=TrainingConfig(batch_size=6, lr=1e-3, dataset=DatasetConfig(seq_len=32)))


def make_trainer(folder: Path, group: Group | None = None, config: Config = CONFIG, **extra: Any) -> Trainer:
    folder.mkdir(parents=True, exist_ok=True)
    manifest = shards_of(TEXTS, folder)
    files = [folder / file.name for file in (*manifest.train.files, *manifest.held_out.files)]
    data = PackedData(manifest, files, config.training.seed)
    return Trainer(config, manifest, data, group or Group(0, 1, CPU), total_steps=40, **extra)


def steps(first: int, count: int) -> list[Span]:
    return [Span(epoch=0, start=step, stop=step + 4) for step in range(first, first + count)]


def saved(trainer: Trainer, folder: Path, step: int, val_loss: float | None = None) -> tuple[Path, str]:
    """The path of a new checkpoint, and the hash of its weights."""
    written = trainer.save(folder, "run-1", WriteCheckpoint(step=step, tokens=trainer.tokens, val_loss=val_loss))
    return folder / written.name, written.state_hash


def test_the_loss_falls_and_figures_are_written(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    metrics = Metrics(tmp_path)
    trainer = make_trainer(tmp_path / "data", metrics=metrics)
    before = trainer.train_round(0, [], evaluate=True)
    after = trainer.train_round(0, steps(0, 20), evaluate=True)
    metrics.close()
    assert before.loss is None
    assert before.val_loss is not None
    assert after.val_loss is not None
    assert after.val_loss < before.val_loss
    assert after.val_bits_per_byte is not None
    assert 0 < after.val_bits_per_byte < 8
    assert after.tokens > 0
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 22
    assert list((tmp_path / "tensorboard").glob("events.out.tfevents.*"))


def test_a_short_round_reports_its_speed_too(tmp_path: Path) -> None:
    events: list[Event] = []
    trainer = make_trainer(tmp_path, report=events.append)
    trainer.train_round(0, steps(0, 3), evaluate=False)
    progress = events[-1]
    assert isinstance(progress, StepsProgressed)
    assert progress.step == 3
    assert progress.compute_tokens_per_second > 0


def test_a_resumed_run_continues_to_the_bit(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    straight = make_trainer(tmp_path / "a")
    straight.train_round(0, steps(0, 5), evaluate=False)
    path, _ = saved(straight, tmp_path / "checkpoints", 5)
    expected = straight.train_round(5, steps(5, 5), evaluate=True)
    resumed = make_trainer(tmp_path / "b")
    resumed.resume(path / "model.safetensors", path / "state.json", path / "optimizer.safetensors")
    assert resumed.train_round(5, steps(5, 5), evaluate=True) == expected


def test_twenty_steps_are_the_same_twice(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    results = [make_trainer(tmp_path / name).train_round(0, steps(0, 20), evaluate=False) for name in "ab"]
    assert results[0] == results[1]


class OneReport:
    """A way to train a round that trains nothing."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []
        self.tokens_per_second = 10.0

    def join(self, group: Group) -> None: ...

    def leave(self) -> None: ...

    def take_steps(
        self,
        first_step: int,
        spans: Sequence[Span],
        on_step: Callable[[StepProgress], None],
        ending: Ending = TO_THE_END,
    ) -> list[StepReport]:
        self.calls.append((first_step, len(spans)))
        step = first_step + len(spans)
        on_step(
            StepProgress(
                step=step,
                loss_sum=torch.tensor(10.0),
                own_tokens=4,
                tokens=7,
                tokens_per_second=10.0,
                idle_fraction=0.5,
            )
        )
        return [StepReport(step=step, loss=2.5, tokens=7, gradient_norm=1.0, learning_rate=1e-3)]

    def adopt(self, tuning: Tuning) -> None:
        self.tokens_per_second = tuning.tokens_per_second

    def synchronize_weights(self) -> str:
        return "ab"


def test_a_trainer_trains_rounds_in_the_way_that_it_is_given(tmp_path: Path) -> None:
    method = OneReport()
    trainer = make_trainer(tmp_path, mode=replace(DDP, make_method=lambda *state: method))
    results = [trainer.train_round(first, steps(first, 3), evaluate=False) for first in (0, 3)]
    assert method.calls == [(0, 3), (3, 3)]
    assert [(result.state_hash, result.tokens, result.loss) for result in results] == [("ab", 7, 2.5), ("ab", 14, 2.5)]


def test_further_devices_take_their_part_of_the_rows(tmp_path: Path) -> None:
    """Three devices (here the same processor) equal one, also in a step with fewer parts than devices."""
    torch.set_num_threads(1)
    config = replace(CONFIG, model=replace(MODEL, dropout=0.0))
    many = replace(PLAIN, micro_batch=1, further_devices=("cpu", "cpu"))
    spans = [*steps(0, 3), Span(epoch=0, start=8, stop=10), Span(epoch=0, start=3, stop=3)]
    alone, together = (
        make_trainer(tmp_path / name, config=config, tuning=tuning).train_round(0, spans, evaluate=True)
        for name, tuning in (("alone", replace(PLAIN, micro_batch=1)), ("together", many))
    )
    assert together.tokens == alone.tokens
    assert together.val_loss == pytest.approx(alone.val_loss, abs=1e-4)


def test_a_trainer_that_is_tuned_again_trains_on(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, tuning=PLAIN)
    trainer.train_round(0, steps(0, 3), evaluate=False)
    trainer.adopt(replace(PLAIN, is_bfloat16=True, micro_batch=1))
    assert trainer.model.compute_dtype == torch.bfloat16
    assert trainer.tokens_per_second == 0  # the old speed says nothing about the new tuning
    result = trainer.train_round(3, steps(3, 3), evaluate=False)
    assert result.loss is not None
    assert trainer.tokens_per_second > 0


def spawn(work: Callable[..., None], size: int, *arguments: Any) -> list[Any]:
    """Run `work(rank, size, folder, *arguments)` in one process for each rank; what they saved as `result-RANK`."""
    folder = Path(tempfile.mkdtemp())
    multiprocessing.spawn(work, (size, str(folder), *arguments), nprocs=size)
    return [torch.load(folder / f"result-{rank}", weights_only=True) for rank in range(size)]


def meet(rank: int, size: int, folder: str) -> Group:
    torch.set_num_threads(1)
    register("loopback", loopback_gloo)
    dist.init_process_group("loopback", store=dist.FileStore(f"{folder}/store", size), rank=rank, world_size=size)
    return Group(rank, size, CPU)


def end(group: Group) -> None:
    """End as the trainer does. A normal exit races with gloo's threads and aborts about once in a hundred times."""
    group.leave()
    os._exit(0)


def one_step(rank: int, size: int, folder: str, amounts: list[int], rows: Any) -> None:
    """One ddp step in float64, as the trainer takes it, on this rank's part of the rows."""
    group = meet(rank, size, folder)
    torch.manual_seed(3)
    model = GPT(replace(MODEL, dropout=0.0), 50).double()
    wrapped = group.wrap(model)
    start = sum(amounts[:rank])
    mine = rows[start : start + amounts[rank]]
    targets = mine[:, 1:].clone()
    targets[targets == 0] = IGNORED
    tokens_all = group.sum([int((targets != IGNORED).sum())])[0]
    (wrapped(mine[:, :-1], targets) * (size / tokens_all)).backward()
    torch.save({name: p.grad for name, p in model.named_parameters()}, f"{folder}/result-{rank}")
    end(group)


@settings(max_examples=4, deadline=None)
@given(amounts=st.lists(st.integers(0, 5), min_size=2, max_size=3).filter(sum), seed=st.integers(0, 99))
def test_k_unequal_members_equal_one_device(amounts: list[int], seed: int) -> None:
    """I4, to 1e-10 in float64, also when a member has no sample at all."""
    torch.manual_seed(seed)
    rows = torch.randint(0, 50, (sum(amounts), 9))
    rows[:, 1] = 7  # every row has something to predict
    torch.manual_seed(3)
    model = GPT(replace(MODEL, dropout=0.0), 50).double()
    targets = rows[:, 1:].clone()
    targets[targets == 0] = IGNORED
    (model(rows[:, :-1], targets) / int((targets != IGNORED).sum())).backward()
    for gradients in spawn(one_step, len(amounts), amounts, rows):
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            assert torch.allclose(gradients[name], parameter.grad, atol=1e-10, rtol=0), name


def average_in_bfloat16(rank: int, size: int, folder: str) -> None:
    group = meet(rank, size, folder)
    torch.manual_seed(3)
    model = GPT(replace(MODEL, dropout=0.0), 50)
    wrapped = group.wrap(model, travels_in=torch.bfloat16)
    rows = torch.randint(0, 50, (size, 9), generator=torch.Generator().manual_seed(1))[rank : rank + 1]
    wrapped(rows[:, :-1], rows[:, 1:]).backward()
    torch.save({name: parameter.grad for name, parameter in model.named_parameters()}, f"{folder}/result-{rank}")
    end(group)


def test_gradients_that_travel_in_bfloat16_are_the_same_everywhere_and_nearly_exact() -> None:
    results = spawn(average_in_bfloat16, 2)
    torch.manual_seed(3)
    model = GPT(replace(MODEL, dropout=0.0), 50)
    rows = torch.randint(0, 50, (2, 9), generator=torch.Generator().manual_seed(1))
    (model(rows[:, :-1], rows[:, 1:]) / 2).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert torch.equal(results[0][name], results[1][name]), name
        assert torch.allclose(results[0][name], parameter.grad, atol=0.01 * float(parameter.grad.abs().max())), name


def train_as_member(rank: int, size: int, folder: str, drift: bool) -> None:
    group = meet(rank, size, folder)
    trainer = make_trainer(Path(folder) / f"data-{rank}", group, replace(CONFIG, model=replace(MODEL, dropout=0.0)))
    trainer.train_round(0, [], evaluate=False)
    if drift and rank == 1:
        with torch.no_grad():
            next(trainer.model.parameters()).add_(1e-3)
    spans = [Span(epoch=0, start=[0, 3][rank], stop=[3, 4][rank])] * 3
    result = trainer.train_round(0, spans, evaluate=True)
    tensors = {"hash": torch.tensor(list(bytes.fromhex(result.state_hash)), dtype=torch.uint8)}
    torch.save(
        {**tensors, "loss": torch.tensor(result.loss), "val": torch.tensor(result.val_loss)}, f"{folder}/result-{rank}"
    )
    end(group)


def test_two_members_end_a_round_with_the_loss_and_weights_of_one_device(tmp_path: Path) -> None:
    one, two = spawn(train_as_member, 2, False)
    assert torch.equal(one["hash"], two["hash"])
    torch.set_num_threads(1)
    alone = make_trainer(tmp_path, config=replace(CONFIG, model=replace(MODEL, dropout=0.0)))
    result = alone.train_round(0, [Span(epoch=0, start=0, stop=4)] * 3, evaluate=True)
    assert abs(float(one["loss"]) - (result.loss or 0)) < 1e-4
    assert abs(float(one["val"]) - (result.val_loss or 0)) < 1e-4


def test_members_whose_weights_differ_take_those_of_rank_zero() -> None:
    """I3."""
    one, two = spawn(train_as_member, 2, True)
    assert torch.equal(one["hash"], two["hash"])


def test_two_checkpoints_are_kept_whole(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "data")
    trainer.train_round(0, steps(0, 1), evaluate=False)
    for step in (1, 2, 3):
        path, digest = saved(trainer, tmp_path / "kept", step, val_loss=4.5)
    assert sorted(p.name for p in (tmp_path / "kept").iterdir()) == ["step-000000002", "step-000000003"]
    state = read_state(path / "state.json")
    assert (state.step, state.tokens, state.val_loss, state.state_hash) == (3, trainer.tokens, 4.5, digest)
    fresh = GPT(CONFIG.model, ENCODER.vocab_size)
    load_weights(path / "model.safetensors", fresh)
    assert state_hash(fresh.state_dict()) == digest


def test_a_full_disk_leaves_the_older_checkpoint_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = make_trainer(tmp_path / "data")
    trainer.train_round(0, steps(0, 1), evaluate=False)
    saved(trainer, tmp_path / "kept", 1)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint_module.os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        saved(trainer, tmp_path / "kept", 2)
    assert os.listdir(tmp_path / "kept") == ["step-000000001"]


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "exploded"),)

    path = tmp_path / "latest.pt"
    path.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="no safetensors"):
        load_weights(path, GPT(CONFIG.model, 50))
    assert not (tmp_path / "exploded").exists()


def test_a_checkpoint_of_another_shape_is_refused(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "data")
    trainer.train_round(0, steps(0, 1), evaluate=False)
    path, _ = saved(trainer, tmp_path / "kept", 1)
    with pytest.raises(CheckpointError, match="does not fit the configuration"):
        load_weights(path / "model.safetensors", GPT(ModelConfig(d_model=64, nhead=4, num_layers=2), 50))
    (path / "state.json").write_text("{")
    with pytest.raises(CheckpointError, match="no checkpoint state"):
        read_state(path / "state.json")


def test_a_loss_that_is_no_number_is_an_error_with_advice(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path)
    with torch.no_grad():
        trainer.model.norm.weight.fill_(float("inf"))
    with pytest.raises(DivergedError, match="the loss became") as diverged:
        trainer.train_round(0, steps(0, 1), evaluate=False)
    assert failure_of(diverged.value).code == "diverged"
    assert "lower training.lr" in failure_of(diverged.value).hint


def test_the_best_weights_are_kept_until_they_are_written(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    trainer = make_trainer(tmp_path / "data")
    result = trainer.train_round(0, steps(0, 5), evaluate=True)
    trainer.keep_best()
    assert result.val_loss is not None
    assert result.average_val_loss is not None
    losses = {"live": result.val_loss, "averaged": result.average_val_loss}
    kept = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    if losses["averaged"] < losses["live"]:
        with trainer.state.average.in_place_of_live():
            kept = {name: tensor.clone() for name, tensor in trainer.model.state_dict().items()}
    trainer.train_round(5, steps(5, 3), evaluate=False)
    record = HeldOutRecord(best_loss=min(losses.values()), best_step=5, num_worse=1)
    call = WriteCheckpoint(step=8, tokens=trainer.tokens, held_out=record)
    written = trainer.save(tmp_path / "kept", "run-1", call)
    assert written.best == "best-000000005"
    assert written.best_state_hash == state_hash(kept) != written.state_hash
    best = read_state(tmp_path / "kept" / written.best / "state.json")
    assert (best.step, best.val_loss, best.state_hash) == (5, record.best_loss, written.best_state_hash)
    fresh = GPT(CONFIG.model, ENCODER.vocab_size)
    load_weights(tmp_path / "kept" / written.best / "model.safetensors", fresh)
    assert state_hash(fresh.state_dict()) == written.best_state_hash
    again = trainer.save(tmp_path / "kept", "run-1", replace(call, step=9))
    assert again.best is None  # it is on the disk already
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == [
        "best-000000005", "step-000000008", "step-000000009",
    ]  # fmt: skip
