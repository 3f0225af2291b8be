"""Lines of a log, which is kept in English, in the language of the person who reads it."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping

from cellmind_agent.words import language, reworded

_PLACE = re.compile(r"%[.\d]*[a-z]")  # of the logging module: %s, %d, %.0f


def log_line(message: str) -> str:
    """The message of a log's record as `t` words a sentence. Only its first line changes: a traceback may follow."""
    if language() != "ko":
        return message
    from cellmind_agent.words.korean import KOREAN, refusals
    from cellmind_agent.words.korean.log_lines import SENTENCES

    def cause(value: str) -> str:
        """What stands in a line: a phrase, or the text of an error. A name has no space, or is no sentence of ours."""
        known = SENTENCES.get(value) or (KOREAN.get(value) if " " in value else None)
        return known or reworded(value, refusals.SENTENCES)

    first, line_end, rest = message.partition("\n")
    return SENTENCES.get(first, reworded(first, _templates(), cause)) + line_end + rest


@functools.cache
def _templates() -> Mapping[str, str]:
    """The sentences of the catalogue as templates with fields: their names are `_1`, `_2`, and so on."""
    from cellmind_agent.words.korean.log_lines import SENTENCES

    found = {}
    for english, korean in SENTENCES.items():
        pieces = _PLACE.split(english)
        template = pieces[0] + "".join(f"{{_{number}}}{piece}" for number, piece in enumerate(pieces[1:], 1))
        found[template] = re.sub(r"\{(\d)\}", r"{_\1}", korean)
    return found
