"""Samples: padded lines as in the guide, packed rows, and an order that is the same everywhere."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.arithmetic.gpt import IGNORED
from model.data import Batch, PackedData, TextDataset, collate_fn, epoch_order, prefetched
from model.line.training import Span
from tests.tokenizer.test_shards import ENCODER, TEXTS, shards_of
from tokenizer.errors import TextError
from tokenizer.sharding.manifest import ShardSet


@given(st.integers(1, 2000), st.integers(0, 2**40), st.integers(0, 100))
def test_an_epoch_takes_every_sample_exactly_once(samples: int, seed: int, epoch: int) -> None:
    assert np.array_equal(np.sort(epoch_order(samples, seed, epoch)), np.arange(samples))


def test_the_order_is_the_same_on_every_version_and_device() -> None:
    assert epoch_order(10, seed=1, epoch=0).tolist() == [2, 4, 6, 8, 5, 1, 7, 0, 9, 3]
    assert epoch_order(10, 1, 0).tolist() != epoch_order(10, 1, 1).tolist() != epoch_order(10, 2, 1).tolist()


def test_documents_are_wrapped_and_padded_as_in_the_guide(tmp_path: Path) -> None:
    path = tmp_path / "train.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in ("안녕", "반갑습니다 여러분")))
    dataset = TextDataset(path, ENCODER, seq_len=64)
    assert len(dataset) == 2
    assert dataset[0].tolist() == ENCODER.encode_document("안녕")
    inputs, targets = collate_fn([dataset[0], dataset[1]], ENCODER.pad_id)
    assert inputs.shape == targets.shape == (2, len(dataset[1]) - 1)
    short = len(dataset[0]) - 1
    assert inputs[0, :short].tolist() == dataset[0][:-1].tolist()
    assert targets[0, :short].tolist() == dataset[0][1:].tolist()
    assert (targets[0, short:] == IGNORED).all()
    assert (inputs[0, short:] == ENCODER.pad_id).all()


def test_a_dataset_without_lines_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").write_text("\n")
    for name in ("empty.jsonl", "none.jsonl"):
        with pytest.raises(TextError):
            TextDataset(tmp_path / name, ENCODER, 64)


def packed(folder: Path) -> PackedData:
    manifest = shards_of(TEXTS, folder)
    files = [folder / file.name for file in (*manifest.train.files, *manifest.held_out.files)]
    return PackedData(manifest, files, seed=1)


def test_packed_targets_are_the_next_tokens_of_their_own_document(tmp_path: Path) -> None:
    data = packed(tmp_path)
    batch = data.batch(Span(epoch=0, start=0, stop=len(data.train)))
    inputs, targets = batch.inputs, batch.targets
    counted = targets != IGNORED
    assert torch.equal(inputs[:, 1:][counted[:, :-1]], targets[:, :-1][counted[:, :-1]])
    assert not (targets == ENCODER.start_id).any()
    assert not (targets == ENCODER.pad_id).any()
    assert batch.num_targets == int(counted.sum()) == data.num_targets(Span(epoch=0, start=0, stop=len(data.train)))


def test_the_members_parts_of_a_step_are_the_whole_step(tmp_path: Path) -> None:
    data = packed(tmp_path)
    whole = data.batch(Span(epoch=0, start=2, stop=8)).inputs
    parts = [data.batch(Span(epoch=0, start=a, stop=b)).inputs for a, b in ((2, 3), (3, 3), (3, 8))]
    assert torch.equal(torch.cat(parts), whole)


def test_prefetched_batches_are_those_of_the_spans_in_order(tmp_path: Path) -> None:
    data = packed(tmp_path)
    spans = [Span(epoch=epoch, start=start, stop=start + 2) for epoch in (0, 1) for start in (0, 2, 4)]
    found = list(prefetched(data, spans, torch.device("cpu")))
    assert len(found) == len(spans)
    for span, batch in zip(spans, found, strict=True):
        assert torch.equal(batch.inputs, data.batch(span).inputs)


def test_an_error_while_reading_ahead_reaches_the_caller(tmp_path: Path) -> None:
    class FailingDisk(PackedData):
        def batch(self, span: Span) -> Batch:
            if span.start:
                raise OSError("Input/output error")
            return super().batch(span)

    manifest = shards_of(TEXTS, tmp_path)
    files = [tmp_path / file.name for file in manifest.train.files]
    data = FailingDisk(replace(manifest, held_out=ShardSet(())), files, seed=1)
    batches = prefetched(data, [Span(epoch=0, start=start, stop=2) for start in (0, 1)], torch.device("cpu"))
    assert len(next(batches).inputs) == 2
    with pytest.raises(OSError, match="Input"):
        next(batches)


def test_micro_batches_are_the_batch(tmp_path: Path) -> None:
    batch = packed(tmp_path).batch(Span(epoch=0, start=0, stop=5))
    parts = batch.split(2)
    assert [len(inputs) for inputs, _ in parts] == [2, 2, 1]
    assert torch.equal(torch.cat([targets for _, targets in parts]), batch.targets)
    assert len(packed(tmp_path).batch(Span(epoch=0, start=3, stop=3)).split(2)) == 1


def test_shards_of_another_manifest_are_refused(tmp_path: Path) -> None:
    manifest = shards_of(TEXTS, tmp_path)
    with pytest.raises(TextError):
        PackedData(manifest, [], seed=1)
