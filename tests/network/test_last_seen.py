"""When members were last here: it survives a restart, a damaged file, and a clock that is put back."""

from pathlib import Path

import pytest

from cellmind_agent.network.last_seen import LastSeen
from cellmind_agent.protocol.ids import DeviceId

ONE, TWO = DeviceId("a" * 32), DeviceId("b" * 32)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


def test_the_moment_survives_a_restart(tmp_path: Path) -> None:
    clock = Clock()
    seen = LastSeen(tmp_path, clock)
    seen.keep([ONE, TWO])
    clock.now += 100
    seen.note(ONE)
    again = LastSeen(tmp_path, clock)
    again.keep([ONE, TWO])
    clock.now += 5
    assert (again.seconds_since(ONE), again.seconds_since(TWO)) == (5, 105)


def test_who_is_no_member_is_forgotten_and_counts_as_seen_when_added_again(tmp_path: Path) -> None:
    clock = Clock()
    seen = LastSeen(tmp_path, clock)
    seen.keep([ONE])
    clock.now += 100
    seen.keep([TWO])
    seen.note(ONE)
    assert seen.seconds_since(ONE) is None
    seen.keep([ONE, TWO])
    assert (seen.seconds_since(ONE), seen.seconds_since(TWO)) == (0, 0)


@pytest.mark.parametrize("text", ["", "[1]", '{"a": "x"}', "{"])
def test_a_damaged_file_is_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "seen.json").write_text(text)
    seen = LastSeen(tmp_path, Clock())
    seen.keep([ONE])
    assert seen.seconds_since(ONE) == 0


def test_a_clock_that_is_put_back_makes_nothing_negative(tmp_path: Path) -> None:
    clock = Clock()
    seen = LastSeen(tmp_path, clock)
    seen.keep([ONE])
    clock.now -= 500
    assert seen.seconds_since(ONE) == 0
