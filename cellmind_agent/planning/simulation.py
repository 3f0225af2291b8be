"""A run of devices that do not exist: the product's own planning, driven by a virtual clock. Pure.

`rounds.transition` decides, as in a real run; here members answer after the time that their speeds and links say. So
homes can be tried that nobody has: `cellmindctl plan --simulate homes.json`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from cellmind_agent.planning import rounds
from cellmind_agent.planning import run_actions as act
from cellmind_agent.planning import run_life as life
from cellmind_agent.planning.commits import local_round_seconds
from cellmind_agent.planning.ledger import Ledger
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import ROUND_SECONDS, SIMULATED_ANSWER_SECONDS, USUAL_COMMIT_SECONDS
from cellmind_agent.protocol.messages import RoundTrained
from model.line.held_out import NO_EVALUATION

_ROUNDING = 1e-6  # seconds: the clock adds up floating numbers
_SETTLED = 3  # the first round that counts: before it the lengths of rounds are not known
_STATE = "the weights of all"  # after each round all have the same
_END = 10**9  # steps; the simulation ends sooner


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedRun:
    """What a run did in its rounds after the first ones. `requests` are those of the leader, whose decisions took
    `deciding_seconds` on the clock that was given."""

    rounds: int
    seconds: float
    tokens: float
    requests: int
    deciding_seconds: float
    idle: Mapping[DeviceId, float]  # the part of the time in which each device took no step

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


@dataclass(slots=True)
class _Deal:
    begun_at: float
    ends_at: float
    steps: tuple[int, int]


@dataclass(slots=True)
class _Clock:
    """What will happen, in the order of time."""

    now: float = 0.0
    _coming: list[tuple[float, int, life.RunEvent | None, DeviceId | None]] = field(default_factory=list)
    _count: int = 0

    def after(self, seconds: float, event: life.RunEvent) -> None:
        self._push(seconds, event, None)

    def when_done(self, seconds: float, device: DeviceId) -> None:
        """A member has taken what it was dealt, unless it was called back meanwhile."""
        self._push(seconds, None, device)

    def next(self) -> tuple[life.RunEvent | None, DeviceId | None]:
        self.now, _, event, device = heapq.heappop(self._coming)
        return event, device

    def _push(self, seconds: float, event: life.RunEvent | None, device: DeviceId | None) -> None:
        self._count += 1
        heapq.heappush(self._coming, (self.now + seconds, self._count, event, device))


def simulate(
    speeds: Mapping[DeviceId, float],
    average_seconds: float,
    step_tokens: int,
    base_seconds: float = ROUND_SECONDS,
    num_rounds: int = 4,
    clock: Callable[[], float] = lambda: 0.0,
) -> SimulatedRun:
    """Local rounds of members with these speeds, in tokens a second; the first one leads. An average takes them
    `average_seconds`; a round would have `base_seconds` if it took no time. `num_rounds` rounds count, after the first
    ones. `clock` measures how long decisions take.
    """
    return _Simulation(speeds, average_seconds, step_tokens, base_seconds, clock).run(num_rounds)


class _Simulation:
    def __init__(
        self,
        speeds: Mapping[DeviceId, float],
        average_seconds: float,
        step_tokens: int,
        base_seconds: float,
        clock: Callable[[], float],
    ) -> None:
        self._speeds, self._average_seconds, self._step_tokens = speeds, average_seconds, step_tokens
        self._roster, self._clock, self._real_clock = tuple(speeds), _Clock(), clock
        self._ledger = Ledger(num_samples=_END, batch_samples=1, epochs=1, mode="local")
        self._pace = act.Pace(
            round_seconds=local_round_seconds(base_seconds, average_seconds),
            first_steps=2 * len(speeds),
            seconds_since_checkpoint=0.0,
            speeds=speeds,
        )
        self._deals: dict[DeviceId, _Deal] = {}
        self._busy = dict.fromkeys(speeds, 0.0)
        self._requests, self._deciding_seconds = 0, 0.0
        self._opened_at, self._opened_step = 0.0, 0  # of the round

    def run(self, num_rounds: int) -> SimulatedRun:
        state: life.RunLife = rounds.begin(self._roster, 0, 0, NO_EVALUATION)
        for device in self._roster:
            self._clock.after(0.0, life.Ready(device=device, held_states=(_STATE,)))
        begun: tuple[float, int] | None = None  # when the rounds that count began, and at which step
        while True:
            event = self._next_event()
            if event is None:
                continue
            began = self._real_clock()
            state, actions = rounds.transition(state, event, self._ledger, self._pace)
            self._deciding_seconds += self._real_clock() - began
            for action in actions:
                self._perform(action)
            if not any(isinstance(action, act.OpenRound) for action in actions) or isinstance(state, life.Ended):
                continue
            standing = state.standing
            if begun is None and standing.round >= _SETTLED:
                begun = self._clock.now, standing.step
                self._busy, self._requests, self._deciding_seconds = dict.fromkeys(self._speeds, 0.0), 0, 0.0
            elif begun and standing.round == _SETTLED + num_rounds:
                seconds = self._clock.now - begun[0]
                return SimulatedRun(
                    rounds=num_rounds,
                    seconds=seconds,
                    tokens=(standing.step - begun[1]) * self._step_tokens,
                    requests=self._requests,
                    deciding_seconds=self._deciding_seconds,
                    idle={device: max(0.0, 1 - busy / seconds) for device, busy in self._busy.items()},
                )

    def _next_event(self) -> life.RunEvent | None:
        """None: a member was called back, and answers at another time."""
        event, device = self._clock.next()
        if event is not None or device is None:
            return event
        deal = self._deals.get(device)
        if deal is None or deal.ends_at > self._clock.now + _ROUNDING:
            return None
        del self._deals[device]
        self._busy[device] += deal.ends_at - deal.begun_at
        step_seconds = self._step_tokens / self._speeds[device]
        count = int((deal.ends_at - deal.begun_at) / step_seconds + _ROUNDING)
        return life.Took(device=device, first_step=deal.steps[0], count=min(count, deal.steps[1] - deal.steps[0]))

    def _perform(self, action: act.Action) -> None:
        match action:
            case act.FormGroup():
                self._ask_all([life.Grouped(device=device, term=action.term) for device in action.roster], 1.0)
            case act.OpenRound():
                self._opened_at, self._opened_step = self._clock.now, action.step
                if action.is_together:  # round 0, or a device alone
                    seconds = action.num_steps * self._step_tokens / self._speeds[self._roster[0]]
                    if action.num_steps:
                        self._busy[self._roster[0]] += seconds
                    self._average(action, seconds)
            case act.Deal():
                self._requests += 1
                steps = action.steps[1] - action.steps[0]
                begun = self._clock.now + SIMULATED_ANSWER_SECONDS
                ends = begun + steps * self._step_tokens / self._speeds[action.device]
                self._deals[action.device] = _Deal(begun, ends, action.steps)
                self._clock.when_done(ends - self._clock.now, action.device)
            case act.CallBack():
                self._call_back(action.device, action.at_once)
            case act.LookAgain():
                looked = life.Looked(term=action.term, round=action.round, num_answers=action.num_answers)
                self._clock.after(action.seconds, looked)
            case act.Average():
                self._average(action, self._average_seconds)
            case act.Commit():
                events = [life.Committed(device=device, round=action.round) for device in action.roster]
                self._ask_all(events, USUAL_COMMIT_SECONDS)
                self._note_pace(action)

    def _call_back(self, device: DeviceId, at_once: bool) -> None:
        """It ends after the step that it is in, or in the middle of it."""
        self._requests += 1
        deal = self._deals.get(device)
        if deal is None:
            return
        step_seconds = self._step_tokens / self._speeds[device]
        done = max(1, -int(-(self._clock.now - deal.begun_at) // step_seconds))
        deal.ends_at = min(deal.ends_at, self._clock.now if at_once else deal.begun_at + done * step_seconds)
        self._clock.when_done(max(0.0, deal.ends_at - self._clock.now), device)

    def _average(self, action: act.OpenRound | act.Average, seconds: float) -> None:
        result = RoundTrained(state_hash=_STATE, tokens=0, loss=None, exchange_seconds=seconds)
        self._ask_all(
            [life.Trained(device=device, term=action.term, result=result) for device in action.roster], seconds
        )

    def _ask_all(self, answers: list[life.Grouped] | list[life.Trained] | list[life.Committed], seconds: float) -> None:
        self._requests += len(answers)
        for answer in answers:
            self._clock.after(seconds + SIMULATED_ANSWER_SECONDS, answer)

    def _note_pace(self, action: act.Commit) -> None:
        steps = action.step - self._opened_step
        if steps:
            seconds = self._clock.now - self._opened_at - (self._average_seconds if action.taken else 0.0)
            self._pace = replace(self._pace, seconds_per_step=seconds / steps)
