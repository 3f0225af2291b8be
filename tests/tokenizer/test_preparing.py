"""Preparing training data: results are kept and used again, and the caller gets typed notices."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.tokenizer.chats import chat, kakao_mac
from tokenizer.errors import TextError
from tokenizer.preparing import (
    Notice,
    TokenizerLeaks,
    TokenizerOfOtherText,
    TokenizerTrainingStarted,
    TrainingData,
    TrainingDataOptions,
    VocabularyTooLarge,
    keep_tokenizer,
    prepare_training_data,
)
from tokenizer.text_size import suggest_seq_len


@pytest.fixture
def options(tmp_path: Path) -> TrainingDataOptions:
    path = tmp_path / "chat.csv"
    path.write_text(kakao_mac(chat(seed=3, count=1500)))
    return TrainingDataOptions(data=(path,), seq_len=64, vocab_size=600)


@pytest.fixture
def other_text(tmp_path: Path) -> Path:
    path = tmp_path / "other.csv"
    path.write_text(kakao_mac(chat(seed=5, count=1500)))
    return path


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


def test_the_project_gets_its_tokenizer_only_when_it_is_kept(tmp_path: Path, options: TrainingDataOptions) -> None:
    path = tmp_path / "own" / "chat.model"
    options = replace(options, tokenizer_path=path)
    first, notices, _ = prepared(options, tmp_path / "cache")
    assert notices == [TokenizerTrainingStarted()]
    assert not path.parent.exists()
    assert keep_tokenizer(path, first)
    assert path.read_bytes() == first.tokenizer
    assert not keep_tokenizer(path, first)
    elsewhere, notices, _ = prepared(options, tmp_path / "other cache")
    assert elsewhere.tokenizer == first.tokenizer
    assert notices == []


def test_a_tokenizer_of_another_text_is_used_only_to_continue_a_model(
    tmp_path: Path, options: TrainingDataOptions, other_text: Path
) -> None:
    path = tmp_path / "own" / "chat.model"
    options = replace(options, tokenizer_path=path)
    first, _, _ = prepared(options, tmp_path / "cache")
    keep_tokenizer(path, first)
    other = replace(options, data=(other_text,))
    fresh, notices, _ = prepared(other, tmp_path / "cache")
    assert notices == [TokenizerOfOtherText(path, is_kept=False), TokenizerTrainingStarted()]
    assert fresh.tokenizer != first.tokenizer
    continued, notices, _ = prepared(replace(other, continues=True), tmp_path / "cache")
    assert notices == [TokenizerOfOtherText(path, is_kept=True)]
    assert continued.tokenizer == first.tokenizer == path.read_bytes()
    sized, notices, _ = prepared(replace(options, vocab_size=500), tmp_path / "cache")
    assert notices[0] == TokenizerOfOtherText(path, is_kept=False)
    assert sized.tokenizer != first.tokenizer


@pytest.mark.parametrize("note", [None, "{", '{"tokenizer": "of another file", "text": "x", "vocab_size": 0}'])
def test_a_tokenizer_that_a_person_made_is_obeyed(
    tmp_path: Path, options: TrainingDataOptions, other_text: Path, note: str | None
) -> None:
    path = tmp_path / "own" / "chat.model"
    first, _, _ = prepared(options, tmp_path / "cache")
    path.parent.mkdir()
    path.write_bytes(first.tokenizer)
    if note:
        path.with_suffix(".text.json").write_text(note)
    found, notices, _ = prepared(replace(options, data=(other_text,), tokenizer_path=path), tmp_path / "cache")
    assert (found.tokenizer, notices) == (first.tokenizer, [])


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


def test_rows_of_a_small_text_are_short_unless_their_length_is_given(
    options: TrainingDataOptions, tmp_path: Path
) -> None:
    assert prepared(replace(options, seq_len=0), tmp_path / "cache")[0].manifest.seq_len == 128
    assert prepared(options, tmp_path / "cache")[0].manifest.seq_len == 64
    assert [suggest_seq_len(size) for size in (0, 999_999, 1_000_000, 10**9)] == [128, 128, 256, 256]
