"""The error of a rank that others cannot work with. `Group` turns it into a PeerLostError."""

from __future__ import annotations


class MemberGoneError(RuntimeError):
    """The connection of another rank has ended, or that rank does not do the same as this one.

    It is a RuntimeError, because torch raises one for its own process groups.
    """
