"""The process group's store, and a trainer's calls to it."""

import asyncio

import pytest

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import (
    NotAllowedError,
    ProtocolError,
    StorageFullError,
    TimedOutError,
    UnknownNameError,
)
from cellmind_agent.protocol.ids import RunId
from cellmind_agent.runs.rendezvous import Rendezvous, Stores, store_answer, store_request
from model.line import meeting
from model.line.declare import Done

RUN = RunId("run-1")
NAME = {"run": RUN, "term": 1}


def test_a_get_waits_for_the_set() -> None:
    async def play() -> None:
        store = Rendezvous(RUN, 1)
        waiting = asyncio.create_task(store.answer(m.StoreGet(**NAME, keys=("a", "b"), seconds=5.0)))
        await store.answer(m.StoreSet(**NAME, key="a", data=b"1"))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await store.answer(m.StoreSet(**NAME, key="b", data=b"2"))
        assert await waiting == m.StoreValue(data=b"1")

    asyncio.run(play())


def test_a_get_that_nobody_sets_names_the_missing_key() -> None:
    with pytest.raises(TimedOutError, match="nobody set missing"):
        asyncio.run(Rendezvous(RUN, 1).answer(m.StoreGet(**NAME, keys=("missing",), seconds=0.05)))


def test_add_compare_set_check_and_delete() -> None:
    async def play() -> None:
        store = Rendezvous(RUN, 1)
        assert await store.answer(m.StoreAdd(**NAME, key="n", amount=2)) == m.StoreNumber(number=2)
        assert await store.answer(m.StoreAdd(**NAME, key="n", amount=3)) == m.StoreNumber(number=5)
        swap = m.StoreCompareSet(**NAME, key="c", expected=b"", desired=b"first")
        assert await store.answer(swap) == m.StoreValue(data=b"first")
        late = m.StoreCompareSet(**NAME, key="c", expected=b"other", desired=b"second")
        assert await store.answer(late) == m.StoreValue(data=b"first")
        assert await store.answer(m.StoreCheck(**NAME, keys=("n", "c"))) == m.StoreNumber(number=1)
        assert await store.answer(m.StoreDelete(**NAME, key="n")) == m.StoreNumber(number=1)
        assert await store.answer(m.StoreCheck(**NAME, keys=("n", "c"))) == m.StoreNumber(number=0)

    asyncio.run(play())


def test_the_store_is_bounded() -> None:
    async def play() -> None:
        store = Rendezvous(RUN, 1)
        for number in range(10):
            await store.answer(m.StoreSet(**NAME, key=str(number), data=bytes(200_000)))

    with pytest.raises(StorageFullError):
        asyncio.run(play())


def test_adding_to_what_is_no_number_is_refused() -> None:
    async def play() -> None:
        store = Rendezvous(RUN, 1)
        await store.answer(m.StoreSet(**NAME, key="a", data=b"word"))
        await store.answer(m.StoreAdd(**NAME, key="a", amount=1))

    with pytest.raises(ProtocolError):
        asyncio.run(play())


def test_a_trainers_calls_become_requests_and_back() -> None:
    calls = [
        (meeting.StoreSet(key="k", data=b"\0\xff"), m.StoreSet(**NAME, key="k", data=b"\0\xff")),
        (meeting.StoreGet(keys=("a", "b"), seconds=2.0), m.StoreGet(**NAME, keys=("a", "b"), seconds=2.0)),
        (meeting.StoreAdd(key="n", amount=2), m.StoreAdd(**NAME, key="n", amount=2)),
        (
            meeting.StoreCompareSet(key="k", expected=b"", desired=b"1"),
            m.StoreCompareSet(**NAME, key="k", expected=b"", desired=b"1"),
        ),
        (meeting.StoreCheck(keys=("a",)), m.StoreCheck(**NAME, keys=("a",))),
        (meeting.StoreDelete(key="k"), m.StoreDelete(**NAME, key="k")),
    ]
    for call, request in calls:
        assert store_request(RUN, 1, call) == request
    assert store_answer(m.StoreValue(data=b"\0\xff")) == meeting.StoreValue(data=b"\0\xff")
    assert store_answer(m.StoreNumber(number=4)) == meeting.StoreNumber(number=4)
    assert store_answer(m.Done()) == Done()


def test_a_store_answers_only_its_latest_term() -> None:
    async def play() -> None:
        stores = Stores()
        with pytest.raises(UnknownNameError):
            await stores.answer(m.StoreCheck(**NAME, keys=()))
        assert stores.last_term(RUN) == 0
        await stores.open(RUN, 1)
        await stores.answer(m.StoreSet(**NAME, key="k", data=b"1"))
        await stores.open(RUN, 2)
        assert stores.last_term(RUN) == 2
        with pytest.raises(NotAllowedError, match="term 1 of run-1 is over"):
            await stores.answer(m.StoreCheck(**NAME, keys=("k",)))
        assert await stores.answer(m.StoreCheck(run=RUN, term=2, keys=("k",))) == m.StoreNumber(number=0)

    asyncio.run(play())


def test_a_rank_that_waits_in_an_old_term_is_refused_at_once() -> None:
    async def play() -> None:
        stores = Stores()
        await stores.open(RUN, 1)
        waiting = asyncio.ensure_future(stores.answer(m.StoreGet(**NAME, keys=("never",), seconds=60.0)))
        await asyncio.sleep(0.01)
        await stores.open(RUN, 2)
        async with asyncio.timeout(5):
            with pytest.raises(NotAllowedError, match="term 1 of run-1 is over"):
                await waiting

    asyncio.run(play())
