"""Doctor's sentence for each pair of devices."""

import pytest

from cellmind_agent.planning.reach import Reach, explain
from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.messages import Outcome, PeerView, ReachProbed, State

A, B = DeviceId("a" * 32), DeviceId("b" * 32)


HERE = "192.168.0.5:7420"


def peers(state: State = "online", other: str = "192.168.0.6:7420") -> list[PeerView]:
    return [
        PeerView(id=A, name="aa", role="owner", paired=True, state="online", is_self=True, addresses=(HERE,)),
        PeerView(id=B, name="bb", role="member", paired=True, state=state, is_self=False, addresses=(other,)),
    ]  # fmt: skip


def reach(one: DeviceId, other: DeviceId, outcome: Outcome | None, place: str = "192.168.0.6:7420", ahead: float = 0.0) -> Reach:  # fmt: skip  # noqa: E501
    probed = ReachProbed(outcome=outcome, address=place if outcome else None, seconds=0.01, time=1000.0 + ahead)
    return Reach(dialler=one, target=other, probed=probed, here=1000.0)


@pytest.mark.parametrize(
    ("there", "back", "state", "place", "words"),
    [
        ("reached", "reached", "online", "192.168.0.6:7420", "at 192.168.0.6:7420, 10 ms"),
        ("silent", "reached", "online", "192.168.0.6:7420", "a firewall on bb lets nothing in at port 7420"),
        ("silent", "silent", "online", "192.168.0.6:7420", "AP isolation"),
        ("silent", "silent", "asleep", "192.168.0.6:7420", "bb is off or asleep"),
        ("silent", "silent", "asleep", "10.8.0.6:7420", "on another network than aa: a guest Wi-Fi, a VPN"),
        ("refused", "silent", "online", "192.168.0.6:7420", "nothing listens at 192.168.0.6:7420"),
        ("other", "silent", "online", "192.168.0.6:7420", "another device is at 192.168.0.6:7420"),
        ("unknown", "reached", "online", "192.168.0.6:7420", "bb does not know the key of aa"),
        (None, "reached", "online", "", "aa knows no address of bb"),
    ],
)
def test_each_pair_gets_a_cause_and_a_command(
    there: Outcome | None, back: Outcome, state: State, place: str, words: str
) -> None:
    checks = explain([reach(A, B, there, place), reach(B, A, back, "192.168.0.5:7420")], peers(state))
    assert checks[0].id == "reach aa -> bb"
    assert words in checks[0].detail
    assert (checks[0].fix is None) == (there == "reached")


def test_a_dialler_that_does_not_answer_is_skipped() -> None:
    (check,) = explain([Reach(dialler=B, target=A, probed=None, here=0.0)], peers())
    assert (check.verdict, check.detail) == ("skipped", "bb could not say")


def test_a_clock_that_is_far_off_is_reported_once() -> None:
    checks = explain([reach(B, A, "reached", ahead=312.0), reach(A, B, "reached")], peers())
    assert [check.detail for check in checks if check.id.startswith("clock")] == [
        "the clock of bb is 312 s ahead of this device's"
    ]
