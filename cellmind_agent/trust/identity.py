"""The keys of this device: made at the first start, and never sent anywhere. Only this file makes or reads secrets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from cellmind_agent.protocol.errors import CellmindError
from cellmind_agent.protocol.ids import DeviceId, device_id
from cellmind_agent.storage.files import read_json, write_json


@dataclass(frozen=True, slots=True, kw_only=True)
class CurveKeys:
    """An X25519 key pair, as CurveZMQ uses it: 32 raw bytes each."""

    public: bytes
    secret: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """The keys of a device: Ed25519 signs entries of the keyring, X25519 encrypts links."""

    signing_secret: bytes
    signing_public: bytes
    curve: CurveKeys

    @property
    def device(self) -> DeviceId:
        """The device id, which follows from the public keys."""
        return device_id(self.signing_public, self.curve.public)

    def sign(self, data: bytes) -> bytes:
        """The Ed25519 signature of `data`, 64 bytes."""
        return Ed25519PrivateKey.from_private_bytes(self.signing_secret).sign(data)


def new_curve_keys() -> CurveKeys:
    """A new random key pair for links."""
    secret = X25519PrivateKey.generate()
    return CurveKeys(public=secret.public_key().public_bytes_raw(), secret=secret.private_bytes_raw())


def new_identity() -> Identity:
    """New random keys for a device."""
    signing = Ed25519PrivateKey.generate()
    return Identity(
        signing_secret=signing.private_bytes_raw(),
        signing_public=signing.public_key().public_bytes_raw(),
        curve=new_curve_keys(),
    )


def is_signed_by(public_key: bytes, signature: bytes, data: bytes) -> bool:
    """Whether `signature` is the Ed25519 signature of `data` by this key. False for malformed keys and signatures."""
    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, data)
    except (InvalidSignature, ValueError):
        return False
    return True


def load_identity(home: Path) -> Identity:
    """The identity of a home, made if there is none. Raises CellmindError if the file is damaged: new keys would make
    it another device, so they are never made silently."""
    path = home / "identity.json"
    if not path.exists():
        identity = new_identity()
        write_json(path, {"signing": identity.signing_secret.hex(), "curve": identity.curve.secret.hex()})
        return identity
    plain = read_json(path)
    try:
        signing = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(plain["signing"]))
        curve = X25519PrivateKey.from_private_bytes(bytes.fromhex(plain["curve"]))
    except (TypeError, KeyError, ValueError) as error:
        hint = "restore it from a backup, or remove {home} to begin as a new device"
        raise CellmindError("{path} is damaged", hint, path=path, home=home) from error
    path.chmod(0o600)  # a restored backup may be readable by others
    return Identity(
        signing_secret=signing.private_bytes_raw(),
        signing_public=signing.public_key().public_bytes_raw(),
        curve=CurveKeys(public=curve.public_key().public_bytes_raw(), secret=curve.private_bytes_raw()),
    )
