"""Text outside this process is UTF-8, whatever the locale: file names, options and what is printed."""

from __future__ import annotations

import io
import os
import sys

_SWITCH = "PYTHONUTF8"


def use_utf8() -> None:
    """Call it first in a program. Where Python takes all text for ASCII, start the program again with UTF-8.

    Python does that itself in the locale C, unless PYTHONUTF8=0 forbids it: then it cannot open a file with a Hangul
    name. Where the locale has another encoding, what that cannot show is printed as `\\u....`, and nothing fails.
    """
    if sys.getfilesystemencoding() == "ascii" and os.environ.get(_SWITCH) != "1" and os.name == "posix":
        os.environ[_SWITCH] = "1"
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
