"""The names of the files in a folder of prepared text. They are fixed: other programs and later versions read them."""

from __future__ import annotations

from typing import Final

TRAIN: Final = "train.jsonl"
HELD_OUT: Final = "held-out.jsonl"
TEXT_ONLY: Final = "textonly.txt"
STATS: Final = "stats.json"
INDEX: Final = "index.bin"
NAMES: Final = "names.json"
SUMMARY: Final = "summary.md"
PICTURE: Final = "lengths-and-days.png"

MARKERS: Final = (STATS, INDEX)  # a folder that has both of them holds prepared text
