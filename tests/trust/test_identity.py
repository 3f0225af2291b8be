"""Keys, and who may ask what."""

import stat
from pathlib import Path

import pytest

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.trust.identity import is_signed_by, load_identity, new_identity
from cellmind_agent.trust.permissions import Caller, may_ask
from cellmind_agent.trust.ringfile import load_keyring, save_keyring


def test_keys_are_made_once_and_kept(tmp_path: Path) -> None:
    identity = load_identity(tmp_path)
    assert load_identity(tmp_path) == identity
    assert stat.S_IMODE((tmp_path / "identity.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("contents", ["", "{}", '{"signing": "zz", "curve": "zz"}', '{"signing": "00", "curve": "00"}'])
def test_a_damaged_identity_is_an_error_and_is_not_replaced(tmp_path: Path, contents: str) -> None:
    path = tmp_path / "identity.json"
    path.write_text(contents)
    with pytest.raises(CellmindError, match="damaged"):
        load_identity(tmp_path)
    assert path.read_text() == contents


def test_a_signature_fits_its_key_and_data_only() -> None:
    one, two = new_identity(), new_identity()
    signature = one.sign(b"data")
    assert is_signed_by(one.signing_public, signature, b"data")
    assert not is_signed_by(one.signing_public, signature, b"other")
    assert not is_signed_by(two.signing_public, signature, b"data")
    assert not is_signed_by(b"short", signature, b"data")


def test_a_keyring_is_kept_and_a_damaged_one_is_refused(tmp_path: Path) -> None:
    identity = new_identity()
    keyring = load_keyring(tmp_path, identity, "x", 1.0)
    save_keyring(tmp_path, keyring)
    assert load_keyring(tmp_path, identity, "y", 2.0) == keyring
    (tmp_path / "keyring.json").write_text('{"entries": ["x"]}')
    with pytest.raises(CellmindError, match="damaged"):
        load_keyring(tmp_path, identity, "x", 1.0)


def test_strangers_may_do_nothing_but_join() -> None:
    stranger = Caller(kind="stranger", curve_key=b"", device=None, host="")
    allowed = {kind.__name__ for kind in m.MESSAGE_TYPES.values() if may_ask(stranger, kind)}
    assert allowed == {"BeginJoin", "ProveJoin"}


def test_members_may_not_ask_what_only_local_people_may() -> None:
    peer = Caller(kind="member", curve_key=b"", device=None, host="")
    own = Caller(kind="local", curve_key=b"", device=None, host="")
    for kind in (m.OpenInvitation, m.ForgetDevice, m.Relay, m.JoinCell, m.ConnectAddress):
        assert not may_ask(peer, kind)
        assert may_ask(own, kind)


def test_nobody_may_ask_with_a_message_that_is_no_request() -> None:
    own = Caller(kind="local", curve_key=b"", device=None, host="")
    for kind in (m.Done, m.Refused, m.BlobData, m.PeerList, m.Progressed):
        assert not may_ask(own, kind)


def test_members_of_a_cell_that_has_removed_this_device_compare_keyrings_and_nothing_else() -> None:
    former = Caller(kind="former", curve_key=b"", device=None, host="")
    allowed = {kind for kind in m.MESSAGE_TYPES.values() if may_ask(former, kind)}
    assert allowed == {m.Hello, m.GetKeyring, m.OfferKeyring}
