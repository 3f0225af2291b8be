"""The best holder answers a prompt; if it dies in the middle, the next one continues the answer."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from cellmind_agent.answers.asking import Asking, newest
from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import DegradedError, LinkLostError, UnknownNameError
from cellmind_agent.protocol.ids import DeviceId, RunId
from cellmind_agent.trust.permissions import Caller
from model.line.sampling import Sampling
from tests.protocol.examples import MODEL, PEER, VITALS

ME, FAST, SLOW = (DeviceId(c * 32) for c in "abc")
LOCAL = Caller(kind="local", curve_key=b"", device=ME, host="")


class FakeLink:
    """Answers `text` piece by piece, and dies after `lives` of them."""

    def __init__(self, name: str, text: str, lives: int, models: tuple[m.ModelView, ...] = (MODEL,)) -> None:
        self.name, self.text, self.lives, self.models = name, text, lives, models
        self.asked: list[m.Answer] = []

    async def request(self, message: Any, seconds: float) -> m.ModelList:
        return m.ModelList(models=self.models)

    async def stream(self, message: m.Answer) -> AsyncIterator[Any]:
        self.asked.append(message)
        yield m.AnswerStarted(device=ME, name=self.name, model=MODEL.model, step=1)
        left = self.text[len(message.so_far) :]
        for place, character in enumerate(left):
            if place == self.lives:
                raise LinkLostError("it died")
            yield m.AnswerPiece(text=character, num_tokens=place + 1)
        yield m.AnswerEnded(num_tokens=len(left), seconds=0.1, reason="end")


class FakePeers:
    def __init__(self, links: dict[DeviceId, tuple[FakeLink, float]]) -> None:
        self.links = links

    def online(self) -> list[DeviceId]:
        return list(self.links)

    def link(self, device: DeviceId) -> FakeLink:
        return self.links[device][0]

    async def until_absent(self, device: DeviceId) -> None:
        await asyncio.Event().wait()

    def name(self, device: DeviceId) -> str:
        return self.links[device][0].name

    def views(self) -> list[m.PeerView]:
        speeds = ((d, m.Figure(value=speed, source="run")) for d, (_, speed) in self.links.items())
        return [replace(PEER, id=d, vitals=replace(VITALS, tokens_per_second=s, run=None)) for d, s in speeds]


class FakeServing:
    def held_models(self) -> list[m.ModelView]:
        return []


def ask(links: dict[DeviceId, tuple[FakeLink, float]], request: m.Ask) -> list[Any]:
    async def play() -> list[Any]:
        asking = Asking(ME, FakePeers(links), FakeServing(), lambda: None)  # type: ignore[arg-type]
        return [event async for event in asking.handlers()[m.Ask](request, LOCAL)]

    return asyncio.run(play())


def text_of(events: list[Any]) -> str:
    return "".join(event.text for event in events if isinstance(event, m.AnswerPiece))


def test_the_fastest_holder_answers() -> None:
    fast, slow = FakeLink("fast", "빠르다", 99), FakeLink("slow", "느리다", 99)
    events = ask({SLOW: (slow, 100.0), FAST: (fast, 900.0)}, m.Ask(prompt="안녕"))
    assert text_of(events) == "빠르다"
    assert slow.asked == []


def test_the_next_holder_continues_where_the_first_died() -> None:
    fast, slow = FakeLink("fast", "안녕하세요", 2), FakeLink("slow", "안녕하세요", 99)
    links = {SLOW: (slow, 100.0), FAST: (fast, 900.0)}
    events = ask(links, m.Ask(prompt="안녕", max_tokens=50, sampling=Sampling(seed=7)))
    assert text_of(events) == "안녕하세요"
    assert [event.name for event in events if isinstance(event, m.AnswerStarted)] == ["fast", "slow"]
    asked = [(answer.so_far, answer.max_tokens, answer.sampling.seed) for answer in fast.asked + slow.asked]
    assert asked == [("", 50, 7), ("안녕", 48, 7)]


def test_the_loss_of_all_holders_is_an_error() -> None:
    with pytest.raises(DegradedError, match="every device that holds"):
        ask({FAST: (FakeLink("fast", "안녕", 1), 1.0)}, m.Ask(prompt="안녕"))


def test_a_device_that_lacks_the_model_is_not_asked() -> None:
    without, slow = FakeLink("fast", "x", 99, models=()), FakeLink("slow", "네", 99)
    links = {FAST: (without, 900.0), SLOW: (slow, 100.0)}
    assert text_of(ask(links, m.Ask(prompt="안녕"))) == "네"
    with pytest.raises(UnknownNameError, match="does not hold"):
        ask(links, m.Ask(prompt="안녕", device=FAST))
    assert without.asked == []


def test_only_the_named_device_answers() -> None:
    fast, slow = FakeLink("fast", "a", 99), FakeLink("slow", "b", 99)
    assert text_of(ask({FAST: (fast, 900.0), SLOW: (slow, 1.0)}, m.Ask(prompt="안녕", device=SLOW))) == "b"


def test_each_device_answers_with_the_checkpoint_that_it_holds_of_the_same_weights() -> None:
    later = replace(MODEL, created=MODEL.created + 1, files={"model.safetensors": MODEL.files["model.safetensors"]})
    first, second = FakeLink("first", "a", 99, models=(MODEL,)), FakeLink("second", "b", 99, models=(later,))
    for device, link, held in ((FAST, first, MODEL), (SLOW, second, later)):
        ask({FAST: (first, 900.0), SLOW: (second, 1.0)}, m.Ask(prompt="안녕", device=device))
        assert [answer.model for answer in link.asked] == [held]


def test_the_newest_checkpoint_answers_unless_a_model_is_named() -> None:
    old = replace(MODEL, created=1.0)
    other = replace(MODEL, model=RunId("run-0101-zzz"), created=0.5)
    assert newest([old, MODEL, other], None) == MODEL
    assert newest([old, MODEL, other], RunId("run-0101")) == other
    with pytest.raises(UnknownNameError, match="several"):
        newest([old, other], RunId("run"))
    for models, name in (([], None), ([MODEL], RunId("run-none"))):
        with pytest.raises(UnknownNameError):
            newest(models, name)
