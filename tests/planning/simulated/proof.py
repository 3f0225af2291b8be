"""What a simulated run has left on the disks: compared with what has truly been trained."""

from __future__ import annotations

from collections import defaultdict

from cellmind_agent.planning.lineage import lineage
from cellmind_agent.planning.story import merged, story_of
from cellmind_agent.protocol import messages as m
from tests.planning.simulated.cell import SimulatedCell
from tests.planning.simulated.device import Device
from tests.planning.simulated.records import RUN_SPEC
from tests.planning.simulated.trainer import Made


def check_history(cell: SimulatedCell) -> None:
    """I2 and I3, when all devices are online and nothing happens any more."""
    stories = [story_of(cell.spec, device.disk.log, ()) for device in cell.devices.values()]
    story = merged(RUN_SPEC.run, stories)
    rounds = _rounds(cell)
    if not rounds:
        return
    highest = max(counted[-1].step for device in cell.devices.values() if (counted := _counted(device)))
    assert story.audit
    assert not story.audit.faults, [str(fault) for fault in story.audit.faults]
    assert story.audit.num_missing == 0
    epoch, place = divmod(highest, cell.ledger.steps_per_epoch)
    assert (story.audit.epoch, story.audit.num_counted) == (
        epoch,
        min(place * RUN_SPEC.batch_samples, RUN_SPEC.num_samples),
    ), story.audit
    _check_chain(cell, story.periods, rounds, highest)
    ends = {device.disk.view.state for device in cell.devices.values() if device.disk.view}
    if "finished" in ends:
        assert highest == cell.ledger.total_steps


def _counted(device: Device) -> tuple[m.RoundCommitted, ...]:
    """As `Journal.committed_rounds`."""
    return lineage(noted.event for noted in device.disk.log if isinstance(noted.event, m.RoundCommitted))


def _rounds(cell: SimulatedCell) -> dict[str, list[m.RoundCommitted]]:
    """Every round that any device has written down, by the state that it has made."""
    found = defaultdict(list)
    for device in cell.devices.values():
        for noted in device.disk.log:
            if isinstance(noted.event, m.RoundCommitted):
                found[noted.event.state_hash].append(noted.event)
    return found


def _check_chain(
    cell: SimulatedCell, periods: tuple[m.Period, ...], rounds: dict[str, list[m.RoundCommitted]], highest: int
) -> None:
    """The periods that are said to count are the history of one state with the highest step.

    Where two branches have a round that ends at the same step, periods do not say from which of them the rounds after
    it went on: then only the steps are compared.
    """
    ends = [events[0].step for events in rounds.values() if events[0].step]
    is_one_branch = len(ends) == len(set(ends))
    lasts = [state for state, events in rounds.items() if events[0].step == highest]
    problems = []
    for last in lasts:
        history = cell.states.history(last)
        steps = [step for _, made in history for step in range(made.first_step, made.step)]
        assert steps == list(range(highest)), "a state was trained on other samples than its steps say"
        problem = _difference(history, periods, rounds) if is_one_branch else None
        if problem is None:
            return
        problems.append(problem)
    raise AssertionError(f"no state was made so: {problems}")


def _difference(
    history: list[tuple[str, Made]], periods: tuple[m.Period, ...], rounds: dict[str, list[m.RoundCommitted]]
) -> str | None:
    """What the periods say otherwise than the history of a state."""
    ends = {made.step for _, made in history}
    for state, made in history:
        found = [one for one in periods if one.first_step <= made.first_step and made.step <= one.step]
        names = {(event.term, tuple(member.name for member in event.members)) for event in rounds[state]}
        if not any((one.term, tuple(member.name for member in one.members)) in names for one in found):
            said = [(one.term, one.first_step, one.step, [member.name for member in one.members]) for one in periods]
            return f"{made} was trained as {names}, and not as {said}"
    return None if all(one.step in ends | {0} for one in periods) else f"periods end where no round did: {ends}"
