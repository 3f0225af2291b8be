"""What a leader asks the members of its run: actions of `planning/run_actions` as requests, the answers as events."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from cellmind_agent.planning import run_actions as act
from cellmind_agent.planning import run_life as life
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError, GroupBrokenError, ProtocolError, SupersededError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import MAX_CUTS
from cellmind_agent.runs.commit_book import CommitBook
from cellmind_agent.runs.figures import RunFigures
from cellmind_agent.runs.members import Member
from cellmind_agent.runs.membership import Company, Stay
from model.line.sentence import Sentence


class Asking:
    """Asks the members of one run. Nothing here waits: answers become events."""

    def __init__(
        self,
        spec: m.RunSpec,
        company: Company,
        figures: RunFigures,
        book: CommitBook,
        happened: Callable[[life.RunEvent], None],
        lose: Callable[[Stay, Sentence], None],
        start: Callable[[Awaitable[None]], None],
    ) -> None:
        """`happened` receives the events, `lose` the members that refuse or are gone. `start` runs work beside this."""
        self._spec, self._company, self._figures, self._book = spec, company, figures, book
        self._happened, self._lose, self._start = happened, lose, start
        self._cut_in: dict[DeviceId, int] = {}  # how often in a row a member has taken none of its steps

    def form_group(self, action: act.FormGroup) -> None:
        """The members meet in the process group of a new term."""
        request = m.FormGroup(
            run=self._spec.run,
            term=action.term,
            roster=self._company.seats(action.roster),
            backend=self._company.backend_for(action.roster),
            step=action.step,
            state_hash=action.state_hash,
            holders=tuple(rank for rank, device in enumerate(action.roster) if device in action.holders),
            last=self._book.last,
            keeps_steps=action.keeps_steps,
        )

        async def join(stay: Stay) -> life.RunEvent:
            await stay.member.join_group(request)
            return life.Grouped(device=stay.device, term=action.term)

        self._ask_all(action.roster, action.term, join)

    def train(self, action: act.OpenRound) -> None:
        """The members take the steps of a round together."""
        request = m.TrainRound(
            run=self._spec.run,
            term=action.term,
            round=action.round,
            first_step=action.step,
            num_steps=action.num_steps,
            shares=self._figures.shares,
            evaluate=action.is_evaluated,
        )
        self._ask_for_result(action, lambda member: member.train(request))

    def deal(self, action: act.Deal) -> None:
        """A member takes steps alone."""
        first_step, stop = action.steps
        request = m.DealSteps(
            run=self._spec.run,
            term=action.term,
            round=action.round,
            round_step=action.round_step,
            num_steps=action.num_steps,
            first_step=first_step,
            stop=stop,
        )
        asked_at = _now()

        async def take(stay: Stay) -> life.RunEvent:
            done = await stay.member.take_steps(request)
            self._cut_in[stay.device] = (0 if done.count else self._cut_in.get(stay.device, 0)) + (not done.count)
            if not 0 <= done.count <= stop - first_step or done.tokens < 0 or self._cut_in[stay.device] > MAX_CUTS:
                raise ProtocolError("it took {count} of {dealt} steps", count=done.count, dealt=stop - first_step)
            self._figures.note_taken(stay.device, done.tokens, _now() - asked_at)
            return life.Took(device=stay.device, first_step=first_step, count=done.count)

        self._ask_all((action.device,), action.term, take)

    def call_back(self, action: act.CallBack) -> None:
        """A member gives back what it has not begun, or not finished, with its answer to `deal`."""
        stay = self._company.stay(action.device)
        request = m.CallBackSteps(
            run=self._spec.run, term=action.term, first_step=action.first_step, at_once=action.at_once
        )

        async def ask(member: Member) -> None:
            with contextlib.suppress(CellmindError):  # then it ends its steps later
                await member.call_back(request)

        if stay:
            self._start(ask(stay.member))

    def average(self, action: act.Average) -> None:
        """The members end a local round."""
        request = m.AverageRound(
            run=self._spec.run,
            term=action.term,
            round=action.round,
            round_step=action.step,
            num_steps=action.num_steps,
            evaluate=action.is_evaluated,
        )
        self._ask_for_result(action, lambda member: member.average(request))

    def commit(self, action: act.Commit) -> None:
        request = self._book.request(action, self._figures, self._company.seats(action.roster), _now())

        async def commit(stay: Stay) -> life.RunEvent:
            self._book.note_answer(request, await stay.member.commit(request))
            return life.Committed(device=stay.device, round=action.round)

        self._ask_all(action.roster, action.term, commit)

    def question(self, action: act.Question) -> None:
        request = m.QuestionMember(run=self._spec.run, term=action.term)

        async def ask(stay: Stay) -> life.RunEvent:
            await stay.member.question(request)
            return life.Answered(device=stay.device, term=action.term)

        self._ask_all(action.roster, action.term, ask)

    def _ask_for_result(
        self, action: act.OpenRound | act.Average, ask: Callable[[Member], Awaitable[m.RoundTrained]]
    ) -> None:
        async def trained(stay: Stay) -> life.RunEvent:
            return life.Trained(device=stay.device, term=action.term, result=await ask(stay.member))

        self._ask_all(action.roster, action.term, trained)

    def _ask_all(
        self, roster: tuple[DeviceId, ...], term: int, ask: Callable[[Stay], Awaitable[life.RunEvent]]
    ) -> None:
        """Ask each device; `term` is that of the process group which they need for the answer."""

        async def ask_one(stay: Stay) -> None:
            try:
                self._happened(await ask(stay))
            except GroupBrokenError as error:
                self._happened(life.Broken(term=term, why=error.message))
            except SupersededError as error:
                self._happened(life.Replaced(why=error.message))
            except CellmindError as error:
                self._lose(stay, error.message)

        for device in roster:
            stay = self._company.stay(device)
            if stay:
                self._start(ask_one(stay))


def _now() -> float:
    return asyncio.get_running_loop().time()
