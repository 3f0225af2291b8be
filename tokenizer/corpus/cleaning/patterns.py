"""Regular expressions: many words as one fast pattern, and replacements that are counted. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable


def any_of(words: Iterable[str], ending: Callable[[str], str] = lambda word: "") -> str:
    """A pattern that matches any of the words, and prefers the longest. It has no capturing group.

    `ending` gives the pattern that must follow a word. The words become a trie, because `re` finds candidates quickly
    only if every branch begins with a plain character.
    """
    root: dict[str, object] = {}
    for word in words:
        node = root
        for character in word:
            node = node.setdefault(character, {})  # type: ignore[assignment]  # only "" maps to a string, the ending
        node[""] = ending(word)
    return f"(?:{_alternatives(root)})"


def replace_counted(pattern: re.Pattern[str], placeholder: str, text: str, counts: Counter[str]) -> str:
    """The text with the placeholder for each match. Adds the number of matches to `counts`."""
    text, replaced = pattern.subn(placeholder, text)
    if replaced:  # no entry with 0, which the statistics would show
        counts[placeholder] += replaced
    return text


def _alternatives(node: dict[str, object]) -> str:
    parts = [re.escape(key) + _rest(below) for key, below in sorted(node.items()) if key and isinstance(below, dict)]
    if "" in node:
        parts.append(str(node[""]))
    return "|".join(parts)


def _rest(node: dict[str, object]) -> str:
    inner = _alternatives(node)
    return f"(?:{inner})" if "|" in inner else inner
