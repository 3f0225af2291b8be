"""Faults inside the programs of a simulated device. Python runs this file when a process starts whose PYTHONPATH names
this folder, so the product needs no hook, and no library is preloaded.

LAB_FAULTS names a folder in which a test writes files, at any moment:

    clock    seconds to add to the time of day. (A time namespace shifts only the monotonic clocks.)
    nan      the next training program that sees it removes it, and puts NaN into one of its weights, as a fault of the
             memory does: from then on it sends NaN in its gradients.
"""

import os
import sys
import threading
import time
from pathlib import Path

_LOOK_SECONDS = 0.02
_FOLDER = Path(os.environ["LAB_FAULTS"]) if os.environ.get("LAB_FAULTS") else None
_real_time, _real_time_ns = time.time, time.time_ns


def _offset() -> float:
    assert _FOLDER
    try:
        return float((_FOLDER / "clock").read_text())
    except (OSError, ValueError):
        return 0.0


def _spoil_a_weight_when_asked() -> None:
    assert _FOLDER
    while True:
        time.sleep(_LOOK_SECONDS)
        torch = sys.modules.get("torch")
        models = _models() if torch and (_FOLDER / "nan").exists() else []
        if torch and models:
            (_FOLDER / "nan").unlink(missing_ok=True)
            with torch.no_grad():
                next(models[0].parameters()).view(-1)[0] = float("nan")


def _models() -> list:  # type: ignore[type-arg] # torch is imported by the program, and not here
    import gc

    return [
        thing
        for thing in gc.get_objects()
        if type(thing).__module__ == "model.arithmetic.gpt" and type(thing).__name__ == "GPT"
    ]


if _FOLDER:
    time.time = lambda: _real_time() + _offset()
    time.time_ns = lambda: _real_time_ns() + int(1e9 * _offset())
    if "model.train" in sys.orig_argv:
        threading.Thread(target=_spoil_a_weight_when_asked, daemon=True).start()
