"""Signal, as its export tools write it: `[2019-12-24, 12:23] Jane: text`."""

from __future__ import annotations

import re
from typing import Final

from tokenizer.clean.formats.lines import LineFormat

SIGNAL: Final = LineFormat(
    name="Signal",
    record=re.compile(r"\n\[(?P<day>\d{4}-\d{2}-\d{2}), (?P<clock>\d{2}:\d{2})\] (?:(?P<user>[^\n]+?): )?"),
)
