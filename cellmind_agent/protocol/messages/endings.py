"""How an exchange ends, whatever was asked."""

from __future__ import annotations

from cellmind_agent.protocol.messages.declarations import message
from model.line.sentence import Sentence


@message
class Done:
    """The request is carried out, or the stream has ended; there is nothing more to say."""


@message
class Refused:
    """The request failed: an error of `errors.py` in wire form."""

    code: str
    message: Sentence
    hint: Sentence


@message
class Cancel:
    """The asker no longer wants the answers to its request with the same correlation number. It gets no answer."""
