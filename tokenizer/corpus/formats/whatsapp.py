"""WhatsApp: `01/30/19, 20:49 - John: text` (Android), `[01/01/19, 11:25:03] John: text` (iOS).

The order of day and month depends on the phone's language, so all dates of a file together decide it.
"""

from __future__ import annotations

import re
from typing import Final

from tokenizer.corpus.formats.text_export import TextExport

_DAY: Final = r"(?P<day>\d{1,4}(?:[./-] ?)\d{1,2}(?:[./-] ?)\d{1,4}\.?)"
_CLOCK: Final = r"(?P<clock>(?:(?:오전|오후) )?\d{1,2}:\d{2}(?::\d{2})?(?:[ \u00a0\u202f]?[AaPp]\.?[Mm]\.?)?)"
_USER: Final = r"(?:(?P<user>[^\n]+?): )?"

ANDROID: Final = TextExport(
    name="WhatsApp (Android)",
    title=re.compile(r"[^\n]*(?:end-to-end encrypted|종단 간 암호화)"),
    record=re.compile(rf"\n\u200e?{_DAY},? {_CLOCK} - {_USER}"),
    has_ambiguous_days=True,
)
IOS: Final = TextExport(
    name="WhatsApp (iOS)",
    title=re.compile(r"[^\n]*(?:end-to-end encrypted|종단 간 암호화)"),
    record=re.compile(rf"\n\u200e?\[{_DAY},? {_CLOCK}\] {_USER}"),
    has_ambiguous_days=True,
)
