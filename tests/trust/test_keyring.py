"""The keyring: only owners write, nothing can be forged, a removal stays in force."""

import json
import time
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellmind_agent.protocol.errors import NotAllowedError, ProtocolError
from cellmind_agent.protocol.ids import device_id
from cellmind_agent.protocol.messages import Role
from cellmind_agent.trust.entries import (
    adding_entry,
    clean_name,
    entry_hash,
    founding_entry,
    removing_entry,
)
from cellmind_agent.trust.identity import new_identity
from cellmind_agent.trust.keyring import (
    Keyring,
    add_member,
    found_cell,
    make_owner,
    merge,
    remove_member,
    verify,
)
from cellmind_agent.trust.recovery import Recovery
from tests.trust.members import member

FOUNDER, SECOND, THIRD, FOURTH = (new_identity() for _ in range(4))


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


def test_a_member_that_is_no_owner_adds_nobody_and_removes_nobody() -> None:
    keyring = cell_of_two()
    with pytest.raises(NotAllowedError):
        add_member(keyring, SECOND, member(THIRD), 3.0)
    with pytest.raises(NotAllowedError):
        remove_member(keyring, SECOND, FOUNDER.device, 3.0)
    with pytest.raises(NotAllowedError):
        remove_member(keyring, SECOND, SECOND.device, 3.0)


def test_nobody_is_added_twice() -> None:
    with pytest.raises(NotAllowedError):
        add_member(cell_of_two(), FOUNDER, member(SECOND), 3.0)


@pytest.mark.parametrize("field", ["action", "author", "time", "parents", "subject"])
def test_a_changed_entry_is_noticed(field: str) -> None:
    entries = list(cell_of_two().entries)
    plain = json.loads(entries[1])
    plain["body"][field] = {"parents": [], "time": 9}.get(field, "x")
    entries[1] = json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(ProtocolError):
        verify(entries)


def test_entries_may_come_in_any_order_and_twice_but_none_may_be_missing() -> None:
    keyring = remove_member(cell_of_two(), FOUNDER, SECOND.device, 3.0)
    a, b, c = keyring.entries
    assert verify([c, a, b, a]) == keyring
    for entries in ([a, c], [b], [b, c], []):
        with pytest.raises(ProtocolError):
            verify(entries)


def test_a_member_whose_id_does_not_fit_its_keys_is_refused() -> None:
    keyring = found_cell(FOUNDER, "x", 1.0)
    with pytest.raises(ValueError, match="does not follow from the keys"):
        add_member(keyring, FOUNDER, replace(member(SECOND), device=THIRD.device), 2.0)
    founding, adding = cell_of_two().entries
    with pytest.raises(ProtocolError, match="damaged"):
        verify((founding, adding.replace(SECOND.device.encode(), THIRD.device.encode())))


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


def test_what_two_owners_wrote_at_once_both_counts() -> None:
    base = cell_of_two("owner")
    ours = add_member(base, FOUNDER, member(THIRD), 3.0)
    theirs = add_member(base, SECOND, member(FOURTH), 3.0)
    both = merge(ours, theirs.entries)
    assert both == merge(theirs, ours.entries)
    assert {THIRD.device, FOURTH.device} <= set(both.members)
    assert len(both.heads) == 2
    assert not both.alarms
    after = remove_member(both, FOUNDER, FOURTH.device, 4.0)
    assert (len(after.heads), FOURTH.device in after.members) == (1, False)


def test_an_entry_has_one_spelling() -> None:
    """With a second one, anybody could write an entry of an owner once more, and no removal would name that one."""
    keyring = cell_of_two()
    removed = remove_member(keyring, FOUNDER, SECOND.device, 3.0)
    for number, entry in enumerate(removed.entries):
        signature = json.loads(entry)["signature"]
        for spelling in (signature.upper(), f"{signature[:2]} {signature[2:]}", signature + "00", signature[:-2], ""):
            if spelling == signature:
                continue
            copy = entry.replace(signature.encode(), spelling.encode())
            with pytest.raises(ProtocolError):
                verify((*removed.entries, copy))
            with pytest.raises(ProtocolError):
                verify([*removed.entries[:number], copy, *removed.entries[number + 1 :]])


@pytest.mark.parametrize("key", ["signing_key", "curve_key"])
@pytest.mark.parametrize("length", [0, 5, 31, 33, 100_000])
def test_keys_have_one_length(key: str, length: int) -> None:
    with pytest.raises(ValueError, match="canonical"):
        add_member(cell_of_two(), FOUNDER, replace(member(THIRD), **{key: bytes(length)}), 3.0)  # type: ignore[arg-type]


def test_a_device_with_the_link_key_of_another_one_is_no_member() -> None:
    """An owner adds a device of its own with another owner's link key, as early as it can."""
    base = add_member(cell_of_two("owner"), FOUNDER, member(THIRD, "owner"), 3.0)
    for honest in (FOUNDER, THIRD):
        curve = honest.curve.public
        puppet = replace(member(FOURTH), device=device_id(FOURTH.signing_public, curve), curve_key=curve)
        parents = [cell_of_two_head(base)]
        forged = verify((*base.entries, adding_entry(SECOND, parents, puppet, 2.0)))
        found = forged.by_curve_key(curve)
        assert found is not None
        assert found.device == honest.device
        assert set(forged.members) == set(base.members)


def cell_of_two_head(base: Keyring) -> bytes:
    """The entry that added the second device."""
    return base.members[SECOND.device].entry


def test_the_recovery_code_founds_no_cell() -> None:
    code = Recovery(bytes(16))
    with pytest.raises(ProtocolError):
        verify((founding_entry(code, member(FOUNDER, "owner"), code.public, 1.0),))


def test_a_keyring_of_any_entries_is_read_in_a_moment() -> None:
    """One owner adds itself again and again, and removes devices in between: each entry is looked at once for each."""
    base = cell_of_two("owner")
    entries, heads = list(base.entries), base.heads
    guests = [new_identity() for _ in range(100)]
    for guest in guests:
        for subject in (member(guest), member(SECOND, "owner")):
            entries.append(adding_entry(SECOND, heads, subject, 2.0))
            heads = (entry_hash(entries[-1]),)
    additions = {json.loads(one)["body"]["subject"]["device"]: entry_hash(one) for one in entries}
    for guest in guests:
        entries.append(removing_entry(SECOND, heads, guest.device, [additions[guest.device]], 3.0))
    verify(entries)  # signatures are checked once
    started = time.process_time()
    assert len(verify(entries).members) == 2
    assert time.process_time() - started < 1.0


def test_a_member_becomes_an_owner() -> None:
    keyring = make_owner(cell_of_two(), FOUNDER, SECOND.device, 3.0)
    assert keyring.members[SECOND.device].role == "owner"
    assert THIRD.device in add_member(keyring, SECOND, member(THIRD), 4.0).members
    assert SECOND.device not in remove_member(keyring, FOUNDER, SECOND.device, 4.0).members
    with pytest.raises(NotAllowedError):
        make_owner(cell_of_two(), SECOND, SECOND.device, 3.0)


def test_keys_that_are_used_on_two_machines_raise_an_alarm() -> None:
    base = cell_of_two("owner")
    copies = merge(add_member(base, SECOND, member(THIRD), 3.0), add_member(base, SECOND, member(FOURTH), 3.0).entries)
    assert [(alarm.kind, alarm.device, alarm.num_entries) for alarm in copies.alarms] == [("copied", SECOND.device, 2)]


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
    assert one == two
    assert one.head == two.head


def test_names_are_safe_to_print() -> None:
    assert clean_name("  내\x1b[2J 노트북\n ") == "내[2J 노트북"
    assert clean_name("\u202e") == "device"
    assert len(clean_name("가" * 500)) <= 40
