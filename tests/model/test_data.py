"""Samples: padded lines as in the guide, packed rows, and an order that is the same everywhere."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from model.arithmetic.gpt import IGNORED
from model.data import PackedData, TextDataset, collate_fn, epoch_order
from tests.tokenizer.test_shards import ENCODER, TEXTS, shards_of
from tokenizer.errors import TextError


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
    inputs, targets = data.batch(0, 0, len(data.train))
    counted = targets != IGNORED
    assert torch.equal(inputs[:, 1:][counted[:, :-1]], targets[:, :-1][counted[:, :-1]])
    assert not (targets == ENCODER.start_id).any()
    assert not (targets == ENCODER.pad_id).any()


def test_the_members_parts_of_a_step_are_the_whole_step(tmp_path: Path) -> None:
    data = packed(tmp_path)
    whole, _ = data.batch(0, 2, 8)
    parts = [data.batch(0, start, stop)[0] for start, stop in ((2, 3), (3, 3), (3, 8))]
    assert torch.equal(torch.cat(parts), whole)


def test_shards_of_another_manifest_are_refused(tmp_path: Path) -> None:
    manifest = shards_of(TEXTS, tmp_path)
    with pytest.raises(TextError):
        PackedData(manifest, [], seed=1)
