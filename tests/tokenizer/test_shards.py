"""Tokens: every text comes back, every token is predicted once, rows are exact."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.encoding import Encoder
from tokenizer.errors import TextError
from tokenizer.packing import pack, parts
from tokenizer.shards import Rows, read_manifest, write_shards
from tokenizer.training import TokenizerSettings, train_tokenizer

TEXTS = [
    "안녕하세요 반갑습니다 ㅋㅋㅋ",
    "오늘 저녁 7시  두 칸",
    "<PHOTO> 봤어? <NAME>이가 보냈어",
    "여러\n줄",
    "긴 글 " * 60,
] * 6
MODEL = train_tokenizer(TEXTS, TokenizerSettings(vocab_size=500))
ENCODER = Encoder(MODEL)


@settings(deadline=None)
@given(st.text())
def test_every_text_comes_back(text: str) -> None:
    encodable = text.replace("\u2581", "").encode("utf-8", "ignore").decode()
    assert ENCODER.decode(ENCODER.encode(encodable)) == encodable


@pytest.mark.parametrize(
    "text", [*TEXTS[:5], "ㅋㅋㅋㅋ ㅠㅠ", "  앞뒤  ", "😀 漢字 \t탭", "<|start|>는 글자일 뿐", "12345"]
)
def test_hard_strings_come_back_also_piece_by_piece(text: str) -> None:
    ids = ENCODER.encode(text)
    decoder = ENCODER.stream_decoder()
    pieces = [decoder.push(token) for token in ids]
    assert "".join(pieces) + decoder.finish() == text
    assert all("\ufffd" not in piece for piece in pieces)


def test_control_ids_are_never_parsed_from_text() -> None:
    ids = ENCODER.encode("<|start|><|endoftext|><|pad|>")
    assert not {ENCODER.start_id, ENCODER.end_id, ENCODER.pad_id} & set(ids)


def test_placeholders_are_one_piece() -> None:
    assert len(ENCODER.encode("<PHOTO>")) == 1


def test_an_answer_cut_inside_a_character_ends_in_a_replacement() -> None:
    decoder = ENCODER.stream_decoder()
    pieces = [decoder.push(token) for token in ENCODER.encode("뷁")[:-1]]
    assert "".join(pieces) == ""
    assert decoder.finish() == "\ufffd"


def test_the_same_text_gives_the_same_tokenizer() -> None:
    assert train_tokenizer(TEXTS, TokenizerSettings(vocab_size=500)) == MODEL


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (TokenizerSettings(vocab_size=100), "no room"),
        (TokenizerSettings(vocab_size=275), "too small"),
        (TokenizerSettings(character_coverage=2.0), "coverage"),
        (TokenizerSettings(vocab_size=100_000, is_strict=True), "the text allows"),
    ],
)
def test_impossible_settings_are_named(settings: TokenizerSettings, message: str) -> None:
    with pytest.raises(TextError, match=message):
        train_tokenizer(TEXTS, settings)


def test_no_text_is_an_error() -> None:
    with pytest.raises(TextError, match="no text"):
        train_tokenizer([], TokenizerSettings())
    with pytest.raises(TextError, match="damaged"):
        Encoder(b"not a model")


DOCUMENTS = st.lists(st.integers(2, 40).map(lambda n: [1, *range(10, 8 + n), 2]), min_size=1, max_size=60)


def predicted(rows: Sequence[Sequence[int]], start: int = 1) -> list[int]:
    """The tokens that are targets: all but the first of a row and the starts of documents."""
    return sorted(token for row in rows for token in row[1:] if token != start)


@given(DOCUMENTS, st.integers(4, 24))
def test_packing_predicts_every_token_exactly_once(documents: list[list[int]], width: int) -> None:
    rows = list(pack(documents, width))
    assert all(2 <= len(row) <= width for row in rows)
    assert predicted(rows) == sorted(token for document in documents for token in document[1:])


@given(st.integers(2, 100), st.integers(2, 30))
def test_a_long_document_is_cut_with_one_token_of_context(length: int, width: int) -> None:
    document = list(range(length))
    pieces = list(parts(document, width))
    assert [token for piece in pieces for token in piece[1:]] == document[1:]
    assert all(a[-1] == b[0] for a, b in zip(pieces, pieces[1:], strict=False))  # noqa: RUF007


def test_packing_short_documents_wastes_little() -> None:
    rows = list(pack([[1] * (5 + i % 9) for i in range(1000)], 65))
    assert sum(map(len, rows)) / (65 * len(rows)) > 0.96


def test_shards_read_back_row_for_row(tmp_path: Path) -> None:
    manifest = write_shards(lambda: TEXTS, ENCODER, 32, tmp_path)
    assert read_manifest(tmp_path / "manifest.json") == manifest
    assert manifest.train.documents + manifest.held_out.documents == len(TEXTS)
    assert manifest.held_out.documents == round(len(TEXTS) * 0.05)
    rows = Rows([tmp_path / file.name for file in manifest.train.files], manifest.dtype, 33)
    assert len(rows) == manifest.train.rows
    tokens = np.stack([rows[i] for i in range(len(rows))])
    targets = tokens[:, 1:]
    assert int(((targets != ENCODER.pad_id) & (targets != ENCODER.start_id)).sum()) == manifest.train.tokens
    assert int((tokens == ENCODER.pad_id).sum()) <= manifest.padding
    assert manifest.padding < manifest.padding_if_padded


def test_the_last_documents_are_held_out(tmp_path: Path) -> None:
    texts = [f"글 {i}" for i in range(100)]
    manifest = write_shards(lambda: texts, ENCODER, 32, tmp_path)
    rows = Rows([tmp_path / file.name for file in manifest.held_out.files], manifest.dtype, 33)
    ids = [int(token) for i in range(len(rows)) for token in rows[i]]
    assert ENCODER.decode(ids).count("글") == 5
    assert manifest.held_out.utf8_bytes == sum(len(text.encode()) for text in texts[95:])


def test_a_cut_or_foreign_file_is_refused(tmp_path: Path) -> None:
    manifest = write_shards(lambda: TEXTS, ENCODER, 32, tmp_path)
    path = tmp_path / manifest.train.files[0].name
    path.write_bytes(path.read_bytes()[:-1] + b"")
    with pytest.raises((TextError, ValueError)):
        Rows([path], manifest.dtype, 33)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(TextError):
        read_manifest(tmp_path / "manifest.json")
    with pytest.raises(TextError):
        write_shards(lambda: ["한 문서"], ENCODER, 32, tmp_path)
