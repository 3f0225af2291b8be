"""The placeholders that the cleaning writes instead of removed text. The tokenizer keeps each of them as one piece."""

from __future__ import annotations

from typing import Final

PHOTO: Final = "<PHOTO>"
MOVIE: Final = "<MOVIE>"
EMOJI: Final = "<EMOJI>"
URL: Final = "<URL>"
NAME: Final = "<NAME>"
PHONE: Final = "<PHONE>"
RRN: Final = "<RRN>"  # resident registration number, the Korean identity number
CARD: Final = "<CARD>"
ACCOUNT: Final = "<ACCOUNT>"
EMAIL: Final = "<EMAIL>"
ADDRESS: Final = "<ADDRESS>"

PRIVATE: Final = (PHONE, RRN, CARD, ACCOUNT, EMAIL, ADDRESS)
PLACEHOLDERS: Final = (PHOTO, MOVIE, EMOJI, URL, NAME, *PRIVATE)  # the order is part of every trained tokenizer
