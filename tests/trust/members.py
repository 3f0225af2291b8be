"""Members for tests of the keyring."""

from cellmind_agent.protocol.messages import Role
from cellmind_agent.trust.entries import Member
from cellmind_agent.trust.identity import Identity


def member(identity: Identity, role: Role = "member", name: str = "device") -> Member:
    """A device with these keys, as an invitation describes it."""
    return Member(
        device=identity.device,
        name=name,
        role=role,
        signing_key=identity.signing_public,
        curve_key=identity.curve.public,
    )
