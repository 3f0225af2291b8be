"""Conversations are the same, wherever a file is cut into blocks."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tokenizer.corpus.conversations.joining import BlockJoiner, ConversationOptions, divide_block
from tokenizer.corpus.messages import NO_TIME, Messages

OPTIONS = ConversationOptions(gap_seconds=100, has_turns=False)
MESSAGES = st.lists(
    st.tuples(st.sampled_from([NO_TIME, 0, 50, 90, 160, 400, 450, 900]), st.sampled_from(["", "a", "b"]))
)


def documents_of(blocks: list[Messages]) -> list[str]:
    joiner = BlockJoiner(OPTIONS, source=0)
    packed = [documents for block in blocks for documents in joiner.add(divide_block(block, OPTIONS, source=0))]
    packed += joiner.finish()
    return [json.loads(line)["text"] for documents in packed for line in documents.lines.splitlines()]


def messages_of(rows: list[tuple[int, str]]) -> Messages:
    messages = Messages()
    for number, (time, text) in enumerate(rows):
        messages.add(time, "user", text and f"{text}{number}")
    return messages


@given(MESSAGES, st.lists(st.integers(0, 20), max_size=4))
def test_blocks_give_the_documents_of_the_whole_file(rows: list[tuple[int, str]], cuts: list[int]) -> None:
    whole = messages_of(rows)
    edges = [0, *sorted(min(cut, len(rows)) for cut in cuts), len(rows)]
    blocks = [
        Messages(times=whole.times[start:stop], users=whole.users[start:stop], texts=whole.texts[start:stop])
        for start, stop in zip(edges, edges[1:], strict=False)  # noqa: RUF007  # pairs of a list are plainer here
    ]
    assert documents_of(blocks) == documents_of([whole])


def test_a_conversation_continues_over_several_blocks() -> None:
    blocks = [messages_of([(time, "a")]) for time in (0, 50, 90)] + [messages_of([(900, "b")])]
    assert documents_of(blocks) == ["a0\na0\na0", "b0"]
