"""Messages that a messenger writes for a picture, a file or a deletion: one table of patterns, in lower case.

Only whole messages match, because people also write 사진 ("photo") in the middle of a sentence.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

_FILE: Final = r"[^\0\n/]{1,200}\."
_PICTURE: Final = r"(?:jpg|jpeg|png|gif|webp|heic)"
_FILM: Final = r"(?:mp4|mov|webm|3gp)"
# WhatsApp on Android writes "name.jpg (file attached)", on iOS "<attached: name.jpg>", without media "image omitted".
_SENT: Final = r" \((?:file attached|파일 첨부됨)\)"
_HASH: Final = r"[0-9a-f]{64}"  # KakaoTalk names a saved file by a hash

_TABLE: Final[Mapping[str, tuple[str, ...]]] = {
    "photo": (
        r"사진(?: ?[0-9]+ ?장)?",
        r"<사진 읽지 않음>",
        r"photos?|[0-9]+ photos",
        r"\[(?:사진|photo|写真|画像)\]",
        r"(?:image|media) omitted|<media omitted>|<미디어 생략>",
        rf"(?:{_HASH}\.{_PICTURE}\s*)+",
        rf"{_FILE}{_PICTURE}{_SENT}",
        rf"<attached: {_FILE}(?:jpg|jpeg|png|gif|heic)>",
    ),
    "movie": (
        r"동영상|<동영상 읽지 않음>|videos?",
        r"\[(?:동영상|비디오|video|動画)\]",
        r"(?:video|gif) omitted",
        rf"(?:{_HASH}\.mp4\s*)+",
        rf"{_FILE}{_FILM}{_SENT}",
        rf"<attached: {_FILE}{_FILM}>",
    ),
    "emoji": (
        r"\(?이모티콘\)?|emoticons?",
        r"\[(?:스티커|sticker|スタンプ)\]",
        r"sticker omitted",
        rf"<attached: {_FILE}webp>",
    ),
    "attached": (
        r"음성메시지|파일: [^\0]+|지도: [^\0]+|연락처: ?[^\0]*",
        r"(?:audio|document|contact card) omitted",
        r"\[(?:파일|file|보이스 메시지|voice message|위치|location|연락처|contact)\]",
        rf"<attached: {_FILE}[^\0\n]{{1,20}}>|{_FILE}[^\0\n]{{1,20}}{_SENT}",
    ),
    "deleted": (
        r"메시지가 삭제되었습니다\.?|삭제된 메시지입니다\.?|이 메시지는 삭제되었습니다\.?|메시지를 삭제했습니다\.?",
        r"(?:채팅방 )?관리자가 메시지를 가렸습니다\.?",
        r"<?this message was deleted\.?>?|you deleted this message\.?|deleted message\.?|null",
    ),
    "notice": (
        r"샵검색 ?: ?#[^\0]*|톡게시판 ['\"]?(?:공지|투표|일정)['\"]? ?:[^\0]*",
        r"(?:보이스톡|페이스톡|그룹콜|라이브톡)[^\0\n]{0,30}",
        r"☎ [^\0\n]{0,40}|missed (?:voice|video) call[^\0\n]{0,30}",
    ),
}
_FIRST_CHARACTERS: Final = (
    r"[사동이음파지연메삭채관샵톡보페그라0-9a-gimnpstvy<(\[☎]"  # of all patterns without a file name
)


def media_messages(separator: str) -> re.Pattern[str]:
    """A pattern for these messages after a separator and before the next one, with a named group for each kind."""
    return _pattern(separator, {kind: [p for p in ps if _FILE not in p] for kind, ps in _TABLE.items()})


def file_messages(separator: str) -> re.Pattern[str]:
    """The same for messages that begin with a file name. Any message may begin so, which makes this pattern slow."""
    return _pattern(separator, {kind: [p for p in ps if _FILE in p] for kind, ps in _TABLE.items()})


def has_file_messages(text: str) -> bool:
    """Whether `file_messages` may match anything in the text: a cheap test that avoids the slow pattern."""
    return "<attached" in text or "attached)" in text or "첨부됨)" in text


def _pattern(separator: str, table: Mapping[str, Sequence[str]]) -> re.Pattern[str]:
    # A lookahead for the first character comes first: most messages fail there, which is cheap.
    kinds = "|".join(f"(?P<{kind}>{'|'.join(patterns)})" for kind, patterns in table.items() if patterns)
    first = "." if any(_FILE in pattern for patterns in table.values() for pattern in patterns) else _FIRST_CHARACTERS
    return re.compile(f"{separator}(?={first})(?:{kinds})(?={separator})")
