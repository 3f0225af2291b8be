"""Homes in a file: what `plan --simulate` reads, computes and prints."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from cellmind_agent.protocol.errors import UsageError
from cellmind_ctl.simulating import HEADERS, RIGHT, outcomes, read_homes, rows
from tests.agents import CTL, ENVIRONMENT

ROOT = Path(__file__).parents[2]
LAPTOPS = {"name": "two laptops", "air_mbit": 35, "devices": [{"count": 2, "tokens_per_second": 5400}]}


def written(folder: Path, plain: object) -> Path:
    path = folder / "homes.json"
    path.write_text(plain if isinstance(plain, str) else json.dumps(plain), encoding="utf-8")
    return path


def readme_homes() -> str:
    """The example of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(r"```json\n(\{\s*\"weights\".*?)```", text, re.DOTALL)
    assert found, "README.md has no homes.json"
    return found[1]


def test_local_rounds_on_wi_fi_beat_one_device_and_steps_together_do_not(tmp_path: Path) -> None:
    (home,) = read_homes(written(tmp_path, {"weights": 3.2e6, "homes": [LAPTOPS]}))
    each_step, parts = outcomes(home)
    assert each_step.tokens_per_second < 500
    assert 5400 < parts.tokens_per_second < 2 * 5400
    assert parts.idle is not None
    assert parts.efficiency == pytest.approx(1 - parts.idle, abs=0.05)
    assert all(len(row) == len(HEADERS) for row in rows([each_step, parts]))
    assert set(RIGHT) < set(HEADERS)


def test_the_command_prints_every_way_of_every_home(tmp_path: Path) -> None:
    """No agent runs here, and none is needed."""
    path = written(tmp_path, readme_homes())
    words = [*CTL, "--home", str(tmp_path / "home"), "plan", "--simulate", str(path)]
    shown = subprocess.run(words, capture_output=True, text=True, env=ENVIRONMENT, timeout=100, check=True)
    names = [home["name"] for home in json.loads(path.read_text())["homes"]]
    assert all(name[:10] in shown.stdout for name in names)
    found = subprocess.run([*words, "--json"], capture_output=True, text=True, env=ENVIRONMENT, timeout=100, check=True)
    simulated = json.loads(found.stdout)["data"]["simulated"]
    assert {one["home"] for one in simulated} == set(names)
    assert all(0 < one["efficiency"] <= 1.0001 for one in simulated)


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ("{", "describes no homes"),
        ("[]", "names no homes"),
        ({"homes": []}, "names no homes"),
        ({"homes": [3]}, "homes[0] is no JSON object"),
        ({"homes": [{"name": "empty"}]}, "homes[0] has no devices"),
        ({"homes": [{"devices": ["laptop"]}]}, "homes[0].devices[0] is no JSON object"),
        ({"homes": [{"devices": [{}]}]}, "homes[0].devices[0]: tokens_per_second must be a number"),
        ({"homes": [{"devices": [{"tokens_per_second": "fast"}]}]}, '"fast"'),
        ({"homes": [{"devices": [{"tokens_per_second": 1, "count": 10**9}]}]}, "more than 1000 devices"),
        ({"homes": [{"cells": 0.5, "devices": [{"tokens_per_second": 1}]}]}, "cells must be a whole number"),
        ({"homes": [{"devices": [{"tokens_per_second": 1, "count": 0.5}]}]}, "count must be a whole number"),
        ({"homes": [{"air_mbit": 0, "devices": [{"tokens_per_second": 1}]}]}, "air_mbit must be a number"),
        ('{"homes": [{"air_mbit": 1e999, "devices": [{"tokens_per_second": 1}]}]}', "air_mbit must be a number"),
    ],
)
def test_a_mistake_is_named_with_its_place(tmp_path: Path, plain: object, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_homes(written(tmp_path, plain))
    assert message in str(caught.value)


def test_a_missing_file_is_an_error_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        read_homes(tmp_path / "none.json")
