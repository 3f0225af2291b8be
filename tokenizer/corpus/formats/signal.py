"""Signal, in the form that its export tools write: `[2019-12-24, 12:23] Jane: text`."""

from __future__ import annotations

import re
from typing import Final

from tokenizer.corpus.formats.text_export import TextExport

SIGNAL: Final = TextExport(
    name="Signal",
    record=re.compile(r"\n\[(?P<day>\d{4}-\d{2}-\d{2}), (?P<clock>\d{2}:\d{2})\] (?:(?P<user>[^\n]+?): )?"),
)
