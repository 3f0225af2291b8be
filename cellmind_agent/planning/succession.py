"""Who leads a run after its leader is gone, and which of two leaders counts. All pure.

Leadership needs no majority: a home of two devices has none. So both parts of a cell that was cut in two go on, and
when they meet again the one that has committed more goes on alone (`lineage_order`). A member follows a new leader only
when it has lost the old one itself, as in the PreVote of Raft (Ongaro, "Consensus: Bridging Theory and Practice", 2014,
section 9.6): a device with one bad connection cannot take a run over.
"""

from __future__ import annotations

from collections.abc import Sequence, Set

from cellmind_agent.protocol.ids import DeviceId
from cellmind_agent.protocol.limits import ALONE_SECONDS, SUCCESSION_SECONDS
from cellmind_agent.protocol.messages import LastCommit, Term


def term_order(term: Term) -> tuple[int, DeviceId]:
    """The sort key of terms: the larger one counts."""
    return term.number, term.leader


def commit_order(last: LastCommit) -> tuple[int, int, DeviceId]:
    """The sort key of commits: the one with more tokens counts."""
    return last.tokens, *term_order(last.term)


def lineage_order(last: LastCommit | None, term: Term) -> tuple[int, int, DeviceId]:
    """The sort key of the two sides of a cell that was cut in two, each with its last commit and its present term."""
    return last.tokens if last else -1, *term_order(term)


def seconds_to_lead(
    device: DeviceId, roster: Sequence[DeviceId], online: Set[DeviceId], is_leader_silent: bool
) -> float:
    """How long `device` waits for another leader before it leads itself; `roster` is without the lost leader.

    The first in the roster of those that are online leads at once, and each of the others gives those before it some
    time. One that sees none of several others was perhaps asleep or cut off itself.
    """
    present = [other for other in roster if other == device or other in online]
    is_alone = len(present) == 1
    return present.index(device) * SUCCESSION_SECONDS + (ALONE_SECONDS if is_alone and is_leader_silent else 0.0)
