"""Telegram's `result.json`, which has one chat or all of them. Pure: `json_export` reads the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tokenizer.corpus.formats.json_export import Record, replace_lone_surrogates
from tokenizer.corpus.formats.times import read_stamp

PREFIXES: Final = ("messages.item", "chats.list.item.messages.item")
_MEDIA_TEXTS: Final = {  # as KakaoTalk would write them; the cleaning knows these
    "sticker": "이모티콘",
    "video_file": "동영상",
    "video_message": "동영상",
    "animation": "동영상",
}


def read_message(plain: Mapping[str, Any]) -> Record | None:
    """The message; None if no person wrote it."""
    if plain.get("type") != "message":
        return None
    # Older exports have only `text`.
    text = _joined(plain.get("text_entities")) or _joined(plain.get("text"))
    if not text:
        text = "사진" if plain.get("photo") else _MEDIA_TEXTS.get(str(plain.get("media_type")), "")
    user = plain.get("from")
    return Record(
        time=read_stamp(str(plain.get("date", ""))),
        user=user if isinstance(user, str) else "",
        text=replace_lone_surrogates(text),
    )


def _joined(parts: object) -> str:
    """The text: Telegram writes a string, or a list of strings and of objects that have a `text`."""
    if isinstance(parts, str):
        return parts
    if not isinstance(parts, list):
        return ""
    texts = [part.get("text") if isinstance(part, dict) else part for part in parts]
    return "".join(text for text in texts if isinstance(text, str))
