"""What the comparison on Wi-Fi relies on: every row is trained once, DiLoCo is as published, and figures are right."""

import math

import pytest
import torch
from torch import nn

from cellmind_agent.planning.ledger import Ledger
from tests.bench.wifi.peers import OuterStep
from tests.bench.wifi.ways import (
    WAYS,
    PeerWay,
    Reached,
    Setting,
    read_setting,
    reason_in,
    spans_of,
    table,
    with_tuned_rate,
)
from tests.bench.wifi.with_cellmind import is_last_round

LEDGER = Ledger(num_samples=50, batch_samples=16, epochs=2, mode="local")


def rows_of(step: int, size: int, is_split: bool) -> list[tuple[int, int]]:
    """All rows that the ranks take in their step, as (epoch, row)."""
    found = []
    for rank in range(size):
        own, _ = spans_of(LEDGER, step, rank, size, is_split)
        found += [(own.epoch, row) for row in range(own.start, own.stop)]
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 4])
@pytest.mark.parametrize("is_split", [True, False])
def test_all_ranks_together_take_every_row_once(size: int, is_split: bool) -> None:
    num_steps = 4 if is_split or size == 1 else 4 // size
    rows = [row for step in range(num_steps) for row in rows_of(step, size, is_split)]
    count = 50 if is_split or size == 1 else len([row for row in rows if row[0] == 0])
    assert len(set(rows)) == len(rows)
    assert sorted(row for row in rows if row[0] == 0)[:count] == [(0, row) for row in range(count)]


def test_parts_of_a_batch_name_the_whole_batch() -> None:
    own, whole = spans_of(LEDGER, 1, 2, 3, is_split=True)
    assert (own.start, own.stop) == (26, 32)
    assert (whole.start, whole.stop) == (16, 32)


def test_the_outer_step_is_nesterovs_on_the_change() -> None:
    """With gradient g, rate 0.7 and momentum 0.9: v = 0.9 v + g, and w -= 0.7 (g + 0.9 v)."""
    model = nn.Linear(2, 1, bias=False)
    outer = OuterStep(model)
    weight, speed = model.weight.detach().clone(), torch.zeros(1, 2)
    for change in (0.5, -0.25, 0.125):
        with torch.no_grad():
            model.weight.add_(change)
        assert not outer.take()
        gradient = torch.full((1, 2), -change)
        speed = 0.9 * speed + gradient
        weight = weight - 0.7 * (gradient + 0.9 * speed)
        torch.testing.assert_close(model.weight.detach(), weight)


def test_a_device_that_stops_says_so_with_its_changes() -> None:
    assert OuterStep(nn.Linear(2, 1)).take(is_stopping=True)


def test_the_setting_of_a_device_survives_its_command_line() -> None:
    setting = Setting(
        way=PeerWay(kind="diloco", period=100), lr=0.1, seed=1, data="d", folder="f", meeting="m", tuning="t",
        address="10.77.0.1", rank=1, size=2, snapshot_seconds=30.0,
    )  # fmt: skip
    assert read_setting(setting.to_json()) == setting


def test_the_best_rate_is_that_of_the_lowest_loss_and_never_of_a_failed_trial() -> None:
    losses = {0.1: math.nan, 0.2: 5.0, 0.3: 4.0, 0.4: 4.5}
    rate, trials = with_tuned_rate(list(losses), lambda lr: Reached(lr=lr, val_loss=losses[lr]))
    assert rate == 0.3
    assert len(trials) == 4


def test_the_last_round_is_the_one_that_ends_nearest_to_the_end() -> None:
    assert not is_last_round([0.0, 10.0], now=10.0, end=30.0)  # the present one probably ends at 20
    assert is_last_round([10.0, 20.0], now=20.0, end=34.0)
    assert not is_last_round([10.0], now=20.0, end=34.0)
    assert is_last_round([10.0], now=34.0, end=34.0)


def test_the_table_shows_failures_and_targets() -> None:
    found = {
        "one": Reached(lr=0.1, seconds=10.0, tokens=1000, sent_bytes=500, val_loss=4.0, seconds_to_target=7.0),
        "two": Reached(lr=0.1, seconds=10.0, tokens=1000, sent_bytes=500, val_loss=5.0),
        "three": Reached(lr=0.1, fault="a long story\nit broke"),
    }
    lines = table(found, 4.5).splitlines()
    assert lines[2] == "| one | 100 | 0.5 | 1,000 | 10 | 4.000 |  |  | 0.1 | 7 |"
    assert lines[3].endswith("| not reached |")
    assert "it broke" in lines[4]
    assert len({line.count("|") for line in lines}) == 1


def test_the_reason_of_a_failure_is_its_first_error() -> None:
    said = "Traceback\n[rank0]: TypeError: no such hook\nE1126 failed\ntorch.x.ChildFailedError: \n====\n"
    assert reason_in(said) == "[rank0]: TypeError: no such hook"
    assert reason_in("one\ntwo\n") == "two"
    assert reason_in("") == "it said nothing"


def test_only_hivemind_needs_a_python_of_its_own() -> None:
    kinds = {way.kind for name, way in WAYS.items() if isinstance(way, PeerWay) and not name.startswith("hivemind")}
    assert kinds == {"ddp", "diloco"}
