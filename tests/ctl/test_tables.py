"""Tables: which columns leave a narrow terminal, what is never cut, and Korean headers."""

import io
from collections.abc import Sequence

import pytest
from rich.cells import cell_len
from rich.console import Console

from cellmind_ctl import figures, planning
from cellmind_ctl.commands import peers
from cellmind_ctl.help import paired
from cellmind_ctl.render import print_table, shortened, table

HANGUL = "거실에 있는 아주 오래된 노트북"
FULL = ("training", "100%", "24.8 GB", "GeForce RTX", "12,345", "100%+", "[fe80::1234:5678:9abc:def0]:7420", "12m ago")


def lines(rows: Sequence[Sequence[str]], columns: int | None, cut: bool = True) -> list[str]:
    made = table(peers.HEADERS, rows, peers.RIGHT, columns, peers.LESS, cut)
    screen = Console(file=io.StringIO(), width=400)
    with screen.capture() as captured:
        screen.print(made)
    return captured.get().rstrip("\n").split("\n")


@pytest.mark.parametrize("columns", [40, 60, 80, 120])
def test_a_table_fits_and_keeps_the_mark_of_this_device(columns: int) -> None:
    found = lines([(f"{HANGUL} (this)", *FULL), ("짧은", *["-"] * 8)], columns)
    assert all(cell_len(line) <= columns for line in found)
    assert "(this)" in found[1]
    assert "training" in found[1]


def test_empty_columns_go_before_columns_with_values() -> None:
    row = ("laptop (this)", "online", "3%", "24.8 GB", "-", "-", "-", "192.168.0.12:7420", "now")
    header = lines([row, ("desktop", *row[1:])], 60)[0].split()
    assert header == ["NAME", "STATE", "CPU", "RAM", "FREE", "ADDRESS", "SEEN"]
    assert "BATTERY" in lines([row], 120)[0]


def test_least_important_columns_go_first() -> None:
    header = lines([("laptop", *FULL)], 70)[0].split()
    assert "ACCEL" not in header
    assert (header[0], header[-1]) == ("NAME", "SEEN")


def test_names_stay_whole_where_nothing_may_be_cut() -> None:
    name = HANGUL * 3
    assert name in lines([(name, *FULL)], 80, cut=False)[1]
    assert name in lines([(name, *FULL)], None)[1]
    assert "ACCEL" in lines([(name, *FULL)], None)[0]


@pytest.mark.parametrize("to_stderr", [False, True])
def test_names_that_go_to_a_pipe_stay_whole(capsys: pytest.CaptureFixture[str], to_stderr: bool) -> None:
    name = HANGUL * 3
    print_table("auto", planning.HEADERS, [("0", name, "1/2", "3,210")], planning.RIGHT, to_stderr=to_stderr)
    assert name in capsys.readouterr()[to_stderr].splitlines()[1]


def test_texts_with_labels_are_wrapped_on_a_terminal_only() -> None:
    pairs = [("방식", "ddp (기기 하나뿐)"), ("노트", "/a  b")]
    assert paired(pairs, None) == ["방식  ddp (기기 하나뿐)", "노트  /a  b"]
    assert paired(pairs, 16)[:2] == ["방식  ddp (기기", "      하나뿐)"]


@pytest.mark.parametrize(
    ("text", "width", "short"),
    [
        ("laptop", 6, "laptop"),
        ("the laptop upstairs", 15, "the laptop…"),
        ("laptop, desktop, phone", 18, "laptop, desktop…"),
        ("extraordinary", 8, "extraor…"),
        ("extraordinary (this)", 12, "extr… (this)"),
        ("가나다라마", 6, "가나…"),
    ],
)
def test_shortening_breaks_no_word_of_several(text: str, width: int, short: str) -> None:
    assert shortened(text, width) == short
    assert cell_len(shortened(text, width)) <= width


def test_headers_and_times_are_korean(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CELLMIND_LANG", "ko")
    assert lines([("laptop", *FULL)], 120)[0].split()[:2] == ["이름", "상태"]
    assert [figures.ago(seconds) for seconds in (None, 1, 12, 300)] == ["-", "방금", "12초 전", "5분 전"]


def test_the_loss_is_shown_as_a_number_of_choices() -> None:
    assert [figures.choices(loss) for loss in (None, 0.0, 4.06, 6.68, float("inf"))] == [None, 1, 58, 796, None]
    assert figures.is_hardly_trained(6.0, vocab_size=800)
    assert not figures.is_hardly_trained(4.0, vocab_size=800)
    assert not figures.is_hardly_trained(None, vocab_size=800)
