"""Continuations at checkpoints: training goes on as without them, and the prompts are the same for the whole run."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from model import continuing
from model.arithmetic.gpt import GPT
from model.continuing import HeldOutPrompts
from model.data import PackedData
from model.line.continuation import Continuation
from model.line.training import CheckpointWritten, WriteCheckpoint
from model.trainer import Trainer
from model.tuning.choice import PLAIN
from tests.model.test_training import CONFIG, MODEL, make_trainer, saved, steps
from tests.tokenizer.test_shards import ENCODER, TEXTS, shards_of
from tokenizer.errors import TextError
from tokenizer.vocabulary.encoding import Encoder
from tokenizer.vocabulary.training import TokenizerSettings, train_tokenizer

LONG = ["오늘 점심은 뭐 먹을까 고민이야", "내일 저녁에 같이 영화 볼래", "주말에는 산에 가려고 해", *TEXTS] * 12


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def prompts_of(folder: Path, texts: list[str] = TEXTS) -> HeldOutPrompts:
    manifest = shards_of(texts, folder)
    files = [folder / file.name for file in (*manifest.train.files, *manifest.held_out.files)]
    return HeldOutPrompts(CONFIG, manifest, PackedData(manifest, files, 0), ENCODER)


def checkpoint(trainer: Trainer, folder: Path, step: int) -> CheckpointWritten:
    return trainer.save(folder, "run-1", WriteCheckpoint(step=step, tokens=trainer.tokens))


def everything(trainer: Trainer) -> dict[str, Any]:
    """All that the next step depends on: weights, optimiser, averages, and the random state."""
    tensors = {**trainer.model.state_dict(), **trainer.state.tensors_beside_weights()}
    found = {name: tensor.clone() for name, tensor in tensors.items()}
    return {**found, "random": torch.get_rng_state()}


def assert_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert one.keys() == other.keys()
    different = [name for name in one if not torch.equal(one[name], other[name])]
    assert different == []


@pytest.mark.parametrize("tuning", [PLAIN, replace(PLAIN, is_bfloat16=True)], ids=["float32", "bfloat16"])
def test_training_with_continuations_is_the_same_to_the_bit(tmp_path: Path, tuning: Any) -> None:
    results, states, texts = [], [], []
    for name, prompts in (("without", None), ("with", prompts_of(tmp_path / "held out"))):
        trainer = make_trainer(tmp_path / name, prompts=prompts, tuning=tuning)
        before = trainer.train_round(0, steps(0, 4), evaluate=True)
        texts.append(checkpoint(trainer, tmp_path / name, 4).continuations)
        after_checkpoint = everything(trainer)
        first = trainer.train_round(4, steps(4, 4), evaluate=False)  # a checkpoint without an evaluation before it
        texts.append(checkpoint(trainer, tmp_path / name, 8).continuations)
        last = trainer.train_round(8, steps(8, 4), evaluate=True)
        results.append((before, first, last))
        states.append((after_checkpoint, everything(trainer)))
    assert texts[:2] == [(), ()]
    assert texts[2]
    assert texts[3]
    assert results[0] == results[1]  # losses and hashes of the weights
    for one, other in zip(*states, strict=True):
        assert_same(one, other)


def test_making_and_using_prompts_takes_no_random_numbers(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    prompts_of(folder)  # writes the shards
    model = GPT(MODEL, ENCODER.vocab_size)
    torch.manual_seed(7)
    before = torch.get_rng_state()
    assert prompts_of(folder).continued_by(model.state_dict())
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training


def test_the_prompts_are_the_same_after_a_resume(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path / "a", prompts=prompts_of(tmp_path / "held out a"))
    trainer.train_round(0, steps(0, 3), evaluate=True)
    path, _ = saved(trainer, tmp_path / "checkpoints", 3)
    first = checkpoint(trainer, tmp_path / "checkpoints", 3).continuations
    resumed = make_trainer(tmp_path / "b", prompts=prompts_of(tmp_path / "held out b"))
    resumed.resume(path / "model.safetensors", path / "state.json", path / "optimizer.safetensors")
    resumed.train_round(3, [], evaluate=True)
    assert checkpoint(resumed, tmp_path / "again", 3).continuations == first


def test_three_beginnings_of_held_out_texts_are_continued(tmp_path: Path) -> None:
    prompts = prompts_of(tmp_path, LONG)
    model = GPT(MODEL, ENCODER.vocab_size)
    found = prompts.continued_by(model.state_dict())
    assert found == prompts.continued_by(model.state_dict())
    assert len({one.prompt for one in found}) == len(found) == 3
    assert all(any(text.startswith(one.prompt) for text in LONG) for one in found)
    assert all(0 < len(ENCODER.encode(one.prompt)) <= 12 for one in found)
    assert "\ufffd" not in "".join(one.prompt for one in found)


def test_the_better_weights_write(tmp_path: Path) -> None:
    """Of the live and the averaged weights, those that were better when they were evaluated."""
    seen: list[float] = []

    class Watched:
        def continued_by(self, weights: dict[str, torch.Tensor]) -> tuple[Continuation, ...]:
            seen.append(float(weights["norm.weight"].sum()))
            return ()

    trainer = make_trainer(tmp_path / "data", prompts=Watched())
    trainer.train_round(0, steps(0, 6), evaluate=True)
    live, average = trainer.model.norm.weight.detach(), trainer.state.average.weights()["norm.weight"]
    for losses in ((2.0, 3.0), (3.0, 2.0)):
        trainer._losses = losses
        assert checkpoint(trainer, tmp_path / "checkpoints", 6).served_loss == 2.0
    assert seen == [float(live.sum()), float(average.sum())]
    assert seen[0] != seen[1]


def test_a_slow_device_writes_the_beginning_of_the_same_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts, weights = prompts_of(tmp_path), GPT(MODEL, ENCODER.vocab_size).state_dict()
    whole = prompts.continued_by(weights)
    monkeypatch.setattr(continuing, "_MAX_SECONDS", 0.0)
    start = time.monotonic()
    short = prompts.continued_by(weights)
    assert time.monotonic() - start < 1
    assert [one.prompt for one in short] == [one.prompt for one in whole]
    assert all(long.text.startswith(one.text) for one, long in zip(short, whole, strict=True))


def test_another_tokenizer_is_refused(tmp_path: Path) -> None:
    manifest = shards_of(TEXTS, tmp_path)
    files = [tmp_path / file.name for file in (*manifest.train.files, *manifest.held_out.files)]
    other = Encoder(train_tokenizer(LONG, TokenizerSettings(vocab_size=480)))
    with pytest.raises(TextError, match="not the one of the shards"):
        HeldOutPrompts(CONFIG, manifest, PackedData(manifest, files, 0), other)
