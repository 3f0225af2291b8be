"""Token shards: every text round-trips, every token is predicted once, and rows are exact."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer.corpus.prepare import PrepareOptions, prepare
from tokenizer.corpus.prepared.split import prepared_split
from tokenizer.errors import TextError
from tokenizer.sharding.manifest import Manifest, read_manifest
from tokenizer.sharding.packing import pack, split_document
from tokenizer.sharding.rows import Rows
from tokenizer.sharding.writing import write_shards
from tokenizer.vocabulary.bulk import BulkEncoder
from tokenizer.vocabulary.encoding import Encoder
from tokenizer.vocabulary.training import TokenizerSettings, train_tokenizer

TEXTS = [
    "안녕하세요 반갑습니다 ㅋㅋㅋ",
    "오늘 저녁 7시  두 칸",
    "<PHOTO> 봤어? <NAME>이가 보냈어",
    "여러\n줄",
    "긴 글 " * 60,
] * 6
MODEL = train_tokenizer(TEXTS, TokenizerSettings(vocab_size=500))
ENCODER = Encoder(MODEL)
BULK = BulkEncoder(ENCODER)


def write_lines(path: Path, texts: Sequence[str]) -> Path:
    path.write_text("".join(json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts), encoding="utf-8")
    return path


def shards_of(texts: Sequence[str], folder: Path, seq_len: int = 32) -> Manifest:
    """The shards of a JSONL file that another program wrote."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_shards(prepared_split([write_lines(folder / "texts.jsonl", texts)]), MODEL, seq_len, folder)


@settings(deadline=None)
@given(st.text())
def test_every_text_round_trips(text: str) -> None:
    encodable = text.replace("\u2581", "").encode("utf-8", "ignore").decode()
    assert ENCODER.decode(ENCODER.encode(encodable)) == encodable


@pytest.mark.parametrize(
    "text", [*TEXTS[:5], "ㅋㅋㅋㅋ ㅠㅠ", "  앞뒤  ", "😀 漢字 \t탭", "<|start|>는 글자일 뿐", "12345"]
)
def test_hard_strings_round_trip_piece_by_piece(text: str) -> None:
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


def test_an_answer_that_ends_inside_a_character_ends_in_a_replacement_character() -> None:
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
def test_impossible_settings_are_errors_with_a_reason(settings: TokenizerSettings, message: str) -> None:
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


def packed(documents: Sequence[Sequence[int]], width: int) -> list[list[int]]:
    rows = pack([np.array(document, dtype="<u2").tobytes() for document in documents], width, 2)
    return [np.frombuffer(row, dtype="<u2").tolist() for row in rows]


@given(DOCUMENTS, st.integers(4, 24))
def test_packing_predicts_every_token_exactly_once(documents: list[list[int]], width: int) -> None:
    rows = packed(documents, width)
    assert all(2 <= len(row) <= width for row in rows)
    assert predicted(rows) == sorted(token for document in documents for token in document[1:])


@given(st.integers(2, 100), st.integers(2, 30))
def test_a_long_document_is_split_with_one_token_of_context(length: int, width: int) -> None:
    document = np.arange(length, dtype="<u4")
    pieces = [np.frombuffer(piece, dtype="<u4").tolist() for piece in split_document(document.tobytes(), width, 4)]
    assert [token for piece in pieces for token in piece[1:]] == document[1:].tolist()
    assert all(a[-1] == b[0] for a, b in zip(pieces, pieces[1:], strict=False))  # noqa: RUF007


def test_packing_short_documents_wastes_little() -> None:
    rows = packed([[1] * (5 + i % 9) for i in range(1000)], 65)
    assert sum(map(len, rows)) / (65 * len(rows)) > 0.96


def test_packing_long_documents_wastes_little() -> None:
    rows = packed([[1] * (500 + i * 37 % 700) for i in range(300)], 65)
    assert sum(map(len, rows)) / (65 * len(rows)) > 0.96


def test_shards_read_back_row_for_row(tmp_path: Path) -> None:
    manifest = shards_of(TEXTS, tmp_path)
    assert read_manifest(tmp_path / "manifest.json") == manifest
    assert manifest.train.documents + manifest.held_out.documents == len(TEXTS)
    assert manifest.held_out.documents == round(len(TEXTS) * 0.05)
    rows = Rows([tmp_path / file.name for file in manifest.train.files], manifest.dtype, 33)
    assert len(rows) == manifest.train.rows
    tokens = np.stack([rows[i] for i in range(len(rows))])
    targets = tokens[:, 1:]
    assert int(((targets != ENCODER.pad_id) & (targets != ENCODER.start_id)).sum()) == manifest.train.tokens
    assert int((tokens == ENCODER.pad_id).sum()) == manifest.train.padding < manifest.train.padding_if_padded


def test_the_last_documents_are_held_out(tmp_path: Path) -> None:
    texts = [f"글 {i}" for i in range(100)]
    manifest = shards_of(texts, tmp_path)
    rows = Rows([tmp_path / file.name for file in manifest.held_out.files], manifest.dtype, 33)
    ids = [int(token) for i in range(len(rows)) for token in rows[i]]
    assert ENCODER.decode(ids).count("글") == 5
    assert manifest.held_out.utf8_bytes == sum(len(text.encode()) for text in texts[95:])


def test_a_truncated_or_foreign_file_is_refused(tmp_path: Path) -> None:
    manifest = shards_of(TEXTS, tmp_path)
    path = tmp_path / manifest.train.files[0].name
    path.write_bytes(path.read_bytes()[:-1] + b"")
    with pytest.raises((TextError, ValueError)):
        Rows([path], manifest.dtype, 33)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": "other"}))
    with pytest.raises(TextError):
        read_manifest(tmp_path / "manifest.json")
    with pytest.raises(TextError):
        shards_of(["한 문서"], tmp_path)


@given(
    st.lists(
        st.sampled_from(["가", "나다", " ", "  ", "\n", "ㅋㅋ", "<NAME>", "\u2581", "\0", "a1", "뷁"]), max_size=40
    )
)
def test_remembered_words_give_the_ids_of_the_whole_text(words: list[str]) -> None:
    text = "".join(words)
    assert np.frombuffer(BULK.encode(text), dtype=BULK.dtype).tolist() == ENCODER.encode_document(text)


def test_a_tokenizer_of_another_kind_encodes_whole_texts() -> None:
    encoder = Encoder(train_tokenizer(TEXTS, TokenizerSettings(vocab_size=500, model_type="unigram")))
    assert not encoder.has_words
    bulk = BulkEncoder(encoder)
    for text in TEXTS[:5]:
        assert np.frombuffer(bulk.encode(text), dtype=bulk.dtype).tolist() == encoder.encode_document(text)


def test_a_later_export_adds_shards_and_changes_none(tmp_path: Path) -> None:
    data, shards = tmp_path / "data", tmp_path / "shards"
    prepare([write_lines(tmp_path / "a.jsonl", [f"처음 글 {i}" for i in range(50)])], data)
    first = write_shards(prepared_split([data]), MODEL, 32, shards)
    before = {path.name: path.stat().st_mtime_ns for path in shards.glob("*.bin")}
    prepare(
        [write_lines(tmp_path / "b.jsonl", [f"나중 글 {i}" for i in range(50)])], data, PrepareOptions(is_append=True)
    )
    both = write_shards(prepared_split([data]), MODEL, 32, shards)
    assert before == {name: (shards / name).stat().st_mtime_ns for name in before}
    assert both.train.files[: len(first.train.files)] == first.train.files
    assert both.train.tokens > first.train.tokens
    new = write_shards(prepared_split([data], only_new=True), MODEL, 32, shards)
    assert new.train.files == both.train.files[len(first.train.files) :]
    assert new.train.tokens + first.train.tokens == both.train.tokens
    assert new.held_out == both.held_out


def test_interrupted_encoding_continues_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Complete parts are used again; a part with another text or a damaged shard is made again."""
    monkeypatch.setattr("tokenizer.sharding.writing._PART_BYTES", 2000)
    whole = shards_of(TEXTS * 20, tmp_path)
    assert len(whole.train.files) > 3
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("train-*.bin")}
    names = sorted(before)
    (tmp_path / names[0]).unlink()
    (tmp_path / names[1]).write_bytes(b"cut")
    (tmp_path / names[2]).with_suffix(".json").write_text("{")
    again = shards_of(TEXTS * 20, tmp_path)
    assert again == whole
    made = [name for name in names if (tmp_path / name).stat().st_mtime_ns != before[name]]
    assert made == names[:3]


def test_an_invalid_line_is_named_by_its_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenizer.sharding.writing._PART_BYTES", 500)
    path = write_lines(tmp_path / "texts.jsonl", TEXTS * 3)
    lines = path.read_text().splitlines()
    lines[40] = "{}"
    path.write_text("\n".join(lines))
    with pytest.raises(TextError, match="line 41: no"):
        write_shards(prepared_split([path]), MODEL, 32, tmp_path)
