"""Every export is recognised, and every message found: right time, author and text, also those of several lines."""

from collections import Counter
from pathlib import Path

import pytest

from tests.tokenizer.chats import EXPORTS, chat
from tokenizer.clean.blocks import look, parse_block
from tokenizer.clean.messages import Messages
from tokenizer.clean.names import keep_names
from tokenizer.clean.reading import recognise_file
from tokenizer.clean.rules import EMOJI, MOVIE, PHOTO, clean_all
from tokenizer.clean.sources import find_sources

STANDS_FOR = {"photo": PHOTO, "movie": MOVIE, "emoji": EMOJI, "file": "", "deleted": ""}


def read(path: Path, folder: Path) -> tuple[str, float, Messages]:
    """As `data prepare` does: a first pass, then all messages."""
    (source,), _ = find_sources([path])
    file = recognise_file(source)
    file.open(folder)
    file.scans = [look(block) for block in file.blocks()]
    whole = Messages()
    for block in file.blocks():
        part = parse_block(block)
        whole.times += part.times
        whole.users += part.users
        whole.texts += part.texts
    return file.found.format, file.found.confidence, whole


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
