"""Joins conversations over blocks: the last one of a block may continue in the next block of the file. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tokenizer.corpus.conversations.documents import PackedDocuments, pack_documents
from tokenizer.corpus.conversations.grouping import group, is_continued, to_document
from tokenizer.corpus.messages import Messages


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationOptions:
    """`gap_seconds` of silence end a conversation; with `has_turns` each message names its speaker by a letter."""

    gap_seconds: int
    has_turns: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockConversations:
    """The conversations of one block.

    The first and the last one may belong to the neighbouring blocks, so they stay messages. `first` is None if the
    block has no message, `last` and `inner` are None if it has only one conversation.
    """

    first: Messages | None = None
    inner: PackedDocuments | None = None
    last: Messages | None = None


def divide_block(messages: Messages, options: ConversationOptions, source: int) -> BlockConversations:
    """Group the messages of a block. `source` is the number of the file that they come from."""
    conversations = list(group(messages, options.gap_seconds))
    if not conversations:
        return BlockConversations()
    if len(conversations) == 1:
        return BlockConversations(first=conversations[0])
    documents = (to_document(conversation, options.has_turns) for conversation in conversations[1:-1])
    inner = pack_documents([document for document in documents if document], source)
    return BlockConversations(first=conversations[0], inner=inner, last=conversations[-1])


class BlockJoiner:
    """Joins the conversations of one file's blocks, given in order: `add` each block, then `finish`."""

    def __init__(self, options: ConversationOptions, source: int) -> None:
        self._options, self._source = options, source
        self._open: Messages | None = None  # a conversation that may continue in the next block

    def add(self, block: BlockConversations) -> Iterator[PackedDocuments]:
        """Yield the documents that are complete with this block."""
        if block.first is None:
            return
        if self._open is not None and is_continued(self._open, block.first, self._options.gap_seconds):
            self._open.extend(block.first)
        else:
            yield from self.finish()
            self._open = block.first
        if block.last is None:
            return
        yield from self.finish()
        if block.inner is not None:
            yield block.inner
        self._open = block.last

    def finish(self) -> Iterator[PackedDocuments]:
        """Yield the document of the open conversation, if there is one."""
        document = to_document(self._open, self._options.has_turns) if self._open is not None else None
        self._open = None
        if document:
            yield pack_documents([document], self._source)
