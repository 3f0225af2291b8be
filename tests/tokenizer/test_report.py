"""The summary and the picture of `data prepare` show true figures and no private text."""

import builtins
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.tokenizer.chats import chat, kakao_windows
from tokenizer.corpus.conversations.documents import ENTRY
from tokenizer.corpus.messages import NO_TIME
from tokenizer.corpus.prepare import PrepareOptions, prepare
from tokenizer.corpus.prepared.report import draw
from tokenizer.corpus.prepared_files import PICTURE, SUMMARY


def test_the_summary_agrees_with_the_stats_and_shows_samples(tmp_path: Path) -> None:
    said = chat(seed=4, count=3_000)
    (tmp_path / "chat.txt").write_text(kakao_windows(said))
    stats = prepare([tmp_path / "chat.txt"], tmp_path / "out")
    summary = (tmp_path / "out" / SUMMARY).read_text()
    assert f"{stats.documents:,} documents" in summary
    for what, count in stats.replaced.items():
        assert f"| `{what}` | {count:,} |" in summary
    assert "## Before and after" in summary
    assert f"![lengths and days]({PICTURE})" in summary
    assert is_png((tmp_path / "out" / PICTURE).read_bytes())
    for user in {one.user for one in said if one.kind == "text"}:
        assert user not in summary


def test_samples_show_nothing_that_was_hidden(tmp_path: Path) -> None:
    texts = [
        "홍길동 전화는 010-1234-5678 이야 👍",
        "메일은 me@example.com 👍👍",
        "그냥 웃자 ㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋㅋ 👍",
        "길동아 밥 먹자 👍👍👍",
    ]
    rows = [f'2025-01-0{1 + i % 5} 10:00:00,"홍길동","{text}"\n' for i, text in enumerate(texts * 9)]
    (tmp_path / "chat.csv").write_text("Date,User,Message\n" + "".join(rows))
    prepare([tmp_path / "chat.csv"], tmp_path / "out")
    summary = (tmp_path / "out" / SUMMARY).read_text()
    assert "그냥 웃자" in summary
    assert not [secret for secret in ("길동", "010", "1234", "example") if secret in summary]


def test_a_hostile_file_name_stays_in_its_cell(tmp_path: Path) -> None:
    path = tmp_path / "a|b`c<img>[x](y).txt"
    path.write_text("첫 문단입니다\n\n둘째 문단입니다\n\n셋째\n")
    prepare([path], tmp_path / "out")
    assert "a\\|b\\`c\\<img\\>\\[x\\](y).txt" in (tmp_path / "out" / SUMMARY).read_text()


def test_both_batches_are_in_the_summary(tmp_path: Path) -> None:
    for name, seed in (("one.txt", 1), ("two.txt", 2)):
        (tmp_path / name).write_text(kakao_windows(chat(seed=seed, count=300)))
        prepare([tmp_path / name], tmp_path / "out", PrepareOptions(is_append=name == "two.txt"))
    summary = (tmp_path / "out" / SUMMARY).read_text()
    assert "in 2 batches" in summary
    assert "## Batch 1" in summary
    assert "two.txt" in summary.split("## Batch 2")[1]


@pytest.mark.parametrize("count", [0, 1, 2, 3000])
@pytest.mark.parametrize("has_times", [True, False])
def test_any_number_of_documents_can_be_drawn(count: int, has_times: bool) -> None:
    entries = np.zeros(count, dtype=ENTRY)
    entries["characters"] = np.arange(count) % 900
    entries["messages"] = 1
    entries["start"] = np.arange(count) * 86_400 * 3 if has_times else NO_TIME
    assert is_png(draw(entries))


def test_without_matplotlib_there_is_a_summary_without_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = builtins.__import__

    def refuse(name: str, *rest: Any) -> Any:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return load(name, *rest)

    (tmp_path / "chat.txt").write_text(kakao_windows(chat(seed=4, count=300)))
    prepare([tmp_path / "chat.txt"], tmp_path / "out")
    monkeypatch.setattr(builtins, "__import__", refuse)
    prepare([tmp_path / "chat.txt"], tmp_path / "out")
    assert "pip install matplotlib" in (tmp_path / "out" / SUMMARY).read_text()
    assert not (tmp_path / "out" / PICTURE).exists()


def is_png(data: bytes | None) -> bool:
    """Whether the data is a PNG of a reasonable size."""
    if data is None:
        return False
    file = io.BytesIO(data)
    sign, _, width, height = struct.unpack(">8s8sII", file.read(24))
    return sign == b"\x89PNG\r\n\x1a\n" and width > 500 and height > 200
