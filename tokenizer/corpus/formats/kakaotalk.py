"""KakaoTalk for Windows, Android and iOS, in Korean and English. Its CSV for macOS is in `kakaotalk_csv`.

Windows writes a line for each day; Android and iOS write the day before every message. Lines of the messenger itself
have no user.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

from tokenizer.corpus.formats.text_export import TextExport

_TITLE: Final = re.compile(
    r"[^\n]{0,300}(?:님과 카카오톡 대화|with KakaoTalk Chats?)[^\n]*\n\s*(?:저장한 날짜|Date Saved) ?:", re.IGNORECASE
)
_CLOCK: Final = r"(?P<clock>(?:(?:오전|오후) )?\d{1,2}:\d{2}(?::\d{2})?(?: [AP]M)?)"
_DAY: Final = r"(?:\d{4}년 \d{1,2}월 \d{1,2}일|[A-Z][a-z]{2,8} \d{1,2}, \d{4})"
_WEEKDAY: Final = r"(?:[월화수목금토일]요일)"
_ENGLISH_WEEKDAY: Final = r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day"

# Lines that KakaoTalk wrote: a substring to search for, and a pattern for the whole line.
SYSTEM_LINES: Final = tuple(
    (part, re.compile(whole))
    for part, whole in (
        ("님이 들어왔습니다", r".{1,60}님이 들어왔습니다\.?.{0,40}"),
        ("님이 나갔습니다", r".{1,60}님이 나갔습니다\.?"),
        ("초대했습니다", r".{1,60}님이 .+님을 초대했습니다\.?"),
        ("보냈습니다", r".{1,60}님을 (?:내)?보냈습니다\.?"),
        ("방장이 되었습니다", r".{1,60}님이 (?:부)?방장이 되었습니다\.?"),
        ("관리자만 말하기", r"관리자만 말하기 기능이 (?:활성화|해제)되었습니다.*"),
        ("운영정책을 위반한", r"운영정책을 위반한 메시지로 신고 접수 시.*"),
        ("채팅방 관리자가", r"채팅방 관리자가 메시지를 가렸습니다\.?"),
        (" joined this chatroom", r".{1,60} joined this chatroom\."),
        (" left this chatroom", r".{1,60} left this chatroom\."),
        (" invited ", r".{1,60} invited .{1,200} to (?:this|the) chatroom\."),
    )
)


@lru_cache(maxsize=1 << 12)  # the CSV for macOS has such a line as a user, again and again
def is_system_line(line: str) -> bool:
    """Whether KakaoTalk wrote the line."""
    return any(part in line and whole.fullmatch(line) for part, whole in SYSTEM_LINES)


WINDOWS: Final = TextExport(
    name="KakaoTalk (Windows)",
    title=_TITLE,
    day_line=re.compile(
        rf"\n-{{5,}} (?:{_ENGLISH_WEEKDAY}, )?({_DAY})(?: {_WEEKDAY})? -{{5,}}(?=\n|$)",
    ),
    record=re.compile(rf"\n\[(?P<user>[^\n]+?)\] \[{_CLOCK}\] "),
    system=SYSTEM_LINES,
)
ANDROID: Final = TextExport(
    name="KakaoTalk (Android)",
    title=_TITLE,
    record=re.compile(rf"\n(?P<day>{_DAY}),? {_CLOCK}(?:, (?:(?P<user>[^\n]+?) : )?|(?=\n|$))"),
)
IOS: Final = TextExport(
    name="KakaoTalk (iOS)",
    title=_TITLE,
    noise=re.compile(rf"\n(?:-+ )?\d{{4}}년 \d{{1,2}}월 \d{{1,2}}일 {_WEEKDAY}(?: -+)?(?=\n|$)"),
    record=re.compile(rf"\n(?P<day>\d{{4}}\. \d{{1,2}}\. \d{{1,2}}\.) {_CLOCK}(?:, (?P<user>[^\n]+?) : |: )"),
)
