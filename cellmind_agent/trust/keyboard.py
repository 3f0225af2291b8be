"""Latin letters that a person typed while the keyboard was set to Hangul (the two-set layout of South Korea). Pure.

The word `eagle` then appears as ㄷㅁ힏: the input method has joined letters to syllables. NFKD takes the syllables
apart again, into the initials, vowels and finals of the tables below.
"""

from __future__ import annotations

import unicodedata
from typing import Final

# The keys of each letter, in Unicode's order. A capital is typed with shift; a double letter needs two keys.
_INITIALS: Final = "r R s e E f a q Q t T d w W c z x v g"
_VOWELS: Final = "k o i O j p u P h hk ho hl y n nj np nl b m ml l"
_FINALS: Final = "r R rt s sw sg e f fr fa fq ft fx fv fg a q qt t T d w c z x v g"
_KEYS: Final = {
    chr(first + place): keys
    for first, row in ((0x1100, _INITIALS), (0x1161, _VOWELS), (0x11A8, _FINALS))
    for place, keys in enumerate(row.split())
}


def latin_keys(text: str) -> str:
    """`text` with each Hangul letter replaced by its keys on a Latin keyboard, shifted ones as capitals. Full-width
    letters and digits become plain ones; what has no key stays."""
    return "".join(_KEYS.get(character, character) for character in unicodedata.normalize("NFKD", text))
