"""Private data is hidden in all its spellings, and text that only resembles it stays."""

import random
from collections import Counter

import pytest

from tests.tokenizer.chats import SURNAMES, chat
from tokenizer.corpus.cleaning.names import keep_names, name_hider, names_from_users
from tokenizer.corpus.cleaning.private import hide_private, is_card, is_rrn
from tokenizer.corpus.cleaning.rules import clean_all
from tokenizer.placeholders import PLACEHOLDERS


def hidden(text: str) -> str:
    return hide_private(text, Counter())


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("내 번호 010-1234-5678이야", "내 번호 <PHONE>이야"),
        ("01012345678", "<PHONE>"),
        ("010 1234 5678로 해", "<PHONE>로 해"),
        ("010.123.4567", "<PHONE>"),
        ("+82 10-1234-5678", "<PHONE>"),
        ("+82-(0)10-1234-5678", "<PHONE>"),
        ("０１０－１２３４－５６７８", "<PHONE>"),
        ("공일공 일이삼사 오육칠팔", "<PHONE>"),
        ("02-123-4567, (031) 765-4321", "<PHONE>, <PHONE>"),
        ("070-8888-9999", "<PHONE>"),
        ("+1 (415) 555-2671", "<PHONE>"),
        ("010-1111-2222 010-3333-4444", "<PHONE> <PHONE>"),
        ("900101-1234567", "<RRN>"),
        ("주민 900101 - 2345678 임", "주민 <RRN> 임"),
        ("카드 4111-1111-1111-1111 이야", "카드 <CARD> 이야"),
        ("4111 1111 1111 1111", "<CARD>"),
        ("4111-1111-1111-1112", "<ACCOUNT>"),
        ("국민 123456-01-123456 로 보내", "국민 <ACCOUNT> 로 보내"),
        ("카뱅 3333-01-1234567", "카뱅 <ACCOUNT>"),
        ("농협 3521234567893", "농협 <ACCOUNT>"),
        ("우리은행 1234567 홍", "우리은행 <ACCOUNT> 홍"),
        ("a.b+c@mail.example.co.kr로", "<EMAIL>로"),
        ("gildong골뱅이naver.com", "<EMAIL>"),
        ("gildong (at) naver.com", "<EMAIL>"),
        ("서울특별시 강남구 테헤란로 152 101동 1203호야", "<ADDRESS>야"),
        ("강남구 역삼동 123-45", "<ADDRESS>"),
        ("경기도 성남시 분당구 판교역로 166", "<ADDRESS>"),
        ("부산 해운대구 우동 1408번지", "<ADDRESS>"),
        ("세종대로12길 34로 와", "<ADDRESS>로 와"),
        ("역삼동 123-45 2층", "<ADDRESS>"),
        ("우리집 101동 1203호", "우리집 <ADDRESS>"),
        ("우편번호 06236", "<ADDRESS>"),
    ],
)
def test_private_data_becomes_a_placeholder(raw: str, expected: str) -> None:
    assert hidden(raw) == expected


@pytest.mark.parametrize(
    "text",
    [
        "앞으로 3일", "바로 2시에", "서로 1개씩", "친구 새로 2명", "2024-01-15", "2024. 1. 15. 10:30", "2023-2024 시즌",
        "10000000원", "강남구 3번 출구", "강남구 역삼동 3시에 보자", "점수 98.5 대 97.25", "1588-1234로",
        "버전 0.2.123", "3-2-1", "12:30:45", "가로 20 세로 30", "제주도 2박 3일", "광주 3시 출발", "@홍길동",
        "1,234,567원", "2호선 101호선",
    ],
)  # fmt: skip
def test_text_that_is_not_private_stays(text: str) -> None:
    assert hidden(text) == text


def test_checksums() -> None:
    assert is_card("4111111111111111")
    assert not is_card("4111111111111112")
    valid = "900101123456"
    digit = (11 - sum(int(d) * w for d, w in zip(valid, (2, 3, 4, 5, 6, 7, 8, 9, 2, 3, 4, 5), strict=True)) % 11) % 10
    assert is_rrn(f"{valid}{digit}")
    assert not is_rrn(f"{valid}{(digit + 5) % 10}")


def plants(generator: random.Random, users: list[str]) -> tuple[str, str]:
    """A text with private data, as people write it, and its secret part."""
    digits = "".join(str(generator.randrange(10)) for _ in range(8))
    number = generator.choice(["010-{}-{}", "010{}{}", "010 {} {}", "+82 10-{}-{}", "010.{}.{}"]).format(
        digits[:4], digits[4:]
    )
    kind = generator.randrange(3)
    if kind == 0:
        return f"{number}{generator.choice(['', '이야', ' 로 전화해', '임'])}", digits[4:]
    if kind == 1:
        name = generator.choice(users)
        called = generator.choice([name, name[1:]])
        return f"{called}{generator.choice(['', '아', '이가', '씨', '한테', '님', '이랑', '은'])}", called
    local = "".join(generator.choice("abcdefghijklmnop0123456789._") for _ in range(9)).strip("._") + "x"
    return (
        f"{local}@{generator.choice(['naver.com', 'gmail.com', 'snu.ac.kr'])}{generator.choice(['', '으로 보내', ''])}",
        local,
    )


def test_ten_thousand_planted_secrets_are_hidden_and_other_lines_stay() -> None:
    generator = random.Random(7)
    said = [one for one in chat(seed=3, count=12_000) if one.kind == "text"]
    users = sorted({one.user for one in said} | {f"{surname}예린" for surname in SURNAMES} | {"최서준", "박하율"})
    hide = name_hider(names_from_users(users))
    secrets, texts = [], []
    for place in range(10_000):
        plant, secret = plants(generator, users)
        words = said[place % len(said)].text.replace("\n", " ").split(" ")
        words.insert(generator.randrange(len(words) + 1), plant)
        texts.append(" ".join(words))
        secrets.append(secret)
    cleaned = clean_all(texts, hide, Counter(), Counter())
    assert len(cleaned) == 10_000
    left = [(text, secret) for text, secret in zip(cleaned, secrets, strict=True) if secret in text]
    assert left == []
    clean_lines = [one.text for one in said if not any(user[1:] in one.text for user in users)]
    assert len(clean_lines) > 5_000
    free = clean_all(clean_lines, hide, Counter(), Counter())
    kept = clean_all(clean_lines, keep_names, Counter(), Counter())
    private = list(PLACEHOLDERS[4:])
    touched = sum(a != b or any(p in a for p in private) for a, b in zip(free, kept, strict=True))
    assert touched < len(clean_lines) / 1000
