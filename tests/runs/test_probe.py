"""How fast a device trains: measured in a child process once, then remembered."""

import asyncio
import json
from pathlib import Path
from typing import cast

import pytest

from cellmind_agent.config import Politeness
from cellmind_agent.device.speed import MeasuredSpeeds
from cellmind_agent.planning.forecast import name_of_work
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import BusyError, CellmindError
from cellmind_agent.protocol.ids import check_work_name
from cellmind_agent.runs.probe import SpeedProbe
from cellmind_agent.trust.permissions import Caller
from model.line.sentence import Sentence

NOBODY = cast(Caller, None)
CONFIG = {
    "model": {"d_model": 16, "nhead": 2, "num_layers": 1},
    "training": {"batch_size": 4, "dataset": {"seq_len": 16}},
}


def request(seconds: float, config: object = CONFIG) -> m.ProbeSpeed:
    return m.ProbeSpeed(
        config=json.dumps(config).encode(), vocab_size=50, size=1, members_here=1, is_divided=False, seconds=seconds
    )


def probe(
    home: Path, why_not: str = "", max_threads: int | None = None, max_memory_bytes: int | None = None
) -> SpeedProbe:
    settings = Politeness(nice=0, max_threads=max_threads, max_memory_bytes=max_memory_bytes)
    why = Sentence(why_not) if why_not else None
    return SpeedProbe(home, home / "tuning.json", MeasuredSpeeds(home), settings, lambda: why)


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
    again = asked(probe(tmp_path, why_not="it trains"), request(0.2))
    assert again == m.SpeedProbed(tokens_per_second=first.tokens_per_second)
    assert MeasuredSpeeds(tmp_path).tokens_per_second is None  # that is what a run measures
    assert (tmp_path / "tuning.json").exists()  # a run need not tune again


def test_during_a_run_nothing_is_measured(tmp_path: Path) -> None:
    with pytest.raises(BusyError):
        asked(probe(tmp_path, why_not="it trains"), request(0.2))
    assert asked(probe(tmp_path, why_not="it trains"), request(0.0)) == m.SpeedProbed()


@pytest.mark.parametrize("config", [{"model": {"d_model": 15, "nhead": 2}}, {"unknown": 1}, []])
def test_a_configuration_that_makes_no_network_is_refused_and_nothing_is_remembered(
    tmp_path: Path, config: object
) -> None:
    with pytest.raises(CellmindError):
        asked(probe(tmp_path), request(0.2, config))
    assert asked(probe(tmp_path), request(0.0)).tokens_per_second is None


def test_it_takes_no_more_threads_than_a_trainer_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert probe(tmp_path, max_threads=2)._environment()["OMP_NUM_THREADS"] == "2"
    assert "OMP_NUM_THREADS" not in probe(tmp_path)._environment()
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert "OMP_NUM_THREADS" not in probe(tmp_path, max_threads=2)._environment()


def test_it_takes_no_more_memory_than_a_trainer_may(tmp_path: Path) -> None:
    with pytest.raises(CellmindError, match="may take 64 MB here"):
        asked(probe(tmp_path, max_memory_bytes=64 << 20), request(0.2))
    assert asked(probe(tmp_path), request(0.0)).tokens_per_second is None


def test_the_name_of_a_work_is_a_hash_of_all_of_it() -> None:
    names = {name_of_work(config, size) for config in (b"{}", b"{ }") for size in (1, 2)}
    assert len(names) == 4
    for name in names:
        check_work_name(name)
    with pytest.raises(ValueError, match="does not name the work"):
        check_work_name("../speed")
