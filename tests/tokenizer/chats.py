"""Generated group chats, and how each messenger would export them.

A seed decides people, days, media, links, emoji, laughter and names with particles. So a test knows exactly what a
parser must find."""

import csv
import io
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

Kind = Literal["text", "photo", "movie", "emoji", "file", "system", "deleted"]
SURNAMES = "김이박최정강조윤장임한오서신권황안송전홍"
GIVEN = [
    "민준",
    "서윤",
    "도현",
    "하린",
    "지호",
    "수아",
    "예준",
    "지우",
    "시우",
    "채원",
    "건우",
    "다은",
    "현우",
    "유나",
    "태윤",
    "소율",
    "재민",
    "나연",
    "승현",
    "보라",
]
NOUNS = [
    "점심",
    "회의",
    "영화",
    "과제",
    "기차",
    "날씨",
    "커피",
    "게임",
    "축구",
    "시험",
    "택배",
    "여행",
    "강아지",
    "노래",
    "사진첩",
    "냉면",
    "버스",
    "휴가",
    "생일",
    "숙소",
]
VERBS = [
    "먹었어",
    "끝났어",
    "봤어",
    "냈어",
    "놓쳤어",
    "좋다",
    "마시자",
    "하자",
    "졌어",
    "망했어",
    "왔대",
    "가자",
    "귀엽다",
    "들어봐",
    "보내줘",
    "먹자",
    "탔어",
    "냈다",
    "축하해",
    "잡았어",
]
OPENERS = [
    "아",
    "오",
    "근데",
    "그럼",
    "혹시",
    "진짜",
    "어제",
    "오늘",
    "내일",
    "다들",
    "이따가",
    "아까",
    "드디어",
    "그래서",
    "나는",
    "우리",
    "저녁에",
    "주말에",
    "방금",
    "아직",
]
TAILS = [
    "",
    "",
    "",
    " ㅋㅋㅋ",
    " ㅋㅋㅋㅋㅋㅋㅋㅋㅋ",
    " ㅠㅠ",
    "?",
    "!!",
    " ㅎㅎ",
    "...",
    " 😂😂",
    " 👍🏽",
    " ❤️",
    " 👨‍👩‍👧‍👦",
    "~",
]
PARTICLES = ["아", "이가", "이는", "씨", "한테", "이랑", "님", "이도"]
EXTRAS = [
    "https://youtu.be/dQw4w9WgXcQ 이거 봐",
    "www.naver.com 에서 찾았어",
    "ㄱㄱ",
    "ㅇㅋ",
    "사진 3장 보내줘",
    "Meeting at 7?",
    "가격: 3만원 : 할인",
]
START = datetime(2024, 5, 30, 9, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Said:
    """One message; `time` in seconds of the wall clock."""

    time: int
    user: str
    text: str
    kind: Kind = "text"


def people(generator: random.Random, count: int) -> list[str]:
    given = generator.sample(GIVEN, count)
    return [generator.choice(SURNAMES) + name for name in given]


def sentence(generator: random.Random) -> str:
    return f"{generator.choice(OPENERS)} {generator.choice(NOUNS)} {generator.choice(VERBS)}{generator.choice(TAILS)}"


def chat(seed: int, count: int = 10_000, users: int = 6) -> list[Said]:
    """Messages over weeks, with pauses; a twentieth has several lines, a tenth is media, system lines or deleted."""
    generator = random.Random(seed)
    names = people(generator, users)
    now, said = START, []
    for _ in range(count):
        now += timedelta(
            seconds=generator.randrange(7200, 60_000) if generator.random() < 0.02 else generator.randrange(150)
        )
        draw, user = generator.random(), generator.choice(names)
        kind: Kind = "text"
        text = sentence(generator)
        if draw < 0.03:
            kind, text = "photo", ""
        elif draw < 0.04:
            kind, text = "movie", ""
        elif draw < 0.06:
            kind, text = "emoji", ""
        elif draw < 0.07:
            kind, text = "file", "여행계획.xlsx"
        elif draw < 0.08:
            kind, text = "system", ""
        elif draw < 0.09:
            kind, text = "deleted", ""
        elif draw < 0.14:
            text = "\n".join(sentence(generator) for _ in range(generator.randrange(2, 5)))
        elif draw < 0.19:
            text = f"{generator.choice(names)[1:]}{generator.choice(PARTICLES)} {text}"
        elif draw < 0.24:
            text = generator.choice(EXTRAS)
        said.append(Said(int(now.timestamp()), user, text, kind))
    return said


# -- exports
# ----------------------------------------------------------------------------------------------------------------

Export = Callable[[Sequence[Said]], str]


def _when(said: Said) -> datetime:
    return datetime.fromtimestamp(said.time, UTC)


def _korean_clock(at: datetime) -> str:
    return f"{'오전' if at.hour < 12 else '오후'} {(at.hour - 1) % 12 + 1}:{at.minute:02d}"


def _english_clock(at: datetime) -> str:
    return f"{(at.hour - 1) % 12 + 1}:{at.minute:02d} {'AM' if at.hour < 12 else 'PM'}"


def _body(said: Said, words: dict[Kind, str]) -> str:
    return words[said.kind].format(said.text) if said.kind in words else said.text


KAKAO: dict[Kind, str] = {
    "photo": "사진", "movie": "동영상", "emoji": "이모티콘", "file": "파일: {}", "deleted": "삭제된 메시지입니다.",
}  # fmt: skip
KAKAO_ENGLISH: dict[Kind, str] = {
    "photo": "Photo", "movie": "Video", "emoji": "Emoticon", "file": "파일: {}", "deleted": "This message was deleted.",
}  # fmt: skip
WEEKDAYS = "월화수목금토일"


def _days(said: Sequence[Said]) -> Iterator[tuple[datetime | None, Said]]:
    """Each message, with its day if it is the first of that day."""
    day = None
    for one in said:
        at = _when(one)
        yield (at if at.date() != day else None), one
        day = at.date()


def kakao_windows(said: Sequence[Said]) -> str:
    lines = ["여행 모임 님과 카카오톡 대화", "저장한 날짜 : 2026-11-23 10:00:00", ""]
    for day, one in _days(said):
        if day:
            lines.append(f"{'-' * 15} {day.year}년 {day.month}월 {day.day}일 {WEEKDAYS[day.weekday()]}요일 {'-' * 15}")
        if one.kind == "system":
            lines.append(f"{one.user}님이 나갔습니다.")
        else:
            lines.append(f"[{one.user}] [{_korean_clock(_when(one))}] {_body(one, KAKAO)}")
    return "\n".join(lines) + "\n"


def kakao_windows_english(said: Sequence[Said]) -> str:
    lines = ["Trip with KakaoTalk Chats", "Date Saved : 2026-11-23 10:00:00", ""]
    for day, one in _days(said):
        if day:
            lines.append(f"{'-' * 15} {day:%A}, {day:%B} {day.day}, {day.year} {'-' * 15}")
        if one.kind == "system":
            lines.append(f"{one.user} left this chatroom.")
        else:
            lines.append(f"[{one.user}] [{_english_clock(_when(one))}] {_body(one, KAKAO_ENGLISH)}")
    return "\n".join(lines) + "\n"


def kakao_android(said: Sequence[Said]) -> str:
    lines = ["여행 모임 6 님과 카카오톡 대화", "저장한 날짜 : 2026년 2월 16일 오후 4:45", "", ""]
    for day, one in _days(said):
        at = _when(one)
        stamp = f"{at.year}년 {at.month}월 {at.day}일 {_korean_clock(at)}"
        if day:
            lines.append(f"{stamp}")
        if one.kind == "system":
            lines.append(f"{stamp}, {one.user}님이 들어왔습니다.")
        else:
            lines.append(f"{stamp}, {one.user} : {_body(one, KAKAO)}")
    return "\n".join(lines) + "\n"


def kakao_android_english(said: Sequence[Said]) -> str:
    lines = ["Trip with KakaoTalk Chats", "Date Saved : Feb 16, 2026, 4:45 PM", ""]
    for _, one in _days(said):
        at = _when(one)
        stamp = f"{at:%B} {at.day}, {at.year}, {_english_clock(at)}"
        if one.kind == "system":
            lines.append(f"{stamp}, {one.user} left this chatroom.")
        else:
            lines.append(f"{stamp}, {one.user} : {_body(one, KAKAO_ENGLISH)}")
    return "\n".join(lines) + "\n"


def kakao_ios(said: Sequence[Said]) -> str:
    lines = ["여행 모임 님과 카카오톡 대화", "저장한 날짜 : 2026. 1. 27. 21:40", ""]
    for day, one in _days(said):
        at = _when(one)
        if day:
            lines.append(f"{at.year}년 {at.month}월 {at.day}일 {WEEKDAYS[at.weekday()]}요일")
        stamp = f"{at.year}. {at.month}. {at.day}. {_korean_clock(at)}"
        if one.kind == "system":
            lines.append(f"{stamp}: {one.user}님이 들어왔습니다.")
        else:
            lines.append(f"{stamp}, {one.user} : {_body(one, KAKAO)}")
    return "\n".join(lines) + "\n"


def kakao_mac(said: Sequence[Said]) -> str:
    written = io.StringIO()
    table = csv.writer(written, lineterminator="\n")
    table.writerow(["Date", "User", "Message"])
    for one in said:
        if one.kind == "system":
            table.writerow(["", "", f"{one.user}님이 나갔습니다."])
        else:
            table.writerow([f"{_when(one):%Y-%m-%d %H:%M:%S}", one.user, _body(one, KAKAO)])
    return "\ufeff" + written.getvalue()


def kakao_mac_broken(said: Sequence[Said]) -> str:
    """With line breaks outside quotes, and incomplete system rows after a message."""
    lines = ["Date,User,Message"]
    for one in said:
        if one.kind == "system":
            lines.append(f'"","","{one.user}님이 나갔습니다."')
        else:
            lines.append(f"{_when(one):%Y-%m-%d %H:%M:%S},{one.user},{_body(one, KAKAO)}")
    return "\n".join(lines) + "\n"


WHATSAPP: dict[Kind, str] = {
    "photo": "<Media omitted>", "movie": "video omitted", "emoji": "sticker omitted", "file": "{} (file attached)",
    "deleted": "This message was deleted",
}  # fmt: skip


def whatsapp_android(said: Sequence[Said]) -> str:
    stamps = f"{_when(said[0]):%d/%m/%y, %H:%M}"
    lines = [f"{stamps} - Messages and calls are end-to-end encrypted. Tap to learn more."]
    for one in said:
        stamp = f"{_when(one):%d/%m/%y, %H:%M} - "
        lines.append(stamp + (f"{one.user} left" if one.kind == "system" else f"{one.user}: {_body(one, WHATSAPP)}"))
    return "\n".join(lines) + "\n"


def whatsapp_ios(said: Sequence[Said]) -> str:
    lines = []
    for one in said:
        at = _when(one)
        stamp = (
            f"[{at.month}/{at.day}/{at:%y}, {(at.hour - 1) % 12 + 1}:{at:%M:%S}\u202f{'AM' if at.hour < 12 else 'PM'}] "
        )
        if one.kind == "system":
            lines.append(f"\u200e{stamp}\u200e{one.user} left")
        elif one.kind == "text":
            lines.append(f"{stamp}{one.user}: {one.text}")
        else:
            words = {**WHATSAPP, "photo": "image omitted", "file": "document omitted"}
            lines.append(f"\u200e{stamp}{one.user}: \u200e{_body(one, words)}")
    return "\n".join(lines) + "\n"


LINE_WORDS: dict[Kind, str] = {
    "photo": "[사진]", "movie": "[동영상]", "emoji": "[스티커]", "file": "[파일]", "deleted": "메시지를 삭제했습니다.",
}  # fmt: skip


def line(said: Sequence[Said]) -> str:
    lines = ["[LINE] 여행 모임님과의 대화", "저장 날짜 : 2026/11/23 10:00", ""]
    for day, one in _days(said):
        at = _when(one)
        if day:
            lines += ["", f"{at:%Y/%m/%d}({WEEKDAYS[at.weekday()]})"]
        body = _body(one, LINE_WORDS)
        body = '"' + body.replace('"', '""') + '"' if "\n" in body else body
        if one.kind == "system":
            lines.append(f"{at:%H:%M}\t{one.user}님이 그룹에서 나갔습니다.")
        else:
            lines.append(f"{at:%H:%M}\t{one.user}\t{body}")
    return "\n".join(lines) + "\n"


def signal(said: Sequence[Said]) -> str:
    words: dict[Kind, str] = {**KAKAO, "file": "{} (file attached)"}
    lines = [
        f"[{_when(one):%Y-%m-%d, %H:%M}] "
        + (f"{one.user} left the group" if one.kind == "system" else f"{one.user}: {_body(one, words)}")
        for one in said
    ]
    return "\n".join(lines) + "\n"


def _telegram_messages(said: Sequence[Said]) -> list[dict[str, object]]:
    found = []
    for number, one in enumerate(said):
        plain: dict[str, object] = {
            "id": number, "type": "message", "date": f"{_when(one):%Y-%m-%dT%H:%M:%S}", "date_unixtime": str(one.time),
            "from": one.user, "from_id": "user1", "text": "", "text_entities": [],
        }  # fmt: skip
        match one.kind:
            case "text":
                half = len(one.text) // 2
                plain["text"] = [one.text[:half], {"type": "bold", "text": one.text[half:]}]
                plain["text_entities"] = [
                    {"type": "plain", "text": one.text[:half]},
                    {"type": "bold", "text": one.text[half:]},
                ]
            case "photo":
                plain["photo"] = "photos/photo_1.jpg"
            case "movie":
                plain["media_type"] = "video_file"
            case "emoji":
                plain["media_type"] = "sticker"
            case "file":
                plain["file"] = "files/a.xlsx"
            case "system":
                plain = {"id": number, "type": "service", "actor": one.user, "action": "invite_members", "text": ""}
            case "deleted":
                continue
        found.append(plain)
    return found


def telegram(said: Sequence[Said]) -> str:
    chat = {"name": "여행 모임", "type": "private_group", "id": 1, "messages": _telegram_messages(said)}
    return json.dumps(chat, ensure_ascii=False, indent=1)


def telegram_full(said: Sequence[Said]) -> str:
    chat = {"name": "여행 모임", "type": "private_group", "id": 1, "messages": _telegram_messages(said)}
    contacts = {"about": "", "list": [{"first_name": "민지"}] * 300}
    full = {"about": "Here is the data you requested.", "contacts": contacts, "chats": {"about": "", "list": [chat]}}
    return json.dumps(full, ensure_ascii=False)


def discord(said: Sequence[Said]) -> str:
    messages = []
    for number, one in enumerate(said):
        if one.kind == "deleted":
            continue
        author = {"id": "1", "name": one.user, "discriminator": "0000", "nickname": one.user, "isBot": False}
        messages.append(
            {
                "id": str(number),
                "type": "GuildMemberJoin" if one.kind == "system" else "Default",
                "timestamp": f"{_when(one):%Y-%m-%dT%H:%M:%S}.123+09:00",
                "content": one.text if one.kind == "text" else "",
                "author": author,
                "attachments": [{"fileName": {"photo": "a.png", "movie": "b.mp4"}.get(one.kind, "c.xlsx")}]
                if one.kind in ("photo", "movie", "file")
                else [],
                "stickers": [{"name": "hi"}] if one.kind == "emoji" else [],
                "mentions": [],
            }
        )
    channel = {"id": "1", "type": "GuildTextChat", "name": "잡담"}
    return json.dumps(
        {"guild": {"id": "1", "name": "여행"}, "channel": channel, "messages": messages}, ensure_ascii=False
    )


def table(said: Sequence[Said]) -> str:
    written = io.StringIO()
    writer = csv.writer(written, delimiter=";", lineterminator="\r\n")
    writer.writerow(["번호", "보낸사람", "일시", "내용"])
    for number, one in enumerate(one for one in said if one.kind != "system"):
        writer.writerow([number, one.user, f"{_when(one):%Y-%m-%dT%H:%M:%S}", _body(one, KAKAO)])
    return written.getvalue()


def json_lines(said: Sequence[Said]) -> str:
    rows = (
        {"time": f"{_when(one):%Y-%m-%dT%H:%M:%S}", "user": one.user, "text": _body(one, KAKAO)}
        for one in said
        if one.kind != "system"
    )
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


# For each export: the name of its format, a file name, the function that writes it, and how exact its times are (s).
EXPORTS: dict[str, tuple[str, str, Export, int]] = {
    "kakao windows": ("KakaoTalk (Windows)", "KakaoTalk_20261123_1000_00_1_group.txt", kakao_windows, 60),
    "kakao windows english": (
        "KakaoTalk (Windows)",
        "KakaoTalk_20261123_1000_00_1_group.txt",
        kakao_windows_english,
        60,
    ),
    "kakao mac": ("KakaoTalk (macOS)", "KakaoTalk_Chat_여행_2026-11-23-10-00-00.csv", kakao_mac, 1),
    "kakao mac broken": ("KakaoTalk (macOS)", "KakaoTalk_Chat_여행_2026-11-23-10-00-00.csv", kakao_mac_broken, 1),
    "kakao android": ("KakaoTalk (Android)", "KakaoTalkChats.txt", kakao_android, 60),
    "kakao android english": ("KakaoTalk (Android)", "KakaoTalkChats.txt", kakao_android_english, 60),
    "kakao ios": ("KakaoTalk (iOS)", "Talk_2026.1.27 21_40-1.txt", kakao_ios, 60),
    "whatsapp android": ("WhatsApp (Android)", "WhatsApp Chat with 여행.txt", whatsapp_android, 60),
    "whatsapp ios": ("WhatsApp (iOS)", "_chat.txt", whatsapp_ios, 1),
    "line": ("LINE", "[LINE]여행.txt", line, 60),
    "signal": ("Signal", "signal.txt", signal, 60),
    "telegram": ("Telegram", "result.json", telegram, 1),
    "telegram full": ("Telegram", "result.json", telegram_full, 1),
    "discord": ("Discord", "잡담.json", discord, 1),
    "table": ("CSV", "table.csv", table, 1),
    "json lines": ("JSON lines", "chat.jsonl", json_lines, 1),
}
