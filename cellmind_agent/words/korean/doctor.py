"""Korean of the checks of `cellmindctl doctor`."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {}
