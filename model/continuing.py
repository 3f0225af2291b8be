"""The same three beginnings of held-out texts, continued by a run's weights at each checkpoint. Trains nothing.

The prompts follow from the data alone, so they are the same after a resume, and fit the language of the text.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from model.arithmetic.gpt import GPT
from model.arithmetic.sampler import generate
from model.config import Config
from model.data import PackedData
from model.line.continuation import NUM_PROMPTS, Continuation
from model.line.held_out import MAX_HELD_OUT_ROWS
from model.line.sampling import Sampling
from tokenizer.errors import TextError
from tokenizer.sharding.manifest import Manifest
from tokenizer.vocabulary.encoding import Encoder

_PROMPT_TOKENS = 12  # a few words: enough to know what the text is about
_TEXT_TOKENS = 24  # about a line on a screen
_MIN_DOCUMENT_TOKENS = 4  # a shorter document says nothing that could be continued
_MAX_SECONDS = 1.0  # of one checkpoint, for all prompts: the other members wait
_SAMPLING = Sampling()  # as `ask` draws, always with the same seed
_CUT_CHARACTER = "\ufffd"  # the bytes of a character that the last token does not complete
_UNKNOWN_ID = 0  # SentencePiece's id of the unknown piece


class HeldOutPrompts:
    """The prompts of a run, and a model without weights of its own that continues them."""

    def __init__(self, config: Config, manifest: Manifest, data: PackedData, encoder: Encoder) -> None:
        """Raises TextError if `encoder` is not the one that made the data."""
        if encoder.digest != manifest.tokenizer:
            raise TextError("the tokenizer is not the one of the shards", "prepare the data again")
        self._encoder, self._context = encoder, manifest.seq_len
        self._prompts = [_whole_characters(encoder, ids) for ids in _beginnings(manifest, data)]
        # A model of its own, because the one in training may be compiled, and a cache of growing length would compile
        # it again and again. On `meta` it takes no memory and no random numbers.
        with torch.device("meta"):
            self._model = GPT(config.model, manifest.vocab_size)

    def continued_by(self, weights: Mapping[str, Tensor]) -> tuple[Continuation, ...]:
        """What `weights`, a state dict of the run's model, write after each prompt. They are read and not copied."""
        if not self._prompts:
            return ()
        self._model.load_state_dict(weights, assign=True)
        seconds = _MAX_SECONDS / len(self._prompts)
        decode = self._encoder.decode
        return tuple(
            Continuation(prompt=decode(ids), text=decode(self._continuation(ids, seconds)).rstrip(_CUT_CHARACTER))
            for ids in self._prompts
        )

    def _continuation(self, prompt: list[int], seconds: float) -> list[int]:
        """At most _TEXT_TOKENS ids. On a slow device it ends earlier, and is the beginning of the same text."""
        encoder, ids, stop_at = self._encoder, [], time.monotonic() + seconds
        forbidden = [_UNKNOWN_ID, encoder.start_id, encoder.pad_id]
        tokens = generate(self._model, [encoder.start_id, *prompt], self._context, encoder.end_id, forbidden, _SAMPLING)
        for token in tokens:
            if token == encoder.end_id:
                break
            ids.append(token)
            if len(ids) == _TEXT_TOKENS or time.monotonic() >= stop_at:
                break
        return ids


def _beginnings(manifest: Manifest, data: PackedData) -> list[list[int]]:
    """The beginnings of the first held-out document, and of those after a third and two thirds of all in the rows that
    are evaluated."""
    longest = max(1, min(_PROMPT_TOKENS, manifest.seq_len // 2))
    found: dict[tuple[int, ...], None] = {}  # different ones, in their order
    for number in range(min(MAX_HELD_OUT_ROWS, len(data.held_out))):
        for document in _documents(data.held_out[number], manifest):
            if len(document) >= _MIN_DOCUMENT_TOKENS:
                found[tuple(document[: min(longest, len(document) // 2)])] = None
    different = list(found)
    places = sorted({place * len(different) // NUM_PROMPTS for place in range(NUM_PROMPTS)}) if different else []
    return [list(different[place]) for place in places]


def _documents(row: npt.NDArray[np.int64], manifest: Manifest) -> Iterator[list[int]]:
    """The ids of each document that begins in the row, as far as the row has them."""
    controls = np.flatnonzero(np.isin(row, [manifest.start_id, manifest.end_id, manifest.pad_id]))
    ends = [*controls[1:].tolist(), len(row)]
    for start, end in zip(controls.tolist(), ends, strict=False):
        if row[start] == manifest.start_id:
            yield row[start + 1 : end].tolist()


def _whole_characters(encoder: Encoder, ids: Sequence[int]) -> list[int]:
    """`ids` without those at the end whose bytes are no whole character, unless all are such."""
    for length in range(len(ids), 0, -1):
        if not encoder.decode(list(ids[:length])).endswith(_CUT_CHARACTER):
            return list(ids[:length])
    return list(ids)
