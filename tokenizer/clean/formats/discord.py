"""Discord, as DiscordChatExporter writes it to JSON. Pure over parsed messages; reading the file is `records`' work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from tokenizer.clean.formats.records import Record, whole_characters
from tokenizer.clean.times import read_stamp

PREFIXES: Final = ("messages.item",)
_PERSONS: Final = {"Default", "Reply"}
_PICTURES: Final = (".jpg", ".jpeg", ".png", ".gif", ".webp", ".heic")
_FILMS: Final = (".mp4", ".mov", ".webm", ".mkv")


def read_message(plain: Mapping[str, Any]) -> Record | None:
    """None for what is no person's message: bots, joins, pins."""
    author = plain.get("author")
    if plain.get("type") not in _PERSONS or not isinstance(author, dict) or author.get("isBot"):
        return None
    text = plain.get("content")
    mentioned = plain.get("mentions")
    people = [author, *(mentioned if isinstance(mentioned, list) else [])]
    names = {person.get(key) for person in people if isinstance(person, dict) for key in ("name", "nickname")}
    return Record(
        time=read_stamp(str(plain.get("timestamp", ""))),
        user=str(author.get("nickname") or author.get("name") or ""),
        text=whole_characters(text) if isinstance(text, str) and text else _media(plain),
        names=frozenset(name for name in names if isinstance(name, str)),
    )


def _media(plain: Mapping[str, Any]) -> str:
    """What stands for a message without words."""
    if plain.get("stickers"):
        return "이모티콘"
    attached = plain.get("attachments")
    for item in attached if isinstance(attached, list) else []:
        name = str(item.get("fileName", "")).lower() if isinstance(item, dict) else ""
        if name.endswith(_PICTURES):
            return "사진"
        if name.endswith(_FILMS):
            return "동영상"
    return ""
