"""Which entries count: whatever owners and a thief write, in any order, honest devices agree, and without the thief."""

import contextlib
import functools
import random
from collections.abc import Iterable
from itertools import pairwise, permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellmind_agent.protocol.errors import NotAllowedError, ProtocolError, StorageFullError
from cellmind_agent.protocol.messages import Role
from cellmind_agent.trust.entries import (
    adding_entry,
    entry_hash,
    founding_entry,
    removing_entry,
)
from cellmind_agent.trust.entry_log import read_log
from cellmind_agent.trust.identity import Identity, new_identity
from cellmind_agent.trust.keyring import Keyring, add_member, found_cell, merge, remove_member, verify
from tests.trust.members import member

IDENTITIES = [new_identity() for _ in range(12)]
A, B, C, D, T, X, Y = IDENTITIES[:7]
owner = functools.partial(member, role="owner")


def names(keyring: Keyring) -> set[str]:
    by_device = {identity.device: "ABCDTXY"[number] for number, identity in enumerate(IDENTITIES[:7])}
    return {by_device.get(device, "other") for device in keyring.members}


def chain(*owners: Identity) -> Keyring:
    """A cell in which each owner has added the next one."""
    keyring = found_cell(owners[0], "device", 0.0)
    for author, subject in pairwise(owners):
        keyring = add_member(keyring, author, owner(subject), 1.0)
    return keyring


def add(keyring: Keyring, author: Identity, subject: Identity, role: Role = "owner") -> Keyring:
    return add_member(keyring, author, member(subject, role), 2.0)


def remove(keyring: Keyring, author: Identity, subject: Identity) -> Keyring:
    return remove_member(keyring, author, subject.device, 3.0)


def merged(*keyrings: Keyring) -> Keyring:
    found = keyrings[0]
    for other in keyrings[1:]:
        found = merge(found, other.entries)
    return found


def test_of_two_owners_that_remove_each_other_the_senior_stays() -> None:
    base = chain(A, B, C)
    with pytest.raises(Exception, match="more seniority"):
        remove(base, C, B)
    forged = removing_entry(C, base.heads, B.device, [base.members[B.device].entry], 9.0)
    both = verify((*remove(base, B, C).entries, forged))
    assert names(both) == {"A", "B"}
    assert [(alarm.kind, alarm.device) for alarm in both.alarms] == [("ignored", C.device)]


def test_a_longer_branch_of_a_removed_owner_wins_nothing() -> None:
    base = add(chain(A, T), A, B)
    ours = remove(base, A, T)
    theirs = base
    for subject in IDENTITIES[5:]:
        theirs = add(theirs, T, subject)
    theirs = remove(theirs, T, B)
    together = merged(ours, theirs)
    assert names(together) == {"A", "B"}
    assert together == merged(theirs, ours)
    assert [(alarm.device, alarm.num_entries) for alarm in together.alarms] == [(T.device, len(IDENTITIES[5:]) + 1)]


def test_what_a_removed_owner_had_done_before_its_removal_was_written_stays() -> None:
    assert names(remove(add(chain(A, T), T, X, "member"), A, T)) == {"A", "X"}


def test_a_removal_by_an_owner_that_is_removed_counts_only_if_its_remover_had_seen_it() -> None:
    base = add(chain(A, B), B, C)
    removal = remove(base, B, C)
    assert names(merged(removal, remove(base, A, B))) == {"A", "C"}
    assert names(remove(removal, A, B)) == {"A"}


def test_nobody_removes_itself() -> None:
    base = chain(A, B)
    for one in (A, B):
        with pytest.raises(NotAllowedError):
            remove(base, one, one)


def test_a_removed_device_that_is_added_again_is_a_member_whatever_becomes_of_the_removal() -> None:
    base = chain(A, B)
    again = add(remove(base, A, B), A, B, "member")
    assert names(again) == {"A", "B"}
    assert again.members[B.device].role == "member"
    assert again.members[B.device].entry != base.members[B.device].entry
    assert names(merged(again, add(base, B, X))) == {"A", "B"}


def test_members_write_nothing() -> None:
    base = add(chain(A), A, X, "member")
    addition = base.members[A.device].entry
    for forged in (
        adding_entry(X, base.heads, owner(Y), 9.0),
        removing_entry(X, base.heads, A.device, [addition], 9.0),
        removing_entry(X, base.heads, X.device, [base.members[X.device].entry], 9.0),
    ):
        with pytest.raises(Exception, match="no owner"):
            verify((*base.entries, forged))


def test_who_adds_a_device_later_or_further_from_the_founder_makes_a_junior() -> None:
    base = add(add(add(chain(A), A, B), A, C), B, D)
    for senior, junior in ((B, C), (B, D), (C, D)):
        assert junior.device not in remove(base, senior, junior).members
        with pytest.raises(Exception, match="more seniority"):
            remove(base, junior, senior)


def test_the_order_in_which_entries_come_is_of_no_consequence() -> None:
    base = add(chain(A, B), A, C)
    branches = [remove(base, B, C), add(base, C, X), add(base, A, Y, "member"), remove(base, A, C)]
    first, *others = [merged(*order) for order in permutations(branches)]
    assert all(other == first for other in others)


# -- any owners, any thief, any order ----------------------------------------------------------------------------------


class World:
    """Honest devices, each with its keyring, and a thief that has the keys of some owners and reads everything."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.honest = IDENTITIES[:4]
        self.stolen = IDENTITIES[4:6]
        self.free = IDENTITIES[6:]
        keyring = found_cell(A, "device", 0.0)
        for subject in chance.sample([*self.honest[1:], *self.stolen], 5):
            authors = [one for one in (*self.honest, *self.stolen) if one.device in keyring.members]
            keyring = add(keyring, chance.choice(authors), subject)
        self.founded = keyring
        self.keyrings = {identity.device: keyring for identity in self.honest}
        self.seen = set(keyring.entries)  # by the thief
        self.condoned: set[str] = set()  # members when an honest owner removed a stolen device

    def honest_step(self) -> None:
        """A device adds a friend's phone."""
        author = self.chance.choice(self.honest)
        keyring = self.keyrings[author.device]
        guest = self.chance.choice(self.free)
        if author.device in keyring.members and guest.device not in keyring.members:
            self.keyrings[author.device] = add(keyring, author, guest, "member")

    def honest_removal(self) -> None:
        """An owner removes a stolen device, if it is senior to it."""
        author, subject = self.chance.choice(self.honest), self.chance.choice(self.stolen)
        keyring = self.keyrings[author.device]
        if author.device in keyring.members and subject.device in keyring.members:
            with contextlib.suppress(NotAllowedError):
                self.keyrings[author.device] = removed = remove(keyring, author, subject)
                self.condoned |= set(removed.members)

    def thief_step(self) -> None:
        """Any entry, after any part of what the thief has seen."""
        known = verify(self._part_of(self.seen))
        author = self.chance.choice(self.stolen)
        subject = self.chance.choice(IDENTITIES)
        try:
            if self.chance.random() < 0.5:
                role: Role = self.chance.choice(["owner", "member"])
                forged = adding_entry(author, known.heads, member(subject, role), 9.0)
            else:
                entries = [one for one in read_log(known.entries).entries if one.subject]
                additions = [one.hash for one in entries if one.subject and one.subject.device == subject.device]
                forged = removing_entry(author, known.heads, subject.device, additions, 9.0)
            self.seen |= set(verify((*known.entries, forged)).entries)
        except (ValueError, ProtocolError):  # the author is not in that part, or the removal revokes nothing
            return

    def deliver(self) -> None:
        """Any part of what somebody has comes to somebody."""
        receiver = self.chance.choice(self.honest)
        sender = self.chance.choice(self.honest)
        offered = set(self.keyrings[sender.device].entries)
        if self.chance.random() < 0.5:
            offered = self._part_of(self.seen)
        self.keyrings[receiver.device] = merge(self.keyrings[receiver.device], tuple(offered))
        self.seen |= set(self.keyrings[sender.device].entries)

    def _part_of(self, entries: Iterable[bytes]) -> set[bytes]:
        """Some of the entries, with everything that they follow."""
        log = read_log(entries)
        places = 1
        for entry in log.entries:
            if self.chance.random() < 0.5:
                places |= entry.past | 1 << entry.place
        return {entry.data for entry in log.at(places)}


@settings(max_examples=60, deadline=None)
@given(st.integers(min_value=0, max_value=1 << 32))
def test_whatever_a_thief_writes_honest_devices_agree_and_are_rid_of_it(seed: int) -> None:
    chance = random.Random(seed)
    world = World(chance)
    steps = [world.honest_step, world.thief_step, world.thief_step, world.deliver, world.honest_removal]
    for _ in range(chance.randrange(25)):
        chance.choice(steps)()
    # 1. The founder removes every device that it sees and that is not one of the honest.
    founder = world.keyrings[A.device]
    kept = {identity.device for identity in world.honest}
    for device in [device for device in founder.members if device not in kept]:
        founder = remove_member(founder, A, device, 5.0)
    world.keyrings[A.device] = founder
    stays = set(founder.members)
    # 2. The thief goes on, with everything that it knows.
    for _ in range(chance.randrange(25)):
        chance.choice([world.thief_step, world.deliver])()
    # 3. In the end everything reaches everybody, in any order.
    everything = world.seen.union(*(keyring.entries for keyring in world.keyrings.values()))
    for device, keyring in world.keyrings.items():
        parts = [world._part_of(everything) for _ in range(3)] + [everything]
        for part in parts:
            keyring = merge(keyring, tuple(part))
        world.keyrings[device] = keyring
    first, *others = world.keyrings.values()
    assert all(other == first for other in others)
    assert not set(first.members) & {identity.device for identity in world.stolen}
    assert stays <= set(first.members)
    # 4. Beside them there are only devices that an honest owner has added, or has seen when it removed a stolen one.
    added_by_honest = {
        entry.subject.device for entry in read_log(everything).entries if entry.subject and entry.author in kept
    }
    assert set(first.members) - stays <= added_by_honest | world.condoned


def test_a_flood_leaves_room_for_the_founder_and_drives_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cellmind_agent.trust.keyring.MAX_KEYRING_ENTRIES", 12)
    base = add(add(add(chain(A, T), A, B), B, X, "member"), B, Y, "member")
    floods = []
    for start in (7, 9):
        flood = base
        for subject in (*IDENTITIES[start : start + 3], *(new_identity() for _ in range(15))):
            flood = verify((*flood.entries, adding_entry(T, base.heads, owner(subject), 2.0)))
        floods.append(flood)
    one, two = floods
    assert len(one.entries) == 12 + 3  # those of the founder are not counted
    assert merge(one, two.entries) == merge(two, one.entries)
    assert {"A", "B", "T", "X", "Y"} <= names(merge(one, two.entries))
    with pytest.raises(StorageFullError):
        add(one, B, C)
    freed = remove(merge(one, two.entries), A, T)
    for keyring in (freed, merge(two, freed.entries), merge(one, freed.entries)):
        assert {"A", "B", "X", "Y"} <= names(keyring)
        assert T.device not in keyring.members
    assert merge(two, freed.entries) == merge(freed, two.entries)


def test_accomplices_of_a_flood_bring_no_removed_device_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them writes one entry, so that each is the first of its author."""
    monkeypatch.setattr("cellmind_agent.trust.keyring.MAX_KEYRING_ENTRIES", 24)
    base = add(add(add(chain(A), A, B), A, T), T, D)
    honest = add(remove(base, B, D), B, C)
    entries = list(base.entries)
    for accomplice in (new_identity() for _ in range(20)):
        addition = adding_entry(T, base.heads, owner(accomplice), 2.0)
        entries += [addition, adding_entry(accomplice, [entry_hash(addition)], owner(new_identity()), 2.0)]
    flood = verify(entries)
    both = merge(honest, flood.entries)
    assert both == merge(flood, honest.entries)
    assert names(both) & {"A", "B", "C", "D", "T"} == {"A", "B", "C", "T"}
    assert names(remove(both, A, T)) & {"A", "B", "C", "D", "T"} == {"A", "B", "C"}


def test_a_founding_entry_is_signed_by_the_device_that_it_names() -> None:
    for author, subject, role in ((A, B, "owner"), (A, A, "member")):
        with pytest.raises(Exception, match="damaged"):
            verify((founding_entry(author, member(subject, role), b"", 1.0),))  # type: ignore[arg-type]
