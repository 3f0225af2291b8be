"""Joining: the right code joins once; a wrong one learns nothing."""

from dataclasses import replace

import pytest

from cellmind_agent.protocol.errors import CellmindError, JoinRefusedError
from cellmind_agent.trust.identity import new_identity
from cellmind_agent.trust.invitation import Invitation, Joiner, clean_code, nameplate, new_code
from cellmind_agent.trust.words import WORDS

HOST, GUEST = new_identity(), new_identity()
CODE = "41-amber-falcon-river"


def invitation(code: str = CODE) -> Invitation:
    return Invitation(HOST, "member", code, expires=600.0)


def joiner(code: str = CODE) -> Joiner:
    return Joiner(GUEST, "전화기", code, HOST.curve.public)


def test_the_right_code_joins_and_proves_both_devices() -> None:
    host, guest = invitation(), joiner()
    begun = host.begin(guest.begin(), GUEST.curve.public, 1.0)
    member, accept = host.prove(guest.prove(begun), GUEST.curve.public, 1.0)
    assert (member.device, member.name, member.role) == (GUEST.device, "전화기", "member")
    assert guest.finish(accept({"entries": []})) == {"entries": []}


def test_a_code_is_used_once() -> None:
    host, guest = invitation(), joiner()
    host.prove(guest.prove(host.begin(guest.begin(), GUEST.curve.public, 1.0)), GUEST.curve.public, 1.0)
    with pytest.raises(JoinRefusedError):
        host.begin(joiner().begin(), GUEST.curve.public, 1.0)
    assert not host.is_open(1.0)


def test_a_wrong_code_is_refused_and_the_third_try_is_the_last() -> None:
    host = invitation()
    for _ in range(3):
        guest = joiner("41-acorn-acorn-acorn")
        proof = guest.prove(host.begin(guest.begin(), GUEST.curve.public, 1.0))
        with pytest.raises(JoinRefusedError):
            host.prove(proof, GUEST.curve.public, 1.0)
    with pytest.raises(JoinRefusedError):
        host.begin(joiner().begin(), GUEST.curve.public, 1.0)


def test_a_try_is_charged_before_any_work() -> None:
    host, guest = invitation(), joiner()
    for _ in range(3):
        with pytest.raises(JoinRefusedError):
            host.begin(replace(guest.begin(), pake=b"short"), GUEST.curve.public, 1.0)
    assert host.tries_left == 0


def test_an_expired_code_is_refused_at_both_steps() -> None:
    host, guest = invitation(), joiner()
    proof = guest.prove(host.begin(guest.begin(), GUEST.curve.public, 599.0))
    with pytest.raises(JoinRefusedError):
        host.prove(proof, GUEST.curve.public, 600.0)
    with pytest.raises(JoinRefusedError):
        host.begin(joiner().begin(), GUEST.curve.public, 600.0)


def test_any_flipped_bit_of_the_proof_is_refused() -> None:
    for place in (0, -1):
        for field in ("mac", "box"):
            host, guest = invitation(), joiner()
            proof = guest.prove(host.begin(guest.begin(), GUEST.curve.public, 1.0))
            damaged = bytearray(getattr(proof, field))
            damaged[place] ^= 1
            with pytest.raises(CellmindError):
                host.prove(replace(proof, **{field: bytes(damaged)}), GUEST.curve.public, 1.0)


def test_a_recorded_join_cannot_be_replayed() -> None:
    first, guest = invitation(), joiner()
    begin = guest.begin()
    proof = guest.prove(first.begin(begin, GUEST.curve.public, 1.0))
    second = invitation()
    begun = second.begin(begin, GUEST.curve.public, 1.0)
    with pytest.raises(JoinRefusedError):
        second.prove(replace(proof, session=begun.session), GUEST.curve.public, 1.0)


def test_a_session_belongs_to_the_key_that_began_it() -> None:
    host, guest, thief = invitation(), joiner(), new_identity()
    proof = guest.prove(host.begin(guest.begin(), GUEST.curve.public, 1.0))
    with pytest.raises(JoinRefusedError):
        host.prove(proof, thief.curve.public, 1.0)


def test_an_inviter_in_the_middle_fails_at_the_joiner() -> None:
    """It answers with its own key and does not know the code."""
    middle = new_identity()
    false_host = Invitation(middle, "member", "41-acorn-acorn-acorn", expires=600.0)
    guest = Joiner(GUEST, "x", CODE, middle.curve.public)
    begun = false_host.begin(guest.begin(), GUEST.curve.public, 1.0)
    with pytest.raises(JoinRefusedError):
        false_host.prove(guest.prove(begun), GUEST.curve.public, 1.0)


@pytest.mark.parametrize(
    "typed",
    [
        CODE,
        " 41 Amber  FALCON-river ",
        "41amberfalconriver",
        "41 amberfalcon river",
        "41AMBER-falconRiver\n",
        "041. amber, falcon, river",
        "41–amber—falcon_river",
    ],
)
def test_codes_are_read_as_people_type_them(typed: str) -> None:
    assert clean_code(typed) == CODE


@pytest.mark.parametrize(
    "wrong",
    [
        "", "amber", "41", "41-amber-falcon", "x-amber-falcon-river", "1-2-3-4", "0-amber-falcon-river", "41-" * 200,
        "100-amber-falcon-river", "41-amber-falcon-river-river", "41-amber-falcon-강", "9" * 5000,
    ],
)  # fmt: skip
def test_what_cannot_be_a_code_is_refused(wrong: str) -> None:
    with pytest.raises(JoinRefusedError) as refused:
        clean_code(wrong)
    assert "41-amber-falcon-river" in refused.value.hint


@pytest.mark.parametrize("typed", ["41-ambre-falcon-river", "41 ambre falcon river", "41ambrefalconriver"])
def test_a_misspelt_word_is_named_and_the_word_that_is_meant(typed: str) -> None:
    with pytest.raises(JoinRefusedError) as refused:
        clean_code(typed)
    assert "ambre" in refused.value.message
    assert "is not a word of join codes" in refused.value.message


def test_the_hint_names_the_word_that_is_meant() -> None:
    with pytest.raises(JoinRefusedError) as refused:
        clean_code("41-ambre-falcon-river")
    assert refused.value.hint == "did you mean amber?"


def test_no_word_begins_with_another_so_codes_need_nothing_between_words() -> None:
    assert [(one, two) for one in WORDS for two in WORDS if one != two and two.startswith(one)] == []


def test_codes_carry_24_secret_bits() -> None:
    assert len(set(WORDS)) == 256
    codes = {new_code() for _ in range(50)}
    assert len(codes) == 50
    assert all(clean_code(code) == code and 1 <= int(nameplate(code)) <= 99 for code in codes)
