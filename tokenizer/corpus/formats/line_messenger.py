"""LINE: lines with a day, then `HH:MM<tab>name<tab>text`. A text of several lines stands in quotes."""

from __future__ import annotations

import re
from typing import Final

from tokenizer.corpus.formats.text_export import TextExport


def _unquoted(text: str) -> str:
    text = text.rstrip("\n")
    if "\n" in text and len(text) > 1 and text[0] == text[-1] == '"':
        return text[1:-1].replace('""', '"')
    return text


LINE: Final = TextExport(
    name="LINE",
    title=re.compile(
        r"(?:\[LINE\]|[^\n]*(?:トーク履歴|님과의 대화))[^\n]*\n(?:Saved on|保存日時|저장(?:한)? ?(?:일시|날짜)) ?[:：]"
    ),
    day_line=re.compile(
        r"\n(\d{4}[/.]\d{1,2}[/.]\d{1,2})\.?(?:\([^)\n]{1,4}\)| [A-Z][a-z]+day| ?[월화수목금토일]요일)(?=\n|$)"
    ),
    record=re.compile(
        r"\n(?P<clock>(?:(?:오전|오후|午前|午後) ?)?\d{1,2}:\d{2}(?: ?[AP]M)?)\t(?:(?P<user>[^\t\n]*)\t)?"
    ),
    normalize=_unquoted,
)
