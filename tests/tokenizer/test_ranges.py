"""Files as ranges: nothing is lost or twice, records stay whole, memory stays bounded."""

import re
from pathlib import Path

import pytest

from tokenizer.clean import ranges as module
from tokenizer.clean.ranges import Cut, Range, ranges

RECORD = re.compile(r"\n\[[^\n]+?\] \[\d{1,2}:\d{2}\] ")


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "RANGE_BYTES", 1000)
    monkeypatch.setattr(module, "_FIRST_LOOK", 100)
    monkeypatch.setattr(module, "_LONGEST", 6400)


def text_of(one: Range) -> str:
    return one.text(one.read())


def cut_file(path: Path, data: bytes, cut: Cut, encoding: str = "utf-8") -> list[Range]:
    path.write_bytes(data)
    found = list(ranges(path, 0, encoding, cut))
    assert [one.start for one in found[1:]] == [one.end for one in found[:-1]]
    assert found[0].start == 0
    assert found[-1].end == len(data)
    return found


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
def test_ranges_begin_at_records(tmp_path: Path, encoding: str) -> None:
    text = "".join(f"[홍길동] [12:{i % 60:02}] 안녕 {i}\n둘째 줄\n" for i in range(500))
    found = cut_file(tmp_path / "chat", text.encode(encoding), Cut(record=RECORD), encoding)
    parts = [text_of(one) for one in found]
    assert len(parts) > 10
    assert "".join(parts) == text
    assert all(RECORD.match(f"\n{part}") for part in parts)


def test_line_breaks_inside_quotes_cut_nothing(tmp_path: Path) -> None:
    row = '2025-01-01,"홍길동","첫 줄\n\n둘째 ""줄""\n"\n'
    for one in cut_file(tmp_path / "chat", row.encode() * 300, Cut(has_quotes=True)):
        assert text_of(one) == row * text_of(one).count("2025")


def test_an_open_quote_does_not_hold_everything(tmp_path: Path) -> None:
    found = cut_file(tmp_path / "chat", b'"' + b"line\n" * 20_000, Cut(has_quotes=True))
    assert max(one.end - one.start for one in found) <= 1000 + 6400


def test_documents_are_kept_whole_where_they_are_short(tmp_path: Path) -> None:
    text = "하나\n둘\n\n" * 300
    for one in cut_file(tmp_path / "text", text.encode(), Cut(prefers_blank=True)):
        assert text_of(one).startswith("하나")


@pytest.mark.parametrize("encoding", ["utf-8", "cp949"])
def test_one_endless_line_is_cut_between_characters(tmp_path: Path, encoding: str) -> None:
    text = "가나다라 마바사" * 8000
    found = cut_file(tmp_path / "text", text.encode(encoding), Cut(), encoding)
    assert len(found) > 1
    assert "".join(text_of(one) for one in found) == text


def test_windows_line_ends_are_read_as_one(tmp_path: Path) -> None:
    (one,) = cut_file(tmp_path / "text", b"a\r\nb\rc\n", Cut())
    assert text_of(one) == "a\nb\nc\n"
