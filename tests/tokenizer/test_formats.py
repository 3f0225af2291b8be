"""Every export format is detected, and every message is found with its time, user and text."""

from collections import Counter
from pathlib import Path

import pytest

from tests.tokenizer.chats import EXPORTS, chat
from tokenizer.corpus.cleaning.names import keep_names
from tokenizer.corpus.cleaning.rules import clean_all
from tokenizer.corpus.input.blocks import parse_block, scan_block
from tokenizer.corpus.input.input_file import detect_file
from tokenizer.corpus.input.sources import find_sources
from tokenizer.corpus.messages import Messages
from tokenizer.placeholders import EMOJI, MOVIE, PHOTO

STANDS_FOR = {"photo": PHOTO, "movie": MOVIE, "emoji": EMOJI, "file": "", "deleted": ""}


def read(path: Path, folder: Path) -> tuple[str, float, Messages]:
    """Read a file as `data prepare` does: a first pass, then all messages."""
    (source,), _ = find_sources([path])
    file = detect_file(source)
    file.open(folder)
    file.scans = [scan_block(block) for block in file.blocks()]
    whole = Messages()
    for block in file.blocks():
        part = parse_block(block)
        whole.times += part.times
        whole.users += part.users
        whole.texts += part.texts
    return file.detected.name, file.detected.confidence, whole


@pytest.mark.parametrize("export", EXPORTS)
def test_every_message_of_an_export_is_found(export: str, tmp_path: Path) -> None:
    form, name, write, resolution = EXPORTS[export]
    said = chat(seed=len(export), count=10_000)
    path = tmp_path / name
    path.write_text(write(said), encoding="utf-8")
    found, confidence, messages = read(path, tmp_path)
    assert found == form
    assert confidence > 0.6
    cleaned = clean_all(messages.texts, keep_names, Counter(), Counter())
    expected = [one for one in said if one.kind != "system"]
    if form in ("Telegram", "Discord"):
        expected = [one for one in expected if one.kind != "deleted"]
    assert [(t, u) for t, u in zip(messages.times, messages.users, strict=True)] == [
        (one.time // resolution * resolution, one.user) for one in expected
    ]
    for one, raw, text in zip(expected, messages.texts, cleaned, strict=True):
        if one.kind == "text":
            assert raw.strip() == one.text
        else:
            assert text == STANDS_FOR[one.kind], (one, raw)
