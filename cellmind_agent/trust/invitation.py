"""Joining by a short one-time code: SPAKE2, then a proof by each device, bound to both long-term keys. No sockets.

    joiner                                   inviter
      nonce, pake_a  ------ BeginJoin ------>  charge a try, before any work
      <------------------- JoinBegun ---------  session, pake_b
      mac_a, box_a   ------ ProveJoin ------>  the joiner proves first: a wrong guess learns nothing
      <------------------ JoinAccepted -------  mac_b, box_b: the keyring with the joiner in it

SPAKE2: RFC 9382. Without a PAKE, somebody who records the exchange could guess a short code offline within seconds.
The transcript binds the nonce, both PAKE messages and both CURVE keys (the joiner's is the one that CURVE proved).
"""

from __future__ import annotations

import difflib
import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import spake2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from cellmind_agent.protocol import messages as m
from cellmind_agent.protocol.errors import JoinRefusedError, ProtocolError
from cellmind_agent.protocol.ids import device_id
from cellmind_agent.protocol.limits import INVITATION_TRIES, MAX_NAMEPLATE, NUM_CODE_WORDS
from cellmind_agent.protocol.messages import Role
from cellmind_agent.trust.entries import Member, clean_name
from cellmind_agent.trust.identity import Identity
from cellmind_agent.trust.keyboard import latin_keys
from cellmind_agent.trust.words import WORDS, words_in

_NONCE = b"\0" * 12  # constant, because each key encrypts only one message
REFUSAL = "the code is wrong, used up or out of date"
_EXAMPLE = "a code looks like 41-amber-falcon-river; get one: cellmindctl invite"


def new_code() -> str:
    """A code such as `41-amber-falcon-river`: a nameplate, by which mDNS finds the inviter, then 24 secret bits."""
    words = (secrets.choice(WORDS) for _ in range(NUM_CODE_WORDS))
    return "-".join([str(secrets.randbelow(MAX_NAMEPLATE) + 1), *words])


def clean_code(text: str) -> str:
    """A code as a person types it: in any case, with hyphens, spaces or nothing between its parts, or on a keyboard
    that was set to Hangul. Raises JoinRefusedError, which names a misspelt word and the word that is meant."""
    number, *parts = re.findall(r"[0-9]+|[^\W0-9_]+", latin_keys(text).lower()) or [""]
    if not number.isdigit() or not 1 <= int(number[:9]) <= MAX_NAMEPLATE:
        raise JoinRefusedError("that is not a join code", _EXAMPLE)
    words = [word for part in parts for word in words_in(part)]
    for word in words:
        if word not in WORDS:
            close = difflib.get_close_matches(word, WORDS, n=1)
            hint = "did you mean {close}?" if close else _EXAMPLE
            raise JoinRefusedError("{word} is not a word of join codes", hint, word=word[:24], close="".join(close))
    if len(words) != NUM_CODE_WORDS:
        raise JoinRefusedError("that is not a join code", _EXAMPLE)
    return "-".join([str(int(number)), *words])


def nameplate(code: str) -> str:
    """The public part of a code, which mDNS announces."""
    return code.partition("-")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Session:
    key: bytes
    transcript: bytes
    curve_key: bytes


class Invitation:
    """The inviting device's part: one code, INVITATION_TRIES tries, one use."""

    def __init__(self, identity: Identity, role: Role, code: str, expires: float) -> None:
        """`expires` is a time on the same clock as the `now` of the other methods."""
        self.code, self.role, self.expires = code, role, expires
        self.tries_left = INVITATION_TRIES
        self.is_used = False
        self._identity = identity
        self._sessions: dict[bytes, _Session] = {}

    def is_open(self, now: float) -> bool:
        """Whether somebody may still join: by a new try, or by one that has begun."""
        return not self.is_used and now < self.expires and (self.tries_left > 0 or bool(self._sessions))

    def begin(self, request: m.BeginJoin, joiner_curve_key: bytes, now: float) -> m.JoinBegun:
        """Begin a try of a joiner whose key CURVE proved. Raises JoinRefusedError."""
        if self.is_used or now >= self.expires or self.tries_left <= 0:
            raise JoinRefusedError(REFUSAL)
        self.tries_left -= 1  # before any check: whatever the joiner sends costs a try
        if len(request.nonce) != 16 or len(request.pake) != 33:
            raise JoinRefusedError(REFUSAL)
        exchange = spake2.SPAKE2_B(self.code.encode(), idA=joiner_curve_key, idB=self._identity.curve.public)
        mine = exchange.start()
        try:
            shared = exchange.finish(request.pake)
        except Exception as error:  # the library raises its own types for points off the curve
            raise JoinRefusedError(REFUSAL) from error
        transcript = _transcript(request.nonce, request.pake, mine, joiner_curve_key, self._identity.curve.public)
        session = secrets.token_bytes(16)
        self._sessions[session] = _Session(key=shared, transcript=transcript, curve_key=joiner_curve_key)
        return m.JoinBegun(session=session, pake=mine)

    def prove(
        self, request: m.ProveJoin, joiner_curve_key: bytes, now: float
    ) -> tuple[Member, Callable[[Any], m.JoinAccepted]]:
        """The new member, and a function that seals the answer for it. Raises JoinRefusedError."""
        session = self._sessions.pop(request.session, None)
        if session is None or self.is_used or now >= self.expires or session.curve_key != joiner_curve_key:
            raise JoinRefusedError(REFUSAL)
        plain = _open("joiner", session.key, session.transcript, request.mac, request.box)
        try:
            signing_key = bytes.fromhex(plain["signing_key"])
            member = Member(
                device=device_id(signing_key, joiner_curve_key),
                name=clean_name(str(plain["name"])),
                role=self.role,
                signing_key=signing_key,
                curve_key=joiner_curve_key,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise JoinRefusedError(REFUSAL) from error
        self.is_used = True
        self._sessions.clear()  # others who have begun come too late

        def accept(answer: Any) -> m.JoinAccepted:
            mac, box = _seal("inviter", session.key, session.transcript, answer)
            return m.JoinAccepted(mac=mac, box=box)

        return member, accept


class Joiner:
    """The joining device's part: `begin`, `prove`, `finish`, in this order."""

    def __init__(self, identity: Identity, name: str, code: str, inviter_curve_key: bytes) -> None:
        self._identity, self._name, self._inviter = identity, name, inviter_curve_key
        self._nonce = secrets.token_bytes(16)
        self._exchange = spake2.SPAKE2_A(clean_code(code).encode(), idA=identity.curve.public, idB=inviter_curve_key)
        self._mine: bytes = self._exchange.start()
        self._key = self._transcript = b""

    def begin(self) -> m.BeginJoin:
        """The first message."""
        return m.BeginJoin(nonce=self._nonce, pake=self._mine)

    def prove(self, begun: m.JoinBegun) -> m.ProveJoin:
        """The second message. Raises JoinRefusedError."""
        try:
            self._key = self._exchange.finish(begun.pake)
        except Exception as error:  # see Invitation.begin
            raise JoinRefusedError(REFUSAL) from error
        self._transcript = _transcript(self._nonce, self._mine, begun.pake, self._identity.curve.public, self._inviter)
        plain = {"signing_key": self._identity.signing_public.hex(), "name": self._name}
        mac, box = _seal("joiner", self._key, self._transcript, plain)
        return m.ProveJoin(session=begun.session, mac=mac, box=box)

    def finish(self, accepted: m.JoinAccepted) -> Any:
        """The value that the inviter sealed, if it has proved that it knows the code. Raises JoinRefusedError,
        ProtocolError."""
        return _open("inviter", self._key, self._transcript, accepted.mac, accepted.box)


def _transcript(nonce: bytes, pake_a: bytes, pake_b: bytes, joiner_key: bytes, inviter_key: bytes) -> bytes:
    parts = (b"cellmind-join-1", nonce, pake_a, pake_b, joiner_key, inviter_key)
    return hashlib.sha256(b"".join(len(part).to_bytes(2, "big") + part for part in parts)).digest()


def _derive(key: bytes, transcript: bytes, use: str) -> bytes:
    return HKDF(algorithm=SHA256(), length=32, salt=transcript, info=use.encode()).derive(key)


def _seal(sender: str, key: bytes, transcript: bytes, plain: Any) -> tuple[bytes, bytes]:
    data = json.dumps(plain).encode()
    box = ChaCha20Poly1305(_derive(key, transcript, f"{sender} box")).encrypt(_NONCE, data, transcript)
    return hmac.digest(_derive(key, transcript, f"{sender} proof"), transcript + box, "sha256"), box


def _open(sender: str, key: bytes, transcript: bytes, mac: bytes, box: bytes) -> Any:
    expected = hmac.digest(_derive(key, transcript, f"{sender} proof"), transcript + box, "sha256")
    if not hmac.compare_digest(mac, expected):
        raise JoinRefusedError(REFUSAL)
    try:
        return json.loads(ChaCha20Poly1305(_derive(key, transcript, f"{sender} box")).decrypt(_NONCE, box, transcript))
    except (InvalidTag, ValueError) as error:
        raise ProtocolError("a join message is sealed with another key") from error
