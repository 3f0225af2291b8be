"""Hints about where members are: the source of an address decides which is dropped first."""

from pathlib import Path

from cellmind_agent.network.address_book import AddressBook
from cellmind_agent.protocol.address import Address
from cellmind_agent.protocol.ids import DeviceId

DEVICE = DeviceId("a" * 32)


def address(number: int) -> Address:
    return Address(host=f"10.0.0.{number}", port=7420)


def test_an_address_keeps_the_most_trusted_source_that_gave_it(tmp_path: Path) -> None:
    book = AddressBook(tmp_path)
    book.open(DEVICE)
    assert book.learn(DEVICE, [address(1)], "mdns")
    assert not book.learn(DEVICE, [address(1)], "gossip")
    assert not book.learn(DEVICE, [address(1)], "mdns")
    assert book.of(DEVICE) == {address(1): "gossip"}


def test_forged_announcements_do_not_push_out_a_proved_address(tmp_path: Path) -> None:
    book = AddressBook(tmp_path)
    book.open(DEVICE)
    book.learn(DEVICE, [address(1)], "mdns")
    book.prefer(DEVICE, address(1))
    for number in range(2, 60):
        book.learn(DEVICE, [address(number)], "mdns")
    assert len(book.of(DEVICE)) == 8
    assert next(iter(book.of(DEVICE))) == address(1)
    again = AddressBook(tmp_path)
    again.open(DEVICE)
    assert again.of(DEVICE)[address(1)] == "cached"
