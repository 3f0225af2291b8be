"""The probing program: `python -P -m model.probe`, started by an agent. It serves `TryGloo` and `MeasureSpeed`."""

from __future__ import annotations

import sys
from pathlib import Path

from model.agent_link import AgentLink
from model.errors import failure_of
from model.line.declare import Done
from model.line.probing import MeasureSpeed, SpeedMeasured, TryGloo


def main() -> int:
    link = AgentLink()
    for number, call in link.calls():
        try:
            link.answer(number, _serve(call))
        except Exception as error:
            link.refuse(number, failure_of(error))
    return 0


def _serve(call: object) -> Done | SpeedMeasured:
    """Raises ModelError, OSError, and what torch raises."""
    match call:
        case TryGloo():
            from model.meeting.gloo_probe import probe_gloo

            probe_gloo()
            return Done()
        case MeasureSpeed():
            from model.config_file import load_config
            from model.tuning.sustained import sustained_speed

            return SpeedMeasured(tokens_per_second=sustained_speed(load_config(Path(call.config)), call))
    raise ValueError(f"the probing program does not serve {type(call).__name__}")


if __name__ == "__main__":
    sys.exit(main())
