"""Preparing training data: results are kept and used again, and the caller gets typed notices."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tokenizer.chats import chat, kakao_mac
from tokenizer.errors import TextError
from tokenizer.preparing import (
    Notice,
    TokenizerLeaks,
    TokenizerTrainingStarted,
    TokenizerWritten,
    TrainingData,
    TrainingDataOptions,
    VocabularyTooLarge,
    prepare_training_data,
)


@pytest.fixture
def options(tmp_path: Path) -> TrainingDataOptions:
    path = tmp_path / "chat.csv"
    path.write_text(kakao_mac(chat(seed=3, count=1500)))
    return TrainingDataOptions(data=(path,), seq_len=64, vocab_size=600)


def prepared(options: TrainingDataOptions, cache: Path) -> tuple[TrainingData, list[Notice], list[tuple[int, int]]]:
    notices: list[Notice] = []
    progress: list[tuple[int, int]] = []
    data = prepare_training_data(options, cache, notices.append, lambda done, total: progress.append((done, total)))
    return data, notices, progress


def test_a_second_call_uses_the_results_of_the_first(tmp_path: Path, options: TrainingDataOptions) -> None:
    first, notices, progress = prepared(options, tmp_path / "cache")
    assert notices == [TokenizerTrainingStarted()]
    assert progress[-1][0] == progress[-1][1] > 0
    before = {path: path.stat().st_mtime_ns for path in first.shards}
    second, notices, _ = prepared(options, tmp_path / "cache")
    assert second == first
    assert notices == []
    assert before == {path: path.stat().st_mtime_ns for path in second.shards}


def test_a_trained_tokenizer_is_written_where_the_given_one_is_missing(
    tmp_path: Path, options: TrainingDataOptions
) -> None:
    path = tmp_path / "own" / "chat.model"
    options = replace(options, tokenizer_path=path)
    first, notices, _ = prepared(options, tmp_path / "cache")
    assert notices == [TokenizerTrainingStarted(), TokenizerWritten(path)]
    assert path.read_bytes() == first.tokenizer
    elsewhere, notices, _ = prepared(options, tmp_path / "other cache")
    assert elsewhere.tokenizer == first.tokenizer
    assert notices == []


def test_a_vocabulary_that_is_too_large_for_the_text_is_reported(tmp_path: Path, options: TrainingDataOptions) -> None:
    data, notices, _ = prepared(replace(options, vocab_size=30_000), tmp_path / "cache")
    assert VocabularyTooLarge(data.manifest.vocab_size, 30_000) in notices
    assert not [notice for notice in notices if isinstance(notice, TokenizerLeaks)]


def test_a_damaged_tokenizer_is_an_error_and_leaves_no_shards(tmp_path: Path, options: TrainingDataOptions) -> None:
    path = tmp_path / "bad.model"
    path.write_bytes(b"nonsense")
    with pytest.raises(TextError, match="damaged"):
        prepared(replace(options, tokenizer_path=path), tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*/shards-*"))
