"""Between an agent and a probing process."""

from __future__ import annotations

from model.line.declare import Call, Done, line_message


@line_message
class TryGloo(Call[Done]):
    """Let two ranks meet by gloo on loopback. Refused, with the reason, where that does not work."""
