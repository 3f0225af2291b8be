"""Cutting files into ranges: no byte is lost or repeated, records stay whole, and memory stays bounded."""

import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from tokenizer.byte_ranges import ByteRange
from tokenizer.corpus.formats.detection import PLAIN
from tokenizer.corpus.input import cutting
from tokenizer.corpus.input.blocks import Block, parse_block
from tokenizer.corpus.input.cutting import CutRule, cut_file
from tokenizer.errors import TextError

RECORD = re.compile(r"\n\[[^\n]+?\] \[\d{1,2}:\d{2}\] ")


@pytest.fixture(autouse=True)
def _small_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cutting, "RANGE_BYTES", 1000)
    monkeypatch.setattr(cutting, "_READ_AHEAD_BYTES", 100)
    monkeypatch.setattr(cutting, "_MAX_RECORD_BYTES", 6400)


def texts_of(found: Sequence[ByteRange], encoding: str = "utf-8") -> list[str]:
    return [one.read().decode(encoding) for one in found]


def write_and_cut(path: Path, data: bytes, rule: CutRule, encoding: str = "utf-8") -> list[ByteRange]:
    path.write_bytes(data)
    found = list(cut_file(path, 0, encoding, rule))
    assert [one.start for one in found[1:]] == [one.stop for one in found[:-1]]
    assert found[0].start == 0
    assert found[-1].stop == len(data)
    return found


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
def test_ranges_begin_at_records(tmp_path: Path, encoding: str) -> None:
    text = "".join(f"[홍길동] [12:{i % 60:02}] 안녕 {i}\n둘째 줄\n" for i in range(500))
    found = write_and_cut(tmp_path / "chat", text.encode(encoding), CutRule(record=RECORD), encoding)
    parts = texts_of(found, encoding)
    assert len(parts) > 10
    assert "".join(parts) == text
    assert all(RECORD.match(f"\n{part}") for part in parts)


def test_a_file_is_not_cut_inside_quotes(tmp_path: Path) -> None:
    row = '2025-01-01,"홍길동","첫 줄\n\n둘째 ""줄""\n"\n'
    for text in texts_of(write_and_cut(tmp_path / "chat", row.encode() * 300, CutRule(has_quotes=True))):
        assert text == row * text.count("2025")


def test_a_quote_that_never_ends_does_not_make_a_range_of_the_whole_file(tmp_path: Path) -> None:
    found = write_and_cut(tmp_path / "chat", b'"' + b"line\n" * 20_000, CutRule(has_quotes=True))
    assert max(one.size for one in found) <= 1000 + 6400


def test_short_documents_stay_whole(tmp_path: Path) -> None:
    text = "하나\n둘\n\n" * 300
    for part in texts_of(write_and_cut(tmp_path / "text", text.encode(), CutRule(prefers_blank=True))):
        assert part.startswith("하나")


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
def test_one_endless_line_is_cut_between_characters(tmp_path: Path, encoding: str) -> None:
    text = "가나다라 마바사" * 8000
    found = write_and_cut(tmp_path / "text", text.encode(encoding), CutRule(), encoding)
    assert len(found) > 1
    assert "".join(texts_of(found, encoding)) == text


def test_all_kinds_of_line_ends_are_read_as_line_feeds(tmp_path: Path) -> None:
    (one,) = write_and_cut(tmp_path / "text", b"a\r\nb\rc\n", CutRule())
    assert parse_block(Block(format=PLAIN, range=one)).texts == ["a\nb\nc\n"]


def test_a_range_of_a_missing_file_is_an_error_and_its_block_is_counted(tmp_path: Path) -> None:
    missing = ByteRange(tmp_path / "gone", 0, 10)
    with pytest.raises(TextError, match="cannot be read"):
        missing.read()
    messages = parse_block(Block(format=PLAIN, range=missing))
    assert messages.texts == []
    assert messages.skipped == {"files that break off": 1}
