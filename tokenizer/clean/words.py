"""Many words as one fast pattern. Pure.

`re` skips to a candidate quickly only when every branch begins with a plain character; so the words become a trie.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable


def any_of(words: Iterable[str], ending: Callable[[str], str] = lambda word: "") -> str:
    """A pattern for any of the words, the longest that fits first; `ending` is put behind a word. No group of its
    own."""
    root: dict[str, object] = {}
    for word in words:
        node = root
        for character in word:
            node = node.setdefault(character, {})  # type: ignore[assignment]  # a node is a dict of nodes and one ending
        node[""] = ending(word)
    return f"(?:{_branches(root)})"


def _branches(node: dict[str, object]) -> str:
    parts = [re.escape(key) + _tail(below) for key, below in sorted(node.items()) if key and isinstance(below, dict)]
    if "" in node:
        parts.append(str(node[""]))
    return "|".join(parts)


def _tail(node: dict[str, object]) -> str:
    inner = _branches(node)
    return f"(?:{inner})" if "|" in inner else inner
