"""Telegram's `result.json`: one chat, or all of them. Pure over parsed messages; reading the file is `records`'
work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tokenizer.clean.formats.records import Record, whole_characters
from tokenizer.clean.times import read_stamp

PREFIXES: Final = ("messages.item", "chats.list.item.messages.item")
_MEDIA: Final = {
    "sticker": "이모티콘",
    "video_file": "동영상",
    "video_message": "동영상",
    "animation": "동영상",
}


def read_message(plain: Mapping[str, Any]) -> Record | None:
    """None for what is no person's message."""
    if plain.get("type") != "message":
        return None
    text = _joined(plain.get("text_entities")) or _joined(plain.get("text"))
    if not text:
        text = "사진" if plain.get("photo") else _MEDIA.get(str(plain.get("media_type")), "")
    user = plain.get("from")
    return Record(
        time=read_stamp(str(plain.get("date", ""))),
        user=user if isinstance(user, str) else "",
        text=whole_characters(text),
    )


def _joined(parts: object) -> str:
    """Text is a string, or a list of strings and of objects that have a `text`."""
    if isinstance(parts, str):
        return parts
    if not isinstance(parts, list):
        return ""
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "".join(text for text in texts if isinstance(text, str))
