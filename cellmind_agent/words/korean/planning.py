"""Korean of plans: why a mode, a backend, a device or a recipe was chosen."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {}
