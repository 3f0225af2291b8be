"""What goes wrong between ranks."""

from __future__ import annotations


class MemberGoneError(RuntimeError):
    """Another rank's connection ended, or that rank does something else than this one."""
