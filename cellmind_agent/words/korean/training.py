"""Korean of configurations, trainers, checkpoints and answers."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {}
