"""The recovery code: seventeen words that a person can type, and the key that outranks every owner."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.protocol.errors import CellmindError, NotAllowedError, UsageError
from cellmind_agent.trust.entries import RECOVERY
from cellmind_agent.trust.identity import is_signed_by, new_identity
from cellmind_agent.trust.keyring import (
    Keyring,
    add_member,
    counting_additions,
    found_cell,
    make_owner,
    merge,
    remove_member,
)
from cellmind_agent.trust.recovery import (
    Recovery,
    forget_recovery,
    kept_recovery,
    new_recovery,
    read_code,
)
from cellmind_agent.trust.ringfile import Left, load_keyring, load_left, new_cell, save_keyring, save_left
from tests.trust.members import member

FOUNDER, SECOND, THIRD, THIRD_OWNER = (new_identity() for _ in range(4))
CODE = Recovery(bytes(range(16)))


def cell() -> Keyring:
    """The founder, an owner that it has added, and a plain member."""
    keyring = add_member(found_cell(FOUNDER, "device", 0.0, CODE.public), FOUNDER, member(SECOND, "owner"), 1.0)
    return add_member(keyring, SECOND, member(THIRD, "member"), 2.0)


@given(st.binary(min_size=16, max_size=16), st.sampled_from([" ", "-", "\n", "", ", "]), st.booleans())
def test_a_code_is_read_as_a_person_types_it(secret: bytes, between: str, is_upper: bool) -> None:
    code = Recovery(secret).code
    assert len(code.split()) == 17
    typed = between.join(code.split())
    assert read_code(typed.upper() if is_upper else typed) == Recovery(secret)


def test_a_code_typed_on_a_hangul_keyboard_is_read() -> None:
    first, *others = CODE.code.split()
    assert first == "acorn"
    assert read_code(" ".join(["ㅁ채구", *others])) == CODE


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a recovery code"),
        ("acorn", "not a recovery code"),
        (" ".join(CODE.code.split()[:-1]), "not a recovery code"),
        (CODE.code.replace("acorn", "album", 1), "not a recovery code"),
        (CODE.code.replace("acorn", "acron", 1), "acron is not a word"),
    ],
)
def test_another_text_is_no_code(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        read_code(text)


def test_its_key_and_its_signature() -> None:
    assert is_signed_by(CODE.public, CODE.sign(b"data"), b"data")
    assert new_recovery() != new_recovery()
    assert CODE.device == RECOVERY


def test_it_removes_a_stolen_founder_whatever_the_thief_writes() -> None:
    base = cell()
    with pytest.raises(NotAllowedError, match="more seniority"):
        remove_member(base, SECOND, FOUNDER.device, 3.0)
    # 1. The thief has the founder's keys, and is first.
    theirs = remove_member(base, FOUNDER, SECOND.device, 3.0)
    for guest in (new_identity() for _ in range(3)):
        theirs = add_member(theirs, FOUNDER, member(guest, "owner"), 4.0)
    # 2. A plain member has the code.
    ours = remove_member(make_owner(base, CODE, THIRD.device, 5.0), CODE, FOUNDER.device, 5.0)
    for together in (merge(ours, theirs.entries), merge(theirs, ours.entries)):
        assert {device: one.role for device, one in together.members.items()} == {
            SECOND.device: "owner",
            THIRD.device: "owner",
        }
        # 3. That member is senior to all others now.
        assert SECOND.device not in remove_member(together, THIRD, SECOND.device, 6.0).members


def test_another_code_signs_nothing() -> None:
    with pytest.raises(CellmindError, match="not signed"):
        remove_member(cell(), new_recovery(), FOUNDER.device, 3.0)
    without = found_cell(FOUNDER, "device", 0.0)
    with pytest.raises(CellmindError, match="not signed"):
        remove_member(without, CODE, FOUNDER.device, 3.0)


def test_it_is_kept_until_it_is_on_paper_or_the_cell_is_left(tmp_path: Path) -> None:
    keyring = new_cell(tmp_path, FOUNDER, "device", 0.0)
    recovery = kept_recovery(tmp_path)
    assert recovery is not None
    assert recovery.public == keyring.recovery_key
    assert (tmp_path / "recovery.json").stat().st_mode & 0o077 == 0
    assert load_keyring(tmp_path, FOUNDER, "device", 9.0) == keyring
    save_keyring(tmp_path, add_member(keyring, FOUNDER, member(SECOND, "owner"), 1.0))
    assert kept_recovery(tmp_path) == recovery
    save_keyring(tmp_path, add_member(found_cell(SECOND, "device", 0.0), SECOND, member(FOUNDER, "owner"), 1.0))
    assert kept_recovery(tmp_path) is None
    # A damaged file must not keep a keyring from being installed.
    (tmp_path / "recovery.json").write_text("{}")
    with pytest.raises(CellmindError, match="damaged"):
        kept_recovery(tmp_path)
    save_keyring(tmp_path, keyring)
    assert kept_recovery(tmp_path) is None
    forget_recovery(tmp_path)


def test_a_removal_that_does_not_count_has_ended_and_a_new_addition_is_no_return() -> None:
    base = add_member(cell(), FOUNDER, member(THIRD_OWNER, "owner"), 3.0)
    additions = counting_additions(base, THIRD.device)
    removed = remove_member(base, THIRD_OWNER, THIRD.device, 4.0)
    assert not Left(keyring=removed, additions=additions).has_ended(THIRD.device)
    # 1. Somebody adds the device again, and asks nobody there.
    again = add_member(removed, THIRD_OWNER, member(THIRD, "owner"), 5.0)
    assert THIRD.device in again.members
    assert not Left(keyring=again, additions=additions).has_ended(THIRD.device)
    # 2. The remover had been removed before.
    truth = merge(remove_member(base, FOUNDER, THIRD_OWNER.device, 3.5), removed.entries)
    assert Left(keyring=truth, additions=additions).has_ended(THIRD.device)


def test_the_cell_that_was_left_is_remembered(tmp_path: Path) -> None:
    assert load_left(tmp_path) is None
    left = Left(keyring=cell(), additions=counting_additions(cell(), THIRD.device))
    save_left(tmp_path, left)
    assert load_left(tmp_path) == left
    save_left(tmp_path, None)
    assert load_left(tmp_path) is None
