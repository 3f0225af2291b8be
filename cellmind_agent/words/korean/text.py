"""Korean of what reads, cleans and encodes text, `python -m tokenizer` included."""

from __future__ import annotations

from collections.abc import Mapping

SENTENCES: Mapping[str, str] = {}
