"""How fast a device trains: measured in a child process once, then remembered."""

import asyncio
import json
from pathlib import Path
from typing import cast

import pytest

from cellmind_agent.device.speed import MeasuredSpeeds
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import BusyError, CellmindError
from cellmind_agent.runs.probe import SpeedProbe
from cellmind_agent.trust.permissions import Caller

WORK = "cd" * 32
NOBODY = cast(Caller, None)
CONFIG = {
    "model": {"d_model": 16, "nhead": 2, "num_layers": 1},
    "training": {"batch_size": 4, "dataset": {"seq_len": 16}},
}


def request(seconds: float, config: object = CONFIG) -> m.ProbeSpeed:
    return m.ProbeSpeed(
        work=WORK, config=json.dumps(config).encode(), vocab_size=50, size=1, members_here=1, seconds=seconds
    )


def probe(home: Path, is_in_run: bool = False) -> SpeedProbe:
    return SpeedProbe(home, home / "tuning.json", MeasuredSpeeds(home), 0, lambda: is_in_run)


def asked(probing: SpeedProbe, what: m.ProbeSpeed) -> m.SpeedProbed:
    async def ask() -> m.SpeedProbed:
        answer = await probing.handlers()[m.ProbeSpeed](what, NOBODY)
        assert isinstance(answer, m.SpeedProbed)
        return answer

    return asyncio.run(ask())


def test_a_speed_is_measured_once_and_then_remembered(tmp_path: Path) -> None:
    assert asked(probe(tmp_path), request(0.0)) == m.SpeedProbed()
    first = asked(probe(tmp_path), request(0.2))
    assert first.is_measured
    assert first.tokens_per_second
    assert first.tokens_per_second > 100
    again = asked(probe(tmp_path, is_in_run=True), request(0.2))
    assert again == m.SpeedProbed(tokens_per_second=first.tokens_per_second)
    assert MeasuredSpeeds(tmp_path).tokens_per_second is None  # that is what a run measures
    assert (tmp_path / "tuning.json").exists()  # a run need not tune again


def test_during_a_run_nothing_is_measured(tmp_path: Path) -> None:
    with pytest.raises(BusyError):
        asked(probe(tmp_path, is_in_run=True), request(0.2))
    assert asked(probe(tmp_path, is_in_run=True), request(0.0)) == m.SpeedProbed()


@pytest.mark.parametrize("config", [{"model": {"d_model": 15, "nhead": 2}}, {"unknown": 1}, []])
def test_a_configuration_that_makes_no_network_is_refused_and_nothing_is_remembered(
    tmp_path: Path, config: object
) -> None:
    with pytest.raises(CellmindError):
        asked(probe(tmp_path), request(0.2, config))
    assert asked(probe(tmp_path), request(0.0)).tokens_per_second is None


def test_a_name_of_work_is_a_hash() -> None:
    with pytest.raises(ValueError, match="does not name the work"):
        m.ProbeSpeed(work="../speed", config=b"{}", vocab_size=1, size=1, members_here=1, seconds=0.0)
