"""Many words as one fast regular expression. Pure.

`re` finds candidates quickly only if every branch begins with a plain character, so the words become a trie.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


def any_of(words: Iterable[str], ending: Callable[[str], str] = lambda word: "") -> str:
    """A pattern that matches any of the words, and prefers the longest. It has no capturing group.

    `ending` gives the pattern that must follow a word.
    """
    root: dict[str, object] = {}
    for word in words:
        node = root
        for character in word:
            node = node.setdefault(character, {})  # type: ignore[assignment]  # only "" maps to a string, the ending
        node[""] = ending(word)
    return f"(?:{_alternatives(root)})"


def _alternatives(node: dict[str, object]) -> str:
    parts = [re.escape(key) + _rest(below) for key, below in sorted(node.items()) if key and isinstance(below, dict)]
    if "" in node:
        parts.append(str(node[""]))
    return "|".join(parts)


def _rest(node: dict[str, object]) -> str:
    inner = _alternatives(node)
    return f"(?:{inner})" if "|" in inner else inner
