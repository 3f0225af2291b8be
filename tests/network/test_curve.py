"""Keys as text: announcements come from anybody, so any text must be read or refused."""

import pytest

from cellmind_agent.network.curve import key_from_text, key_to_text


def test_a_key_reads_back() -> None:
    key = bytes(range(32))
    assert key_from_text(key_to_text(key)) == key


@pytest.mark.parametrize("text", ["", "abcde", " " * 40, "#" * 40, "é" * 20])
def test_a_text_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="key"):
        key_from_text(text)
