"""The members of a run as its leader asks them: this device directly, the others over their links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Protocol

from cellmind_agent.network.peers import Peers
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import TimedOutError
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import (
    DISMISS_SECONDS,
    GOODBYE_SECONDS,
    QUESTION_SECONDS,
    ROUND_PATIENCE_SECONDS,
)
from cellmind_agent.runs.member import RunMember
from cellmind_agent.runs.participation import seconds_to_join
from cellmind_agent.trust.permissions import Caller


class Member(Protocol):
    """One member of a run. Every method raises CellmindError when the member refuses or is lost."""

    def prepare(self, request: m.PrepareMember) -> AsyncIterator[m.MemberEvent]: ...
    async def join_group(self, request: m.FormGroup) -> None: ...
    async def train(self, request: m.TrainRound) -> m.RoundTrained: ...
    async def take_steps(self, request: m.DealSteps) -> m.StepsDone: ...
    async def call_back(self, request: m.CallBackSteps) -> None: ...
    async def average(self, request: m.AverageRound) -> m.RoundTrained: ...
    async def commit(self, request: m.CommitRound) -> m.MemberCommitted: ...
    async def question(self, request: m.QuestionMember) -> None: ...
    async def replace_leader(self, request: m.ReplaceLeader) -> None: ...
    async def dismiss(self, request: m.DismissMember) -> None: ...


class OwnMember:
    """The leader's own device."""

    def __init__(self, device: DeviceId, member: RunMember) -> None:
        self._member = member
        self._caller = Caller(kind="member", curve_key=b"", device=device, host="")

    def prepare(self, request: m.PrepareMember) -> AsyncIterator[m.MemberEvent]:
        return self._member.prepare(request, self._caller)

    async def join_group(self, request: m.FormGroup) -> None:
        try:
            async with asyncio.timeout(seconds_to_join(request)):
                await self._member.rounds.form_group(request, self._caller)
        except TimeoutError as error:
            raise TimedOutError("the trainer here does not leave its process group") from error

    async def train(self, request: m.TrainRound) -> m.RoundTrained:
        return await self._member.rounds.train_round(request, self._caller)

    async def take_steps(self, request: m.DealSteps) -> m.StepsDone:
        return await self._member.rounds.take_steps(request, self._caller)

    async def call_back(self, request: m.CallBackSteps) -> None:
        await self._member.rounds.call_back(request, self._caller)

    async def average(self, request: m.AverageRound) -> m.RoundTrained:
        return await self._member.rounds.average(request, self._caller)

    async def commit(self, request: m.CommitRound) -> m.MemberCommitted:
        return await self._member.rounds.commit_round(request, self._caller)

    async def question(self, request: m.QuestionMember) -> None:
        await self._member.question(request, self._caller)

    async def replace_leader(self, request: m.ReplaceLeader) -> None:
        await self._member.replace_leader(request, self._caller)

    async def dismiss(self, request: m.DismissMember) -> None:
        await self._member.dismiss(request, self._caller)


class LinkedMember:
    """A member on another device."""

    def __init__(self, device: DeviceId, peers: Peers) -> None:
        self._device, self._peers = device, peers

    def prepare(self, request: m.PrepareMember) -> AsyncIterator[m.MemberEvent]:
        return self._peers.link(self._device).stream(request)

    async def join_group(self, request: m.FormGroup) -> None:
        await self._peers.link(self._device).request(request, seconds_to_join(request))

    async def train(self, request: m.TrainRound) -> m.RoundTrained:
        return await self._peers.link(self._device).request(request, ROUND_PATIENCE_SECONDS)

    async def take_steps(self, request: m.DealSteps) -> m.StepsDone:
        return await self._peers.link(self._device).request(request, ROUND_PATIENCE_SECONDS)

    async def call_back(self, request: m.CallBackSteps) -> None:
        await self._peers.link(self._device).request(request, QUESTION_SECONDS)

    async def average(self, request: m.AverageRound) -> m.RoundTrained:
        return await self._peers.link(self._device).request(request, ROUND_PATIENCE_SECONDS)

    async def commit(self, request: m.CommitRound) -> m.MemberCommitted:
        return await self._peers.link(self._device).request(request, ROUND_PATIENCE_SECONDS)

    async def question(self, request: m.QuestionMember) -> None:
        await self._peers.link(self._device).request(request, QUESTION_SECONDS)

    async def replace_leader(self, request: m.ReplaceLeader) -> None:
        await self._peers.link(self._device).request(request, GOODBYE_SECONDS)

    async def dismiss(self, request: m.DismissMember) -> None:
        await self._peers.link(self._device).request(request, DISMISS_SECONDS)
