"""The answering program: `python -P -m model.serve`, kept warm by an agent.

It serves `LoadModel`, then `GenerateText` again and again, and reports each `TextPiece` as it is generated.
"""

from __future__ import annotations

import json
import sys
import time
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from model.agent_link import AgentLink
from model.line.answering import GenerateText, LoadModel, TextGenerated, TextPiece
from model.line.declare import Call, Done

if TYPE_CHECKING:
    from model.arithmetic.gpt import GPT
    from tokenizer.vocabulary.encoding import Encoder

_ZERO_WIDTH = dict.fromkeys(map(ord, "\u200b\u2060\ufeff"))
_UNKNOWN_ID = 0  # SentencePiece's id of the unknown piece


def main() -> int:
    link = AgentLink()
    program = _Program(link)
    for number, call in link.calls():
        try:
            link.answer(number, program.serve(call))
        except Exception as error:
            from model.errors import failure_of

            failure = failure_of(error)
            print(failure.advice, file=sys.stderr, flush=True)
            link.refuse(number, failure)
    return 0


class _Program:
    """The state of one answering process."""

    def __init__(self, link: AgentLink) -> None:
        self._link = link
        self._loaded: _Loaded | None = None

    def serve(self, call: Call[Any]) -> Done | TextGenerated:
        """Raises ModelError, TextError, OSError, ValueError (a call that this program does not serve)."""
        match call:
            case LoadModel():
                self._loaded = _load(call)
                return Done()
            case GenerateText():
                if self._loaded is None:
                    raise ValueError("no model is loaded yet")
                return self._generate(self._loaded, call)
        raise ValueError(f"the answering program does not serve {type(call).__name__}")

    def _generate(self, loaded: _Loaded, call: GenerateText) -> TextGenerated:
        from model.arithmetic.sampler import generate

        started = time.perf_counter()
        encoder = loaded.encoder
        prompt = [encoder.start_id, *encoder.encode(_as_trained(call.prompt) + call.so_far)]
        decoder = encoder.stream_decoder()
        num_tokens, has_begun = 0, bool(call.so_far)
        reason: Literal["end", "length"] = "length"
        forbidden = [_UNKNOWN_ID, encoder.start_id, encoder.pad_id]
        tokens = generate(
            loaded.model, prompt, loaded.context, encoder.end_id, forbidden, call.sampling, is_continued=has_begun
        )
        for token in tokens:
            if token == encoder.end_id:
                reason = "end"
                break
            num_tokens += 1
            has_begun = self._report(decoder.push(token), num_tokens, has_begun)
            if num_tokens >= call.max_tokens:
                break
        self._report(decoder.finish(), num_tokens, has_begun)
        return TextGenerated(num_tokens=num_tokens, seconds=time.perf_counter() - started, reason=reason)

    def _report(self, text: str, num_tokens: int, has_begun: bool) -> bool:
        """Report `text`, without white space before the answer begins. Returns whether it has begun."""
        text = text if has_begun else text.lstrip()
        if text:
            self._link.report(TextPiece(text=text, num_tokens=num_tokens))
        return has_begun or bool(text)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Loaded:
    """A model ready to answer; `context` is its window in tokens."""

    model: GPT
    encoder: Encoder
    context: int


def _load(call: LoadModel) -> _Loaded:
    """Raises CheckpointError, ConfigError, TextError."""
    from model.arithmetic.gpt import GPT
    from model.checkpoint import load_weights, read_state
    from model.config_file import parse_config
    from model.device import choose_devices
    from model.errors import CheckpointError
    from tokenizer.vocabulary.encoding import load_encoder

    state = read_state(Path(call.checkpoint.state))
    encoder = load_encoder(Path(call.tokenizer))
    if encoder.digest != state.tokenizer or encoder.vocab_size != state.vocab_size:
        raise CheckpointError("the tokenizer is not the one of this checkpoint", "cellmindctl sync")
    config = parse_config(json.dumps(state.config))
    model = GPT(config.model, state.vocab_size)
    load_weights(Path(call.checkpoint.weights), model)
    device = choose_devices()[0]
    return _Loaded(model=model.to(device).eval(), encoder=encoder, context=config.training.dataset.seq_len)


def _as_trained(prompt: str) -> str:
    """The prompt in the form that the cleaning gives to training text: NFC, lower case, no zero-width characters."""
    return unicodedata.normalize("NFC", prompt).lower().translate(_ZERO_WIDTH).strip()


if __name__ == "__main__":
    sys.exit(main())
