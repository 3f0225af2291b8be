"""Ids, addresses and announcements have one spelling; others are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cellmind_agent.protocol.address import Address, parse_address
from cellmind_agent.protocol.announce import Announcement, from_txt, to_txt
from cellmind_agent.protocol.errors import BadIdError, CellmindError, ProtocolError, UsageError, error_from_wire
from cellmind_agent.protocol.ids import device_id, parse_blob_id, parse_device_id, parse_run_id, printable

DEVICE = device_id(b"s" * 32, b"c" * 32)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_device_id_reads_back_in_any_case_and_grouping(signing: bytes, curve: bytes) -> None:
    device = device_id(signing, curve)
    grouped = "-".join(device[i : i + 8] for i in range(0, 32, 8)).upper()
    assert parse_device_id(grouped) == device


@given(st.integers(0, 31), st.sampled_from("abcdefghijklmnopqrstuvwxyz234567"))
def test_one_mistyped_character_is_noticed(place: int, character: str) -> None:
    typed = DEVICE[:place] + character + DEVICE[place + 1 :]
    if typed != DEVICE:
        with pytest.raises(BadIdError, match="typing mistake"):
            parse_device_id(typed)


def test_device_id_depends_on_both_keys() -> None:
    assert len({DEVICE, device_id(b"t" * 32, b"c" * 32), device_id(b"s" * 32, b"d" * 32)}) == 3


@pytest.mark.parametrize("name", ["", "..", "../run", "run/1", "RUN", "a" * 100, "run 1", "-run"])
def test_a_run_name_that_could_be_a_path_is_refused(name: str) -> None:
    with pytest.raises(BadIdError):
        parse_run_id(name)


@pytest.mark.parametrize("name", ["", "AB" * 32, "ab" * 31, "../" + "ab" * 31])
def test_a_blob_name_is_64_hexadecimal_digits(name: str) -> None:
    with pytest.raises(BadIdError):
        parse_blob_id(name)


def test_labels_lose_control_and_bidirectional_characters() -> None:
    assert printable("a\x1b[31mb\u202ec\u200bd\n") == "a[31mbcd"
    assert printable("가" * 10, 5) == "가가가가…"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.1:99", Address(host="10.0.0.1", port=99)),
        ("laptop", Address(host="laptop", port=7420)),
        ("[fe80::1]:99", Address(host="fe80::1", port=99)),
        ("fe80::1", Address(host="fe80::1", port=7420)),
    ],
)
def test_addresses_are_read(text: str, expected: Address) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize("text", ["", ":99", "a:b", "a:70000", "a b:99", "a:99/short", "a:99/é", "a@b:99", "*:99"])
def test_bad_addresses_are_usage_errors(text: str) -> None:
    with pytest.raises(UsageError):
        parse_address(text)


@given(st.binary(min_size=32, max_size=32))
def test_an_address_with_its_key_reads_back(key: bytes) -> None:
    address = Address(host="10.0.0.1", port=7420, key=key)
    assert parse_address(address.with_key()) == address


def test_announcement_reads_back_from_its_txt_record() -> None:
    said = Announcement(device=DEVICE, curve_key="k" * 40, cell_tag="0123abcd", nameplate="41")
    txt = {key.encode(): value.encode() for key, value in to_txt(said).items()}
    assert from_txt(txt) == said
    assert sum(len(key) + len(value) + 2 for key, value in txt.items()) < 130


@given(st.dictionaries(st.sampled_from([b"id", b"v", b"k", b"c", b"n"]), st.none() | st.binary(max_size=300)))
def test_any_txt_record_is_an_announcement_or_a_protocol_error(txt: dict[bytes, bytes | None]) -> None:
    try:
        from_txt(txt)
    except ProtocolError:
        pass


def test_an_error_keeps_its_kind_over_the_wire() -> None:
    error = error_from_wire("not_paired", "no", "join")
    assert (type(error).__name__, error.exit_code, error.hint) == ("NotPairedError", 4, "join")
    assert type(error_from_wire("from the future", "x", "y")) is CellmindError
