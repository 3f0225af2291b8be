"""The keyring: only owners write, nothing can be forged, a removal stays in force."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellmind_agent.protocol.errors import NotAllowedError, ProtocolError
from cellmind_agent.protocol.messages import Role
from cellmind_agent.trust.identity import Identity, new_identity
from cellmind_agent.trust.keyring import (
    Keyring,
    Member,
    add_member,
    clean_name,
    found_cell,
    lost_entries,
    merge,
    remove_member,
    verify,
)

FOUNDER, SECOND, THIRD, FOURTH = (new_identity() for _ in range(4))


def member(identity: Identity, role: Role = "member", name: str = "device") -> Member:
    return Member(
        device=identity.device,
        name=name,
        role=role,
        signing_key=identity.signing_public,
        curve_key=identity.curve.public,
    )


def cell_of_two(role: Role = "member") -> Keyring:
    return add_member(found_cell(FOUNDER, "첫째", 1.0), FOUNDER, member(SECOND, role), 2.0)


def test_a_founder_is_the_first_owner() -> None:
    keyring = found_cell(FOUNDER, "첫째", 1.0)
    assert {m.name: m.role for m in keyring.members.values()} == {"첫째": "owner"}
    assert verify(keyring.entries) == keyring


def test_owners_add_and_remove() -> None:
    keyring = cell_of_two()
    assert set(keyring.members) == {FOUNDER.device, SECOND.device}
    keyring = remove_member(keyring, FOUNDER, SECOND.device, 3.0)
    assert set(keyring.members) == {FOUNDER.device}
    assert verify(keyring.entries) == keyring


def test_a_member_that_is_no_owner_adds_nobody_and_removes_only_itself() -> None:
    keyring = cell_of_two()
    with pytest.raises(NotAllowedError):
        add_member(keyring, SECOND, member(THIRD), 3.0)
    with pytest.raises(NotAllowedError):
        remove_member(keyring, SECOND, FOUNDER.device, 3.0)
    assert set(remove_member(keyring, SECOND, SECOND.device, 3.0).members) == {FOUNDER.device}


def test_nobody_is_added_twice() -> None:
    with pytest.raises(NotAllowedError):
        add_member(cell_of_two(), FOUNDER, member(SECOND), 3.0)


@pytest.mark.parametrize("field", ["action", "author", "time", "number", "previous"])
def test_a_changed_entry_is_noticed(field: str) -> None:
    entries = list(cell_of_two().entries)
    plain = json.loads(entries[1])
    plain["body"][field] = {"number": 7, "time": 9}.get(field, "x")
    entries[1] = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(ProtocolError):
        verify(entries)


def test_entries_out_of_order_missing_or_doubled_are_refused() -> None:
    keyring = remove_member(cell_of_two(), FOUNDER, SECOND.device, 3.0)
    a, b, c = keyring.entries
    for entries in ([a, c], [b], [a, c, b], [a, b, b], [], [a] * 1001):
        with pytest.raises(ProtocolError):
            verify(entries)


def test_a_member_whose_id_does_not_fit_its_keys_is_refused() -> None:
    keyring = found_cell(FOUNDER, "x", 1.0)
    with pytest.raises(ProtocolError):
        add_member(keyring, FOUNDER, replace(member(SECOND), device=THIRD.device), 2.0)


def test_an_outsider_cannot_extend_the_log() -> None:
    keyring = cell_of_two()
    forged = add_member(found_cell(THIRD, "x", 1.0), THIRD, member(FOURTH), 2.0).entries[1]
    with pytest.raises(ProtocolError):
        verify((*keyring.entries, forged))


@given(st.binary(max_size=200))
def test_any_bytes_as_an_entry_are_refused(data: bytes) -> None:
    with pytest.raises(ProtocolError):
        verify((*cell_of_two().entries, data))


def test_a_longer_log_replaces_ours_and_a_shorter_one_does_not() -> None:
    short = cell_of_two()
    longer = add_member(short, FOUNDER, member(THIRD), 3.0)
    assert merge(short, longer.entries) == longer
    assert merge(longer, short.entries) == longer


def test_another_cell_is_never_merged() -> None:
    with pytest.raises(ProtocolError, match="another cell"):
        merge(cell_of_two(), found_cell(THIRD, "x", 1.0).entries)


def test_two_owners_who_wrote_at_once_end_with_the_same_log() -> None:
    base = cell_of_two("owner")
    ours = add_member(base, FOUNDER, member(THIRD), 3.0)
    theirs = add_member(base, SECOND, member(FOURTH), 3.0)
    assert merge(ours, theirs.entries).entries == merge(theirs, ours.entries).entries
    loser, author = (ours, FOUNDER) if merge(ours, theirs.entries).entries == theirs.entries else (theirs, SECOND)
    lost = lost_entries(loser, merge(ours, theirs.entries), author.device)
    assert [(action, m.device) for action, m in lost] == [("add", (THIRD if author is FOUNDER else FOURTH).device)]


def test_a_removed_owner_cannot_come_back_with_a_longer_branch() -> None:
    """I5: it still has its key, and can extend the log from before its removal as it likes."""
    base = cell_of_two("owner")
    removed = remove_member(base, FOUNDER, SECOND.device, 3.0)
    attack = base
    for identity in (THIRD, FOURTH):
        attack = add_member(attack, SECOND, member(identity), 3.0)
    assert merge(removed, attack.entries).entries == removed.entries
    assert merge(attack, removed.entries).entries == removed.entries


def test_a_removal_that_lost_its_branch_still_counts() -> None:
    base = add_member(cell_of_two("owner"), FOUNDER, member(THIRD), 3.0)
    ours = remove_member(base, FOUNDER, THIRD.device, 4.0)
    theirs = add_member(add_member(base, SECOND, member(FOURTH), 4.0), SECOND, member(new_identity()), 5.0)
    merged = merge(ours, theirs.entries)
    assert merged.entries == theirs.entries
    assert THIRD.device not in merged.members
    assert FOURTH.device in merged.members


def test_a_removed_device_that_is_added_again_is_a_member() -> None:
    keyring = remove_member(cell_of_two(), FOUNDER, SECOND.device, 3.0)
    keyring = add_member(keyring, FOUNDER, member(SECOND), 4.0)
    assert SECOND.device in keyring.members
    assert verify(keyring.entries, keyring.tombstones) == keyring


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3)), max_size=6))
def test_merging_gives_the_same_keyring_in_both_directions(writes: list[tuple[str, int]]) -> None:
    base = cell_of_two("owner")
    others = [member(i) for i in (THIRD, FOURTH, new_identity(), new_identity())]
    branches = {"a": base, "b": base}
    for branch, who in writes:
        author = FOUNDER if branch == "a" else SECOND
        if others[who].device in branches[branch].members:
            branches[branch] = remove_member(branches[branch], author, others[who].device, 9.0)
        else:
            branches[branch] = add_member(branches[branch], author, others[who], 9.0)
    one, two = merge(branches["a"], branches["b"].entries), merge(branches["b"], branches["a"].entries)
    assert one.entries == two.entries
    assert one.members == two.members


def test_names_are_safe_to_print() -> None:
    assert clean_name("  내\x1b[2J 노트북\n ") == "내[2J 노트북"
    assert clean_name("\u202e") == "device"
    assert len(clean_name("가" * 500)) <= 40
