"""The control pieces, whose ids are put around encoded text and never parsed from it, and how a space is written."""

from __future__ import annotations

from typing import Final

START: Final = "<|start|>"
END: Final = "<|endoftext|>"
PAD: Final = "<|pad|>"
SPACE: Final = "\u2581"  # as SentencePiece writes it
