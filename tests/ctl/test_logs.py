"""`logs`: records from lines, for scripts and for people."""

import time

import pytest

from cellmind_ctl.commands.logs import Record, record_json, records, short_form

LINES = [
    "  File left from an older record",
    "2026-11-25T09:00:00+0000 INFO    cellmind_agent.runs.leader: round 1",
    "2026-11-25T09:00:01+0000 ERROR   cellmind_agent.runs.leader: leading failed",
    "Traceback (most recent call last):",
    "ValueError: 무엇",
]


def test_a_traceback_is_part_of_its_record_across_messages() -> None:
    found = list(records([LINES[:4], LINES[4:]], follow=False))
    assert [record.message for record in found] == [
        "  File left from an older record",
        "round 1",
        "leading failed\nTraceback (most recent call last):\nValueError: 무엇",
    ]
    assert record_json(found[2], "laptop") == {
        "time": "2026-11-25T09:00:01Z",
        "level": "error",
        "device": "laptop",
        "logger": "cellmind_agent.runs.leader",
        "message": found[2].message,
    }
    assert record_json(found[0], "laptop")["time"] is None


def test_a_follower_gets_each_message_at_once() -> None:
    following = records(iter([LINES[1:3], LINES[3:]]), follow=True)
    assert [next(following).message for _ in range(2)] == ["round 1", "leading failed"]
    rest = next(following)
    assert (rest.level, rest.message) == ("error", "\n".join(LINES[3:]))


def test_people_get_a_short_form() -> None:
    now = time.mktime((2026, 11, 25, 12, 0, 0, 0, 0, -1))
    record = Record(message="round 1", time=now, level="info", logger="cellmind_agent.runs.leader")
    assert short_form(record, now + 60) == "12:00:00 runs.leader: round 1"
    assert short_form(record, now + 86400) == "2026-11-25 12:00:00 runs.leader: round 1"
    late = Record(message="lost", time=now, level="warning", logger="zmq")
    assert short_form(late, now) == "12:00:00 warning zmq: lost"


def test_people_read_the_sentences_of_a_log_in_korean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_LANG", "ko")
    now = time.mktime((2026, 11, 25, 12, 0, 0, 0, 0, -1))
    for message, korean in (
        ("linked with 서재 at 192.168.0.5:7420", "서재 기기와 연결했습니다 (192.168.0.5:7420)"),
        (
            "lost phone: no answer from 192.168.0.5:7420",
            "phone 기기와 연결이 끊겼습니다: 192.168.0.5:7420에서 답이 없습니다",
        ),
        ("run-1: lost phone: it fell silent", "run-1: phone 기기가 빠졌습니다: 조용해졌습니다"),
        ("model joined as owner", "model 기기가 owner로 참가했습니다"),
        (
            "leading run-1 failed\nTraceback: the gate ended by itself",
            "run-1 학습을 이끌지 못했습니다\nTraceback: the gate ended by itself",
        ),
        ("a sentence of a newer version", "a sentence of a newer version"),
    ):
        record = Record(message=message, time=now, level="warning", logger="cellmind_agent.x")
        assert short_form(record, now) == f"12:00:00 주의 x: {korean}"
        assert record_json(record, "laptop")["message"] == message
