"""Korean of the program `cellmind-agent`: its options, its first words, its services."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {}
