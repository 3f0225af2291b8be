"""Cleaning follows the rules of the guide and hides names."""

import unicodedata
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenizer.corpus.cleaning import media
from tokenizer.corpus.cleaning.names import name_hider, names_from_users
from tokenizer.corpus.cleaning.rules import clean_all
from tokenizer.corpus.conversations.documents import json_line, pack_documents
from tokenizer.corpus.conversations.grouping import Document
from tokenizer.corpus.messages import NO_TIME, iso_time


def cleaned(text: str, *names: str) -> str:
    return clean_all([text], name_hider(names), Counter(), Counter())[0]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Hello WORLD", "hello world"),
        ("a\u200bb\ufeff", "ab"),
        ("한 줄\n\n\r\n두 줄", "한 줄\n두 줄"),
        ("  빈 칸  ", "빈 칸"),
        ("사진", "<PHOTO>"),
        ("사진 3장", "<PHOTO>"),
        ("동영상", "<MOVIE>"),
        ("이모티콘", "<EMOJI>"),
        ("사진 3장 보내줘", "사진 3장 보내줘"),
        ("동영상 봤어?", "동영상 봤어?"),
        ("여기 https://a.b/c?d=e#f 봐", "여기 <URL> 봐"),
        ("http://한글.kr", "http://한글.kr"),
        ("www.naver.com에서", "<URL>에서"),
        ("좋아👍🏽👍 가족👨‍👩‍👧‍👦 태극🇰🇷 1️⃣ ❤️", "좋아<EMOJI> 가족<EMOJI> 태극<EMOJI>"),
        ("ㅋㅋㅋㅋㅋㅋㅋㅋ", "ㅋㅋㅋㅋㅋ"),
        ("ㅋㅋㅋㅋ", "ㅋㅋㅋㅋ"),
        ("!!!!!!!ㅠㅠㅠㅠㅠㅠ", "!!!!!ㅠㅠㅠㅠㅠ"),
        ("빈( )괄호()[]", "빈괄호"),
        ("\u1112\u1161\u11ab", "한"),
    ],
)
def test_a_message_is_cleaned_by_the_rules_of_the_guide(raw: str, expected: str) -> None:
    assert cleaned(raw) == expected


@pytest.mark.parametrize("pattern", sorted({p for ps in media._TABLE.values() for p in ps}))
@given(data=st.data())
def test_every_note_that_a_messenger_writes_for_a_file_is_found(pattern: str, data: st.DataObject) -> None:
    """The two compiled patterns find every message that a line of the table matches."""
    message = data.draw(st.from_regex(pattern, fullmatch=True))
    found = [make("\0").sub("", f"\0{message}\0") for make in (media.media_messages, media.file_messages)]
    assert "\0" in found


def test_compatibility_letters_are_kept() -> None:
    assert cleaned("ㅋㅋㅋ ㅏ １２３ ①") == "ㅋㅋㅋ ㅏ １２３ ①"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("길동아 밥 먹자", "<NAME>아 밥 먹자"),
        ("홍길동이 왔다", "<NAME>이 왔다"),
        ("길동이가 그랬어", "<NAME>이가 그랬어"),
        ("길동씨한테 물어봐", "<NAME>씨한테 물어봐"),
        ("우리홍길동님은", "우리<NAME>님은"),
        ("길동무와 함께", "길동무와 함께"),
        ("신길동에서 보자", "신길동에서 보자"),
        ("@길동 @John!", "@<NAME> @<NAME>!"),
        ("john은 johnson과 다르다", "<NAME>은 johnson과 다르다"),
    ],
)
def test_names_are_hidden_if_they_are_words(raw: str, expected: str) -> None:
    assert cleaned(raw, *names_from_users(["홍 길동", "John"])) == expected


def test_the_longest_name_wins() -> None:
    assert cleaned("홍길동 만났어", *names_from_users(["홍길동", "길동"])) == "<NAME> 만났어"


@pytest.mark.parametrize("name", ["(.*)", "a|b", "[가-힣]", "\\d+", "*", "강XX", "^$"])
def test_metacharacters_in_names_match_only_themselves(name: str) -> None:
    hidden = cleaned(f"{name.lower()} 왔어. 아무 말 123", *names_from_users([name]))
    assert hidden.endswith("왔어. 아무 말 123")


def test_given_names_come_from_full_names_and_from_the_user() -> None:
    assert names_from_users(["홍길동", "강XX", "a", "남궁민수"], ["철수"]) == {
        "홍길동",
        "길동",
        "강xx",
        "남궁민수",
        "민수",  # 남궁 is a surname of two syllables
        "철수",
    }


@given(st.text(max_size=80))
def test_cleaned_text_is_composed_and_trimmed_and_stays_the_same(text: str) -> None:
    once = cleaned(text)
    assert once == once.strip()
    assert unicodedata.is_normalized("NFC", once.replace("<", "").replace(">", ""))
    assert not any(c * 6 in once for c in set(once) if not c.isspace())


def test_replacements_are_counted() -> None:
    counts: Counter[str] = Counter()
    clean_all(["길동 https://a.b 👍"], name_hider({"길동"}), counts, Counter())
    assert counts == {"<NAME>": 1, "<URL>": 1, "<EMOJI>": 1}


@given(st.text(), st.sampled_from([NO_TIME, 0, 1_700_000_000]))
def test_any_cleaned_text_becomes_a_valid_line_of_json(raw: str, time: int) -> None:
    text = cleaned(raw.encode("utf-8", "replace").decode(), "홍길동")
    packed = pack_documents([Document(time, time, 1, text), Document(time, time, 1, text)], source=0)
    plain = {"text": text} if time == NO_TIME else {"text": text, "time": iso_time(time)}
    assert packed.lines == json_line(plain) * 2
    assert packed.texts.decode() == f"{text}\n" * 2
    assert packed.entries["line_size"].tolist() == [len(json_line(plain))] * 2
