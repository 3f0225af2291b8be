"""The control pieces, whose ids are added around encoded text and never parsed from it, and the sign for a space."""

from __future__ import annotations

from typing import Final

START: Final = "<|start|>"
END: Final = "<|endoftext|>"
PAD: Final = "<|pad|>"
SPACE: Final = "\u2581"  # SentencePiece writes it instead of a space
