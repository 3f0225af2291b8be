"""The probing program: `python -P -m model.probe`, started by an agent. It serves `TryGloo`."""

from __future__ import annotations

import sys

from model.agent_link import AgentLink
from model.errors import failure_of
from model.line.declare import Done
from model.line.probing import TryGloo


def main() -> int:
    link = AgentLink()
    for number, call in link.calls():
        try:
            if not isinstance(call, TryGloo):
                raise ValueError(f"the probing program does not serve {type(call).__name__}")
            from model.meeting.gloo_probe import probe_gloo

            probe_gloo()
            link.answer(number, Done())
        except Exception as error:
            link.refuse(number, failure_of(error))
    return 0


if __name__ == "__main__":
    sys.exit(main())
