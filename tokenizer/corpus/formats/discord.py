"""Discord, in the JSON that DiscordChatExporter writes. Pure: `json_export` reads the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tokenizer.corpus.formats.json_export import Record, replace_lone_surrogates
from tokenizer.corpus.formats.times import read_stamp

PREFIXES: Final = ("messages.item",)
_PERSONAL_TYPES: Final = {"Default", "Reply"}
_PHOTO_SUFFIXES: Final = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".heic")
_MOVIE_SUFFIXES: Final = (".mp4", ".mov", ".webm", ".mkv")


def read_message(plain: Mapping[str, Any]) -> Record | None:
    """The message; None if no person wrote it (bots, joins, pins)."""
    author = plain.get("author")
    if plain.get("type") not in _PERSONAL_TYPES or not isinstance(author, dict) or author.get("isBot"):
        return None
    text = plain.get("content")
    mentioned = plain.get("mentions")
    people = [author, *(mentioned if isinstance(mentioned, list) else [])]
    names = {person.get(key) for person in people if isinstance(person, dict) for key in ("name", "nickname")}
    return Record(
        time=read_stamp(str(plain.get("timestamp", ""))),
        user=str(author.get("nickname") or author.get("name") or ""),
        text=replace_lone_surrogates(text) if isinstance(text, str) and text else _media_text(plain),
        names=frozenset(name for name in names if isinstance(name, str)),
    )


def _media_text(plain: Mapping[str, Any]) -> str:
    """The text for a message without words, as KakaoTalk would write it; the cleaning knows these."""
    if plain.get("stickers"):
        return "이모티콘"
    attached = plain.get("attachments")
    for item in attached if isinstance(attached, list) else []:
        name = str(item.get("fileName", "")).lower() if isinstance(item, dict) else ""
        if name.endswith(_PHOTO_SUFFIXES):
            return "사진"
        if name.endswith(_MOVIE_SUFFIXES):
            return "동영상"
    return ""
